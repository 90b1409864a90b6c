"""What clients offer, checked, and served as far as this server's mode goes."""

from __future__ import annotations

import dataclasses
import re

from appliance.server.doors import Doors
from appliance.server.limits import UNLIMITED, Limits
from appliance.tunnel.router import Member, Router
from appliance.tunnel.session import Session
from appliance.wire.address import AddressError, Upstream, join_host_port, parse_target, parse_upstream
from appliance.wire.messages import (
    MAX_CONTROL_BYTES,
    Hello,
    MessageError,
    Offer,
    OfferedPort,
    Refusal,
    Served,
    Update,
    encode,
)

SHOWN_LETTERS = 300  # of an upstream that is refused

_host_header = re.compile(r"[A-Za-z0-9._~:\[\]-]{0,260}").fullmatch


class Offers:
    """Names go to `router`, ports to `doors`; None where the server's mode has no such thing. `own_name`: at which the
    control plane is on visitors' ports."""

    def __init__(self, router: Router | None, doors: Doors | None, own_name: str | None = None) -> None:
        self._router = router
        self._doors = doors
        self._own_name = own_name

    def serve(self, session: Session, message: Hello | Update, limits: Limits = UNLIMITED) -> Served:
        """Serve what the message offers, in place of what the session offered before, as far as its token's `limits`
        go; says what is not served.

        Raises MessageError for offers that are not understood, of which none is served.
        """
        names, refused = self._within(limits, read_offers(message.upstreams))
        ports = read_ports(message.ports)
        wanted = tuple(offer for offer in message.ports if not limits.objection_to_port(offer.port))
        refused += [
            Refusal(str(offer.port), why) for offer in message.ports if (why := limits.objection_to_port(offer.port))
        ]
        if self._router is not None:
            self._router.offer(
                session, [(upstream.pattern, _member(session, upstream, host)) for upstream, host in names]
            )
        else:
            reason = "this server serves TCP alone: names need `sluice server` or `sluice http server`"
            refused += [Refusal(upstream.label[:SHOWN_LETTERS], reason) for upstream, _ in names]
            names = []
        if self._doors is not None:
            refused += self._doors.offer(session, wanted)
        else:
            reason = "this server serves HTTP alone: ports need `sluice server` or `sluice tcp server`"
            refused += [Refusal(str(offer.port), reason) for offer in wanted]
        unserved = {refusal.offer for refusal in refused}
        served = [upstream for upstream in ports if str(upstream.port_offered) not in unserved]
        session.upstreams = (*(upstream for upstream, _ in names), *served)
        return _fitting(refused)

    def _within(
        self, limits: Limits, names: list[tuple[Upstream, str]]
    ) -> tuple[list[tuple[Upstream, str]], list[Refusal]]:
        """Those that may be served, and the others."""
        served, refused = [], []
        for upstream, host in names:
            why = limits.objection_to_name(upstream.pattern)
            if upstream.pattern and upstream.pattern == self._own_name:
                why = "this name is the server's own (--control-domain)"
            if why:
                refused.append(Refusal(upstream.label[:SHOWN_LETTERS], why))
            else:
                served.append((upstream, host))
        return served, refused

    def withdraw(self, session: Session) -> None:
        """The session is over."""
        if self._router is not None:
            self._router.withdraw(session)
        if self._doors is not None:
            self._doors.withdraw(session)


def read_offers(offers: tuple[Offer, ...]) -> list[tuple[Upstream, str]]:
    """Names with their upstreams and Host headers. Raises MessageError with what is wrong."""
    read: dict[str, tuple[Upstream, str]] = {}
    for offer in offers:
        try:
            upstream = parse_upstream(f"{offer.pattern or '*'}={offer.target}")
        except AddressError as error:
            raise MessageError(f"an upstream is not understood: {error}") from None
        if upstream.pattern != offer.pattern:
            raise MessageError(f"{offer.pattern!r} is not a name that can be served")
        if not _host_header(offer.host_header):
            raise MessageError(f"{offer.host_header!r} is not a Host header")
        if offer.pattern in read:
            raise MessageError(f"{offer.pattern or '*'} is offered twice")
        read[offer.pattern] = (upstream, offer.host_header)
    return list(read.values())


def read_ports(offers: tuple[OfferedPort, ...]) -> list[Upstream]:
    """The upstreams behind ports. Raises MessageError with what is wrong."""
    read: dict[int, Upstream] = {}
    for offer in offers:
        try:
            upstream = parse_target(offer.target)
        except AddressError as error:
            raise MessageError(f"an upstream is not understood: {error}") from None
        if upstream.scheme not in ("tcp", "unix"):
            raise MessageError(f"{offer.target!r} is not a TCP upstream")
        if offer.port in read:
            raise MessageError(f"port {offer.port} is offered twice")
        read[offer.port] = dataclasses.replace(upstream, port_offered=offer.port)
    return list(read.values())


def _fitting(refused: list[Refusal]) -> Served:
    """As many refusals as one message holds, and how many more there are."""
    told = refused
    served = Served(tuple(told))
    while len(encode(served)) > MAX_CONTROL_BYTES:
        told = told[: len(told) * 3 // 4]
        served = Served((*told, Refusal(f"{len(refused) - len(told)} more", "for reasons like these")))
    return served


def _member(session: Session, upstream: Upstream, host_header: str) -> Member:
    own_host = join_host_port(upstream.host, upstream.port).encode() if upstream.host else b"localhost"
    return Member(session, upstream.target, host_header.encode(), own_host)
