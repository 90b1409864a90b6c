"""Errors of the API as problem details (RFC 9457). What an exception says never gets into one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from flask import Response

MIMETYPE = "application/problem+json"


class Problem(Exception):
    """The answer to a request that cannot be served; `detail` is one sentence for who asked."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer itself."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(json.dumps(body) + "\n", status, dict(headers or {}), content_type=MIMETYPE)
