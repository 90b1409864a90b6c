"""testssl.sh looks at both planes: it finds nothing but what docs/security.md explains."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import rows
from tests.stage.authority import Authority
from tests.stage.process import ROOT, Process, eventually, free_port
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream

EXPLAINED = {cells[0].strip("`"): cells[1] for cells in rows(ROOT / "docs" / "security.md", r"`\w+`")}
GRAVE = ("MEDIUM", "HIGH", "CRITICAL")
HOST = "a.example"
SCAN = ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1"]
# What is looked at, in two runs, since each waits most of its time. Left out is only what simulates old programs.
PARTS = {"settings": ["-p", "-s", "-f", "-P", "-S", "-h"], "weaknesses": ["-U"]}
SCAN_SECONDS = 280.0  # bound of the wait: the four take a third of that of two idle processors


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[tuple[Tunnel, int, Path]]:
    """With a visitor's name, the port for HTTPS, and the authority of its certificate."""
    authority = Authority(tmp_path / "issuer")
    certificate, key = authority.issue(HOST)
    port = free_port()
    flags = ["--https-port", str(port), "--data-cert", str(certificate), "--data-key", str(key), "--hsts", "365d"]
    upstream = Upstream()
    tunnel = Tunnel(tmp_path, *flags)
    try:
        tunnel.add_client("client", f"*=http://127.0.0.1:{upstream.port}")
        yield tunnel, port, authority.ca_file
    finally:
        tunnel.close()
        upstream.close()


def test_nothing_is_found_but_what_is_explained(tunnel: tuple[Tunnel, int, Path], tmp_path: Path) -> None:
    server, port, ca_file = tunnel
    own_ca = tmp_path / "own.pem"
    own_ca.write_text(server.authority)
    planes = {"data": (f"{HOST}:{port}", ca_file), "control": (f"localhost:{server.control_port}", own_ca)}
    scans: dict[tuple[str, str], Process] = {}
    with contextlib.ExitStack() as stack:
        for plane, (place, ca) in planes.items():
            for part, flags in PARTS.items():
                command = [
                    *SCAN,
                    *flags,
                    "--add-ca",
                    str(ca),
                    "--jsonfile",
                    str(tmp_path / f"{plane}-{part}.json"),
                    place,
                ]
                scans[plane, part] = Process(f"testssl-{plane}-{part}", command, tmp_path, {"TMPDIR": str(tmp_path)})
                stack.callback(scans[plane, part].stop)
        for name, scan in scans.items():
            eventually(lambda scan=scan: not scan.alive, f"{name} is through", seconds=SCAN_SECONDS)
    found = {name: findings(tmp_path / f"{name[0]}-{name[1]}.json") for name in scans}
    grave: dict[str, str] = {}
    for plane in planes:
        settings, weaknesses = found[plane, "settings"], found[plane, "weaknesses"]
        assert len(settings) > 60 and len(weaknesses) > 20, "the scans were whole"
        assert [settings[name][1] for name in ("TLS1_1", "TLS1_2", "ALPN")] == ["not offered", "offered", "http/1.1"]
        assert settings["TLS1_3"][1].startswith("offered") and settings["cert_chain_of_trust"][1] == "passed."
        assert weaknesses["heartbleed"][0] == "OK"
        for name, (severity, text) in (settings | weaknesses).items():
            if severity in GRAVE:
                grave[name] = severity
                assert EXPLAINED.get(name) == severity, f"{plane} plane, {name}: {severity}, {text}"
    assert grave == EXPLAINED, "what is found no more needs no explanation"


def findings(path: Path) -> dict[str, tuple[str, str]]:
    """Severity and text of each, by its name."""
    return {one["id"]: (one["severity"], one["finding"]) for one in json.loads(path.read_text("utf-8"))}
