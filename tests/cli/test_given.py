"""Flags, the environment and a file: which wins, where each value came from, and the same again later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.cli.flags import ConfigCommand
from appliance.cli.kinds import CONFIGS, config_class, spoken
from appliance.config.client import ClientConfig
from appliance.config.options import ConfigError
from appliance.config.server import ServerConfig
from appliance.config.tcp_client import TcpClientConfig


def config_of(*arguments: str, config_class: type = ServerConfig) -> Any:
    """What a command is called with."""
    found: list[Any] = []
    command = ConfigCommand(name="it", config_class=config_class, callback=found.append)
    command.main(args=list(arguments), standalone_mode=False)
    return found[0]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "a.toml"


def test_flags_win(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('port = 1\ncontrol-port = 2\nallow-ips = ["10.0.0.1"]\nauto-tls = false\nheartbeat = "3s"\n')
    config = config_of("--config=a.toml", "--control-port=4", "--auto-tls", "--allow-ips=10.0.0.2")
    assert (config.port, config.control_port, config.heartbeat) == (1, 4, 3.0)
    assert (config.allow_ips, config.auto_tls) == (("10.0.0.2",), True)
    assert dict(config.origin.sources) == {
        "config": "flag",
        "port": "file",
        "control_port": "flag",
        "allow_ips": "flag",
        "auto_tls": "flag",
        "heartbeat": "file",
    }
    monkeypatch.setenv("PORT", "5")
    config = config_of("--config=a.toml")
    assert (config.port, config.origin.sources["port"]) == (1, "file")  # a variable that is there for all wins last
    config = config_of("--config=a.toml", "--port=6")
    assert (config.port, config.origin.sources["port"]) == (6, "flag")
    monkeypatch.setenv("PORT", "abc")
    assert config_of("--config=a.toml").port == 1
    file.write_text('heartbeat = "3s"')
    monkeypatch.setenv("PORT", "5")
    config = config_of("--config=a.toml")
    assert (config.port, config.origin.sources["port"]) == (5, "environment")
    assert config.origin.place("heartbeat", "") == "a.toml:1"


def test_what_is_required_may_be_in_the_file(file: Path) -> None:
    file.write_text('url = "ws://a"\nupstream = "http://127.0.0.1:1, b=http://127.0.0.1:2"')
    config = config_of("--config", "a.toml", config_class=ClientConfig)
    assert (config.url, config.upstream) == ("ws://a", ("http://127.0.0.1:1", "b=http://127.0.0.1:2"))


def test_directories_are_looked_for_beside_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('url = "ws://a"\nupstream = ["./site", "b=../other?browse=true", "c=/srv"]')
    monkeypatch.chdir("/")
    upstream = config_of(f"--config={file}", config_class=ClientConfig).upstream
    here = file.parent
    assert upstream == (f"{here}/site", f"b={here.parent}/other?browse=true", "c=/srv")


def test_ports_as_numbers(file: Path) -> None:
    file.write_text('url = "ws://a"\nport = [2222, 5432]')
    assert config_of("--config=a.toml", config_class=TcpClientConfig).port == ("2222", "5432")


def test_one_place_for_the_token_is_enough(file: Path) -> None:
    """A unit names its own, whatever the file says."""
    file.write_text('token-file = "token"')
    config = config_of("--config=a.toml", "--token-file=/run/token")
    assert (config.token_file, config.origin.sources["token_file"]) == ("/run/token", "flag")
    config = config_of("--config=a.toml", "--token-env=NAME")
    assert (config.token_file, config.token_env) == (None, "NAME")
    assert "token_file" not in config.origin.sources


def test_a_file_for_something_else(file: Path) -> None:
    file.write_text('command = "http server"')
    with pytest.raises(ConfigError) as caught:
        config_of("--config=a.toml")
    assert str(caught.value) == "a.toml:1: this file is for `sluice http server`, and this is `sluice server`"
    assert [spoken(config_class(name)) for name in CONFIGS.values()] == list(CONFIGS)


@pytest.mark.parametrize("text", ["\nport = 70000", '\nallow-ips = "x"', '\nallow-ips = ""'])
def test_what_a_config_refuses_is_told_with_its_line(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"^a\.toml:2: --"):
        config_of("--config=a.toml")


def test_what_is_found_out_later_is_told_with_its_line(file: Path) -> None:
    file.write_text('\ntoken-file = "none"')

    def fail(config: Any) -> None:
        raise ConfigError("--token-file cannot be read")

    command = ConfigCommand(name="it", config_class=ServerConfig, callback=fail)
    with pytest.raises(ConfigError, match=r"^a\.toml:2: --token-file cannot"):
        command.main(args=["--config=a.toml"], standalone_mode=False)


def test_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same flags, and the file as it is then."""
    file.write_text('url = "ws://a"\nupstream = "a=http://127.0.0.1:1"')
    config = config_of("--config=a.toml", "--grace=3s", config_class=ClientConfig)
    file.write_text('url = "ws://b"\nupstream = "b=http://127.0.0.1:1"\ngrace = "9s"')
    for _ in range(2):
        config = config.origin.again()
        assert (config.url, config.upstream, config.grace) == ("ws://b", ("b=http://127.0.0.1:1",), 3.0)
    file.write_text('upstream = "b=http://127.0.0.1:1"')
    with pytest.raises(ConfigError, match="^Missing option '--url'$"):
        config.origin.again()
    file.write_text("grave = 1")
    with pytest.raises(ConfigError, match=r"^a\.toml:1: unknown key grave: do you mean grace\?$"):
        config.origin.again()


def test_completion_reads_no_file(file: Path) -> None:
    from click.testing import CliRunner

    from appliance.cli.commands import sluice

    environ = {"COMP_WORDS": "sluice server --config none.toml --log-level ", "COMP_CWORD": "5"}
    done = CliRunner().invoke(sluice, prog_name="sluice", env={**environ, "_SLUICE_COMPLETE": "bash_complete"})
    assert "plain,debug" in done.output
