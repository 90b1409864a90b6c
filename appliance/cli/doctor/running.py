"""The server that runs on this machine with a configuration, if one does."""

import hashlib
import http.client
import os
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from appliance.certificates.trust import CA_PATH
from appliance.cli.asking import Asking, StatusError
from appliance.cli.doctor.findings import ERROR, OK, WARNING, Finding
from appliance.cli.status import decoded
from appliance.config.build import full_version
from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.options import ConfigError
from appliance.config.secrets import find_token
from appliance.config.trust import TrustOptions
from appliance.wire.address import ServerUrl

if TYPE_CHECKING:
    from appliance.cli.doctor.server import Place

WAIT_SECONDS = 3.0
_EVERYWHERE = ("", "0.0.0.0", "::")


@dataclass
class Running:
    """`here`: whether it runs. `mark`: SHA-256 of what its control plane shows to all, else ""."""

    config: ControlPlaneOptions
    here: bool = False
    mark: str = ""
    findings: list[Finding] = field(default_factory=list)

    def is_it(self, name: str, place: "Place") -> bool:
        """Whether who connects there gets to it. Of the visitors' ports only that somebody answers can be told."""
        if place.port != self.config.control_port:
            try:
                socket.create_connection((name, place.port), WAIT_SECONDS).close()
            except (OSError, UnicodeError):
                return False
            return True
        status, body = ask(name, place.port, self.config.tls, CA_PATH)
        return status in (200, 404) and mark_of(body if status == 200 else b"") == self.mark


def find(config: ControlPlaneOptions) -> Running:
    running = Running(config)
    host = "127.0.0.1" if config.control_addr in _EVERYWHERE else config.control_addr
    status, _ = ask(host, config.control_port, config.tls, "/healthz")
    if not config.control_port or status == 0:
        return running
    if status != 200:
        text = f"what answers at the control port is no server of sluice (status {status})"
        running.findings.append(Finding("running", WARNING, text, "stop it, or choose another --control-port"))
        return running
    running.here = True
    status, body = ask(host, config.control_port, config.tls, CA_PATH)
    running.mark = mark_of(body if status == 200 else b"")
    running.findings += _told(config, host, running.mark)
    return running


def _told(config: ControlPlaneOptions, host: str, mark: str) -> list[Finding]:
    """What it says of itself, if it can be told safely that it is ours."""
    here = Finding("running", OK, "this server runs")
    if config.tls and mark != _own_mark(config):
        return [here]  # its certificate is for its public name, which is not what we ask for, or it may be another's
    options = TrustOptions(ca_fingerprint=mark) if mark else TrustOptions()
    url = ServerUrl("wss" if config.tls else "ws", host, config.control_port)
    try:
        token = find_token(config, os.environ)
        if token is None:
            return [here]
        answer = Asking(url, options, wait_seconds=WAIT_SECONDS).get("/status", token)
        if answer.status == 401:
            text = "the server that runs refuses this token"
            return [here, Finding("running", ERROR, text, "it was started with another one: reload it with SIGHUP")]
        info = decoded(answer.body, url)["info"]
    except (StatusError, ConfigError) as error:
        text = getattr(error, "message", None) or str(error)
        return [here, Finding("running", WARNING, text, "the log of the server says more")]
    version = f"{info.get('version')} {info.get('sha')}"
    if version != full_version():
        text = f"it is {version}, and installed is {full_version()}"
        return [here, Finding("running", WARNING, text, "restart it: systemctl restart sluice-server")]
    return [here]


def _own_mark(config: ControlPlaneOptions) -> str | None:
    """Of the authority that is kept here for it; None where none can be read."""
    from appliance.certificates.authority import state_directory
    from appliance.cli.certificates import authority_in

    try:
        found = authority_in(state_directory(config.auto_tls_path, os.environ))
    except (OSError, ConfigError, click.ClickException):
        return None
    return found["fingerprint"] if found is not None else None


def ask(host: str, port: int, tls: bool, path: str) -> tuple[int, bytes]:
    """Status and body; 0 where nobody answers. Nobody is trusted, so nothing secret is sent."""
    connection: http.client.HTTPConnection
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=WAIT_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=WAIT_SECONDS)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read(1 << 16)
    except (OSError, http.client.HTTPException, UnicodeError):
        return 0, b""
    finally:
        connection.close()


def mark_of(pem: bytes) -> str:
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))).hexdigest()
    except ValueError:
        return ""
