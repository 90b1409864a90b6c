"""Bodies as people see them."""

import base64
import gzip
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.admin.inspection.bodies import PRETTY_LETTERS, pretty, view
from appliance.admin.inspection.content import LIMIT
from tests.admin.records import part


def shown(content_type: str, body: bytes, coding: str = "", reveal: bool = False, size: int | None = None) -> Any:
    headers = [("Content-Type", content_type)] if content_type else []
    return view(part("POST / HTTP/1.1", headers + [("Content-Encoding", coding)] * bool(coding), body, size), reveal)


@pytest.mark.parametrize(
    ("content_type", "body", "kind"),
    [
        ("", b"", "none"),
        ("application/json", b"{}", "json"),
        ("application/problem+json; charset=utf-8", b"{}", "json"),
        ("application/x-www-form-urlencoded", b"a=b", "form"),
        ("multipart/form-data; boundary=x", b"--x--", "multipart"),
        ("text/html; charset=iso-8859-1", b"<p>", "html"),
        ("text/css", b"a", "text"),
        ("application/xml", b"a", "text"),
        ("application/javascript", b"a", "text"),
        ("image/svg+xml", b"<svg>", "image"),
        ("image/png", b"\x89PNG", "image"),
        ("application/octet-stream", b"a", "binary"),
        ("", b"just text", "text"),
        ("", b"\x00\x01", "binary"),
        ("application/pdf", b"%PDF", "binary"),
    ],
)
def test_kinds(content_type: str, body: bytes, kind: str) -> None:
    found = shown(content_type, body)
    assert found["kind"] == kind and found["size"] == found["captured"] == len(body)
    assert (found["base64"] is not None) == (kind in ("image", "binary"))
    if found["base64"] is not None:
        assert base64.b64decode(found["base64"]) == body
        assert found["text"] == ("<svg>" if "svg" in content_type else None)


def test_decoded_and_pretty_and_masked() -> None:
    text = b'{"a":[1,2.50,{}],"password":"hunter2"}'
    found = shown("application/json", gzip.compress(text), "gzip")
    assert found["text"] == ('{\n  "a": [\n    1,\n    2.50,\n    {}\n  ],\n  "password": "•••• (7 characters)"\n}')
    assert "hunter2" in shown("application/json", gzip.compress(text), "gzip", reveal=True)["text"]


def test_forms() -> None:
    found = shown("application/x-www-form-urlencoded", b"name=J%C3%B6rg+M&password=x&name=2")
    assert found["fields"] == [["name", "Jörg M"], ["password", "•••• (1 characters)"], ["name", "2"]]
    assert shown("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 2000))["fields"] is None, "too many"


def test_multipart() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\nabc\r\n'
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="<b>.png"\r\n'
        b"Content-Type: image/png\r\n\r\n123\r\n--x--\r\n"
    )
    found = shown('multipart/form-data; boundary="x"', body)
    assert found["fields"] == [["token", "•••• (3 characters)"], ["f", "file <b>.png, image/png, 3 bytes"]]
    assert found["text"] is None, "that would show the token"


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("utf-8", "é".encode(), "é"),
        ("iso-8859-1", b"\xe9", "é"),
        ("windows-1252", b"\x80", "€"),
        ("shift_jis", "日本".encode("shift_jis"), "日本"),
        ("punycode", "é".encode(), "é"),  # quadratic: never tried
        ("no-such-thing", b"a", "a"),
        ("utf-8", b"a\xff\xfeb", "a\\xff\\xfeb"),
        ("iso-8859-99", b"a", "a"),
    ],
)
def test_charsets(charset: str, body: bytes, text: str) -> None:
    assert shown(f"text/plain; charset={charset}", body)["text"] == text


def test_a_letter_that_was_cut_in_half() -> None:
    found = shown("text/plain; charset=utf-8", "aé".encode()[:-1], size=100)
    assert found["text"] == "a\ufffd" and found["truncated"]


def test_what_cannot_be_decoded_is_shown_as_it_is() -> None:
    found = shown("image/png", b"abc", "compress")
    assert found["kind"] == "binary" and "not known" in found["note"] and not found["masked"]
    assert base64.b64decode(found["base64"]) == b"abc"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
def test_what_cannot_be_decoded_may_hold_secrets(content_type: str) -> None:
    found = shown(content_type, b"abc", "compress")
    assert found["masked"] and base64.b64decode(found["base64"]).decode() == "•••• (3 bytes)"
    assert base64.b64decode(shown(content_type, b"abc", "compress", reveal=True)["base64"]) == b"abc"


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-ndjson", "text/event-stream"])
def test_json_by_another_name_is_masked(content_type: str) -> None:
    found = shown(content_type, b'{"a": 1}\n{"password": "hush"}\n')
    assert "hush" not in found["text"] and found["masked"] and found["text"].count("\n") == 2
    assert "hush" in shown(content_type, b'{"a": 1}\n{"password": "hush"}\n', reveal=True)["text"]


@pytest.mark.parametrize(
    "charset", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
)
def test_json_that_does_not_name_its_charset(charset: str) -> None:
    found = shown("application/json", '{"password":"hush"}'.encode(charset))
    assert found["text"] == '{\n  "password": "•••• (4 characters)"\n}' and found["masked"]


def test_a_multipart_that_is_in_no_parts_is_not_shown() -> None:
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=y"):
        body = b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\nhush'
        assert shown(content_type, body)["text"] is None and shown(content_type, body)["masked"]
        assert "hush" in shown(content_type, body, reveal=True)["text"]


def test_a_bomb_is_cut() -> None:
    found = shown("text/plain", gzip.compress(bytes(30_000_000).replace(b"\0", b"a")), "gzip")
    assert len(found["text"]) == LIMIT and found["truncated"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 1]))
def test_pretty_changes_nothing_but_blanks(value: Any, indent: int | None) -> None:
    assert json.loads(pretty(json.dumps(value, indent=indent))) == value


@given(JSON)
def test_pretty_is_what_python_makes(value: Any) -> None:
    text = json.dumps(value, indent=2)
    assert pretty(json.dumps(value)) == text


@pytest.mark.parametrize("text", ["[" * 500_000, "[[]," * 200_000, '"' * 500_000, "}" * 500_000, "1 " * 300_000])
def test_pretty_is_bounded(text: str) -> None:
    began = time.process_time()
    assert len(pretty(text)) <= PRETTY_LETTERS + 200
    assert time.process_time() - began < 5
