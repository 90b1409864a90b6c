"""Who came and went: bounded, and strangers do not push clients out."""

from appliance.server.comings import MOST_DETAIL, MOST_EVENTS, MOST_REFUSED, SAME_SECONDS, Coming, Comings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_newest_first_and_told() -> None:
    comings, heard = Comings(), list[Coming]()
    comings.on_coming.append(heard.append)
    comings.connected("a", "127.0.0.1:1", "one")
    comings.refused("", "127.0.0.1:2", "two")
    comings.disconnected("a", "127.0.0.1:1", "x" * 10_000)
    assert [coming.kind for coming in heard] == ["connected", "refused", "disconnected"]
    assert comings.listing() == heard[::-1] and len(heard[2].detail) == MOST_DETAIL


def test_guesses_push_out_guesses_alone() -> None:
    comings = Comings()
    comings.connected("a", "127.0.0.1:1", "")
    for number in range(MOST_REFUSED * 3):
        comings.refused("", f"[2001:db8::{number:x}]:1", "wrong token")
    assert len(comings.listing()) == MOST_REFUSED + 1
    for _ in range(MOST_EVENTS * 2):
        comings.connected("b", "127.0.0.1:1", "")
    assert len(comings.listing()) == MOST_REFUSED + MOST_EVENTS
    assert len(comings._last_refused) <= MOST_REFUSED


def test_the_same_refusal_is_noted_once_in_a_while() -> None:
    clock = Clock()
    comings = Comings(clock)
    for port in range(5):
        comings.refused("", f"127.0.0.1:{port}", "wrong token")
    assert len(comings.listing()) == 1
    comings.refused("", "127.0.0.1:1", "another reason")
    comings.refused("", "127.0.0.2:1", "wrong token")
    assert len(comings.listing()) == 3
    clock.now += SAME_SECONDS
    comings.refused("", "127.0.0.1:9", "wrong token")
    assert len(comings.listing()) == 4
