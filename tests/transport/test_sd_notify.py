"""What a service manager hears from us."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from appliance.transport import sd_notify
from tests.transport.wires import until


class Listener:
    def __init__(self, place: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(place)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    name = f"sluice-test-{os.getpid()}"
    place = str(tmp_path / "notify") if request.param == "path" else f"\0{name}"
    listener = Listener(place)
    monkeypatch.setenv("NOTIFY_SOCKET", place.replace("\0", "@"))
    yield listener
    listener.close()


def test_words(listener: Listener) -> None:
    before = time.monotonic_ns() // 1000
    assert sd_notify.notify("A=1", "B=2")
    sd_notify.ready()
    sd_notify.reloading()
    sd_notify.stopping()
    first, ready, reloading, stopping = listener.heard()
    assert (first, ready, stopping) == ("A=1\nB=2", "READY=1", "STOPPING=1\nSTATUS=stopping")
    word, _, moment = reloading.partition("\nMONOTONIC_USEC=")
    assert word == "RELOADING=1"
    assert before <= int(moment) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("place", [None, "", "relative", "/no/such/place", "@nobody-there", "vsock:1:2"])
def test_nobody_asks(place: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if place is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", place)
    assert not sd_notify.notify("READY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("30000000", None, 30.0),
        ("30000000", "own", 30.0),
        ("30000000", "1", 0.0),
        ("soon", None, 0.0),
        (None, None, 0.0),
    ],
)
def test_the_watchdog(usec: str | None, pid: str | None, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert sd_notify.watchdog_seconds() == seconds


def test_signs(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes is told; that nothing does, is not. Life is told again and again."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setattr(sd_notify, "STATUS_SECONDS", 0.005)
    texts = ["one"]
    signs = sd_notify.Signs(lambda: texts[0])
    signs.start()
    found: list[str] = []

    def look() -> list[str]:
        found.extend(listener.heard())
        return found

    until(lambda: look().count("WATCHDOG=1") > 3)
    assert found.count("STATUS=one") == 1
    texts[0] = "two"
    until(lambda: "STATUS=two" in look())
    signs.stop()
    signs.stop()
    listener.heard()
    gevent.sleep(0.05)
    assert listener.heard() == []


def test_no_signs_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    signs = sd_notify.Signs(lambda: "never asked")
    signs.start()
    assert signs._tasks == []
    signs.stop()
