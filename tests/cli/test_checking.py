"""`sluice config`: what is said of a file that is good, and of one that is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.cli.main import run


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("abc")
    return tmp_path / "a.toml"


def test_a_good_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(
        'command = "http server"\ntoken-file = "token"\nallow-ips = ["10.0.0.1", "10.0.0.2"]\nauto-tls = false\n'
    )
    assert run(["config", "check", "a.toml"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a.toml is good: it is for `sluice http server --config a.toml`, with",
        f"  token-file = {file.parent}/token",
        "  allow-ips = 10.0.0.1, 10.0.0.2",
        "  auto-tls = false",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grace = 1", "server"),
        ('url = "ws://a"\nupstream = "http://127.0.0.1:1"', "client"),
        ('command="tcp server"', "tcp server"),
    ],
)
def test_what_it_is_for(file: Path, capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    """And the token may be given by a flag."""
    file.write_text(text)
    assert run(["config", "check", "a.toml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"a.toml is good: it is for `sluice {words} --config a.toml`, with"
    assert lines[-1] == "It names no token: give one with --token-file"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('command = "htp server"', "a.toml:1: there is no `sluice htp server`: one of http server, tcp server"),
        ('command = "client"', "a.toml: url is missing"),
        ('url = "ws://a"', "no --upstream, --port or --local given: say what to tunnel"),
        ('\nurl = "ftp://a"\nupstream = "1.2.3.4:5"', "a.toml:2: --url: "),
        ('\nurl = "ws://a"\nupstream = "a=http://b/c"', "a.toml:3: --upstream: "),
        ('\ntoken-file = "none"', "a.toml:2: --token-file "),
        ('allow-ports = "x"', "a.toml:1: --allow-ports: "),
        ('tls-cert = "token"\ntls-key = "token"', "a.toml:1: --tls-cert "),
        ('\ndata-cert = "token"\ndata-key = "token"', "a.toml:2: --data-cert "),
        ('\ndata-cert-dir = "none"', "a.toml:2: --data-cert-dir "),
        ("potr = 1", "a.toml:1: unknown key potr: do you mean port?"),
        ('auto-tls-san = ["a.example", "bad;x y"]', "a.toml:1: --auto-tls-san 'bad;x y' is neither an IP address"),
    ],
)  # fmt: skip
def test_a_bad_file(file: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str) -> None:
    file.write_text(text)
    assert run(["config", "check", "a.toml"]) == 2
    assert capsys.readouterr().err.startswith(f"Error: {expected}")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("\npotr = 1", {"line": 2, "key": "potr"}),
        ('\n\nallow_ips = "x"', {"line": 3, "key": "allow-ips"}),
        ('allow-ips = [\n"10.0.0.1",\n"10.0.0.x",\n]', {"line": 3, "key": "allow-ips"}),
        ('command = "client"', {"key": "url"}),
        ("a = 1\na = 2", {"line": 2, "key": "a"}),
        ('url = "ws://a"', {}),
        (None, {}),
    ],
)
def test_a_bad_file_for_programs(
    file: Path, capsys: pytest.CaptureFixture[str], text: str | None, place: dict[str, object]
) -> None:
    if text is not None:
        file.write_text(text)
    assert run(["config", "check", "--json", "a.toml"]) == 2
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert printed.err == f"Error: {found.pop('error')}\n"
    assert found == {"file": "a.toml", **place}


def test_everything(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('\ntoken = "abc"\ngrace = "5s"')
    file.chmod(0o600)
    assert run(["config", "show", "a.toml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["Key", "Value", "Source"]
    assert ["grace", "5s", "a.toml:3"] in [line.split() for line in lines]
    assert ["token", "(set)", "a.toml:2"] in [line.split() for line in lines]
    assert ["control-port", "8123", "default"] in [line.split() for line in lines]
    assert run(["config", "show", "--json", "a.toml"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["command"] == "server"
    assert {"key": "grace", "value": "5s", "source": "a.toml:3"} in shown["settings"]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config"]) == 0
    assert "check" in capsys.readouterr().out
