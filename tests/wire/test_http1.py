"""Heads as tables: what is understood, what is refused and with which status."""

from __future__ import annotations

import pytest

from appliance.wire.http1 import (
    CHUNKED,
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    UNTIL_CLOSE,
    HeadError,
    RequestHead,
    ResponseHead,
    field_value,
    parse_request,
    parse_response,
)


def request(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes | None = b"a.example") -> bytes:
    """A request's head out of `lines`, with a Host unless `host` is None."""
    fields = [b"Host: " + host] if host is not None else []
    return b"\r\n".join([start, *fields, *lines, b"", b""])


def response(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([start, *lines, b"", b""])


def accepted(data: bytes) -> RequestHead:
    head = parse_request(data)
    assert head is not None
    return head


def answered(data: bytes, method: bytes = b"GET") -> ResponseHead:
    head = parse_response(data, method)
    assert head is not None
    return head


def test_a_request_is_understood() -> None:
    data = request(b"Accept: */*", b"X-Empty:", b"Connection: keep-alive, X-Gone", b"X-Gone: 1", b"Content-Length: 5")
    head = accepted(data + b"hello")
    assert (head.method, head.target, head.minor, head.host) == (b"GET", b"/", 1, b"a.example")
    assert head.lines == [b"Accept: */*", b"X-Empty:"]
    assert (head.length, head.keep_alive, head.end) == (5, True, len(data))
    assert not head.upgrade and not head.expects_continue and not head.forwarded


def test_a_head_is_found_behind_an_earlier_message() -> None:
    earlier = b"0123456789"
    data = request()
    head = parse_request(earlier + data + request(start=b"PUT /2 HTTP/1.1"), len(earlier))
    assert head is not None and head.end == len(earlier) + len(data)


REFUSED_REQUESTS = {
    # RFC 9112 2.2: line ends, and what no line may hold
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "bare LF after a field": (b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", 400),
    "bare LF at the end": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    "bare LF only": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare CR in a value": (request(b"X: a\rb"), 400),
    "bare CR in the request line": (request(start=b"GET /\r HTTP/1.1"), 400),
    "NUL in a value": (request(b"X: a\0b"), 400),
    "NUL in a name": (request(b"X\0: a"), 400),
    "NUL in the target": (request(start=b"GET /\0 HTTP/1.1"), 400),
    "DEL in a value": (request(b"X: \x7f"), 400),
    "vertical tab in a value": (request(b"X: \x0bchunked"), 400),
    "form feed in a value": (request(b"X: \x0c"), 400),
    "leading white space": (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "two empty lines first": (b"\r\n\r\n" + request(), 400),
    "an empty line with a bare LF first": (b"\n" + request(), 400),
    # RFC 9112 3: the request line
    "two spaces": (request(start=b"GET  / HTTP/1.1"), 400),
    "tab between": (request(start=b"GET\t/ HTTP/1.1"), 400),
    "space in the target": (request(start=b"GET /a b HTTP/1.1"), 400),
    "space at the end": (request(start=b"GET / HTTP/1.1 "), 400),
    "no target": (request(start=b"GET HTTP/1.1"), 400),
    "no method": (request(start=b" / HTTP/1.1"), 400),
    "method is no token": (request(start=b"GE(T / HTTP/1.1"), 400),
    "fragment": (request(start=b"GET /a#b HTTP/1.1"), 400),
    "relative target": (request(start=b"GET a HTTP/1.1"), 400),
    "asterisk for GET": (request(start=b"GET * HTTP/1.1"), 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/1": (request(start=b"GET / HTTP/1"), 505),
    "HTTP/1.": (request(start=b"GET / HTTP/1."), 400),
    "HTTP/1.10": (request(start=b"GET / HTTP/1.10"), 400),
    "http/1.1": (request(start=b"GET / http/1.1"), 400),
    "HTTP/2.0": (request(start=b"GET / HTTP/2.0"), 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/3": (request(start=b"GET / HTTP/3"), 505),
    "CONNECT": (request(start=b"CONNECT a.example:443 HTTP/1.1", host=b"a.example:443"), 405),
    "CONNECT with a path": (request(start=b"CONNECT /x HTTP/1.1"), 405),
    "CONNECT *": (request(start=b"CONNECT * HTTP/1.1"), 405),
    # RFC 9112 5: fields
    "space before the colon": (request(b"Content-Length : 5"), 400),
    "tab before the colon": (request(b"Transfer-Encoding\t: chunked"), 400),
    "obsolete folding with a space": (request(b"X: a", b" b"), 400),
    "obsolete folding with a tab": (request(b"X: a", b"\tb"), 400),
    "folding of the first field": (request(b" X: a", host=None), 400),
    "no colon": (request(b"X"), 400),
    "no name": (request(b": a"), 400),
    "name is no token": (request(b"X[]: a"), 400),
    "name in Latin-1": (request(b"\xc4: a"), 400),
    "quoted name": (request(b'"X": a'), 400),
    # RFC 9112 3.2: Host
    "no Host": (request(host=None), 400),
    "no Host, absolute target": (request(start=b"GET http://a.example/ HTTP/1.1", host=None), 400),
    "two Hosts": (request(b"Host: b.example"), 400),
    "the same Host twice": (request(b"host: a.example"), 400),
    "list of Hosts": (request(host=b"a.example, b.example"), 400),
    "Host with a path": (request(host=b"a.example/x"), 400),
    "Host with user": (request(host=b"u@a.example"), 400),
    "Host with white space": (request(host=b"a example"), 400),
    "Host with a bad port": (request(host=b"a.example:8o"), 400),
    "Host with two ports": (request(host=b"a.example:80:80"), 400),
    "Host with a loose bracket": (request(host=b"[::1"), 400),
    "Host in Latin-1": (request(host=b"\xe4.example"), 400),
    "absolute target of another host": (request(start=b"GET http://b.example/ HTTP/1.1"), 400),
    "absolute target with user": (request(start=b"GET http://u@a/ HTTP/1.1", host=b"u@a"), 400),
    "absolute target without host": (request(start=b"GET http:///x HTTP/1.1", host=b""), 400),
    "absolute target with a fragment": (request(start=b"GET http://a.example/#x HTTP/1.1"), 400),
    "absolute target of another scheme": (request(start=b"GET ftp://a.example/ HTTP/1.1"), 400),
    # RFC 9112 6.3, RFC 9110 8.6: how long the body is
    "both lengths": (request(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400),
    "both lengths, turned": (request(b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400),
    "two lengths": (request(b"Content-Length: 5", b"Content-Length: 6"), 400),
    "the same length twice": (request(b"Content-Length: 5", b"Content-Length: 5"), 400),
    **{
        f"Content-Length {value!r}": (request(b"Content-Length: " + value), 400)
        for value in (b"", b"+5", b"-5", b"0x5", b"5, 5", b"5 5", b"5;", b"5.0", b"1e3", b'"5"', b"1_0")
    },
    "Content-Length of 19 digits": (request(b"Content-Length: " + b"9" * 19), 400),
    "Content-Length of 5000 digits": (request(b"Content-Length: " + b"9" * 5000), 400),
    **{
        f"Transfer-Encoding {value!r}": (request(b"Transfer-Encoding: " + value), 400)
        for value in (
            b"", b"xchunked", b"chunkedx", b"chunked, chunked", b"gzip", b"gzip, chunked", b"chunked, gzip",
            b"identity", b"chunked;q=1", b'"chunked"', b"chunked,", b",chunked", b"chun\xa0ked",
            b"\xa0chunked",
        )
    },
    "Transfer-Encoding twice": (request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
    "Transfer-Encoding on two lines": (request(b"Transfer-Encoding: x", b"Transfer-Encoding: chunked"), 400),
    "Transfer-Encoding on HTTP/1.0": (
        request(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0"),
        400,
    ),
    # RFC 9110 10.1.1
    "unknown expectation": (request(b"Expect: 200-ok"), 417),
    # RFC 6585 5
    "head too large": (request(b"X: " + b"a" * MAX_HEAD_BYTES), 431),
    "head too large and without end": (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES, 431),
    "request line too long": (b"GET /" + b"a" * MAX_HEAD_BYTES, 431),
    "too many fields": (request(*[b"X: 1"] * MAX_FIELDS), 431),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_REQUESTS)
def test_a_request_is_refused(name: str) -> None:
    data, status = REFUSED_REQUESTS[name]
    with pytest.raises(HeadError) as caught:
        parse_request(data)
    assert caught.value.status == status
    assert caught.value.reason and "\n" not in caught.value.reason


def test_what_cannot_become_a_request_is_refused_at_once() -> None:
    """A TLS greeting, say, which may never have the end of a head in it."""
    for data in (b"\x16\x03\x01\x02", b"\0", b" ", b"\nGET", b"\r\n\x16", b"\xff", b"(", b"\x7f"):
        with pytest.raises(HeadError) as caught:
            parse_request(data)
        assert caught.value.status == 400
    for data in (b"", b"\r", b"\r\n", b"\r\n\r", b"G", b"\r\nG", b"~"):
        assert parse_request(data) is None


TARGETS = {
    "path": (b"GET /a/../b?c=%00&d HTTP/1.1", b"a.example", b"/a/../b?c=%00&d", b"a.example"),
    "double slash": (b"GET //b.example/ HTTP/1.1", b"a.example", b"//b.example/", b"a.example"),
    "bytes over 127": (b"GET /\xc3\xa4 HTTP/1.1", b"a.example", b"/\xc3\xa4", b"a.example"),
    "asterisk": (b"OPTIONS * HTTP/1.1", b"a.example", b"*", b"a.example"),
    "absolute": (b"GET http://a.example/x?y HTTP/1.1", b"a.example", b"/x?y", b"a.example"),
    "absolute in capitals": (b"GET HTTP://A.example/x HTTP/1.1", b"a.example", b"/x", b"A.example"),
    "absolute with port": (b"GET http://a:81/ HTTP/1.1", b"a:81", b"/", b"a:81"),
    "absolute without path": (b"GET http://a.example HTTP/1.1", b"a.example", b"/", b"a.example"),
    "absolute, query only": (b"GET http://a.example?x=/ HTTP/1.1", b"a.example", b"/?x=/", b"a.example"),
    "absolute by https": (b"GET https://a.example/ HTTP/1.1", b"a.example", b"/", b"a.example"),
    "absolute for the server (RFC 9112 3.2.4)": (b"OPTIONS http://a HTTP/1.1", b"a", b"*", b"a"),
    "absolute on HTTP/1.0": (b"GET http://a.example/ HTTP/1.0", None, b"/", b"a.example"),
    "absolute, IPv6": (b"GET http://[::1]:8/ HTTP/1.1", b"[::1]:8", b"/", b"[::1]:8"),
    "no Host on HTTP/1.0": (b"GET / HTTP/1.0", None, b"/", None),
    "empty Host (RFC 9112 3.2)": (b"GET / HTTP/1.1", b"", b"/", b""),
    "trailing dot and port": (b"GET / HTTP/1.1", b"a.example.:80", b"/", b"a.example.:80"),
    "underscore in Host": (b"GET / HTTP/1.1", b"my_app", b"/", b"my_app"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_target_and_host(name: str) -> None:
    start, host, target, understood = TARGETS[name]
    head = accepted(request(start=start, host=host))
    assert (head.target, head.host) == (target, understood)


BODIES: list[tuple[list[bytes], bytes, int | None]] = [
    ([], b"GET / HTTP/1.1", None),
    ([b"Content-Length: 0"], b"POST / HTTP/1.1", 0),
    ([b"content-length:\t 007 \t"], b"POST / HTTP/1.0", 7),
    ([b"Content-Length: 999999999999999999"], b"POST / HTTP/1.1", 999999999999999999),
    ([b"Transfer-Encoding: chunked"], b"POST / HTTP/1.1", CHUNKED),
    ([b"TRANSFER-ENCODING: \tChunKed\t"], b"GET / HTTP/1.2", CHUNKED),
    ([b"Transfer_Encoding: chunked", b"Content-Length: 5"], b"POST / HTTP/1.1", 5),
    ([b"Content_Length: 5"], b"POST / HTTP/1.1", None),
]


@pytest.mark.parametrize(("lines", "start", "length"), BODIES)
def test_length_of_a_request(lines: list[bytes], start: bytes, length: int | None) -> None:
    head = accepted(request(*lines, start=start))
    assert head.length == length
    assert head.lines == []  # framing, and its spellings with an underscore, never travel as they came


PERSISTENCE: list[tuple[bytes, list[bytes], bool]] = [
    (b"1.1", [], True),
    (b"1.1", [b"close"], False),
    (b"1.1", [b"x, CLOSE ,y"], False),
    (b"1.1", [b"keep-alive", b"close"], False),
    (b"1.1", [b"close", b"keep-alive"], False),
    (b"1.1", [b"closed"], True),
    (b"1.2", [], True),
    (b"1.0", [], False),
    (b"1.0", [b"Keep-Alive"], True),
    (b"1.0", [b"keep-alive, close"], False),
    (b"1.0", [b"close", b"keep-alive"], False),
    (b"1.0", [b"keep-alive", b"close"], False),
]


@pytest.mark.parametrize(("version", "options", "kept"), PERSISTENCE)
def test_persistence_of_a_request_and_a_response(version: bytes, options: list[bytes], kept: bool) -> None:
    """RFC 9112 9.3."""
    lines = [b"Connection: " + option for option in options]
    assert accepted(request(*lines, start=b"GET / HTTP/" + version)).keep_alive is kept
    answer = response(*lines, b"Content-Length: 0", start=b"HTTP/" + version + b" 200 OK")
    assert answered(answer).keep_alive is kept


@pytest.mark.parametrize(
    "line",
    [
        b"Keep-Alive: timeout=5", b"Proxy-Connection: close", b"Proxy-Authorization: Basic eDp5",
        b"TE: trailers",
        b"HTTP2-Settings: AAMAAABkAAQAAP__", b"Upgrade: websocket", b"Proxy: http://evil.example",
        b"Content_Length: 5", b"Transfer_encoding: chunked", b"HTTP2_Settings: x", b"Proxy_Authorization: x",
        b"X_Forwarded_For: 6.6.6.6", b"X-Forwarded_For: 6.6.6.6", b"X_Forwarded-Proto: https",
        b"X_Real_IP: 6.6.6.6",
        b"X_Forwarded_Host: evil", b"X-Request_Id: spoof", b"x_request_id: spoof",
    ],
)  # fmt: skip
def test_what_stops_at_the_edge(line: bytes) -> None:
    head = accepted(request(line, b"X-Kept: 1"))
    assert head.lines == [b"X-Kept: 1"]
    assert head.forwarded == []


def test_what_a_visitor_claims_is_set_apart() -> None:
    head = accepted(request(b"X-FORWARDED-FOR:  6.6.6.6 ", b"Forwarded: for=6.6.6.6", b"X-Request-ID: q"))
    assert head.lines == []
    assert head.forwarded == [
        (b"x-forwarded-for", b"6.6.6.6"),
        (b"forwarded", b"for=6.6.6.6"),
        (b"x-request-id", b"q"),
    ]


NOMINATED: list[tuple[list[bytes], list[bytes]]] = [
    ([b"Connection: X-A", b"X-A: 1", b"X-B: 1"], [b"X-B: 1"]),
    ([b"X-A: 1", b"Connection: close, x-a", b"X-a: 2", b"X-B: 1"], [b"X-B: 1"]),
    ([b"Connection: X-A", b"Connection: , X-B ,", b"X-A: 1", b"X-B: 1", b"X-AB: 1"], [b"X-AB: 1"]),
    ([b"Connection: close", b"Close: 1"], [b"Close: 1"]),
    ([b"Connection: Authorization", b"Authorization: Basic eDp5"], []),
    ([b"Connection: X-Forwarded-For", b"X-Forwarded-For: 6.6.6.6"], []),
]


@pytest.mark.parametrize(("lines", "kept"), NOMINATED)
def test_what_connection_names_stops_at_the_edge(lines: list[bytes], kept: list[bytes]) -> None:
    """RFC 9110 7.6.1."""
    head = accepted(request(*lines))
    assert head.lines == kept
    assert not head.forwarded or head.forwarded[0][0] not in b",".join(lines).lower()
    assert answered(response(*[line for line in lines if b"Forwarded" not in line])).lines == kept


def test_connection_cannot_take_away_host_and_framing() -> None:
    head = accepted(request(b"Connection: Host, Content-Length", b"Content-Length: 5"))
    assert (head.host, head.length) == (b"a.example", 5)
    answer = answered(response(b"Connection: Content-Length", b"Content-Length: 5"))
    assert (answer.length, answer.announced) == (5, b"5")


UPGRADES: list[tuple[list[bytes], bytes, bytes]] = [
    ([b"Connection: Upgrade", b"Upgrade: websocket"], b"GET / HTTP/1.1", b"websocket"),
    ([b"Connection: keep-alive, upgrade", b"Upgrade: SPDY/3.1"], b"POST / HTTP/1.1", b"SPDY/3.1"),
    ([b"Connection: Upgrade", b"Upgrade: x", b"Content-Length: 0"], b"POST / HTTP/1.1", b"x"),
    ([b"Upgrade: websocket"], b"GET / HTTP/1.1", b""),
    ([b"Connection: close", b"Upgrade: websocket"], b"GET / HTTP/1.1", b""),
    ([b"Connection: Upgrade", b"Upgrade: websocket"], b"GET / HTTP/1.0", b""),
    ([b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 1"], b"POST / HTTP/1.1", b""),
    ([b"Connection: Upgrade", b"Upgrade: websocket", b"Transfer-Encoding: chunked"], b"POST / HTTP/1.1", b""),
    ([b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: x"], b"GET / HTTP/1.1", b""),
    ([b"Connection: Upgrade", b"Upgrade: websocket, H2C"], b"GET / HTTP/1.1", b""),
    ([b"Connection: Upgrade", b"Upgrade: h2c,websocket"], b"GET / HTTP/1.1", b""),
    ([b"Connection: Upgrade", b"Upgrade: HTTP/2.0"], b"GET / HTTP/1.1", b""),
    ([b"Connection: Upgrade", b"Upgrade:"], b"GET / HTTP/1.1", b""),
]


@pytest.mark.parametrize(("lines", "start", "upgrade"), UPGRADES)
def test_which_upgrades_are_passed_on(lines: list[bytes], start: bytes, upgrade: bytes) -> None:
    head = accepted(request(*lines, start=start))
    assert head.upgrade == upgrade
    assert head.lines == []


EXPECTATIONS = [
    (b"HTTP/1.1", b"100-continue", True),
    (b"HTTP/1.1", b"100-Continue", True),
    (b"HTTP/1.0", b"100-continue", False),
]


@pytest.mark.parametrize(("version", "value", "expects"), EXPECTATIONS)
def test_expectation(version: bytes, value: bytes, expects: bool) -> None:
    head = accepted(request(b"Expect: " + value, b"Content-Length: 1", start=b"PUT / " + version))
    assert head.expects_continue is expects
    assert head.lines == []


def test_limits_are_met_exactly() -> None:
    room = MAX_HEAD_BYTES - len(request(b"X: "))
    assert accepted(request(b"X: " + b"a" * room)).end == MAX_HEAD_BYTES
    with pytest.raises(HeadError):
        parse_request(request(b"X: " + b"a" * (room + 1)))
    assert len(accepted(request(*[b"X: 1"] * (MAX_FIELDS - 1))).lines) == MAX_FIELDS - 1
    room = MAX_HEAD_BYTES - len(response(b"X: "))
    assert answered(response(b"X: " + b"a" * room)).end == MAX_HEAD_BYTES
    with pytest.raises(HeadError):
        parse_response(response(b"X: " + b"a" * (room + 1)), b"GET")


def test_one_empty_line_before_a_request_is_forgiven() -> None:
    """RFC 9112 2.2."""
    data = b"\r\n" + request()
    assert accepted(data).end == len(data)


RESPONSE_BODIES: list[tuple[bytes, list[bytes], bytes, int, bool]] = [
    (b"HTTP/1.1 200 OK", [b"Content-Length: 5"], b"GET", 5, True),
    (b"HTTP/1.1 200 OK", [b"Content-Length: 5", b"Content-Length: 5"], b"GET", 5, True),
    (b"HTTP/1.1 200 OK", [b"Transfer-Encoding: Chunked"], b"GET", CHUNKED, True),
    (b"HTTP/1.1 200 OK", [], b"GET", UNTIL_CLOSE, False),
    (b"HTTP/1.0 200 OK", [], b"GET", UNTIL_CLOSE, False),
    (b"HTTP/1.0 200 OK", [b"Connection: keep-alive", b"Content-Length: 5"], b"GET", 5, True),
    # RFC 9112 6.1: chunked in HTTP/1.0 is suspect, so the connection is not used again
    (b"HTTP/1.0 200 OK", [b"Connection: keep-alive", b"Transfer-Encoding: chunked"], b"GET", CHUNKED, False),
    (b"HTTP/1.1 200 OK", [b"Content-Length: 5"], b"HEAD", 0, True),
    (b"HTTP/1.1 200 OK", [b"Transfer-Encoding: chunked"], b"HEAD", 0, True),
    (b"HTTP/1.1 200 OK", [], b"HEAD", 0, True),
    (b"HTTP/1.1 304 Not Modified", [b"Content-Length: 5"], b"GET", 0, True),
    (b"HTTP/1.1 204 No Content", [], b"GET", 0, True),
    (b"HTTP/1.1 204 No Content", [b"Content-Length: 0"], b"GET", 0, True),
    # a 204 that announces a body may send one: the next answer would be read out of it
    (b"HTTP/1.1 204 No Content", [b"Content-Length: 5"], b"GET", 0, False),
    (b"HTTP/1.1 204 No Content", [b"Transfer-Encoding: chunked"], b"GET", 0, False),
    (b"HTTP/1.1 100 Continue", [], b"POST", 0, True),
    (b"HTTP/1.1 103 Early Hints", [b"Link: </x>"], b"GET", 0, True),
    (b"HTTP/1.1 200 OK", [b"Content-Length: 5"], b"head", 5, True),
    (b"HTTP/1.1 200", [b"Content-Length: 5"], b"GET", 5, True),
    (b"HTTP/1.1 200 ", [b"Content-Length: 5"], b"GET", 5, True),
    (b"HTTP/1.1 999 \xe4 odd\tone", [b"Content-Length: 5"], b"GET", 5, True),
]


@pytest.mark.parametrize(("start", "lines", "method", "length", "kept"), RESPONSE_BODIES)
def test_how_a_response_ends(start: bytes, lines: list[bytes], method: bytes, length: int, kept: bool) -> None:
    """RFC 9112 6.3."""
    head = answered(response(*lines, start=start), method)
    assert (head.length, head.keep_alive) == (length, kept)


REFUSED_RESPONSES = {
    "bare LF": b"HTTP/1.1 200 OK\nX: 1\n\n",
    "bare LF after a field": b"HTTP/1.1 200 OK\r\nX: 1\n\r\n",
    "NUL": response(b"X: \0"),
    "space before the colon": response(b"Content-Length : 5"),
    "obsolete folding": response(b"X: 1", b" 2"),
    "no version": response(start=b"200 OK"),
    "HTTP/2": response(start=b"HTTP/2 200 OK"),
    "two-digit status": response(start=b"HTTP/1.1 20 OK"),
    "four-digit status": response(start=b"HTTP/1.1 2000 OK"),
    "status 099": response(start=b"HTTP/1.1 099 OK"),
    "no status": response(start=b"HTTP/1.1 OK"),
    "leading empty line": b"\r\n\r\n" + response(),
    "both lengths": response(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "both lengths for HEAD": response(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "two lengths": response(b"Content-Length: 5", b"Content-Length: 6"),
    "list of lengths": response(b"Content-Length: 5, 5"),
    "signed length": response(b"Content-Length: +5"),
    "empty length": response(b"Content-Length:"),
    "huge length": response(b"Content-Length: " + b"9" * 30),
    "unknown coding": response(b"Transfer-Encoding: gzip, chunked"),
    "chunked twice": response(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "too large": response(b"X: " + b"a" * MAX_HEAD_BYTES),
    "too large and without end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD_BYTES,
}


@pytest.mark.parametrize("name", REFUSED_RESPONSES)
def test_a_response_is_refused(name: str) -> None:
    for method in (b"GET", b"HEAD"):
        with pytest.raises(HeadError) as caught:
            parse_response(REFUSED_RESPONSES[name], method)
        assert caught.value.status == 502


def test_what_of_a_response_stops_at_the_edge() -> None:
    lines = [b"Keep-Alive: timeout=5", b"Proxy-Connection: x", b"Proxy-Authenticate: Basic", b"Upgrade: h2c"]
    assert answered(response(*lines, b"Set-Cookie: a=1", b"Set-Cookie: b=2")).lines == [
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
    ]


def test_field_value() -> None:
    lines = [b"A: 1", b"Content-Type: \ttext/html ", b"content-type: x"]
    assert field_value(lines, b"content-type") == b"text/html"
    assert field_value(lines, b"content") is None
