"""What upstreams may answer, as raw bytes, and what the visitor has to get."""
# ruff: noqa: E501  (a row of the table is a line)

from __future__ import annotations

import dataclasses

from tests.conformance.cases import CLOSED, OPEN

KEEP, CLOSE, RESET = "keep", "close", "reset"


@dataclasses.dataclass(frozen=True)
class Answer:
    """`data`: what the upstream sends, and `end`: what it does with its connection then.

    `status`, `body`: what the visitor gets; `torn`: it can tell that the body is not whole. `then`: what becomes of
    its connection. `interims`: statuses before the final one. `seen`: lines of the final head; `unseen`: what must be
    nowhere in it, lower case. `trailers` of the body. `version`, `method`: how the visitor asks.
    """

    name: str
    rfc: str
    data: bytes
    status: int
    body: bytes = b""
    end: str = KEEP
    then: str = OPEN
    torn: bool = False
    interims: tuple[int, ...] = ()
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    version: str = "1.1"
    method: str = "GET"
    fields: tuple[str, ...] = ()


def head(*lines: str, start: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([start, "X-Upstream: python", *lines, "", ""]).encode("latin-1")


def ok(*lines: str, body: bytes = b"hello") -> bytes:
    """A good answer with its length, and `lines` more."""
    return head(f"Content-Length: {len(body)}", *lines) + body


def bad(name: str, rfc: str, data: bytes, **more: str) -> Answer:
    """An answer that the edge does not pass on; the visitor's connection is none the worse."""
    return Answer(name, rfc, data, 502, end=more.get("end", KEEP), unseen=("x-upstream",))


CHUNKED = "Transfer-Encoding: chunked"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"

BODIES = [
    Answer("length", "9112 6.3", ok(), 200, b"hello", seen=("Content-Length: 5",)),
    Answer("length twice the same", "9112 6.3", ok("Content-Length: 5"), 200, b"hello", seen=("Content-Length: 5",)),
    Answer("length 0", "9112 6.3", ok(body=b""), 200, b""),
    Answer("chunks", "9112 7.1", head(CHUNKED) + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200, b"hello", seen=(CHUNKED,)),
    Answer("chunk extensions", "9112 7.1.1", head(CHUNKED) + b"5;a=b\r\nhello\r\n0;c\r\n\r\n", 200, b"hello"),
    Answer("trailers", "9112 7.1.2", head(CHUNKED, "Trailer: X-Sum") + b"0\r\nX-Sum: 1\r\nContent-Length: 9\r\nSet-Cookie: a\r\n\r\n", 200, b"", trailers=((b"X-Sum", b"1"),), seen=("Trailer: X-Sum",)),
    Answer("until the end", "9112 6.3", head() + b"hello", 200, b"hello", end=CLOSE),
    Answer("until the end, nothing", "9112 6.3", head(), 200, b"", end=CLOSE),
    Answer("until the end, HTTP/1.0", "9112 6.3", head(start="HTTP/1.0 200 OK") + b"hello", 200, b"hello", end=CLOSE, seen=("HTTP/1.1 200 OK",)),
    Answer("length, HTTP/1.0", "9112 6.3", head("Content-Length: 5", start="HTTP/1.0 200 OK") + b"hello", 200, b"hello", end=CLOSE),
    Answer("length, Connection: close", "9112 9.6", ok("Connection: close"), 200, b"hello", end=CLOSE, unseen=("connection",)),
    Answer("HEAD with a length", "9110 9.3.2", head("Content-Length: 5"), 200, seen=("Content-Length: 5",), method="HEAD"),
    Answer("HEAD with chunks", "9110 9.3.2", head(CHUNKED), 200, method="HEAD"),
    Answer("HEAD without either", "9110 9.3.2", head(), 200, method="HEAD"),
    Answer("204", "9110 15.3.5", head(start="HTTP/1.1 204 No Content"), 204, unseen=("content-length", "transfer-encoding")),
    Answer("204 with length 0", "9110 8.6", head("Content-Length: 0", start="HTTP/1.1 204 No Content"), 204, unseen=("content-length", "transfer-encoding")),
    Answer("304 with a length", "9110 15.4.5", head("Content-Length: 5", "ETag: \"a\"", start="HTTP/1.1 304 Not Modified"), 304, seen=("Content-Length: 5", "ETag: \"a\"")),
    Answer("304", "9110 15.4.5", head(start="HTTP/1.1 304 Not Modified"), 304, unseen=("transfer-encoding",)),
    Answer("404 with a body", "9110 15.5.5", head("Content-Length: 5", start="HTTP/1.1 404 Nope") + b"hello", 404, b"hello", seen=("HTTP/1.1 404 Nope",)),
    Answer("status without reason", "9112 4", head("Content-Length: 5", start="HTTP/1.1 299 ") + b"hello", 299, b"hello"),
    Answer("status line without the last space", "9112 4", head("Content-Length: 5", start="HTTP/1.1 200") + b"hello", 200, b"hello"),
    Answer("unknown status", "9110 15", head("Content-Length: 5", start="HTTP/1.1 799 Odd") + b"hello", 799, b"hello"),
    Answer("chunks for HTTP/1.0", "9112 6.1", head(CHUNKED) + b"5\r\nhello\r\n0\r\n\r\n", 200, b"hello", then=CLOSED, unseen=("transfer-encoding",), version="1.0", fields=("Connection: keep-alive",)),
    Answer("until the end for HTTP/1.0", "9112 6.3", head() + b"hello", 200, b"hello", end=CLOSE, then=CLOSED, unseen=("transfer-encoding",), version="1.0", fields=("Connection: keep-alive",)),
    Answer("length for HTTP/1.0", "9112 9.3", ok(), 200, b"hello", seen=("Connection: keep-alive",), version="1.0", fields=("Connection: keep-alive",)),
    Answer("length for HTTP/1.0 that is not kept", "9112 9.3", ok(), 200, b"hello", then=CLOSED, version="1.0"),
    Answer("1 MiB by length", "9112 6.3", ok(body=b"x" * 2**20), 200, b"x" * 2**20),
    Answer("1 MiB in one chunk", "9112 7.1", head(CHUNKED) + b"100000\r\n" + b"x" * 2**20 + b"\r\n0\r\n\r\n", 200, b"x" * 2**20),
]  # fmt: skip

FIELDS = [
    Answer("end-to-end fields", "9110 5.3", ok("Set-Cookie: a=1", "set-cookie: b=2", "X-Empty:", "Server: \xe4"), 200, b"hello", seen=("Set-Cookie: a=1\r\nset-cookie: b=2\r\nX-Empty:\r\nServer: \xe4",)),
    Answer("hop-by-hop fields", "9110 7.6.1", ok("Keep-Alive: timeout=5", "Proxy-Authenticate: Basic", "Proxy-Connection: x", "Upgrade: h2c"), 200, b"hello", unseen=("keep-alive", "proxy", "upgrade", "h2c")),
    Answer("fields that Connection names", "9110 7.6.1", ok("Connection: X-Secret, keep-alive", "X-Secret: 1", "X-Kept: 1"), 200, b"hello", seen=("X-Kept: 1",), unseen=("secret", "connection")),
    Answer("Connection names Content-Length", "9110 7.6.1", ok("Connection: Content-Length"), 200, b"hello", seen=("Content-Length: 5",)),
]  # fmt: skip

INTERIMS = [
    Answer("100", "9110 15.2.1", head(start="HTTP/1.1 100 Continue") + ok(), 200, b"hello", interims=(100,)),
    Answer("103, twice", "8297 2", head("Link: </x>", start="HTTP/1.1 103 Early Hints") * 2 + ok(), 200, b"hello", interims=(103, 103)),
    Answer("102 with a length", "9112 6.3", head("Content-Length: 5", start="HTTP/1.1 102 Processing") + ok(), 200, b"hello", interims=(102,)),
    Answer("103 for HTTP/1.0", "9110 15.2", head(start="HTTP/1.1 103 Early Hints") + ok(), 200, b"hello", then=CLOSED, version="1.0"),
    bad("101 that nobody asked for", "9110 15.2.2", head("Connection: Upgrade", "Upgrade: websocket", start="HTTP/1.1 101 Switching Protocols")),
    bad("101 behind 100", "9110 15.2.2", head(start="HTTP/1.1 101 Switching Protocols") + ok()),
]  # fmt: skip

MALFORMED = [
    bad("no HTTP", "9112 4", b"hello, visitor\r\n\r\n"),
    bad("HTTP/2 status line", "9112 2.3", head("Content-Length: 0", start="HTTP/2 200 OK")),
    bad("ICY", "9112 2.3", head("Content-Length: 0", start="ICY 200 OK")),
    bad("status of two digits", "9112 4", head("Content-Length: 0", start="HTTP/1.1 20 OK")),
    bad("status 000", "9112 4", head("Content-Length: 0", start="HTTP/1.1 000 OK")),
    bad("status of four digits", "9112 4", head("Content-Length: 0", start="HTTP/1.1 2000 OK")),
    bad("both lengths", "9112 6.3", ok(CHUNKED)),
    bad("two lengths", "9112 6.3", ok("Content-Length: 6")),
    bad("list of lengths", "9112 6.3", head("Content-Length: 5, 5") + b"hello"),
    bad("signed length", "9112 6.3", head("Content-Length: +5") + b"hello"),
    bad("negative length", "9112 6.3", head("Content-Length: -1") + b"hello"),
    bad("empty length", "9112 6.3", head("Content-Length:") + b"hello"),
    bad("length of 30 digits", "9112 6.3", head("Content-Length: " + "9" * 30) + b"hello"),
    bad("unknown coding", "9112 6.1", head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"),
    bad("chunked twice", "9112 7.1", head(CHUNKED, CHUNKED) + b"0\r\n\r\n"),
    bad("LF for line ends", "9112 2.2", head("Content-Length: 0").replace(b"\r\n", b"\n")),
    bad("LF in a field", "9112 2.2", ok("X: y\nz")),
    bad("CR in a field", "9112 2.2", ok("X: y\rSet-Cookie: evil")),
    bad("NUL in a field", "9110 5.5", ok("X: \0")),
    bad("space before the colon", "9112 5.1", head("Content-Length : 0")),
    bad("folding", "9112 5.2", ok("X: y", " z")),
    bad("field without a colon", "9112 5", ok("X")),
    bad("head of 70 KiB", "edge", ok("X: " + "y" * 70000)),
    bad("head without an end", "edge", head("X: " + "y" * 70000)[:-4]),
    bad("nothing", "9110 15.6.3", b"", end=CLOSE),
    bad("nothing, by reset", "9110 15.6.3", b"", end=RESET),
    bad("half a head", "9112 8", b"HTTP/1.1 200 OK\r\nContent-Le", end=CLOSE),
    bad("half a head, by reset", "9112 8", b"HTTP/1.1 200 OK\r\nContent-Le", end=RESET),
    bad("interim answers only", "9110 15.2", head(start="HTTP/1.1 103 Early Hints")[:0] + b"HTTP/1.1 1", end=CLOSE),
]  # fmt: skip

TORN = [
    Answer("less than its length", "9112 8", head("Content-Length: 50") + b"hello", 200, end=CLOSE, torn=True, then=CLOSED),
    Answer("less than its length, by reset", "9112 8", head("Content-Length: 50") + b"hello", 200, end=RESET, torn=True, then=CLOSED),
    Answer("chunks without the last", "9112 8", head(CHUNKED) + b"5\r\nhello\r\n", 200, end=CLOSE, torn=True, then=CLOSED),
    Answer("chunks without the last, by reset", "9112 8", head(CHUNKED) + b"5\r\nhello\r\n", 200, end=RESET, torn=True, then=CLOSED),
    Answer("half a chunk", "9112 8", head(CHUNKED) + b"5\r\nhel", 200, end=CLOSE, torn=True, then=CLOSED),
    Answer("last chunk without its end", "9112 8", head(CHUNKED) + b"5\r\nhello\r\n0\r\n", 200, end=CLOSE, torn=True, then=CLOSED),
    Answer("bad chunk size", "9112 7.1", head(CHUNKED) + b"5\r\nhello\r\nx\r\n", 200, torn=True, then=CLOSED),
    Answer("bad first chunk size", "9112 7.1", head(CHUNKED) + b"-5\r\nhello\r\n0\r\n\r\n", 200, torn=True, then=CLOSED),
    Answer("chunk longer than announced", "9112 7.1", head(CHUNKED) + b"4\r\nhello\r\n0\r\n\r\n", 200, torn=True, then=CLOSED),
    Answer("LF behind a chunk", "9112 7.1", head(CHUNKED) + b"5\r\nhello\n0\r\n\r\n", 200, torn=True, then=CLOSED),
    Answer("bad trailer", "9112 7.1.2", head(CHUNKED) + b"0\r\nX : y\r\n\r\n", 200, torn=True, then=CLOSED),
    Answer("until the end, by reset", "9112 8", head() + b"hello", 200, end=RESET, torn=True, then=CLOSED),
]  # fmt: skip

# What follows an answer on its connection must never become the answer to somebody's next request.
LEFTOVERS = [
    Answer("bytes behind the length", "9112 6.3", ok() + b"more", 200, b"hello"),
    Answer("an answer behind the length", "9112 6.3", ok() + POISON, 200, b"hello"),
    Answer("an answer behind the last chunk", "9112 6.3", head(CHUNKED) + b"0\r\n\r\n" + POISON, 200, b""),
    Answer("an answer behind 204", "9112 6.3", head(start="HTTP/1.1 204 No Content") + POISON, 204),
    Answer("a body behind 204 with a length", "9112 6.3", head(f"Content-Length: {len(POISON)}", start="HTTP/1.1 204 No Content") + POISON, 204),
    Answer("a body behind 304", "9112 6.3", head("Content-Length: 5", start="HTTP/1.1 304 Not Modified") + POISON, 304),
    Answer("a body behind HEAD", "9110 9.3.2", head(f"Content-Length: {len(POISON)}") + POISON, 200, method="HEAD"),
    Answer("an empty line behind the length", "9112 2.2", ok() + b"\r\n", 200, b"hello"),
]  # fmt: skip

GROUPS = {
    "bodies": BODIES,
    "fields": FIELDS,
    "interims": INTERIMS,
    "malformed": MALFORMED,
    "torn": TORN,
    "leftovers": LEFTOVERS,
}
ANSWERS = {f"{group}: {answer.name}": answer for group, answers in GROUPS.items() for answer in answers}
