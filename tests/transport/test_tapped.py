"""What a listener is told of a stream, that the stream does the same with and without, and that it is plain again."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from appliance.transport.stream import Stream
from appliance.transport.tapped import TappedStream, tap, untap
from appliance.wire.messages import Finish, Open
from tests.transport.wires import Wires, until


class Ear:
    """Notes all, in words that a test can compare."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def came(self, got: Any) -> None:
        self.heard.append(("came", b"".join(map(bytes, got)) if type(got) is list else got))

    def went(self, pieces: Any) -> None:
        self.heard.append(("went", b"".join(map(bytes, pieces))))

    def said(self, message: Any) -> None:
        self.heard.append(("said", message))

    def echoed(self, payload: bytes) -> None:
        self.heard.append(("echoed", payload))

    def lost(self) -> None:
        self.heard.append(("lost", None))


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def pair(request: pytest.FixtureRequest, wires: Wires) -> tuple[Stream, Stream]:
    return wires.streams(tls=request.param)


OPEN = Open("http://127.0.0.1:1", "1.2.3.4:5")


def everything(opener: Stream, carrier: Stream) -> list[Any]:
    """All that a stream can do; what came out at the other end of each call."""
    came: list[Any] = []

    def take(stream: Stream) -> None:
        got = stream.read()
        came.append(b"".join(map(bytes, got)) if type(got) is list else got)

    opener.open(OPEN, b"first")
    take(carrier)
    take(carrier)
    opener.write(b"second")
    take(carrier)
    opener.write_pieces([b"th", b"ird"])
    take(carrier)
    opener.write_pieces([b"fourth"])
    take(carrier)
    opener.send(Finish())
    take(carrier)
    carrier.write(bytes(9000))
    while sum(map(len, filter(lambda it: type(it) is bytes, came[6:]))) < 9000:
        take(opener)
    carrier.end(b"last", Finish(7))
    take(opener)
    take(opener)
    return came


def test_both_ends_hear_all(pair: tuple[Stream, Stream]) -> None:
    opener, carrier = pair
    ours, theirs = Ear(), Ear()
    tap(opener, ours)
    tap(carrier, theirs)
    came = everything(opener, carrier)
    out = [("went", b"first"), ("went", b"second"), ("went", b"third"), ("went", b"fourth"), ("said", Finish())]
    assert ours.heard[:5] == out
    assert [what for how, what in ours.heard[5:]] == came[6:] and {how for how, _ in ours.heard[5:]} == {"came"}
    assert theirs.heard[:6] == [("came", it) for it in (OPEN, b"first", b"second", b"third", b"fourth", Finish())]
    assert theirs.heard[6:] == [("went", bytes(9000)), ("went", b"last"), ("said", Finish(7))]
    carrier.close()
    assert theirs.heard[-1] == ("lost", None)
    assert opener.read() is None
    assert ours.heard[-1] == ("came", None)
    opener.abort()
    assert ours.heard[-1] == ("lost", None)


def test_nothing_is_different_without(pair: tuple[Stream, Stream]) -> None:
    opener, carrier = pair
    first = everything(opener, carrier)
    tap(opener, Ear())
    tap(carrier, Ear())
    assert everything(opener, carrier)[:6] == first[:6]
    untap(opener)
    untap(carrier)
    assert type(opener) is type(carrier) is Stream and opener.tap is None
    assert everything(opener, carrier)[:6] == first[:6]


def test_it_may_end_while_somebody_waits(pair: tuple[Stream, Stream]) -> None:
    opener, carrier = pair
    ear = Ear()
    tap(carrier, ear)
    waiting = gevent.spawn(lambda: [bytes(piece) for piece in carrier.read()])  # type: ignore[union-attr]
    until(lambda: carrier.connection._reader is not None)
    untap(carrier)
    opener.write(b"x")
    assert waiting.get(timeout=10) == [b"x"]
    assert ear.heard == []


def test_a_listener_that_crashes_is_listened_to_no_more(
    pair: tuple[Stream, Stream], caplog: pytest.LogCaptureFixture
) -> None:
    opener, carrier = pair
    ear = Ear()
    ear.went = lambda pieces: 1 // 0  # type: ignore[method-assign]
    tap(opener, ear)
    assert type(opener) is TappedStream
    write = opener.write  # as somebody in a loop has it
    write(b"a")
    write(b"b")
    got = b""
    while len(got) < 2:
        got += b"".join(map(bytes, carrier.read() or ()))  # type: ignore[arg-type]
    assert got == b"ab"
    assert type(opener) is Stream and caplog.text.count("please report this") == 1


def test_the_echo_of_a_ping_is_told(pair: tuple[Stream, Stream]) -> None:
    opener, carrier = pair
    ear = Ear()
    tap(opener, ear)
    opener.ping_now(b"mark")
    opener.write(b"x")
    carrier.read()
    carrier.write(b"y")
    opener.read()
    assert ear.heard == [("went", b"x"), ("echoed", b"mark"), ("came", b"y")]
    assert opener.heard > 0, "the pool is told as well"
