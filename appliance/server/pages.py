"""What the edge itself answers: a page a person understands for browsers, one line for others. No inner addresses."""

from __future__ import annotations

import html
import string
from functools import cache

from appliance.config.build import web_directory
from appliance.transport.clock import date_now
from appliance.wire.http1 import RequestHead, field_value

TITLES = {
    400: "Bad request",
    403: "Not allowed",
    404: "Nothing here under this name",
    405: "Method not allowed",
    417: "Expectation failed",
    431: "Request headers too large",
    501: "Not implemented",
    502: "The service did not answer properly",
    503: "The service is not connected",
    504: "The service took too long",
    505: "HTTP version not supported",
}
REASONS = {
    400: b"Bad Request",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    417: b"Expectation Failed",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}
RETRY_SECONDS = 5
WRITE_SECONDS = 60.0  # a visitor that does not take an answer of ours in this time is given up


@cache
def _template() -> string.Template:
    return string.Template((web_directory() / "error.html").read_text(encoding="utf-8"))


def page(
    status: int,
    text: str,
    request: RequestHead | None,
    keep_alive: bool,
    request_id: bytes = b"",
    stamp: bytes = b"",
) -> bytes:
    """A whole answer. `text`: one sentence for the visitor; `request`: None when it was not understood; `stamp`: a
    field line."""
    browser = request is not None and b"text/html" in (field_value(request.lines, b"accept") or b"").lower()
    if browser:
        body = (
            _template()
            .safe_substitute(
                status=status,
                title=html.escape(TITLES.get(status, "Error")),
                text=html.escape(text),
                request_id=html.escape(request_id.decode("ascii", "replace")),
            )
            .encode()
        )
    else:
        body = f"{status} {text}\n".encode()
    lines = [
        b"HTTP/1.1 %d %b" % (status, REASONS.get(status, b"Error")),
        b"Date: " + date_now(),
        b"Content-Type: text/%b; charset=utf-8" % (b"html" if browser else b"plain"),
        b"Content-Length: %d" % len(body),
        b"Cache-Control: no-store",
        b"X-Content-Type-Options: nosniff",
    ]
    if status == 503:
        lines.append(b"Retry-After: %d" % RETRY_SECONDS)
    if status == 405:
        lines.append(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
    if request_id:
        lines.append(b"X-Request-Id: " + request_id)
    if stamp:
        lines.append(stamp)
    if not keep_alive:
        lines.append(b"Connection: close")
    elif request is not None and request.minor == 0:
        lines.append(b"Connection: keep-alive")
    if request is not None and request.method == b"HEAD":
        body = b""
    return b"\r\n".join([*lines, b"", body])
