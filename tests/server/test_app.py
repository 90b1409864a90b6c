"""The server's parts together: what it says when it cannot start, and how signals end it."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from appliance.admin.app import create_app
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.server import app
from appliance.server.app import Server
from tests.end_to_end.house import PATIENCE_SECONDS, Counts, House, listener, until
from tests.stage.visitor import get


def make(**options: Any) -> Server:
    config = HttpServerConfig(**{"port": 0, "control_port": 0, "data_addr": "127.0.0.1", **options})
    return Server(config, "token", None, create_app)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    gevent.get_hub().threadpool.apply(int)
    counts = Counts()
    yield
    counts.check()


@pytest.mark.parametrize("flag", ["--port", "--control-port"])
def test_a_port_that_is_taken(flag: str) -> None:
    with listener() as other:
        port = other.getsockname()[1]
        server = make(**{flag[2:].replace("-", "_"): port, "control_addr": "127.0.0.1"})
        with pytest.raises(ConfigError) as caught:
            server.start()
        expected = f"127.0.0.1:{port} is in use by another program: choose another port with {flag}"
        assert str(caught.value) == expected
        assert not server.state.ready
        server.stop()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EACCES, "ports below 1024 need a right that this user has not: choose another port with --port"),
        (errno.ENODEV, "[::1]:80 cannot be listened on (No such device): see --port and its address"),
    ],
)
def test_a_port_that_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch, number: int, text: str) -> None:
    def listen(host: str, port: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(app, "listen", listen)
    with pytest.raises(ConfigError) as caught:
        make(port=80, data_addr="::1").start()
    assert str(caught.value) == text


def test_a_server_that_never_started_stops() -> None:
    make().stop()


def test_as_many_visitors_as_there_are_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.descriptors, "raise_limit", lambda: 1128)
    assert make()._capacity.most == 500
    assert make(max_connections=7)._capacity.most == 7
    monkeypatch.setattr(app.descriptors, "raise_limit", lambda: 100)
    assert make()._capacity.most == 64


@pytest.fixture
def signals() -> Iterator[None]:
    """libev leaves the default behind, not what Python had."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "DAY_SECONDS", 0.0)
    days: list[None] = []

    def daily() -> None:
        days.append(None)
        if len(days) == 2:
            raise ConfigError("no room")
        if len(days) > 3:
            monkeypatch.setattr(app, "DAY_SECONDS", 1000.0)

    server = make(control_addr="127.0.0.1")
    running = gevent.spawn(app.run, server, daily)
    until(lambda: len(days) > 3, "some days have passed")
    assert server.state.ready
    os.kill(os.getpid(), number)
    running.get(timeout=PATIENCE_SECONDS)
    assert not server.state.ready


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
    running = gevent.spawn(app.run, server, lambda: None)
    until(lambda: server.state.ready, "it has started")
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        stopping.wait()
        gevent.sleep(PATIENCE_SECONDS)
    assert caught.value.code == 130
    running.kill()
    real()


# ---- descriptors run out


def test_descriptors_run_out_on_the_control_plane(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """It waits, says so, and goes on."""
    (control,) = house.server._controls
    real = type(control).__mro__[1].do_read
    failures = [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ECONNABORTED, "aborted")]

    def do_read(self: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return real(self)

    monkeypatch.setattr(type(control).__mro__[1], "do_read", do_read)
    house.client(f"a.example={house.upstream().url}")
    assert house.ask(get("/", "a.example")).status == 200
    assert "Too many open files: new clients wait" in caplog.text
    assert capfd.readouterr().err == ""
