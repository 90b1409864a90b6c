"""The client's way out: through a proxy where one is set, TLS, and the WebSocket upgrade (RFC 6455 4.1)."""

from __future__ import annotations

import base64
import math
import os
import ssl
import time
from collections.abc import Callable

from appliance.transport import proxy, reach
from appliance.transport.connection import Connection, TimedOut
from appliance.transport.tls import TlsConnection, client_context
from appliance.wire import http1
from appliance.wire.address import ServerUrl
from appliance.wire.chunked import ChunkedDecoder, ChunkedError
from appliance.wire.digests import sha1
from appliance.wire.messages import PROTOCOL

CONNECT_SECONDS = 10.0
UPGRADE_SECONDS = 15.0  # a server slows wrong tokens down by up to ten seconds
REASON_SECONDS = 2.0  # for the text of a refusal
MAX_BODY_BYTES = 65536

_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Refused(ConnectionError):
    """The server answered the upgrade with something else than 101."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Untrusted(ConnectionError):
    """The server's certificate is not one to be trusted. `code`: OpenSSL's, of what is wrong with it."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Dialer:
    """Opens WebSocket connections to one server. The name is looked up anew each time."""

    def __init__(
        self,
        url: ServerUrl,
        token: str,
        context: ssl.SSLContext | None,
        before_token: Callable[[], None] | None = None,
    ) -> None:
        """`context`: None for plain `ws://`.

        `before_token` is called when the server has proved by TLS who it is; if it raises, the token is not sent.
        """
        self.url = url
        self._before_token = before_token
        self._token = token
        self._context = context
        self._tls_session: ssl.SSLSession | None = None

    @property
    def plain(self) -> bool:
        return self._context is None

    def use_token(self, token: str) -> None:
        """From now on, connect with this one."""
        self._token = token

    def forget(self) -> None:
        """Start the next TLS session anew, as after a server's restart."""
        self._tls_session = None

    def open(self, path: str, fields: dict[str, str] | None = None) -> tuple[Connection, bytes]:
        """A connection upgraded at `path`, with more header fields, and what the server sent right behind its answer.

        Raises Refused, Untrusted or an OSError.
        """
        connection = connect(self.url, self._context, self._tls_session)
        try:
            if self._before_token is not None:
                self._before_token()
            early = self._upgrade(connection, path, fields or {})
        except BaseException:
            connection.close()
            raise
        connection.deadline = math.inf
        if isinstance(connection, TlsConnection) and self._tls_session is None:
            self._tls_session = connection.session
        return connection, early

    def _upgrade(self, connection: Connection, path: str, fields: dict[str, str]) -> bytes:
        connection.deadline = time.monotonic() + UPGRADE_SECONDS
        key = base64.b64encode(os.urandom(16))
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {self.url.host_field}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key.decode()}",
            f"Sec-WebSocket-Protocol: {PROTOCOL}",
            f"Authorization: Bearer {self._token}",
            *(f"{name}: {value}" for name, value in fields.items()),
        ]
        connection.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head, body = _read_head(connection, b"GET")
        if head.status != 101:
            raise Refused(head.status, _one_line(connection, head, body))
        accepted = http1.field_value(head.lines, b"sec-websocket-accept")
        if accepted != base64.b64encode(sha1(key + _WEBSOCKET_GUID, usedforsecurity=False).digest()):
            raise Refused(101, "what answers there is not a WebSocket server")
        if http1.field_value(head.lines, b"sec-websocket-protocol") != PROTOCOL.encode():
            raise Refused(101, f"the server does not speak {PROTOCOL}: update it")
        return body


def connect(url: ServerUrl, context: ssl.SSLContext | None, session: ssl.SSLSession | None = None) -> Connection:
    """A connection to the server, through a proxy where the environment names one, TLS included."""
    plain = _reach(url)
    if context is None:
        return plain
    connection = TlsConnection(plain.detach(), plain.peer, context, server_name=url.host, session=session)
    connection.deadline = time.monotonic() + CONNECT_SECONDS
    try:
        connection.handshake()
    except ssl.SSLCertVerificationError as error:
        connection.close()
        text = f"the certificate of {url.authority} is not trusted: {error.verify_message.rstrip('.')}"
        raise Untrusted(text, error.verify_code) from None
    except ssl.SSLError as error:
        connection.close()
        reason = (error.reason or "the handshake failed").replace("_", " ").lower()
        raise ConnectionResetError(f"{url.authority} does not speak TLS as expected ({reason})") from None
    except BaseException:
        connection.close()
        raise
    return connection


def _reach(url: ServerUrl) -> Connection:
    setting = proxy.setting_for(url)
    if setting is not None:
        return proxy.through(setting, url, CONNECT_SECONDS)
    try:
        return reach.tcp(url.host, url.port, CONNECT_SECONDS)
    except TimedOut:
        raise ConnectionError(f"{url.authority} did not answer within {CONNECT_SECONDS:g} seconds") from None


def fetch_ca(url: ServerUrl) -> str:
    """The PEM text of the authority that the server says it uses. Whoever answers is believed: check what it is.

    Raises Refused or an OSError.
    """
    connection = connect(url, client_context(None, verify=False))
    try:
        connection.deadline = time.monotonic() + UPGRADE_SECONDS
        connection.write(
            f"GET /.well-known/ca.crt HTTP/1.1\r\nHost: {url.host_field}\r\nConnection: close\r\n\r\n".encode()
        )
        head, body = _read_head(connection, b"GET")
        if head.status == 403:  # who asks is not let in (--allow-ips): this says nothing of authorities
            raise Refused(head.status, _one_line(connection, head, body))
        body = _rest(connection, head, body)
    finally:
        connection.close()
    if head.status != 200 or b"BEGIN CERTIFICATE" not in body:
        raise Refused(head.status, f"{url.authority} offers no authority of its own")
    return body.decode("ascii", "replace")


def find_ca(url: ServerUrl) -> str | None:
    """`fetch_ca`; None where the server has no authority of its own, so that public ones must vouch for it."""
    try:
        return fetch_ca(url)
    except Refused as error:
        if error.status != 404:
            raise
        return None


def _read_head(connection: Connection, method: bytes) -> tuple[http1.ResponseHead, bytes]:
    data = b""
    while True:
        if not (data.startswith(b"HTTP/1.") or b"HTTP/1.".startswith(data)):
            raise Refused(0, "what answers there does not speak HTTP")
        try:
            head = http1.parse_response(data, method)
        except http1.HeadError:
            raise Refused(0, "what answers there does not speak HTTP") from None
        if head is not None:
            data = data[head.end :]
            if head.status >= 200 or head.status == 101:
                return head, data
            continue  # an interim answer: the real one follows
        more = bytes(connection.read())
        if not more:
            raise ConnectionResetError("the connection ended before the server answered")
        data += more


def _rest(connection: Connection, head: http1.ResponseHead, data: bytes, most: int = MAX_BODY_BYTES) -> bytes:
    """The body, which begins with `data`, up to `most` bytes."""
    chunks = ChunkedDecoder() if head.length == http1.CHUNKED else None
    wanted = min(head.length, most) if head.length >= 0 else most
    body = b""
    while True:
        if chunks is None:
            body += data
        else:
            try:
                body += b"".join(chunks.feed(memoryview(data))[0])
            except ChunkedError:
                raise Refused(0, "what answers there does not speak HTTP") from None
        if len(body) >= wanted or (chunks is not None and chunks.done):
            return body[:wanted]
        data = bytes(connection.read())
        if not data:
            return body


def _one_line(connection: Connection, head: http1.ResponseHead, body: bytes) -> str:
    """What a refusing server says, fit for a log."""
    connection.deadline = time.monotonic() + REASON_SECONDS
    try:
        text = _rest(connection, head, body, 512).decode("utf-8", "replace").strip()
    except OSError:
        text = ""
    line = "".join(c for c in text.partition("\n")[0] if c.isprintable())[:200]
    return line if line and "<" not in line else f"HTTP status {head.status}"
