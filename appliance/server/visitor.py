"""A visitor's connection in HTTP mode: heads read one after another, each request exchanged with its upstream."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import time
from typing import TYPE_CHECKING

from appliance.server import pages
from appliance.server.exchange import Exchange
from appliance.transport.connection import Connection, PeerLeft, TimedOut
from appliance.tunnel.counters import UNKNOWN_HOST
from appliance.wire.http1 import HeadError, RequestHead, parse_request

if TYPE_CHECKING:
    from appliance.server.http_front import HttpFront

# After an answer that came before its upload was read, the visitor is heard out for a while: to close at once would
# reset the connection, and the answer with it (RFC 9112 9.6).
LINGER_SECONDS = 10.0
PARTING_SECONDS = 2.0  # where nothing but its end is to be expected
LINGER_BYTES = 64 * 1024 * 1024

log = logging.getLogger("sluice.edge")

_run_id = os.urandom(6).hex().encode()
_request_numbers = itertools.count(1)


class Visitor:
    """One connection. `address`: the visitor's IP; `scheme`: http or https; `trusted`: it is a proxy of ours.

    `busy`: a request is under way whose end a stopping server waits for.
    """

    __slots__ = ("address", "buffer", "busy", "connection", "front", "scheme", "trusted")

    def __init__(self, front: HttpFront, connection: Connection, address: bytes, trusted: bool) -> None:
        self.front = front
        self.connection = connection
        self.address = address
        self.scheme = front.scheme
        self.trusted = trusted
        self.busy = False
        self.buffer = b""  # bytes that came and belong to no request yet

    def serve(self) -> None:
        """Answer requests until either side has had enough."""
        connection = self.connection
        try:
            connection.deadline = time.monotonic() + self.front.config.head_timeout
            while True:
                request = self._next_request()
                if request is None:
                    break
                self.busy = True
                if not self.exchange(request):
                    self._part()
                    break
                self.busy = False
                connection.deadline = time.monotonic() + self.front.config.keepalive_timeout
        except HeadError as error:
            self._refuse(error)
        except TimedOut:
            self.front.counters.refuse("slow visitor")
        except OSError:
            pass  # the visitor has gone: nothing is left to be done for it
        finally:
            connection.close()

    def exchange(self, request: RequestHead) -> bool:
        """Answer one request; says whether the connection can carry another."""
        return Exchange(self, request).run()

    def _part(self) -> None:
        """The last answer is given. What the visitor still sends, or is about to, is heard out: to close on bytes that
        nobody reads resets the connection, and takes what the visitor has not read yet with it."""
        if not self.connection.closed:
            self.linger(None if self.buffer else PARTING_SECONDS)

    def end(self) -> None:
        """End the connection now, and what is under way for it."""
        dependant = self.connection.dependant
        self.connection.close()
        if dependant is not None:
            dependant.interrupt(PeerLeft(errno.ECONNRESET, "the server is stopping"))

    def _next_request(self) -> RequestHead | None:
        """The next head, or None when the visitor has ended. `buffer` keeps what follows it."""
        connection = self.connection
        buffer = self.buffer
        searched = 0
        begun = False
        while True:
            if buffer:
                if buffer[0] < 0x20:  # empty lines before a request (RFC 9112 2.2)
                    buffer = _skip_empty_lines(buffer)
                request = parse_request(buffer, 0, searched)
                if request is not None:
                    self.buffer = buffer[request.end :]
                    return request
                if not begun:
                    begun = True
                    connection.deadline = time.monotonic() + self.front.config.head_timeout
                searched = len(buffer)
            try:
                data = connection.read()
            except TimedOut:
                if begun:
                    raise
                return None  # idle, as browsers leave their connections: nobody was turned away
            if not data:
                return None
            buffer += data

    def next_request_id(self) -> bytes:
        """Unique among all requests of all runs, for as long as anybody cares."""
        return b"%b%010x" % (_run_id, next(_request_numbers))

    def _refuse(self, error: HeadError) -> None:
        """Answer a head that was not understood, and end the connection: where the next one begins is unknown."""
        self.front.counters.refuse("malformed request")
        self.front.counters.observe(UNKNOWN_HOST, "OTHER", error.status, 0.0)
        self.turn_away(error.status, error.reason)

    def turn_away(self, status: int, text: str, stamp: bytes | None = None) -> None:
        """Say why, and end the connection. `stamp`: in place of the front's."""
        try:
            self.connection.deadline = time.monotonic() + LINGER_SECONDS
            stamp = self.front.stamp if stamp is None else stamp
            self.connection.write(pages.page(status, text, None, keep_alive=False, stamp=stamp))
            self.linger()
        except OSError:
            pass

    def linger(self, seconds: float | None = None) -> None:
        """End our direction, then hear the visitor out within limits, so that what was sent arrives."""
        connection = self.connection
        connection.deadline = time.monotonic() + (LINGER_SECONDS if seconds is None else seconds)
        self.busy = False
        left = LINGER_BYTES
        try:
            connection.shutdown_write()
            while left > 0:
                size = len(connection.read())
                if not size:
                    return
                left -= size
        except OSError:
            pass  # it has gone, or goes on for too long: the connection is closed next, either way


def _skip_empty_lines(buffer: bytes) -> bytes:
    start = 0
    while buffer.startswith(b"\r\n", start):
        start += 2
    return buffer[start:]
