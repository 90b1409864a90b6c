"""The port for plain HTTP beside one for HTTPS: answers ACME authorities, and leads everybody else to https."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from appliance.certificates.challenges import Challenges
from appliance.config.http_server import HttpServerConfig
from appliance.server import pages
from appliance.server.http_front import HttpFront
from appliance.server.visitor import Visitor
from appliance.transport.clock import date_now
from appliance.transport.listener import Capacity
from appliance.tunnel.counters import UNKNOWN_HOST, HttpCounters
from appliance.tunnel.router import Router
from appliance.wire.http1 import RequestHead

if TYPE_CHECKING:
    from collections.abc import Callable

NO_HOST = "This address is for HTTPS, and the request names no host to send you to: write https:// in front of a name."
HTTP_PORT, HTTPS_PORT = 80, 443

_host = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^:]+)(?::([0-9]*))?").fullmatch


class PlainVisitor(Visitor):
    """Asks by plain HTTP for what is there by HTTPS."""

    __slots__ = ()

    front: PlainFront

    def exchange(self, request: RequestHead) -> bool:
        front = self.front
        if front.challenges.http and request.method in (b"GET", b"HEAD"):
            authorization = front.challenges.answer(request.target)
            if authorization is not None:
                return self._answer_challenge(request, authorization)
        if not front.redirects or (self.trusted and _came_by_https(request)):
            return super().exchange(request)
        return self._redirect(request)

    def _answer_challenge(self, request: RequestHead, authorization: bytes) -> bool:
        body = b"" if request.method == b"HEAD" else authorization
        return self._answer(request, 200, b"OK", b"Content-Type: application/octet-stream", body, len(authorization))

    def _redirect(self, request: RequestHead) -> bool:
        place = location(request, self.front.port, self.front.https_port())
        if place is None:
            self.turn_away(400, NO_HOST)
            return False
        # 301 is what caches and old clients know; others than these two keep their method and body by 308 alone.
        status, reason = (
            (301, b"Moved Permanently") if request.method in (b"GET", b"HEAD") else (308, b"Permanent Redirect")
        )
        return self._answer(request, status, reason, b"Location: " + place, b"", 0)

    def _answer(self, request: RequestHead, status: int, reason: bytes, field: bytes, body: bytes, length: int) -> bool:
        """Answer, and end the connection: the visitor goes to another one. An upload is heard out, not read."""
        route = self.front.router.find(request.host)
        method = request.method.decode() if request.method in (b"GET", b"HEAD", b"POST") else "OTHER"
        self.front.counters.observe(route.pattern if route else UNKNOWN_HOST, method, status, 0.0)
        lines = [
            b"HTTP/1.1 %d %b" % (status, reason),
            b"Date: " + date_now(),
            field,
            b"Content-Length: %d" % length,
            b"Connection: close",
        ]
        self.connection.deadline = time.monotonic() + pages.WRITE_SECONDS
        self.connection.write(b"\r\n".join([*lines, b"", body]))
        if request.length:
            self.linger()
        return False


class Guest(PlainVisitor):
    """Comes from an address that is not let in, while a challenge is pending: authorities come from anywhere."""

    __slots__ = ()

    def exchange(self, request: RequestHead) -> bool:
        authorization = self.front.challenges.answer(request.target)
        if authorization is not None and request.method in (b"GET", b"HEAD"):
            return self._answer_challenge(request, authorization)
        self.front.refuse(self)
        return False


class PlainFront(HttpFront):
    """`challenges`: those of HTTP-01 that are pending; `redirects`: whether all else is led to `https_port`."""

    visitor_class = PlainVisitor

    def __init__(
        self,
        config: HttpServerConfig,
        router: Router,
        counters: HttpCounters,
        sockets: list[Any],
        capacity: Capacity,
        challenges: Challenges,
    ) -> None:
        super().__init__(config, router, counters, sockets, capacity)
        self.challenges = challenges
        self.redirects = False
        self.https_port: Callable[[], int] = lambda: HTTPS_PORT

    def _visitor_class(self, host: str) -> type[Visitor] | None:
        guest = Guest if self.challenges.http else None
        return super()._visitor_class(host) or guest


def location(request: RequestHead, port: int, https_port: int) -> bytes | None:
    """Where the same thing is by HTTPS. None where the request names no host.

    A visitor who came to another port than ours came through something that maps ports, and so will find HTTPS at
    its usual one.
    """
    found = _host(request.host or b"")
    if found is None:
        return None
    direct = int(found[2] or HTTP_PORT) == port
    target = request.target if request.target != b"*" else b"/"
    if not direct or https_port == HTTPS_PORT:
        return b"https://%b%b" % (found[1], target)
    return b"https://%b:%d%b" % (found[1], https_port, target)


def _came_by_https(request: RequestHead) -> bool:
    """What a proxy of ours says of the visitor's side."""
    return any(name == b"x-forwarded-proto" and value.strip().lower() == b"https" for name, value in request.forwarded)
