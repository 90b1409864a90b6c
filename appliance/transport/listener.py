"""Listening sockets, and an acceptor that outlives a full descriptor table."""

from __future__ import annotations

import errno
import logging
import math
import os
import socket
import time
from _socket import getaddrinfo as look_up
from _socket import socket as NativeSocket
from collections.abc import Callable
from typing import Any

from gevent import get_hub

from appliance.transport import tasks
from appliance.transport.connection import tune

BACKLOG = 4096
ACCEPT_AT_ONCE = 64  # then the connections there are get their turn
PAUSE_SECONDS = 0.5
WARN_SECONDS = 60.0  # one warning in this time, however often we pause

EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_NOT_HERE = frozenset((errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL))  # as of IPv6 on a machine without it

log = logging.getLogger("sluice.listener")


def listen(host: str, port: int) -> list[NativeSocket]:
    """Sockets listening on `host` ("" and "::" are every address, IPv4 and IPv6) and `port` (0: any free one).

    Raises OSError: the address is taken, not this machine's, or the port is not allowed to this user.
    """
    if host not in ("", "::"):
        return _listen_by_name(host, port)
    try:
        return [_bind(socket.AF_INET6, ("::", port), both=True)]
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        return [_bind(socket.AF_INET, ("0.0.0.0", port))]


def _listen_by_name(host: str, port: int) -> list[NativeSocket]:
    """An address of each family that `host` has, as far as this machine has the family."""
    flags = socket.AI_PASSIVE
    found: list[Any]
    try:
        try:
            # A number needs no resolver, during which (it is gevent's) another client may want the same port.
            found = look_up(host, port, type=socket.SOCK_STREAM, flags=flags | socket.AI_NUMERICHOST)
        except socket.gaierror:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError:
        raise OSError(errno.EINVAL, "not a host name") from None
    sockets: list[NativeSocket] = []
    missing: OSError | None = None
    for family, address in {item[0]: item[4] for item in reversed(found)}.items():  # the first of each family
        try:
            sockets.append(_bind(family, address))
        except OSError as error:
            if error.errno not in _NOT_HERE:
                for sock in sockets:
                    sock.close()
                raise
            missing = error
    if not sockets:
        raise missing or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return sockets


def _bind(family: int, address: Any, both: bool = False) -> NativeSocket:
    # Not gevent's class: waiting is done by `Connection`, so its wrapping would only cost.
    sock = NativeSocket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        tune(sock)  # what is accepted inherits it, for nothing
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class Capacity:
    """How many connections there may be at once (0: any number), of all acceptors that share it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    @property
    def exhausted(self) -> bool:
        return 0 < self.most <= self.used


class Acceptor:
    """Accepts on sockets and runs `serve(socket, address)` in a greenlet for each connection.

    `limit`: connections at once; above it new ones wait in the kernel's queue until one has ended.
    """

    def __init__(
        self, name: str, sockets: list[NativeSocket], serve: Callable[[Any, Any], None], limit: int | Capacity = 0
    ) -> None:
        self._name = name
        self._sockets = sockets
        self._serve = serve
        self._capacity = limit if isinstance(limit, Capacity) else Capacity(limit)
        self._watchers: list[Any] = []
        self._resume: Any = None
        self._warned = -math.inf
        self.open = 0
        self.total = 0
        self.failures = 0

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._sockets[0].getsockname()[1])

    def start(self) -> None:
        loop = get_hub().loop
        for sock in self._sockets:
            watcher = loop.io(sock.fileno(), 1)
            watcher.start(self._accept, sock)
            self._watchers.append(watcher)

    def stop(self) -> None:
        """Stop accepting, and listening; connections that are open stay so."""
        if self._resume is not None:
            self._resume.stop()
        for watcher in self._watchers:
            watcher.stop()
            watcher.close()
        self._watchers.clear()
        for sock in self._sockets:
            sock.close()

    def _accept(self, sock: NativeSocket) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            if self._capacity.exhausted:
                self._pause(f"{self._capacity.most} connections are open, which is the limit")
                return
            try:
                descriptor, address = sock._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self.failures += 1
                    self._pause(f"{error.strerror}: raise LimitNOFILE or ulimit -n")
                    return
                continue  # that visitor has gone already
            self.open += 1
            self._capacity.used += 1
            self.total += 1
            accepted = NativeSocket(sock.family, sock.type, sock.proto, descriptor)
            tasks.run_now(self._name, self._run, accepted, address)

    def _run(self, sock: Any, address: Any) -> None:
        try:
            self._serve(sock, address)
        finally:
            self.open -= 1
            self._capacity.used -= 1

    def _pause(self, reason: str) -> None:
        """Look away from the sockets for a moment: what cannot be accepted would wake us without end."""
        if self._resume is None:
            self._resume = get_hub().loop.timer(PAUSE_SECONDS)
        if not self._resume.active:
            if time.monotonic() - self._warned > WARN_SECONDS:
                self._warned = time.monotonic()
                log.warning("%s: new connections wait: %s", self._name, reason)
            for watcher in self._watchers:
                watcher.stop()
            self._resume.start(self._continue)

    def _continue(self) -> None:
        self._resume.stop()
        for watcher, sock in zip(self._watchers, self._sockets, strict=False):  # stopped: none
            watcher.start(self._accept, sock)
