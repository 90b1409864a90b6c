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
from appliance.cli.terminal import doing
from appliance.config.trust import TrustOptions
from appliance.wire.address import ServerUrl

WAIT_SECONDS = 10.0
ANSWER_SECONDS = 30.0  # for all of an answer, however it drips
MAX_ANSWER_BYTES = 16 << 20
MOST_SAID = 500  # letters of a refusal
FOR_CLIENTS = "this token lets a client connect"  # how servers begin to refuse a client's token


class StatusError(click.ClickException):
    """The server cannot be reached, or is none."""

    exit_code = 1


class Silent(StatusError):
    """It has let its time pass."""


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

    `keep`: the connection, for the next request, until `close`. `wait_seconds`: for each step. `handshake`: what TLS
    has shown of the last one.
    """

    def __init__(self, url: ServerUrl, options: TrustOptions, keep: bool = False, wait_seconds: float = 0) -> None:
        self._url = url
        self._trust = None if url.scheme == "ws" else Trust(options, url, os.environ, _note)
        self._keep = keep
        self._wait_seconds = wait_seconds or WAIT_SECONDS
        self._kept: http.client.HTTPConnection | None = None
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
                return self._get(request, self._secure(trust.verifies, authorities), trust.remember)
            except Distrusted as error:
                raise StatusError(str(error)) from None

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
            raise StatusError(f"{self._url} answers {code} to {CA_PATH}: --url must name the control plane of a server")
        return answer.body.decode("latin-1") if code == 200 else None

    def _plain(self) -> http.client.HTTPConnection:
        return self._by_proxy(http.client.HTTPConnection(self._url.host, self._url.port))

    def _secure(self, verified: bool, authorities: str | None = None) -> http.client.HTTPConnection:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif authorities is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=authorities)
        return self._by_proxy(http.client.HTTPSConnection(self._url.host, self._url.port, context=context))

    def _by_proxy(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
        if any(name.lower() in ("https_proxy", "http_proxy", "all_proxy") for name in os.environ):
            from appliance.transport import proxy  # here, for it brings gevent along

            try:
                setting = proxy.setting_for(self._url)
            except ConnectionError as error:
                raise StatusError(str(error)) from None
            if setting is not None and setting.hostname:
                connection.set_tunnel(self._url.host, self._url.port, proxy.credentials(setting))
                connection.host, connection.port = setting.hostname, setting.port or 80
        return connection

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
                raise StatusError(f"{self._url} does not let this address in: see --allow-ips of the server")
            if self._keep and connection.sock is not None:
                self._kept = connection
            return answer
        except Distrusted:
            raise
        except (OSError, http.client.HTTPException) as error:
            kind = Silent if isinstance(error, TimeoutError) else StatusError
            raise kind(_explained(error, self._url, self._trust, self._wait_seconds)) from None
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
) -> str:
    if isinstance(error, ssl.SSLCertVerificationError) and trust is not None:
        advice = trust.advice(error.verify_code)
        return f"the certificate of {url} cannot be trusted: {error.verify_message}; {advice}"
    if isinstance(error, ssl.SSLError):
        return f"{url} does not speak TLS: for a server with --auto-tls=false write ws://{url.authority}"
    if isinstance(error, TimeoutError):
        return f"{url} does not answer within {wait_seconds:g} seconds: check --url and firewalls"
    if isinstance(error, OSError) and not isinstance(error, ConnectionResetError):
        return f"{url} cannot be reached: {error.strerror or error}; check --url and whether the server runs"
    hint = f"; if it uses TLS, write wss://{url.authority}" if url.scheme == "ws" else ""
    return f"{url} does not answer as a web server does{hint}"
