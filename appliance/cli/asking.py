"""Requests to a control plane. Plain blocking sockets: a command that ends at once needs no gevent."""

import contextlib
import http.client
import json
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import click

from appliance.certificates.trust import CA_PATH, Distrusted, Trust
from appliance.cli.proxied import ProxyFailed, ThroughProxy
from appliance.cli.terminal import doing
from appliance.config.trust import TrustOptions
from appliance.wire.address import ServerUrl

WAIT_SECONDS = 10.0
ANSWER_SECONDS = 30.0  # for all of an answer, however it drips
MAX_ANSWER_BYTES = 16 << 20
MOST_SAID = 500  # letters of a refusal
CONTROL_PLANE = "--url must name the control plane of a server: its port is 8123 unless changed"
FOR_CLIENTS = "this token lets a client connect"  # how servers begin to refuse a client's token


class StatusError(click.ClickException):
    """The server cannot be reached, or is none. `what` has happened, and the `fix`, if one is known."""

    exit_code = 1

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(f"{what}; {fix}" if fix else what)
        self.what = what
        self.fix = fix


class Silent(StatusError):
    """It has let its time pass."""


class Untrusted(StatusError):
    """It is not the server that it should be. What happened says also what to do."""


class ProxyRefused(StatusError):
    """Nothing is known of the server: the proxy on the way does not lead there."""


class TokenRefused(StatusError):
    exit_code = 3


class Answer(NamedTuple):
    status: int
    fields: http.client.HTTPMessage
    body: bytes

    @property
    def date(self) -> datetime | None:
        """The server's time."""
        try:
            return parsedate_to_datetime(self.fields["Date"])
        except (TypeError, ValueError):
            return None

    @property
    def said(self) -> str:
        """Why not, in one line: of a problem detail, or of a text."""
        try:
            found = json.loads(self.body)
            text = found["detail"] if isinstance(found, dict) else ""
        except (ValueError, KeyError):
            text = self.body.decode("utf-8", "replace")
        return "".join(sign for sign in str(text).strip().partition("\n")[0] if sign.isprintable())[:MOST_SAID]

    def now(self) -> datetime:
        """The server's time, else ours: ages are told by one clock."""
        return self.date or datetime.now(timezone.utc)


class Request(NamedTuple):
    """`body`: JSON."""

    method: str
    path: str
    token: str | None = None
    body: bytes | None = None

    @property
    def fields(self) -> dict[str, str]:
        fields = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return fields if self.body is None else {**fields, "Content-Type": "application/json"}


class Asking:
    """Asks a control plane that is trusted as a client trusts it, through a proxy where a client would. Raises
    StatusError.

    `keep`: the connection, for the next request, until `close`. `wait_seconds`: for each step. `looks`: it only looks,
    and remembers no server; `stranger` is then what a client would remember of one that nothing vouches for, and such
    a server must not get the token. `handshake`: what TLS has shown of the last one.
    """

    def __init__(
        self, url: ServerUrl, options: TrustOptions, keep: bool = False, wait_seconds: float = 0, looks: bool = False
    ) -> None:
        self._url = url
        self._trust = None if url.scheme == "ws" else Trust(options, url, os.environ, _note)
        self._keep = keep
        self._looks = looks
        self._wait_seconds = wait_seconds or WAIT_SECONDS
        self._kept: http.client.HTTPConnection | None = None
        self.stranger: str | None = None  # SHA-256 of its authority
        self.handshake: tuple[str, str] = "", ""  # the version of TLS, and until when the certificate is good

    def get(self, path: str, token: str | None) -> Answer:
        request = Request("GET", path, token)
        connection, self._kept = self._kept, None
        if connection is not None:
            try:
                return self._get(request, connection)
            except Silent:
                raise
            except StatusError:
                pass  # it was closed in the meantime: open another
        return self.send(request)

    def send(self, request: Request) -> Answer:
        """Over a connection of its own: what changes something is not sent twice."""
        trust = self._trust
        with doing(f"asking {self._url}"):
            if trust is None:
                return self._get(request, self._plain())
            try:
                authorities = trust.decide(self._shown() if trust.asks else None)
                self.stranger = trust.stranger if self._looks else None
                if self.stranger is not None:
                    request = request._replace(token=None)
                before_token = None if self._looks else trust.remember
                return self._get(request, self._secure(trust.verifies, authorities), before_token)
            except Distrusted as error:
                raise Untrusted(str(error)) from None

    def close(self) -> None:
        connection, self._kept = self._kept, None
        if connection is not None:
            connection.close()

    def _shown(self) -> str | None:
        """The authority that the server shows to all who ask; None where it has none of its own."""
        keep, self._keep = self._keep, False  # its connection is to one that nobody has verified yet
        try:
            answer = self._get(Request("GET", CA_PATH), self._secure(verified=False))
        finally:
            self._keep = keep
        code = answer.status
        if code not in (200, 404):
            raise StatusError(f"{self._url} answers {code} to {CA_PATH}", CONTROL_PLANE)
        return answer.body.decode("latin-1") if code == 200 else None

    def _plain(self) -> http.client.HTTPConnection:
        return self._way(None)

    def _secure(self, verified: bool, authorities: str | None = None) -> http.client.HTTPConnection:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif authorities is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=authorities)
        return self._way(context)

    def _way(self, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
        host, port = self._url.host, self._url.port
        if any(name.lower() in ("https_proxy", "http_proxy", "all_proxy") for name in os.environ):
            from appliance.transport import proxy  # here, for it brings gevent along

            try:
                setting = proxy.setting_for(self._url)
            except ConnectionError as error:
                raise ProxyRefused(str(error), "write HTTPS_PROXY=http://host:port") from None
            if setting is not None:
                if setting.scheme != "http" or not setting.hostname:
                    shown = f"{setting.scheme}://{setting.hostname or ''}"
                    raise ProxyRefused(f"the proxy {shown} cannot be used", "write HTTPS_PROXY=http://host:port")
                place = (setting.hostname, setting.port or 80)
                return ThroughProxy(place, proxy.credentials(setting), self._url, context)
        if context is None:
            return http.client.HTTPConnection(host, port)
        return http.client.HTTPSConnection(host, port, context=context)

    def _get(
        self,
        request: Request,
        connection: http.client.HTTPConnection,
        before_token: Callable[[], None] | None = None,
    ) -> Answer:
        connection.timeout = self._wait_seconds
        limit = threading.Timer(ANSWER_SECONDS, _cut_off, (connection,))
        limit.daemon = True
        limit.start()
        try:
            if connection.sock is None:
                connection.connect()
                self._look(connection.sock)
            if before_token is not None:
                before_token()
            ending = {} if self._keep else {"Connection": "close"}
            connection.request(request.method, request.path, request.body, {**ending, **request.fields})
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read(MAX_ANSWER_BYTES))
            if answer.status == 403:
                if answer.said.startswith(FOR_CLIENTS):
                    raise TokenRefused(f"{self._url}: {answer.said}")
                raise StatusError(f"{self._url} does not let this address in", "see --allow-ips of the server")
            if self._keep and connection.sock is not None:
                self._kept = connection
            return answer
        except Distrusted:
            raise
        except ProxyFailed as error:
            fix = f"check HTTPS_PROXY; NO_PROXY={self._url.host} goes there without it"
            raise ProxyRefused(f"{self._url} cannot be reached: {error}", fix) from None
        except (OSError, http.client.HTTPException) as error:
            kind = Silent if isinstance(error, TimeoutError) else StatusError
            raise kind(*_explained(error, self._url, self._trust, self._wait_seconds)) from None
        finally:
            limit.cancel()
            if self._kept is not connection:
                connection.close()

    def _look(self, sock: socket.socket | None) -> None:
        if isinstance(sock, ssl.SSLSocket):
            shown = sock.getpeercert() or {}
            self.handshake = sock.version() or "", str(shown.get("notAfter", ""))


def _cut_off(connection: http.client.HTTPConnection) -> None:
    """End who reads from it."""
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _note(level: int, text: str) -> None:
    click.echo(f"{'Warning: ' if level >= logging.WARNING else ''}{text}", err=True)


def _explained(
    error: OSError | http.client.HTTPException, url: ServerUrl, trust: Trust | None, wait_seconds: float
) -> tuple[str, str]:
    """What has happened, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError) and trust is not None:
        advice = trust.advice(error.verify_code)
        return f"the certificate of {url} cannot be trusted: {error.verify_message}", advice
    if isinstance(error, ssl.SSLError):
        fix = f"--url must name the control port; for a server with --auto-tls=false write ws://{url.authority}"
        return f"{url} does not speak TLS", fix
    if isinstance(error, TimeoutError):
        fix = "check --url, whether the server runs, and whether a firewall lets this port through"
        return f"{url} does not answer within {wait_seconds:g} seconds", fix
    if isinstance(error, OSError) and not isinstance(error, ConnectionResetError):
        return f"{url} cannot be reached: {error.strerror or error}", "check --url and whether the server runs"
    hint = f"if it uses TLS, write wss://{url.authority}" if url.scheme == "ws" else CONTROL_PLANE
    return f"{url} does not answer as a web server does", hint
