"""Each alert with what makes it fire and what does not: what was scraped minute by minute, as promtool writes it."""

from __future__ import annotations

import re
from typing import NamedTuple

SERVER = {"instance": "tunnel:8123", "job": "sluice"}
AT = "tunnel:8123"

_labels = re.compile(r"(\w+)(?:{(.*)})?").fullmatch


class Firing(NamedTuple):
    """Labels besides those of the server, and the summary."""

    labels: dict[str, str]
    summary: str


class Case(NamedTuple):
    """`scraped`: values, a minute apart, by series; the server's labels are added. `at`: the minute looked at."""

    alert: str
    what: str
    scraped: dict[str, str]
    at: int
    firing: tuple[Firing, ...] = ()

    @property
    def fires(self) -> bool:
        return bool(self.firing)

    def series(self) -> dict[str, str]:
        """With the server's labels."""
        return {_of_server(name): values for name, values in self.scraped.items()}


def _of_server(name: str) -> str:
    found = _labels(name)
    assert found is not None, name
    given = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
    return found[1] + "{" + ",".join(f'{key}="{value}"' for key, value in {**SERVER, **given}.items()) + "}"


HTTP, TCP = "http_controlplane_connected_gauge", "tcp_controlplane_connected_gauge"
BUILD = 'sluice_build_info{mode="http",sha="3f2a9c1",version="0.2.0"}'


def _clients() -> list[Case]:
    none = f"No client is connected to {AT}: all its visitors are turned away"
    app, ssh = (
        f'sluice_route_clients{{kind="{kind}",route="{route}"}}' for kind, route in (("http", "a"), ("tcp", "22"))
    )
    gone = Firing({"kind": "http", "route": "a"}, f"Nobody serves http a of {AT} any more")
    fewer = Firing({}, f"1 fewer clients than usual are connected to {AT}")
    return [
        Case("SluiceNoClientConnected", "http server", {HTTP: "1x5 0x10"}, 10, (Firing({}, none),)),
        Case("SluiceNoClientConnected", "tcp server", {TCP: "1x5 0x10"}, 10, (Firing({}, none),)),
        Case("SluiceNoClientConnected", "server of both", {HTTP: "0x10", TCP: "0x10"}, 10, (Firing({}, none),)),
        Case("SluiceNoClientConnected", "one is", {HTTP: "0x5 1x10"}, 10),
        Case("SluiceNoClientConnected", "for a moment", {HTTP: "1x5 0 1x10"}, 6),
        Case("SluiceRouteGone", "of two names one", {HTTP: "1x20", app: "1x5 0x15", ssh: "1x20"}, 10, (gone,)),
        Case("SluiceRouteGone", "all are there", {HTTP: "2x20", app: "2x5 1x15", ssh: "1x20"}, 10),
        Case("SluiceRouteGone", "no client at all", {HTTP: "1x5 0x15", app: "1x5 0x15"}, 10),
        Case("SluiceRouteGone", "retired yesterday", {HTTP: "1x2000", app: "1x5 0x2000"}, 1500),
        Case("SluiceClientGone", "two of three are left", {HTTP: "3x200 2x60"}, 220, (fewer,)),
        Case("SluiceClientGone", "so for long", {HTTP: "3x100 2x300"}, 390),
        Case("SluiceClientGone", "none is left", {HTTP: "3x200 0x60"}, 220),
        Case("SluiceClientGone", "one more for a while", {HTTP: "2x200 3x5 2x60"}, 220),
        Case("SluiceClientGone", "back within minutes", {HTTP: "2x200 1x2 2x60"}, 204),
    ]


def _admission() -> list[Case]:
    def asked(kind: str, path: str, code: str) -> str:
        return f'{kind}_controlplane_requests_total{{path="{path}",code="{code}"}}'

    def refused(code: str) -> Firing:
        return Firing({"path": "/connect", "code": code}, f"A client keeps being refused by {AT} with status {code}")

    def skew(count: int, version: str) -> Firing:
        text = f"clients of {AT} with version {version}, unlike its own: {count}"
        return Firing({"version": version}, text)

    old, new = 'sluice_clients{version="0.1.0"}', 'sluice_clients{version="0.2.0"}'
    denied = "sluice_controlplane_denied_total"
    wrong = Firing({}, f"40 wrong tokens within ten minutes at {AT}")
    refusals = {asked("http", "/connect", "401"): "0+1x30"}
    both = {asked(kind, "/connect", "400"): "0+1x30" for kind in ("http", "tcp")}
    return [
        Case("SluiceClientRefused", "an old token", refusals, 20, (refused("401"),)),
        Case("SluiceClientRefused", "another version, both planes", both, 20, (refused("400"),)),
        Case("SluiceClientRefused", "let in", {asked("http", "/connect", "101"): "0+1x30"}, 20),
        Case("SluiceClientRefused", "a stranger on another path", {asked("http", "other", "401"): "0+9x30"}, 20),
        Case("SluiceClientRefused", "twice", {asked("tcp", "/connect", "401"): "0x5 2x30"}, 20),
        Case("SluiceVersionSkew", "two old ones", {BUILD: "1x99", old: "2x99", new: "1x99"}, 90, (skew(2, "0.1.0"),)),
        Case("SluiceVersionSkew", "the server is old", {BUILD: "1x99", 'sluice_clients{version="0.3.0"}': "1x99"}, 90,
             (skew(1, "0.3.0"),)),
        Case("SluiceVersionSkew", "alike", {BUILD: "1x99", new: "3x99"}, 90),
        Case("SluiceVersionSkew", "while it is updated", {BUILD: "1x99", old: "2x30 _x69", new: "1x30 3x69"}, 25),
        Case("SluiceFailedLogins", "somebody guesses", {denied: "0+4x30"}, 20, (wrong,)),
        Case("SluiceFailedLogins", "a few", {denied: "0+1x30"}, 20),
        Case("SluiceFailedLogins", "long ago", {denied: "0+40x5 200x60"}, 50),
    ]  # fmt: skip


def _visitors() -> list[Case]:
    def answered(code: str) -> str:
        return f'http_dataplane_requests_total{{host="app",method="GET",code="{code}"}}'

    def took(bound: str) -> str:
        suffix = "count" if bound == "count" else f'bucket{{le="{bound}"}}'
        name = "sluice_http_first_byte_seconds_" + suffix
        return name.replace("}", ',host="app"}') if "{" in name else name + '{host="app"}'

    def durations(within: int, within_a_minute: int, all_of_them: int) -> dict[str, str]:
        bounds = {"2.5": within, "60.0": within_a_minute, "+Inf": all_of_them, "count": all_of_them}
        return {took(bound): f"0+{count}x30" for bound, count in bounds.items()}

    once, seldom = "0x9 1x20", " ".join(str(minute // 2) for minute in range(30))
    host = {"host": "app"}
    errors = Firing(host, f"10% of requests for app fail at {AT}")
    slow = Firing(host, "20% of the answers for app take longer than 2.5 s to begin")
    missed = Firing({}, f"Clients of {AT} do not reach 2 of their upstreams")
    return [
        Case("SluiceErrorRate", "one in ten", {answered("200"): "0+90x30", answered("502"): "0+10x30"}, 20, (errors,)),
        Case("SluiceErrorRate", "one in a hundred", {answered("200"): "0+99x30", answered("503"): "0+1x30"}, 20),
        Case("SluiceErrorRate", "not found", {answered("404"): "0+99x30", answered("502"): "0+1x30"}, 20),
        Case("SluiceErrorRate", "half of very few", {answered("200"): seldom, answered("502"): seldom}, 20),
        Case("SluiceErrorRate", "over", {answered("200"): "0+9x30", answered("502"): "0+9x5 45x25"}, 25),
        Case("SluiceSlowUpstream", "one in five", durations(80, 100, 100), 25, (slow,)),
        Case("SluiceSlowUpstream", "one in twenty", durations(95, 100, 100), 25),
        Case("SluiceSlowUpstream", "event streams", durations(95, 100, 300), 25),
        Case("SluiceSlowUpstream", "event streams and nothing else", durations(0, 0, 300), 25),
        Case("SluiceSlowUpstream", "one request", {took("2.5"): "0x30", took("60.0"): once, took("count"): once}, 15),
        Case("SluiceUpstreamMissed", "two", {"sluice_upstreams_missed": "0x5 2x20"}, 15, (missed,)),
        Case("SluiceUpstreamMissed", "all are reached", {"sluice_upstreams_missed": "0x20"}, 15),
        Case("SluiceUpstreamMissed", "for a moment", {"sluice_upstreams_missed": "0x5 2 0x20"}, 6),
    ]  # fmt: skip


def _capacity() -> list[Case]:
    def refused(reason: str) -> str:
        return f'sluice_dataplane_refused_total{{reason="{reason}"}}'

    count, limit = "sluice_dataplane_connections_open", "sluice_dataplane_connections_limit"
    away = Firing({"reason": "no stream"}, f"20 visitors of {AT} turned away: no stream")
    full = Firing({}, f"95% of the visitors that {AT} can have are there")
    opened, most = "process_open_fds", "process_max_fds"
    descriptors = Firing({}, f"{AT} has used 90% of its file descriptors")
    there = {most: "1000x20", BUILD: "1x20"}
    other = {f'{name}{{job="other"}}': values for name, values in ((opened, "90x20"), (most, "100x20"))}
    return [
        Case("SluiceConnectionsRefused", "no stream", {refused("no stream"): "0+2x30"}, 20, (away,)),
        Case("SluiceConnectionsRefused", "strangers", {refused("malformed request"): "0+90x30"}, 20),
        Case("SluiceConnectionsRefused", "a few", {refused("target not reached"): "0x5 5x30"}, 12),
        Case("SluiceConnectionsNearLimit", "95 of 100", {count: "95x20", limit: "100x20"}, 15, (full,)),
        Case("SluiceConnectionsNearLimit", "half", {count: "50x20", limit: "100x20"}, 15),
        Case("SluiceConnectionsNearLimit", "without limit", {count: "95x20", limit: "Inf " * 20}, 15),
        Case("SluiceDescriptorsNearLimit", "900 of 1000", {opened: "900x20", **there}, 15, (descriptors,)),
        Case("SluiceDescriptorsNearLimit", "few", {opened: "90x20", **there}, 15),
        Case("SluiceDescriptorsNearLimit", "another program's", {**other, BUILD: "1x20"}, 15),
    ]  # fmt: skip


def _server() -> list[Case]:
    down = f"{AT} cannot be scraped: down, or the token or its certificate is refused"
    crashes, start = "sluice_task_crashes_total", "process_start_time_seconds"
    thrice = Firing({}, f"{AT} has started 3 times within half an hour")
    return [
        Case("SluiceDown", "for minutes", {"up": "1x5 0x20"}, 15, (Firing({}, down),)),
        Case("SluiceDown", "back", {"up": "0x5 1x20"}, 15),
        Case("SluiceDown", "for a moment", {"up": "1x5 0 1x20"}, 6),
        Case("SluiceDown", "another program", {'up{job="node"}': "0x20"}, 15),
        Case("SluiceTasksCrashed", "once", {crashes: "0x5 1x20"}, 15, (Firing({}, f"Tasks of {AT} have crashed"),)),
        Case("SluiceTasksCrashed", "never", {crashes: "0x20"}, 15),
        Case("SluiceTasksCrashed", "hours ago", {crashes: "0x5 1x200"}, 150),
        Case("SluiceRestarting", "three times", {start: "1x5 2x3 3x3 4x20", BUILD: "1x40"}, 20, (thrice,)),
        Case("SluiceRestarting", "once", {start: "1x5 2x30", BUILD: "1x40"}, 20),
        Case("SluiceRestarting", "another program", {f'{start}{{job="other"}}': "1x5 2x3 3x3 4x20", BUILD: "1x40"}, 20),
    ]


def _certificates() -> list[Case]:
    """promtool's clock begins with 1970."""
    day = 86400
    labels = '{name="a.example",plane="data"}'
    expiry, life = f"certificate_expiry_timestamp_seconds{labels}", f"sluice_certificate_lifetime_seconds{labels}"

    def with_(days_left: float, days_of_life: int) -> dict[str, str]:
        return {
            expiry: f"{days_left * day + 5400:.0f}x100",
            life: f"{days_of_life * day}x100",
        }  # looked at after 90 min

    def ending(left: str) -> tuple[Firing, ...]:
        text = f"The data certificate a.example of {AT} ends in {left}"
        return (Firing({"name": "a.example", "plane": "data"}, text),)

    orders = 'sluice_certificate_failed_orders{name="a.example"}'
    late = Firing({"name": "a.example"}, f"3 orders in a row brought no certificate for a.example at {AT}")
    return [
        Case("SluiceCertificateEnding", "in ten days", with_(10, 90), 90, ending("10d 0h 0m 0s")),
        Case("SluiceCertificateEnding", "in twenty", with_(20, 90), 90),
        Case("SluiceCertificateEnding", "a short-lived one", with_(1, 6), 90, ending("1d 0h 0m 0s")),
        Case("SluiceCertificateEnding", "a fresh short-lived one", with_(5, 6), 90),
        Case("SluiceCertificateEndingSoon", "in two days", with_(2, 90), 90, ending("2d 0h 0m 0s")),
        Case("SluiceCertificateEndingSoon", "it has ended", with_(-1, 90), 90, ending("-1d 0h 0m 0s")),
        Case("SluiceCertificateEndingSoon", "in ten", with_(10, 90), 90),
        Case("SluiceCertificateEndingSoon", "a short-lived one", with_(1, 6), 90),
        Case("SluiceCertificateOrders", "three failed", {orders: "0x5 3x30"}, 20, (late,)),
        Case("SluiceCertificateOrders", "two failed", {orders: "0x5 2x30"}, 20),
        Case("SluiceCertificateOrders", "the fourth went well", {orders: "3x8 _x22"}, 20),
    ]


CASES = [*_clients(), *_admission(), *_visitors(), *_capacity(), *_server(), *_certificates()]
