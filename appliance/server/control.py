"""The control plane's listener: gevent pywsgi with gevent-websocket's handler, over connections of our own.

gevent-websocket performs the upgrade and nothing else: its frame code unmasks byte by byte and knows no size limit,
so after the 101 the connection is taken from it. The token is checked before the upgrade, so that a stranger gets
a real 401.
"""

from __future__ import annotations

import io
import logging
import re
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler

from appliance.server.access import Strangers, TokenGuard
from appliance.server.registry import Registry
from appliance.transport import tasks
from appliance.transport.connection import Connection, peer_name
from appliance.transport.listener import EXHAUSTED, PAUSE_SECONDS
from appliance.transport.tls import NotTls, TlsConnection
from appliance.tunnel.addresses import Admission
from appliance.tunnel.carrier import Dial
from appliance.tunnel.counters import ControlCounters
from appliance.tunnel.session import Session
from appliance.wire.messages import PROTOCOL

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_NO_TLS = b"400 This port speaks TLS: write https://, or wss:// for clients.\n"
PLAIN_TO_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_NO_TLS), _NO_TLS)
)
# Strangers may open connections and say nothing; each costs a descriptor for REQUEST_SECONDS.
MOST_UNKNOWN = 512
REQUEST_SECONDS = 30.0  # for the handshake and request of one control connection, and between two requests

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_websocket_key = re.compile(r"[A-Za-z0-9+/]{22}==").fullmatch

log = logging.getLogger("sluice.control")


class SocketView(io.RawIOBase):
    """A Connection as pywsgi wants it: a socket's `recv` and `sendall`, and a file to read lines from."""

    def __init__(self, connection: Connection, early: bytes = b"") -> None:
        """`early`: what has been read from it already."""
        self._connection: Connection | None = connection
        self._held = early

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def recv(self, size: int) -> bytes:
        data = self._held
        if not data and self._connection is not None:
            data = bytes(self._connection.read())
        self._held = data[size:]
        return data[:size]

    def sendall(self, data: bytes) -> None:
        assert self._connection is not None, "the connection has been taken over"
        self._connection.deadline = time.monotonic() + REQUEST_SECONDS
        self._connection.write(data)

    def makefile(self, mode: str, size: int = -1) -> io.BufferedReader:
        return io.BufferedReader(self)

    def fileno(self) -> int:
        return -1 if self._connection is None else self._connection.fileno()

    def detach(self) -> Connection:
        """Take the connection away; what pywsgi does afterwards has no effect on it."""
        connection, self._connection = self._connection, None
        assert connection is not None
        return connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        super().close()


class ControlHandler(WebSocketHandler):
    """One control connection's requests."""

    server: ControlServer
    admitted = False  # its address has been looked at elsewhere

    def run_websocket(self) -> None:
        """The 101 is sent: hand the connection on, and let this greenlet end."""
        # gevent-websocket's own object is of no use, and would write a farewell when it is collected.
        self.websocket.closed = True
        del self.websocket, self.environ["wsgi.websocket"]
        connection = self.socket.detach()
        if self.rfile.peek(1):  # what came too early: nothing is read from a socket that was detached
            log.info("client %s spoke before its upgrade was answered", connection.peer)
            connection.close()
        else:
            self.server.take_over(self.environ, connection)

    def log_request(self) -> None:
        log.debug("%s %r %s", self.client_address[0], self.requestline, self.status)

    def _handle_client_error(self, error: Any) -> Any:
        """Strangers send anything: no traceback for that, and nothing where the connection has ended."""
        if isinstance(error, OSError):
            return None
        log.debug("%s sent what is no request: %r", self.client_address[0], error)
        return "400", BAD_REQUEST

    def handle_error(self, kind: Any, value: Any, traceback: Any) -> None:
        if isinstance(value, OSError):
            self.close_connection = True
            return
        log.error("%r failed; please report this", self.requestline, exc_info=value)
        self._send_error_response_if_possible(500)


class LedHandler(ControlHandler):
    """Of a connection that came to the data plane's port: of one request, whose forwarding fields are the edge's."""

    admitted = True

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["wsgi.url_scheme"] = environ.get("HTTP_X_FORWARDED_PROTO", "http")
        return environ

    def finalize_headers(self) -> None:
        super().finalize_headers()
        self.close_connection = True
        if self.code != 101 and not any(name.lower() == b"connection" for name, _ in self.response_headers):
            self.response_headers.append((b"Connection", b"close"))


@dataclass
class Reception:
    """What a control plane's listeners share.

    `registry`: of the clients; `pages`: the WSGI application for everything but them; `context`: TLS for new
    connections, None for plain; `admission`: who may connect at all; `forward`: dials for clients' local forwards, None
    where the server does not forward.
    """

    registry: Registry
    guard: TokenGuard
    counters: ControlCounters
    pages: WsgiApp
    context: ssl.SSLContext | None
    admission: Admission
    forward: Dial | None = None


class ControlServer(pywsgi.WSGIServer):
    """`/connect` and `/stream` for clients; everything else is the pages'."""

    handler_class = ControlHandler

    def __init__(self, listener: Any, reception: Reception) -> None:
        self._reception = reception
        self._strangers = Strangers(MOST_UNKNOWN)
        super().__init__(listener, Endpoint(reception.pages), log=None, error_log=log)
        self.logger = logging.getLogger("geventwebsocket.handler")
        self.logger.setLevel(logging.WARNING)  # it describes each step of each upgrade
        self.set_environ({"wsgi.url_scheme": "https" if reception.context else "http"})

    def do_read(self) -> Any:
        """Accept. A full descriptor table is waited for: gevent would print a traceback for each try."""
        try:
            return super().do_read()
        except OSError as error:
            if error.errno not in EXHAUSTED:
                return None  # that one has gone already
            log.warning("%s: new clients wait: raise LimitNOFILE or ulimit -n", error.strerror)
            self.stop_accepting()
            self._timer = self.loop.timer(PAUSE_SECONDS)
            self._timer.start(self._start_accepting_if_started)
            return None

    def handle(self, sock: Any, address: Any) -> None:
        """A connection has been accepted."""
        peer = peer_name(address)
        host = peer.rpartition(":")[0].strip("[]")
        if not self._strangers.enter(host):
            sock.close()
            return
        try:
            self._attend(sock, peer)
        finally:
            self._strangers.leave(host)

    def _attend(self, sock: Any, peer: str) -> None:
        """Answer requests until the connection ends or is upgraded."""
        if self._reception.context is None:
            connection = Connection(sock, peer)
        else:
            connection = TlsConnection(sock, peer, self._reception.context)
        connection.deadline = time.monotonic() + REQUEST_SECONDS
        view = SocketView(connection)
        try:
            if isinstance(connection, TlsConnection) and not self._agree(connection):
                return
            self.handler_class(view, _address(peer), self).handle()
        except OSError as error:
            log.debug("control connection of %s ended: %s", peer, error)
        finally:
            view.close()

    def lead(self, connection: Connection, early: bytes) -> None:
        """Answer who came to the data plane's port for us. `early`: what it has sent already."""
        connection.deadline = time.monotonic() + REQUEST_SECONDS
        view = SocketView(connection, early)
        try:
            LedHandler(view, _address(connection.peer), self).handle()
        except OSError as error:
            log.debug("control connection of %s ended: %s", connection.peer, error)
        finally:
            view.close()

    def _agree(self, connection: TlsConnection) -> bool:
        """Start TLS. Says False to who speaks something else, and to HTTP in its own words."""
        try:
            connection.handshake()
            return True
        except NotTls as error:
            plain = Connection(connection.detach(), connection.peer)
            if error.http:
                plain.write_now(PLAIN_TO_TLS)
            plain.close()
            return False

    def pre_start_hook(self, handler: ControlHandler) -> bool:
        """gevent-websocket asks before an upgrade: True leaves the request to the application."""
        environ = handler.environ
        handler.socket._connection.deadline = time.monotonic() + REQUEST_SECONDS
        path = environ["PATH_INFO"]
        if not handler.admitted and not self._reception.admission.admits(environ["REMOTE_ADDR"]):
            environ["sluice.refusal"] = "403 Forbidden", "this address may not connect (--allow-ips of the server)"
            self._reception.counters.count(path, 403)
            return True
        if path not in ("/connect", "/stream"):
            return True
        refusal = self._refusal(handler, path)
        environ["sluice.refusal"] = refusal
        self._reception.counters.count(path, int(refusal[0][:3]) if refusal else 101)
        if refusal is not None and path == "/connect":
            self._reception.registry.comings.refused("", handler.socket._connection.peer, refusal[1])
        return refusal is not None

    def _refusal(self, handler: ControlHandler, path: str) -> tuple[str, str] | None:
        """Status and text with which a client is turned away; None lets it in."""
        environ = handler.environ
        # A stream is let in by its session's secret, for the token may have been changed since that began.
        session = self._session_of(environ) if path == "/stream" else None
        if session is None:
            bearer = self._reception.guard.admit_client(environ["REMOTE_ADDR"], environ.get("HTTP_AUTHORIZATION"))
            if bearer is None:
                return "401 Unauthorized", "the token is missing or wrong"
            environ["sluice.bearer"] = bearer
        misshapen = _not_an_upgrade(environ, handler.request_version)
        if misshapen is not None:
            return misshapen
        offered = [text.strip() for text in environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")]
        if PROTOCOL not in offered:
            return "400 Bad Request", f"this server speaks {PROTOCOL}; client and server should be of one version"
        if path == "/connect" and self._reception.registry.draining:
            return "503 Service Unavailable", "the server is stopping: connect again in a moment"
        if path == "/stream":
            if session is None:
                return "409 Conflict", "the session of this stream has ended"
            environ["sluice.session"] = session
            if environ.get("HTTP_SLUICE_DIRECTION") == "forward" and self._reception.forward is None:
                return "403 Forbidden", "this server does not forward for clients (--client-forwarding)"
            if environ.get("HTTP_SLUICE_DIRECTION") == "forward" and not session.may_forward:
                return "403 Forbidden", "this client's token allows no local forwards"
        return None

    def _session_of(self, environ: dict[str, Any]) -> Session | None:
        return self._reception.registry.find(
            environ.get("HTTP_SLUICE_SESSION", ""), environ.get("HTTP_SLUICE_SECRET", "")
        )

    def take_over(self, environ: dict[str, Any], connection: Connection) -> None:
        """An upgraded connection, in the hands of pywsgi no more."""
        connection.deadline = float("inf")
        session = environ.get("sluice.session")
        registry, forward = self._reception.registry, self._reception.forward
        if session is None:
            tasks.spawn("session", registry.attend, connection, environ["sluice.bearer"])
        elif environ.get("HTTP_SLUICE_DIRECTION") == "forward" and forward is not None:
            tasks.spawn("forward", registry.attach_forward, session, connection, forward)
        else:
            registry.attach(session, connection)


class Endpoint:
    """The WSGI application: refused clients here, all else by the admin layer's pages."""

    def __init__(self, pages: WsgiApp) -> None:
        self._pages = pages

    def app_protocol(self, path: str) -> str:
        """What gevent-websocket answers in Sec-WebSocket-Protocol."""
        return PROTOCOL

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        refusal = environ.get("sluice.refusal")
        if refusal is None:
            return self._pages(environ, start_response)
        status, text = refusal
        body = f"{text}\n".encode()
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        if status.startswith("503"):
            headers.append(("Retry-After", "1"))
        if status.startswith("401"):
            headers.append(("WWW-Authenticate", "Bearer"))
        if status.startswith("426"):
            headers += [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
        start_response(status, headers)
        return [body]


def _not_an_upgrade(environ: dict[str, Any], version: str) -> tuple[str, str] | None:
    """What gevent-websocket would answer badly, or with a traceback (RFC 6455 4.2.1)."""
    if (
        environ["REQUEST_METHOD"] != "GET"
        or version != "HTTP/1.1"
        or environ.get("HTTP_UPGRADE", "").lower() != "websocket"
        or "upgrade" not in environ.get("HTTP_CONNECTION", "").lower()
        or environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13"
    ):
        return "426 Upgrade Required", "this address is for clients: it speaks WebSocket, version 13"
    if environ.get("CONTENT_LENGTH", "0") not in ("", "0") or "HTTP_TRANSFER_ENCODING" in environ:
        return "400 Bad Request", "an upgrade has no body"
    if not _websocket_key(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")):
        return "400 Bad Request", "the Sec-WebSocket-Key is not 16 bytes in base64"
    return None


def _address(peer: str) -> tuple[str, int]:
    """What pywsgi makes REMOTE_ADDR and REMOTE_PORT of."""
    host, _, port = peer.rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else 0
