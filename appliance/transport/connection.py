"""A byte stream over a non-blocking socket, waited for in the hub: TCP or Unix, plain. TLS is in `tls.py`.

Reading goes into one buffer shared by all connections (a fresh large buffer for each read costs twice the CPU of a
small request), so what `read` returns is only good until the reader next waits.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import math
import mmap
import socket
import struct
import sys
import termios
import time
from _socket import socket as NativeSocket
from collections.abc import Callable
from typing import Any

from gevent import get_hub
from greenlet import getcurrent, greenlet

from appliance.transport import tasks
from appliance.transport.reaper import reaper

READ_BYTES = 262144
EMPTY = memoryview(b"")

MAX_PARTS = 64  # of one system call; the kernel takes 1024 at most

READ, WRITE = 1, 2  # libev's event bits

# Linux's TCP states in which the peer has ended its direction (include/net/tcp_states.h).
_LEFT_STATES = frozenset((7, 8, 9, 11))
_CLOSED_STATE = 7

log = logging.getLogger("sluice.connection")


def buffer(size: int) -> memoryview:
    """To read into. Mapped, not allocated: what of it is never written takes no memory, so an idle program is small."""
    return memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


_view = buffer(READ_BYTES)


class TimedOut(OSError):
    """A wait went past its connection's deadline."""


class PeerLeft(ConnectionError):
    """The other party of what was waited for has hung up."""


class Closed(ConnectionError):
    """The connection was closed by this side while somebody waited on it."""


class Connection:
    """A connected socket. One greenlet may read while another writes.

    `deadline`: a time.monotonic() value after which a waiting read or write raises TimedOut.
    `patience`: seconds by which a write that makes progress puts its deadline off: a slow line is not a dead one.
    `half_closes`: the peer may end its own direction alone: only a reset counts as hanging up.
    `dependant`: a connection whose wait serves this one's peer only: it ends with PeerLeft when that peer hangs up.
    `on_doubt`: called once from the hub (it must not wait) when somebody still waits for bytes at `doubt_at`.
    `on_idle`: called from the hub (it must not wait) when bytes or the end come while nobody reads; it says whether
    it has taken them.
    """

    __slots__ = (
        "__weakref__",
        "_armed",
        "_hub",
        "_io",
        "_left",
        "_pauses",
        "_reader",
        "_refused",
        "_socket",
        "_unsent",
        "_write_io",
        "_writer",
        "closed",
        "deadline",
        "dependant",
        "doubt_at",
        "half_closes",
        "on_doubt",
        "on_idle",
        "patience",
        "peer",
    )

    def __init__(self, sock: Any, peer: str) -> None:
        """Takes over `sock`, a connected `socket.socket` (gevent's or not), which must not be used any more."""
        self._socket = _native(sock)
        self.peer = peer
        self._hub = get_hub()
        self._io: Any = self._hub.loop.io(self._socket.fileno(), READ)
        self._armed = False
        self._reader: greenlet | None = None
        self._write_io: Any = None
        self._writer: greenlet | None = None
        self._unsent = False
        self._refused = False  # a write has failed: the peer has cut the connection off
        self._left = False
        self._pauses = False
        self.deadline = math.inf
        self.patience = 0.0
        self.half_closes = False
        self.dependant: Connection | None = None
        self.doubt_at = math.inf
        self.on_doubt: Callable[[], object] | None = None
        self.on_idle: Callable[[], bool] | None = None
        self.closed = False
        reaper.add(self)

    def fileno(self) -> int:
        return int(self._socket.fileno())

    @property
    def local(self) -> tuple[str, int] | None:
        """This side's IP address and port; None where the socket has none."""
        if self._socket.family == socket.AF_UNIX:
            return None
        host, port = self._socket.getsockname()[:2]
        return host, port

    def allow_pauses(self) -> None:
        """Wait without limit for a peer that lives but takes no bytes. Linux takes TCP_USER_TIMEOUT for the time that
        such a one has, although it answers every probe."""
        if not self._pauses and self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
        self._pauses = True

    # Waiting

    def wait_readable(self) -> None:
        """Wait for bytes or the end of the stream. Raises TimedOut, PeerLeft or Closed."""
        if self.closed:
            raise Closed(errno.EBADF, "the connection is closed")
        if self._reader is not None:
            raise RuntimeError("two greenlets read one connection")
        if not self._armed:
            self.arm()
        self._reader = getcurrent()
        try:
            greenlet.switch(self._hub)
        finally:
            self._reader = None

    def arm(self) -> None:
        """Watch for bytes. The watcher stays on from read to read: turning it off and on costs a system call."""
        if not self._armed and not self.closed:
            self._armed = True
            self._io.start(self._readable)

    def _readable(self) -> None:
        reader = self._reader
        if reader is not None:
            reader.switch()
        elif self.on_idle is None or not self._taken():
            self._io.stop()  # nobody wants it now; the next reader turns it on again
            self._armed = False

    def _taken(self) -> bool:
        """Ask `on_idle`. Its crash ends the connection: the hub would call it again and again."""
        try:
            return self.on_idle is not None and self.on_idle()
        except Exception:
            log.exception("a connection at rest crashed; please report this")
            self.close()
            return True

    def wait_writable(self) -> None:
        """Wait until the socket takes more. Raises TimedOut, PeerLeft or Closed."""
        if self.closed:
            raise Closed(errno.EBADF, "the connection is closed")
        if self._write_io is None:
            self._write_io = self._hub.loop.io(self._socket.fileno(), WRITE)
        current = getcurrent()
        self._writer = current
        self._write_io.start(current.switch)
        try:
            greenlet.switch(self._hub)
        finally:
            self._writer = None
            if self._write_io is not None:
                self._write_io.stop()

    def when_readable(self, name: str, function: Callable[..., object], *arguments: Any) -> None:
        """Run `function` in a greenlet called `name` once bytes or the end have come; unless `on_idle` is set anew.

        Cheaper than one that waits for them, and often the end of what it serves comes first.
        """

        def begin() -> bool:
            self.on_idle = None
            tasks.run_now(name, function, *arguments)
            return True

        self.on_idle = begin
        self.arm()

    def interrupt(self, error: Exception) -> None:
        """Raise `error` in whoever waits on this connection, at once or, where that is not the hub's, soon."""
        current = getcurrent()
        for waiting in (self._reader, self._writer):
            if waiting is None:
                continue
            if current is self._hub:
                self._throw(waiting, error)
            else:
                self._hub.loop.run_callback(self._throw, waiting, error)

    def _throw(self, waiting: greenlet, error: Exception) -> None:
        if waiting in (self._reader, self._writer):  # still waiting here, and not further on meanwhile
            waiting.throw(error)

    def check(self, now: float) -> None:
        """The reaper's look: from the hub."""
        if now > self.doubt_at and self._reader is not None:
            self.doubt_at = math.inf
            if self.on_doubt is not None:
                self.on_doubt()
        if now > self.deadline and (self._reader is not None or self._writer is not None):
            self.interrupt(TimedOut(errno.ETIMEDOUT, "the time limit has passed"))
        elif self.dependant is not None and not self._armed and self.peer_has_left():
            if self._left:
                self.dependant.interrupt(PeerLeft(errno.ECONNRESET, "the visitor has left"))
            self._left = True  # one tick of grace: a quick answer still reaches who only closed its own direction

    def peer_has_left(self) -> bool:
        """Whether the peer has ended its direction, also when bytes from before still wait to be read."""
        try:
            if self._socket.family == socket.AF_UNIX:
                return not self.half_closes and not self._socket.recv(1, socket.MSG_PEEK)
            state = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            return state == _CLOSED_STATE if self.half_closes else state in _LEFT_STATES
        except BlockingIOError:
            return False
        except OSError:
            return True

    # Bytes

    def read(self) -> memoryview:
        """What has come, once something has; empty at the end of the stream. Good until this greenlet next waits."""
        while True:
            self.wait_readable()
            try:
                size = self._socket.recv_into(_view)
            except BlockingIOError:
                continue
            return _view[:size] if size else self._at_end()

    def read_ready(self) -> memoryview | None:
        """What is there now, without waiting; empty at the end of the stream, None where nothing is."""
        try:
            size = self._socket.recv_into(_view)
        except BlockingIOError:
            return None
        return _view[:size] if size else self._at_end()

    def _at_end(self) -> memoryview:
        if self._refused:
            # The failed write has taken the error away: what follows the bytes that still came is no regular end.
            raise ConnectionResetError(errno.ECONNRESET, "the peer has reset the connection")
        return EMPTY

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`."""
        if not self._unsent:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._refused = True
                raise
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
        self._write_rest(bytes(data))  # the shared buffer changes while we wait

    def write_parts(self, parts: list[Any]) -> None:
        """Send all of several pieces, in one system call where possible."""
        if len(parts) > MAX_PARTS:
            parts = [b"".join(parts)]
        if not self._unsent:
            try:
                sent = self._socket.sendmsg(parts)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._refused = True
                raise
            if sent == sum(map(len, parts)):
                return
            self._write_rest(b"".join(parts)[sent:])
        else:
            self._write_rest(b"".join(parts))

    def _write_rest(self, data: bytes) -> None:
        """Send what the socket did not take at once; whoever comes meanwhile is refused, not mixed in."""
        if self._unsent:
            raise RuntimeError("two greenlets write one connection")
        self._unsent = True
        rest = memoryview(data)
        try:
            while rest:
                self.wait_writable()
                try:
                    rest = rest[self._socket.send(rest) :]
                    if self.patience:
                        self.deadline = max(self.deadline, time.monotonic() + self.patience)
                except BlockingIOError:
                    continue
                except OSError:
                    self._refused = True  # what the peer has said before may still be read
                    raise
        except BaseException:
            if not self._refused:
                self.abort()  # part of it is gone: nothing sensible can follow
            raise
        finally:
            self._unsent = False

    def write_now(self, data: bytes) -> None:
        """Send a few bytes from where nothing may wait, as from the hub; a peer that takes none is cut off."""
        if self._unsent:
            return self.abort()
        try:
            if self._socket.send(data) == len(data):
                return None
        except OSError:
            pass
        return self.abort()

    @property
    def refused(self) -> bool:
        """Whether a write has failed because the peer has cut the connection off. What it said before can be read."""
        return self._refused

    @property
    def writing(self) -> bool:
        """Whether a write is still under way."""
        return self._unsent

    @property
    def queued(self) -> int:
        """Bytes that the kernel holds for the peer: not sent yet, or not confirmed."""
        try:
            return int.from_bytes(fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except OSError:
            return 0

    # Ending

    def detach(self) -> NativeSocket:
        """Give the socket up, unclosed, for another connection to take over."""
        self._let_go()
        return self._socket

    def moved(self) -> Connection:
        """The same connection as another object, with none of this one's limits. This one counts as closed."""
        return Connection(self.detach(), self.peer)

    def shutdown_write(self) -> None:
        """End this side's direction (half-close)."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    def close(self) -> None:
        """Close; whoever waits gets Closed. May be called again."""
        if self.closed:
            return
        self._let_go()
        self._socket.close()
        if self._reader is not None or self._writer is not None:
            self.interrupt(Closed(errno.EBADF, "the connection is closed"))

    def _let_go(self) -> None:
        """Stop watching the socket."""
        self.closed = True
        reaper.discard(self)
        self.on_idle = None
        self.on_doubt = None
        self.dependant = None
        self._io.stop()
        self._io.close()
        if self._write_io is not None:
            self._write_io.stop()
            self._write_io.close()
            self._write_io = None

    def abort(self) -> None:
        """Close with a reset, so that the peer does not take it for a regular end."""
        if not self.closed:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            Connection.close(self)  # not a subclass's, which may end politely


def _native(sock: Any) -> NativeSocket:
    """The socket without gevent's waiting around it, non-blocking: waiting is done here."""
    native = sock if type(sock) is NativeSocket else NativeSocket(sock.family, sock.type, sock.proto, sock.detach())
    native.setblocking(False)
    return native


def tune(sock: Any, here: bool = False) -> None:
    """No delay for small writes; notice a peer that vanished (two minutes) although nothing is sent to it.

    `here`: the peer is on this machine, so that the kernel tells of its end.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if here:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 120_000)


def encoded(host: str) -> bytes:
    """A host's name or address as resolvers and TLS have it. Raises UnicodeError.

    Python's codec for the names of all languages takes memory, and is loaded by who hands in text: so bytes it is.
    """
    if not host.isascii():
        return host.encode("idna")
    if not all(0 < len(label) < 64 for label in host.removesuffix(".").split(".")):  # RFC 1035, section 2.3.4
        raise UnicodeError("label empty or too long")
    return host.encode("ascii")


def peer_name(address: Any) -> str:
    """ "1.2.3.4:5678", "[::1]:5678", or "unix" for what getpeername() or accept() gives."""
    if not isinstance(address, tuple) or len(address) < 2:
        return "unix"
    host, port = address[0], address[1]
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]  # an IPv4 visitor of a dual-stack socket
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
