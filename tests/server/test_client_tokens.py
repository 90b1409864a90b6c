"""Tokens of clients: what is kept of them, how they come and go, and that a damaged file lets nobody in."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.server import client_tokens as module
from appliance.server.client_tokens import ClientToken, ClientTokens, TokensError, digest_of
from appliance.server.limits import Limits
from tests.stage.process import ROOT

LIMITS = Limits.parse(["*.home.example.com"], ["22", "8000-8010"], forward=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "client-tokens.json"


@pytest.fixture
def tokens(path: Path) -> ClientTokens:
    return ClientTokens(path)


def found(tokens: ClientTokens, text: str) -> ClientToken | None:
    return tokens.find(digest_of(text.encode()))


def test_made_found_and_kept(path: Path, tokens: ClientTokens) -> None:
    text, token = tokens.add("pi", LIMITS)
    other, _ = tokens.add("Nas.2", Limits())
    assert text != other and len(text) >= 43 and text.isascii() and text.isprintable()
    assert found(tokens, text) == token and token.limits == LIMITS
    again = ClientTokens(path)
    assert [kept.name for kept in again.listing()] == ["Nas.2", "pi"]
    assert found(again, text) is not None and found(again, text + "x") is None
    kept = found(again, text)
    assert kept is not None and (kept.limits, kept.digest) == (LIMITS, token.digest)
    assert kept == token, "to the second: what is read again is what was made"


def test_the_file_is_ours_alone_and_holds_no_token(path: Path, tokens: ClientTokens) -> None:
    text, _ = tokens.add("pi", LIMITS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert text not in path.read_text() and text.removeprefix("sluice_") not in path.read_text()
    assert {file.name for file in path.parent.iterdir()} == {path.name, "authority.lock"}


def test_removed(path: Path, tokens: ClientTokens) -> None:
    text, token = tokens.add("pi", Limits())
    changes: list[str] = []
    tokens.on_change = lambda: changes.append("changed")
    assert not tokens.remove("nas") and not changes
    assert tokens.remove("pi") and changes == ["changed"]
    assert found(tokens, text) is None and not tokens.holds(token)
    assert found(ClientTokens(path), text) is None
    _, again = tokens.add("pi", Limits())
    assert not tokens.holds(token) and tokens.holds(again), "another token of this name is another token"


@pytest.mark.parametrize("name", ["", "a b", "-a", ".a", "a/b", "ä", "a\n", "x" * 65])
def test_names(tokens: ClientTokens, name: str) -> None:
    with pytest.raises(TokensError, match="a name has 1 to 64 letters"):
        tokens.add(name, Limits())


def test_one_of_a_name_and_not_too_many(tokens: ClientTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens.add("pi", Limits())
    with pytest.raises(TokensError, match="there is a token pi already"):
        tokens.add("pi", Limits())
    monkeypatch.setattr(module, "MOST_TOKENS", 1)
    with pytest.raises(TokensError, match="there are 1 tokens: remove some"):
        tokens.add("nas", Limits())


def test_what_could_not_be_read_again_is_not_written(path: Path, tokens: ClientTokens) -> None:
    names = [f"{number}{'x' * 240}.example" for number in range(100)]
    limits = Limits.parse(names, [])
    with pytest.raises(TokensError, match="too many names and ports"):
        for number in range(module.MOST_TOKENS):
            tokens.add(f"t{number}", limits)
    assert 100 < len(tokens.listing()) == len(ClientTokens(path).listing())


def entry(**changed: Any) -> dict[str, Any]:
    good = {"name": "pi", "sha256": "a" * 64, "created": "2026-01-31T12:00:00+00:00"}
    return good | {"names": ["a.example"], "ports": [], "forward": False} | changed


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in entry().items() if name != field}


DAMAGE: dict[str, Any] = {
    "empty": b"",
    "cut off": b'{"version": 1, "tokens": [{"name": "pi", "sha',
    "no JSON": b"\xff\xfe",
    "nested": b"[" * 100_000,
    "a list": [],
    "no list of tokens": {"version": 1},
    "of another version": {"version": 2, "tokens": []},
    "no object": {"version": 1, "tokens": ["pi"]},
    "names lost": {"version": 1, "tokens": [without("names")]},
    "ports lost": {"version": 1, "tokens": [without("ports")]},
    "forward lost": {"version": 1, "tokens": [without("forward")]},
    "names null": {"version": 1, "tokens": [entry(names=None)]},
    "names a text": {"version": 1, "tokens": [entry(names="a.example")]},
    "a name that is none": {"version": 1, "tokens": [entry(names=["a b"])]},
    "a name that is empty": {"version": 1, "tokens": [entry(names=[""])]},
    "too many names": {"version": 1, "tokens": [entry(names=["a"] * 101)]},
    "ports that are none": {"version": 1, "tokens": [entry(ports=["70000"])]},
    "a digest that is none": {"version": 1, "tokens": [entry(sha256="")]},
    "no zone": {"version": 1, "tokens": [entry(created="2026-01-31T12:00:00")]},
    "two of a name": {"version": 1, "tokens": [entry(), entry(sha256="b" * 64)]},
    "two of a digest": {"version": 1, "tokens": [entry(), entry(name="nas")]},
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_lets_nobody_in_and_stays(path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    content = DAMAGE[kind] if isinstance(DAMAGE[kind], bytes) else json.dumps(DAMAGE[kind]).encode()
    path.parent.mkdir()
    path.write_bytes(content)
    tokens = ClientTokens(path)
    assert tokens.problem in caplog.text and "client-tokens.json is damaged: " in tokens.problem
    assert tokens.find("a" * 64) is None and tokens.listing() == []
    changes: list[Callable[[], object]] = [lambda: tokens.add("new", Limits()), lambda: tokens.remove("pi")]
    for change in changes:
        with pytest.raises(TokensError, match="is damaged"):
            change()
    assert path.read_bytes() == content, "for whoever mends it"


def test_a_file_that_others_may_write_to(path: Path, tokens: ClientTokens) -> None:
    text, _ = tokens.add("pi", Limits())
    path.chmod(0o620)
    assert found(tokens, text) is None and "others may write to it" in tokens.problem
    path.chmod(0o600)
    assert found(tokens, text) is not None and not tokens.problem, "noticed without a write"


def test_damage_while_it_runs_and_its_end(path: Path, tokens: ClientTokens) -> None:
    text, token = tokens.add("pi", Limits())
    good = path.read_bytes()
    path.write_bytes(good[:-20])
    assert found(tokens, text) is None and tokens.problem
    assert tokens.holds(token), "who is in stays, until it is known that the token is gone"
    path.write_bytes(good)
    assert found(tokens, text) is not None and not tokens.problem


def test_what_another_server_of_this_directory_does(path: Path, tokens: ClientTokens) -> None:
    other = ClientTokens(path)
    text, token = tokens.add("pi", Limits())
    assert found(other, text) is not None
    ended: list[bool] = []
    other.on_change = lambda: ended.append(not other.holds(token))
    other.add("nas", Limits())
    assert [kept.name for kept in tokens.listing()] == ["nas", "pi"], "neither writes over the other"
    tokens.remove("pi")
    other.look()
    assert ended == [True] and found(other, text) is None


def test_a_file_that_is_read_again_ends_nobody(path: Path, tokens: ClientTokens) -> None:
    _, token = tokens.add("pi", LIMITS)
    os.utime(path, (1, 1))
    tokens.look()
    assert tokens.holds(token)
    limited = json.loads(path.read_text())
    limited["tokens"][0]["names"] = []
    path.write_text(json.dumps(limited))
    tokens.look()
    assert not tokens.holds(token), "with other limits it must connect anew"


_ADDS_AND_REMOVES = """
import pathlib, sys
from appliance.server.client_tokens import ClientTokens
from appliance.server.limits import Limits
tokens = ClientTokens(pathlib.Path(sys.argv[1]))
for number in range(20):
    tokens.add(f"{sys.argv[2]}{number}", Limits())
    assert tokens.remove(f"old{sys.argv[2]}{number}")
"""


def test_several_servers_change_it_at_once(path: Path, tokens: ClientTokens) -> None:
    """Nothing that was made is lost, and nothing that was removed comes back."""
    for server in "abc":
        for number in range(20):
            tokens.add(f"old{server}{number}", Limits())
    command = [sys.executable, "-c", _ADDS_AND_REMOVES, str(path)]
    others = [subprocess.Popen([*command, server], cwd=ROOT) for server in "abc"]
    assert [other.wait(60) for other in others] == [0, 0, 0]
    assert {token.name for token in tokens.listing()} == {f"{one}{number}" for one in "abc" for number in range(20)}


def test_a_directory_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tokens = ClientTokens(tmp_path / "file" / "client-tokens.json")
    with pytest.raises(TokensError, match="client-tokens.json cannot be"):
        tokens.add("pi", Limits())
    assert tokens.listing() == []


def test_in_memory_alone() -> None:
    tokens = ClientTokens()
    text, _ = tokens.add("pi", Limits())
    assert found(tokens, text) is not None and tokens.remove("pi") and found(tokens, text) is None
