"""Commands about the program; and that whatever is printed can be had as JSON."""

import json
import platform

import click
import pytest

from appliance.cli.commands import sluice
from appliance.cli.main import run
from appliance.cli.manual import walk
from appliance.config.build import full_version

# What runs until it is ended, prints what another program reads as it is, or only says what there is below it.
NOTHING_FOR_JSON = {"server", "client", "fileserver", "completion", "man"}


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr().out == f"{full_version()}\n"
    assert run(["version", "--details"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == full_version()
    assert [line.partition(":")[0] for line in others] == ["Python", "OpenSSL", "System", "Machine", "Libraries"]
    assert platform.python_version() in others[0] and "gevent 2" in others[-1]


def test_version_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert f"{found['version']} {found['sha']}" == full_version()
    assert found["libraries"]["click"]


def test_whatever_prints_can_print_json() -> None:
    for words, command in walk(sluice):
        if not isinstance(command, click.Group) and words[-1] not in NOTHING_FOR_JSON:
            assert any("--json" in param.opts for param in command.params), words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert f"_SLUICE_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_completion_of_another_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "csh"]) == 2
    assert "csh" in capsys.readouterr().err
