"""The cheaper cipher first: what is known of a processor, and what OpenSSL makes of it in programs of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.transport import ciphers
from appliance.transport.ciphers import has_aes
from tests.stage.process import PATIENCE_SECONDS, ROOT

PI_4 = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n"
PI_5 = PI_4.replace("crc32", "aes pmull sha1 sha2 crc32")
INTEL = "vendor_id\t: GenuineIntel\nflags\t\t: fpu vme sse4_2 x2apic aes xsave avx\n"
CELERON = INTEL.replace(" aes", "")

AES_FIRST = ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"]
CHACHA20_FIRST = ["TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(PI_4, False), (PI_5, True), (INTEL, True), (CELERON, False), ("", True), ("isa\t: rv64imafdc\n", True)],
)
def test_processors(text: str, expected: bool) -> None:
    assert has_aes(text) is expected


SCRIPT = """
import json, os, sys
from appliance.transport import ciphers
loaded = [name for name in ("_ssl", "_hashlib") if name in sys.modules]
if sys.argv[1]:
    ciphers.prefer_cheaper(sys.argv[1])
from appliance.transport import tls
server, client = tls._server_side(["http/1.1"]), tls.client_context(None)
print(json.dumps({
    "loaded": loaded,
    "server": [suite["name"] for suite in server.get_ciphers()],
    "client": [suite["name"] for suite in client.get_ciphers()],
    "rest": [str((context.options, context.minimum_version, context.maximum_version, context.verify_mode,
                  context.verify_flags, getattr(context, "security_level", None), len(context.get_ca_certs())))
             for context in (server, client)],
    "configuration": os.environ.get("OPENSSL_CONF"),
}))
"""


def seen(cpu_information: Path | str, **environ: str) -> dict[str, list[str]]:
    """What a new process has in its contexts."""
    command = [sys.executable, "-c", SCRIPT, str(cpu_information)]
    environ = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **environ}
    done = subprocess.run(command, env=environ, capture_output=True, check=True, timeout=PATIENCE_SECONDS)
    found: dict[str, list[str]] = json.loads(done.stdout)
    assert found["loaded"] == []  # nothing that we import has loaded OpenSSL before
    return found


def test_without_aes_instructions_chacha20_comes_first_and_nothing_else_changes(tmp_path: Path) -> None:
    cpu = tmp_path / "cpuinfo"
    cpu.write_text(PI_4)
    usual, without = seen(""), seen(cpu)
    for side in ("server", "client"):
        assert usual[side][:3] == AES_FIRST
        assert without[side][:3] == CHACHA20_FIRST
        assert sorted(usual[side]) == sorted(without[side])  # the same ones
        assert "AES" in usual[side][3] and "CHACHA20" in without[side][3]
    assert usual["rest"] == without["rest"]


def test_with_aes_instructions_nothing_is_touched(tmp_path: Path) -> None:
    cpu = tmp_path / "cpuinfo"
    cpu.write_text(INTEL)
    assert seen(cpu) == seen("") == seen(tmp_path / "missing")
    assert seen(cpu)["configuration"] is None


def test_a_configuration_of_the_users_stays(tmp_path: Path) -> None:
    cpu, own = tmp_path / "cpuinfo", tmp_path / "own.cnf"
    cpu.write_text(PI_4)
    own.write_text("")
    found = seen(cpu, OPENSSL_CONF=str(own))
    assert found["configuration"] == str(own)
    assert found["server"][:3] == AES_FIRST


def test_ecdsa_comes_before_rsa_and_all_are_modern() -> None:
    suites = ciphers.suites().split(":")
    for kind in ("AESGCM", "CHACHA20"):
        of_kind = [suite for suite in suites if kind in suite]
        assert ["ECDSA" in suite for suite in of_kind] == [True, False]
    assert all(suite.startswith("ECDHE+") for suite in suites)
