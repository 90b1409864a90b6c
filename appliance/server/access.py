"""Who may use the control plane: whoever has the token; clients, with one of their own. Wrong ones are counted and, in
numbers, slowed."""

import hashlib
import hmac
import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

import gevent

from appliance.server.client_tokens import OWN, Bearer, ClientTokens

log = logging.getLogger("sluice.control")

# Limits of what one address, and all together, may cost us by guessing.
FREE_REFUSALS = 10
WINDOW_SECONDS = 60.0
MAX_DELAY_SECONDS = 10.0
MAX_WAITING_PER_ADDRESS = 8
MAX_WAITING = 256
MAX_ADDRESSES = 10_000


class _Refusals:
    """One address's refusals since its window began, and how many of its answers are being held back."""

    __slots__ = ("began", "count", "waiting")

    def __init__(self, began: float) -> None:
        self.began = began
        self.count = 0
        self.waiting = 0


class TokenGuard:
    """Compares the server's token in constant time; those of clients are looked up by their digest. A right one is
    never delayed, whatever its address did before.

    After FREE_REFUSALS of one address (IPv6: of one /64) within a minute, each further one waits for a second
    more than the last, up to MAX_DELAY_SECONDS. Those beyond MAX_WAITING_PER_ADDRESS are refused at once: to
    hold them would cost us more than the stranger. ``denied`` counts them all.
    """

    def __init__(
        self,
        token: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = gevent.sleep,
        clients: ClientTokens | None = None,
    ) -> None:
        """`clients`: tokens that let a client connect, and nothing else."""
        if not token:
            raise ValueError("an empty token would let everybody in")
        self.clients = clients or ClientTokens()
        # Digests are of one length, so comparing them does not tell the token's.
        self._digest = hashlib.sha256(token.encode()).digest()
        self._clock = clock
        self._sleep = sleep
        self._addresses: OrderedDict[str, _Refusals] = OrderedDict()
        self._waiting = 0
        self.denied = 0

    def use(self, token: str) -> bool:
        """From now on, this is the right one. Says whether another one was."""
        former, self._digest = self._digest, hashlib.sha256(token.encode()).digest()
        return not hmac.compare_digest(former, self._digest)

    def check(self, authorization: str | None) -> bool:
        """Is this ``Authorization`` header, as WSGI gives it, ``Bearer`` and the server's own token?"""
        return self.bearer(authorization) is OWN

    def bearer(self, authorization: str | None) -> Bearer | None:
        """Whose token this header brings; None where it is nobody's."""
        # Only blanks: the plain strip() also takes U+00A0, the last byte of an "à" that came as latin-1.
        scheme, _, presented = (authorization or "").strip(" \t").partition(" ")
        digest = hashlib.sha256(_as_sent(presented.lstrip(" "))).digest()
        if scheme.lower() != "bearer":
            return None
        if hmac.compare_digest(digest, self._digest):
            return OWN
        token = self.clients.find(digest.hex())
        return Bearer(token) if token is not None else None

    def admit(self, address: str, authorization: str | None) -> bool:
        """`check`. A token that is nobody's is counted, and False may come late; a client's is no guess."""
        bearer = self.bearer(authorization)
        return bearer is OWN if bearer is not None else self._refuse(address)

    def admit_client(self, address: str, authorization: str | None) -> Bearer | None:
        """Whose token a client brings; None is counted, and may come late."""
        bearer = self.bearer(authorization)
        if bearer is None:
            self._refuse(address)
        return bearer

    def _refuse(self, address: str) -> bool:
        self.denied += 1
        refusals = self._remember(address)
        excess = refusals.count - FREE_REFUSALS
        if excess > 0 and refusals.waiting < MAX_WAITING_PER_ADDRESS and self._waiting < MAX_WAITING:
            self._hold(refusals, min(float(excess), MAX_DELAY_SECONDS))
        return False

    def turns_away(self, address: str) -> bool:
        """Whether so many answers to this address are being held that a log-in from it is not looked at. For people
        alone: a client must get in, whoever guesses behind the same address."""
        refusals = self._addresses.get(_network(address))
        if refusals is None or refusals.waiting < MAX_WAITING_PER_ADDRESS:
            return False
        self.denied += 1
        return True

    def _remember(self, address: str) -> _Refusals:
        key, now = _network(address), self._clock()
        refusals = self._addresses.pop(key, None)
        if refusals is None:
            refusals = _Refusals(now)
            if len(self._addresses) >= MAX_ADDRESSES:
                self._addresses.popitem(last=False)
        elif now - refusals.began >= WINDOW_SECONDS:
            refusals.began, refusals.count = now, 0
        # Put back at the young end: the address that has been quiet for longest is forgotten first.
        self._addresses[key] = refusals
        refusals.count += 1
        if refusals.count == FREE_REFUSALS + 1:  # once a minute at the most
            log.warning("%s has sent %d wrong tokens within a minute: it is answered slowly now", key, FREE_REFUSALS)
        return refusals

    def _hold(self, refusals: _Refusals, seconds: float) -> None:
        refusals.waiting += 1
        self._waiting += 1
        try:
            self._sleep(seconds)
        finally:
            refusals.waiting -= 1
            self._waiting -= 1


class Strangers:
    """Connections of nobody we know, at least not yet: `most` at once. When half of that is taken, each address (IPv6:
    each /64) is held to its share, so that one alone cannot keep clients out."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0
        self._of: dict[str, int] = {}
        self._crowded = False  # and said so

    def enter(self, address: str) -> bool:
        """A connection has come. False: it is one too many; else `leave` follows."""
        network = _network(address)
        count = self._of.get(network, 0)
        if self._open >= self._most or (self._open >= self._most // 2 and count >= max(1, self._most // 16)):
            if not self._crowded:
                log.warning(
                    "%d connections of nobody we know are open, %d of them from %s: more are turned away",
                    self._open,
                    count,
                    network,
                )
            self._crowded = True
            return False
        self._crowded = self._crowded and self._open > self._most // 4
        self._open += 1
        self._of[network] = count + 1
        return True

    def leave(self, address: str) -> None:
        network = _network(address)
        self._open -= 1
        self._of[network] -= 1
        if not self._of[network]:
            del self._of[network]


def _as_sent(text: str) -> bytes:
    """The header's bytes, which WSGI hands on as latin-1 text (PEP 3333)."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _network(address: str) -> str:
    """The address itself, or the /64 of an IPv6 one: who has one address of that has them all."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address  # a Unix socket has none
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
