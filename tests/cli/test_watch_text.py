"""What --watch shows of what a server says, or fails to say."""

from typing import Any

from appliance.cli.terminal import RED, YELLOW
from appliance.cli.watch_text import Line, Look, lines

OVERVIEW: dict[str, Any] = {
    "info": {"hostname": "pine", "mode": "http", "version": "0.1.0", "sha": "3f2a9c1", "uptimeSeconds": 7200},
    "health": {"state": "ok", "findings": []},
    "now": {"requestsPerSecond": 12.34, "p95Seconds": 1.5, "bytesOutPerSecond": 2_500_000, "clients": 2},
}


def name(label: str, total: int, **more: Any) -> dict[str, Any]:
    return {"name": label, "requestsTotal": total, "clients": [{}], **more}


def look(at: float = 10.0, **given: Any) -> Look:
    return Look(at, **{"overview": OVERVIEW, "clients": [], "names": [], "ports": [], **given})


def shown(found: Look, before: Look | None = None, rows: int = 40) -> list[str]:
    return [line.text for line in lines(found, before, "12:23:17", rows)]


def test_sums() -> None:
    first, state, _, rates, counts, _, none = shown(look())
    assert first == "pine  http  0.1.0  3f2a9c1  up 2 hours  12:23:17"
    assert state == "ok"
    assert rates == "requests 12.3/s   errors 0.0/s   p50 -   p95 1.5 s   in 0 B/s   out 2.5 MB/s"
    assert counts.startswith("clients 2   names 0 ")
    assert none == "No clients connected."


def test_rates_are_of_what_has_passed() -> None:
    before, now = look(10.0, names=[name("a.example", 100)]), look(12.0, names=[name("a.example", 150)])
    (row,) = (text for text in shown(now, before) if text.startswith("a.example"))
    assert row.split()[1:] == ["25.0", "0.0%", "-", "150", "1"]
    client = {"clientId": "ab" * 16, "remoteAddr": "[::1]:1", "bytesIn": 0, "bytesOut": 1000, "upstreams": []}
    after = {**client, "bytesOut": 5000}
    (row,) = (text for text in shown(look(12.0, clients=[after]), look(clients=[client])) if "[::1]" in text)
    assert row.split()[4:8] == ["0", "B/s", "2.0", "kB/s"]
    port = {"port": 2222, "clients": [{}], "connectionsOpen": 1, "connectionsTotal": 3, "bytesIn": 7}
    assert "2222" in "\n".join(shown(look(ports=[port])))


def test_clients_have_names() -> None:
    named = {"clientId": "ab" * 16, "name": "attic \x1b[2J" + "x" * 64, "upstreams": []}
    heads, first, second = shown(look(clients=[named, {"clientId": "cd" * 16, "name": "", "upstreams": []}]))[-3:]
    assert heads.startswith("Client       Name ")
    assert first.split()[:2] == ["abababababab", "attic"] and "attic ?[2Jxxxxxxxxxxxxxx " in first
    assert second.split()[:2] == ["cdcdcdcdcdcd", "-"]


def test_what_is_wrong_has_a_colour() -> None:
    failing = {"offer": "a.example", "target": "http://h:1", "state": "failing"}
    client = {"clientId": "ab" * 16, "remoteAddr": "1.2.3.4:5", "upstreams": [failing]}
    health = {"state": "warning", "findings": [{"level": "warning", "text": "It rains.", "hint": "Stay in."}]}
    found = lines(
        look(overview={**OVERVIEW, "health": health}, clients=[client], names=[name("a.example", 1, clients=[])]),
        None, "", 40,
    )  # fmt: skip
    assert Line("warning: It rains. Stay in.", YELLOW) in found
    assert [line.colour for line in found if line.text.startswith("a.example")] == [RED]
    assert [line.colour for line in found if "(fails)" in line.text] == [YELLOW]


def test_the_busiest_come_first_and_the_rest_is_counted() -> None:
    before = look(10.0, names=[name(f"n{number}", 0) for number in range(30)])
    now = look(11.0, names=[name(f"n{number}", number) for number in range(30)])
    found = shown(now, before, rows=20)
    assert len(found) <= 20
    listed = [text.split()[0] for text in found if text.startswith("n")]
    assert listed[:3] == ["n29", "n28", "n27"]
    assert f"... and {30 - len(listed)} more" in found


def test_whatever_a_server_answers_is_shown() -> None:
    strange: Any = {"name": "\033[2J", "requestsTotal": "many", "errorRate": None, "clients": None}
    found = shown(Look(1.0, {"info": 3, "health": {"findings": [7]}}, [{"upstreams": [None]}], [strange], [{}]))
    assert "?[2J" in "\n".join(found) and "\033" not in "\n".join(found)
