"""What a request asks for, checked: a Problem says which parameter is wrong, and what it may be."""

from __future__ import annotations

import re
from typing import Any

from flask import request
from werkzeug.exceptions import HTTPException

from appliance.admin.problems import Problem

MOST_LETTERS = 500
BIGGEST = 2**53  # what every reader of JSON can count to


def only(known: tuple[str, ...]) -> None:
    """Refuse a query with other parameters: a filter whose name is misspelt must not look like one that finds all."""
    if any(name not in known for name in request.args):
        may = f"may have {', '.join(known)} and nothing else" if known else "must be empty"
        raise Problem(400, f"the query {may}")


def text(name: str, most: int = MOST_LETTERS) -> str:
    """A parameter of the query; "" where it is missing."""
    value = request.args.get(name, "")
    if len(value) > most:
        raise Problem(400, f"{name}: {most} letters at most")
    return value


def choice(name: str, choices: tuple[str, ...], default: str) -> str:
    value = text(name) or default
    if value not in choices:
        raise Problem(400, f"{name}: one of {', '.join(choices)}")
    return value


def whole(name: str, least: int, most: int, default: int) -> int:
    if name not in request.args:
        return default
    value = text(name)
    if not re.fullmatch(r"-?[0-9]{1,17}", value) or not least <= int(value) <= most:
        raise Problem(400, f"{name}: a whole number from {least} to {most}")
    return int(value)


def seconds(name: str) -> float:
    """A time that is not negative; 0 where it is missing."""
    value = request.args.get(name, "0")
    if not re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{0,20})?", value):
        raise Problem(400, f"{name}: seconds, like 0.5")
    return float(value)


def switch(name: str) -> bool:
    return choice(name, ("0", "1", "false", "true"), "0") in ("1", "true")


def body(known: tuple[str, ...], most_bytes: int | None = None) -> dict[str, Any]:
    """The JSON object that was sent, with no field that is not `known`."""
    if most_bytes is not None:
        request.max_content_length = most_bytes
    if not request.is_json:
        raise Problem(415, "send JSON, with Content-Type: application/json")
    try:
        found = request.get_json()
    except HTTPException as error:
        if error.code == 413:
            raise Problem(413, f"{request.max_content_length} bytes at most") from None
        raise Problem(400, "the body is not JSON") from None
    except RecursionError:
        raise Problem(400, "the body is nested too deeply") from None
    if not isinstance(found, dict):
        raise Problem(400, "the body must be a JSON object")
    unknown = [name for name in found if name not in known]
    if unknown:
        raise Problem(400, f"the body may have {', '.join(known)} and nothing else")
    return found


def string(data: dict[str, Any], name: str, default: str | None = None, most: int = MOST_LETTERS) -> str:
    """A string of an object that was sent."""
    value = data.get(name, default)
    if not isinstance(value, str):
        raise Problem(400, f"{name}: text is needed")
    if len(value) > most:
        raise Problem(400, f"{name}: {most} letters at most")
    return value


def number(data: dict[str, Any], name: str, least: float, most: float, default: float | None = None) -> float:
    value = data.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise Problem(400, f"{name}: a number from {least:g} to {most:g}")
    return value
