"""Configuration files: what they say as configs take it, and what is wrong with its line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from appliance.config.document import open_document
from appliance.config.file import read_settings
from appliance.config.http_client import HttpClientConfig
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError, options_of
from appliance.config.server import ServerConfig
from appliance.config.tcp_client import TcpClientConfig


def write(directory: Path, text: str | bytes, mode: int = 0o600) -> str:
    path = directory / "sluice.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return str(path)


def values(directory: Path, text: str, config_class: type = ServerConfig) -> dict[str, Any]:
    return dict(read_settings(open_document(write(directory, text)), config_class).values)


def complaint(directory: Path, text: str | bytes, config_class: type = ServerConfig, mode: int = 0o600) -> str:
    """Without the path, which every complaint begins with."""
    path = write(directory, text, mode)
    with pytest.raises(ConfigError) as caught:
        read_settings(open_document(path), config_class, [HttpServerConfig, HttpClientConfig])
    assert str(caught.value).startswith(f"{path}:")
    return str(caught.value).removeprefix(f"{path}:").replace(str(directory), "DIR")


def test_all_kinds_of_values(tmp_path: Path) -> None:
    text = """\
    command = "server"  # not an option
    control-port = 9123
    control_addr = "127.0.0.1"
    auto-tls = false
    grace = "1m30s"
    heartbeat = 5
    head-timeout = 0.5
    idle-timeout = "never"
    allow-ports = [443, "1024-65535"]
    allow-ips = "10.0.0.0/8"
    proxy-protocol = "v2"
    trusted-proxies = [
        "192.0.2.1",
        "192.0.2.2",
    ]
    """
    assert values(tmp_path, text) == {
        "control_port": 9123,
        "control_addr": "127.0.0.1",
        "auto_tls": False,
        "grace": 90.0,
        "heartbeat": 5.0,
        "head_timeout": 0.5,
        "idle_timeout": 0.0,
        "allow_ports": ("443", "1024-65535"),
        "allow_ips": ("10.0.0.0/8",),
        "proxy_protocol": "v2",
        "trusted_proxies": ("192.0.2.1", "192.0.2.2"),
    }


@pytest.mark.parametrize("config_class", [ServerConfig, HttpClientConfig, TcpClientConfig])
def test_every_flag_has_a_key(tmp_path: Path, config_class: type) -> None:
    """Its default, where that can be written down, is what the key may say."""
    lines, expected = [], {}
    for field, _ in options_of(config_class):
        value = field.default
        if field.name in ("config", "generate", "generate_name") or not isinstance(value, bool | int | float | str):
            continue
        if value == "" or isinstance(value, str):
            continue
        lines.append(f"{field.name.replace('_', '-')} = {str(value).lower()}")
        expected[field.name] = value
    assert len(expected) > 3
    assert values(tmp_path, "\n".join(lines), config_class) == expected


def test_old_names_work(tmp_path: Path) -> None:
    assert values(tmp_path, 'token-from = "/run/token"') == {"token_file": "/run/token"}


def test_files_are_looked_for_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/pi")
    text = 'token-file = "token"\nauto-tls-path = "../state"\ntls-cert = "/etc/cert"\ntls-key = "~/key"'
    assert values(tmp_path, text) == {
        "token_file": f"{tmp_path}/token",
        "auto_tls_path": f"{tmp_path}/../state",
        "tls_cert": "/etc/cert",
        "tls_key": "/home/pi/key",
    }


def test_a_flag_without_a_value(tmp_path: Path) -> None:
    assert values(tmp_path, "inspect = true", HttpClientConfig) == {"inspect": "127.0.0.1:4040"}
    assert values(tmp_path, "inspect = false", HttpClientConfig) == {"inspect": None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n\nallow-isp = 1", "3: unknown key allow-isp: do you mean allow-ips?"),
        ("xyzzy = 1", "1: unknown key xyzzy: keys are the flags that --help shows"),
        ('url = "x"', "1: url is a key of other commands: this one has no --url"),
        ("[server]\nport = 1", "1: [server] begins a table, and there are none here: write all keys without one"),
        ("[port]\na = 1", "1: port = {...}: a value is wanted here, not a table"),
        ("port.a = 1", "1: port = {...}: a value is wanted here, not a table"),
        ('generate = "docker"', "1: generate is for the command line, and means nothing in a file: leave it out"),
        ('config = "x"', "1: config is for the command line, and means nothing in a file: leave it out"),
        ("data-addr = \"\"\ndata_addr = \"\"", "2: data_addr is there twice, the other one is data-addr"),
        ('port = "80"', "1: port = '80': a whole number is wanted, without quotes"),
        ("port = 80.0", "1: port = 80.0: a whole number is wanted, without quotes"),
        ("port = true", "1: port = true: a whole number is wanted, without quotes"),
        ("port = [80]", "1: port = [80]: one value is wanted here, not several"),
        ('auto-tls = "no"', "1: auto-tls = 'no': true or false is wanted, without quotes"),
        ("data-addr = 1", "1: data-addr = 1: text is wanted, in quotes"),
        ('grace = "soon"', "1: grace = 'soon': a duration is wanted, like \"30s\", \"2m\" or \"1m30s\""),
        ("grace = true", "1: grace = true: a duration is wanted, like \"30s\" or 30"),
        ('log-level = "loud"', "1: log-level = 'loud': one of debug, info, warning, error is wanted"),
        ("allow-ips = [1.5]", "1: allow-ips = [1.5]: 1.5 cannot be in it: a list of texts is wanted, like [\"one\", "
            "\"another\"]"),
        ('allow-ips = [["1.2.3.4"]]', "1: allow-ips = [['1.2.3.4']]: ['1.2.3.4'] cannot be in it: a list of texts is "
            "wanted, like [\"one\", \"another\"]"),
        ('\nallow-ips = [\n"a",\n 1.5,\n]', "4: allow-ips = ['a', 1.5]: 1.5 cannot be in it: a list of texts is "
            "wanted, like [\"one\", \"another\"]"),
        ("allow-ips = true", "1: allow-ips = true: a list of texts is wanted, like [\"one\", \"another\"]"),
        ("grace = 2026-01-01", "1: grace = 2026-01-01: a duration is wanted, like \"30s\" or 30"),
        ("grace = nan", "1: grace = nan: a duration is wanted, like \"30s\" or 30"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert complaint(tmp_path, text) == expected


def test_a_secret_is_for_few_eyes(tmp_path: Path) -> None:
    text = '\ntoken = "abc"'
    assert values(tmp_path, text) == {"token": "abc"}
    for mode in (0o644, 0o604):
        said = complaint(tmp_path, text, mode=mode)
        assert said == "2: token is a secret, and everybody may read this file: chmod o= DIR/sluice.toml"
    write(tmp_path, text, 0o640)
    assert complaint(tmp_path, "token = 7") == "1: token = (a secret): text is wanted, in quotes"


def test_windows_files(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbfport = 1\r\nheartbeat = 5\r\n")
    assert read_settings(open_document(path), ServerConfig).values == {"port": 1, "heartbeat": 5.0}


def test_places(tmp_path: Path) -> None:
    path = write(tmp_path, "\ncontrol_port = 1\n")
    settings = read_settings(open_document(path), ServerConfig)
    assert settings.place("control_port") == f"{path}:2"
    assert os.path.isabs(path)
    path = write(tmp_path, '\nallow-ips = [\n  "10.0.0.1",\n  "10.0.0.1x",\n]\ntrusted-proxies = "10.0.0.1y"\n')
    settings = read_settings(open_document(path), ServerConfig)
    assert settings.place("allow_ips", "--allow-ips '10.0.0.1x' is no address") == f"{path}:4"
    assert settings.place("allow_ips", "--allow-ips is no good") == f"{path}:2"
    assert settings.place("trusted_proxies", "10.0.0.1y") == f"{path}:6"
