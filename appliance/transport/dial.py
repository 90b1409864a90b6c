"""The client's way out: through a proxy where one is set, TLS, and the WebSocket upgrade (RFC 6455 4.1)."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import ssl
import time
from typing import TYPE_CHECKING, Any

from gevent import socket as gevent_socket

from appliance.transport.connection import Connection, peer_name, tune
from appliance.transport.tls import TlsConnection, client_context
from appliance.wire import http1
from appliance.wire.address import ServerUrl, join_host_port
from appliance.wire.messages import PROTOCOL

if TYPE_CHECKING:
    from urllib.parse import SplitResult

CONNECT_SECONDS = 10.0
UPGRADE_SECONDS = 15.0  # a server slows wrong tokens down by up to ten seconds

_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Refused(ConnectionError):
    """The server answered the upgrade with something else than 101."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Untrusted(ConnectionError):
    """The server's certificate is not one to be trusted."""


class Dialer:
    """Opens WebSocket connections to one server. The name is looked up anew each time."""

    def __init__(self, url: ServerUrl, token: str, context: ssl.SSLContext | None) -> None:
        """`context`: None for plain `ws://`."""
        self.url = url
        self._token = token
        self._context = context
        self._tls_session: ssl.SSLSession | None = None

    @property
    def plain(self) -> bool:
        return self._context is None

    def forget(self) -> None:
        """Start the next TLS session anew, as after a server's restart."""
        self._tls_session = None

    def open(self, path: str, fields: dict[str, str] | None = None) -> tuple[Connection, bytes]:
        """A connection upgraded at `path`, with more header fields, and what the server sent right behind its answer.

        Raises Refused, Untrusted or an OSError.
        """
        connection = connect(self.url, self._context, self._tls_session)
        try:
            early = self._upgrade(connection, path, fields or {})
        except BaseException:
            connection.close()
            raise
        connection.deadline = float("inf")
        if isinstance(connection, TlsConnection) and self._tls_session is None:
            self._tls_session = connection.session
        return connection, early

    def _upgrade(self, connection: Connection, path: str, fields: dict[str, str]) -> bytes:
        connection.deadline = time.monotonic() + UPGRADE_SECONDS
        key = base64.b64encode(os.urandom(16))
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {self.url.authority}",
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
        if accepted != base64.b64encode(hashlib.sha1(key + _WEBSOCKET_GUID, usedforsecurity=False).digest()):
            raise Refused(101, "what answers there is not a WebSocket server")
        if http1.field_value(head.lines, b"sec-websocket-protocol") != PROTOCOL.encode():
            raise Refused(101, f"the server does not speak {PROTOCOL}: update it")
        return body


def connect(url: ServerUrl, context: ssl.SSLContext | None, session: ssl.SSLSession | None = None) -> Connection:
    """A connection to the server, through a proxy where the environment names one, TLS included."""
    sock = _reach(url)
    peer = peer_name(sock.getpeername())
    if context is None:
        return Connection(sock, peer)
    connection = TlsConnection(sock, peer, context, server_name=url.host, session=session)
    connection.deadline = time.monotonic() + CONNECT_SECONDS
    try:
        connection.handshake()
    except ssl.SSLCertVerificationError as error:
        connection.close()
        raise Untrusted(f"the certificate of {url.authority} is not trusted: {error.verify_message}") from None
    except ssl.SSLError as error:
        connection.close()
        reason = (error.reason or "the handshake failed").replace("_", " ").lower()
        raise ConnectionResetError(f"{url.authority} does not speak TLS as expected ({reason})") from None
    except BaseException:
        connection.close()
        raise
    return connection


def fetch_ca(url: ServerUrl) -> str:
    """The PEM text of the authority that the server says it uses. Whoever answers is believed: check what it is.

    Raises Refused or an OSError.
    """
    connection = connect(url, client_context(None, verify=False))
    try:
        connection.deadline = time.monotonic() + UPGRADE_SECONDS
        connection.write(
            f"GET /.well-known/ca.crt HTTP/1.1\r\nHost: {url.authority}\r\nConnection: close\r\n\r\n".encode()
        )
        head, body = _read_head(connection, b"GET")
        body = _rest(connection, head, body)
    finally:
        connection.close()
    if head.status != 200 or b"BEGIN CERTIFICATE" not in body:
        raise Refused(head.status, f"{url.authority} offers no authority of its own")
    return body.decode("ascii", "replace")


def _read_head(connection: Connection, method: bytes) -> tuple[http1.ResponseHead, bytes]:
    data = b""
    while True:
        try:
            head = http1.parse_response(data, method)
        except http1.HeadError:
            raise Refused(0, "what answers there does not speak HTTP") from None
        if head is not None:
            return head, data[head.end :]
        more = bytes(connection.read())
        if not more:
            raise ConnectionResetError("the connection ended before the server answered")
        data += more


def _rest(connection: Connection, head: http1.ResponseHead, body: bytes, most: int = 65536) -> bytes:
    """The body as far as it is short and of known length, or ends with the connection."""
    wanted = head.length if head.length >= 0 else most
    while len(body) < min(wanted, most):
        more = bytes(connection.read())
        if not more:
            break
        body += more
    return body


def _one_line(connection: Connection, head: http1.ResponseHead, body: bytes) -> str:
    """What a refusing server says, fit for a log."""
    text = _rest(connection, head, body, 512).decode("utf-8", "replace").strip()
    line = "".join(c for c in text.partition("\n")[0] if c.isprintable())[:200]
    return line if line and "<" not in line else f"HTTP status {head.status}"


# Proxies


def _reach(url: ServerUrl) -> Any:
    proxy = _proxy_for(url)
    try:
        if proxy is None:
            sock = gevent_socket.create_connection((url.host, url.port), timeout=CONNECT_SECONDS)
        else:
            sock = _through(proxy, url)
        tune(sock)
    except TimeoutError:
        raise ConnectionError(f"{url.authority} did not answer within {CONNECT_SECONDS:g} seconds") from None
    return sock


def _proxy_for(url: ServerUrl) -> SplitResult | None:
    """The proxy that HTTPS_PROXY (HTTP_PROXY for ws://) and NO_PROXY give for this server."""
    try:
        if ipaddress.ip_address(url.host).is_loopback:
            return None
    except ValueError:
        if url.host == "localhost":
            return None
    if not any(name.lower() in ("https_proxy", "http_proxy", "all_proxy") for name in os.environ):
        return None
    import urllib.parse  # here, for they bring an HTTP client of their own along: a megabyte that few need
    import urllib.request

    proxies = urllib.request.getproxies_environment()
    text = proxies.get("https" if url.scheme == "wss" else "http") or proxies.get("all")
    if not text or urllib.request.proxy_bypass_environment(url.host, proxies):
        return None
    return urllib.parse.urlsplit(text if "://" in text else f"http://{text}")


def _through(proxy: SplitResult, url: ServerUrl) -> Any:
    """A socket to the server through an HTTP proxy's CONNECT (RFC 9110 9.3.6)."""
    from urllib.parse import unquote

    if proxy.scheme not in ("http", "https") or not proxy.hostname:
        raise ConnectionError(f"the proxy setting {proxy.scheme}://{proxy.hostname} is not http:// or https://")
    port = proxy.port or (443 if proxy.scheme == "https" else 80)
    where = join_host_port(proxy.hostname, port)
    try:
        sock: Any = gevent_socket.create_connection((proxy.hostname, port), timeout=CONNECT_SECONDS)
    except OSError as error:
        raise ConnectionError(f"the proxy {where} was not reached: {error.strerror or error}") from None
    try:
        if proxy.scheme == "https":
            raise ConnectionError(f"the proxy {where}: https:// proxies are not spoken, http:// ones are")
        fields = ""
        if proxy.username is not None:
            pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            fields = f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"
        sock.sendall(f"CONNECT {url.authority} HTTP/1.1\r\nHost: {url.authority}\r\n{fields}\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(1)  # not one byte of what follows the head may be taken
            if not more or len(data) > 16384:
                raise ConnectionError(f"the proxy {where} gave no answer that is understood")
            data += more
        status = data.split(b" ", 2)[1:2]
        if not status or not status[0].startswith(b"2"):
            shown = status[0].decode("ascii", "replace") if status else "nothing"
            raise ConnectionError(f"the proxy {where} answered {shown} to CONNECT {url.authority}")
    except BaseException:
        sock.close()
        raise
    return sock
