"""What the server knows of a client."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from appliance.tunnel.session import Session


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
