"""The ground that all pages stand on: JSON, lines of text, security headers, compression."""

from __future__ import annotations

import gzip
import json
from typing import Any

from flask import Flask, Response, request

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
MOST_BODY_BYTES = 64 * 1024  # that are read of a request, unless an address says otherwise
WORTH_COMPRESSING = 2048  # bytes


def json_answer(data: Any, status: int = 200) -> Response:
    """Everything that is not ASCII is escaped: what strangers sent stays letters of a string."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return compressed(Response(text + "\n", status, content_type="application/json"))


def line(text: str, code: int = 200) -> Response:
    return Response(text + "\n", code, mimetype="text/plain")


def compressed(answer: Response) -> Response:
    """The same, compressed where that is wanted and pays."""
    body = answer.get_data()
    answer.headers["Vary"] = "Accept-Encoding"
    if len(body) >= WORTH_COMPRESSING and "gzip" in request.accept_encodings:
        answer.set_data(gzip.compress(body, compresslevel=1))
        answer.headers["Content-Encoding"] = "gzip"
    return answer


def secured(answer: Response) -> Response:
    """With the headers that every answer has: nothing is meant for a frame, a cache or a guess at its type, unless it
    says so itself."""
    for name, value in SECURITY_HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


def bare_app(name: str) -> Flask:
    """An application without routes, as strict as all of ours."""
    app = Flask(name, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    # A path is right or wrong: no redirects, which clients with tokens might follow.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    app.url_map.redirect_defaults = False
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = MOST_BODY_BYTES
    return app
