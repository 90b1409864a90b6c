"""Server and clients of the program as processes, as users run them."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import ssl
from pathlib import Path
from typing import Any

from tests.stage.process import SLUICE, Process, eventually, free_port

TOKEN = "the-token-of-these-tests"


class Tunnel:
    """A server, and clients added to it. Its control plane speaks TLS (its own authority) unless `plain`.

    `mode`: which commands of the program they are: "http", "tcp", or "" for those that do both. `under`: a command
    that starts the server, as with fewer rights.
    """

    def __init__(
        self,
        directory: Path,
        *flags: str,
        plain: bool = False,
        mode: str = "http",
        under: tuple[str, ...] = (),
        ready: bool = True,
    ) -> None:
        self.directory = directory
        self.plain = plain
        self.mode = mode
        self.port = free_port()
        self.control_port = free_port()
        self.token_file = directory / "token"
        self.token_file.write_text(TOKEN + "\n")
        self.clients: dict[str, Process] = {}
        self._authority: str | None = None
        command = [
            *under, *SLUICE, *filter(None, [mode]), "server", "--data-addr", "127.0.0.1",
            *(["--port", str(self.port)] if mode != "tcp" else []),
            "--control-port", str(self.control_port), "--control-addr", "127.0.0.1",
            "--token-file", str(self.token_file), "--auto-tls-path", str(directory / "authority"),
            *(["--auto-tls=false"] if plain else ["--auto-tls-san", "127.0.0.1"]), *flags,
        ]  # fmt: skip
        self.server = Process("server", command, directory)
        try:
            if ready:
                eventually(lambda: self._ready(), "the server is ready", self.server)
        except BaseException:
            self.server.kill()
            raise

    @property
    def url(self) -> str:
        return f"{'ws' if self.plain else 'wss'}://127.0.0.1:{self.control_port}"

    @property
    def authority(self) -> str:
        """The certificate (PEM) that the server vouches with."""
        if self._authority is None:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection = http.client.HTTPSConnection("127.0.0.1", self.control_port, timeout=10, context=context)
            with contextlib.closing(connection):
                connection.request("GET", "/.well-known/ca.crt")
                self._authority = connection.getresponse().read().decode("ascii")
        return self._authority

    def control(
        self, path: str, token: str | None = TOKEN, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Ask the control plane: status, fields, body. Over TLS the certificate is checked."""
        with contextlib.closing(self.control_connection()) as connection:
            fields = dict(headers or {})
            if token is not None:
                fields["Authorization"] = f"Bearer {token}"
            connection.request(method, path, headers=fields)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def make_token(self, name: str, **limits: Any) -> tuple[int, str]:
        """A token for clients: the status, and the token where there is one."""
        with contextlib.closing(self.control_connection()) as connection:
            fields = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            connection.request("POST", "/api/v1/tokens", json.dumps({"name": name, **limits}), fields)
            response = connection.getresponse()
            return response.status, json.loads(response.read()).get("token", "")

    def control_connection(self) -> http.client.HTTPConnection:
        if self.plain:
            return http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=10)
        context = ssl.create_default_context(cadata=self.authority)
        return http.client.HTTPSConnection("127.0.0.1", self.control_port, timeout=10, context=context)

    def status(self) -> dict[str, Any]:
        status, _, body = self.control("/status")
        assert status == 200, body
        result: dict[str, Any] = json.loads(body)
        return result

    def metrics(self, name: str) -> dict[str, float]:
        """The samples called `name`: their labels as the exposition has them, and values."""
        _, _, body = self.control("/metrics")
        samples = {}
        for line in body.decode().splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name:
                samples[sample.removeprefix(name)] = float(value)
        return samples

    def connected(self) -> set[str]:
        """The ids of the clients that the server knows."""
        return {client["clientID"] for client in self.status()["clients"]}

    def add_client(self, name: str, *upstreams: str, flags: tuple[str, ...] = (), mode: str | None = None) -> Process:
        """Start a client, of the server's mode where no other is given, and wait until the server has it."""
        client_id = secrets.token_hex(16)
        command = [
            *SLUICE, *filter(None, [self.mode if mode is None else mode]), "client",
            "--url", self.url, "--token-file", str(self.token_file),
            "--client-id", client_id, *(f"--upstream={upstream}" for upstream in upstreams), *flags,
        ]  # fmt: skip
        client = self.clients[client_id] = Process(name, command, self.directory)
        eventually(lambda: client_id in self.connected(), f"{name} is connected", client, self.server)
        return client

    def remove_client(self, client: Process) -> None:
        """End a client and wait until the server knows."""
        client.stop()
        client_id = self._forget(client)
        eventually(lambda: client_id not in self.connected(), f"{client.name} is gone", self.server)

    def kill_client(self, client: Process) -> None:
        """End a client as a power cut would; the server finds out by itself."""
        client.kill()
        client.stop()
        self._forget(client)

    def _forget(self, client: Process) -> str:
        """Returns its id."""
        client_id = next(key for key, value in self.clients.items() if value is client)
        del self.clients[client_id]
        return client_id

    def close(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self.server.stop)
            for client in self.clients.values():
                stack.callback(client.stop)

    def _ready(self) -> bool:
        try:
            return self.control("/readyz", token=None)[0] == 200
        except (TimeoutError, OSError, http.client.HTTPException, ssl.SSLError):
            return False
