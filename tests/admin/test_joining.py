"""Commands for a new client: right for their readers, whatever was asked for, and without the token."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.admin import joining
from appliance.admin.joining import Plan
from appliance.wire.address import AddressError

NASTY = "unix:/run/a b'c\"$HOME%h`id`;#\\x"
FINGERPRINT = "ab" * 32


def planned(mode: str = "http+tcp", names: Any = (), ports: Any = (), url: str = "wss://203.0.113.7:8123") -> Plan:
    return joining.plan(mode, url, names, ports, FINGERPRINT, "0.1.0")


@pytest.fixture
def nasty() -> Plan:
    return planned(names=[("a.example.com", NASTY), ("*", "/srv/a b?browse=true")], ports=[(2222, "127.0.0.1:22")])


def expected(plan: Plan, token_file: str) -> list[str]:
    return [word for words in plan.arguments(token_file) for word in words]


@pytest.mark.parametrize(
    ("names", "ports", "kind"),
    [
        ([("a", "http://x:1")], [], ("http", "client")),
        ([], [(22, "x:22")], ("tcp", "client")),
        ([("a", "http://x:1")], [(22, "x")], ("client",)),
    ],
)
def test_the_command_fits_what_is_offered(names: Any, ports: Any, kind: tuple[str, ...]) -> None:
    assert planned(names=names, ports=ports).kind == kind


def test_targets_are_written_out() -> None:
    plan = planned(names=[("A.Example.com", "127.0.0.1:80"), ("", "localhost:3000")], ports=[(2222, "10.0.0.1")])
    assert plan.upstreams == ("a.example.com=http://127.0.0.1", "*=http://localhost:3000", "2222=10.0.0.1:2222")


def test_what_is_pinned() -> None:
    assert FINGERPRINT in expected(planned(names=[("a", "http://x:1")]), "t")
    assert "--ca-fingerprint" not in expected(planned(names=[("a", "http://x:1")], url="ws://x:1"), "t")


@pytest.mark.parametrize(
    ("mode", "names", "ports"),
    [
        ("tcp", [("a", "http://x:1")], []),
        ("http", [], [(22, "x:22")]),
        ("http", [], []),
        ("http", [("a", "http://x:1"), ("a", "http://x:1")], []),
        ("http", [("a", "http://x:1,b=http://y:1")], []),
        ("tcp", [], [(22, "x:22,23=y:23")]),
        ("tcp", [], [(22, "user@x:22")]),
    ],
)
def test_what_cannot_be(mode: str, names: Any, ports: Any) -> None:
    with pytest.raises(AddressError):
        planned(mode, names, ports)


def test_the_shell_reads_it_right(nasty: Plan) -> None:
    script = joining.shell(nasty).replace("sluice ", "printf '%s\\0' ", 1)
    done = subprocess.run(["sh", "-euc", script], capture_output=True, check=True, timeout=10)
    assert done.stdout.decode().split("\0")[:-1] == expected(nasty, "token")
    script = joining.docker(nasty).replace("docker ", "printf '%s\\0' ", 1)
    done = subprocess.run(["bash", "-euc", script], capture_output=True, check=True, timeout=10)
    words = done.stdout.decode().split("\0")[:-1]
    assert words[words.index("sluice:0.1.0") + 1 :] == expected(nasty, "/run/secrets/token")


def test_the_unit_reads_it_right(nasty: Plan) -> None:
    unit = joining.systemd(nasty).replace("\\\n", " ")
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line.removeprefix("ExecStart="))]
    assert words[1:] == expected(nasty, "${CREDENTIALS_DIRECTORY}/token")
    assert "LoadCredential=token:" in unit and "DynamicUser=yes" in unit


def test_kubernetes_reads_it_right(nasty: Plan) -> None:
    found = yaml.safe_load(joining.kubernetes(nasty))
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert container["args"] == expected(nasty, "/run/secrets/sluice/token")
    assert container["volumeMounts"][0]["name"] == found["spec"]["template"]["spec"]["volumes"][0]["name"]
    assert found["spec"]["template"]["metadata"]["labels"] == found["spec"]["selector"]["matchLabels"]


def test_a_line_break_breaks_nothing() -> None:
    for target in ("http://x:1\n[Service]", "unix:/a\nb", "/srv/a\nb"):
        with pytest.raises(AddressError):
            planned(names=[("a", target)])


def test_the_token_stands_in_none(nasty: Plan) -> None:
    for text in joining.commands(nasty).values():
        assert "--token-file" in text and "--token " not in text


def test_the_unit_is_understood(nasty: Plan, tmp_path: Path) -> None:
    """By systemd itself, where there is one."""
    path = tmp_path / "sluice-client.service"
    path.write_text(joining.systemd(nasty).replace("/usr/local/bin/sluice", "/bin/true"))
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=30, check=False
        )
    except FileNotFoundError:
        return
    assert path.name not in done.stderr, done.stderr


def test_what_a_container_does_not_have() -> None:
    plan = planned(names=[("a", "http://127.0.0.1:1"), ("b", "/srv/a b?browse=true")])
    assert "--volume '/srv/a b:/srv/a b:ro'" in joining.docker(plan)
    assert "the pod itself" in joining.kubernetes(plan) and "# Mount" in joining.kubernetes(plan)
    elsewhere = planned(names=[("a", "http://shop:1")], ports=[(2222, "db:22")])
    assert "the pod itself" not in joining.kubernetes(elsewhere) and "# Mount" not in joining.kubernetes(elsewhere)
    assert joining.docker(elsewhere).count("--volume") == 1
    assert "the pod itself" in joining.kubernetes(planned(ports=[(2222, "localhost:22")]))
