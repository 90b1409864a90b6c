"""What is answered: status, fields, the pieces of the body. Files are named by descriptor, not read here."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.fileserver.conditions import Validators, precondition, range_applies
from appliance.fileserver.content_types import content_type
from appliance.fileserver.ranges import Extent, Unsatisfiable, parse_range

NOT_FOUND = "unable to find requested file"
ALLOW = b"Allow: GET, HEAD, OPTIONS"
_NO_SNIFF = b"X-Content-Type-Options: nosniff"
# The page has no scripts and loads nothing; names in it are escaped, and this holds should one slip through.
_PAGE_POLICY = b"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"
_REASONS = {
    200: b"OK",
    204: b"No Content",
    206: b"Partial Content",
    301: b"Moved Permanently",
    304: b"Not Modified",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    412: b"Precondition Failed",
    416: b"Range Not Satisfiable",
    417: b"Expectation Failed",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    505: b"HTTP Version Not Supported",
}


@dataclass
class Answer:
    """`pieces`: the body, as bytes and as extents of the file open at `descriptor`."""

    status: int
    fields: list[bytes]
    pieces: tuple[bytes | Extent, ...] = ()
    descriptor: int | None = None  # closed by whoever sends the answer

    def head(self, date: bytes, connection: bytes) -> bytes:
        """Status line and fields; `connection` is the value of that field, empty for none."""
        lines = [b"HTTP/1.1 %d %b" % (self.status, _REASONS.get(self.status, b"")), b"Date: " + date]
        lines += self.fields
        if self.status not in (204, 304):  # RFC 9110 8.6
            lines.append(b"Content-Length: %d" % self.length)
        if connection:
            lines.append(b"Connection: " + connection)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    @property
    def length(self) -> int:
        return sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in self.pieces)


def plain(status: int, text: str, *fields: bytes) -> Answer:
    """One line of text."""
    return Answer(status, [b"Content-Type: text/plain; charset=utf-8", _NO_SNIFF, *fields], (text.encode(),))


def page(html: bytes) -> Answer:
    """A listing: made anew for each visit."""
    fields = [b"Content-Type: text/html; charset=utf-8", _NO_SNIFF, _PAGE_POLICY, b"Cache-Control: no-cache"]
    return Answer(200, fields, (html,))


def redirect(location: bytes) -> Answer:
    return plain(301, "this is a directory: its address ends with a slash", b"Location: " + location)


def file_answer(method: bytes, fields: Mapping[str, str], name: bytes, descriptor: int, info: os.stat_result) -> Answer:
    """The file, the part of it that was asked for, or that the visitor has it already."""
    answer = _file_answer(method, fields, name, info)
    answer.descriptor = descriptor
    return answer


def _file_answer(method: bytes, fields: Mapping[str, str], name: bytes, info: os.stat_result) -> Answer:
    validators = Validators.of(info)
    described = [b"ETag: " + validators.tag.encode(), b"Last-Modified: " + validators.last_modified]
    verdict = precondition(fields, validators)
    if verdict == 304:
        return Answer(304, described)
    if verdict == 412:
        return plain(412, "the file is not the one that the condition names", *described)
    described += [b"Accept-Ranges: bytes", _NO_SNIFF]
    kind = content_type(name)
    wanted = fields.get("range") if method == b"GET" else None  # RFC 9110 14.2: ignored for HEAD
    extents = None
    if wanted is not None and range_applies(fields, validators, time.time()):
        try:
            extents = parse_range(wanted, info.st_size)
        except Unsatisfiable:
            return plain(
                416,
                f"the file has {info.st_size} bytes: the range is outside",
                b"Accept-Ranges: bytes",
                b"Content-Range: bytes */%d" % info.st_size,
            )
    if extents is None:
        return Answer(200, [b"Content-Type: " + kind, *described], (Extent(0, info.st_size),))
    if len(extents) == 1:
        place = b"Content-Range: " + _content_range(extents[0], info.st_size)
        return Answer(206, [b"Content-Type: " + kind, place, *described], (extents[0],))
    return _several(extents, kind, info.st_size, described)


def _several(extents: list[Extent], kind: bytes, size: int, described: list[bytes]) -> Answer:
    """multipart/byteranges (RFC 9110 14.6)."""
    boundary = os.urandom(15).hex().encode()
    pieces: list[bytes | Extent] = []
    for extent in extents:
        place = _content_range(extent, size)
        pieces.append(b"\r\n--%b\r\nContent-Type: %b\r\nContent-Range: %b\r\n\r\n" % (boundary, kind, place))
        pieces.append(extent)
    pieces.append(b"\r\n--%b--\r\n" % boundary)
    content = b"Content-Type: multipart/byteranges; boundary=" + boundary
    return Answer(206, [content, *described], tuple(pieces))


def _content_range(extent: Extent, size: int) -> bytes:
    return b"bytes %d-%d/%d" % (extent.start, extent.last, size)
