"""What the upstreams saw: nginx by its access log, the recording server by its records."""

from __future__ import annotations

from typing import Protocol

from tests.stage.messages import Message
from tests.stage.nginx import Nginx
from tests.stage.upstream import Upstream


class Witness(Protocol):
    """An upstream that can say which requests it had. Each case visits it under a name of its own."""

    name: str  # with which it marks its answers

    def whole(self, host: str) -> int:
        """Requests for this host that came to their end."""

    def begun(self, host: str) -> int:
        """Requests for this host that may not have come to their end."""

    def strays(self) -> int:
        """Requests that were no requests, or of no host."""


class PythonWitness:
    name = "python"

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def requests(self, host: str, complete: bool = True) -> list[Message]:
        return [
            record.message
            for record in tuple(self.upstream.recorded)
            if record.complete is complete and _names(record.message, host)
        ]

    def whole(self, host: str) -> int:
        return len(self.requests(host))

    def begun(self, host: str) -> int:
        return len(self.requests(host, complete=False))

    def strays(self) -> int:
        hostless = [record for record in tuple(self.upstream.recorded) if not record.message.all("host")]
        return len(self.upstream.malformed) + len(hostless)


class NginxWitness:
    """nginx answers before it has read a body, so one that is torn may be logged like a whole one."""

    name = "nginx"

    def __init__(self, nginx: Nginx) -> None:
        self.nginx = nginx

    def _lines(self) -> list[list[str]]:
        return [line.split("|", 2) for line in self.nginx.logged()]

    def whole(self, host: str) -> int:
        return len([line for line in self._lines() if line[1].lower().startswith(host)])

    def begun(self, host: str) -> int:
        return self.whole(host)

    def strays(self) -> int:
        return len([line for line in self._lines() if not line[1]])


def _names(message: Message, host: str) -> bool:
    return any(value.lower().startswith(host) for value in message.all("host"))
