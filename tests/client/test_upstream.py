"""Which upstreams are dialled, and what is said of those that are not reached."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from gevent import socket

from appliance.client.upstream import NotReached, Upstreams
from appliance.transport.connection import TimedOut
from appliance.wire.address import parse_upstreams
from tests.end_to_end.house import listener

SECONDS = 0.2


def upstreams(*texts: str, **options: Any) -> Upstreams:
    return Upstreams(parse_upstreams(texts), directory, SECONDS, **options)


opened: list[tuple[str, bool]] = []


def directory(path: str, browse: bool) -> Any:
    opened.append((path, browse))
    near, far = socket.socketpair()
    far.close()
    return near


def reason(upstreams: Upstreams, target: str) -> tuple[str, str]:
    with pytest.raises(NotReached) as caught:
        upstreams.dial(target)
    return caught.value.reason, str(caught.value)


def test_only_what_was_declared() -> None:
    with listener() as there:
        url = f"http://127.0.0.1:{there.getsockname()[1]}"
        strict, free = upstreams("http://127.0.0.1:1"), upstreams("http://127.0.0.1:1", strict=False)
        assert reason(strict, url) == (
            "not-allowed",
            f"{url} is not one of this client's upstreams (--strict-forwarding)",
        )
        free.dial(url).close()
        declared = upstreams(url)
        connection = declared.dial(url)
        assert connection.peer == url[7:]
        assert connection.deadline == float("inf")
        connection.close()


@pytest.mark.parametrize("target", ["", "ftp://a", "http://a/b", "http://user@a", "x" * 300])
def test_nonsense_is_not_dialled(target: str) -> None:
    assert reason(upstreams("http://127.0.0.1:1", strict=False), target)[0] == "not-allowed"


def test_a_directory() -> None:
    both = upstreams("a=/srv/share", "b=/srv/share?browse=true")
    both.dial("/srv/share").close()
    both.dial("/srv/share?browse=true").close()
    assert opened == [("/srv/share", False), ("/srv/share", True)]


def test_nobody_there() -> None:
    url = "http://127.0.0.1:1"
    assert reason(upstreams(url), url) == ("unreachable", f"{url} was not reached: Connection refused")


def test_nobody_answers() -> None:
    """A TLS handshake with one who says nothing."""
    with listener() as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        assert reason(upstreams(url), url) == ("timeout", f"{url} did not answer within 0.2 seconds")


def test_a_dial_that_runs_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(host: str, port: int, seconds: float) -> None:
        assert seconds == SECONDS
        raise TimedOut

    monkeypatch.setattr("appliance.transport.reach.tcp", late)
    url = "http://127.0.0.1:80"
    assert reason(upstreams(url), "http://127.0.0.1")[0] == "timeout"


def test_one_context_for_each_kind() -> None:
    some = upstreams("https://127.0.0.1:1")
    checked, unchecked = some._context(False), some._context(True)
    assert (checked.verify_mode, unchecked.verify_mode) == (ssl.CERT_REQUIRED, ssl.CERT_NONE)
    assert some._context(False) is checked
