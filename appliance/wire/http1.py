"""HTTP/1.1 heads: bytes in, values out (RFC 9110, RFC 9112). No sockets; bodies are `chunked.py` or counted.

The grammar is one strict regular expression a head, matched in C: what does not fit is refused whole, so a
head can be understood in one way only. That is as fast as llhttp's call-backs (2.4 against 2.2 microseconds
for a browser's head) and leaves no lenient corner to close afterwards.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

MAX_HEAD_BYTES = 65536
MAX_FIELDS = 256

# Body lengths that are not a count of bytes.
CHUNKED = -1
UNTIL_CLOSE = -2

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
FIELD_LINES = rb"(?:" + TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*"
_request = re.compile(
    rb"(" + TOKEN + rb") ([\x21\x22\x24-\x7e\x80-\xff]+) HTTP/1\.([0-9])\r\n(" + FIELD_LINES + rb")\r\n"
).match
_response = re.compile(
    rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n(" + FIELD_LINES + rb")\r\n"
).match
_first_bytes = frozenset(re.findall(rb"[!#$%&'*+.^_`|~0-9A-Za-z\r-]", bytes(range(128)))) | {b""}
_head_end = re.compile(rb"\n\r?\n").search
_foreign_version = re.compile(rb"[^\r\n]* HTTP/[0-9]+(?:\.[0-9]+)?\r?\n").match
_authority = re.compile(
    rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{0,5})?"  # RFC 3986 3.2.2, no userinfo, no escapes
).fullmatch
_absolute = re.compile(rb"(?i:https?)://([^/?#]*)([^#]*)").fullmatch
_length = re.compile(rb"[0-9]{1,18}").fullmatch


class HeadError(ValueError):
    """A head that cannot be understood in one way only: answer `status` and end the connection."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


CDN_LOOP = b"cdn-loop"  # RFC 8586: whom a request has passed

# What the parser looks at; every other field travels on as it stands.
HOST, CONNECTION, LENGTH, CODING, UPGRADE, EXPECT, FORWARDED, HOP = range(8)
_REQUEST_FIELDS = {
    b"host": HOST,
    b"connection": CONNECTION,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"x-forwarded-for": FORWARDED,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-host": FORWARDED,
    b"x-forwarded-port": FORWARDED,
    b"x-forwarded-server": FORWARDED,
    b"x-request-id": FORWARDED,
    b"x-forwarded-ssl": FORWARDED,
    b"x-forwarded-scheme": FORWARDED,
    b"x-forwarded-protocol": FORWARDED,
    b"x-forwarded-prefix": FORWARDED,
    b"x-url-scheme": FORWARDED,
    b"front-end-https": FORWARDED,
    b"x-real-ip": FORWARDED,
    b"forwarded": FORWARDED,
    CDN_LOOP: FORWARDED,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"proxy-authorization": HOP,
    b"te": HOP,
    b"http2-settings": HOP,
    b"proxy": HOP,  # no field of HTTP: CGI upstreams would take it for the setting HTTP_PROXY
}
_RESPONSE_FIELDS = {
    b"connection": CONNECTION,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"upgrade": UPGRADE,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"proxy-authenticate": HOP,
}


def _underscored(name: bytes) -> Iterable[bytes]:
    """Every spelling of `name` with some `-` as `_`: CGI and WSGI upstreams take it for the real one."""
    parts = name.split(b"-")
    for joints in itertools.product(b"-_", repeat=len(parts) - 1):
        if b"_"[0] in joints:
            yield b"".join(part + bytes([joint]) for part, joint in zip(parts, joints, strict=False)) + parts[-1]


_REQUEST_FIELDS.update({spelling: HOP for name in tuple(_REQUEST_FIELDS) for spelling in _underscored(name)})

# Fields that a trailer section may not carry (RFC 9110 6.5.1): framing, routing, what the edge owns,
# and what asks, authenticates or describes the content.
TRAILER_REFUSED = (
    frozenset(_REQUEST_FIELDS)
    | frozenset(_RESPONSE_FIELDS)
    | {b"trailer", b"content-encoding", b"content-type", b"content-range", b"content-location"}
    | {b"authorization", b"www-authenticate", b"authentication-info", b"cookie", b"set-cookie"}
    | {b"cache-control", b"vary", b"age", b"expires", b"date", b"location", b"retry-after"}
    | {b"range", b"max-forwards", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"}
    | {b"if-range"}
)


class RequestHead:
    """A visitor's request. `lines` are the end-to-end field lines, as bytes without line ends."""

    __slots__ = (
        "end",
        "expects_continue",
        "forwarded",
        "host",
        "keep_alive",
        "length",
        "lines",
        "method",
        "minor",
        "target",
        "upgrade",
    )

    def __init__(self, method: bytes, target: bytes, minor: int, end: int) -> None:
        self.method = method
        self.target = target  # origin-form, or `*`
        self.minor = minor
        self.end = end  # offset behind the head, in the buffer it was parsed from
        self.host: bytes | None = None
        self.length: int | None = None  # None: no body announced; CHUNKED; else bytes
        self.keep_alive = minor == 1
        self.upgrade = b""
        self.expects_continue = False
        self.lines: list[bytes] = []
        self.forwarded: list[tuple[bytes, bytes]] = []  # what the visitor claims of itself: (name, value)


class ResponseHead:
    """An upstream's answer. `length` is what frames the body: a count, CHUNKED or UNTIL_CLOSE."""

    __slots__ = ("announced", "end", "keep_alive", "length", "lines", "minor", "reason", "status", "upgrade")

    def __init__(self, status: int, reason: bytes, minor: int, end: int) -> None:
        self.status = status
        self.reason = reason
        self.minor = minor
        self.end = end
        self.length = 0
        self.announced: bytes | None = None  # Content-Length as sent, also where no body follows (HEAD, 304)
        self.keep_alive = minor == 1
        self.upgrade = b""
        self.lines: list[bytes] = []


def parse_request(data: bytes, start: int = 0, searched: int = 0) -> RequestHead | None:
    """The request head at `start` of `data`; None while it is not complete.

    `searched`: how far an earlier call has looked: a head that trickles in is not looked through each time.
    Raises HeadError (400, 405, 417, 431, 501 or 505).
    """
    match = _request(data, start) if data.find(b"\r\n\r\n", max(start, searched - 3)) >= 0 else None
    if match is None:
        if data.startswith(b"\r\n", start) and not data.startswith(b"\r\n\r\n", start):
            return parse_request(data, start + 2, searched)  # one empty line is forgiven (RFC 9112 2.2)
        _check_incomplete(data, start, searched)
        return None
    method, target, minor_text, block = match.groups()
    if match.end() - start > MAX_HEAD_BYTES:
        raise HeadError(431, "the request's head is over 64 KiB")
    minor = 0 if minor_text == b"0" else 1
    request = RequestHead(method, target, minor, match.end())
    keep = request.lines
    look_up = _REQUEST_FIELDS.get
    lines = block.split(b"\r\n")
    lines.pop()
    if len(lines) > MAX_FIELDS:
        raise HeadError(431, f"the request has over {MAX_FIELDS} header fields")
    nominated: list[bytes] | None = None
    for line in lines:
        name, _, value = line.partition(b":")
        kind = look_up(name.lower())
        if kind is None:
            keep.append(line)
            continue
        value = value.strip(b" \t")
        if kind == HOST:
            if request.host is not None:
                raise HeadError(400, "the request has several Host headers")
            request.host = value
        elif kind == CONNECTION:
            if value != b"keep-alive" or minor == 0:  # says nothing new, and names nothing
                nominated = _connection(request, value, nominated)
        elif kind == LENGTH:
            _request_length(request, value)
        elif kind == CODING:
            _request_coding(request, value)
        elif kind == FORWARDED:
            request.forwarded.append((name.lower(), value))
        elif kind == UPGRADE:
            request.upgrade = value
        elif kind == EXPECT:
            if value.lower() != b"100-continue":
                raise HeadError(417, "the only expectation understood is 100-continue")
            request.expects_continue = minor == 1
    if nominated:
        _drop_nominated(request, nominated)
    _settle_request(request, nominated)
    return request


def _check_incomplete(data: bytes, start: int, searched: int) -> None:
    """Nothing parsed: return to wait for more, or say what is wrong with a head that is complete."""
    if data[start : start + 1] not in _first_bytes:
        # Seen at once: who speaks TLS to a plain port should not wait for a time limit.
        raise HeadError(400, "this is not HTTP")
    ended = _head_end(data, max(start, searched - 3))
    if ended is None:
        if len(data) - start > MAX_HEAD_BYTES:
            raise HeadError(431, "the request's head is over 64 KiB")
        return
    if ended.end() - start > MAX_HEAD_BYTES:
        raise HeadError(431, "the request's head is over 64 KiB")
    version = _foreign_version(data, start)
    if version is not None and b" HTTP/1." not in version.group():
        raise HeadError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    raise HeadError(400, "the request's head is malformed")


def _request_length(request: RequestHead, value: bytes) -> None:
    if request.length is not None:
        raise HeadError(400, "the length of the request's body is given twice")
    if not _length(value):
        raise HeadError(400, "the request's Content-Length is malformed")
    request.length = int(value)


def _request_coding(request: RequestHead, value: bytes) -> None:
    if request.length is not None:
        raise HeadError(400, "the length of the request's body is given twice")
    if value.lower() != b"chunked":
        raise HeadError(400, "the request's Transfer-Encoding is not understood")
    if request.minor == 0:
        raise HeadError(400, "HTTP/1.0 has no Transfer-Encoding")  # RFC 9112 6.1
    request.length = CHUNKED


def _connection(head: RequestHead | ResponseHead, value: bytes, nominated: list[bytes] | None) -> list[bytes]:
    """Note what a Connection field says; returns the lower-case options named so far."""
    options = [option.strip(b" \t") for option in value.lower().split(b",")]
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options and head.minor == 0 and not (nominated and b"close" in nominated):
        head.keep_alive = True
    return options if nominated is None else nominated + options


def _drop_nominated(head: RequestHead | ResponseHead, nominated: list[bytes]) -> None:
    """Remove the fields that Connection names (RFC 9110 7.6.1), among those that would travel on."""
    names = set(nominated) - {b"close", b"keep-alive", b"upgrade", b""}
    if names:
        head.lines = [line for line in head.lines if line[: line.index(b":")].lower() not in names]
        if isinstance(head, RequestHead):
            head.forwarded = [field for field in head.forwarded if field[0] not in names or field[0] == CDN_LOOP]


def _settle_request(request: RequestHead, nominated: list[bytes] | None) -> None:
    """The checks that need the whole head: target against Host, and what an upgrade requires."""
    if request.host is None and request.minor == 1:
        raise HeadError(400, "the request has no Host header")  # RFC 9112 3.2, with an absolute target too
    target = request.target
    if target[0] != 0x2F or request.method == b"CONNECT":  # "/"
        _settle_target(request, target)
    host = request.host
    if host is not None and not _authority(host):
        raise HeadError(400, "the request's Host header is malformed")
    if request.upgrade and (
        request.minor == 0
        or request.length  # an upgrade with a body to come has no moment at which bytes change meaning
        or nominated is None
        or b"upgrade" not in nominated
        or _smuggles(request.upgrade)
    ):
        request.upgrade = b""


def _smuggles(upgrade: bytes) -> bool:
    """Whether a protocol among those offered is HTTP again, which would carry requests past the edge."""
    protocols = upgrade.lower().split(b",")
    return any(protocol.strip(b" \t").startswith((b"h2c", b"http/")) for protocol in protocols)


def _settle_target(request: RequestHead, target: bytes) -> None:
    if request.method == b"CONNECT":
        raise HeadError(405, "this is not a forward proxy: CONNECT is not served")
    if target == b"*" and request.method == b"OPTIONS":
        return
    absolute = _absolute(target)
    if absolute is None:
        raise HeadError(400, "the request's target is malformed")
    authority, rest = absolute.groups()
    if not authority or (request.host is not None and authority.lower() != request.host.lower()):
        raise HeadError(400, "the request's target and its Host header disagree")
    request.host = authority
    if not rest and request.method == b"OPTIONS":
        request.target = b"*"  # RFC 9112 3.2.4
    else:
        request.target = rest if rest.startswith(b"/") else b"/" + rest


def parse_response(data: bytes, method: bytes, start: int = 0) -> ResponseHead | None:
    """The response head at `start` of `data`, the answer to a request of `method`; None while not complete.

    Raises HeadError (502).
    """
    match = _response(data, start) if data.find(b"\r\n\r\n", start) >= 0 else None
    if match is None:
        if _head_end(data, start) is not None:
            raise HeadError(502, "the upstream's answer is malformed")
        if len(data) - start > MAX_HEAD_BYTES:
            raise HeadError(502, "the upstream's head is over 64 KiB")
        return None
    if match.end() - start > MAX_HEAD_BYTES:
        raise HeadError(502, "the upstream's head is over 64 KiB")
    minor_text, status_text, reason, block = match.groups()
    response = ResponseHead(int(status_text), reason or b"", 0 if minor_text == b"0" else 1, match.end())
    keep = response.lines
    look_up = _RESPONSE_FIELDS.get
    nominated: list[bytes] | None = None
    chunked = False
    lines = block.split(b"\r\n")
    lines.pop()
    for line in lines:
        name, _, value = line.partition(b":")
        kind = look_up(name.lower())
        if kind is None:
            keep.append(line)
            continue
        value = value.strip(b" \t")
        if kind == LENGTH:
            if not _length(value) or (response.announced is not None and value != response.announced):
                raise HeadError(502, "the upstream's Content-Length is malformed")
            response.announced = value
        elif kind == CONNECTION:
            if value != b"keep-alive" or response.minor == 0:
                nominated = _connection(response, value, nominated)
        elif kind == CODING:
            if chunked or value.lower() != b"chunked":
                raise HeadError(502, "the upstream's Transfer-Encoding is not understood")
            chunked = True
        elif kind == UPGRADE:
            response.upgrade = value
    if nominated:
        _drop_nominated(response, nominated)
    _frame_response(response, method, chunked)
    return response


def _frame_response(response: ResponseHead, method: bytes, chunked: bool) -> None:
    """Set how the body ends (RFC 9112 6.3)."""
    status = response.status
    if chunked and response.announced is not None:
        raise HeadError(502, "the upstream gives the length of its body twice")
    if chunked and response.minor == 0:
        response.keep_alive = False  # RFC 9112 6.1: the framing is suspect
    if method == b"HEAD" or status < 200 or status == 204 or status == 304:
        response.length = 0
        if status == 204 and (chunked or response.announced not in (None, b"0")):
            response.keep_alive = False  # a body may follow after all, and would be taken for the next answer
    elif chunked:
        response.length = CHUNKED
    elif response.announced is not None:
        response.length = int(response.announced)
    else:
        response.length = UNTIL_CLOSE
        response.keep_alive = False


def field_value(lines: Iterable[bytes], name: bytes) -> bytes | None:
    """The value of the first field called `name` (lower case) among `lines`; None where there is none."""
    for line in lines:
        if line[: line.index(b":")].lower() == name:
            return line[len(name) + 1 :].strip(b" \t")
    return None
