"""The server's parts together: what it says when it cannot start."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from appliance.admin.app import create_app
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.server import app, listening
from appliance.server.app import Server
from tests.end_to_end.house import Counts, House, listener
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
        (
            errno.EACCES,
            "[::1]:80 needs a right that this user has not, as ports below 1024 do: give it CAP_NET_BIND_SERVICE "
            "(a systemd unit: AmbientCapabilities), or choose another port with --port",
        ),
        (errno.ENODEV, "[::1]:80 cannot be listened on (No such device): see --port and its address"),
    ],
)
def test_a_port_that_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch, number: int, text: str) -> None:
    def listen(host: str, port: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(listening, "listen", listen)
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
