"""Is it well? What a person should know first, each with what to do about it."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from appliance.admin.readings import read
from appliance.certificates.material import spoken_date, warning_of
from appliance.transport.tasks import crashes

if TYPE_CHECKING:
    from appliance.server.state import ServerState

OK, INFO, WARNING, ERROR = "ok", "info", "warning", "error"

WINDOW_SECONDS = 60.0
FEW_REQUESTS = 10  # of so few in the window none says anything
ERROR_SHARE, WARNING_SHARE = 0.5, 0.05
DENIED = 20  # wrong tokens in the window
NEARLY_FULL = 0.9
SHOWN_NAMES = 3


class Finding(NamedTuple):
    """`hint` is read on the page and in terminals (`sluice status --watch`), so it says where a thing is."""

    level: str
    text: str
    hint: str


class _Counts(NamedTuple):
    at: float
    requests: float
    errors: float
    denied: int


class Rates:
    """What there was of requests, errors and wrong tokens in the last minute or so."""

    def __init__(self, state: ServerState, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._clock = clock
        self._kept: deque[_Counts] = deque()
        self.note()

    def note(self) -> None:
        now = self._clock()
        if not self._kept or now - self._kept[-1].at >= WINDOW_SECONDS / 6:
            self._kept.append(self._counts(now))
        while len(self._kept) > 1 and self._kept[1].at <= now - WINDOW_SECONDS:
            self._kept.popleft()

    def lately(self) -> tuple[float, float, int]:
        """Requests, errors, wrong tokens."""
        before, now = self._kept[0], self._counts(self._clock())
        return now.requests - before.requests, now.errors - before.errors, now.denied - before.denied

    def _counts(self, now: float) -> _Counts:
        reading = read(self._state)
        return _Counts(now, reading.requests, reading.errors, self._state.guard.denied)


def health(state: ServerState, rates: Rates) -> dict[str, object]:
    """As the overview has it: the worst of the findings decides."""
    found = [*_plane(state), *_clients(state), *_certificates(state), *_traffic(rates), *_program(state)]
    levels = {finding.level for finding in found}
    worst = ERROR if ERROR in levels else WARNING if WARNING in levels else OK
    found.sort(key=lambda finding: (ERROR, WARNING, INFO).index(finding.level))
    return {"state": worst, "findings": [finding._asdict() for finding in found]}


def _plane(state: ServerState) -> Iterator[Finding]:
    if not state.ready:
        yield Finding(WARNING, "The server is starting or stopping.", "Wait a moment; else look at the log.")
    capacity = state.capacity
    if capacity is not None and capacity.most and capacity.used >= NEARLY_FULL * capacity.most:
        level = ERROR if capacity.exhausted else WARNING
        text = f"{capacity.used} of {capacity.most} possible connections are open."
        yield Finding(level, text, "Raise LimitNOFILE or ulimit -n, or --max-connections if that is set.")


def _clients(state: ServerState) -> Iterator[Finding]:
    sessions = state.sessions()
    if not sessions:
        yield Finding(
            WARNING,
            "No client is connected.",
            "Start one where the services are. The admin page has the command: Add a client.",
        )
    gone = [route.label for route in state.router.routes() if not route.members] if state.router is not None else []
    if gone and sessions:
        names = _some(gone)
        yield Finding(WARNING, f"Nobody serves {names} any more.", "Look whether the client runs; visitors get 503.")
    if state.tokens.problem:
        yield Finding(ERROR, f"{state.tokens.problem}.", "Clients with a token of their own wait; the server's works.")
    failing = Counter(
        f"{upstream.port_offered or upstream.pattern or '*'} ({upstream.target.removeprefix('tcp://')})"
        for session in sessions
        for upstream in session.upstreams
        if (known := session.health.get(upstream.target)) is not None and not known.up
    )
    if failing:
        text = f"Upstreams that clients did not reach: {_some(list(failing))}."
        yield Finding(WARNING, text, "Look whether these services run beside their clients.")


def _certificates(state: ServerState) -> Iterator[Finding]:
    now = datetime.now(timezone.utc)
    for plane, material in state.certificates():
        said = warning_of(material, now)
        if said:
            level = ERROR if now >= material.expires else WARNING
            yield Finding(level, f"The {plane} certificate {material.name} {said}.", "The log says why it was not.")
    for late in state.overdue():
        if late.reason:
            have = f"uses one until {spoken_date(late.expires)}" if late.expires else "has none"
            next_try = f"; next try {spoken_date(late.next_try)}" if late.next_try else ""
            level = WARNING if late.expires else ERROR
            text = f"No new certificate for {late.name}, which {have}: {late.reason}{next_try}."
            yield Finding(level, text, "Mend what it names; SIGHUP or a restart tries again soon.")


def _traffic(rates: Rates) -> Iterator[Finding]:
    requests, errors, denied = rates.lately()
    if requests >= FEW_REQUESTS and errors >= WARNING_SHARE * requests:
        level = ERROR if errors >= ERROR_SHARE * requests else WARNING
        text = f"{errors:.0f} of {requests:.0f} requests in the last minute failed (status 5xx)."
        yield Finding(level, text, "The admin page shows which (Names and ports), and its inspector what went wrong.")
    if denied >= DENIED:
        text = f"{denied} requests to the control plane in the last minute had a wrong token or none."
        yield Finding(WARNING, text, "Somebody guesses, or a client has an old token. --allow-ips keeps strangers out.")


def _program(state: ServerState) -> Iterator[Finding]:
    if crashes.count:
        text = f"{crashes.count} of the program's own tasks crashed."
        yield Finding(WARNING, text, "Please report what the log says.")
    inspected = state.inspector.names() if state.inspector is not None else {}
    if inspected:
        names = "all names" if "*" in inspected else _some(list(inspected))
        yield Finding(
            INFO, f"Requests of {names} are being recorded.", "Switch it off when done: the admin page, Requests."
        )


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
