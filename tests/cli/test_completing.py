"""What is offered for what has been typed."""

from pathlib import Path

import pytest
from click.shell_completion import CompletionItem

from appliance.cli.commands import sluice
from appliance.cli.completing import Bash, Fish, Zsh, paths


def offered(shell: type, words: str, monkeypatch: pytest.MonkeyPatch, incomplete: str | None = None) -> list[str]:
    pieces = words.split(" ")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(pieces) - 1) if incomplete is None else incomplete)
    complete = shell(sluice, {}, "sluice", "_SLUICE_COMPLETE")
    items: list[CompletionItem] = complete.get_completions(*complete.get_completion_args())
    return [item.value if item.type == "plain" else item.type for item in items]


def test_bash_splits_at_equals_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered(Bash, "sluice server --log-level = deb", monkeypatch) == ["debug"]
    assert offered(Bash, "sluice server --auto-tls = ", monkeypatch) == ["true", "false"]
    assert offered(Bash, "sluice server --auto-tls =", monkeypatch) == ["true", "false"]
    assert offered(Bash, "sluice server --log-level = debug --auto-tls = f", monkeypatch) == ["false"]
    assert offered(Bash, "sluice server --token-file = x", monkeypatch) == ["file"]
    assert offered(Bash, "sluice server --tls-k", monkeypatch) == ["--tls-key"]


def test_zsh_wants_the_flag_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered(Zsh, "sluice server --log-level=deb", monkeypatch) == ["--log-level=debug"]
    assert offered(Zsh, "sluice server --log-level deb", monkeypatch) == ["debug"]
    assert offered(Zsh, "sluice server --auto-tls-path=x", monkeypatch) == ["dir"]


def test_fish_wants_the_flag_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / ".hidden").write_text("")
    line = "sluice server --token-file=f"
    assert offered(Fish, line, monkeypatch, "--token-file=f") == ["--token-file=file", "--token-file=folder/"]
    line = "sluice server --auto-tls-path="
    assert offered(Fish, line, monkeypatch, "--auto-tls-path=") == ["--auto-tls-path=folder/"]
    assert offered(Fish, "sluice server --log-level deb", monkeypatch, "deb") == ["debug"]


def test_some_words_of_a_flag_that_also_takes_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered(Bash, "sluice server --letsencrypt-issuer ", monkeypatch) == ["prod", "staging"]


def test_commands_behind_man(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"http", "status", "man"} <= set(offered(Bash, "sluice man ", monkeypatch))
    assert offered(Bash, "sluice man tcp ", monkeypatch) == ["server", "client"]
    assert offered(Bash, "sluice man http f", monkeypatch) == offered(Bash, "sluice man frog ", monkeypatch) == []


def test_fish_keeps_commas() -> None:
    assert 'string split --max 1 ","' in Fish(sluice, {}, "sluice", "_SLUICE_COMPLETE").source()


def test_paths(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".b").write_text("")
    assert list(paths(f"{tmp_path}/a/.", "file")) == [f"{tmp_path}/a/.b"]
    assert list(paths(f"{tmp_path}/a/", "file")) == list(paths(f"{tmp_path}/missing/", "file")) == []
