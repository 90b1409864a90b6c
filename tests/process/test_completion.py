"""Completion as people have it: the tabulator, in real shells."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stage.process import SLUICE, run
from tests.stage.terminal import Terminal

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
PREPARE = {
    "bash": "PS1='ready> '; bind 'set bell-style none'; bind 'set completion-query-items 0'",
    "zsh": "PS1='ready> '; autoload -U compinit; compinit -u -D; LISTMAX=0",
    "fish": "function fish_prompt; echo -n 'ready> '; end; function fish_greeting; end",
}
# What may be written, and what TAB makes of it.
CASES = {
    "a command": ("sluice certif", "sluice certificates"),
    "a command below another": ("sluice http ser", "sluice http server"),
    "a flag": ("sluice http server --control-p", "sluice http server --control-port"),
    "a choice": ("sluice http client --log-level warn", "sluice http client --log-level warning"),
    "a choice behind =": ("sluice http client --log-level=warn", "sluice http client --log-level=warning"),
    "a format": ("sluice client --generate=lau", "sluice client --generate=launchd"),
    "a truth behind =": ("sluice http server --auto-tls=fal", "sluice http server --auto-tls=false"),
    "a file": ("sluice status --token-file the-tok", "sluice status --token-file the-token"),
    "a file behind =": ("sluice status --token-file=the-tok", "sluice status --token-file=the-token"),
    "a directory": ("sluice fileserver --webroot the-dir", "sluice fileserver --webroot the-directory/"),
    "an argument": ("sluice config check the-tok", "sluice config check the-token"),
    "a page": ("sluice man http ser", "sluice man http server"),
    "a shell": ("sluice completion ba", "sluice completion bash"),
    "after an address": (
        "sluice status --url wss://203.0.113.7:8123 --wat",
        "sluice status --url wss://203.0.113.7:8123 --watch",
    ),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "bin").mkdir()
    program = home / "bin" / "sluice"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m appliance "$@"\n')
    program.chmod(0o755)
    (home / "the-token").write_text("secret\n")
    (home / "the-directory").mkdir()
    for shell in SHELLS:
        (home / f"sluice.{shell}").write_bytes(run(*SLUICE, "completion", shell))
    return home


@pytest.fixture(params=SHELLS, scope="module")
def shell(request: pytest.FixtureRequest, home: Path) -> Iterator[Callable[[str, str], None]]:
    """Types what is first, and the tabulator, and waits for what is second."""
    environ = {"PATH": f"{home / 'bin'}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
    terminal = Terminal(SHELLS[request.param], home, environ)
    terminal.type(f"{PREPARE[request.param]}; . ./sluice.{request.param}; clear\r")

    def complete(begun: str, whole: str) -> None:
        terminal.until(lambda: terminal.text == "ready>", "a prompt alone")
        terminal.type(f"{begun}\t")
        terminal.shows(f"ready> {whole}")
        terminal.type("\x15\x0c")  # the line away, and the screen's content

    yield complete
    terminal.close()


@pytest.mark.parametrize("case", CASES)
def test_tabulator(shell: Callable[[str, str], None], case: str) -> None:
    shell(*CASES[case])


def test_old_names_are_not_offered(home: Path) -> None:
    environ = "_SLUICE_COMPLETE=bash_complete COMP_CWORD=2 COMP_WORDS='sluice status --token-f'"
    found = run("sh", "-c", f"{environ} exec {shlex.join(SLUICE)}").decode().split()
    assert found == ["plain,--token-file"]
    found = run("sh", "-c", f"{environ.replace('token-f', '')} exec {shlex.join(SLUICE)}").decode().split()
    assert "plain,--token-from" not in found and "plain,--license" not in found
