"""What the dialogues between visitor and upstream have in common."""

from __future__ import annotations

import threading

from tests.stage.process import PATIENCE_SECONDS
from tests.stage.upstream import Exchange
from tests.stage.visitor import request

HOST = "d.python.example"
SOON_SECONDS = 1.5  # "within a second", and some for a busy machine


def post(path: str, *lines: str, body: bytes = b"") -> bytes:
    return request(f"POST {path} HTTP/1.1", f"Host: {HOST}", *lines, body=body)


def passed(event: threading.Event, what: str) -> None:
    assert event.wait(PATIENCE_SECONDS), what


class Receiving:
    """Reads a whole body, if it comes. `started`: has the head; `ended`: whatever became of the body."""

    def __init__(self) -> None:
        self.started, self.ended = threading.Event(), threading.Event()
        self.exchanges: list[Exchange] = []

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self.started.set()
        try:
            exchange.answer(exchange.read_body())
        finally:
            self.ended.set()

    def check_torn(self) -> None:
        """It began, and ended without being whole."""
        passed(self.ended, "the upstream's side ends")
        assert [exchange.record.complete for exchange in self.exchanges] == [False]
