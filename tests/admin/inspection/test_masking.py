"""Secrets: which, what stands for them, and that an editor's text becomes what it was."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.admin.inspection import masking

SECRET_HEADERS = (
    "X-Auth", "Auth", "X-Access-Key", "Private-Key", "api_key", "X-Credential", "X-Amz-Signature", "DPoP", "Cookie2",
    "Cf-Access-Jwt-Assertion", "X-Goog-Iap-Jwt-Assertion", "X-Session-Id",
)  # fmt: skip


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
        "auth",
        "Authorization",
        "session",
        "session_id",
        "sid",
        "bearer",
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
        ("Location", "/cb?code=1", "/cb?code=•••• (1 characters)"),
        ("Location", "/cb#access_token=abc&x=1", "/cb#access_token=•••• (3 characters)&x=1"),
        ("Referer", "http://u:abc@h/;sid=abc/x", "http://u:•••• (3 characters)@h/;sid=•••• (3 characters)/x"),
        ("Link", "</a?token=abc>; rel=next", "</a?token=•••• (14 characters)"),
        ("X-Original-URL", "/?token=abc", "/?token=•••• (3 characters)"),
        *((name, "abc", "•••• (3 characters)") for name in SECRET_HEADERS),
        *((name, "abc", "abc") for name in ("Idempotency-Key", "WWW-Authenticate", "Keep-Alive", "X-Session-Count")),
        ("Sec-WebSocket-Protocol", "a, base64url.bearer.authorization.k8s.io.abc", "•••• (44 characters)"),
        ("Sec-WebSocket-Protocol", "graphql-ws", "graphql-ws"),
        ("Content-Type", "token/secret", "token/secret"),
    ],
)
def test_headers(name: str, value: str, shown: str) -> None:
    assert masking.header(name, value) == shown


def test_queries_and_forms() -> None:
    assert masking.target("/a?x=1&pass%77ord=a%20b&key=&token") == "/a?x=1&pass%77ord=•••• (5 characters)&key=&token"
    assert masking.target("/token=abc") == "/token=abc"
    assert masking.parameters("a=1&a=2&secret=3") == "a=1&a=2&secret=•••• (1 characters)"


@pytest.mark.parametrize(
    "query",
    ["a=1;token=hush", "a=1?token=hush", "token=a;hush", "redirect_uri=http%3A%2F%2Fx%2F%3Ftoken%3Dhush", "code=hush",
     "a=http%3A%2F%2Fx%2F%3Fb%3Dhttp%253A%252F%252Fy%252F%253Fsid%253Dhush", "u=http%3A%2F%2Fx%2F%23id_token%3Dhush"],
)  # fmt: skip
def test_where_else_secrets_stand_in_queries(query: str) -> None:
    shown = masking.parameters(query)
    assert "hush" not in shown and shown.partition("=")[0] == query.partition("=")[0]
    assert masking.parameters_again(shown, query) == query
    assert masking.target_again(masking.target(f"/;token=hush/x?{query}"), f"/;token=hush/x?{query}").count("hush") == 2


@pytest.mark.parametrize("query", ["a=1;b=2", "q=a%20b?c=d", "u=http%3A%2F%2Fx%2F%3Fa%3D1", "a;b", "", "%25" * 5000])
def test_queries_without_secrets_stay(query: str) -> None:
    assert masking.parameters(query) == query


@pytest.mark.parametrize("piece", ["a=1;", "a=%25", "%3F%3D", "?=#", "x=%26;", ";a=1/"])
def test_hostile_addresses_take_no_time(piece: str) -> None:
    began = time.process_time()
    masking.target("/" + piece * (60_000 // len(piece)))
    masking.target("/?" + piece * (60_000 // len(piece)))
    assert time.process_time() - began < 5


def test_what_is_not_looked_at_is_hidden() -> None:
    query = "a=1" + ";b=2" * 499
    assert masking.parameters(query) == query
    hidden = masking.parameters(query + ";c=3;token=hush")
    assert hidden == query + ";•••• (14 characters)" and masking.parameters_again(hidden, query + ";c=3;token=hush")


def test_what_is_within_a_secret() -> None:
    text = '{"token": ["hush", 7, null], "secret": {"v" : "hush", "w": [{"hush2": "hush"}]}, "a": ["b", {"c": 1}]}'
    assert json.loads(masking.json_text(text)) == {
        "token": ["•••• (4 characters)", "•••• (1 characters)", None],
        "secret": {"v": "•••• (4 characters)", "w": [{"hush2": "•••• (4 characters)"}]},
        "a": ["b", {"c": 1}],
    }
    assert masking.json_again(masking.json_text(text), text) == text
    assert "hush" not in masking.json_text('{"token":[["hush"],"hush"')


def test_json() -> None:
    given_text = '{"user": "a", "password" : "x\\"y", "key":12,"token":null,"secret":{"a":"b"},"list":["password","x"]}'
    shown = json.loads(masking.json_text(given_text))
    assert shown == {
        "user": "a",
        "password": "•••• (4 characters)",
        "key": "•••• (2 characters)",
        "token": None,
        "secret": {"a": "•••• (1 characters)"},
        "list": ["password", "x"],
    }


def test_names_of_fields_as_escapes() -> None:
    assert "hush" not in masking.json_text('{"p\\u0061ssword":"hush","Cookie":"hush"}')


def test_messages() -> None:
    assert masking.message(' {"token":"abc"}') == ' {"token":"•••• (3 characters)"}'
    assert masking.message('say "token": "abc"') == 'say "token": "abc"'
    assert masking.message('42["auth",{"token":"abc"}]') == '42["auth",{"token":"•••• (3 characters)"}]'
    assert masking.message('42/admin,7["a",{"token":"abc"}]') == '42/admin,7["a",{"token":"•••• (3 characters)"}]'


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
