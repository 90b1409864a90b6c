"""Visitors at a given rate, each of whose requests counts: on connections of their own, or on kept ones."""

from __future__ import annotations

import threading
import time

from tests.stage.messages import Ended, Malformed
from tests.stage.process import PATIENCE_SECONDS, eventually
from tests.stage.visitor import Visitor, get


class SteadyLoad:
    """`rate` requests a second by `visitors` threads, from `start` to `end`. Every other visitor keeps its connection
    until the server ends it with an answer; a connection that ends otherwise has failed its request.

    `failures`: what went wrong; `answered`, `slowest` (seconds): what did not.
    """

    def __init__(self, port: int, host: str, rate: float = 300.0, visitors: int = 30) -> None:
        self._port = port
        self._host = host
        self._pause = visitors / rate
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._visit, args=(number,), daemon=True) for number in range(visitors)
        ]
        self._lock = threading.Lock()
        self.answered = 0
        self.slowest = 0.0
        self.failures: list[str] = []

    def start(self, until: int = 100) -> None:
        """Begin, and return when so many requests are answered."""
        for thread in self._threads:
            thread.start()
        eventually(lambda: self.answered >= until, "requests are answered")

    def go_on(self, count: int = 300) -> None:
        """Until so many more are answered."""
        wanted = self.answered + count
        eventually(lambda: self.answered >= wanted or self.failures, "requests are answered")

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def _visit(self, number: int) -> None:
        keeps = number % 2 == 0
        visitor: Visitor | None = None
        due = time.monotonic() + self._pause * number / len(self._threads)
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due += self._pause
            began = time.monotonic()
            try:
                if visitor is None:
                    visitor = Visitor(self._port)
                answer = visitor.ask(get(f"/{number}", self._host))
                if answer.status != 200:
                    raise Malformed(f"status {answer.status}")
                ended = answer.one("connection") == "close"
            except (OSError, Ended, Malformed) as error:
                with self._lock:
                    self.failures.append(f"{type(error).__name__}: {error} ({'kept' if keeps else 'fresh'})")
                ended = True
            else:
                with self._lock:
                    self.answered += 1
                    self.slowest = max(self.slowest, time.monotonic() - began)
            if ended or not keeps:
                if visitor is not None:
                    visitor.sock.close()
                visitor = None
        if visitor is not None:
            visitor.sock.close()
