"""The pool with streams that are none: every state, every way out of it, and nobody forgotten."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.tunnel import pool as pool_module
from appliance.tunnel.pool import BOUND, IDLE, IN_USE, RELEASING, NoStream, Pool
from appliance.wire.frames import FrameError
from appliance.wire.messages import UNREACHABLE, Finish, MessageError, Refuse

SECONDS = 5.0  # longer than any wait here should last
A, B = "http://a:1", "http://b:1"


class FakeStream:
    """`coming`: what is read next, an exception to raise it; `held` of these come without an event of the socket."""

    def __init__(self) -> None:
        self.connection: Any = SimpleNamespace(closed=False, deadline=0.0, on_idle=None, armed=False)
        self.connection.arm = lambda: setattr(self.connection, "armed", True)
        self.target = ""
        self.state = IN_USE
        self.since = self.heard = 0.0
        self.tap = None
        self.coming: deque[Any] = deque()
        self.held = 0
        self.said: list[Any] = []
        self.reads = 0
        self.refuses = False  # the peer takes no more bytes

    @property
    def holding(self) -> bool:
        return self.held > 0

    def read_ready(self) -> Any:
        self.reads += 1
        self.held = max(0, self.held - 1)
        got = self.coming.popleft() if self.coming else None
        if isinstance(got, Exception):
            raise got
        return got

    def hears(self, *got: Any) -> None:
        """Something comes on the socket: the hub asks who wants it."""
        self.coming.extend(got)
        for _ in got:
            if self.connection.on_idle is None or not self.connection.on_idle():
                return

    def send(self, message: Any) -> None:
        if self.refuses:
            raise ConnectionResetError
        self.said.append(message)

    def send_now(self, message: Any) -> None:
        if self.refuses:
            self.close()
        self.said.append(message)

    def ping_now(self) -> None:
        self.send_now("ping")

    def stir_now(self) -> None:
        self.said.append("stirred")

    def fail(self, error: Exception) -> None:
        self.said.append(error)
        self.close()

    def close(self) -> None:
        self.connection.closed = True

    def abort(self) -> None:
        self.said.append("aborted")
        self.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pool_module, "time", clock)
    return clock


class Fixture:
    """A pool, what it has asked for, and what it has complained of."""

    def __init__(self, warm: int = 2, most: int = 100) -> None:
        self.asked: list[int] = []
        self.faults: list[str] = []
        self.pool = Pool(self.asked.append, lambda error: self.faults.append(str(error)), warm, most)

    def add(self, count: int = 1) -> list[Any]:
        streams: list[Any] = [FakeStream() for _ in range(count)]
        for stream in streams:
            assert self.pool.add(stream)
        return streams

    def bound(self, target: str = A) -> Any:
        """A stream at rest, bound to a target."""
        stream: Any = self.add()[0]
        assert self.pool.take(target, 0, fresh=True) is stream
        stream.target = target
        self.pool.give_back(stream)
        return stream

    def taker(self, target: str = A, seconds: float = SECONDS, fresh: bool = False) -> Any:
        """A greenlet that waits in `take`."""
        taker = gevent.spawn(self._take, target, seconds, fresh)
        gevent.sleep(0)
        return taker

    def _take(self, target: str, seconds: float, fresh: bool) -> Any:
        """NoStream is a result like another: raised in a greenlet, it would be printed."""
        try:
            return self.pool.take(target, seconds, fresh)
        except NoStream as error:
            return error

    def check(self) -> None:
        """Each stream is in one place, the one that its state says; nothing closed is kept."""
        pool: Any = self.pool
        places = [(stream, IDLE) for stream in pool._idle]
        places += [(stream, BOUND) for streams in pool._bound.values() for stream in streams]
        places += [(stream, RELEASING) for stream in pool._releasing]
        assert len({stream for stream, _ in places}) == len(places) == pool.resting
        for stream, state in places:
            assert stream.state == state
            assert not stream.connection.closed
            assert stream.connection.armed
            assert not stream.holding
        assert {stream for stream, _ in places} <= pool._all
        assert all(stream.state == IN_USE for stream in pool._all - {stream for stream, _ in places})
        assert pool.used + pool.resting == len(pool._all)
        assert not (pool._waiting and pool._idle)
        assert not (pool.closed and (places or pool._waiting))


@pytest.fixture
def it() -> Fixture:
    return Fixture()


def test_what_was_used_last_is_taken_first(it: Fixture) -> None:
    cold, warm = it.add(2)
    assert it.pool.take(A, 0) is warm
    assert it.pool.take(A, 0) is cold
    assert (it.pool.used, it.pool.resting) == (2, 0)


def test_a_bound_stream_is_for_its_upstream_alone(it: Fixture) -> None:
    bound = it.bound(A)
    (idle,) = it.add()
    assert it.pool.take(B, 0) is idle
    assert it.pool.take(A, 0) is bound
    assert bound.target == A


def test_fresh_passes_the_bound_ones_over(it: Fixture) -> None:
    it.bound(A)
    (idle,) = it.add()
    assert it.pool.take(A, 0, fresh=True) is idle


def test_too_many_are_not_taken_in() -> None:
    it = Fixture(most=2)
    it.add(2)
    assert not it.pool.add(FakeStream())  # type: ignore[arg-type]
    it.check()


def test_a_client_that_opens_streams_without_end_does_not_use_up_the_server_s_descriptors() -> None:
    it = Fixture(warm=8, most=100_000)
    count = 0
    while it.pool.add(FakeStream()):  # type: ignore[arg-type]
        count += 1
        assert count < 1000
    assert count == 2 * 8 + pool_module.MOST_UNASKED + 1
    for _ in range(50):
        it.pool.take(A, 0)
    it.add(60)  # some are used, so there may be more
    it.check()


# ---- asking


def test_who_waits_is_asked_for_and_some_to_keep_warm(it: Fixture) -> None:
    taker = it.taker()
    assert it.asked == [3]
    (stream,) = it.add()
    assert taker.get(timeout=SECONDS) is stream


def test_nothing_is_asked_for_twice(it: Fixture) -> None:
    takers = [it.taker() for _ in range(3)]
    assert it.asked == [3, 1, 1]
    streams = it.add(5)
    assert [taker.get(timeout=SECONDS) for taker in takers] == streams[:3]
    it.pool.top_up()
    assert it.asked == [3, 1, 1]


def test_what_was_asked_for_and_did_not_come_is_asked_for_again(it: Fixture, clock: Clock) -> None:
    it.pool.top_up()
    clock.now += pool_module.ASK_SECONDS / 2
    it.pool.top_up()
    assert it.asked == [2]
    clock.now += pool_module.ASK_SECONDS
    it.pool.top_up()
    assert it.asked == [2, 2]


def test_running_low_asks_ahead_of_need() -> None:
    it = Fixture(warm=4)
    it.add(4)
    it.pool.take(A, 0)
    it.pool.take(A, 0)
    assert it.asked == []
    it.pool.take(A, 0)
    assert it.asked == [3]


def test_no_more_are_asked_for_than_may_be() -> None:
    it = Fixture(warm=10, most=4)
    it.add(1)
    it.pool.top_up()
    assert it.asked == [3]


def test_none_need_to_be_kept_warm() -> None:
    it = Fixture(warm=0)
    it.pool.top_up()
    assert it.asked == []
    taker = it.taker()
    assert it.asked == [1]
    (stream,) = it.add()
    assert taker.get(timeout=SECONDS) is stream


def test_under_load_more_are_kept(it: Fixture) -> None:
    it.add(40)
    for _ in range(40):
        it.pool.take(A, 0)
    it.asked.clear()
    it.add(1)
    it.pool._asked = 0
    it.pool.top_up()
    assert it.asked == [9]


# ---- waiting


def test_first_come_first_served(it: Fixture) -> None:
    first, second = it.taker(), it.taker()
    one, two = it.add(2)
    assert (first.get(timeout=SECONDS), second.get(timeout=SECONDS)) == (one, two)


def test_none_in_time(it: Fixture) -> None:
    with pytest.raises(NoStream, match="within 0.01 seconds"):
        it.pool.take(A, 0.01)
    it.check()
    (stream,) = it.add()
    assert it.pool.take(A, 0) is stream


class TooLate(Event):
    """A wait that runs out of time in the same turn of the loop in which it is served."""

    at_the_end: Callable[[], object]

    def wait(self, timeout: float | None = None) -> Any:
        TooLate.at_the_end()
        return False


def test_one_that_comes_in_the_moment_time_is_up_is_not_lost(it: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "Event", TooLate)
    came: list[Any] = []
    TooLate.at_the_end = lambda: came.extend(it.add())
    assert [it.pool.take(A, 0.01)] == came
    TooLate.at_the_end = it.pool.close
    with pytest.raises(NoStream, match="gone"):
        it.pool.take(A, 0.01)


def test_who_is_ended_while_waiting_is_forgotten(it: Fixture) -> None:
    taker = it.taker()
    taker.kill()
    (stream,) = it.add()
    assert it.pool.take(A, 0) is stream
    it.check()


def test_what_came_for_who_is_being_ended_is_not_kept(it: Fixture) -> None:
    taker = it.taker()
    gevent.get_hub().loop.run_callback(taker.throw, gevent.GreenletExit)
    (stream,) = it.add()  # its turn would have been next
    taker.join()
    assert stream.connection.closed
    assert it.pool.used == 0
    it.check()


def test_the_session_ends_while_somebody_waits(it: Fixture) -> None:
    taker = it.taker()
    it.pool.close()
    assert str(taker.get(timeout=SECONDS)) == "the client has gone"
    with pytest.raises(NoStream, match="gone"):
        it.pool.take(A, SECONDS)
    it.check()


def test_a_stream_that_comes_back_bound_goes_to_who_waits_for_its_upstream(it: Fixture) -> None:
    (used,) = it.add()
    it.pool.take(A, 0)
    used.target = A
    other, fresh, same = it.taker(B), it.taker(A, fresh=True), it.taker(A)
    it.pool.give_back(used)
    assert same.get(timeout=SECONDS) is used
    assert used.state == IN_USE
    one, two = it.add(2)
    assert (other.get(timeout=SECONDS), fresh.get(timeout=SECONDS)) == (one, two)


# ---- at the limit of streams


def test_at_the_limit_the_coldest_bound_stream_is_freed_for_another_upstream(clock: Clock) -> None:
    it = Fixture(warm=0, most=2)
    cold = it.bound(A)
    clock.now += 1
    warm = it.bound(B)
    taker = it.taker("http://c:1")
    assert (cold.state, warm.state) == (RELEASING, BOUND)
    assert cold.said == [Finish()]
    cold.hears(Finish())
    assert taker.get(timeout=SECONDS) is cold
    assert cold.target == ""


def test_at_the_limit_one_is_freed_for_each_who_waits() -> None:
    it = Fixture(warm=0, most=3)
    bound = [it.bound(A), it.bound(A + "1"), it.bound(A + "2")]
    takers = [it.taker(B), it.taker(B)]
    assert [stream.state for stream in bound] == [RELEASING, RELEASING, BOUND]
    for stream in bound[:2]:
        stream.hears(Finish())
    assert [taker.get(timeout=SECONDS) for taker in takers] == bound[:2]


def test_at_the_limit_what_comes_back_bound_is_freed_for_who_waits() -> None:
    it = Fixture(warm=0, most=1)
    (stream,) = it.add()
    it.pool.take(A, 0)
    stream.target = A
    taker = it.taker(B)
    it.pool.give_back(stream)
    assert stream.state == RELEASING
    stream.hears(Finish())
    assert taker.get(timeout=SECONDS) is stream


def test_a_client_at_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens no more although it is asked to; after a while, a kept connection is given up for who waits."""
    monkeypatch.setattr(pool_module, "SCARCE_SECONDS", 0.01)
    it = Fixture(warm=0, most=100)
    stream = it.bound(A)
    taker = it.taker(B)
    assert stream.state == BOUND
    assert gevent.wait([taker], timeout=0.05) == []
    assert stream.state == RELEASING
    stream.hears(Finish())
    assert taker.get(timeout=SECONDS) is stream
    assert str(it.taker(B, seconds=0.05).get(timeout=SECONDS)) == "the client opened no stream within 0.05 seconds"


def test_at_the_limit_with_nothing_to_free() -> None:
    it = Fixture(warm=0, most=1)
    it.add()
    it.pool.take(A, 0)
    with pytest.raises(NoStream):
        it.pool.take(A, 0.01)
    it.check()


# ---- giving back


def test_released_and_idle_once_the_client_has_finished(it: Fixture, clock: Clock) -> None:
    (stream,) = it.add()
    it.pool.take(A, 0)
    stream.target = A
    it.pool.release(stream)
    assert (stream.state, stream.said) == (RELEASING, [Finish()])
    assert stream.connection.deadline == clock.now + pool_module.RELEASE_SECONDS
    stream.hears(Finish())
    assert (stream.state, stream.target) == (IDLE, "")
    it.check()


def test_released_when_the_client_has_finished_before(it: Fixture) -> None:
    (stream,) = it.add()
    it.pool.take(A, 0)
    stream.target = A
    it.pool.release(stream, heard_finish=True)
    assert (stream.state, stream.target, stream.said) == (IDLE, "", [Finish()])


@pytest.mark.parametrize("give", ["give_back", "release"])
def test_a_finish_that_came_with_the_answer_causes_no_event(it: Fixture, give: str) -> None:
    """It is held by the stream: waiting for the socket to tell of it would be for ever."""
    (stream,) = it.add()
    it.pool.take(A, 0)
    stream.target = A
    stream.coming.append(Finish())
    stream.held = 1
    getattr(it.pool, give)(stream)
    assert (stream.state, stream.target, stream.said) == (IDLE, "", [Finish()])
    it.check()


def test_released_to_a_client_that_takes_nothing(it: Fixture) -> None:
    (stream,) = it.add()
    it.pool.take(A, 0)
    stream.refuses = True
    it.pool.release(stream)
    assert stream.connection.closed
    it.check()


def test_discarded(it: Fixture) -> None:
    (used,) = it.add()
    it.pool.take(A, 0)
    bound = it.bound(B)
    (idle,) = it.add()
    for stream in (used, idle, bound):
        it.pool.discard(stream)
        it.pool.discard(stream)
        assert stream.connection.closed
    assert not it.pool._all
    it.check()


def test_cut_off(it: Fixture) -> None:
    (used,) = it.add()
    it.pool.take(A, 0)
    it.pool.cut_off(used)
    assert (used.said, used.connection.closed) == (["aborted"], True)
    assert not it.pool._all
    it.check()


def test_the_end_of_a_session(it: Fixture) -> None:
    """What rests is closed at once, what is in use when it comes back."""
    used = it.add(3)
    for stream in used:
        it.pool.take(A, 0)
        stream.target = A
    bound, (idle,) = it.bound(B), it.add()
    releasing = it.bound(B)
    it.pool.take(B, 0)
    it.pool.release(releasing)
    it.pool.close()
    assert all(stream.connection.closed for stream in (bound, idle, releasing))
    assert not any(stream.connection.closed for stream in used)
    it.pool.give_back(used[0])
    it.pool.release(used[1])
    it.pool.release(used[2], heard_finish=True)
    assert all(stream.connection.closed for stream in used)
    assert not it.pool.add(FakeStream())  # type: ignore[arg-type]
    it.asked.clear()
    it.pool.top_up()
    assert not it.asked
    it.check()


# ---- what is heard at rest


def test_an_upstream_that_ends_a_kept_connection(it: Fixture) -> None:
    stream = it.bound(A)
    taker = it.taker(B)
    stream.hears(Finish(delivered=7))
    assert stream.said == [Finish()]
    assert taker.get(timeout=SECONDS) is stream
    assert stream.target == ""
    it.check()


def test_a_client_that_takes_no_answer_to_that(it: Fixture) -> None:
    stream = it.bound(A)
    stream.refuses = True
    stream.hears(Finish())
    assert stream.connection.closed
    it.check()


def test_an_upstream_that_speaks_unasked_is_not_heard_by_the_next_visitor(it: Fixture) -> None:
    stream = it.bound(A)
    stream.hears([b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
    assert stream.connection.closed
    assert not it.faults
    it.check()


def test_an_upstream_that_goes_on_after_our_end(it: Fixture) -> None:
    (stream,) = it.add()
    it.pool.take(A, 0)
    stream.target = A
    it.pool.release(stream)
    stream.hears([b"more"])
    assert stream.connection.closed
    assert not it.faults
    it.check()


@pytest.mark.parametrize("got", [[b"bytes"], Finish(), Refuse(UNREACHABLE), MessageError("m"), FrameError("f")])
def test_a_client_that_breaks_the_protocol_on_an_idle_stream(it: Fixture, got: Any) -> None:
    (stream,) = it.add()
    stream.hears(got)
    assert stream.connection.closed
    assert len(it.faults) == 1
    assert str(stream.said[-1]) == it.faults[0]
    it.check()


def test_a_client_that_refuses_what_it_has_served(it: Fixture) -> None:
    stream = it.bound(A)
    stream.hears(Refuse(UNREACHABLE))
    assert it.faults == ["the client sent what nobody asked for"]
    it.check()


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError()])
def test_a_stream_that_is_lost_at_rest(it: Fixture, error: Exception) -> None:
    for stream in (it.bound(A), *it.add()):
        stream.hears(error)
        assert stream.connection.closed
    assert not it.faults
    it.check()


def test_what_comes_on_a_stream_in_use_is_its_reader_s(it: Fixture) -> None:
    (stream,) = it.add()
    it.pool.take(A, 0)
    stream.hears([b"answer"])
    assert stream.reads == 0


def test_an_answer_to_a_ping(it: Fixture, clock: Clock) -> None:
    (stream,) = it.add()
    clock.now += 3
    stream.hears(None)
    assert stream.heard == clock.now
    stream.connection.closed = True  # it was cut off for taking no answer to a ping of its own
    stream.hears(None)
    it.check()
    assert not it.pool._all


def test_one_read_an_event(it: Fixture) -> None:
    """A client that sends without end must not keep the hub."""
    (stream,) = it.add()
    stream.coming.extend([None] * 10)
    stream.connection.on_idle()
    assert stream.reads == 1


def test_once_handed_on_nothing_more_is_read(it: Fixture) -> None:
    stream = it.bound(A)
    taker = it.taker(B)
    stream.coming.extend([Finish(), [b"for who has it now"]])
    stream.held = 2
    stream.connection.on_idle()
    assert taker.get(timeout=SECONDS) is stream
    assert (stream.reads, stream.connection.closed) == (1, False)


# ---- heartbeats

BEAT = 20.0


def test_what_rests_is_pinged(it: Fixture) -> None:
    bound, (idle,) = it.bound(A), it.add()
    (used,) = it.add()
    it.pool.take(B, 0)
    it.pool.beat(BEAT)
    assert (bound.said, idle.said, used.said) == (["ping"], ["ping"], ["stirred"])


def test_what_does_not_answer_is_dropped(it: Fixture, clock: Clock) -> None:
    silent, answering = it.add(2)
    for _ in range(2):
        clock.now += BEAT
        it.pool.beat(BEAT)
        answering.hears(None)
    assert not silent.connection.closed
    clock.now += BEAT
    it.pool.beat(BEAT)
    assert (silent.connection.closed, answering.connection.closed) == (True, False)
    it.check()


def test_what_takes_no_ping_is_dropped(it: Fixture) -> None:
    bound, (idle,) = it.bound(A), it.add()
    bound.refuses = idle.refuses = True
    it.pool.beat(BEAT)
    assert bound.connection.closed and idle.connection.closed
    it.check()


def test_upstream_connections_are_not_kept_for_ever(it: Fixture, clock: Clock) -> None:
    stream = it.bound(A)
    clock.now += pool_module.BOUND_SECONDS + 1
    it.pool.beat(BEAT)
    assert (stream.state, stream.said) == (RELEASING, [Finish()])
    it.check()
    clock.now += pool_module.RELEASE_SECONDS + 1
    it.pool.beat(BEAT)  # the upstream does not end after we have
    assert stream.connection.closed
    it.check()


def test_one_that_cannot_be_told_so_is_dropped(it: Fixture, clock: Clock) -> None:
    stream = it.bound(A)
    stream.refuses = True
    clock.now += pool_module.BOUND_SECONDS + 1
    it.pool.beat(BEAT)
    assert stream.connection.closed
    it.check()


def test_spare_streams_are_closed_by_and_by_the_coldest_first(it: Fixture, clock: Clock) -> None:
    it.bound(A)
    it.asked.clear()
    streams = it.add(10)

    def beat() -> int:
        for stream in streams:
            stream.hears(None)
        it.pool.beat(BEAT)
        it.check()
        return sum(not stream.connection.closed for stream in streams)

    clock.now += pool_module.SPARE_SECONDS - 1
    assert beat() == 10
    clock.now += 2
    assert [beat() for _ in range(6)] == [6, 4, 3, 2, 2, 2]
    assert not any(stream.connection.closed for stream in streams[-2:])
    assert it.asked == []
    assert not it.pool._bound


# ---- all together

TARGETS = st.sampled_from([A, B])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["add", "take", "fresh", "give", "give holding", "release", "heard", "discard", "hear", "beat"]
            ),
            st.integers(0, 30),
            TARGETS,
            st.sampled_from([None, Finish(), [b"bytes"], EOFError(), MessageError("no")]),
            st.integers(0, 5),
        ),
        max_size=40,
    ),
    st.booleans(),
)
def test_any_order_of_events_leaves_each_stream_in_one_place(events: list[Any], close: bool) -> None:
    it = Fixture(warm=2, most=6)
    everything: list[Any] = []
    takers: list[Any] = []
    used: set[Any] = set()
    for action, index, target, got, refused in events:
        pick = sorted(used, key=everything.index)[index % len(used)] if used else None
        if action == "add":
            stream: Any = FakeStream()
            if it.pool.add(stream):
                everything.append(stream)
        elif action in ("take", "fresh"):
            takers.append((it.taker(target, fresh=action == "fresh"), target))
        elif action == "beat":
            it.pool.beat(BEAT)
        elif action == "hear" and everything:
            stream = everything[index % len(everything)]
            stream.refuses = refused == 0
            if not stream.connection.closed and stream not in used and stream.state != IN_USE:
                stream.hears(got)
        elif pick is not None:
            used.discard(pick)
            if action == "give holding":
                pick.coming.append(Finish())
                pick.held = 1
            if action.startswith("give"):
                it.pool.give_back(pick)
            elif action in ("release", "heard"):
                it.pool.release(pick, heard_finish=action == "heard")
            else:
                it.pool.discard(pick)
        gevent.sleep(0)
        for taker, wanted in [pair for pair in takers if pair[0].ready()]:
            takers.remove((taker, wanted))
            taken = taker.get()
            assert taken.target in ("", wanted)
            assert taken not in used
            taken.target = wanted
            used.add(taken)
        it.check()
        assert it.pool.used == len(used)
    if close:
        it.pool.close()
    for taker, _ in takers:
        taker.kill()
    for stream in used:
        it.pool.discard(stream)
    it.check()
    assert it.pool.used == 0


# ---- doubts


def test_who_takes_a_stream_will_doubt(clock: Any) -> None:
    doubts: list[str] = []
    fixture = Fixture()
    fixture.pool._doubt = lambda: doubts.append("?")
    idle, bound = fixture.add()[0], fixture.bound()
    for stream in (bound, idle):
        stream.connection.doubt_at = 0.0
        assert fixture.pool.take(A, 0) is stream
        assert stream.connection.doubt_at == clock.now + pool_module.DOUBT_SECONDS
        assert stream.connection.on_doubt is fixture.pool._doubt
    assert not doubts


def test_who_gets_no_stream_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "SCARCE_SECONDS", 0.01)
    doubts: list[str] = []
    fixture = Fixture()
    fixture.pool._doubt = lambda: doubts.append("?")
    with pytest.raises(NoStream):
        fixture.pool.take(A, 0.02)
    assert doubts == ["?"]


def test_a_client_that_has_gone_without_a_word() -> None:
    """What is in use is cut off with the rest."""
    fixture = Fixture()
    used, _, resting = fixture.add(3)
    assert {fixture.pool.take(A, 0) for _ in range(2)} != {used}
    fixture.pool.cut_off_all()
    assert fixture.pool.closed
    assert all(stream.connection.closed for stream in (used, resting))
    assert not fixture.pool._all
    fixture.check()
