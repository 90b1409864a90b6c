"""From arguments to an exit code and at most one line on standard error."""

import json
import logging
from collections.abc import Iterator

import click
import pytest

from appliance.cli import commands
from appliance.cli.asking import StatusError, TokenRefused
from appliance.cli.main import run
from appliance.cli.manual import walk
from appliance.cli.trust import TrustError
from appliance.config.build import full_version
from appliance.config.options import ConfigError


@pytest.fixture
def status_raises(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """`sluice status` raises what is put in the list."""
    waiting: list[BaseException] = []

    def callback(config: object) -> None:
        raise waiting[0]

    monkeypatch.setattr(commands.status, "callback", callback)
    yield waiting


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    assert capsys.readouterr().out == f"{full_version()}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["http"], ["http", "--help"], ["tcp"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Usage: sluice")
    assert printed.err == ""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["frog"], "No such command 'frog'. (see sluice --help)"),
        (["http", "client"], "Missing option '--url'. (see sluice http client --help)"),
        (
            ["http", "server", "--port", "1.5"],
            "'1.5' is not a valid integer. (see sluice http server --help)",
        ),
        (["http", "server", "--port=65536"], "--port 65536 is too large: at most 65535"),
        (["http", "client", "--url", "x"], "no --upstream given: say what to tunnel"),
        (
            ["http", "client", "--url=ftp://x", "--upstream=a:1", "--token=t"],
            "--url: 'ftp://x': 'ftp' is not",
        ),
        (
            ["http", "client", "--url=x", "--upstream=a:0", "--token=t"],
            "--upstream: 'a:0': a port is between",
        ),
        (["http", "client", "--url=x", "--upstream=a:1"], "no token given: pass the server's token"),
        (["tcp", "client"], "Missing option '--url'. (see sluice tcp client --help)"),
        (["tcp", "client", "--url=x", "--token=t"], "no --upstream, --port or --local given: say what to tunnel"),
        (["tcp", "client", "--url=x", "--upstream=a", "--token=t"], "--upstream: 'a' has no port: write a:22"),
        (["tcp", "client", "--url=x", "-p=1", "--local=1", "--token=t"], "--local: '1' is not LPORT:HOST:PORT"),
        (["tcp", "client", "--url=x", "-p=22"], "no token given: pass the server's token"),
        (["client", "--url=x", "--upstream=22=http://a", "--token=t"], "is a URL: for TCP, write HOST:PORT"),
        (["client", "--url=x", "--ports=0", "--token=t"], "--ports: '0': a port is between 1 and 65535"),
        (["tcp", "server"], "no token given: make one with `(umask 077; head -c 32 /dev/urandom | base64 > token)`"),
        (["tcp", "server", "--port=1"], "No such option"),
        (["tcp", "server", "--allow-ports=ssh", "--token=t"], "--allow-ports: 'ssh' is neither a port nor"),
        (["tcp", "server", "--proxy-protocol=v3"], "'v3' is none of v1, v2"),
        (["tcp", "server", "--lb-proxy-protocol=v1"], "--lb-proxy-protocol needs --trusted-proxies"),
        (["server", "--client-forwarding", "--allow-forward-to=a", "--token=t"], "--allow-forward-to: 'a' is neither"),
        (["server", "--port=8123"], "--port and --control-port are both 8123"),
        (["http", "server"], "no token given: make one with `(umask 077; head -c 32 /dev/urandom | base64 > token)`"),
        (["http", "server", "--token=a", "--token-env=B"], "--token and --token-env are given"),
        (["http", "server", "--token-file=/nonexistent/t"], "--token-file /nonexistent/t cannot be read"),
        (["status"], "no token given: pass the server's token"),
        (["status", "--token=t", "--url=wss://h/x"], "--url: 'wss://h/x': nothing may follow the port"),
        (["status", "--token=t", "--ca-fingerprint=ab"], "--ca-fingerprint 'ab': the 64 hex digits of a SHA-256"),
        (["status", "--token=t", "--tls-ca=/nonexistent/ca"], "--tls-ca /nonexistent/ca cannot be read: No such file"),
        (["trust"], "--url is missing"),
        (["trust", "--url=wss://h/x"], "--url: 'wss://h/x': nothing may follow the port"),
        (["fileserver", "--port=-1"], "--port -1 is too small"),
        (["http", "fileserver", "--port=-1"], "--port -1 is too small"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Error: ")
    assert line in printed.err
    assert printed.err.count("\n") == 1


def test_a_config_error_keeps_to_one_line(
    status_raises: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    status_raises.append(ConfigError("first\nsecond"))
    assert run(["status"]) == 2
    assert capsys.readouterr().err == "Error: first second\n"


def test_the_unexpected_asks_for_a_report(
    status_raises: list[BaseException],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    status_raises.append(ZeroDivisionError("division by zero"))
    with caplog.at_level(logging.INFO):
        assert run(["status"]) == 1
    assert "Error: ZeroDivisionError: division by zero; please report this" in capsys.readouterr().err
    assert not caplog.records
    with caplog.at_level(logging.DEBUG):
        run(["status"])
    assert caplog.records[0].exc_info


@pytest.mark.parametrize(
    ("error", "code", "found"),
    [
        (ConfigError("first\nsecond"), 2, {"error": "first second"}),
        (ConfigError("bad", file="a", line=3, key="port"), 2, {"error": "bad", "file": "a", "line": 3, "key": "port"}),
        (ConfigError("missing", file="a.toml"), 2, {"error": "missing", "file": "a.toml"}),
        (TokenRefused("no"), 3, {"error": "no"}),
        (StatusError("not there", "look"), 1, {"error": "not there; look"}),
        (ZeroDivisionError("oh"), 1, {"error": "ZeroDivisionError: oh; please report this"}),
        (TrustError("no", told=True), 1, None),
    ],
)  # fmt: skip
def test_programs_are_told_in_json(
    error: Exception,
    code: int,
    found: object,
    status_raises: list[BaseException],
    capsys: pytest.CaptureFixture[str],
) -> None:
    status_raises.append(error)
    assert run(["status", "--json"]) == code
    printed = capsys.readouterr()
    assert printed.err.startswith("Error: ")
    if found is None:
        assert printed.out == ""
    else:
        assert printed.out.count("\n") == 1 and json.loads(printed.out) == found
    assert run(["status"]) == code
    assert capsys.readouterr().out == ""


def test_flags_that_are_wrong_are_told_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--json", "--frog"]) == 2
    assert json.loads(capsys.readouterr().out)["error"].startswith("No such option '--frog'")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupted(
    error: BaseException, status_raises: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    status_raises.append(error)
    assert run(["status"]) == 130
    printed = capsys.readouterr()
    assert (printed.out, printed.err.strip()) == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_SLUICE_COMPLETE" in capsys.readouterr().out


def test_old_names_work_and_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["http", "--help"]) == 0
    assert "fileserver" not in capsys.readouterr().out
    assert run(["http", "fileserver", "--help"]) == 0
    assert "--allow-browsing" in capsys.readouterr().out


@pytest.mark.parametrize("words", dict(walk(commands.sluice)), ids=" ".join)
def test_every_command_has_examples(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words[1:], "--help"]) == 0
    assert "\nExamples:\n" in (printed := capsys.readouterr().out)
    assert f"{' '.join(words)} " in printed.partition("\nExamples:\n")[2]


def test_lists_of_commands_cut_nothing_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "..." not in printed.replace("[COMMAND] [ARGS]...", "")
    assert "List a server's certificates, and the fingerprint of its authority" in printed
