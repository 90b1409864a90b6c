"""A recorded request as bytes again, as it was or changed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.tunnel.inspector.record import Record
from appliance.wire.http1 import MAX_FIELDS, MAX_HEAD_BYTES, TOKEN

# What the bytes are framed by anew, and what belonged to one hop alone (RFC 9110 7.6.1).
_FRAMING = frozenset(
    (
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
        b"expect",
    )
)

_method = re.compile(TOKEN).fullmatch
_target = re.compile(rb"/[\x21\x22\x24-\x7e\x80-\xff]*").fullmatch
_name = re.compile(TOKEN).fullmatch
_value = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch


class ReplayError(ValueError):
    """It cannot be sent again; the text says why, and may be shown."""


class Malformed(ReplayError):
    """What was asked for is no request, whenever it is sent."""


@dataclass(frozen=True, slots=True)
class Edits:
    """What is to be different; None: as it was. Bytes, as they shall be sent: `headers` are all of the new request's,
    `path` is the target with its query. A length or transfer coding among the headers is made anew."""

    method: bytes | None = None
    path: bytes | None = None
    headers: tuple[tuple[bytes, bytes], ...] | None = None
    body: bytes | None = None


def request_again(record: Record, edits: Edits) -> tuple[list[tuple[bytes, bytes]], bytes, bytes, bytes]:
    """The fields (without those that frame), method, target and body to send. Raises ReplayError."""
    method, target = _line_of(record)
    method = method if edits.method is None else edits.method
    target = target if edits.path is None else edits.path
    if not _method(method) or method == b"CONNECT":
        raise Malformed("the method is not one that can be sent")
    if not _target(target) and not (target == b"*" and method == b"OPTIONS"):
        raise Malformed("the path must begin with / and have no spaces, # or control characters")
    fields = record.request.fields if edits.headers is None else list(edits.headers)
    for name, value in fields:
        if not _name(name) or not _value(value):
            raise Malformed(f"the header {name[:60].decode('latin-1')!r} is malformed, and so cannot be sent")
    if sum(name.lower() == b"host" for name, _ in fields) > 1:
        raise Malformed("the headers name two hosts: leave one of them")
    kept = [(name, value) for name, value in fields if name.lower() not in _FRAMING]
    if len(kept) > MAX_FIELDS - 8 or sum(len(name) + len(value) + 4 for name, value in kept) > MAX_HEAD_BYTES - 8192:
        raise Malformed("the headers are too many or too long")
    return kept, method, target, _body_of(record, edits)


def _line_of(record: Record) -> tuple[bytes, bytes]:
    if not record.request.head:
        raise ReplayError("the request was not understood, and so cannot be sent again")
    if record.request.field(b"upgrade") is not None:
        raise ReplayError("a connection that was upgraded (WebSocket) cannot be sent again")
    method, target, _ = record.request.line.split(b" ", 2)
    return method, target


def _body_of(record: Record, edits: Edits) -> bytes:
    if edits.body is not None:
        return edits.body
    if record.request.truncated or not record.request.complete:
        raise ReplayError("the request's body was not kept whole: give one, or leave it empty")
    return bytes(record.request.body)


def head_bytes(method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """The head of a request with that body."""
    lines = [b"%b %b HTTP/1.1" % (method, target), *(b"%b: %b" % field for field in fields)]
    if body or method in (b"POST", b"PUT", b"PATCH"):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""])
