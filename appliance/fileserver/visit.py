"""One visitor's connection: request after request, in order, until one side has had enough."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

import gevent

from appliance.fileserver.answers import Answer, plain
from appliance.fileserver.sending import FileShrank, send_answer
from appliance.transport.clock import date_now
from appliance.transport.connection import Connection, TimedOut
from appliance.wire.chunked import ChunkedDecoder, ChunkedError
from appliance.wire.http1 import CHUNKED, HeadError, RequestHead, parse_request

IDLE_SECONDS = 75.0  # between requests
HEAD_SECONDS = 20.0  # for a head once it has begun, and again for a body that is dropped
# A body that nobody asked for is read and dropped up to here; the connection ends instead of more.
MAX_DROPPED_BYTES = 65536
# After an answer that leaves bytes unread: closing at once would reset the connection, and the visitor might
# lose the answer (RFC 9112 9.6).
LINGER_SECONDS = 2.0
MAX_LINGER_BYTES = 1 << 20

log = logging.getLogger("sluice.fileserver")


class Visit:
    """`answer(request, peer)` makes the answers. `idle` while no request is under way. `leaving`: the connection ends
    after the answer that is under way, or the first."""

    def __init__(
        self, connection: Connection, answer: Callable[[RequestHead, str], Answer], leaving: bool = False
    ) -> None:
        self.connection = connection
        self._answer = answer
        self._held = b""  # what has come and is not used up: from `_used` on
        self._used = 0
        self.idle = True
        self.leaving = leaving

    def run(self) -> None:
        """Returns once the connection is closed."""
        try:
            while self._one_request():
                pass
        except HeadError as error:
            self._refuse(error)
        except FileShrank as error:
            log.warning("%s: %s", self.connection.peer, error.strerror)
        except TimedOut:
            if not self.idle:
                self.connection.abort()  # a queue that nobody empties is not left to the kernel
        except OSError:
            pass  # the visitor has left
        finally:
            self.connection.close()

    def end_when_idle(self) -> None:
        """End the connection: now, or with the answer that is under way."""
        self.leaving = True
        if self.idle:
            self.connection.close()

    def _one_request(self) -> bool:
        """Whether the connection stays open for another one."""
        request = self._next_head()
        if request is None:
            return False
        body_read = self._drop_body(request)
        answer = self._answer(request, self.connection.peer)
        try:
            keep = request.keep_alive and body_read and not self.leaving
            self._send(answer, request, keep)
        finally:
            if answer.descriptor is not None:
                os.close(answer.descriptor)
        if not body_read:
            self._linger()
        return keep and not self.leaving

    def _next_head(self) -> RequestHead | None:
        """The next request; None at the end of the connection."""
        connection = self.connection
        self._held = self._held[self._used :].lstrip(b"\r\n")  # RFC 9112 2.2
        self._used = 0
        self.idle = not self._held
        searched = 0
        connection.deadline = time.monotonic() + (IDLE_SECONDS if self.idle else HEAD_SECONDS)
        if self._held:
            gevent.sleep(0)  # pipelined: one visitor's many requests must not keep all others waiting
        while True:
            if self._held:
                request = parse_request(self._held, 0, searched)
                if request is not None:
                    self._used = request.end
                    return request
                searched = len(self._held)
            data = connection.read()
            if not data:
                return None
            if self.idle:
                self.idle = False
                connection.deadline = time.monotonic() + HEAD_SECONDS
                self._held = bytes(data).lstrip(b"\r\n")
            else:
                self._held += data

    def _drop_body(self, request: RequestHead) -> bool:
        """Read past the request's body. False if it is left where it is, and the connection cannot go on."""
        length = request.length
        if not length:
            return True
        # Who asks whether to send it is told by the answer that it is not wanted, and may send it or not.
        if request.expects_continue or length > MAX_DROPPED_BYTES:
            return False
        self.connection.deadline = time.monotonic() + HEAD_SECONDS
        if length == CHUNKED:
            return self._drop_chunks()
        while len(self._held) - self._used < length:
            length -= len(self._held) - self._used
            self._held, self._used = self._more(), 0
        self._used += length
        return True

    def _drop_chunks(self) -> bool:
        decoder = ChunkedDecoder()
        dropped = 0
        try:
            while True:
                taken = decoder.feed(memoryview(self._held)[self._used :])[1]
                self._used += taken
                dropped += taken
                if decoder.done:
                    return True
                if dropped > MAX_DROPPED_BYTES:
                    return False
                self._held, self._used = self._more(), 0
        except ChunkedError as error:
            raise HeadError(400, str(error)) from None

    def _more(self) -> bytes:
        data = self.connection.read()
        if not data:
            raise ConnectionResetError("the visitor has left in the middle of a request")
        return bytes(data)

    def _send(self, answer: Answer, request: RequestHead, keep: bool) -> None:
        connection_field = (b"keep-alive" if request.minor == 0 else b"") if keep else b"close"
        head = answer.head(date_now(), connection_field)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %r %d", self.connection.peer, request.method + b" " + request.target, answer.status)
        send_answer(self.connection, answer, head, without_body=request.method == b"HEAD")

    def _refuse(self, error: HeadError) -> None:
        """Answer what could not be understood, and end the connection."""
        answer = plain(error.status, error.reason)
        try:
            send_answer(self.connection, answer, answer.head(date_now(), b"close"), without_body=False)
            self._linger()
        except OSError:
            pass

    def _linger(self) -> None:
        connection = self.connection
        connection.deadline = time.monotonic() + LINGER_SECONDS
        connection.shutdown_write()
        left = MAX_LINGER_BYTES
        while left > 0:
            data = connection.read()
            if not data:
                return
            left -= len(data)
