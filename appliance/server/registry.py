"""The connected clients: who they are, how they come and go, and the life of each session."""

from __future__ import annotations

import errno
import hmac
import logging
import time
from weakref import WeakSet

from gevent import Timeout
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from appliance.config.control_plane import ControlPlaneOptions
from appliance.server.client_tokens import OWN, Bearer, ClientTokens
from appliance.server.comings import Comings
from appliance.server.offers import Offers, read_offers, read_ports
from appliance.transport import tasks
from appliance.transport.channel import Channel
from appliance.transport.connection import Connection, TimedOut
from appliance.transport.stream import Stream
from appliance.tunnel.carrier import Carrier, Dial
from appliance.tunnel.counters import ControlCounters
from appliance.tunnel.pool import Pool
from appliance.tunnel.session import Session
from appliance.wire import frames
from appliance.wire.frames import FrameError
from appliance.wire.messages import Drain, Evicted, Grow, Hello, MessageError, Refusal, Served, Update, Welcome

HELLO_SECONDS = 10.0
STALL_SECONDS = 60.0  # a client that takes no bytes of a visitor for this long is given up

log = logging.getLogger("sluice.session")


class Registry:
    """Sessions by client id, and by the session id that their streams name."""

    def __init__(
        self,
        config: ControlPlaneOptions,
        offers: Offers,
        counters: ControlCounters,
        most_streams: int,
        plain: bool,
        tokens: ClientTokens,
    ) -> None:
        self._config = config
        self.tokens = tokens
        tokens.on_change = self._end_without_token
        self.offers = offers
        self.comings = Comings()
        self._counters = counters
        self._most_streams = most_streams
        self._plain = plain
        self._by_client: dict[str, Attendance] = {}
        self._by_session: dict[str, Attendance] = {}
        self._carriers: set[Carrier] = set()  # of all sessions, also of those that are over
        self._unheard: set[Channel] = set()  # their hello is still to come
        # Of clients with a token of their own; also those that are over, while streams of theirs are left.
        self._with_token: WeakSet[Attendance] = WeakSet()
        self.draining = False

    def sessions(self) -> list[Session]:
        return [attendance.session for attendance in self._by_client.values()]

    def disconnect(self, client_id: str) -> bool:
        """End the client's session, if it has one. It will come back by itself."""
        attendance = self._by_client.get(client_id)
        if attendance is not None:
            attendance.evict("disconnected on the admin page")
        return attendance is not None

    # Streams

    def find(self, session_id: str, secret: str) -> Session | None:
        """The session that these credentials admit a stream to."""
        attendance = self._by_session.get(session_id)
        if attendance is None or not hmac.compare_digest(attendance.session.secret.encode(), secret.encode()):
            return None
        return attendance.session

    def attach_forward(self, session: Session, connection: Connection, dial: Dial) -> None:
        """A stream of a session has come that the client opens, for its local forwards. Runs until it ends."""
        attendance = self._by_session.get(session.session_id)
        carrier = Carrier(Stream(connection, server=True, plain=self._plain, opener=False), dial)
        if attendance is None or len(attendance.carriers) >= self._most_streams:
            carrier.close()
            return
        attendance.carriers.add(carrier)
        self._carriers.add(carrier)
        try:
            carrier.serve()
        finally:
            attendance.carriers.discard(carrier)
            self._carriers.discard(carrier)

    @property
    def carrying(self) -> int:
        """How many connections of clients' local forwards are open."""
        return sum(not carrier.idle for carrier in self._carriers)

    def attach(self, session: Session, connection: Connection) -> None:
        """A stream of a session has come."""
        connection.patience = STALL_SECONDS
        if not session.pool.add(Stream(connection, server=True, plain=self._plain)):
            connection.close()

    # Control channels

    def attend(self, connection: Connection, bearer: Bearer) -> None:
        """Serve a client's control channel until it ends."""
        channel = Channel(connection, server=True, plain=self._plain, heartbeat_seconds=self._config.heartbeat)
        hello = self._hear_hello(channel, connection.peer, bearer)
        if hello is not None:
            self._keep(Attendance(self, channel, hello, connection.peer, bearer), channel, hello)

    def _hear_hello(self, channel: Channel, peer: str, bearer: Bearer) -> Hello | None:
        """What a client says first; None where it is not let in, which it is told."""
        self._unheard.add(channel)
        try:
            # Not the channel's deadline, which anything that is heard puts off.
            with Timeout(HELLO_SECONDS, TimedOut(errno.ETIMEDOUT, "no hello came in time")):
                hello = channel.receive()
            if not isinstance(hello, Hello):
                raise MessageError("the first message is not hello")
            read_offers(hello.upstreams)
            read_ports(hello.ports)
            why = self._objection(hello.client_id, bearer)
            if why:
                log.warning("client %s refused: %s", hello.client_id, why)
                self.comings.refused(hello.client_id, peer, why, hello.name)
                channel.close(frames.POLICY, why)
                return None
            return hello
        except (FrameError, MessageError) as error:
            log.warning("client %s refused: %s", peer, error)
            self.comings.refused("", peer, str(error))
            channel.close(_close_code(error), str(error))
            return None
        except OSError as error:
            log.info("client %s left before it said hello: %s", peer, _reason(error))
            channel.close(frames.POLICY, _reason(error))
            return None
        finally:
            self._unheard.discard(channel)

    def _keep(self, attendance: Attendance, channel: Channel, hello: Hello) -> None:
        """A session, from its offers to its end."""
        session = attendance.session
        peer = session.remote
        reason = "closed"
        try:
            if self.draining:  # since it was let in
                raise ConnectionAbortedError(errno.ECONNABORTED, "the server is stopping")
            former = self._enter(attendance)
            attendance.serve(hello)
            if former is not None:
                self._leave(former)  # after its successor's offers: a port that both offer stays open
            attendance.welcome(self._config)
            attendance.say_refused()
            log.info("client %s connected from %s: %s", session.called, peer, attendance.described())
            self.comings.connected(hello.client_id, peer, attendance.described(), session.name)
            while True:
                message = channel.receive()
                if isinstance(message, Update):
                    if message.name != session.name:
                        log.info("client %s is now called %s", session.called, message.name or "nothing")
                        session.name = message.name
                    attendance.serve(message)
                    attendance.say_refused()
                    log.info("client %s now offers %s", session.called, attendance.described())
                else:
                    raise MessageError("hello came twice")
        except (FrameError, MessageError) as error:
            reason = str(error)
            log.warning("client %s at %s is disconnected: %s", session.called, peer, error)
            channel.close(_close_code(error), str(error))
        except OSError as error:
            reason = attendance.ended_by or _reason(error)
            if isinstance(error, TimedOut):
                reason = "it is heard no more"
                session.pool.cut_off_all()
        finally:
            channel.close()
            self._leave(attendance)
            log.info("client %s disconnected from %s: %s", session.called, peer, reason)
            self.comings.disconnected(hello.client_id, peer, reason, session.name)

    def _objection(self, client_id: str, bearer: Bearer) -> str:
        """Why who shows this token may not be this client now, or "". Ids are shown to many: a client must not be able
        to push somebody else's out."""
        if bearer.token is not None and not self.tokens.holds(bearer.token):
            return f"the token {bearer.called} was removed"
        former = self._by_client.get(client_id)
        if former is None or bearer is OWN or former.bearer == bearer:
            return ""
        return "a client with this --client-id is connected with another token"

    def _end_without_token(self) -> None:
        """Tokens have come or gone. What was let in by one that is no longer good ends, with all that it carries."""
        for attendance in tuple(self._with_token):
            token = attendance.bearer.token
            if token is not None and not self.tokens.holds(token):
                attendance.end(f"the token {token.name} was removed")
                self._leave(attendance)

    def _enter(self, attendance: Attendance) -> Attendance | None:
        """A session begins; returns the one with the same client id, most likely its own ghost, which is over."""
        client_id = attendance.session.client_id
        former = self._by_client.pop(client_id, None)
        if former is not None:
            self._counters.reconnects += 1
            former.evict("the same client id has connected again")
        self._by_client[client_id] = attendance
        self._by_session[attendance.session.session_id] = attendance
        if attendance.bearer.token is not None:
            self._with_token.add(attendance)
        return former

    def _leave(self, attendance: Attendance) -> None:
        session = attendance.session
        self.offers.withdraw(session)  # first: what it offered while its successor ended it must go, too
        if self._by_session.pop(session.session_id, None) is None:
            return
        if self._by_client.get(session.client_id) is attendance:
            del self._by_client[session.client_id]
        session.pool.close()
        for carrier in tuple(attendance.carriers):
            if carrier.idle:
                carrier.close()
        attendance.over.set()
        attendance.wake.set()

    def pool_for(self, attendance: Attendance) -> Pool:
        return Pool(attendance.ask, attendance.fault, self._config.warm_streams, self._most_streams, attendance.doubt)

    def apply(self, config: ControlPlaneOptions, most_streams: int) -> None:
        """From now on, new sessions are as this says; of all it is looked at anew what may be served."""
        self._config, self._most_streams = config, most_streams
        for attendance in tuple(self._by_client.values()):
            tasks.spawn("offers", attendance.serve_anew)

    def drain(self, reason: str) -> None:
        """Tell all clients that the server goes away, and take no new ones. Sessions go on for what is under way."""
        self.draining = True
        for attendance in tuple(self._by_client.values()):
            attendance.say_now(Drain(reason))

    def close(self, reason: str) -> None:
        """End all sessions."""
        for channel in tuple(self._unheard):
            channel.close(frames.GOING_AWAY, reason)
        for attendance in tuple(self._by_client.values()):
            attendance.evict(reason)
            self._leave(attendance)
        for carrier in tuple(self._carriers):
            carrier.close()


class Attendance:
    """A session with its control channel, and the greenlet that speaks on it unasked: heartbeats, requests to grow."""

    def __init__(self, registry: Registry, channel: Channel, hello: Hello, peer: str, bearer: Bearer) -> None:
        """`bearer`: whose token let it in."""
        self._channel = channel
        self.bearer = bearer
        self._tokens = registry.tokens
        self._wanted = 0
        self.wake = Event()
        self.over = Event()
        self.carriers: set[Carrier] = set()  # of the client's local forwards
        self.ended_by = ""  # why this side has closed the channel
        self._offers = registry.offers
        self._offered: Hello | Update = hello  # last
        self._serving = BoundedSemaphore()
        self._refused: tuple[Refusal, ...] = ()
        self._told: tuple[Refusal, ...] = ()  # to the client
        self.session = Session(hello.client_id, peer, hello.version, registry.pool_for(self), hello.name)
        self.session.token, self.session.may_forward = bearer.called, bearer.limits.forward

    def ask(self, count: int) -> None:
        """The pool wants more streams. Called wherever a visitor is, so only noted here."""
        self._wanted += count
        self.wake.set()

    def welcome(self, config: ControlPlaneOptions) -> None:
        session = self.session
        self._channel.send(Welcome(session.session_id, session.secret, config.heartbeat, config.warm_streams))
        tasks.spawn("heartbeat", self._beat, config.heartbeat)

    def serve(self, message: Hello | Update) -> None:
        """Serve what the client offers, in place of what it offered before."""
        with self._serving:  # opening a port may wait
            self._offered = message
            self._refused = self._offers.serve(self.session, message, self.bearer.limits).refused
        for refusal in self._refused:
            log.warning("%s of client %s is not served: %s", refusal.offer, self.session.called, refusal.reason)

    def say_refused(self) -> None:
        """Tell the client which of its offers are not served, and when that are none any more."""
        if self._refused or self._told:
            self._told = self._refused
            self._channel.send(Served(self._refused))

    def _serve_again(self) -> None:
        """What was refused may be had now: another program has given a port up."""
        with self._serving:
            if not self._refused:
                return
            former = self._refused
            self._refused = self._offers.serve(self.session, self._offered, self.bearer.limits).refused
        if self.over.is_set():
            self._offers.withdraw(self.session)  # it ended while a port was being opened
        elif self._refused != former:
            log.info("client %s now offers %s", self.session.called, self.described())
            self.say_refused()

    def serve_anew(self) -> None:
        """What may be served has changed."""
        former = self._refused
        self.serve(self._offered)
        if self.over.is_set():
            self._offers.withdraw(self.session)
        elif self._refused != former:
            try:
                self.say_refused()
            except OSError:
                pass  # its reader sees the same

    def evict(self, reason: str, final: bool = False) -> None:
        """Without waiting: the client may be long gone, and the one that comes after it must not wait for that."""
        self.ended_by = reason
        self._channel.send_now(Evicted(reason, final))
        self._channel.close(frames.GOING_AWAY, reason)

    def end(self, reason: str) -> None:
        """For good, and with what is under way. Without waiting."""
        self.evict(reason, final=True)
        self.session.pool.cut_off_all()
        for carrier in tuple(self.carriers):
            carrier.close()

    def say_now(self, message: Drain) -> None:
        """Without waiting."""
        self._channel.send_now(message)

    def doubt(self) -> None:
        """A visitor waits for this client: is it still there? Must not wait."""
        self._channel.probe()

    def fault(self, error: Exception) -> None:
        """The client broke the protocol on one of its streams: its session ends. Must not wait."""
        self.ended_by = f"it broke the protocol on a stream: {error}"
        self._channel.close(_close_code(error), str(error))

    def described(self) -> str:
        return ", ".join(upstream.label for upstream in self.session.upstreams) or "nothing"

    def _beat(self, heartbeat_seconds: float) -> None:
        due = time.monotonic() + heartbeat_seconds
        while not self.over.is_set():
            self.wake.wait(max(0.0, due - time.monotonic()))
            self.wake.clear()
            try:
                if self._wanted:
                    wanted, self._wanted = self._wanted, 0
                    self._channel.send(Grow(wanted))
                if time.monotonic() >= due:
                    due = time.monotonic() + heartbeat_seconds
                    self._channel.ping()
                    self._serve_again()
                    self.session.pool.beat(heartbeat_seconds)
                    if self.bearer.token is not None:
                        self._tokens.look()  # another server of this machine may have removed it
                    self.session.round_trip_seconds = self._channel.round_trip_seconds
            except OSError:
                return  # the reader of the channel sees the same, and ends the session


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _close_code(error: Exception) -> int:
    return error.code if isinstance(error, FrameError) else frames.POLICY
