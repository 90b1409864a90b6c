"""Keeps one certificate for each of some names: orders what is missing, renews in time, waits where it must.

`Renewals.look` does what is due and says when to look again; whoever calls it, does so for ever. All that must outlast
a restart is in the files. Times in them are this machine's, whose clock may be wrong, and be set right at any moment.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Protocol

import gevent
from cryptography import x509

from appliance.certificates import backoff
from appliance.certificates.acme_files import AcmeFiles, Record, renewal_time
from appliance.certificates.acme_keys import Issued
from appliance.certificates.acme_problems import Failed, Window
from appliance.certificates.material import spoken_date
from appliance.certificates.overdue import Overdue, overdue
from appliance.certificates.store import Store
from appliance.config.options import ConfigError

KEY_PREFIX = "acme:"  # of our keys in the store
ATTEMPT_SECONDS = 300.0
BUSY_SECONDS = 30.0  # another process is at work in the same directory
LOOK_SECONDS = 3600.0  # at the latest: the clock may have been set

_log = logging.getLogger(__name__)


class Issuing(Protocol):
    """What is needed of `acme_order.Issuer`."""

    def obtain(
        self, name: str, method: str, record: Record, replaces: x509.Certificate | None, keep: Callable[[], None]
    ) -> Issued: ...

    def window(self, certificate: x509.Certificate) -> Window | None: ...

    def close(self) -> None: ...


class Renewals:
    """``connect`` makes an issuer for one round of orders; ``methods``: challenges that we can answer, best first."""

    def __init__(
        self,
        names: Sequence[str],
        files: AcmeFiles,
        store: Store,
        connect: Callable[[], Issuing],
        methods: Callable[[], Sequence[str]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._names = names
        self._files = files
        self._store = store
        self._connect = connect
        self._methods = methods
        self._now = now
        self._issuer: Issuing | None = None  # while a round of orders goes on

    def load(self) -> None:
        """Put what is kept into the store; from now on only our names are renewed. Raises ConfigError."""
        try:
            self._mark_wanted()
            self.retry_soon()
        except OSError as error:
            raise ConfigError(
                f"cannot keep certificates in {self._files.directory}: {error.strerror or error}: choose another state "
                "directory with --auto-tls-path"
            ) from None
        for name in self._names:
            self._show(name)
        for late in self.overdue():
            if late.reason:
                next_try = spoken_date(late.next_try) if late.next_try else "now"
                _log.warning("%s: no certificate at the last try: %s; next try: %s", late.name, late.reason, next_try)

    def overdue(self) -> list[Overdue]:
        """The names that want a certificate and have not got it so far."""
        return overdue(self._files, self._names, self._now())

    def _mark_wanted(self) -> None:
        known = set(self._files.known())
        for name in {*self._names, *known}:
            record = self._files.record(name)
            if record.wanted != (name in self._names) or name not in known:
                record.wanted = name in self._names
                self._files.keep_record(name, record)
                if not record.wanted:
                    _log.info("%s is not among --letsencrypt-domain any more: its certificate is not renewed", name)

    def retry_soon(self) -> None:
        """Somebody may have mended what was wrong: what was put off is tried soon, unless the issuer forbids it."""
        issuer = self._files.issuer()
        if backoff.hasten(issuer):
            self._files.keep_issuer(issuer)
        for name in self._names:
            record = self._files.record(name)
            if backoff.hasten(record):
                self._files.keep_record(name, record)

    def look(self) -> float:
        """Do what is due. Returns the seconds until there may be more to do."""
        try:
            with self._files.alone() as ours:
                if not ours:
                    for name in self._names:  # of which the other process may have put new ones there
                        self._show(name)
                    return BUSY_SECONDS
                try:
                    self._round()
                finally:
                    self._leave()
                return self._pause()
        except OSError as error:
            _log.error("certificates cannot be kept in %s: %s", self._files.directory, error.strerror or error)
            return backoff.STEPS[0]

    def _round(self) -> None:
        limited: set[str] = set()
        # What has nothing to show comes first, and before others what has not failed.
        order = sorted(
            self._names, key=lambda name: (self._files.certificate(name) is not None, self._files.record(name).failures)
        )
        for name in order:
            gevent.sleep(0)  # many names must not hold up anybody
            if backoff.held(self._files.issuer(), self._now()):
                return
            try:
                if self._due(name) <= self._now():
                    self._renew(name)
                else:
                    self._ask_window(name)
            except Failed as failed:
                if failed.code == "rateLimited":
                    limited.add(".".join(name.split(".")[-2:]))
                # Issuers limit registered domains: a limit on two of them is no single one's.
                self._failed(name, failed, whole=failed.whole or len(limited) > 1)
            self._show(name)

    # One name

    def _due(self, name: str) -> float:
        """When to try; 0 for at once."""
        record, found, now = self._files.record(name), self._files.certificate(name), self._now()
        due = 0.0 if found is None else renewal_time(found[0].certificate, record, _moment(now)).timestamp()
        return max(due, backoff.until(record, now))

    def _renew(self, name: str) -> None:
        record, found = self._files.record(name), self._files.certificate(name)
        methods = sorted(self._methods(), key=lambda method: method != record.method)
        if not methods:
            raise Failed(
                "neither the port for plain HTTP nor the one for HTTPS is open, so no challenge can be answered"
            )
        method = methods[record.proofs % len(methods)]
        _log.info("%s: ordering a certificate, by %s", name, method)
        too_long = Failed(f"the order has not come to an end within {ATTEMPT_SECONDS:g} seconds")
        with gevent.Timeout(ATTEMPT_SECONDS, too_long):
            pair, chain = self._connected().obtain(
                name,
                method,
                record,
                found[0].certificate if found else None,
                lambda: self._files.keep_record(name, record),
            )
        self._files.keep_certificate(name, pair, chain)
        self._files.keep_record(name, Record(method=method, issued=self._now()))
        if self._files.issuer().failures:
            self._files.keep_issuer(Record())
        self._show(name)
        begins, ends = pair.certificate.not_valid_before_utc, pair.certificate.not_valid_after_utc
        _log.info("%s: new certificate, good until %s", name, spoken_date(ends))
        if not begins <= _moment(self._now()) <= ends:
            _log.error(
                "%s: the new certificate is good from %s to %s, but this machine's clock says %s: set the clock",
                *(name, spoken_date(begins), spoken_date(ends), spoken_date(_moment(self._now()))),
            )
        self._ask_window(name)

    def _ask_window(self, name: str) -> None:
        """Ask when the issuer would like the certificate renewed, if it is time to (RFC 9773)."""
        record, found, now = self._files.record(name), self._files.certificate(name), self._now()
        if found is None or not backoff.time_to_ask(record, now):
            return
        certificate = found[0].certificate
        window = None
        if _moment(now) <= certificate.not_valid_after_utc:  # not after its end (RFC 9773 4.3)
            try:
                with gevent.Timeout(ATTEMPT_SECONDS, Failed("no answer about its renewal")):
                    window = self._connected().window(certificate)
            except Failed as failed:
                _log.warning("%s: the issuer has not said when to renew: %s", name, failed)
        backoff.choose(record, window, now)
        if window is not None and window.explanation and record.chosen <= now:
            _log.warning("%s: the issuer wants it renewed now: see %s", name, window.explanation)
        self._files.keep_record(name, record)

    def _failed(self, name: str, failed: Failed, whole: bool) -> None:
        now, found, record = self._now(), self._files.certificate(name), self._files.record(name)
        if whole:
            issuer = self._files.issuer()
            backoff.put_off(issuer, failed, now)
            self._files.keep_issuer(issuer)
            _log.error("no certificates for now: %s; next try at %s", failed, spoken_date(_moment(issuer.until)))
            if failed.whole:
                return
        backoff.put_off(record, failed, now, other_methods=len(self._methods()) - 1)
        self._files.keep_record(name, record)
        have = f"the one in use ends {spoken_date(found[0].certificate.not_valid_after_utc)}" if found else "none yet"
        next_try = spoken_date(_moment(record.until))
        _log.error("%s: no new certificate (%s): %s; next try at %s", name, have, failed, next_try)

    def _show(self, name: str) -> None:
        """Serve what is kept. What is served already goes on where nothing is."""
        material = self._files.material(name, _moment(self._now()))
        if material is not None:
            self._store.put(KEY_PREFIX + name, material)

    # The round

    def _connected(self) -> Issuing:
        if self._issuer is None:
            self._issuer = self._connect()
        return self._issuer

    def _leave(self) -> None:
        if self._issuer is not None:
            self._issuer.close()
            self._issuer = None

    def _pause(self) -> float:
        now = self._now()
        moments = [LOOK_SECONDS + now]
        for name in self._names:
            moments.append(self._due(name))
            if asks := self._files.record(name).ask_again:
                moments.append(asks)
        soonest = max(min(moments), backoff.until(self._files.issuer(), now), now)
        # A little later than the moment itself, and not all servers together.
        return min(soonest - now + random.uniform(0.2, 1.0), LOOK_SECONDS)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
