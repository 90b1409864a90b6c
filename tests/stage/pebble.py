"""Debian's pebble, the ACME test server, with the DNS server that comes along with it."""

from __future__ import annotations

import json
import ssl
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from appliance.certificates.issue import issue_server, new_authority, parse_name
from tests.stage.process import Process, eventually, free_port, listening

ELSEWHERE = "127.0.0.9"  # where nobody listens


class Pebble:
    """Validates at `http_port` and `tls_port` of 127.0.0.1, whatever name it is asked about. `ca` is the file of the
    authority that vouches for pebble itself; `root()` is the one whose certificates it issues, another with each start.

    `validity`: seconds that its certificates are good for. `bad_nonces`: how many of a hundred requests are refused for
    nothing. `ahead`: of its own certificate's time, for programs with another clock.
    """

    def __init__(
        self,
        directory: Path,
        *,
        validity: int = 90 * 86400,
        bad_nonces: int = 0,
        reuse: int = 0,
        ahead: timedelta = timedelta(0),
    ) -> None:
        self.directory = directory / "pebble"
        self.directory.mkdir()
        self.http_port, self.tls_port = free_port(), free_port()
        self.port, self._management, self._dns, self._dns_management = (free_port() for _ in range(4))
        self.ca = self.directory / "ca.pem"
        self._environ = {
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": str(bad_nonces),
            "PEBBLE_AUTHZREUSE": str(reuse),
        }
        self._certify(datetime.now(timezone.utc) + ahead)
        self._configuration = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(self.directory / "cert.pem"),
            "privateKey": str(self.directory / "key.pem"),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "certificateValidityPeriod": validity,
        }
        self._starts = 0
        self._names = Process("challtestsrv", [
            "pebble-challtestsrv", "-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "",
            "-dns01", f"127.0.0.1:{self._dns}", "-management", f"127.0.0.1:{self._dns_management}",
        ], self.directory)  # fmt: skip
        self.process = self._start()
        eventually(lambda: listening(self._dns_management), "pebble's DNS listens", self._names)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/dir"

    @property
    def output(self) -> str:
        return self.process.output

    def flags(self, *names: str, url: str = "", ca: Path | None = None) -> list[str]:
        """For the server: what differs from production, and the names."""
        return [
            "--letsencrypt-issuer", url or self.url, "--letsencrypt-ca", str(ca or self.ca),
            *(f"--letsencrypt-domain={name}" for name in names),
        ]  # fmt: skip

    def root(self) -> str:
        """The authority (PEM) behind what pebble issues."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        url = f"https://127.0.0.1:{self._management}/roots/0"
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            return str(answer.read().decode("ascii"))

    def point(self, name: str, address: str) -> None:
        """What the DNS says of a name; without this, that it is here."""
        body = json.dumps({"host": f"{name}.", "addresses": [address]}).encode()
        for action in ("clear-a", "add-a"):
            urllib.request.urlopen(f"http://127.0.0.1:{self._dns_management}/{action}", body, timeout=10).close()

    def restart(self, **environ: str) -> None:
        """Pebble keeps nothing: accounts, orders and its authorities are gone."""
        self.process.stop()
        self._environ |= environ
        self.process = self._start()

    def close(self) -> None:
        self.process.stop()
        self._names.stop()

    def _start(self) -> Process:
        self._starts += 1
        path = self.directory / "pebble.json"
        path.write_text(json.dumps({"pebble": self._configuration}))
        command = ["pebble", "-config", str(path), "-dnsserver", f"127.0.0.1:{self._dns}", "-strict"]
        process = Process(f"pebble-{self._starts}", command, self.directory, self._environ)
        eventually(lambda: listening(self.port) and listening(self._management), "pebble listens", process)
        return process

    def _certify(self, now: datetime) -> None:
        authority = new_authority(now)
        pair = issue_server(authority, [parse_name("127.0.0.1")], now)
        pem = serialization.Encoding.PEM
        key = pair.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.ca.write_bytes(authority.certificate.public_bytes(pem))
        (self.directory / "cert.pem").write_bytes(pair.certificate.public_bytes(pem))
        (self.directory / "key.pem").write_bytes(key)
