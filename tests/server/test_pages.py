"""What the edge itself answers."""

from __future__ import annotations

import pytest

from appliance.server.pages import REASONS, TITLES, page
from appliance.wire.http1 import RequestHead, parse_request


def asked(*lines: str, start: str = "GET / HTTP/1.1") -> RequestHead:
    request = parse_request("\r\n".join([start, "Host: a", *lines, "", ""]).encode())
    assert request is not None
    return request


def parts(answer: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return first, dict(line.split(b": ", 1) for line in lines), body  # type: ignore[misc]


def test_one_line_for_programs() -> None:
    first, fields, body = parts(page(404, "Nothing.", asked(), True, b"id1"))
    assert (first, body) == (b"HTTP/1.1 404 Not Found", b"404 Nothing.\n")
    assert fields[b"Content-Type"] == b"text/plain; charset=utf-8"
    assert fields[b"Content-Length"] == b"%d" % len(body)
    assert fields[b"X-Request-Id"] == b"id1"
    assert fields[b"Cache-Control"] == b"no-store"
    assert b"Date" in fields
    assert b"Connection" not in fields


def test_a_page_for_browsers() -> None:
    _, fields, body = parts(page(502, "<b>", asked("Accept: text/html,*/*;q=0.8"), True, b"<id>"))
    assert fields[b"Content-Type"] == b"text/html; charset=utf-8"
    assert fields[b"Content-Length"] == b"%d" % len(body)
    assert TITLES[502].encode() in body
    assert b"&lt;b&gt;" in body
    assert b"<b>" not in body
    assert b"<id>" not in body


@pytest.mark.parametrize("status", REASONS)
def test_every_status_has_its_words(status: int) -> None:
    for request in (None, asked("Accept: text/html")):
        first, _, body = parts(page(status, "x", request, False))
        assert first == b"HTTP/1.1 %d %b" % (status, REASONS[status])
        assert b"%d" % status in body
    assert status in TITLES


def test_what_belongs_to_a_status() -> None:
    assert parts(page(503, "x", asked(), True))[1][b"Retry-After"] == b"5"
    assert b"GET" in parts(page(405, "x", None, False))[1][b"Allow"]
    assert parts(page(599, "x", None, False))[0] == b"HTTP/1.1 599 Error"


@pytest.mark.parametrize(
    ("start", "keep", "connection"),
    [
        ("GET / HTTP/1.1", True, None),
        ("GET / HTTP/1.1", False, b"close"),
        ("GET / HTTP/1.0", True, b"keep-alive"),
        ("GET / HTTP/1.0", False, b"close"),
    ],
)
def test_what_becomes_of_the_connection(start: str, keep: bool, connection: bytes | None) -> None:
    assert parts(page(404, "x", asked(start=start), keep))[1].get(b"Connection") == connection


def test_a_head_has_no_body() -> None:
    _, fields, body = parts(page(404, "x", asked(start="HEAD / HTTP/1.1"), True))
    assert (fields[b"Content-Length"], body) == (b"6", b"")
