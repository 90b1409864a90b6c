"""A client at rest, as on a small machine: what it has in memory, and what it must not load to get there."""

from __future__ import annotations

import compileall
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stage.process import PATIENCE_SECONDS, ROOT, eventually
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream
from tests.stage.visitor import get, once

# What a client takes for itself is 15 MiB; pages of files, which programs share, are 14 to 18 more, depending on how
# Python was built. docs/install.md has the sums for Debian's; scripts/test-install measures them there.
MOST_OWN_KIB = 17 * 1024
MOST_RSS_KIB = 34 * 1024

# What starts a client, but for its end: there it says what has been loaded.
START = """
import json, sys
from appliance.transport import ciphers
ciphers.prefer_cheaper()
from appliance.client import running
running.run = lambda agent, reload: print(json.dumps(sorted(sys.modules)))
from appliance.cli.main import run
sys.exit(run(sys.argv[1:]))
"""
# Each is a tenth of a megabyte to several, for something that a client does without.
UNWANTED = {
    "appliance.cli.generate",
    "appliance.config.control_plane",
    "appliance.config.doctor",
    "appliance.fileserver",
    "appliance.server",
    "appliance.tunnel.inspector",
    "click.shell_completion",
    "difflib",
    "encodings.idna",
    "hashlib",
    "pathlib",
    "secrets",
    "stringprep",
    "subprocess",
    "urllib",
}


def loaded(directory: Path, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", START, *arguments],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(directory / "state")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", ["client", "http client", "tcp client"])
@pytest.mark.parametrize("in_file", [True, False])
def test_what_a_client_loads(tmp_path: Path, words: str, in_file: bool) -> None:
    (tmp_path / "token").write_text("t" * 32)
    given = {"url": "wss://server.example.com:8123", "token-file": "token", "upstream": "127.0.0.1:2222"}
    (tmp_path / "c.toml").write_text("".join(f'{key} = "{value}"\n' for key, value in given.items()))
    flags = ["--config=c.toml"] if in_file else [f"--{key}={value}" for key, value in given.items()]
    if words == "tcp client":
        flags.append("--port=2222")
    found = loaded(tmp_path, *words.split(), *flags)
    assert not found & UNWANTED
    assert {"gevent", "ssl", "appliance.client.agent"} <= found  # it was one


def resident_kib(pid: int, what: str) -> int:
    """By the name that proc(5) has for it."""
    (line,) = re.findall(rf"^{what}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(line)


def test_a_client_at_rest_is_small(tmp_path: Path) -> None:
    # As it is installed: a start that has to compile what it loads never gives that memory back.
    compileall.compile_dir(ROOT / "appliance", quiet=1)
    tunnel, upstream = Tunnel(tmp_path), Upstream()
    try:
        client = tunnel.add_client("client", f"app.example.com=http://127.0.0.1:{upstream.port}")
        (session,) = tunnel.status()["clients"]
        assert tunnel.url.startswith("wss://") and session["clientID"] in tunnel.clients
        eventually(
            lambda: once(tunnel.port, get("/", "app.example.com")).status == 200, "a request is answered", client
        )
        assert resident_kib(client.pid, "RssAnon") < MOST_OWN_KIB
        assert resident_kib(client.pid, "VmRSS") < MOST_RSS_KIB
    finally:
        tunnel.close()
        upstream.close()
