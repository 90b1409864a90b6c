"""The part of /api/v1 that makes and removes tokens of clients."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask import Blueprint, Response

from appliance.admin import arguments, views
from appliance.admin.answers import json_answer
from appliance.admin.context import state
from appliance.admin.problems import Problem
from appliance.server.client_tokens import NAMED, TokensError, is_name
from appliance.server.limits import MOST_LETTERS, MOST_NAMES, MOST_PORTS, Limits
from appliance.wire.address import AddressError

blueprint = Blueprint("tokens", __name__)


@blueprint.before_request
def known_parameters() -> None:
    arguments.only(())


@blueprint.get("/tokens")
def tokens() -> Response:
    """What a token is itself, nobody can be told any more."""
    server = state()
    kept = server.tokens.listing()
    used = Counter(session.token for session in server.sessions())
    return json_answer(
        {"tokens": [views.token(token, used[token.name]) for token in kept], "problem": server.tokens.problem or None}
    )


@blueprint.post("/tokens")
def add() -> Response:
    wanted = arguments.body(("name", "names", "ports", "forward"))
    name = arguments.string(wanted, "name")
    if not is_name(name):
        raise Problem(400, f"name: {NAMED}")
    names, ports = _texts(wanted, "names", MOST_NAMES), _texts(wanted, "ports", MOST_PORTS)
    forward = wanted.get("forward", False)
    if not isinstance(forward, bool):
        raise Problem(400, "forward: true or false")
    try:
        limits = Limits.parse(names, ports, forward)
    except AddressError as error:
        raise Problem(400, str(error)) from None  # written to be shown
    try:
        text, token = state().tokens.add(name, limits)
    except TokensError as error:
        raise Problem(409, str(error)) from None  # this, too
    return json_answer({"token": text, **views.token(token, 0)}, 201)


@blueprint.delete("/tokens/<name>")
def remove(name: str) -> Response:
    """The sessions of its clients end at once, with all that they carry."""
    try:
        known = state().tokens.remove(name)
    except TokensError as error:
        raise Problem(409, str(error)) from None
    if not known:
        raise Problem(404, "there is no token of this name")
    return Response(status=204)


def _texts(wanted: dict[str, Any], name: str, most: int) -> list[str]:
    found = wanted.get(name, [])
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise Problem(400, f"{name}: a list of texts is needed")
    if len(found) > most or any(len(text) > MOST_LETTERS for text in found):
        raise Problem(400, f"{name}: {most} at most, of {MOST_LETTERS} letters each")
    return found
