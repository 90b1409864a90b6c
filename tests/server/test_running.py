"""A server in the foreground: how signals reload and end it, and what a service manager hears."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from appliance.config.options import ConfigError
from appliance.server import running
from appliance.server.app import Server
from tests.end_to_end.house import PATIENCE_SECONDS, Counts, until
from tests.server.test_app import make


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    gevent.get_hub().threadpool.apply(int)
    counts = Counts()
    yield
    counts.check()


@pytest.fixture
def signals() -> Iterator[None]:
    """libev leaves the default behind, not what Python had."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "DAY_SECONDS", 0.0)
    days: list[None] = []

    def daily() -> None:
        days.append(None)
        if len(days) == 2:
            raise ConfigError("no room")
        if len(days) > 3:
            monkeypatch.setattr(running, "DAY_SECONDS", 1000.0)

    server = make(control_addr="127.0.0.1")
    serving = gevent.spawn(running.run, server, daily)
    until(lambda: len(days) > 3, "some days have passed")
    assert server.state.ready
    os.kill(os.getpid(), number)
    serving.get(timeout=PATIENCE_SECONDS)
    assert not server.state.ready


class Companion:
    """Tells when it was started and stopped, and whether the server was there then."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.seen: list[tuple[str, bool]] = []

    def start(self) -> None:
        self.seen.append(("start", self._server.state.ready))

    def stop(self) -> None:
        self.seen.append(("stop", self._server.state.ready))


@pytest.mark.usefixtures("signals")
def test_hanging_up_reloads_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """One after the other, and what goes wrong in one is told."""
    server = make(control_addr="127.0.0.1")
    companion = Companion(server)
    hangups: list[None] = []
    going_on = Event()

    def reload() -> None:
        hangups.append(None)
        if len(hangups) == 1:
            raise ConfigError("--data-cert x cannot be read")
        going_on.wait(PATIENCE_SECONDS)

    serving = gevent.spawn(running.run, server, lambda: None, reload, [companion])
    until(lambda: server.state.ready, "it has started")
    for count in (1, 2):
        os.kill(os.getpid(), signal.SIGHUP)
        until(lambda count=count: len(hangups) == count, "it is heard")
    assert "--data-cert x cannot be read" in caplog.messages
    for _ in range(3):  # while one is under way: they are one
        os.kill(os.getpid(), signal.SIGHUP)
        gevent.sleep(0.01)
    going_on.set()
    until(lambda: len(hangups) == 3, "the last ones are heard")
    os.kill(os.getpid(), signal.SIGTERM)
    serving.get(timeout=PATIENCE_SECONDS)
    assert len(hangups) == 3
    assert companion.seen == [("start", True), ("stop", True)]


@pytest.mark.usefixtures("signals")
def test_a_second_signal_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server = make(control_addr="127.0.0.1")
    stopping = Event()

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        stopping.set()
        gevent.sleep(PATIENCE_SECONDS)

    real = server.stop
    monkeypatch.setattr(server, "stop", stop)
    serving = gevent.spawn(running.run, server, lambda: None)
    until(lambda: server.state.ready, "it has started")
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        stopping.wait()
        gevent.sleep(PATIENCE_SECONDS)
    assert caught.value.code == 130
    serving.kill()
    real()
