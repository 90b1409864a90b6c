"""What a client takes over from a changed configuration, without connecting anew."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.cli.addresses import offers_of
from appliance.client import upstream as upstream_module
from appliance.client.agent import Agent
from appliance.client.reloading import Reload, Wanted
from appliance.config.client_options import ClientOptions
from appliance.config.options import ConfigError
from appliance.config.origin import Origin
from tests.end_to_end.house import TOKEN, House, until
from tests.stage.visitor import get

A, B = "a.example", "b.example"


class Stage:
    """A client in a house; its file is what the test says."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.upstream = house.upstream()
        self.client_id = house.client(f"{A}={self.upstream.url}")
        self.agent: Agent = house.agents[0][0]
        self.token = TOKEN
        now = Wanted(self.agent._config, TOKEN, self.agent._declared)
        self.reload = Reload(self.agent, now, self._read)
        self.session = house.session(self.client_id)

    def _read(self, config: ClientOptions) -> Wanted:
        return Wanted(config, self.token, offers_of(config).upstreams)

    def change(self, **options: Any) -> None:
        """The file says this from now on, and SIGHUP comes."""
        before = self.reload._now.config
        wanted = dataclasses.replace(before, **options)
        object.__setattr__(before, "origin", Origin(again=lambda: wanted))
        self.reload()

    def offered(self) -> list[str]:
        session = self.house.session(self.client_id)
        assert session is not None and session is self.session
        return [upstream.label for upstream in session.upstreams]


@pytest.fixture
def stage(house: House, caplog: pytest.LogCaptureFixture) -> Iterator[Stage]:
    caplog.set_level(logging.INFO)
    level = logging.getLogger().level
    yield Stage(house)
    logging.getLogger().setLevel(level)


def said(caplog: pytest.LogCaptureFixture) -> str:
    return [text for text in caplog.messages if text.startswith("SIGHUP: ")][-1].removeprefix("SIGHUP: ")


def test_nothing_has_changed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.reload()
    assert said(caplog) == "no setting has changed"
    assert "now offers" not in caplog.text


def test_upstreams(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    other = stage.house.upstream(name="other")
    stage.change(upstream=(f"{A}={other.url}", f"{B}={stage.upstream.url}"))
    assert said(caplog) == "changed: upstream"
    until(lambda: stage.offered() == [f"{A}={other.url}", f"{B}={stage.upstream.url}"], "the server knows")
    assert stage.house.ask(get("/", A)).one("x-upstream") == "other"
    assert stage.house.ask(get("/", B)).one("x-upstream") == "python"


def test_a_name(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It is told without connecting anew, and what is offered stays."""
    stage.change(name="cellar")
    assert said(caplog) == "changed: name"
    until(lambda: stage.session is not None and stage.session.name == "cellar", "the server knows")
    assert stage.offered() == [f"{A}={stage.upstream.url}"]
    assert f"client {stage.client_id} (" in caplog.text and ") is now called cellar" in caplog.text


def test_a_host_header(stage: Stage) -> None:
    stage.change(host_header="inside")
    until(lambda: stage.house.ask(get("/", A)).status == 200, "it answers")
    until(
        lambda: (
            stage.house.ask(get("/", A)).status == 200 and stage.upstream.recorded[-1].message.one("host") == "inside"
        ),
        "it is sent",
    )


def test_what_was_declared_before_is_reached_for_a_while(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """By visitors whom the server had sent there before it knew."""
    stage.change(upstream=(f"{A}=http://127.0.0.1:1",))
    stage.agent._upstreams.dial(stage.upstream.url).close()
    monkeypatch.setattr(upstream_module, "FORMER_SECONDS", -1.0)
    stage.change(upstream=(f"{A}=http://127.0.0.1:2",))
    stage.change(upstream=(f"{A}=http://127.0.0.1:3",))
    with pytest.raises(ConnectionError, match="is not one of this client's upstreams"):
        stage.agent._upstreams.dial(stage.upstream.url)


def test_how_they_are_dialled(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.change(strict_forwarding=False, upstream_timeout=3.0, upstream_insecure=True)
    assert said(caplog) == "changed: strict-forwarding, upstream-timeout, upstream-insecure"
    upstreams = stage.agent._upstreams
    assert (upstreams._strict, upstreams._seconds, upstreams._insecure) == (False, 3.0, True)


def test_a_token_and_grace(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.token = "another-one"
    stage.change(grace=3.0)
    assert said(caplog) == "changed: grace, token"
    assert stage.agent.grace == 3.0
    dialer = stage.agent._dialer
    assert dialer is not None and dialer._token == "another-one"
    stage.reload()
    assert said(caplog) == "no setting has changed"


def test_what_needs_a_restart(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.change(local_addr="127.0.0.2", url="ws://127.0.0.1:1")
    assert said(caplog) == "no setting has changed; url, local-addr need a restart and stay as before"


def test_what_is_wrong_changes_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    names = tuple(f"{number}.a-name-that-is-somewhat-long.example=http://127.0.0.1:1" for number in range(900))
    stage.change(upstream=names)
    assert said(caplog).startswith("--upstream: 900 are too many for one client")
    assert said(caplog).endswith("; everything stays as it was")
    assert stage.offered() == [f"{A}={stage.upstream.url}"]

    def fail() -> None:
        raise ConfigError("a.toml:1: no")

    object.__setattr__(stage.reload._now.config, "origin", Origin(again=fail))
    stage.reload()
    assert said(caplog) == "a.toml:1: no; everything stays as it was"
    assert stage.house.ask(get("/", A)).status == 200


def test_while_it_is_not_connected(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tries again at once, and offers what is to be offered now."""
    from appliance.client import agent as agent_module

    monkeypatch.setattr(agent_module, "FIRST_PAUSE_SECONDS", 100.0)
    stage = Stage(house)
    house.server.registry.drain("a test")
    until(lambda: stage.agent._woken.linkcount() > 0, "it waits for its next try")
    house.server.registry.draining = False
    stage.change(upstream=(f"{B}={stage.upstream.url}",))
    until(lambda: house.ask(get("/", B)).status == 200, "it is back")
