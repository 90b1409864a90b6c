"""An upstream's answer on its way to the visitor: the head written anew, the body as it comes, never held."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from appliance.server.upload import Upload
from appliance.transport import tasks
from appliance.transport.connection import Connection, PeerLeft
from appliance.transport.relay import from_stream, to_stream
from appliance.transport.stream import Stream
from appliance.tunnel.router import Member
from appliance.wire.chunked import ChunkedDecoder, ChunkedError, last_chunk
from appliance.wire.forwarding import interim_to_visitor, response_to_visitor
from appliance.wire.frames import FrameError
from appliance.wire.http1 import CHUNKED, RequestHead, ResponseHead
from appliance.wire.messages import Finish, MessageError

if TYPE_CHECKING:
    from appliance.server.visitor import Visitor

WRITE_SECONDS = 60.0  # a visitor that takes no bytes for this long is given up
PARTING_SECONDS = 60.0  # after an upgraded connection has ended in one direction, the other has this long


class Truncated(Exception):
    """The answer broke off after its head was sent: the visitor must not take it for whole."""


class Answer:
    """`pass_on` carries it; the stream then goes back to its pool, or is closed."""

    __slots__ = (
        "_connection",
        "_member",
        "_request",
        "_rest",
        "_stream",
        "_upload",
        "_visitor",
        "received_before",
        "response",
        "sent_before",
    )

    def __init__(
        self,
        visitor: Visitor,
        request: RequestHead,
        response: ResponseHead,
        rest: bytes,
        member: Member,
        stream: Stream,
        upload: Upload | None,
    ) -> None:
        """`rest`: what came behind the head."""
        self._visitor = visitor
        self._connection: Connection = visitor.connection
        self._request = request
        self.response = response
        self._rest = rest
        self._member = member
        self._stream = stream
        self._upload = upload
        # The stream's counts of bytes before this request.
        self.sent_before = 0
        self.received_before = 0

    def pass_on(self) -> bool:
        """Carry the answer; says whether the visitor's connection can go on. Raises Truncated or PeerLeft."""
        try:
            if self.response.status == 101:
                return self._switch()
            return self._carry()
        except ChunkedError as error:
            self._lose()
            raise Truncated(str(error)) from None
        except (FrameError, MessageError) as error:
            if self._upload is not None:
                self._upload.stop()
            self._member.session.pool.fail(self._stream, error)
            raise Truncated(str(error)) from None
        except PeerLeft:
            self._lose()
            raise
        except OSError as error:
            self._lose()
            if self._connection.closed or self._upload_broken():
                raise PeerLeft("the visitor has left") from None
            raise Truncated(str(error)) from None
        except BaseException:
            self._lose()
            raise
        finally:
            self._count_bytes()

    def _upload_broken(self) -> bool:
        return self._upload is not None and self._upload.broken

    def _lose(self) -> None:
        if self._upload is not None:
            self._upload.stop()
        self._member.session.pool.cut_off(self._stream)

    def _count_bytes(self) -> None:
        sent = self._stream.sent - self.sent_before
        received = self._stream.received - self.received_before
        session, counters = self._member.session, self._visitor.front.counters
        session.bytes_in += sent
        session.bytes_out += received
        counters.bytes_in += sent
        counters.bytes_out += received

    def _carry(self) -> bool:
        response, request, upload = self.response, self._request, self._upload
        length = response.length
        keep_alive = request.keep_alive and not self._visitor.front.stopping and (request.minor == 1 or length >= 0)
        if upload is not None and not upload.complete and response.status >= 400:
            keep_alive = False  # the upstream will hardly read the rest; the visitor should know at once
        head = response_to_visitor(response, request.minor, keep_alive, self._visitor.front.stamp)
        if length >= 0:
            reusable = self._counted(head, length)
        else:
            reusable = self._unknown_length(head, chunked=length == CHUNKED)
        return self._settle(reusable) and keep_alive

    def _settle(self, reusable: bool) -> bool:
        """The answer is through: give the stream back. Says whether the request is through, too."""
        pool = self._member.session.pool
        upload = self._upload
        if upload is not None and not upload.complete:
            upload.stop()
            pool.cut_off(self._stream)
            self._visitor.linger()
            return False
        if not reusable:
            pool.discard(self._stream)
        elif self.response.keep_alive:
            pool.give_back(self._stream)
        else:
            pool.release(self._stream, heard_finish=self.response.length < 0 and self.response.length != CHUNKED)
        return True

    # Bodies

    def _counted(self, head: bytes, length: int) -> bool:
        """A body of known length. Says whether the stream is at the body's end, and not past it."""
        rest = self._rest
        excess = len(rest) > length
        self._write(head + (rest[:length] if excess else rest))
        left = length - len(rest)
        read = self._stream.read
        while left > 0:
            got = read()
            if type(got) is not list:
                raise Truncated("the upstream ended within its answer")
            size = len(got[0]) if len(got) == 1 else sum(map(len, got))
            if size > left:
                got = [b"".join(got)[:left]]
                excess = True
            left -= size
            self._write_pieces(got)
        return not excess

    def _unknown_length(self, head: bytes, chunked: bool) -> bool:
        """A chunked body, or one that ends with the upstream's connection: to the visitor in chunks of our own, or,
        for HTTP/1.0, until the end of the connection. Says whether the stream is at the body's end."""
        decoder = ChunkedDecoder() if chunked else None
        frame = self._request.minor == 1
        stream = self._stream
        before: list[Any] = [head]
        got: Any = [memoryview(self._rest)] if self._rest else []
        excess = False
        while True:
            if type(got) is not list:
                if decoder is None and isinstance(got, Finish) and not got.reset:
                    pieces, ended = [], True
                else:
                    raise Truncated("the upstream ended within its answer")
            elif decoder is None:
                pieces, ended = got, False
            else:
                pieces, excess = _decode(decoder, got)
                ended = decoder.done
            parts = before
            before = []
            if pieces:
                parts += [b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"] if frame else pieces
            if ended and frame:
                parts.append(last_chunk(decoder.trailers if decoder is not None else []))
            if parts:
                self._write_pieces(parts)
            if ended:
                return not excess
            got = stream.read()

    def _write(self, data: bytes) -> None:
        self._write_pieces([data])

    def _write_pieces(self, pieces: list[Any]) -> None:
        connection = self._connection
        try:
            connection.deadline = time.monotonic() + WRITE_SECONDS
            if len(pieces) == 1:
                connection.write(pieces[0])
            else:
                connection.write_parts(pieces)
        except OSError:
            raise PeerLeft("the visitor has left") from None
        if self._upload is not None:
            connection.deadline = math.inf  # with both directions under way, one may pause for as long as it likes

    # After an upgrade

    def _switch(self) -> bool:
        """101: a byte pipe from here on, each direction ending on its own."""
        connection, stream = self._connection, self._stream
        connection.dependant = None
        early, self._visitor.buffer = self._visitor.buffer, b""
        self._write(interim_to_visitor(self.response) + self._rest)
        connection.deadline = math.inf  # that of the write was for the head; from here on it may be silent
        if early:
            stream.write(early)
        upward = tasks.spawn("upgraded", self._upward)
        try:
            ended = from_stream(stream, connection)
            if isinstance(ended, Finish) and not ended.reset:
                connection.deadline = time.monotonic() + PARTING_SECONDS
                connection.shutdown_write()
                upward.join()
            else:
                connection.abort()  # the upstream or the stream was cut off: no regular end
        finally:
            upward.kill()
        self._member.session.pool.discard(stream)  # in order, for the last words may still be on their way
        return False

    def _upward(self) -> None:
        connection, stream = self._connection, self._stream
        try:
            to_stream(connection, stream)
            stream.connection.deadline = time.monotonic() + PARTING_SECONDS
            stream.send(Finish())
        except OSError:
            stream.abort()  # the visitor was cut off: so is the upstream


def _decode(decoder: ChunkedDecoder, got: list[Any]) -> tuple[list[Any], bool]:
    """The body's pieces in what came; and whether more came than the body."""
    pieces: list[Any] = []
    for piece in got:
        if decoder.done:
            return pieces, True
        found, used = decoder.feed(memoryview(piece))
        pieces += found
        if used < len(piece):
            return pieces, True
    return pieces, False
