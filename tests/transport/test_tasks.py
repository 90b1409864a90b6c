"""Greenlets: crashes logged and counted, ends that are none."""

from __future__ import annotations

import functools
import gc
import logging
import weakref
from collections.abc import Iterator

import gevent
import pytest
from gevent import get_hub
from gevent.event import Event
from greenlet import GreenletExit, getcurrent, greenlet

from appliance.transport import tasks
from tests.transport.wires import in_hub, in_thread, settle


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tasks.Crashes]:
    counted = tasks.Crashes()
    monkeypatch.setattr(tasks, "crashes", counted)
    yield counted


def fail(error: BaseException) -> None:
    raise error


def test_spawn_runs_soon_and_can_be_joined() -> None:
    done: list[str] = []
    greenlet = tasks.spawn("a task", done.append, "ran")
    assert not done
    greenlet.join(10)
    assert done == ["ran"]


def test_later_runs_after_a_while() -> None:
    done: list[str] = []
    greenlet = tasks.later(0.01, "a task", done.append, "ran")
    settle()
    greenlet.join(10)
    assert done == ["ran"]
    cancelled = tasks.later(60, "another", done.append, "never")
    cancelled.kill()
    assert done == ["ran"]


def test_run_now_runs_at_once_until_it_first_waits() -> None:
    done: list[str] = []
    go = Event()

    def work(first: str, second: str) -> None:
        done.append(first)
        assert go.wait(10)
        done.append(second)

    def call_back() -> list[str]:
        tasks.run_now("a task", work, "one", "two")
        return list(done)

    assert in_hub(call_back) == ["one"]
    go.set()
    settle()
    assert done == ["one", "two"]


def test_run_now_s_greenlets_are_used_again_and_keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_resting", [])
    seen: list[int] = []

    class Argument:
        pass

    def work(argument: Argument) -> None:
        seen.append(id(getcurrent()))
        gevent.sleep(0)

    gone = []
    for _ in range(5):
        argument = Argument()
        gone.append(weakref.ref(argument))
        in_hub(functools.partial(tasks.run_now, "a task", work, argument))
        del argument
        settle()
    assert len(set(seen)) == 1
    gc.collect()
    assert [each() for each in gone] == [None] * 5


def test_of_run_now_s_greenlets_only_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    resting: list[greenlet] = []
    monkeypatch.setattr(tasks, "_resting", resting)
    go = Event()
    for _ in range(tasks.MOST_RESTING + 20):
        in_hub(lambda: tasks.run_now("a task", go.wait))
    go.set()
    settle()
    assert len(resting) == tasks.MOST_RESTING


def test_a_crash_does_not_spoil_the_next_task(crashes: tasks.Crashes) -> None:
    done: list[str] = []
    for error in (ValueError("oh"), GreenletExit()):
        in_hub(lambda error=error: tasks.run_now("the culprit", fail, error))  # type: ignore[misc]
        in_hub(lambda: tasks.run_now("a task", done.append, "ran"))
    assert done == ["ran", "ran"]
    assert crashes.count == 1


def test_each_thread_has_greenlets_of_its_own() -> None:
    def elsewhere() -> list[str]:
        done: list[str] = []
        for _ in range(2):
            get_hub().loop.run_callback(tasks.run_now, "a task", done.append, "ran")
            gevent.sleep(0)
        get_hub().destroy(destroy_loop=True)
        return done

    done: list[str] = []
    in_hub(lambda: tasks.run_now("a task", done.append, "here"))
    assert in_thread(elsewhere).get(timeout=10) == ["ran", "ran"]
    in_hub(lambda: tasks.run_now("a task", done.append, "here"))
    assert done == ["here", "here"]


@pytest.mark.parametrize("error", [ValueError("oh"), OSError("no"), gevent.Timeout(5)])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_crash_is_logged_with_its_name_and_counted(
    crashes: tasks.Crashes,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    at_once: bool,
) -> None:
    if at_once:
        in_hub(lambda: tasks.run_now("the culprit", fail, error))
    else:
        tasks.spawn("the culprit", fail, error).join(10)
    assert crashes.count == 1
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "the culprit" in record.getMessage()
    assert record.exc_info
    assert record.exc_info[1] is error
    assert capsys.readouterr() == ("", "")


def test_a_kill_is_no_crash(crashes: tasks.Crashes, caplog: pytest.LogCaptureFixture) -> None:
    greenlet = tasks.spawn("a task", Event().wait)
    settle()
    greenlet.kill()
    assert crashes.count == 0
    assert not caplog.records
