"""What the server knows of a client."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from appliance.tunnel.session import MOST_TARGETS, Session


def test_a_session() -> None:
    pool: Any = SimpleNamespace(resting=3, used=4)
    one, two = (Session("0" * 32, "[::1]:5", "0.1.0", pool) for _ in range(2))
    assert (one.streams_idle, one.streams_used) == (3, 4)
    assert (one.client_id, one.remote, one.version, one.upstreams) == ("0" * 32, "[::1]:5", "0.1.0", ())
    assert one.since.tzinfo is not None
    assert len(one.session_id) == 32
    assert one.session_id != two.session_id
    assert one.secret != two.secret
    assert len(one.secret) >= 40


def test_health_of_targets() -> None:
    session = Session("0" * 32, "[::1]:5", "0.1.0", SimpleNamespace())  # type: ignore[arg-type]
    session.reached("http://a")
    first = session.health["http://a"]
    session.reached("http://a")
    assert session.health["http://a"] is first and first.up
    session.missed("http://a", "refused")
    failing = session.health["http://a"]
    assert not failing.up and failing.detail == "refused" and failing.since >= first.since
    session.missed("http://a", "refused")
    assert session.health["http://a"] is failing
    session.missed("http://a", "timeout")
    assert session.health["http://a"].since == failing.since, "it fails since then, for whatever reason"
    session.reached("http://a")
    assert session.health["http://a"].up


def test_health_of_endless_targets_is_bounded() -> None:
    session = Session("0" * 32, "[::1]:5", "0.1.0", SimpleNamespace())  # type: ignore[arg-type]
    for number in range(MOST_TARGETS * 2 + 5):
        session.missed(f"http://{number}", "")
    assert len(session.health) <= MOST_TARGETS
