"""One request through the tunnel and its answer back: steps 2 to 8 of a visitor's bytes."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any

import gevent

from appliance.server import pages
from appliance.server.answer import Answer, Truncated
from appliance.server.upload import Upload
from appliance.transport.connection import Connection, PeerLeft, TimedOut
from appliance.transport.stream import Stream
from appliance.tunnel.counters import UNKNOWN_HOST
from appliance.tunnel.inspector.dialogue import shown
from appliance.tunnel.inspector.store import ALL
from appliance.tunnel.inspector.watch import Watch
from appliance.tunnel.pool import NoStream
from appliance.tunnel.router import Member, Route
from appliance.wire.forwarding import OWN_COOKIE, has_passed, interim_to_visitor, request_to_upstream, without_cookie
from appliance.wire.frames import FrameError
from appliance.wire.http1 import HeadError, RequestHead, parse_response
from appliance.wire.messages import TIMED_OUT, MessageError, Open, Refuse

if TYPE_CHECKING:
    from appliance.server.visitor import Visitor

# Methods that may be repeated although the first try may have been acted on (RFC 9110 9.2.2).
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
_METHOD_NAMES = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
}

NOT_CONNECTED = "The service behind this name is not connected at the moment."
NO_ANSWER = "The service behind this name did not answer."
TOO_SLOW = "The service behind this name did not answer in time."
NOT_UNDERSTOOD = "The answer of the service behind this name was not understood."

LEADS_BACK = "The upstream behind this name leads back to this server."

# This run's, in CDN-Loop: a token (RFC 8586 2).
LOOP_ID = b"sluice-" + os.urandom(8).hex().encode()

PATIENT_SECONDS = 1.0  # one who waited longer than this for a stream may have left meanwhile
RETURN_SECONDS = 15.0  # within which a request tries sessions that were not there when it came

VISITOR_LEFT = 499  # in metrics, as nginx has it


class Unanswered(Exception):
    """A try brought no answer. `repeatable`: the upstream was not given the request, or may be given it twice.

    `stale`: an upstream connection kept from before had ended meanwhile: a fresh one may do.
    """

    def __init__(self, status: int, text: str, repeatable: bool, stale: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.repeatable = repeatable
        self.stale = stale


class Exchange:
    """`run` does it all, and says whether the visitor's connection can carry another request."""

    __slots__ = ("_answered", "_began", "_connection", "_request", "_request_id", "_upload", "_visitor", "watch")

    def __init__(self, visitor: Visitor, request: RequestHead) -> None:
        """Raises HeadError for a body that is malformed from its first chunk."""
        self._visitor = visitor
        self._connection: Connection = visitor.connection
        self._request = request
        self._began = time.monotonic()
        self._answered = 0.0  # when the answer began
        self._upload = Upload(visitor, request) if request.length else None
        self._request_id = visitor.next_request_id()
        self.watch: Watch | None = None  # the inspector's, where it looks

    def run(self) -> bool:
        connection = self._connection
        route = self._visitor.front.router.find(self._request.host)
        connection.deadline = math.inf
        if route is None or route.inspected:
            self._inspect(route)
        if route is None:
            self._visitor.front.counters.refuse("unknown name")
            return self._answer(404, "No service is known under this name.", UNKNOWN_HOST)
        if self._request.forwarded and has_passed(self._request, LOOP_ID):
            self._visitor.front.counters.refuse("loop")
            return self._answer(508, LEADS_BACK, route.pattern)
        status = VISITOR_LEFT
        try:
            answer = self._find_answer(route)
            self._answered = time.monotonic()
            status = answer.response.status
            if status == 101:
                self._count(route.pattern, status)  # now: what follows may last for days
                status = 0
            return answer.pass_on()
        except Unanswered as error:
            status = 0
            return self._answer(error.status, str(error), route.pattern)
        except PeerLeft as error:
            self._note(error)
            return False
        except Truncated as error:
            self._note(error)
            connection.abort()
            return False
        finally:
            connection.dependant = None
            if status:
                self._count(route.pattern, status)
            if self.watch is not None:
                self.watch.end()

    def _count(self, host: str, status: int) -> None:
        method = _METHOD_NAMES.get(self._request.method, "OTHER")
        now = time.monotonic()
        began = self._began
        upload = self._upload
        wait: float | None = None
        if host != UNKNOWN_HOST:
            # What the visitor takes to send its body is nobody's delay but its own.
            sent = began if upload is None else max(began, upload.ended_at)
            wait = max(0.0, (self._answered or now) - sent)
        self._visitor.front.counters.observe(host, method, status, now - began, wait)

    # For the inspector

    def _inspect(self, route: Route | None) -> None:
        inspector = self._visitor.front.router.inspector
        if inspector is not None and self.watch is None and inspector.inspects(route.label if route else ALL):
            name = route.label if route else shown(self._request.host or b"").lower()
            self.watch = Watch(inspector, inspector.begin(name), self._request, self._visitor.address)

    def _note(self, error: Exception) -> None:
        if self.watch is not None:
            self.watch.why = getattr(error, "strerror", None) or str(error)
            self.watch.left = isinstance(error, PeerLeft)

    def _unsent(self) -> bytes:
        """The request's head and what there is of its body, as an upstream would have got them."""
        request, visitor = self._request, self._visitor
        head = request_to_upstream(
            request,
            request.host or b"",
            visitor.address,
            visitor.scheme,
            self._request_id,
            visitor.trusted,
            LOOP_ID,
        )
        return head + (self._upload.first if self._upload is not None else b"")

    # Finding an answer

    def _find_answer(self, route: Route) -> Answer:
        """Try the sessions of the route in turn until one brings an answer. Raises Unanswered or PeerLeft."""
        failure: Unanswered | None = None
        upload = self._upload
        members = route.in_turn() or route.await_return()
        while members:
            for member in members:
                for fresh in (False, True):
                    try:
                        return self._try(member, fresh)
                    except Unanswered as error:
                        failure = error
                    if not failure.repeatable or (upload is not None and not upload.repeatable):
                        raise failure
                    if not failure.stale:
                        break
                if len(members) > 1:
                    route.avoid(member)
            if time.monotonic() - self._began > RETURN_SECONDS:
                break
            tried = members  # a client that has come back meanwhile is a new session
            members = [member for member in route.members if member not in tried]
        raise failure or Unanswered(503, NOT_CONNECTED, False)

    def _try(self, member: Member, fresh: bool) -> Answer:
        """One try: send the request, read the head of the answer. Raises Unanswered or PeerLeft."""
        front, request, upload = self._visitor.front, self._request, self._upload
        visitor = self._visitor
        data = request_to_upstream(
            request,
            member.host_header or request.host or member.own_host,
            visitor.address,
            visitor.scheme,
            self._request_id,
            visitor.trusted,
            LOOP_ID,
        )
        if OWN_COOKIE in data:  # of the admin page, which may be on another port of this host
            data = without_cookie(data, OWN_COOKIE)
        try:
            stream = member.session.pool.take(member.target, front.config.connect_timeout, fresh)
        except NoStream:
            raise Unanswered(503, NOT_CONNECTED, repeatable=True) from None
        if upload is not None:
            data += upload.first
        reused = stream.target != ""
        before = stream.sent if reused else 0
        received = stream.received if reused else 0
        try:
            self._connection.dependant = stream.connection
            now = time.monotonic()
            if now - self._began > PATIENT_SECONDS and self._connection.peer_has_left():
                raise PeerLeft("the visitor has left while it waited for a stream")
            stream.connection.deadline = now + front.config.response_timeout
            if self.watch is not None:
                self.watch.attach(stream, member)
            if reused:
                stream.write(data)
            else:
                stream.target = member.target
                stream.open(Open(member.target, self._connection.peer), data)
            if upload is not None and not upload.complete:
                upload.start(stream, front.config.response_timeout)
            got = self._read_head(stream)
        except BaseException as error:
            self._abandon(member, stream, error)
            if isinstance(error, PeerLeft) or not isinstance(error, Exception):
                raise
            raise self._failure(error, reused) from None
        if type(got) is not tuple:
            raise self._ended(got, member, stream, before, reused)
        if upload is not None:
            upload.answered()
        if not reused:
            member.session.reached(member.target)
        stream.connection.deadline = math.inf
        answer = Answer(visitor, request, got[0], got[1], member, stream, upload)
        answer.sent_before = before
        answer.received_before = received
        return answer

    def _read_head(self, stream: Stream) -> Any:
        """The answer's final head and the bytes behind it; or what came instead: a message, None for a lost stream."""
        data = b""
        while True:
            got = stream.read()
            if type(got) is not list:
                if data:
                    raise ConnectionResetError("the upstream ended within its head")
                return got
            data += got[0] if len(got) == 1 else b"".join(got)
            while data:
                response = parse_response(data, self._request.method)
                if response is None:
                    break
                if response.status >= 200 or response.status == 101:
                    if response.status == 101 and not (self._request.upgrade and response.upgrade):
                        raise HeadError(502, "the upstream switches protocols unasked")
                    return response, data[response.end :]
                if self._request.minor == 1:
                    self._to_visitor(interim_to_visitor(response))
                data = data[response.end :]

    def _to_visitor(self, data: bytes) -> None:
        try:
            self._connection.deadline = time.monotonic() + pages.WRITE_SECONDS
            self._connection.write(data)
        except OSError:
            raise PeerLeft("the visitor has left") from None

    # When there is none

    def _abandon(self, member: Member, stream: Stream, error: BaseException | None) -> None:
        if self._upload is not None:
            self._upload.stop()
        if isinstance(error, FrameError | MessageError):
            member.session.pool.fail(stream, error)
        else:
            member.session.pool.cut_off(stream)

    def _failure(self, error: BaseException | None, reused: bool) -> Exception:
        """What a try that broke off means."""
        upload = self._upload
        if upload is not None and upload.broken:
            return PeerLeft("the visitor has left within its upload")
        if upload is not None and upload.malformed:
            return Unanswered(400, upload.malformed, False)
        repeatable = self._request.method in _IDEMPOTENT
        if isinstance(error, TimedOut):
            return Unanswered(504, TOO_SLOW, False)
        if isinstance(error, HeadError | FrameError | MessageError):
            return Unanswered(502, NOT_UNDERSTOOD, False)
        if error is None or isinstance(error, OSError):
            return Unanswered(502, NO_ANSWER, repeatable, stale=reused)
        return error if isinstance(error, Exception) else RuntimeError(str(error))

    def _ended(self, got: Any, member: Member, stream: Stream, before: int, reused: bool) -> Exception:
        """The stream brought a message, or its end (None), where an answer should have begun."""
        upload = self._upload
        if got is None or (upload is not None and (upload.broken or upload.malformed)):
            self._abandon(member, stream, None)
            return self._failure(None, reused)
        if upload is not None:
            upload.stop()  # if that cuts a frame, it closes the stream, too
        # From here on it may carry another visitor, who must not be hurt when this one leaves.
        self._connection.dependant = None
        member.session.pool.release(stream, heard_finish=True)
        if isinstance(got, Refuse):
            member.session.missed(member.target, got.detail or got.reason)
            return Unanswered(504 if got.reason == TIMED_OUT else 502, NO_ANSWER, repeatable=True)
        repeatable = self._request.method in _IDEMPOTENT
        if got.delivered <= before:
            repeatable = True  # the upstream had ended before a byte of this request reached it
        return Unanswered(502, NO_ANSWER, repeatable, stale=reused)

    def _answer(self, status: int, text: str, host: str) -> bool:
        """Answer the visitor ourselves."""
        upload = self._upload
        whole = upload is None or upload.complete
        keep_alive = self._request.keep_alive and whole and not self._visitor.front.stopping
        self._count(host, status)
        self._connection.deadline = time.monotonic() + pages.WRITE_SECONDS
        page = pages.page(status, text, self._request, keep_alive, self._request_id, self._visitor.front.stamp)
        if self.watch is not None:
            self.watch.answered(self._unsent(), page)
        self._connection.write(page)
        if not whole:
            self._visitor.linger()
        elif self._visitor.buffer:
            gevent.sleep(0)  # pipelined: one visitor's many requests must not keep all others waiting
        return keep_alive
