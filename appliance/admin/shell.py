"""The page's files, as they lie in web/admin: the shell that a browser loads first, and what that asks for."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from flask import Response, request

from appliance.admin.answers import compressed, line
from appliance.config.build import web_directory

# The page loads nothing from elsewhere, runs nothing that is written into it, and stands in no frame.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# Python's own table is extended by files of the machine, which may say anything.
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
_path = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*").fullmatch


def page(log_in: bool = False) -> Response:
    """What a browser gets at the address itself. `log_in`: nobody has, so it shows the form without asking the API,
    whose refusal browsers would show as an error."""
    found = _file("index.html")
    if found is None:
        return line("404 Not Found: this copy of the program has no page; see /status and /metrics", 404)
    content = found.read_bytes()
    if log_in:
        content = content.replace(b"<html ", b"<html data-log-in ", 1)
    answer = Response(content, content_type=TYPES[".html"])
    answer.headers["Content-Security-Policy"] = CONTENT_POLICY
    answer.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return compressed(answer)


def asset(path: str) -> Response:
    """A file, which a browser may keep and asks about by its digest."""
    found = _file(path)
    if found is None:
        return line("404 Not Found", 404)
    content_type = TYPES.get(found.suffix, "application/octet-stream")
    content = found.read_bytes()
    answer = Response(content, content_type=content_type)
    answer.headers["Cache-Control"] = "public, no-cache"
    answer.headers["Content-Security-Policy"] = CONTENT_POLICY  # of an SVG that is opened by itself
    answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    answer.set_etag(hashlib.sha256(content).hexdigest()[:32], weak=True)  # weak: it may be compressed
    answer.make_conditional(request)
    if answer.status_code == 200 and content_type.startswith(("text/", "image/svg", "application/json")):
        return compressed(answer)
    return answer


def _file(path: str) -> Path | None:
    """The file below web/admin, if there is one and the path leads nowhere else."""
    if not _path(path):
        return None
    found = _directory() / path
    try:
        inside = found.resolve().is_relative_to(_directory())
        return found if inside and found.is_file() else None
    except OSError:
        return None


@cache
def _directory() -> Path:
    return (web_directory() / "admin").resolve()
