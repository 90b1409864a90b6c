"""Who has logged in on the page: a table in memory, by the digest of a cookie. A restart ends all."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.wire.forwarding import OWN_COOKIE

COOKIE = OWN_COOKIE.decode()
IDLE_SECONDS = 12 * 3600.0
MOST_LOGINS = 100


@dataclass(eq=False, slots=True)
class Login:
    """`csrf_token`: what a change must bring along, which no other site can know."""

    used_at: float
    csrf_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def may_change(self, csrf_token: str | None) -> bool:
        return hmac.compare_digest((csrf_token or "").encode(), self.csrf_token.encode())


class Logins:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._table: dict[bytes, Login] = {}

    def __len__(self) -> int:
        return len(self._table)

    def begin(self) -> tuple[str, Login]:
        """A new one, and the cookie for it. Of too many, the one that has been quiet for longest ends."""
        self._expire()
        if len(self._table) >= MOST_LOGINS:
            del self._table[min(self._table, key=lambda key: self._table[key].used_at)]
        cookie = secrets.token_urlsafe(32)
        login = self._table[_digest(cookie)] = Login(self._clock())
        return cookie, login

    def find(self, cookie: str) -> Login | None:
        """The one with this cookie, which is in use again."""
        login = self._table.get(_digest(cookie))
        if login is None or not self.lasts(login):
            return None
        login.used_at = self._clock()
        return login

    def lasts(self, login: Login) -> bool:
        """Whether it has not ended. This is not a use of it."""
        return self._clock() - login.used_at < IDLE_SECONDS and login in self._table.values()

    def end(self, login: Login) -> None:
        self._table = {key: other for key, other in self._table.items() if other is not login}

    def _expire(self) -> None:
        now = self._clock()
        self._table = {key: login for key, login in self._table.items() if now - login.used_at < IDLE_SECONDS}


def _digest(cookie: str) -> bytes:
    # Looked up by its digest, how long the look-up takes tells nothing of the cookie.
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
