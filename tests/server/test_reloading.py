"""What a server takes over from a changed configuration, and what it leaves alone."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.options import ConfigError
from appliance.config.origin import Origin
from appliance.server import reloading
from appliance.server.reloading import Reload
from tests.end_to_end.house import TOKEN, House, a_house, until
from tests.end_to_end.peers import Refused, connect
from tests.end_to_end.ports import a_port_house
from tests.stage.process import free_port
from tests.stage.tcp import closed
from tests.stage.visitor import get

HOST = "a.example"


class Stage:
    """A house whose server's file is what the test says."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.token = TOKEN
        self.looks = 0
        self.wrong = ""
        self.reload = Reload(house.server, self._read, self._look)

    def _read(self, config: ControlPlaneOptions) -> str:
        if self.wrong:
            raise ConfigError(self.wrong)
        return self.token

    def _look(self) -> None:
        self.looks += 1

    def change(self, **options: Any) -> None:
        """The file says this from now on, and SIGHUP comes."""
        config = self.house.server.config
        wanted = dataclasses.replace(config, **options)

        def again() -> ControlPlaneOptions:
            object.__setattr__(wanted, "origin", Origin(dict.fromkeys(options, "file"), "a.toml", again=again))
            return wanted

        object.__setattr__(config, "origin", Origin(again=again))
        self.reload()


@pytest.fixture
def stage(caplog: pytest.LogCaptureFixture) -> Iterator[Stage]:
    caplog.set_level(logging.INFO)
    level = logging.getLogger().level
    with a_house() as house:
        yield Stage(house)
    logging.getLogger().setLevel(level)


def said(caplog: pytest.LogCaptureFixture) -> str:
    return [text for text in caplog.messages if text.startswith("SIGHUP: ")][-1].removeprefix("SIGHUP: ")


def test_nothing_has_changed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.reload()
    assert (said(caplog), stage.looks) == ("no setting has changed", 1)


def test_timeouts_and_lists(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    house = stage.house
    house.client(f"{HOST}={house.upstream().url}")
    stage.change(head_timeout=3.0, grace=2.0, warm_streams=3, max_connections=9, trusted_proxies=("127.0.0.1",))
    assert said(caplog) == "changed: trusted-proxies, warm-streams, max-connections, grace, head-timeout"
    assert house.server.state.config is house.server.config
    assert house.server.config.origin.path == "a.toml"
    assert (house.server.grace, house.server._capacity.most) == (2.0, 9)
    front = house.server.edge.fronts[0]  # type: ignore[union-attr]
    assert front.config.head_timeout == 3.0
    assert house.ask(get("/", HOST, "X-Forwarded-For: 192.0.2.7")).status == 200
    assert house.upstreams[0].recorded[-1].message.one("x-forwarded-for") == "192.0.2.7, 127.0.0.1"
    stage.change(allow_ips=("192.0.2.0/24",), max_connections=0)
    assert house.ask(get("/", HOST)).status == 403
    with pytest.raises(Refused, match="403"):
        connect(house.control_port, "/connect")
    assert house.server._capacity.most > 9
    assert len(house.server.registry.sessions()) == 1
    stage.change(allow_ips=())


def test_what_needs_a_restart(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    port = stage.house.server.config.control_port
    stage.change(control_port=1, head_timeout=3.0)
    assert said(caplog) == "changed: head-timeout; control-port needs a restart and stays as before"
    assert stage.house.server.config.control_port == port
    stage.reload()
    assert said(caplog) == "no setting has changed; control-port needs a restart and stays as before"
    stage.change(data_cert=("a",), data_key=("b",))
    assert said(caplog).endswith("data-cert, data-key need a restart and stay as before")


@pytest.mark.parametrize("wrong", ["--token-file a cannot be read", "--head-timeout: no"])
def test_what_is_wrong_changes_nothing(stage: Stage, caplog: pytest.LogCaptureFixture, wrong: str) -> None:
    before = stage.house.server.config
    stage.wrong = wrong
    stage.change(head_timeout=3.0)
    assert said(caplog).endswith(f"{wrong}; everything stays as it was")
    assert (stage.house.server.config, stage.looks) == (before, 0)


def test_what_does_not_go_together(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """With what stays as it is until a restart."""
    house = stage.house

    def is_live(self: Reload, name: str, wanted: Any) -> bool:
        return name == "allow_forward_to"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reload, "_is_live", is_live)
        stage.change(client_forwarding=True, allow_forward_to=("127.0.0.1:80",))
    assert "--allow-forward-to is for --client-forwarding" in said(caplog)
    assert not house.server.config.allow_forward_to
    assert {"allow_forward_to", "client_forwarding"} <= reloading.LIVE


def test_forwarding(stage: Stage) -> None:
    reception = stage.house.server._reception
    assert reception is not None and reception.forward is None
    stage.change(client_forwarding=True, allow_forward_to=("127.0.0.1:80",))
    assert reception.forward is not None
    stage.change(client_forwarding=False, allow_forward_to=())
    assert reception.forward is None


def test_a_token(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Of its file: no setting has changed. Streams of who is there are let in."""
    house = stage.house
    client_id = house.client(f"{HOST}={house.upstream().url}")
    stage.token = "another-one"
    stage.reload()
    assert said(caplog) == "changed: token"
    with pytest.raises(Refused, match="401"):
        connect(house.control_port, "/connect")
    connect(house.control_port, "/connect", token="another-one").close()
    session = house.session(client_id)
    assert session is not None
    session.pool._ask(3)
    until(lambda: session.streams_idle >= 11, "there are more streams")
    with pytest.raises(Refused, match="401"):
        connect(house.control_port, "/stream", f"Sluice-Session: {session.session_id}", "Sluice-Secret: guessed")


def test_ports() -> None:
    port = free_port()
    with a_port_house() as house:
        stage = Stage(house)
        house.client(f"{port}=127.0.0.1:1")
        until(lambda: not closed(port), "it is open")
        stage.change(allow_ports=("80",))
        until(lambda: closed(port), "it is closed")
        stage.change(allow_ports=(str(port),))
        until(lambda: not closed(port), "it is open again")
