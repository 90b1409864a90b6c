"""Sluice: a server and a client, run from the checkout."""

from __future__ import annotations

import secrets
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

from ..lab import LOOPBACK, answers, free_port, wait_until
from ..process import Child, LabError
from .base import Contestant, Startup


class Sluice(Contestant):
    """Sluice as people run it: TLS by the automatic authority, a token from a file."""

    name = "sluice"
    title = "sluice (TLS)"
    mode = "http"
    tls = True

    def start(self) -> Startup:
        directory = self.lab.directory(self.name)
        token_file = directory / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(secrets.token_hex(32))
        self.port, control_port = free_port(), free_port()
        scheme = "https" if self.tls else "http"
        ready_url = f"{scheme}://{LOOPBACK}:{control_port}/readyz"
        server_flags = self._server_flags(control_port, token_file, directory / "tls")
        self.server = self._run(directory / "server.log", *server_flags)
        server_seconds = wait_until(lambda: _is_ready(ready_url), [self.server], f"sluice {self.mode} server")
        self.client = self._run(directory / "client.log", *self._client_flags(control_port, token_file))
        children = [self.server, self.client]
        client_seconds = wait_until(lambda: answers(self.port), children, f"sluice {self.mode} client")
        return Startup(server_seconds, client_seconds)

    def help_seconds(self) -> float:
        """How long `sluice --help` takes."""
        started = time.monotonic()
        log = self.lab.directory("help") / "log"
        child = self._run(log, "--help")
        child.wait()
        seconds = time.monotonic() - started
        self.lab.end([child])
        if "--help" not in log.read_text():
            raise LabError(f"sluice --help printed no help\n{child.log_tail()}")
        return seconds

    def _run(self, log: Path, *flags: str) -> Child:
        places = self.lab.places
        return self.lab.run([places.python, "-m", "appliance", *flags], log, cwd=places.checkout)

    def _server_flags(self, control_port: int, token_file: Path, tls_directory: Path) -> list[str]:
        flags = [self.mode, "server", *self._visitors_flags(), "--data-addr", LOOPBACK]
        flags += ["--control-port", str(control_port), "--control-addr", LOOPBACK, "--token-file", str(token_file)]
        return [*flags, "--auto-tls-path", str(tls_directory)] if self.tls else [*flags, "--auto-tls=false"]

    def _client_flags(self, control_port: int, token_file: Path) -> list[str]:
        url = f"{'wss' if self.tls else 'ws'}://{LOOPBACK}:{control_port}"
        flags = [self.mode, "client", "--url", url, "--token-file", str(token_file), "--upstream", self._upstream()]
        return flags if self.tls else [*flags, "--auto-tls=false"]

    def _visitors_flags(self) -> list[str]:
        return ["--port", str(self.port)]

    def _upstream(self) -> str:
        return f"http://{LOOPBACK}:{self.lab.upstream_port}"


class SluicePlain(Sluice):
    """The same without TLS, as behind a proxy that brings its own."""

    name = "sluice-plain"
    title = "sluice (plain)"
    tls = False


class SluiceTcp(Sluice):
    """A port instead of names: bytes are carried as they come, as ssh does. The client's offer opens the port."""

    name = "sluice-tcp"
    title = "sluice tcp (TLS)"
    mode = "tcp"

    def _visitors_flags(self) -> list[str]:
        return []

    def _upstream(self) -> str:
        return f"{self.port}={LOOPBACK}:{self.lab.upstream_port}"


class SluiceTcpPlain(SluiceTcp):
    """The same without TLS."""

    name = "sluice-tcp-plain"
    title = "sluice tcp (plain)"
    tls = False


def _is_ready(url: str) -> bool:
    # Loopback, and only to learn that the server is up: nothing secret is sent.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False
