"""Records as the inspector keeps them, made by hand."""

from __future__ import annotations

from typing import Any

from appliance.tunnel.inspector.record import DONE, Part, Record
from appliance.tunnel.inspector.store import Inspector

HOSTILE = "<script>alert(1)</script>\"'`\r\n\x00\u2028\\é</textarea>"
HOSTILE_BYTES = HOSTILE.encode("utf-8")


def part(line: str, headers: list[tuple[str, str]] | None = None, body: bytes = b"", size: int | None = None) -> Part:
    head = "".join(f"{text}\r\n" for text in [line, *(f"{name}: {value}" for name, value in headers or [])]) + "\r\n"
    return Part(head.encode("latin-1"), bytearray(body), len(body) if size is None else size, True)


def record(
    inspector: Inspector,
    method: str = "GET",
    path: str = "/",
    headers: list[tuple[str, str]] | None = None,
    body: bytes = b"",
    answer: Part | None = None,
    **more: Any,
) -> Record:
    """An exchange that has ended."""
    found = inspector.begin(more.pop("name", "app.example.com"))
    found.method, found.path = method, path
    found.host = b"app.example.com"
    found.request = part(f"{method} {path} HTTP/1.1", headers or [("Host", "app.example.com")], body)
    found.response = answer or part("HTTP/1.1 200 OK", [("Content-Type", "text/plain")], b"hello")
    words = found.response.line.split(b" ")
    found.status = int(words[1])
    for name, value in more.items():
        setattr(found, name, value)
    found.sent_at = found.asked_at = found.answered_at = found.began_at
    inspector.end(found, DONE)
    return found


def hostile_record(inspector: Inspector) -> Record:
    letters = HOSTILE_BYTES.replace(b"\r\n", b"").replace(b"\x00", b"").decode("latin-1")
    return record(
        inspector,
        "<GET>",
        f"/{letters}?{letters}",
        [("Host", letters), ("X", letters), (f"X{letters}", "1"), ("Content-Type", f"text/html;{letters}")],
        HOSTILE_BYTES,
        part("HTTP/1.1 200 " + letters, [("Content-Type", "image/svg+xml")], b"<svg onload=alert(1)>"),
        visitor=HOSTILE,
        name=HOSTILE,
        client_id=HOSTILE,
        host=HOSTILE_BYTES,
        target=HOSTILE,
        why=HOSTILE,
    )
