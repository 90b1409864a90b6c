"""Server-sent events: who hears what, and what becomes of the slow."""

import json

import gevent
import pytest

from appliance.admin import broadcast as module
from appliance.admin.broadcast import MOST_LISTENERS, MOST_WAITING_BYTES, Broadcast, Full

LOG, BOTH = frozenset({"log"}), frozenset({"log", "sample"})


def test_everybody_hears_what_it_wants_once() -> None:
    broadcast = Broadcast()
    log, both = broadcast.listen(LOG), broadcast.listen(BOTH)
    broadcast.publish("log", {"text": "<b>\n\r\u2028</b>"})
    broadcast.publish("sample", 1)
    assert both.take(1).count(b"event: ") == 2
    (event, data, *rest) = log.take(1).split(b"\n")
    assert event == b"event: log" and rest == [b"", b""]
    assert json.loads(data.removeprefix(b"data: ")) == {"text": "<b>\n\r\u2028</b>"}, "no line break of its own"
    assert log.take(0.001) == b""


def test_nothing_is_put_together_for_nobody() -> None:
    broadcast = Broadcast()
    assert not broadcast.wanted("log")
    broadcast.publish("log", object())  # which is no JSON
    broadcast.listen(LOG)
    assert broadcast.wanted("log") and not broadcast.wanted("sample")


def test_there_is_room_for_so_many() -> None:
    broadcast = Broadcast()
    first, *_ = (broadcast.listen(LOG) for _ in range(MOST_LISTENERS))
    with pytest.raises(Full):
        broadcast.listen(LOG)
    broadcast.leave(first)
    broadcast.leave(first)
    broadcast.listen(LOG)


def test_a_slow_one_is_dropped_and_forgets_what_waits() -> None:
    broadcast = Broadcast()
    slow, quick = broadcast.listen(LOG), broadcast.listen(LOG)
    body = broadcast.stream(slow)
    assert next(body).startswith(b"retry: ")
    for _ in range(MOST_WAITING_BYTES // 100_000 + 1):
        broadcast.publish("log", "x" * 100_000)
        assert quick.take(1)
    assert slow.closed and not quick.closed
    assert list(body) == [] and len(broadcast) == 1


def test_silence_is_broken_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    broadcast = Broadcast()
    body = broadcast.stream(broadcast.listen(LOG))
    next(body)
    assert next(body) == b": still here\n\n"


def test_an_event_ends_the_wait() -> None:
    broadcast = Broadcast()
    body = broadcast.stream(broadcast.listen(LOG))
    next(body)
    gevent.spawn(broadcast.publish, "log", 1)
    with gevent.Timeout(5):
        assert next(body) == b"event: log\ndata: 1\n\n"


def test_who_may_listen_no_more_is_sent_away_at_once() -> None:
    broadcast = Broadcast()
    valid = [True]
    body = broadcast.stream(broadcast.listen(LOG, lambda: valid[0]))
    next(body)
    broadcast.check()
    valid[0] = False
    gevent.spawn(broadcast.check)
    with gevent.Timeout(5):
        assert list(body) == []
    assert len(broadcast) == 0


def test_all_end_with_the_server() -> None:
    broadcast = Broadcast()
    bodies = [broadcast.stream(broadcast.listen(LOG)) for _ in range(3)]
    for body in bodies:
        next(body)
    broadcast.close()
    with gevent.Timeout(5):
        assert [list(body) for body in bodies] == [[], [], []]


def test_the_first_listener_is_noticed() -> None:
    broadcast = Broadcast()
    noticed: list[int] = []
    broadcast.on_first = lambda: noticed.append(len(broadcast))
    first = broadcast.listen(LOG)
    broadcast.listen(LOG)
    assert noticed == [1]
    broadcast.leave(first)
