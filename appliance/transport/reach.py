"""Connecting to an address: TCP by name or number, Unix sockets. Names are looked up anew each time."""

from __future__ import annotations

import errno
import math
import os
import socket
import time
from _socket import socket as NativeSocket

import gevent
from gevent import get_hub

from appliance.transport.connection import Connection, TimedOut, encoded, peer_name, tune

# How soon a Unix socket whose queue is full is tried again: nothing tells when it has room.
RETRY_SECONDS = 0.02


Address = tuple[int, tuple[str, int]]


def tcp(host: str, port: int, seconds: float) -> Connection:
    """Connected within `seconds`, to the first of the host's addresses that answers. Raises OSError."""
    deadline = time.monotonic() + seconds
    addresses = resolve(host, port, seconds)
    if not addresses:
        raise ConnectionError(errno.EHOSTUNREACH, f"{host} has no address")
    return first(addresses, deadline - time.monotonic())


def first(addresses: list[Address], seconds: float) -> Connection:
    """Connected within `seconds` to the first of `addresses` that answers. Raises OSError."""
    deadline = time.monotonic() + seconds
    failure: OSError = ConnectionError(errno.EHOSTUNREACH, "there is no address")
    for tried, (family, address) in enumerate(addresses):
        # Each has its share of the time that is left: one that is silent must not use up that of the others.
        now = time.monotonic()
        share = max(0.0, deadline - now) / (len(addresses) - tried)
        try:
            return _connect(family, address, now + share)
        except ConnectionAbortedError:
            raise  # thrown in: whoever waits is to end, and not to try on
        except OSError as error:
            failure = error
    raise failure


def unix(path: str, seconds: float) -> Connection:
    """Connected to a Unix socket. Raises OSError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return _connect(socket.AF_UNIX, path, deadline)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimedOut(errno.ETIMEDOUT, f"{path} accepts no connections") from None
        gevent.sleep(RETRY_SECONDS)


def resolve(host: str, port: int, seconds: float) -> list[Address]:
    """The host's addresses, each with its family. Raises OSError."""
    for family in (socket.AF_INET, socket.AF_INET6):  # numbers need no resolver, and its thread
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return [(family, (host, port))]
    try:
        name = encoded(host)
    except UnicodeError:
        raise OSError(errno.EINVAL, f"{host} is not a host name") from None
    with gevent.Timeout(seconds, TimedOut(errno.ETIMEDOUT, f"looking up the name {host} took too long")):
        found = get_hub().resolver.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [(item[0], item[4]) for item in found]


def _connect(family: int, address: str | tuple[str, int], deadline: float) -> Connection:
    sock = NativeSocket(family, socket.SOCK_STREAM)
    try:
        tune(sock, here=address[0].startswith("127.") or address[0] == "::1")
        connection = Connection(sock, peer_name(address))
    except BaseException:
        sock.close()
        raise
    try:
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            if not _connected(sock):
                connection.deadline = deadline
                connection.wait_writable()
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        connection.close()
        raise
    connection.deadline = math.inf
    return connection


def _connected(sock: NativeSocket) -> bool:
    """Whether it is, in spite of EINPROGRESS, as within one machine: waiting would cost as much again."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
