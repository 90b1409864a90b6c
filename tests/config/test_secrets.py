"""The token: from exactly one place, unharmed, and never part of a message."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.config.secrets import MAX_TOKEN_BYTES, find_token, load_token
from appliance.config.shared import TokenOptions


def test_from_the_flag() -> None:
    assert load_token(TokenOptions(token="abc="), {}) == "abc="


@pytest.mark.parametrize("content", ["secret", "secret\n", "secret\r\n"])
def test_from_a_file_without_its_newline(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    assert load_token(TokenOptions(token_file=str(path)), {}) == "secret"


def test_from_the_environment() -> None:
    assert load_token(TokenOptions(token_env="T"), {"T": "secret"}) == "secret"


def test_none_given() -> None:
    assert find_token(TokenOptions(), {"TOKEN": "not asked for"}) is None
    with pytest.raises(ConfigError, match="no token given: pass the server's token with --token-file FILE"):
        load_token(TokenOptions(), {})


def test_the_server_says_how_to_make_one() -> None:
    with pytest.raises(
        ConfigError, match=r"\(umask 077; head -c 32 /dev/urandom \| base64 > token\)`.*--token-file token"
    ):
        load_token(HttpServerConfig(), {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (TokenOptions(token="a", token_file="b"), "--token and --token-file are given"),
        (TokenOptions(token_file="b", token_env="C"), "--token-file and --token-env are given"),
        (TokenOptions(token=""), "--token: the token is empty"),
        (TokenOptions(token_env="UNSET"), "--token-env UNSET: no such environment variable"),
        (TokenOptions(token_env="BLANK"), "--token-env BLANK: the token is empty"),
        (TokenOptions(token_file="/nonexistent"), "--token-file /nonexistent cannot be read: No such file"),
        (TokenOptions(token_file="/"), "--token-file / cannot be read: Is a directory"),
        (TokenOptions(token_file=""), "cannot be read: No such file"),
        (TokenOptions(token_file="a\0b"), "cannot be read: embedded null byte"),
        (TokenOptions(token_file="/dev/zero"), "is longer than 4096 bytes"),
    ],
)
def test_refused(options: TokenOptions, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_token(options, {"BLANK": " "})
    assert message in str(caught.value)


@pytest.mark.parametrize("token", ["two\nlines", " hush", "hush ", "tab\there", "gr\u00fcn", "nul\0", "hush\n\n"])
def test_what_no_header_carries_is_refused_without_being_shown(tmp_path: Path, token: str) -> None:
    path = tmp_path / "token"
    path.write_text(token, newline="")
    for options in (TokenOptions(token_file=str(path)), TokenOptions(token=token)):
        with pytest.raises(ConfigError, match="must be one line of ASCII") as caught:
            load_token(options, {})
        assert token.strip() not in str(caught.value)


def test_a_phrase_and_the_longest() -> None:
    for token in ("correct horse battery staple", "x" * MAX_TOKEN_BYTES):
        assert load_token(TokenOptions(token=token), {}) == token


@given(st.text(max_size=50))
def test_any_text_is_a_token_or_an_error(text: str) -> None:
    try:
        assert load_token(TokenOptions(token=text), {}) == text
    except ConfigError as error:
        assert "\n" not in str(error)
