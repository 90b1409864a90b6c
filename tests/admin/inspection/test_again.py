"""What an editor sends back: checked, with secrets put in again, and nothing lost that was not touched."""

import base64
import gzip
from typing import Any

import pytest

from appliance.admin.inspection.again import edits
from appliance.admin.inspection.detail import detail
from appliance.admin.problems import Problem
from appliance.tunnel.inspector.record import Record
from appliance.tunnel.inspector.store import Inspector
from tests.admin.records import record

FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")


def posted(headers: list[tuple[str, str]], body: bytes, path: str = "/?token=abc&x=1") -> Record:
    return record(Inspector(), "POST", path, [*headers, ("Authorization", "Bearer é"), ("Cookie", "a=b")], body)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([FORM], b"user=a&password=hush&token=t%20"),
        ([JSON], b'{"password":  "hush","n":1.0,"k":[1,2]}'),
        ([("Content-Type", "text/plain")], "é\r\n".encode()),
        ([("Content-Type", "text/plain")], b'{"password":"hush"}\n{"password":"hus2"}'),
        ([JSON], '{"password":"hush"}'.encode("utf-8-sig")),
        ([], b""),
    ],
)
def test_what_is_sent_back_as_it_was_shown_is_what_it_was(headers: list[tuple[str, str]], body: bytes) -> None:
    original = posted(headers, body)
    shown = detail(original, reveal=False)["request"]
    path = shown["line"].partition(" ")[2].rpartition(" ")[0]
    text = shown["body"]["text"] or ""
    found = edits(original, {"method": "POST", "path": path, "headers": shown["headers"], "body": {"text": text}})
    assert found.path == original.path.encode() and found.method == b"POST"
    assert found.headers == tuple(original.request.fields)
    assert found.body == body


def test_changes_are_kept_beside_secrets() -> None:
    original = posted([JSON], b'{"password":"hush","n":1}')
    shown = detail(original, reveal=False)["request"]["body"]["text"]
    found = edits(original, {"body": {"text": shown.replace("1", "2")}, "path": "/new?token=•••• (3 characters)"})
    assert found.body is not None and b'"hush"' in found.body and b"2" in found.body
    assert found.path == b"/new?token=abc"


def test_letters_that_the_charset_does_not_have() -> None:
    original = posted([("Content-Type", "text/plain; charset=iso-8859-1")], b"caf\xe9")
    assert edits(original, {"body": {"text": "th\u00e9"}}).body == b"th\xe9"
    with pytest.raises(Problem, match="'\u20ac' is not in iso8859-1"):
        edits(original, {"body": {"text": "5 \u20ac"}})


def test_a_body_that_was_shown_decoded_is_sent_so() -> None:
    original = posted([JSON, ("Content-Encoding", "gzip")], gzip.compress(b'{"a":1}'))
    shown = detail(original, reveal=False)["request"]
    found = edits(original, {"body": {"text": shown["body"]["text"]}})
    assert found.body == b'{"a":1}'
    assert found.headers is not None and not any(name.lower() == b"content-encoding" for name, _ in found.headers)
    untouched = edits(original, {"method": "PUT"})
    assert untouched.body is None and untouched.headers is None


def test_bytes() -> None:
    found = edits(posted([], b"x"), {"body": {"base64": base64.b64encode(b"\xff\x00").decode()}})
    assert found.body == b"\xff\x00"


@pytest.mark.parametrize(
    "data",
    [
        {"method": 1},
        {"path": []},
        {"headers": {}},
        {"headers": [["a"]]},
        {"headers": [["a", 1]]},
        {"headers": [["a", "b"]] * 201},
        {"headers": [["a", "x" * 20_000]]},
        {"headers": [["a", "日"]]},
        {"headers": [["Other", "•••• (3 characters)"]]},
        {"path": "/?token=•••• (99 characters)"},
        {"body": "x"},
        {"body": {}},
        {"body": {"text": "a", "base64": ""}},
        {"body": {"text": 1}},
        {"body": {"base64": "!"}},
    ],
)
def test_what_cannot_be(data: Any) -> None:
    with pytest.raises(Problem) as caught:
        edits(posted([], b"x"), data)
    assert caught.value.status == 400
