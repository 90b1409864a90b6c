"""How long to wait for an ACME server: after a failure, on its word, and for the window in which it likes a renewal.

Reckoning on `Record`s alone. A moment that lies before the failure which it belongs to says that the clock has been set
back since; then nothing is waited for.
"""

import random

from appliance.certificates.acme_files import Record
from appliance.certificates.acme_problems import Failed, Window

# https://letsencrypt.org/docs/integration-guide/ advises one, ten and a hundred minutes, then a day; here half of that,
# for certificates that live six days only. Each varies by a fifth: other servers fail at the same moment.
STEPS = (60.0, 600.0, 6000.0, 43200.0)
JITTER = 0.2
OTHER_METHOD_SECONDS = 5.0  # while there is a challenge that has not been tried
LONGEST_SECONDS = 7 * 86400.0  # of what an issuer asks us to wait
# A restart or SIGHUP tries at once what was put off; one that crashes again and again does not.
HASTE_SECONDS = 300.0
WINDOW_SECONDS = 6 * 3600.0  # between two questions for the window, where the issuer does not say (RFC 9773 4.3.3)
WINDOW_LIMITS = (60.0, 86400.0)
CLOCK_TOLERANCE = 60.0


def put_off(record: Record, failed: Failed, now: float, other_methods: int = 0) -> None:
    """One more failure: until when nothing is tried."""
    record.failures += 1
    limited = failed.code == "rateLimited"
    record.proofs += not limited
    record.since = now
    record.reason = str(failed)
    record.told = failed.retry_after is not None
    step = STEPS[min(max(record.failures - 1 - other_methods, 0), len(STEPS) - 1)]
    wait = step * random.uniform(1 - JITTER, 1 + JITTER)
    if failed.retry_after is not None:
        # What it says is the least; our own step is longer when it says so again and again.
        wait = max(wait, min(failed.retry_after, LONGEST_SECONDS) * random.uniform(1, 1 + JITTER / 4))
    elif record.proofs <= other_methods and not limited:
        wait = OTHER_METHOD_SECONDS
    record.until = now + wait


def until(record: Record, now: float) -> float:
    """The moment before which nothing is tried; 0: none."""
    return record.until if record.since <= now + CLOCK_TOLERANCE else 0.0


def held(record: Record, now: float) -> bool:
    return until(record, now) > now


def hasten(record: Record) -> bool:
    """Wait no longer than HASTE_SECONDS after the failure. Returns whether that changes anything."""
    soon = record.since + HASTE_SECONDS
    if record.told or record.until <= soon:
        return False
    record.until = soon
    return True


def time_to_ask(record: Record, now: float) -> bool:
    """Whether the renewal window is to be asked for."""
    return not now < record.ask_again <= now + WINDOW_LIMITS[1] + CLOCK_TOLERANCE


def choose(record: Record, window: Window | None, now: float) -> None:
    """Pick a moment in the window; one picked earlier stays while the window does. None: as it was, ask again later."""
    low, high = WINDOW_LIMITS
    seconds = WINDOW_SECONDS if window is None or window.seconds is None else window.seconds
    record.ask_again = now + min(max(seconds, low), high)
    if window is not None and (window.start, window.end) != record.window:
        record.window = (window.start, window.end)
        record.chosen = random.uniform(window.start, window.end)
