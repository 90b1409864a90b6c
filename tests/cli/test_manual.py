"""Manual pages: of every command, with all that --help says, and good roff to man and to mandoc."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.cli.commands import sluice
from appliance.cli.main import run
from appliance.cli.manual import page, walk
from tests.stage.process import PATIENCE_SECONDS

COMMANDS = dict(walk(sluice))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("man") / "man1"
    assert run(["man", "--directory", str(directory)]) == 0
    return directory


def said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_there_is_one_for_each_command(pages: Path) -> None:
    assert {path.name for path in pages.iterdir()} == {f"{'-'.join(words)}.1" for words in COMMANDS}
    assert {"sluice.1", "sluice-http-server.1", "sluice-config-check.1"} <= {path.name for path in pages.iterdir()}
    assert (pages / "sluice-man.1").exists() and not (pages / "sluice-http-fileserver.1").exists()


@pytest.mark.parametrize("words", COMMANDS, ids="-".join)
def test_they_are_good_roff(pages: Path, words: tuple[str, ...]) -> None:
    path = str(pages / f"{'-'.join(words)}.1")
    assert said("mandoc", "-Tlint", "-Wwarning", path) == ""
    assert shutil.which("groff") is not None
    assert said("groff", "-man", "-ww", "-Tutf8", "-z", path) == ""


@pytest.mark.parametrize("words", COMMANDS, ids="-".join)
def test_they_have_every_flag(pages: Path, words: tuple[str, ...]) -> None:
    text = said("mandoc", "-Tascii", "-Owidth=1000", str(pages / f"{'-'.join(words)}.1"))
    plain = re.sub(".\b", "", text)  # what is bold is written twice
    command = COMMANDS[words]
    for param in command.params:
        if param.param_type_name == "option" and not getattr(param, "hidden", False):
            assert f"--{(param.name or '').removeprefix('as_').replace('_', '-')}" in plain
    for example in getattr(command, "examples", ()):
        assert example in plain
    assert " ".join((command.help or "").split("\n\n")[0].split()) in " ".join(plain.split())


def test_what_looks_like_roff_is_not(pages: Path) -> None:
    """A dot at the beginning of a line, a backslash."""
    text = page(("sluice", "http", "client"), COMMANDS["sluice", "http", "client"], sluice, "2026-01-31")
    assert "token \\e\n" in text and '"2026-01-31"' in text
    assert not any(line.startswith("'") for line in text.splitlines())


def test_one_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert run(["man", "http", "server"]) == 0
    assert capsys.readouterr().out.startswith('.TH "SLUICE-HTTP-SERVER" "1" "1970-01-01"')
    assert run(["man", "frog"]) == 2
    assert "there is no command sluice frog" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run(["man", "--directory", str(tmp_path / "file" / "man1")]) == 2
    assert capsys.readouterr().err.startswith(f"Error: --directory {tmp_path / 'file' / 'man1'} cannot be written to")
