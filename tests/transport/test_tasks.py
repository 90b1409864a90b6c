"""Greenlets: crashes logged and counted, ends that are none."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from appliance.transport import tasks
from tests.transport.wires import in_hub, settle


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
