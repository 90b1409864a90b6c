"""Names that have no certificate from their ACME issuer yet, or an older one than they should, and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from appliance.certificates import backoff
from appliance.certificates.acme_files import AcmeFiles, Record, issuers


@dataclass(frozen=True, slots=True)
class Overdue:
    """``failures``: tries in a row that brought none; ``reason``: of the last one, empty where there was none yet.

    ``since``: when that was; ``next_try``: None for as soon as can be; ``expires``: the end of the certificate that is
    in use, None where there is none. All in UTC.
    """

    name: str
    failures: int
    reason: str
    since: datetime | None
    next_try: datetime | None
    expires: datetime | None


def overdue(files: AcmeFiles, names: Iterable[str], now: float) -> list[Overdue]:
    """Those of the names that want a certificate. ``now``: seconds since the epoch."""
    issuer = files.issuer()
    found = []
    for name in names:
        record, certificate = files.record(name), files.certificate(name)
        if not record.wanted or (certificate is not None and not record.failures):
            continue
        # What holds up the issuer as a whole holds up each name, and often lasts longer.
        told = issuer if backoff.until(issuer, now) > backoff.until(record, now) else record
        expires = certificate[0].certificate.not_valid_after_utc if certificate is not None else None
        found.append(
            Overdue(
                name=name,
                failures=max(record.failures, issuer.failures if told is issuer else 0),
                reason=told.reason if told.failures else "",
                since=_moment(told.since) if told.failures else None,
                next_try=_next_try(told, now),
                expires=expires,
            )
        )
    return found


def overdue_in(state: Path, now: float) -> list[Overdue]:
    """Those of all issuers in a state directory, for those who only look. Raises OSError."""
    return [late for files in issuers(state) for late in overdue(files, files.known(), now)]


def told(one: Overdue) -> dict[str, object]:
    """As /status and ``sluice certificates --json`` have it; times by RFC 3339, None where there is none."""
    return {
        "name": one.name,
        "failures": one.failures,
        "reason": one.reason,
        "since": _iso(one.since),
        "nextTry": _iso(one.next_try),
        "expires": _iso(one.expires),
    }


def _next_try(record: Record, now: float) -> datetime | None:
    until = backoff.until(record, now)
    return _moment(until) if until > now else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment is not None else None
