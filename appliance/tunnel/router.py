"""Which sessions serve a name: exact names, `*.name`, and the default; turns among the sessions of one name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.tunnel.session import Session
from appliance.wire.address import AddressError, host_key

MAX_CACHED_HOSTS = 4096  # spellings of Host headers; a visitor may make up as many as it likes
MAX_CACHED_BYTES = 300  # of one spelling: no name that can be offered is longer, a Host header can be
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


class Route:
    """A name and who serves it. Empty: its clients have gone, which is not the same as an unknown name."""

    __slots__ = ("label", "members", "pattern", "turn")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.label = pattern or "*"  # for metrics and /status
        self.members: list[Member] = []
        self.turn = 0

    def in_turn(self) -> list[Member]:
        """All members, beginning with the one whose turn it is."""
        members = self.members
        if len(members) < 2:
            return members
        turn = self.turn = (self.turn + 1) % len(members)
        return members[turn:] + members[:turn]


class Router:
    """Routes of all sessions. `find` is on the way of every request: what was found for a Host is remembered."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._found: dict[bytes | None, Route | None] = {}

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
            route = self._routes.get(pattern)
            if route is None:
                route = self._routes[pattern] = Route(pattern)
            self._gone.pop(pattern, None)
            route.members = [*route.members, member]  # a new list: requests are going through the old one
        self._settle()

    def withdraw(self, session: Session) -> None:
        """The session is over."""
        self._remove(session)
        self._settle()

    def routes(self) -> list[Route]:
        return list(self._routes.values())

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
