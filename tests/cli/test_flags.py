"""Flags made from a config class: how they are written, what they become, what help says."""

from dataclasses import dataclass

import click
import pytest
from click.testing import CliRunner

from appliance.cli.flags import ConfigCommand
from appliance.config.options import ConfigError, check_ranges, option
from appliance.config.shared import ACCESS, LIMITS, SERVER, LicenceOptions, TokenOptions


@dataclass(frozen=True, kw_only=True)
class Sample(TokenOptions, LicenceOptions):
    url: str = option(group=SERVER, metavar="URL", help="Where.")
    port: int = option(8000, group=SERVER, short="-p", maximum=65535, metavar="PORT", help="Which port.")
    auto_tls: bool = option(True, group=ACCESS, help="TLS.")
    browse: bool = option(False, group=ACCESS, short="-b", help="Browse.")
    wait: float = option(90.0, group=LIMITS, unit="seconds", metavar="DURATION", help="Wait.")
    names: tuple[str, ...] = option((), group=SERVER, metavar="NAME", help="Names.")
    ports: tuple[str, ...] = option(("80", "443"), group=SERVER, metavar="PORTS", help="Ports.")
    path: str | None = option(None, group=SERVER, default_text="somewhere", help="Path.")
    rest: float = option(0.0, group=LIMITS, unit="seconds", minimum=0.0, help="Rest.")
    look: str | None = option(None, group=LIMITS, metavar="PLACE", bare="here", help="Look.")
    level: str = option("info", group=LIMITS, choices=("info", "debug"), help="Level.")

    def __post_init__(self) -> None:
        check_ranges(self)


def parsed(*arguments: str, url: str = "--url=u") -> Sample:
    seen: list[Sample] = []
    command = ConfigCommand(name="sample", config_class=Sample, callback=seen.append)
    result = CliRunner().invoke(command, [url, *arguments], standalone_mode=False)
    if result.exception:
        raise result.exception
    return seen[0]


def test_nothing_given_is_the_config_of_its_defaults() -> None:
    assert parsed() == Sample(url="u")


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--look"], "look", "here"),
        (["--look=there"], "look", "there"),
        (["--look", "there"], "look", "there"),
        (["--look", "--port", "1"], "look", "here"),
        (["--port", "1"], "port", 1),
        (["--port=1"], "port", 1),
        (["-p", "1"], "port", 1),
        (["-p1"], "port", 1),
        (["-p=1"], "port", 1),
        (["--port", "1", "--port", "2"], "port", 2),
        (["--auto-tls"], "auto_tls", True),
        (["--auto-tls", "--port", "1"], "auto_tls", True),
        (["--auto-tls=false"], "auto_tls", False),
        (["--auto-tls=TRUE"], "auto_tls", True),
        (["--auto-tls=0"], "auto_tls", False),
        (["--browse"], "browse", True),
        (["-b"], "browse", True),
        (["-b", "-p", "1"], "browse", True),
        (["-b=false"], "browse", False),
        (["--wait", "2m"], "wait", 120.0),
        (["--wait=1.5"], "wait", 1.5),
        (["--names", "a", "--names=b,c, d,"], "names", ("a", "b", "c", "d")),
        (["--ports", "1"], "ports", ("1",)),
        (["--path", ""], "path", ""),
        (["--level", "debug"], "level", "debug"),
        (["--level", "DEBUG"], "level", "debug"),
        (["--rest", "never"], "rest", 0.0),
        (["--token-from", "f"], "token_file", "f"),
        (["--token", "-p=1"], "token", "-p=1"),
    ],
)
def test_ways_to_write_a_value(arguments: list[str], field: str, value: object) -> None:
    assert getattr(parsed(*arguments), field) == value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "x"], "not a valid integer"),
        (["--auto-tls=maybe"], "neither true nor false"),
        (["--wait", "soon"], "is not a duration"),
        (["--wait", "never"], "is not a duration"),
        (["--level", "loud"], "'loud' is none of"),
        (["--prot", "1"], "--port"),
        (["stray"], "unexpected extra argument"),
    ],
)
def test_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        parsed(*arguments)
    assert message in caught.value.format_message()


def test_old_and_hidden_names_are_not_taught() -> None:
    for wrong in ("--tokn", "--token-frm", "--licens", "--token-fil"):
        with pytest.raises(click.NoSuchOption) as caught:
            parsed(wrong, "x")
        assert "--token-from" not in caught.value.format_message() and "--license" not in caught.value.format_message()
    assert "'--token-file'" in caught.value.format_message()


def test_what_has_no_default_is_required() -> None:
    with pytest.raises(click.UsageError) as caught:
        parsed(url="--port=1")
    assert caught.value.format_message() == "Missing option '--url'."


@pytest.mark.parametrize("flag", ["--license", "--license-file", "--license-env"])
def test_licence_flags_are_ignored_with_one_line(flag: str) -> None:
    command = ConfigCommand(name="sample", config_class=Sample, callback=lambda config: None)
    result = CliRunner().invoke(command, ["--url=u", flag, "hunter2"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No licence is needed: the licence flag is ignored.\n"


def test_help_shows_groups_units_defaults_and_examples() -> None:
    command = ConfigCommand(
        name="sample", config_class=Sample, callback=print, help="Does things.", examples=["sample --url x"]
    )
    result = CliRunner().invoke(command, ["--help"], terminal_width=100)
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert [line for line in lines if line.endswith(":")] == [
        "Server:",
        "Access:",
        "Limits:",
        "Help:",
        "Examples:",
    ]
    assert "--url URL Where. [required]" in lines
    assert "-p, --port PORT Which port. [default: 8000]" in lines
    assert "--auto-tls[=false] TLS. [default: true]" in lines
    assert "-b, --browse Browse." in lines
    assert "--wait DURATION Wait. [default: 90s]" in lines
    assert "--names NAME Names. [repeatable]" in lines
    assert "--ports PORTS Ports. [default: 80,443; repeatable]" in lines
    assert "--path TEXT Path. [default: somewhere]" in lines
    assert "sample --url x" in lines
    assert "license" not in result.stdout
    assert "token-from" not in result.stdout


@pytest.mark.parametrize("arguments", [["--names", ""], ["--names=,", "--names", " "]])
def test_an_empty_list_is_not_taken_for_none(arguments: list[str]) -> None:
    """As of --allow-ips "$UNSET", which would let everybody in."""
    with pytest.raises(ConfigError, match="--names is empty"):
        parsed(*arguments)
