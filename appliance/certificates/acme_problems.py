"""What an ACME server says besides certificates: what went wrong, when to come back. Knows nothing of the library."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any


class Failed(Exception):
    """No certificate this time; the message says why. ``retry_after``: seconds, where the server names them.

    ``whole``: it has nothing to do with the one name, so the others would fail likewise. ``code``: the ACME error's.
    """

    def __init__(self, reason: str, *, retry_after: float | None = None, whole: bool = False, code: str = "") -> None:
        super().__init__(" ".join(reason.split()))
        self.retry_after = retry_after
        self.whole = whole
        self.code = code


@dataclass(frozen=True, slots=True)
class Window:
    """When the issuer would like a renewal (RFC 9773 4.2), as seconds since the epoch; and how long that holds."""

    start: float
    end: float
    seconds: float | None
    explanation: str


def explain(problem: Mapping[str, Any]) -> str:
    """A problem document (RFC 7807) in a line: its detail, that of its parts, and its type."""
    parts = [problem, *(problem.get("subproblems") or ())]
    details = [str(detail) for part in parts if (detail := dict(part).get("detail"))]
    kind = str(problem.get("type") or "no reason given").rpartition(":")[2]
    return f"{': '.join(dict.fromkeys(details))} ({kind})" if details else kind


def seconds_of(headers: Mapping[str, str]) -> float | None:
    """Retry-After (RFC 9110 10.2.3): seconds, or a date, which is reckoned from the answer's own."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    until = _date(text)
    if until is None:
        return None
    now = _date(headers.get("Date", "")) or datetime.now(timezone.utc)
    return max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def tls_reason(error: BaseException) -> str:
    text = innermost(error)
    if "expired" in text or "not yet valid" in text:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        return f"{text}: look at this machine's clock, which says {now}"
    return f"{text}: if the ACME server is your own, name its authority with --letsencrypt-ca"


def innermost(error: BaseException) -> str:
    """The text of what has caused it: the library's own is long, and shows objects."""
    seen = error
    for _ in range(8):
        reason = getattr(seen, "reason", None)
        inside = reason if isinstance(reason, BaseException) else next(
            (part for part in seen.args if isinstance(part, BaseException)), seen.__cause__ or seen.__context__
        )  # fmt: skip
        if inside is None:
            break
        seen = inside
    text = getattr(seen, "verify_message", "") or getattr(seen, "strerror", None) or str(seen)
    return str(text) or type(seen).__name__
