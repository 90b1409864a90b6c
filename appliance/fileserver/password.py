"""Basic authentication (RFC 7617): one password, any user name. Guessing is slowed down per address."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import socket
import time
from collections import OrderedDict

import gevent

CHALLENGE = b'WWW-Authenticate: Basic realm="files", charset="UTF-8"'

FREE_FAILURES = 10  # wrong passwords of one address within WINDOW_SECONDS that cost nothing
WINDOW_SECONDS = 60.0
MAX_DELAY_SECONDS = 10.0
MAX_WAITING = 8  # of one address; more are refused at once, or waiting itself would be the attack
MAX_ADDRESSES = 10_000


class _Failures:
    __slots__ = ("count", "since", "waiting")

    def __init__(self, since: float) -> None:
        self.count = 0
        self.since = since
        self.waiting = 0


class PasswordGate:
    """Lets in who knows the password; a right one is never delayed, whatever others at that address did."""

    def __init__(self, password: str) -> None:
        self._digest = hashlib.sha256(password.encode()).digest()
        self._failures: OrderedDict[str | bytes, _Failures] = OrderedDict()

    def check(self, peer: str, authorization: str | None) -> int:
        """0 to let in; 401, after a wait if there were many wrong ones; 429 where too many wait already."""
        if authorization is None:  # how every browser begins: no guess was made
            return 401
        if hmac.compare_digest(hashlib.sha256(_password(authorization)).digest(), self._digest):
            return 0
        failures = self._note_failure(_network(peer))
        delay = min(float(failures.count - FREE_FAILURES), MAX_DELAY_SECONDS)
        if delay <= 0:
            return 401
        if failures.waiting >= MAX_WAITING:
            return 429
        failures.waiting += 1
        try:
            gevent.sleep(delay)
        finally:
            failures.waiting -= 1
        return 401

    def _note_failure(self, network: str | bytes) -> _Failures:
        now = time.monotonic()
        failures = self._failures.get(network)
        if failures is None:
            failures = self._failures[network] = _Failures(now)
            if len(self._failures) > MAX_ADDRESSES:
                self._failures.popitem(last=False)
        else:
            self._failures.move_to_end(network)
            if now - failures.since > WINDOW_SECONDS:
                failures.count, failures.since = 0, now
        failures.count += 1
        return failures


def _password(authorization: str) -> bytes:
    """The password in an Authorization field; empty, which is never right, for anything malformed."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        decoded = binascii.a2b_base64(credentials.strip().encode("latin-1"))
    except (binascii.Error, ValueError):
        return b""
    return decoded.partition(b":")[2]


def _network(peer: str) -> str | bytes:
    """What guesses are counted for: an IPv4 address, or the /64 that one IPv6 visitor has to choose from."""
    host = peer.rpartition(":")[0]
    if host.startswith("["):
        try:
            return socket.inet_pton(socket.AF_INET6, host[1:-1].partition("%")[0])[:8]
        except OSError:
            pass
    return host
