"""Connecting to an address: TCP by name or number, Unix sockets. Names are looked up anew each time."""

from __future__ import annotations

import errno
import os
import socket
import time
from _socket import socket as NativeSocket

from gevent import get_hub

from appliance.transport.connection import Connection, TimedOut, peer_name, tune


def tcp(host: str, port: int, seconds: float) -> Connection:
    """Connected within `seconds`, to the first of the host's addresses that answers. Raises OSError."""
    deadline = time.monotonic() + seconds
    failure: OSError = ConnectionError(errno.EHOSTUNREACH, f"{host} has no address")
    for family, address in _addresses(host, port):
        try:
            return _connect(NativeSocket(family, socket.SOCK_STREAM), address, deadline)
        except OSError as error:
            failure = error
    raise failure


def unix(path: str, seconds: float) -> Connection:
    """Connected to a Unix socket. Raises OSError."""
    return _connect(NativeSocket(socket.AF_UNIX, socket.SOCK_STREAM), path, time.monotonic() + seconds)


def _addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    for family in (socket.AF_INET, socket.AF_INET6):  # numbers need no resolver, and its thread
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [(family, (host, port))]
    found = get_hub().resolver.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(item[0], item[4]) for item in found]


def _connect(sock: NativeSocket, address: str | tuple[str, int], deadline: float) -> Connection:
    tune(sock)
    sock.setblocking(False)
    code = sock.connect_ex(address)
    connection = Connection(sock, peer_name(address))
    try:
        if code in (errno.EINPROGRESS, errno.EAGAIN):
            connection.deadline = deadline
            connection.wait_writable()
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except TimedOut:
        connection.close()
        raise
    except BaseException:
        connection.close()
        raise
    connection.deadline = float("inf")
    return connection
