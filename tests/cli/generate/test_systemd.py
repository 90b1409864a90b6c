"""Units, looked at by systemd's own tools."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from appliance.cli.generate import systemd
from appliance.cli.generate.plan import PROGRAM
from appliance.config.options import ConfigError
from tests.cli.generate.making import CLIENTS, COMMANDS, NAMED, SERVERS, URL, plan
from tests.stage.process import run

MOST_EXPOSURE = 2.5
ODD = 'a=/srv/100% of $HOME "here"\\\'s'


@pytest.mark.parametrize("command", COMMANDS)
def test_systemd_has_nothing_to_say(command: str, tmp_path: Path) -> None:
    """The text as printed, taken apart as its first lines tell."""
    text = systemd.generate(plan(*COMMANDS[command])).replace(PROGRAM, "/bin/true")
    text = text.replace(f"# {systemd.DIRECTORY}/", f"# {tmp_path}/")
    (tmp_path / "units.txt").write_text(text)
    awk = re.search(r"awk '(.*)' units.txt", text)
    assert awk is not None
    script = awk[1].replace(r"\/etc\/systemd\/", str(tmp_path).replace("/", r"\/") + r"\/")
    run("awk", script, str(tmp_path / "units.txt"))
    units = sorted(str(path) for path in tmp_path.glob("*.s*"))
    assert len(units) == len(systemd.units(plan(*COMMANDS[command])))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (service,) = tmp_path.glob("*.service")
    told = run("systemd-analyze", "security", "--offline=yes", "--no-pager", str(service)).decode()
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert exposure is not None and float(exposure[1]) <= MOST_EXPOSURE


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.replace(" \\\n", " ").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_what_the_service_promises() -> None:
    service = settings(systemd.units(plan("http", "server", "--grace", "45s"))["sluice-server.service"])
    for name, value in {
        "Type": "notify", "Restart": "always", "WatchdogSec": "60", "LimitNOFILE": "1048576", "NoNewPrivileges": "yes",
        "ProtectSystem": "strict", "AmbientCapabilities": "CAP_NET_BIND_SERVICE", "StateDirectory": "sluice",
        "LoadCredential": "token:/etc/sluice/token", "User": "sluice", "TimeoutStopSec": "60",
    }.items():  # fmt: skip
        assert service[name] == [value]
    (command,) = service["ExecStart"]
    assert command.split() == [PROGRAM, "http", "server", "--token-file=${CREDENTIALS_DIRECTORY}/token", "--grace=45s"]


def test_a_socket_for_each_listener() -> None:
    units = systemd.units(plan("server", "--letsencrypt-domain", "a.example.com", "--allow-ports", "2222"))
    names = ["http", "https", "control", "tcp-2222"]
    assert list(units) == ["sluice-server.service", *(f"sluice-server-{name}.socket" for name in names)]
    for name, where in zip(names, ["80", "443", "0.0.0.0:8123", "2222"], strict=True):
        socket = settings(units[f"sluice-server-{name}.socket"])
        assert (socket["FileDescriptorName"], socket["ListenStream"]) == ([name], [where])
        assert socket["Service"] == ["sluice-server.service"]
    service = settings(units["sluice-server.service"])
    assert service["Also"] == [" ".join(list(units)[1:])]


def test_what_systemd_cannot_listen_on_is_left_to_the_program() -> None:
    """Names, and ports that are free to choose; a client listens nowhere."""
    assert list(systemd.units(plan("http", "server", "--data-addr", "localhost", "--control-port", "0"))) == [
        "sluice-server.service"
    ]
    units = systemd.units(plan("http", "server", "--data-addr", "::1"))
    assert "ListenStream=[::1]:8000\n" in units["sluice-server-http.socket"]
    assert list(systemd.units(plan(*CLIENTS["both"]))) == ["sluice-client.service"]
    assert list(systemd.units(plan(*SERVERS["tcp"]))) == ["sluice-server.service", "sluice-server-control.socket"]


def test_files_that_root_alone_may_read_are_handed_over() -> None:
    given = ["--data-cert", "/l/a b.pem", "--data-key", "/l/100%.key", "--data-cert-dir", "/certs"]
    text = systemd.units(plan("http", "server", *given))["sluice-server.service"]
    service = settings(text)
    assert service["LoadCredential"] == [
        "token:/etc/sluice/token", "data-cert-1:/l/a b.pem", "data-key-1:/l/100%%.key",
    ]  # fmt: skip
    assert "--data-key=${CREDENTIALS_DIRECTORY}/data-key-1" in service["ExecStart"][0]
    assert "--data-cert-dir=/certs" in service["ExecStart"][0]
    assert "must be able to read /certs" in text and "restart it when a certificate was renewed" in text


def test_words_that_systemd_would_change() -> None:
    (command,) = settings(systemd.units(plan("http", "client", *URL, "--upstream", ODD))["sluice-client.service"])[
        "ExecStart"
    ]
    assert '%%' in command and "$$HOME" in command  # fmt: skip
    as_read = shlex.split(command.replace("$$", "$").replace("%%", "%"))  # its quotes are a shell's, for such words
    assert as_read[-1] == f"--upstream={ODD}"


def test_homes_are_hidden_but_for_what_is_in_one() -> None:
    def protect(*upstreams: str) -> list[str]:
        words = [word for upstream in upstreams for word in ("--upstream", upstream)]
        return settings(systemd.units(plan("http", "client", *URL, *words))["sluice-client.service"])["ProtectHome"]

    assert protect("/srv/share") == protect("a=http://127.0.0.1", "b=/homestead") == ["yes"]
    assert protect("/srv/share", "b=unix:/home/pi/app.sock") == protect("/root") == ["read-only"]


@pytest.mark.parametrize("upstream", ["/tmp/site", "unix:/var/tmp/app.sock", "/tmp"])
def test_what_a_service_could_not_see(upstream: str) -> None:
    with pytest.raises(ConfigError, match="--upstream .*PrivateTmp"):
        systemd.generate(plan("http", "client", *URL, "--upstream", upstream))


def test_a_client_has_no_right_that_it_does_not_need() -> None:
    service = settings(systemd.units(plan(*CLIENTS["http"]))["sluice-client.service"])
    assert (service["CapabilityBoundingSet"], "AmbientCapabilities" in service) == ([""], False)
    low = plan(*CLIENTS["tcp"], "--local", "25:mail:25")
    assert settings(systemd.units(low)["sluice-client.service"])["AmbientCapabilities"] == ["CAP_NET_BIND_SERVICE"]


def test_a_state_directory_of_the_users_own() -> None:
    def of(path: str) -> str:
        return systemd.units(plan("http", "server", "--auto-tls-path", path))["sluice-server.service"]

    assert "ReadWritePaths=/data/keys\n" in of("/data/keys")
    assert "--auto-tls-path=/data/keys" in of("/data/keys")
    assert "ReadWritePaths" not in of("/var/lib/sluice/")
    assert "ReadWritePaths=/somewhere/keys\n" in of("keys")
    assert 'ReadWritePaths="/data/my \\"keys\\" 100%%"\n' in of('/data/my "keys" 100%')


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (("--data-cert-dir", "/home/pi/certificates"), "read-only"),
        (("--auto-tls-path", "/root/keys"), "read-only"),
        (("--data-cert-dir", "/srv/certificates"), "yes"),
    ],
)
def test_homes_are_seen_where_something_is_in_one(words: tuple[str, ...], seen: str) -> None:
    assert settings(systemd.units(plan("http", "server", *words))["sluice-server.service"])["ProtectHome"] == [seen]


@pytest.mark.parametrize("flag", ["--data-cert-dir", "--auto-tls-path"])
def test_nothing_that_is_needed_may_be_in_tmp(flag: str) -> None:
    with pytest.raises(ConfigError, match=f"{flag}.*: .*PrivateTmp.* /tmp/it"):
        systemd.units(plan("http", "server", flag, "/tmp/it"))


def test_a_configuration_file_in_a_home() -> None:
    service = systemd.units(dataclasses.replace(plan("http", "server"), config_file="/home/pi/server.toml"))
    assert settings(service["sluice-server.service"])["ProtectHome"] == ["read-only"]


def test_all_commands_have_been_tried() -> None:
    assert len(COMMANDS) == len(SERVERS) + len(CLIENTS) and NAMED.keys() == SERVERS.keys()
