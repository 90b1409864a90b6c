"""What the edge writes towards upstream and visitor."""

from __future__ import annotations

import pytest

from appliance.wire.forwarding import (
    has_passed,
    interim_to_visitor,
    request_to_upstream,
    response_to_visitor,
    without_cookie,
)
from appliance.wire.http1 import parse_request, parse_response

OURS = [
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Host: a.example:81",
    "X-Request-Id: id1",
    "CDN-Loop: us",
]


def forwarded(
    *lines: bytes, start: bytes = b"GET /x HTTP/1.1", host: bytes = b"a.example:81", trusted: bool = False
) -> list[str]:
    """The lines of the head that the upstream gets for a request with `lines`."""
    head = parse_request(b"\r\n".join([start, b"Host: a.example:81", *lines, b"", b""]))
    assert head is not None
    written = request_to_upstream(head, host, b"192.0.2.1", b"http", b"id1", trusted, b"us")
    assert written.endswith(b"\r\n\r\n") and written.count(b"\r\n\r\n") == 1
    return written[:-4].decode("latin-1").split("\r\n")


def test_a_request_is_written_anew() -> None:
    assert forwarded(b"Accept:*/*", b"Cookie:  a=b ") == [
        "GET /x HTTP/1.1", "Host: a.example:81", "Accept:*/*", "Cookie:  a=b ", *OURS,
    ]  # fmt: skip


def test_the_host_may_be_another() -> None:
    lines = forwarded(host=b"localhost:3000")
    assert lines[1] == "Host: localhost:3000"
    assert "X-Forwarded-Host: a.example:81" in lines


def test_http_1_0_is_spoken_as_1_1_upstream() -> None:
    head = parse_request(b"GET / HTTP/1.0\r\n\r\n")
    assert head is not None
    written = request_to_upstream(head, b"up", b"::1", b"https", b"id1", False, b"us")
    assert written == (
        b"GET / HTTP/1.1\r\nHost: up\r\nX-Forwarded-For: ::1\r\nX-Forwarded-Proto: https\r\n"
        b"X-Forwarded-Host: \r\nX-Request-Id: id1\r\nCDN-Loop: us\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("lines", "written"),
    [
        ([b"content-length: 007"], ["Content-Length: 7"]),
        ([b"Content-Length: 0"], ["Content-Length: 0"]),
        ([b"transfer-encoding: Chunked"], ["Transfer-Encoding: chunked"]),
        ([b"Content-Length: 7", b"Expect: 100-Continue"], ["Content-Length: 7", "Expect: 100-continue"]),
        ([b"Expect: 100-continue"], []),  # no body to wait with
        ([b"Connection: upgrade", b"Upgrade: websocket"], ["Connection: Upgrade", "Upgrade: websocket"]),
        ([b"Connection: close, x", b"X: 1", b"TE: gzip", b"Keep-Alive: 5"], []),
    ],
)
def test_framing_and_connection_are_the_edges_own(lines: list[bytes], written: list[str]) -> None:
    assert forwarded(*lines)[2:] == [*written, *OURS]


SPOOFED = [
    b"X-Forwarded-For: 6.6.6.6",
    b"x-forwarded-for: 7.7.7.7",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: evil",
    b"X-Forwarded-Port: 1",
    b"X-Forwarded-Server: evil",
    b"X-Real-IP: 6.6.6.6",
    b"Forwarded: for=6.6.6.6",
    b"X-Request-Id: spoof",
    b"X_Forwarded_For: 6.6.6.6",
]


def test_what_a_stranger_claims_of_himself_is_dropped() -> None:
    assert forwarded(*SPOOFED)[2:] == OURS
    assert forwarded(b"Connection: X-Forwarded-For, X-Request-Id", *SPOOFED)[2:] == OURS


def test_what_a_trusted_proxy_says_is_kept_and_extended() -> None:
    lines = forwarded(*SPOOFED, trusted=True)[2:]
    assert sorted(lines) == [
        "CDN-Loop: us",
        "Forwarded: for=6.6.6.6",
        "X-Forwarded-For: 6.6.6.6, 7.7.7.7, 192.0.2.1",
        "X-Forwarded-Host: evil",
        "X-Forwarded-Port: 1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Server: evil",
        "X-Real-Ip: 6.6.6.6",
        "X-Request-Id: spoof",
    ]


def test_what_a_trusted_proxy_does_not_say_is_ours() -> None:
    assert forwarded(trusted=True)[2:] == OURS
    lines = forwarded(b"X-Forwarded-Proto: https", trusted=True)[2:]
    assert sorted(lines) == sorted([*(line for line in OURS if "Proto" not in line), "X-Forwarded-Proto: https"])


def answer(
    *lines: bytes, status: bytes = b"200 OK", method: bytes = b"GET", minor: int = 1, kept: bool = True
) -> list[str]:
    """The lines of the head that a visitor gets."""
    head = parse_response(b"\r\n".join([b"HTTP/1.1 " + status, *lines, b"", b""]), method)
    assert head is not None
    written = response_to_visitor(head, minor, kept)
    assert written.endswith(b"\r\n\r\n") and written.count(b"\r\n\r\n") == 1
    return written[:-4].decode("latin-1").split("\r\n")


@pytest.mark.parametrize(
    ("status", "method", "lines", "written"),
    [
        (b"200 OK", b"GET", [b"Content-Length: 5"], ["Content-Length: 5"]),
        (b"200 OK", b"GET", [b"Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked"]),
        (b"200 OK", b"GET", [], ["Transfer-Encoding: chunked"]),  # ended by the upstream's close
        (b"200 OK", b"HEAD", [b"Content-Length: 5"], ["Content-Length: 5"]),
        (b"200 OK", b"HEAD", [], []),
        (b"304 Not Modified", b"GET", [b"Content-Length: 5"], ["Content-Length: 5"]),
        (b"304 Not Modified", b"GET", [], []),
        (b"204 No Content", b"GET", [b"Content-Length: 0"], []),  # RFC 9110 8.6
        (b"204 No Content", b"GET", [], []),
        (b"404 ", b"GET", [b"Content-Length: 0"], ["Content-Length: 0"]),
    ],
)
def test_an_answer_is_framed_anew(status: bytes, method: bytes, lines: list[bytes], written: list[str]) -> None:
    assert answer(*lines, status=status, method=method) == ["HTTP/1.1 " + status.decode(), *written]


def test_an_answer_says_what_becomes_of_the_connection() -> None:
    assert answer(b"Content-Length: 0", b"Connection: close")[1:] == ["Content-Length: 0"]
    assert answer(b"Content-Length: 0", kept=False)[1:] == ["Content-Length: 0", "Connection: close"]
    assert answer(b"Content-Length: 0", minor=0)[1:] == ["Content-Length: 0", "Connection: keep-alive"]
    assert answer(minor=0, kept=False)[1:] == ["Connection: close"]


def test_end_to_end_fields_of_an_answer_are_kept_as_they_are() -> None:
    lines = [b"Set-Cookie: a", b"set-cookie:b", b"Server: \xe4", b"Trailer: X-Sum", b"Date: now"]
    assert answer(*lines, b"Content-Length: 0")[1:-1] == [line.decode("latin-1") for line in lines]


def test_interim_answers() -> None:
    head = parse_response(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 5\r\n\r\n", b"GET")
    assert head is not None
    assert interim_to_visitor(head) == b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    head = parse_response(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nupgrade: websocket\r\nX: 1\r\n\r\n",
        b"GET",
    )
    assert head is not None
    assert interim_to_visitor(head) == (
        b"HTTP/1.1 101 Switching Protocols\r\nX: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )


@pytest.mark.parametrize("trusted", [False, True])
def test_who_was_passed_is_kept_whatever_is_claimed(trusted: bool) -> None:
    """RFC 8586: nobody may take it away, or there would be loops again."""
    passed = (b"CDN-Loop: one; v=1", b"cdn-loop: two", b"Connection: CDN-Loop")
    assert [line for line in forwarded(*passed, trusted=trusted) if line.startswith("C")] == [
        "CDN-Loop: one; v=1, two, us"
    ]


@pytest.mark.parametrize(
    ("line", "found"), [(b"CDN-Loop: a, us, b", True), (b"X-Forwarded-For: us", False), (b"Accept: us", False)]
)
def test_whether_a_request_has_passed(line: bytes, found: bool) -> None:
    head = parse_request(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", line, b"", b""]))
    assert head is not None
    assert has_passed(head, b"us") == found


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (b"Cookie: s=1", []),
        (b"cookie:s=1;s=2", []),
        (b"Cookie: a=1; s=2; b=3", ["Cookie: a=1; b=3"]),
        (b"Cookie: s=2; b=3", ["Cookie: b=3"]),
        (b"Cookie: xs=1; a=s=1", ["Cookie: xs=1; a=s=1"]),
        (b"X-Cookie: s=1", ["X-Cookie: s=1"]),
        (b"X: Cookie: s=1", ["X: Cookie: s=1"]),
    ],
)
def test_a_cookie_is_taken_out(line: bytes, left: list[str]) -> None:
    head = parse_request(b"\r\n".join([b"GET /Cookie: HTTP/1.1", b"Host: a", b"A: 1", line, b"Z: 1", b"", b""]))
    assert head is not None
    written = without_cookie(request_to_upstream(head, b"a", b"::1", b"http", b"id1", False, b"us"), b"s")
    lines = written.decode().split("\r\n")
    assert lines[:3] == ["GET /Cookie: HTTP/1.1", "Host: a", "A: 1"]
    assert lines[3 : lines.index("Z: 1")] == left
    assert written.endswith(b"\r\n\r\n")
