"""User data. `scripts/test-generated` holds it against cloud-init's own schema."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from appliance.cli.generate import systemd
from appliance.config.options import ConfigError
from tests.cli.generate.making import COMMANDS, plan, printed


def user_data(*words: str) -> dict[str, Any]:
    text = printed(*words, of="cloud-init")
    assert text.startswith("#cloud-config\n")  # else cloud-init takes it for something else
    return dict(yaml.safe_load(text))


@pytest.mark.parametrize("command", COMMANDS)
def test_it_writes_the_units(command: str) -> None:
    data = user_data(*COMMANDS[command])
    written = {file["path"].rpartition("/")[2]: file["content"] for file in data["write_files"]}
    assert written == systemd.units(plan(*COMMANDS[command]))
    assert data["runcmd"][-1][:3] == ["systemctl", "enable", "--now"]
    assert set(data["runcmd"][-1][3:]) == written.keys()
    for step in data["runcmd"]:
        words = [step] if isinstance(step, str) else []
        for line in words:
            assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0


def test_the_token_is_made_there() -> None:
    """On a server; a client's is brought by hand."""
    (step,) = [step for step in user_data("http", "server")["runcmd"] if isinstance(step, str)]
    assert "/dev/urandom" in step and step.startswith("test -s /etc/sluice/token || (umask 077;")
    assert not any(isinstance(step, str) for step in user_data(*COMMANDS["http client"])["runcmd"])


def test_certificates_by_acme_need_more() -> None:
    (install,) = [step for step in user_data("http", "server")["runcmd"] if "install" in step and "pip" in step[0]]
    assert install[-1].startswith("sluice-appliance[acme]==")


def test_a_token_elsewhere() -> None:
    with pytest.raises(ConfigError, match="--token-file"):
        user_data("http", "server", "--token-file", "token")


def test_a_state_directory_elsewhere() -> None:
    with pytest.raises(ConfigError, match="--auto-tls-path /srv/keys: .*leave this flag out"):
        printed("http", "server", "--auto-tls-path", "/srv/keys", of="cloud-init")


def test_where_the_program_comes_from() -> None:
    def installs(*words: str) -> str:
        (step,) = [step for step in user_data(*words)["runcmd"] if step[0].endswith("/bin/pip")]
        return str(step[-1])

    assert installs("http", "server") == "sluice-appliance[acme]==0.1.0"
    assert "flag generate-package" in printed("http", "server", of="cloud-init")
    wheel = "https://example.com/sluice_appliance-0.1.0-py3-none-any.whl"
    chosen = ["http", "server", "--generate-package", wheel]
    assert installs(*chosen) == wheel
    assert "flag generate-package" not in printed(*chosen, of="cloud-init")
