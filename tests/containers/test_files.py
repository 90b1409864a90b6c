"""Dockerfile, compose.yaml, Procfile, fly.toml: what can be said of them without what runs them.

scripts/test-image builds the image and runs it.
"""

from __future__ import annotations

import fnmatch
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance import __version__
from appliance.cli.generate.containers import USER_ID
from tests.stage.process import ROOT, SLUICE, run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
FLY = tomllib.loads((ROOT / "fly.toml").read_text())
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


def understood(*words: str) -> None:
    """The program takes these arguments; nothing is started."""
    run(*SLUICE, *words, "--generate", "systemd")


# ---- Dockerfile


def test_the_dockerfile_copies_what_is_there_and_not_ignored() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert all((ROOT / name).exists() for name in names)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert names == kept
    assert any(fnmatch.fnmatch("appliance/cli/__pycache__", line) for line in ignored if "/" in line)


def test_it_runs_as_the_user_that_is_generated_for() -> None:
    assert f"USER {USER_ID}:{USER_ID}" in DOCKERFILE and f"--uid {USER_ID}" in DOCKERFILE
    assert DOCKERFILE.rindex("\nUSER ") < DOCKERFILE.index("\nENTRYPOINT ")
    assert (ROOT / "scripts" / "healthcheck").stat().st_mode & 0o111


def test_versions_are_the_programs() -> None:
    for name in ("Dockerfile", "compose.yaml"):
        assert set(re.findall(r"\bsluice:([\d.]+)", (ROOT / name).read_text())) == {__version__}, name


# ---- compose


def services(*names: str) -> list[dict[str, Any]]:
    return [COMPOSE["services"][name] for name in names]


def test_what_compose_names_is_there() -> None:
    volumes = set(COMPOSE["volumes"])
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert (ROOT / source).exists() if source.startswith(".") else source in volumes
            assert target.startswith("/")
        assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])


def test_compose_starts_what_the_program_takes() -> None:
    for service in services("server", "client"):
        understood(*service["command"])
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert any(volume == "shared:/run/sluice:ro" for volume in service["volumes"])
        assert "ports" not in service or all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_each_waits_for_what_it_needs() -> None:
    (prepare, server, client, authority, prometheus) = services(
        "prepare", "server", "client", "authority", "prometheus"
    )
    assert prepare["build"] == "." and prepare["user"] == "0:0" and prepare["network_mode"] == "none"
    assert "prepare" in server["depends_on"] and "prepare" in client["depends_on"]
    assert authority["depends_on"]["server"]["condition"] == "service_healthy"
    assert prometheus["depends_on"]["authority"]["condition"] == "service_completed_successfully"
    run("sh", "-n", data=prepare["command"][0].encode())
    compile(authority["command"][0], "authority", "exec")


def test_no_secret_is_in_compose() -> None:
    text = (ROOT / "compose.yaml").read_text()
    assert "--token=" not in text and "--token-file=/run/sluice/token" in text
    assert "PASSWORD" not in text


def test_prometheus_understands_its_configuration(tmp_path: Path) -> None:
    mounts = [volume.split(":")[:2] for volume in COMPOSE["services"]["prometheus"]["volumes"]]
    (path,) = [source for source, target in mounts if target == "/etc/prometheus/prometheus.yml"]
    text = (ROOT / path).read_text()
    (tmp_path / "token").write_text("x")
    ca_file = re.search(r"ca_file: (\S+)", text)
    assert ca_file is not None
    text = text.replace("/run/sluice/token", str(tmp_path / "token"))
    text = text.replace(f"ca_file: {ca_file[1]}", "insecure_skip_verify: true")
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/", f"{ROOT}/monitoring/"))
    run("promtool", "check", "config", str(tmp_path / "prometheus.yml"))


# ---- platforms


def test_the_procfile() -> None:
    words = shlex.split(PROCFILE["web"].replace("$CONTROL_DOMAIN", "tunnel.example.com"))
    assert words[:3] == ["python", "-m", "appliance"]
    understood(*words[3:])
    assert "--port" not in PROCFILE["web"]  # $PORT says it


def test_fly() -> None:
    words = shlex.split(FLY["processes"]["app"])
    understood(*words)
    assert int(FLY["env"]["PORT"]) == FLY["http_service"]["internal_port"]
    domain = words[words.index("--control-domain") + 1]
    (check,) = FLY["http_service"]["checks"]
    assert check["headers"]["Host"] == domain  # else it would ask the data plane
    assert FLY["http_service"]["min_machines_running"] == 1 and FLY["http_service"]["auto_stop_machines"] == "off"
    assert (ROOT / FLY["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("port", ["", "8080", "nonsense"])
def test_the_port_that_a_platform_gives(port: str) -> None:
    done = subprocess.run(
        [*SLUICE, "http", "server", "--generate", "docker"],
        capture_output=True, text=True, timeout=20, check=False, cwd=ROOT, env={"PORT": port},
    )  # fmt: skip
    if port == "nonsense":
        assert done.returncode == 2 and "'PORT'" in done.stderr and "--port" in done.stderr
    else:
        assert f"--publish {port or 8000}:" in done.stdout
