"""Secrets: which, what stands for them, and that an editor's text becomes what it was."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.admin.inspection import masking


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "access_token",
        "X-Auth-Token",
        "password",
        "PASSWD",
        "userPassword",
        "client_secret",
        "api_key",
        "apiKey",
        "API-KEY",
        "key",
        "sessionKey",
        "csrfToken",
        "pwd",
        "jwt",
        "accessKeyId",
    ],
)
def test_secret_names(name: str) -> None:
    assert masking.is_secret(name)


@pytest.mark.parametrize(
    "name", ["user", "keyboard", "monkey", "page", "q", "passenger", "author", "compass", "tok", "id", "Sec", "keynote"]
)
def test_names_that_are_not(name: str) -> None:
    assert not masking.is_secret(name)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Bearer abc", "•••• (10 characters)"),
        ("cookie", "a=b", "•••• (3 characters)"),
        ("Set-Cookie", "a=b; HttpOnly", "•••• (13 characters)"),
        ("X-API-Key", "12", "•••• (2 characters)"),
        ("X-Csrf-Token", "12", "•••• (2 characters)"),
        ("Sec-WebSocket-Key", "dGhl", "dGhl"),
        ("Referer", "https://a/b?x=1&token=abc", "https://a/b?x=1&token=•••• (3 characters)"),
        ("Location", "/cb?code=1", "/cb?code=1"),
        ("Content-Type", "token/secret", "token/secret"),
    ],
)
def test_headers(name: str, value: str, shown: str) -> None:
    assert masking.header(name, value) == shown


def test_queries_and_forms() -> None:
    assert masking.target("/a?x=1&pass%77ord=a%20b&key=&token") == "/a?x=1&pass%77ord=•••• (5 characters)&key=&token"
    assert masking.target("/token=abc") == "/token=abc"
    assert masking.parameters("a=1&a=2&secret=3") == "a=1&a=2&secret=•••• (1 characters)"


def test_json() -> None:
    given_text = '{"user": "a", "password" : "x\\"y", "key":12,"token":null,"secret":{"a":"b"},"list":["password","x"]}'
    shown = json.loads(masking.json_text(given_text))
    assert shown == {
        "user": "a",
        "password": "•••• (4 characters)",
        "key": "•••• (2 characters)",
        "token": None,
        "secret": {"a": "b"},
        "list": ["password", "x"],
    }


def test_names_of_fields_as_escapes() -> None:
    assert "hush" not in masking.json_text('{"p\\u0061ssword":"hush","Cookie":"hush"}')


def test_messages() -> None:
    assert masking.message(' {"token":"abc"}') == ' {"token":"•••• (3 characters)"}'
    assert masking.message('say "token": "abc"') == 'say "token": "abc"'


def test_json_that_was_cut_off_hides_what_is_left() -> None:
    assert "hunter" not in masking.json_text('{"a":1,"password":"hunter')
    assert "hunter" not in masking.json_text('{"a":1,"password":"hunter\\')


@given(st.text(alphabet='{}[]:,"\\ a1\n', max_size=200))
def test_no_letter_is_lost(text: str) -> None:
    assert "".join(masking.JSON_TOKENS.findall(text)) == text
    assert masking.json_text(text) == text


@pytest.mark.parametrize("piece", ['"', '\\"', '"\\', "{", '"a":', "\\", ' "', '"token":"'])
def test_hostile_json_takes_no_time(piece: str) -> None:
    began = time.process_time()
    masking.json_text(piece * (600_000 // len(piece)))
    masking.json_text('"' + piece * (300_000 // len(piece)))
    assert time.process_time() - began < 5


def test_placeholders_become_what_they_were() -> None:
    originals = [("Cookie", "a=b"), ("Cookie", "c=d"), ("Authorization", "xyz"), ("Referer", "https://h/?token=abc")]
    for name, value in originals:
        back = masking.header_again(name, masking.header(name, value), originals)
        assert len(back) == len(value) and (back == value or value == "c=d")
    assert masking.header_again("Authorization", "mine", originals) == "mine"
    assert masking.header_again("X-Other", "•••• (3 characters)", originals) == "•••• (3 characters)"
    original = "/a?x=1&token=abc&token=def"
    assert masking.target_again(masking.target(original), original) == original
    assert masking.target_again("/b?token=•••• (3 characters)&y=2", original) == "/b?token=abc&y=2"
    text = '{"password":"abc","n":{"token":"def"},"key":5}'
    assert masking.json_again(masking.json_text(text), text) == text
    edited = masking.json_text(text).replace('"n"', '"m"')
    assert json.loads(masking.json_again(edited, text)) == {"password": "abc", "m": {"token": "def"}, "key": 5}
