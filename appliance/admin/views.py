"""The server's state as the API shows it: plain values for JSON."""

from __future__ import annotations

import dataclasses
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from appliance.admin.readings import NOTHING, NameReading
from appliance.config.data_tls import DataTlsOptions
from appliance.server.comings import Coming
from appliance.server.doors import Member as DoorMember
from appliance.tunnel.counters import PortSeries
from appliance.tunnel.router import Route
from appliance.wire.address import Upstream, join_host_port

if TYPE_CHECKING:
    from appliance.server.client_tokens import ClientToken
    from appliance.server.state import ServerState
    from appliance.tunnel.session import Session

USUAL_PORTS = {"http": 80, "https": 443}


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def info(state: ServerState) -> dict[str, object]:
    config = state.config
    return {
        "version": state.version,
        "sha": state.sha,
        "mode": state.mode,
        "startTime": state.start_time.isoformat(timespec="microseconds"),
        "hostname": state.hostname,
        "uptimeSeconds": round((datetime.now().astimezone() - state.start_time).total_seconds(), 1),
        "controlAddress": join_host_port(config.control_addr, state.control_port()) if config is not None else None,
        "dataAddress": data_address(state),
    }


def data_address(state: ServerState) -> str | None:
    """Where visitors of names come to; None in TCP mode."""
    plain, secure = state.data_ports()
    port = plain if secure is None else secure
    return None if port is None or state.config is None else join_host_port(state.config.data_addr or "0.0.0.0", port)


def coming(event: Coming) -> dict[str, object]:
    return {
        "at": iso(event.at),
        "kind": event.kind,
        "clientId": event.client_id,
        "name": event.name,
        "remoteAddr": event.remote,
        "detail": event.detail,
    }


def client(session: Session) -> dict[str, object]:
    return {
        "clientId": session.client_id,
        "name": session.name,
        "token": session.token or None,
        "remoteAddr": session.remote,
        "version": session.version,
        "since": iso(session.since),
        "roundTripSeconds": session.round_trip_seconds,
        "upstreams": [_upstream(session, upstream) for upstream in session.upstreams],
        "bytesIn": session.bytes_in,
        "bytesOut": session.bytes_out,
        "streamsIdle": session.streams_idle,
        "streamsUsed": session.streams_used,
    }


def token(kept: ClientToken, clients: int) -> dict[str, object]:
    return {
        "name": kept.name,
        "created": iso(kept.created),
        "names": kept.limits.spoken_names,
        "ports": kept.limits.spoken_ports,
        "forward": kept.limits.forward,
        "clients": clients,
    }


def _upstream(session: Session, upstream: Upstream) -> dict[str, object]:
    known = session.health.get(upstream.target)
    return {
        "offer": str(upstream.port_offered) if upstream.port_offered else upstream.pattern or "*",
        "target": upstream.target.removeprefix("tcp://"),
        "state": "unknown" if known is None else "up" if known.up else "failing",
        "detail": known.detail if known is not None else "",
        "since": iso(known.since) if known is not None else None,
    }


def names(state: ServerState, readings: dict[str, NameReading]) -> list[dict[str, object]]:
    """Those that are served, or were until their clients went; in alphabetical order, "*" first."""
    if state.router is None:
        return []
    inspected = state.inspector.names() if state.inspector is not None else {}
    routes = sorted(state.router.routes(), key=lambda route: route.label)
    return [_name(state, route, readings.get(route.label, NOTHING), inspected) for route in routes]


def _name(
    state: ServerState, route: Route, reading: NameReading, inspected: dict[str, datetime | None]
) -> dict[str, object]:
    members = route.members
    following = (route.turn + 1) % len(members) if members else 0
    found = inspected.get(route.label, inspected.get("*", ...))
    return {
        "name": route.label,
        "url": url_of(state, route.pattern),
        "clients": [
            {
                "clientId": member.session.client_id,
                "clientName": member.session.name,
                "target": member.target,
                "next": number == following,
            }
            for number, member in enumerate(members)
        ],
        "requestsTotal": reading.total,
        "requestsPerSecond": round(reading.per_second, 3),
        "errorRate": None if reading.error_rate is None else round(reading.error_rate, 4),
        "p95Seconds": None if reading.p95_seconds is None else round(reading.p95_seconds, 6),
        "allowIps": list(state.config.allow_ips) if state.config is not None else [],
        "certificate": _certificate(state, route.pattern),
        "inspect": {
            "on": found is not ...,
            "until": iso(found) if isinstance(found, datetime) else None,
        },
    }


def url_of(state: ServerState, pattern: str) -> str | None:
    """Where visitors find a name; None for patterns, which stand for many."""
    if not pattern or pattern.startswith("*"):
        return None
    plain, secure = state.data_ports()
    scheme, port = ("http", plain) if secure is None else ("https", secure)
    if port is None:
        return None
    host = join_host_port(pattern, port)
    return f"{scheme}://{host.rpartition(':')[0] if port == USUAL_PORTS[scheme] else host}/"


def _certificate(state: ServerState, pattern: str) -> dict[str, object] | None:
    config = state.config
    if state.store is None or not pattern or not (isinstance(config, DataTlsOptions) and config.secure):
        return None
    material = state.store.find(pattern) if state.store.covers(pattern) else None
    return None if material is None else {"name": material.name, "expires": material.expires.isoformat()}


def ports(state: ServerState) -> list[dict[str, object]]:
    if state.doors is None:
        return []
    return [_port(port, members, state.tcp.port(port)) for port, members in sorted(state.doors.listing())]


def _port(port: int, members: list[DoorMember], series: PortSeries) -> dict[str, object]:
    return {
        "port": port,
        "clients": [
            {
                "clientId": member.session.client_id,
                "clientName": member.session.name,
                "target": member.target.removeprefix("tcp://"),
                "open": member.open,
                "avoided": member.avoided_until > time.monotonic(),
            }
            for member in members
        ],
        "connectionsOpen": series.open,
        "connectionsTotal": series.total,
        "bytesIn": series.bytes_in,
        "bytesOut": series.bytes_out,
    }


def settings(config: Any, sources: dict[str, str]) -> list[dict[str, object]]:
    """All options that are in force. `sources`: by field, where each was given: "flag", "environment" or "file"."""
    from appliance.config.options import flag, options_of

    return [
        {
            "flag": flag(field.name),
            "value": _shown(getattr(config, field.name), described.secret),
            "isDefault": sources.get(field.name, "default") == "default",
            "source": sources.get(field.name, "default"),
            "default": _shown(_default(field), described.secret),
            "defaultText": described.default_text or "",
            "unit": described.unit or "",
            "group": described.group,
            "help": described.help,
        }
        for field, described in options_of(type(config))
        if not described.hidden
    ]


def _shown(value: Any, secret: bool) -> object:
    if secret:
        return "not set" if value is None else "set"
    return list(value) if isinstance(value, tuple) else value


def _default(field: dataclasses.Field[Any]) -> Any:
    return None if field.default is dataclasses.MISSING else field.default
