"""Which sessions serve a name: exact names, `*.name`, and the default; turns among the sessions of one name."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from gevent.event import Event

from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.session import Session
from appliance.wire.address import AddressError, host_key

MAX_CACHED_HOSTS = 4096  # spellings of Host headers; a visitor may make up as many as it likes
MAX_CACHED_BYTES = 300  # of one spelling: no name that can be offered is longer, a Host header can be
AVOID_SECONDS = 10.0  # a client that has brought no answer is asked last for so long
MAX_GONE = 4096  # names remembered after their last client has left


@dataclass(frozen=True, slots=True)
class Member:
    """One session's offer for a name.

    `host_header`: the Host that the upstream wants in place of the visitor's, or b""; `own_host`: what it is sent for
    a visitor that named none (HTTP/1.0).
    """

    session: Session
    target: str
    host_header: bytes
    own_host: bytes = b"localhost"


class Arrival:
    """Clients of a name are on their way back, as after a restart of the server."""

    __slots__ = ("_come", "_until")

    def __init__(self, seconds: float) -> None:
        self._come = Event()
        self._until = time.monotonic() + seconds

    def note(self) -> None:
        self._come.set()

    def wait(self) -> None:
        """Until one has come, or they have had their time."""
        self._come.wait(max(0.0, self._until - time.monotonic()))


class Route:
    """A name and who serves it. Empty: its clients have gone, which is not the same as an unknown name.

    `arrival`: set while its first client is waited for.
    """

    __slots__ = ("_avoided", "arrival", "inspected", "label", "members", "pattern", "turn")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.label = pattern or "*"  # for metrics and /status
        self.members: list[Member] = []
        self.turn = 0
        self.arrival: Arrival | None = None
        self._avoided: dict[Member, float] = {}
        self.inspected = False

    def in_turn(self) -> list[Member]:
        """All members, beginning with the one whose turn it is; last those that have just failed."""
        members = self.members
        if len(members) < 2:
            return members
        turn = self.turn = (self.turn + 1) % len(members)
        members = members[turn:] + members[:turn]
        if self._avoided:
            now = time.monotonic()
            self._avoided = {member: until for member, until in self._avoided.items() if until > now}
            members.sort(key=self._avoided.__contains__)
        return members

    def await_return(self) -> list[Member]:
        """The members, once one of a name without any has come back; none where none is expected, or in time."""
        if self.arrival is not None:
            self.arrival.wait()
            self.arrival = None
        return self.in_turn()

    def avoid(self, member: Member) -> None:
        """It did not reach its target: every other visitor would wait for it to find that out again."""
        self._avoided[member] = time.monotonic() + AVOID_SECONDS


class Router:
    """Routes of all sessions. `find` is on the way of every request: what was found for a Host is remembered."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._found: dict[bytes | None, Route | None] = {}
        self.inspector: Inspector | None = None

    def use(self, inspector: Inspector) -> None:
        """From now on, routes know whether they are inspected."""
        self.inspector = inspector
        inspector.on_switch = self._mark
        self._mark()

    def _mark(self) -> None:
        for route in self._routes.values():
            route.inspected = self.inspector is not None and self.inspector.inspects(route.label)

    def find(self, host: bytes | None) -> Route | None:
        """The route for a Host header's value as it was sent; None for a name that nobody offers or has offered."""
        try:
            return self._found[host]
        except KeyError:
            route = self._look_up(host)
            if host is None or len(host) <= MAX_CACHED_BYTES:
                if len(self._found) >= MAX_CACHED_HOSTS:
                    self._found.clear()
                self._found[host] = route
            return route

    def _look_up(self, host: bytes | None) -> Route | None:
        try:
            name = host_key(host.decode("ascii")) if host else ""
        except (AddressError, UnicodeDecodeError):
            name = ""
        candidates = [name] if name else []
        labels = name.split(".")
        candidates += ["*." + ".".join(labels[n:]) for n in range(1, len(labels))]
        candidates.append("")
        known = [route for route in map(self._routes.get, candidates) if route is not None]
        # The most specific name wins also while its clients are gone: its visitors are not the default's.
        return known[0] if known else None

    def offer(self, session: Session, members: Iterable[tuple[str, Member]]) -> None:
        """Serve these patterns by `session`, in place of what it offered before."""
        self._remove(session)
        for pattern, member in members:
            route = self._route(pattern)
            self._gone.pop(pattern, None)
            if route.arrival is not None:
                route.arrival.note()
            route.members = [*route.members, member]  # a new list: requests are going through the old one
        self._settle()

    def expect(self, patterns: Iterable[str], seconds: float) -> None:
        """These names were served by the last run of the server: their visitors wait so long for who served them."""
        for pattern in patterns:
            self._route(pattern).arrival = Arrival(seconds)
        self._settle()

    def withdraw(self, session: Session) -> None:
        """The session is over."""
        self._remove(session)
        self._settle()

    def _route(self, pattern: str) -> Route:
        route = self._routes.get(pattern)
        if route is None:
            route = self._routes[pattern] = Route(pattern)
            route.inspected = self.inspector is not None and self.inspector.inspects(route.label)
        return route

    def routes(self) -> list[Route]:
        return list(self._routes.values())

    def served(self) -> list[str]:
        """The patterns that a client serves, or that one is waited for."""
        return [route.pattern for route in self._routes.values() if route.members or route.arrival is not None]

    def _remove(self, session: Session) -> None:
        for route in self._routes.values():
            if any(member.session is session for member in route.members):
                route.members = [member for member in route.members if member.session is not session]

    def _settle(self) -> None:
        """Remember names without clients, up to a limit, and forget what was found before."""
        for pattern, route in self._routes.items():
            if not route.members and pattern not in self._gone:
                self._gone[pattern] = None
        while len(self._gone) > MAX_GONE:
            pattern, _ = self._gone.popitem(last=False)
            del self._routes[pattern]
        self._found.clear()
