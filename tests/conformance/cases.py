"""What visitors may send, as raw bytes, and what has to become of it.

HOST stands for a name of the upstream under test ({HOST}: in capitals), OTHER for a second upstream, TOKEN for ours. Every case runs against nginx and against
a recording server; what the two have seen is compared with what the visitor was answered.
"""

# ruff: noqa: E501  (a row of the table is a line)

from __future__ import annotations

import dataclasses

OPEN, CLOSED, EITHER = "open", "closed", "either"


@dataclasses.dataclass(frozen=True)
class Case:
    """`rfc`: the section that says so (9110 and 9112 are the RFCs; `edge` is our own rule).

    `statuses`: of the final answers, in order. `then`: what becomes of the visitor's connection. `forwarded`: how
    many requests reach the upstream as a whole (as many as 200s by default). `seen`: lines that the recording
    upstream got in its first request; `unseen`: what must be nowhere in it, lower case. `bodies`: of its requests.
    `nginx`: statuses where nginx has another opinion of a request that the edge may pass on.
    `torn`: how many requests may begin at the upstream without ever being complete.
    """

    name: str
    rfc: str
    sent: bytes
    statuses: tuple[int, ...]
    then: str = OPEN
    forwarded: int | None = None
    methods: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    bodies: tuple[bytes, ...] | None = None
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    nginx: tuple[int, ...] | None = None
    torn: int = 0


def head(first_line: str, *lines: str, host: str | None = "HOST") -> bytes:
    """A request's head with CRLF line ends and a Host, unless `host` is None."""
    fields = [f"Host: {host}"] if host is not None else []
    return "\r\n".join([first_line, *fields, *lines, "", ""]).encode("latin-1")


def get(*lines: str) -> bytes:
    return head("GET /x HTTP/1.1", *lines)


def post(*lines: str, body: bytes = b"hello", version: str = "1.1") -> bytes:
    return head(f"POST /x HTTP/{version}", *lines) + body


def chunked(body: bytes, *lines: str) -> bytes:
    """A POST whose chunked body is `body` with its framing."""
    return post("Transfer-Encoding: chunked", *lines, body=body)


def refused(name: str, rfc: str, sent: bytes, status: int = 400) -> Case:
    """Nothing of it reaches the upstream, and the connection ends."""
    return Case(name, rfc, sent, (status,), CLOSED, forwarded=0)


def broken(name: str, body: bytes) -> Case:
    """A chunked body that is malformed behind a good head: 400 unless the answer was first, and the end."""
    return Case(name, "9112 7.1", chunked(body), (400,), CLOSED, forwarded=0, torn=1)


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n\r\n"  # without a name, so that its length is known here

LENGTHS = [
    refused("both lengths", "9112 6.3", post("Content-Length: 5", "Transfer-Encoding: chunked", body=CHUNKS)),
    refused("both lengths, turned", "9112 6.3", post("Transfer-Encoding: chunked", "Content-Length: 15", body=CHUNKS)),
    refused("both lengths, Content-Length is 0", "9112 6.3", post("Content-Length: 0", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED)),
    refused("two lengths", "9112 6.3", post("Content-Length: 5", "Content-Length: 0")),
    refused("the same length twice", "9112 6.3", post("Content-Length: 5", "Content-Length: 5")),
    refused("list of lengths", "9110 8.6", post("Content-Length: 5, 5")),
    refused("signed length", "9110 8.6", post("Content-Length: +5")),
    refused("negative length", "9110 8.6", post("Content-Length: -5")),
    refused("hexadecimal length", "9110 8.6", post("Content-Length: 0x5")),
    refused("length with a space", "9110 8.6", post("Content-Length: 5 5")),
    refused("empty length", "9110 8.6", post("Content-Length:")),
    refused("length with a letter", "9110 8.6", post("Content-Length: 5a")),
    refused("length with a fraction", "9110 8.6", post("Content-Length: 5.0")),
    refused("length in Arabic digits", "9110 8.6", post("Content-Length: \xd9\xa5")),
    refused("length over 64 bits", "9110 8.6", post("Content-Length: 18446744073709551621")),
    refused("length of 4,000 digits", "9110 8.6", post("Content-Length: " + "9" * 4000)),
    Case("length with leading zeros", "9110 8.6", post("Content-Length: 005"), (200,), seen=("Content-Length: 5",), bodies=(b"hello",)),
    Case("length with white space around", "9112 5.1", post("Content-Length: \t 5 \t"), (200,), seen=("Content-Length: 5",), bodies=(b"hello",)),
    Case("length in capitals", "9110 5.1", post("CONTENT-LENGTH: 5"), (200,), bodies=(b"hello",)),
    Case("length with an underscore", "edge", post("Content_Length: 5", body=b""), (200,), unseen=("content_length",), bodies=(b"",)),
    Case("length 0", "9110 8.6", post("Content-Length: 0", body=b""), (200,), seen=("Content-Length: 0",), bodies=(b"",)),
    Case("POST without length", "9112 6.3", post(body=b""), (200,), bodies=(b"",)),
    Case("GET with a body", "9110 9.3.1", get("Content-Length: 5") + b"hello", (200,), bodies=(b"hello",)),
    Case("GET with a chunked body", "9110 9.3.1", get("Transfer-Encoding: chunked") + CHUNKS, (200,), bodies=(b"hello",)),
    Case("DELETE with a body", "9110 9.3.5", head("DELETE /x HTTP/1.1", "Content-Length: 5") + b"hello", (200,), bodies=(b"hello",)),
    Case("a body that looks like a request", "9112 6.3", post(f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED), (200,), forwarded=1),
    Case("HEAD", "9110 9.3.2", head("HEAD /x HTTP/1.1"), (200,), methods=("HEAD",)),
    Case("HEAD, then GET", "9110 9.3.2", head("HEAD /x HTTP/1.1") + get(), (200, 200), methods=("HEAD", "GET")),
]  # fmt: skip

CODINGS = [
    *(
        refused(f"Transfer-Encoding {value!r}", "9112 6.1", post(f"Transfer-Encoding: {value}", body=CHUNKS))
        for value in (
            "xchunked", "chunkedx", "chunked, chunked", "chunked,", "gzip", "gzip, chunked", "chunked, gzip",
            "identity", "", "\x0bchunked", "chunked\x0b", "chunked;q=1", '"chunked"', "chun ked", "\xa0chunked",
        )
    ),
    refused("Transfer-Encoding twice", "9112 6.1", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKS)),
    refused("Transfer-Encoding identity and chunked", "9112 6.1", post("Transfer-Encoding: identity", "Transfer-Encoding: chunked", body=CHUNKS)),
    refused("Transfer-Encoding chunked and identity", "9112 6.1", post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=CHUNKS)),
    refused("Transfer-Encoding on HTTP/1.0", "9112 6.1", post("Transfer-Encoding: chunked", body=CHUNKS, version="1.0")),
    refused("Transfer-Encoding, space before the colon", "9112 5.1", post("Transfer-Encoding : chunked", body=CHUNKS)),
    refused("Transfer-Encoding, tab before the colon", "9112 5.1", post("Transfer-Encoding\t: chunked", body=CHUNKS)),
    refused("Transfer-Encoding folded", "9112 5.2", post("Transfer-Encoding:", " chunked", body=CHUNKS)),
    refused("Transfer-Encoding behind a bare CR", "9112 2.2", post("X: y\rTransfer-Encoding: chunked", body=CHUNKS)),
    refused("Transfer-Encoding behind a bare LF", "9112 2.2", post("X: y\nTransfer-Encoding: chunked", body=CHUNKS)),
    refused("Transfer-Encoding with NUL", "9110 5.5", post("Transfer-Encoding: chunked\0", body=CHUNKS)),
    Case("Transfer-Encoding with tabs around", "9112 5.1", post("Transfer-Encoding:\tchunked\t", body=CHUNKS), (200,), seen=("Transfer-Encoding: chunked",), bodies=(b"hello",)),
    Case("Transfer-Encoding in capitals", "9112 7", post("TRANSFER-ENCODING: CHUNKED", body=CHUNKS), (200,), seen=("Transfer-Encoding: chunked",), bodies=(b"hello",)),
    Case("Transfer_Encoding beside a length", "edge", post("Transfer_Encoding: chunked", "Content-Length: 15", body=CHUNKS), (200,), unseen=("transfer_encoding", "chunked"), bodies=(CHUNKS,)),
    Case("Transfer-Encoding named by Connection", "9110 7.6.1", post("Connection: Transfer-Encoding", "Transfer-Encoding: chunked", body=CHUNKS), (200,), bodies=(b"hello",)),
    Case("Content-Length named by Connection", "9110 7.6.1", post("Connection: Content-Length", "Content-Length: 5"), (200,), bodies=(b"hello",)),
    Case("TE", "9110 10.1.4", get("TE: trailers, gzip", "Connection: TE"), (200,), unseen=("te:",)),
]  # fmt: skip

CHUNKED = [
    Case("chunks", "9112 7.1", chunked(b"5\r\nhello\r\nA\r\n, 76543210\r\n0\r\n\r\n"), (200,), bodies=(b"hello, 76543210",)),
    Case("chunk with leading zeros", "9112 7.1", chunked(b"00005\r\nhello\r\n000\r\n\r\n"), (200,), bodies=(b"hello",)),
    Case("no chunk but the last", "9112 7.1", chunked(b"0\r\n\r\n"), (200,), bodies=(b"",)),
    # the recording upstream refuses extensions
    Case("chunk extensions", "9112 7.1.1", chunked(b'5;a=b\r\nhello\r\n0;c="d;e"\r\n\r\n'), (200,), bodies=(b"hello",)),
    Case("chunk extension with spaces", "9112 7.1.1", chunked(b"5 ; a = b ; c\r\nhello\r\n0\r\n\r\n"), (200,), bodies=(b"hello",)),
    Case("chunk extension that looks like an end", "9112 7.1.1", chunked(b'5;"0"\r\nhello\r\n0\r\n\r\n'), (200,), bodies=(b"hello",)),
    Case("chunk that looks like a request", "9112 7.1", chunked(b"%X\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)), (200,), forwarded=1),
    Case("trailers", "9112 7.1.2", chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: a b\r\n\r\n"), (200,), bodies=(b"hello",), trailers=((b"X-Sum", b"1"), (b"X-More", b"a b"))),
    Case("trailers that are forbidden", "9110 6.5.1", chunked(b"0\r\nContent-Length: 5\r\nHost: b\r\nX-Sum: 1\r\nTransfer-Encoding: x\r\nAuthorization: x\r\n\r\n"), (200,), trailers=((b"X-Sum", b"1"),)),
    Case("trailers with the edge's names", "edge", chunked(b"0\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6\r\nX-Request-Id: q\r\nX-Sum: 1\r\n\r\n"), (200,), trailers=((b"X-Sum", b"1"),)),
    broken("chunk size is no number", b"g\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size signed", b"+5\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size negative", b"-5\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size behind a space", b" 5\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size before a space", b"5 \r\nhello\r\n0\r\n\r\n"),
    broken("chunk size with a comma", b"5,0\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size missing", b"\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size over 64 bits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size of 20 digits", b"00000000000000000005\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size line ended by LF", b"5\nhello\r\n0\r\n\r\n"),
    broken("LF in a chunk extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    broken("CR in a chunk extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    broken("NUL in a chunk extension", b"5;a\0\r\nhello\r\n0\r\n\r\n"),
    broken("chunk extension of 5,000 bytes", b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n"),
    broken("no CRLF behind chunk data", b"5\r\nhello0\r\n\r\n"),
    broken("LF behind chunk data", b"5\r\nhello\n0\r\n\r\n"),
    broken("chunk longer than announced", b"4\r\nhello\r\n0\r\n\r\n"),
    broken("chunk shorter than announced", b"7\r\nhello\r\n0\r\n\r\n"),
    broken("LF at the end of chunks", b"5\r\nhello\r\n0\r\n\n"),
    broken("trailer folded", b"0\r\nX: a\r\n b\r\n\r\n"),
    broken("trailer with a space before the colon", b"0\r\nX : a\r\n\r\n"),
    broken("trailer without a colon", b"0\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
    broken("trailers of 20 KiB", b"0\r\n" + b"X-Sum: 1\r\n" * 2048 + b"\r\n"),
]  # fmt: skip

REQUEST_LINES = [
    refused("two spaces", "9112 3", head("GET  /x HTTP/1.1")),
    refused("tab for a space", "9112 3", head("GET\t/x HTTP/1.1")),
    refused("space in the target", "9112 3.2", head("GET /x y HTTP/1.1")),
    refused("space behind the version", "9112 3", head("GET /x HTTP/1.1 ")),
    refused("space before the method", "9112 3", head(" GET /x HTTP/1.1")),
    refused("no target", "9112 3", head("GET HTTP/1.1")),
    refused("method is no token", "9110 9.1", head("GE(T /x HTTP/1.1")),
    refused("HTTP/0.9", "9112 3", b"GET /x\r\n\r\n"),
    refused("HTTP/1.10", "9112 2.3", head("GET /x HTTP/1.10")),
    refused("http/1.1 in small letters", "9112 2.3", head("GET /x http/1.1")),
    refused("HTTP/2.0", "9110 15.6.6", head("GET /x HTTP/2.0"), 505),
    refused("the preface of HTTP/2", "9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    refused("LF behind the request line", "9112 2.2", b"GET /x HTTP/1.1\nHost: HOST\r\n\r\n"),
    refused("LF only", "9112 2.2", b"GET /x HTTP/1.1\nHost: HOST\n\n"),
    refused("CR in the request line", "9112 2.2", head("GET /x\r HTTP/1.1")),
    refused("NUL in the target", "9112 3.2", head("GET /x\0 HTTP/1.1")),
    refused("fragment", "9112 3.2", head("GET /x#y HTTP/1.1")),
    refused("relative target", "9112 3.2", head("GET x HTTP/1.1")),
    refused("asterisk for GET", "9112 3.2.4", head("GET * HTTP/1.1")),
    refused("CONNECT", "9110 9.3.6", head("CONNECT HOST:443 HTTP/1.1", host="HOST:443"), 405),
    refused("CONNECT with a path", "9110 9.3.6", head("CONNECT /x HTTP/1.1"), 405),
    refused("the greeting of TLS", "edge", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    refused("LF before the request", "9112 2.2", b"\n" + get()),
    Case("HTTP/1.2", "9110 2.5", head("GET /x HTTP/1.2"), (200,), seen=("GET /x HTTP/1.1",)),
    Case("empty line before the request", "9112 2.2", b"\r\n" + get(), (200,)),
    Case("empty line between requests", "9112 2.2", post("Content-Length: 5") + b"\r\n" + get(), (200, 200)),
    Case("OPTIONS *", "9110 9.3.7", head("OPTIONS * HTTP/1.1"), (200,), seen=("OPTIONS * HTTP/1.1",), nginx=(400,)),
    Case("unknown method", "9110 9.1", head("BREW /x HTTP/1.1"), (200,), seen=("BREW /x HTTP/1.1",)),
    Case("method in small letters", "9110 9.1", head("get /x HTTP/1.1"), (200,), seen=("get /x HTTP/1.1",), nginx=(400,)),
    Case("absolute target", "9112 3.2.2", head("GET http://HOST/x?y HTTP/1.1"), (200,), seen=("GET /x?y HTTP/1.1", "Host: HOST")),
    Case("absolute target in capitals", "9110 4.2.3", head("GET HTTP://HOST/x HTTP/1.1"), (200,), seen=("GET /x HTTP/1.1",)),
    Case("absolute target without path", "9112 3.2.1", head("GET http://HOST HTTP/1.1"), (200,), seen=("GET / HTTP/1.1",)),
    Case("absolute target of the server", "9112 3.2.4", head("OPTIONS http://HOST HTTP/1.1"), (200,), seen=("OPTIONS * HTTP/1.1",), nginx=(400,)),
    Case("target is passed as sent", "9112 3.2", head("GET //x/../y%2f..%2F%00;a=b?c=d&e HTTP/1.1"), (200,), seen=("GET //x/../y%2f..%2F%00;a=b?c=d&e HTTP/1.1",), nginx=(400,)),
    Case("target of 16,000 bytes", "9112 3", head("GET /" + "x" * 16000 + " HTTP/1.1"), (200,)),
]  # fmt: skip

FIELDS = [
    refused("space before the colon", "9112 5.1", get("X : y")),
    refused("obsolete folding", "9112 5.2", get("X: y", " z")),
    refused("obsolete folding with a tab", "9112 5.2", get("X: y", "\tz")),
    refused("folding of the first field", "9112 2.2", head("GET /x HTTP/1.1", " X: y", "Host: HOST", host=None)),
    refused("LF in a field", "9112 2.2", get("X: y\nZ: z")),
    refused("LF at the end of the head", "9112 2.2", b"GET /x HTTP/1.1\r\nHost: HOST\r\n\n"),
    refused("CR in a field", "9112 2.2", get("X: y\rz")),
    refused("NUL in a field", "9110 5.5", get("X: y\0z")),
    refused("NUL in a name", "9110 5.1", get("X\0: y")),
    refused("DEL in a field", "9110 5.5", get("X: \x7f")),
    refused("field without a colon", "9112 5", get("X")),
    refused("field without a name", "9112 5", get(": y")),
    refused("name is no token", "9110 5.1", get("X[1]: y")),
    refused("head of 65 KiB", "6585 5", get("X: " + "y" * 66000), 431),
    refused("head of 200 KiB", "6585 5", get("X: " + "y" * 200000), 431),
    refused("request line of 65 KiB", "6585 5", head("GET /" + "x" * 66000 + " HTTP/1.1"), 431),
    refused("300 fields", "6585 5", get(*["X: y"] * 300), 431),
    Case("head of 60 KiB", "9112 2.2", get("X: " + "y" * 60000), (200,)),
    Case("odd but good fields", "9110 5.5", get("!#$%&'*+-.^_`|~09Az: \xe4\t\x80", "X-Empty:", "X-Tight:y"), (200,), seen=("!#$%&'*+-.^_`|~09Az: \xe4\t\x80", "X-Empty:", "X-Tight:y")),
    Case("repeated fields keep their order", "9110 5.3", get("X: 1", "Cookie: a", "x: 2"), (200,), seen=("X: 1\r\nCookie: a\r\nx: 2",)),
    Case("fields that Connection names", "9110 7.6.1", get("X-A: 1", "Connection: keep-alive, X-A", "x-a: 2", "X-B: 3"), (200,), seen=("X-B: 3",), unseen=("x-a", "connection")),
    Case("Connection on two lines", "9110 7.6.1", get("Connection: X-A", "Connection: x-c, ,", "X-A: 1", "X-B: 3", "X-C: 1"), (200,), seen=("X-B: 3",), unseen=("x-a", "x-c", "connection")),
    Case("Connection names X-Forwarded-For", "9110 7.6.1", get("Connection: X-Forwarded-For", "X-Forwarded-For: 6.6.6.6"), (200,), seen=("X-Forwarded-For: 127.0.0.1",), unseen=("6.6.6.6",)),
    Case("Connection names X-Request-Id, Host, Cookie", "9110 7.6.1", get("Connection: x-request-id, host, cookie", "Cookie: a"), (200,), seen=("Host: HOST",), unseen=("cookie",)),
    Case("hop-by-hop fields", "9110 7.6.1", get("Keep-Alive: 5", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5", "Upgrade: x", "Proxy: http://evil.example"), (200,), unseen=("keep-alive", "proxy", "upgrade", "basic")),
    Case("forwarding fields of a stranger", "edge", get("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example", "X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6"), (200,),
         seen=("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: HOST"), unseen=("6.6.6.6", "https", "evil")),
    Case("forwarding fields, repeated and in capitals", "edge", get("X-FORWARDED-FOR: 6.6.6.6", "x-forwarded-for: 6.6.6.6"), (200,), seen=("X-Forwarded-For: 127.0.0.1",), unseen=("6.6.6.6",)),
    Case("forwarding fields with underscores", "edge", get("X_Forwarded_For: 6.6.6.6", "X-Forwarded_For: 6.6.6.6", "X_Forwarded-Proto: https", "x_forwarded_host: evil", "X_Real_IP: 6.6.6.6", "X_Request_Id: evil"), (200,), unseen=("6.6.6.6", "https", "evil", "_")),
    Case("X-Request-Id of a stranger", "edge", get("X-Request-Id: evil", "x-request-id: evil"), (200,), unseen=("evil",)),
]  # fmt: skip

HOSTS = [
    refused("no Host", "9112 3.2", head("GET /x HTTP/1.1", host=None)),
    refused("no Host, absolute target", "9112 3.2", head("GET http://HOST/x HTTP/1.1", host=None)),
    refused("two Hosts", "9112 3.2", get("Host: OTHER")),
    refused("the same Host twice", "9112 3.2", get("Host: HOST")),
    refused("list of Hosts", "9112 3.2", head("GET /x HTTP/1.1", host="HOST, OTHER")),
    refused("Host with user", "9110 7.2", head("GET /x HTTP/1.1", host="user@HOST")),
    refused("Host with a path", "9110 7.2", head("GET /x HTTP/1.1", host="HOST/y")),
    refused("Host with white space", "9110 7.2", head("GET /x HTTP/1.1", host="HOST OTHER")),
    refused("Host with a bad port", "9110 7.2", head("GET /x HTTP/1.1", host="HOST:8o")),
    refused("Host with two ports", "9110 7.2", head("GET /x HTTP/1.1", host="HOST:80:80")),
    refused("Host with a comma", "9110 7.2", head("GET /x HTTP/1.1", host="HOST,")),
    refused("Host with a NUL", "9110 5.5", head("GET /x HTTP/1.1", host="HOST\0")),
    refused("Host folded", "9112 5.2", head("GET /x HTTP/1.1", "Host:", " HOST", host=None)),
    refused("Host with a space before the colon", "9112 5.1", head("GET /x HTTP/1.1", "Host : HOST", host=None)),
    refused("absolute target of another host", "edge", head("GET http://OTHER/x HTTP/1.1")),
    refused("absolute target with user", "9110 4.2.4", head("GET http://HOST@OTHER/x HTTP/1.1", host="HOST@OTHER")),
    refused("absolute target with a fragment", "9112 3.2.2", head("GET http://HOST/x#y HTTP/1.1")),
    refused("absolute target of another scheme", "9112 3.2.2", head("GET ftp://HOST/x HTTP/1.1")),
    Case("unknown Host", "edge", head("GET /x HTTP/1.1", host="unknown.example"), (404,)),
    Case("empty Host", "9110 7.2", head("GET /x HTTP/1.1", host=""), (404,)),
    Case("no Host on HTTP/1.0", "9112 3.2", head("GET /x HTTP/1.0", host=None), (404,), CLOSED),
    Case("a name that only ends like a known one", "edge", head("GET /x HTTP/1.1", host="xother.example"), (404,)),
    Case("Host with trailing dot, port and capitals", "edge", head("GET /x HTTP/1.1", host="{HOST}.:8000"), (200,), seen=("Host: {HOST}.:8000",)),
    Case("Host with an empty port", "9110 4.2.3", head("GET /x HTTP/1.1", host="HOST:"), (200,), seen=("Host: HOST:",)),
    Case("IPv6 literal", "9110 7.2", head("GET /x HTTP/1.1", host="[2001:db8::1]:8000"), (404,)),
    Case("Host behind other fields", "9110 7.2", head("GET /x HTTP/1.1", "X: y", "hOsT:\tHOST ", host=None), (200,), seen=("Host: HOST",)),
]  # fmt: skip

PIPELINES = [
    Case("three in a row", "9112 9.3.2", head("GET /1 HTTP/1.1") + head("GET /2 HTTP/1.1") + head("GET /3 HTTP/1.1"), (200, 200, 200)),
    Case("each to its own Host", "edge", get() + head("GET /o HTTP/1.1", host="OTHER") + head("GET /u HTTP/1.1", host="unknown.example") + get(), (200, 200, 404, 200), forwarded=2),
    Case("body, then the next", "9112 6.3", post("Content-Length: 5") + get(), (200, 200), bodies=(b"hello", b"")),
    Case("chunks, then the next", "9112 7.1", chunked(CHUNKS) + get(), (200, 200), bodies=(b"hello", b"")),
    Case("chunks and trailers, then the next", "9112 7.1", chunked(b"0\r\nX: y\r\n\r\n") + get(), (200, 200), trailers=((b"X", b"y"),)),
    Case("unknown Host with a body, then the next", "edge", head("POST /x HTTP/1.1", "Content-Length: 5", host="unknown.example") + b"hello" + get(), (404, 200)),
    Case("malformed behind a good one", "9112 2.2", get() + b"GET / HTTP/1.1\nHost: HOST\n\n", (200, 400), CLOSED, forwarded=1),
    Case("behind Connection: close", "9112 9.6", get("Connection: close") + head("GET /late HTTP/1.1"), (200,), CLOSED),
    Case("behind HTTP/1.0", "9112 9.3", head("GET /x HTTP/1.0") + head("GET /late HTTP/1.0"), (200,), CLOSED),
    Case("behind HTTP/1.0 that is kept", "9112 9.3", head("GET /1 HTTP/1.0", "Connection: keep-alive") + head("GET /2 HTTP/1.0"), (200, 200), CLOSED),
    Case("behind a refusal", "9112 9.6", get("X : y") + head("GET /late HTTP/1.1"), (400,), CLOSED, forwarded=0),
    Case("fifty in a row", "9112 9.3.2", get() * 50, (200,) * 50),
]  # fmt: skip

CONNECTIONS = [
    Case("HTTP/1.1 is kept", "9112 9.3", get(), (200,)),
    Case("HTTP/1.1 keep-alive", "9112 9.3", get("Connection: keep-alive"), (200,)),
    Case("HTTP/1.1 close", "9112 9.6", get("Connection: close"), (200,), CLOSED, unseen=("connection",)),
    Case("HTTP/1.1 close among others", "9112 9.6", get("Connection: X, CLOSE"), (200,), CLOSED),
    Case("HTTP/1.0 is not kept", "9112 9.3", head("GET /x HTTP/1.0"), (200,), CLOSED, seen=("GET /x HTTP/1.1",)),
    Case("HTTP/1.0 keep-alive", "9112 9.3", head("GET /x HTTP/1.0", "Connection: Keep-Alive"), (200,)),
    Case("HTTP/1.0 with a body", "9112 9.3", post("Content-Length: 5", version="1.0"), (200,), CLOSED, bodies=(b"hello",)),
    Case("unknown expectation", "9110 10.1.1", post("Content-Length: 5", "Expect: 200-ok"), (417,), EITHER, forwarded=0),
    Case("expectation of an unknown Host", "9110 10.1.1", head("POST /x HTTP/1.1", "Content-Length: 5", "Expect: 100-continue", host="unknown.example"), (404,), CLOSED),
    Case("expectation on HTTP/1.0", "9110 10.1.1", post("Content-Length: 5", "Expect: 100-continue", version="1.0"), (200,), CLOSED, unseen=("expect",), bodies=(b"hello",)),
    Case("expectation without a body", "9110 10.1.1", get("Expect: 100-continue"), (200,), unseen=("expect",)),
    Case("upgrade to h2c", "7540 3.2", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), (200,), unseen=("upgrade", "h2c", "http2")),
    Case("upgrade to h2c behind websocket", "7540 3.2", get("Connection: Upgrade", "Upgrade: websocket, H2C"), (200,), unseen=("upgrade", "h2c")),
    Case("upgrade with a body", "9110 7.8", post("Connection: Upgrade", "Upgrade: websocket", "Content-Length: 5"), (200,), unseen=("upgrade",), bodies=(b"hello",)),
    Case("upgrade on HTTP/1.0", "9110 7.8", head("GET /x HTTP/1.0", "Connection: Upgrade", "Upgrade: websocket"), (200,), CLOSED, unseen=("upgrade",)),
    Case("upgrade that the upstream passes over", "9110 7.8", get("Connection: Upgrade", "Upgrade: something"), (200,), seen=("Upgrade: something", "Connection: Upgrade")),
]  # fmt: skip

CONTROL_PLANE = [
    *(
        Case(f"{path} belongs to the upstream", "edge", head(f"GET {path} HTTP/1.1", "Authorization: Bearer TOKEN"), (200,), seen=(f"GET {path} HTTP/1.1", "Authorization: Bearer TOKEN"))
        for path in ("/status", "/metrics", "/healthz", "/readyz", "/.well-known/ca.crt", "/api/v1/", "/connect", "/stream")
    ),
    *(
        Case(f"{path} of an unknown Host", "edge", head(f"GET {path} HTTP/1.1", "Authorization: Bearer TOKEN", host="unknown.example"), (404,))
        for path in ("/status", "/metrics", "/healthz", "/.well-known/ca.crt")
    ),
    *(
        Case(f"a client's upgrade on {path}", "edge", head(f"GET {path} HTTP/1.1", "Authorization: Bearer TOKEN", "Connection: Upgrade", "Upgrade: websocket",
             "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol: sluice.v1", host="unknown.example"), (404,))
        for path in ("/connect", "/stream")
    ),
]  # fmt: skip

GROUPS = {
    "lengths": LENGTHS,
    "codings": CODINGS,
    "chunked": CHUNKED,
    "request lines": REQUEST_LINES,
    "fields": FIELDS,
    "hosts": HOSTS,
    "pipelines": PIPELINES,
    "connections": CONNECTIONS,
    "control plane": CONTROL_PLANE,
}
CASES = {f"{group}: {case.name}": case for group, cases in GROUPS.items() for case in cases}
