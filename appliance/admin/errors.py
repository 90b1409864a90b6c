"""What becomes of errors: problem details for programs, a line for others, and the log for us."""

from __future__ import annotations

import logging

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from appliance.admin.answers import line
from appliance.admin.gate import for_programs
from appliance.admin.problems import Problem, problem

_DETAILS = {
    400: "the request is not understood",
    404: "there is nothing at this address",
    405: "this address does not take that method: see Allow",
    413: "that is more than may be sent here",
}

log = logging.getLogger("sluice.admin")


def register(app: Flask) -> None:
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _internal_error)


def _problem(error: Problem) -> Response:
    return problem(error.status, error.detail, error.headers)


def _http_error(error: HTTPException) -> Response:
    """Werkzeug's status and headers (such as Allow), and our words instead of its page."""
    status = error.code or 500
    if for_programs():
        answer = problem(status, _DETAILS.get(status, error.name))
    else:
        answer = line(f"{status} {error.name}", status)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            answer.headers[name] = value
    return answer


def _internal_error(error: Exception) -> Response:
    log.error("%s %s failed; please report this", request.method, request.path, exc_info=error)
    text = "500 Internal Server Error: the server's log says more"
    return problem(500, text.partition(": ")[2]) if for_programs() else line(text, 500)
