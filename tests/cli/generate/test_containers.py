"""Commands and files for docker, podman and their compose."""

from __future__ import annotations

import itertools
import shlex
import subprocess
from typing import Any

import pytest
import yaml

from appliance.config.options import ConfigError
from tests.cli.generate.making import CLIENTS, COMMANDS, SERVERS, URL, printed
from tests.stage.process import run


def command(*words: str) -> list[str]:
    """What a shell makes of it."""
    text = printed(*words, of="docker")
    run("sh", "-n", data=text.encode())
    (line,) = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    return shlex.split(line)


def service(*words: str) -> dict[str, Any]:
    top = yaml.safe_load(printed(*words, of="compose"))
    (found,) = top["services"].values()
    assert set(found["secrets"]) == set(top["secrets"])
    named = {volume["source"] for volume in found["volumes"] if volume["type"] == "volume"}
    assert named == set(top.get("volumes", {}))
    return dict(found)


def values(words: list[str], flag: str) -> list[str]:
    return [word for before, word in itertools.pairwise(words) if before == flag]


@pytest.mark.parametrize("name", COMMANDS)
def test_both_run_the_same(name: str) -> None:
    words = command(*COMMANDS[name])
    image = words.index("sluice:0.1.0")
    found = service(*COMMANDS[name])
    assert found["command"] == words[image + 1 :]
    assert found["image"] == "sluice:0.1.0"
    assert found.get("ports", []) == values(words, "--publish")
    assert found["read_only"] and found["cap_drop"] == values(words, "--cap-drop") == ["ALL"]
    assert "--read-only" in words and "no-new-privileges" in words
    assert f"{found['stop_grace_period']}" == f"{values(words, '--stop-timeout')[0]}s" == "40s"


def test_ports_are_published() -> None:
    assert values(command("server", "--allow-ports", "2222,5000-5001"), "--publish") == [
        "8000:8000", "8123:8123", "2222:2222", "5000:5000", "5001:5001",
    ]  # fmt: skip
    assert "--sysctl" not in command("http", "server")
    low = ["http", "server", "--port", "80"]
    assert values(command(*low), "--sysctl") == service(*low)["sysctls"] == ["net.ipv4.ip_unprivileged_port_start=0"]


@pytest.mark.parametrize(
    ("words", "host"),
    [
        (["http", "client", *URL, "--upstream", "http://localhost:3000"], True),
        (["http", "client", *URL, "--upstream", "http://127.0.0.1:3000"], True),
        (["http", "client", "--url", "ws://127.0.0.1:8123", "--upstream", "http://web"], True),
        ([*CLIENTS["tcp"], "--local", "5432:db:5432"], True),
        (["http", "client", *URL, "--upstream", "http://web:3000,f=/srv/share"], False),
        (SERVERS["http"], False),
    ],
)
def test_whose_loopback_it_is(words: list[str], host: bool) -> None:
    assert (values(command(*words), "--network") == ["host"]) == host
    assert (service(*words).get("network_mode") == "host") == host


def test_what_is_mounted() -> None:
    words = ["http", "client", *URL, "--upstream", "f=/srv/a b,g=unix:/run/app/app.sock", "--tls-ca", "/ca.pem"]
    mounts = values(command(*words), "--mount")
    assert mounts == [
        "type=bind,source=/etc/sluice/token,target=/run/secrets/token,readonly",
        "type=bind,source=/ca.pem,target=/run/secrets/tls-ca,readonly",
        "type=bind,source=/srv/a b,target=/srv/a b,readonly",
        "type=bind,source=/run/app,target=/run/app,readonly",
    ]
    found = service(*words)
    binds = [(bind["source"], bind["target"]) for bind in found["volumes"] if bind["type"] == "bind"]
    assert binds == [("/srv/a b", "/srv/a b"), ("/run/app", "/run/app")]
    assert found["secrets"] == ["token", "tls-ca"]


def test_dollars_are_not_replaced() -> None:
    """Neither by a shell nor by compose."""
    words = ["http", "client", *URL, "--upstream", "f=/srv/$HOME"]
    assert "--upstream=f=/srv/$HOME" in command(*words)
    found = service(*words)
    assert found["command"][-1] == "--upstream=f=/srv/$$HOME" and found["volumes"][-1]["source"] == "/srv/$$HOME"


@pytest.mark.parametrize("of", ["docker", "compose"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tcp", "server"], "--allow-ports"),
        (["http", "server", "--data-addr", "203.0.113.7"], "--data-addr"),
        (["http", "server", "--control-addr", "127.0.0.1"], "--control-addr"),
        (["http", "server", "--control-port", "0"], "port 0"),
    ],
)
def test_what_a_container_cannot_do(words: list[str], said: str, of: str) -> None:
    with pytest.raises(ConfigError, match=said):
        printed(*words, of=of)


def test_shellcheck_has_nothing_to_say() -> None:
    text = printed(*COMMANDS["both server"], "--generate-name", "x", of="docker")
    done = subprocess.run(["shellcheck", "-"], input=text, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_state_directory_of_the_users_own() -> None:
    """It takes the place of the volume: what is in there already goes on being used."""
    words = ["http", "server", "--auto-tls-path", "/srv/my keys"]
    mounts = values(command(*words), "--mount")
    assert "type=bind,source=/srv/my keys,target=/var/lib/sluice" in mounts
    assert not values(command(*words), "--volume")
    found = service(*words)
    assert found["volumes"] == [{"type": "bind", "source": "/srv/my keys", "target": "/var/lib/sluice"}]
    assert "--auto-tls-path=/var/lib/sluice" in found["command"]
    assert "chown -R 65532 '/srv/my keys'" in printed(*words, of="docker")


def test_directories_of_certificates_are_mounted() -> None:
    words = ["http", "server", "--data-cert-dir", "/etc/certificates"]
    target = "/run/secrets/data-cert-dir-1"
    assert f"--data-cert-dir={target}" in service(*words)["command"]
    assert {"type": "bind", "source": "/etc/certificates", "target": target, "read_only": True} in service(*words)[
        "volumes"
    ]
    assert f"type=bind,source=/etc/certificates,target={target},readonly" in values(command(*words), "--mount")


def test_a_socket_among_those_of_the_machine() -> None:
    """It is mounted alone: all of /run would show the engine's own, and hide where secrets are."""
    words = ["http", "client", *URL, "--upstream", "a=unix:/run/app.sock"]
    assert "type=bind,source=/run/app.sock,target=/run/app.sock,readonly" in values(command(*words), "--mount")
    assert {"type": "bind", "source": "/run/app.sock", "target": "/run/app.sock", "read_only": True} in service(*words)[
        "volumes"
    ]
    assert "Start it anew when /run/app.sock was made anew" in printed(*words, of="compose")
