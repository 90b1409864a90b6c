"""What all formats have in common, for every command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.cli.generate import formats
from appliance.cli.generate.formats import FORMATS
from appliance.config import generate
from appliance.config.options import ConfigError
from tests.cli.generate.making import COMMANDS, printed
from tests.stage.process import SLUICE

SECRET = "Sesame0pen"


def test_the_flag_offers_what_there_is() -> None:
    assert tuple(FORMATS) == generate.FORMATS


@pytest.mark.parametrize("of", FORMATS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_secret_is_in_it(command: str, of: str) -> None:
    text = printed(*COMMANDS[command], "--token", SECRET, of=of)
    assert SECRET not in text
    assert "is not in this text" in text
    assert SECRET not in printed(*COMMANDS[command], "--license", SECRET, "--token-env", "TOKEN", of=of)


@pytest.mark.parametrize("of", FORMATS)
@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_complete_and_named(command: str, of: str) -> None:
    """All that was given, under the name that was given, with no token needed, and the same each time."""
    words = [*COMMANDS[command], "--log-level", "debug", "--generate-name", "front-door"]
    text = printed(*words, of=of)
    assert "front-door" in text and "sluice-server" not in text
    assert "--log-level=debug" in text and "--token-file=" in text
    assert "--generate" not in text.replace("- -", "--")
    if "client" in command:
        assert "--url=wss://203.0.113.7:8123" in text and "192.168.0.10" in text
    assert text.endswith("\n") and not text.endswith("\n\n")
    assert text == printed(*words, of=of)


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a.b", "a" * 51, "é"])
def test_a_name_that_fits_not_everywhere(name: str) -> None:
    with pytest.raises(ConfigError, match="--generate-name"):
        printed("http", "server", "--generate-name", name, of="systemd")


def test_a_name_for_nothing() -> None:
    done = subprocess.run(
        [*SLUICE, "http", "server", "--generate-name", "x"], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: --generate-name is for --generate: give that, too, or leave it out\n"


def test_as_a_process_without_a_token_and_with_no_side_effect(tmp_path: Path) -> None:
    """Also where there is nothing but the program: no state is made, nothing is listened on, no monkey-patching."""
    done = subprocess.run(
        [*SLUICE, "http", "server", "--token-file", "/nonexistent/token", "--generate", "systemd"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(generate.__file__).parents[2]), "HOME": str(tmp_path), "PORT": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "LoadCredential=token:/nonexistent/token\n" in done.stdout
    assert not list(tmp_path.iterdir())


def test_an_unknown_format() -> None:
    done = subprocess.run(
        [*SLUICE, "http", "server", "--generate", "upstart"], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert "--generate" in done.stderr and "systemd" in done.stderr


def test_for_another_root_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As scripts/install.sh --root has it: the file is there where it is not here, also below /tmp."""
    file = tmp_path / "etc" / "sluice" / "server.toml"
    file.parent.mkdir(parents=True)
    file.write_text('command = "http server"\n')
    monkeypatch.setenv(formats.ROOT, str(tmp_path))
    text = printed("http", "server", f"--config={file}", of="systemd")
    assert "--config=/etc/sluice/server.toml" in text and str(tmp_path) not in text
