"""The part of /api/v1 that a server's page and a client's have in common: who is there, the inspector, log, events."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from flask import Blueprint, Response, g, request

from appliance.admin import arguments
from appliance.admin.answers import json_answer
from appliance.admin.broadcast import Full
from appliance.admin.context import context
from appliance.admin.log_ring import LEVELS, MOST_LINES
from appliance.admin.logins import Login
from appliance.admin.problems import Problem
from appliance.tunnel.inspector.record import Record
from appliance.tunnel.inspector.store import MAX_SECONDS, Inspector

# What decodes and exports records is imported where it is needed: most servers inspect nothing for most of their lives.

MOST_REQUESTS = 500
DEFAULT_INSPECT_SECONDS = 900.0
SERVER_EVENTS = frozenset({"sample", "client", "request"})
CLIENT_EVENTS = frozenset({"request"})

_name = re.compile(r"\*|(?:\*\.)?[A-Za-z0-9_.:-]{1,253}").fullmatch

# Of the query, by what is asked for; the others have none.
PARAMETERS = {
    "requests": ("name", "path", "method", "status", "minSeconds", "client", "before", "limit"),
    "request_detail": ("reveal",),
    "raw_body": ("reveal",),
    "as_curl": ("reveal",),
    "as_archive": ("id", "reveal"),
    "log_lines": ("level", "contains", "after", "limit"),
    "events": ("log",),
}

blueprint = Blueprint("shared", __name__)


@blueprint.before_request
def known_parameters() -> None:
    arguments.only(PARAMETERS.get((request.endpoint or "").rpartition(".")[2], ()))


def session_view(login: Login | None) -> dict[str, object]:
    page = context()
    return {
        "csrfToken": login.csrf_token if login is not None else page.csrf_token,
        "role": page.role,
        **page.about,
        "inspect": page.inspector is not None,
    }


@blueprint.get("/session")
def session() -> Response:
    return json_answer(session_view(g.get("login")))


# ---- the inspector


def _inspector() -> Inspector:
    inspector = context().inspector
    if inspector is None:
        raise Problem(404, "there is no inspector here: it is for HTTP alone")
    return inspector


def _record(number: int) -> Record:
    record = _inspector().get(number)
    if record is None:
        raise Problem(404, f"request {number} is not there, or not any more")
    return record


def _inspected_name(name: str) -> str:
    if not _name(name):
        raise Problem(400, "a name like app.example.com or *.example.com is needed, or * for all")
    return name.lower()


@blueprint.get("/inspect")
def inspected() -> Response:
    inspector = _inspector()
    return json_answer(
        {
            "names": [
                {"name": name, "until": until.isoformat(timespec="seconds") if until is not None else None}
                for name, until in inspector.names().items()
            ],
            "records": inspector.count,
            "bytes": inspector.held_bytes,
            "maxRecords": inspector.max_records,
            "maxBytes": inspector.max_bytes,
            "maxBodyBytes": inspector.max_body_bytes,
            "dropped": inspector.dropped,
        }
    )


@blueprint.put("/inspect/<name>")
def switch_on(name: str) -> Response:
    """For a while, of a day at the most."""
    wanted = arguments.body(("seconds",))
    seconds = arguments.number(wanted, "seconds", 1, MAX_SECONDS, DEFAULT_INSPECT_SECONDS)
    name = _inspected_name(name)
    try:
        until = _inspector().switch(name, seconds)
    except ValueError:
        raise Problem(409, "too many names are inspected already") from None
    return json_answer({"name": name, "on": True, "until": until.isoformat(timespec="seconds") if until else None})


@blueprint.delete("/inspect/<name>")
def switch_off(name: str) -> Response:
    _inspector().switch_off(_inspected_name(name))
    return Response(status=204)


@blueprint.get("/requests")
def requests() -> Response:
    from appliance.admin.inspection.detail import summary

    inspector = _inspector()
    status = arguments.text("status", 3)
    if not re.fullmatch(r"(?:[1-9][0-9]{2}|[1-9][xX]{2})?", status):
        raise Problem(400, "status: three digits, or a class like 4xx")
    found = inspector.records(
        name=arguments.text("name"),
        path=arguments.text("path"),
        method=arguments.text("method", 40),
        status=status,
        min_seconds=arguments.seconds("minSeconds"),
        client=arguments.text("client", 40),
        before=arguments.whole("before", 0, arguments.BIGGEST, 0),
        limit=arguments.whole("limit", 1, MOST_REQUESTS, 100),
    )
    return json_answer({"requests": [summary(record) for record in found], "dropped": inspector.dropped})


@blueprint.delete("/requests")
def clear() -> Response:
    _inspector().clear()
    return Response(status=204)


@blueprint.get("/requests/<int:number>")
def request_detail(number: int) -> Response:
    from appliance.admin.inspection.detail import detail

    return json_answer(detail(_record(number), arguments.switch("reveal")))


@blueprint.get("/requests/<int:number>/body/<any(request,response):side>")
def raw_body(number: int, side: str) -> Response:
    """What was kept of it, for saving, without secrets unless they are revealed: a browser must not open it, whatever
    it is."""
    from appliance.admin.inspection.copies import copy_of

    record = _record(number)
    part = record.request if side == "request" else record.response
    data = copy_of(part, arguments.switch("reveal")).data if part is not None else b""
    answer = Response(data, content_type="application/octet-stream")
    answer.headers["Content-Disposition"] = f'attachment; filename="{side}-{number}.bin"'
    return answer


@blueprint.get("/requests/<int:number>/curl")
def as_curl(number: int) -> Response:
    from appliance.admin.inspection.curl import curl

    return Response(curl(_record(number), arguments.switch("reveal")), mimetype="text/plain")


@blueprint.post("/requests/<int:number>/replay")
def replay(number: int) -> Response:
    """Sends it again, changed or as it was. The answer becomes a record of its own."""
    from appliance.admin.inspection.again import MOST_BYTES, edits
    from appliance.tunnel.inspector.edits import Malformed, ReplayError

    record = _record(number)
    wanted = edits(record, arguments.body(("method", "path", "headers", "body"), MOST_BYTES))
    try:
        return json_answer({"id": _inspector().replay(number, wanted)}, 201)
    except KeyError:
        raise Problem(404, f"request {number} is not there any more") from None
    except ReplayError as error:
        raise Problem(400 if isinstance(error, Malformed) else 409, str(error)) from None  # written to be shown


@blueprint.get("/requests.har")
def as_archive() -> Response:
    from appliance.admin.inspection.har import archive

    wanted = arguments.text("id", 8000)
    if not re.fullmatch(r"(?:[0-9]{1,15}(?:,[0-9]{1,15})*)?", wanted):
        raise Problem(400, "id: numbers of requests with commas between")
    numbers = [int(text) for text in wanted.split(",")] if wanted else []
    if len(numbers) > MOST_REQUESTS:
        raise Problem(400, f"id: {MOST_REQUESTS} requests at most")
    inspector, reveal, page = _inspector(), arguments.switch("reveal"), context()
    found = [_record(number) for number in numbers] if numbers else inspector.records(limit=MOST_REQUESTS)[::-1]
    answer = Response(archive(found, page.about["version"], reveal), content_type="application/json")
    answer.headers["Content-Disposition"] = 'attachment; filename="sluice.har"'
    return answer


# ---- log and events


@blueprint.get("/log")
def log_lines() -> Response:
    found = context().lines.lines(
        level=arguments.choice("level", tuple(LEVELS), "debug"),
        contains=arguments.text("contains"),
        after=arguments.whole("after", 0, arguments.BIGGEST, 0),
        limit=arguments.whole("limit", 1, MOST_LINES, 500),
    )
    return json_answer({"lines": [line.view() for line in found]})


@blueprint.get("/events")
def events() -> Response:
    """Server-sent events, until one side leaves."""
    page = context()
    kinds = SERVER_EVENTS if page.role == "server" else CLIENT_EVENTS
    if arguments.switch("log"):
        kinds |= {"log"}
    login: Login | None = g.get("login")
    lasts: Callable[[], bool] = (lambda: page.logins.lasts(login)) if login is not None else (lambda: True)
    broadcast = page.broadcast
    try:
        listener = broadcast.listen(kinds, lasts)
    except Full:
        raise Problem(503, "too many pages are open: close one", {"Retry-After": "30"}) from None
    body: Iterator[bytes] = broadcast.stream(listener)
    answer = Response(body, content_type="text/event-stream")
    answer.headers["X-Accel-Buffering"] = "no"  # of nginx, were it in front
    answer.call_on_close(lambda: broadcast.leave(listener))  # also where nothing was ever read of it
    return answer
