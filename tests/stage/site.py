"""A server of the program whose data plane has certificates by ACME, and visitors who look at them."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from pathlib import Path

from cryptography import x509

from tests.stage.pebble import Pebble
from tests.stage.process import Process, eventually
from tests.stage.tunnel import Tunnel


def with_clock(offset: str) -> tuple[str, ...]:
    """For `under`: runs a program whose clock is off by so much ("+365d"), but whose seconds pass as ours."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return "env", f"LD_PRELOAD={library}", f"FAKETIME={offset}", "FAKETIME_DONT_FAKE_MONOTONIC=1"


class Site:
    """`names` have certificates by pebble, which is asked at `url` if that is not its own (a proxy's).

    Two of them in one directory, one after the other, are one site whose server was started again.
    """

    def __init__(
        self, directory: Path, pebble: Pebble, *names: str, flags: tuple[str, ...] = (), url: str = "", clock: str = ""
    ) -> None:
        self.pebble = pebble
        self.tunnel = Tunnel(
            directory,
            *("--port", str(pebble.http_port), "--https-port", str(pebble.tls_port)),
            *pebble.flags(*names, url=url),
            *flags,
            plain=bool(clock),  # a control plane's certificate of another year would not be believed
            under=with_clock(clock) if clock else (),
        )
        self.server: Process = self.tunnel.server

    @property
    def output(self) -> str:
        return self.server.output

    def said(self, text: str, seconds: float = 20.0) -> None:
        """Wait until the server has logged it."""
        eventually(lambda: text in self.output, f"the server says: {text}", self.server, seconds=seconds)

    def connect(self, name: str, root: str | None = None) -> ssl.SSLSocket:
        """As a visitor who trusts what pebble issues, and nothing else."""
        context = ssl.create_default_context(cadata=root or self.pebble.root())
        sock = socket.create_connection(("127.0.0.1", self.pebble.tls_port), 10)
        try:
            return context.wrap_socket(sock, server_hostname=name)
        except BaseException:
            sock.close()
            raise

    def certificate(self, name: str, root: str | None = None) -> x509.Certificate | None:
        """What a visitor of this name is shown; None where the connection does not come about, or is not trusted."""
        with contextlib.suppress(ssl.SSLError, OSError), self.connect(name, root) as visitor:
            return x509.load_der_x509_certificate(visitor.getpeercert(binary_form=True) or b"")
        return None

    def served(self, name: str, other_than: x509.Certificate | None = None, seconds: float = 20.0) -> x509.Certificate:
        """The certificate, once there is one that is trusted."""

        def look() -> x509.Certificate | None:
            found = self.certificate(name)
            return None if found == other_than else found

        found = eventually(look, f"{name} has a certificate", self.server, seconds=seconds)
        assert found is not None
        return found

    def get(self, name: str, path: str = "/") -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(name, timeout=10)
        with contextlib.closing(connection):
            connection.sock = self.connect(name)
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def orders(self) -> int:
        """How often the server has set about ordering a certificate."""
        return self.output.count(": ordering a certificate, by ")

    def close(self) -> None:
        self.tunnel.close()
