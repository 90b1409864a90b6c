"""Heads as the edge writes them, to the upstream and back to the visitor: anew from what was understood."""

from __future__ import annotations

import re

from appliance.wire.http1 import CDN_LOOP, CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead

# Of who is logged in on the control plane's page. Browsers send it to all ports of the host, and it is no upstream's.
OWN_COOKIE = b"sluice_session"


def has_passed(request: RequestHead, loop_id: bytes) -> bool:
    """Whether the request has come through this server before (RFC 8586)."""
    return any(name == CDN_LOOP and loop_id in value for name, value in request.forwarded)


def request_to_upstream(
    request: RequestHead,
    host: bytes,
    address: bytes,
    scheme: bytes,
    request_id: bytes,
    trusted: bool,
    loop_id: bytes,
) -> bytes:
    """The request's head for the upstream.

    `host`: the Host to send; `address`: the visitor's IP; `scheme`: `http` or `https`; `trusted`: the visitor
    is a proxy whose own X-Forwarded-* and X-Request-Id are believed and extended; `loop_id`: this server's in CDN-Loop.
    """
    parts = [b"%b %b HTTP/1.1\r\nHost: %b" % (request.method, request.target, host)]
    parts += request.lines
    if request.length is not None:
        if request.length == CHUNKED:
            parts.append(b"Transfer-Encoding: chunked")
        else:
            parts.append(b"Content-Length: %d" % request.length)
        if request.expects_continue:
            parts.append(b"Expect: 100-continue")
    if request.upgrade:
        parts.append(b"Connection: Upgrade\r\nUpgrade: " + request.upgrade)
    visible_host = request.host or b""
    if trusted and request.forwarded:
        parts += _believed(request.forwarded, visible_host, address, scheme, request_id)
    else:
        parts.append(
            b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\nX-Request-Id: %b"
            % (address, scheme, visible_host, request_id)
        )
    passed = [value for name, value in request.forwarded if name == CDN_LOOP] if request.forwarded else []
    parts.append(b"CDN-Loop: %b\r\n\r\n" % b", ".join([*passed, loop_id]))
    return b"\r\n".join(parts)


def _believed(
    fields: list[tuple[bytes, bytes]], host: bytes, address: bytes, scheme: bytes, request_id: bytes
) -> list[bytes]:
    """Forwarding fields from a trusted proxy: kept, ours added where it sent none, addresses in a chain."""
    chain = [value for name, value in fields if name == b"x-forwarded-for"]
    values = {name: value for name, value in fields if name not in (b"x-forwarded-for", CDN_LOOP)}
    values.setdefault(b"x-forwarded-proto", scheme)
    values.setdefault(b"x-forwarded-host", host)
    values.setdefault(b"x-request-id", request_id)
    values[b"x-forwarded-for"] = b", ".join([*chain, address])
    return [name.title() + b": " + value for name, value in values.items()]


def without_cookie(head: bytes, name: bytes) -> bytes:
    """The request's head without this cookie: browsers send one to all ports of the host that has set it."""
    return re.sub(
        rb"(?im)^Cookie:[ \t]*(.*)\r\n",
        lambda found: _cookies([pair for pair in found[1].split(b";") if not _names(pair, name)]),
        head,
    )


def _names(pair: bytes, name: bytes) -> bool:
    return pair.partition(b"=")[0].strip() == name


def _cookies(pairs: list[bytes]) -> bytes:
    return b"Cookie: %b\r\n" % b";".join(pairs).strip() if pairs else b""


def response_to_visitor(response: ResponseHead, minor: int, keep_alive: bool, stamp: bytes = b"") -> bytes:
    """The final response's head for a visitor who speaks HTTP/1.`minor`. `stamp`: a field line to add, unless the
    upstream has sent such a field itself."""
    parts = [b"HTTP/1.1 %d %b" % (response.status, response.reason)]
    parts += response.lines
    if stamp and not _has(response.lines, stamp):
        parts.append(stamp)
    if response.announced is not None and response.status >= 200 and response.status != 204:
        parts.append(b"Content-Length: " + response.announced)
    elif (response.length == CHUNKED or response.length == UNTIL_CLOSE) and minor == 1:
        parts.append(b"Transfer-Encoding: chunked")
    if not keep_alive:
        parts.append(b"Connection: close")
    elif minor == 0:
        parts.append(b"Connection: keep-alive")
    parts.append(b"\r\n")
    return b"\r\n".join(parts)


def _has(lines: list[bytes], stamp: bytes) -> bool:
    start = stamp[: stamp.index(b":") + 1].lower()
    return any(line[: len(start)].lower() == start for line in lines)


def interim_to_visitor(response: ResponseHead) -> bytes:
    """A 1xx head (100, 103) or 101 with its upgrade."""
    parts = [b"HTTP/1.1 %d %b" % (response.status, response.reason)]
    parts += response.lines
    if response.status == 101:
        parts.append(b"Connection: Upgrade\r\nUpgrade: " + response.upgrade)
    parts.append(b"\r\n")
    return b"\r\n".join(parts)
