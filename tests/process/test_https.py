"""The data plane over TLS with programs as users run them: curl, openssl, signals, files that change."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage.authority import Authority, certificates_of, key_of, write
from tests.stage.messages import Reader
from tests.stage.process import PATIENCE_SECONDS, ROOT, SLUICE, Process, eventually, free_port, run
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream
from tests.stage.visitor import Visitor, get, once

A, B, WILD, LATER = "a.example", "b.example", "x.wild.example", "later.example"


class Stage:
    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "issuer")
        self.watched = directory / "watched"
        self.watched.mkdir()
        self.https_port = free_port()
        self.flags = ["--https-port", str(self.https_port), "--data-cert-dir", str(self.watched)]
        for names in ((A,), (B,), ("*.wild.example",)):
            certificate, key = self.authority.issue(*names)
            self.flags += ["--data-cert", str(certificate), "--data-key", str(key)]
        self.upstream = Upstream()
        self.tunnel = Tunnel(directory, *self.flags, "--hsts", "365d")
        upstreams = (f"{name}=http://127.0.0.1:{self.upstream.port}" for name in (A, B, WILD, LATER))
        self.tunnel.add_client("client", *upstreams)

    def close(self) -> None:
        self.tunnel.close()
        self.upstream.close()

    def curl(self, url: str, *flags: str, status: int = 0) -> str:
        """What curl prints; all names and both usual ports lead here."""
        command = [
            *("curl", "--silent", "--show-error", "--max-time", str(int(PATIENCE_SECONDS)), "--noproxy", "*"),
            *("--connect-to", f":80:127.0.0.1:{self.tunnel.port}"),
            *("--connect-to", f":443:127.0.0.1:{self.https_port}"),
            *("--cacert", str(self.authority.ca_file), *flags, url),
        ]
        return run(*command, status=status).decode()

    def shown(self, name: str) -> set[str]:
        """The names of the certificate that a visitor of this name sees."""
        context = ssl.create_default_context(cafile=str(self.authority.ca_file))
        context.check_hostname = False
        with (
            socket.create_connection(("127.0.0.1", self.https_port), PATIENCE_SECONDS) as sock,
            context.wrap_socket(sock, server_hostname=name) as secured,
        ):
            found = secured.getpeercert()
            assert found is not None
            return {str(value) for _, value in found["subjectAltName"]}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("https"))
    yield stage
    stage.close()


def test_curl_visits_each_name_with_its_certificate(stage: Stage) -> None:
    for name in (A, B, WILD):
        head = stage.curl(f"https://{name}/where", "--include").lower()
        assert head.startswith("http/1.1 200") and "strict-transport-security: max-age=31536000\r\n" in head
        assert head.endswith("/where")
        assert stage.upstream.requests("/where")[-1].message.one("x-forwarded-proto") == "https"
    stage.curl("https://nobody.example/", status=60)  # it has seen a certificate for others


def test_curl_is_led_to_https(stage: Stage) -> None:
    """Through the redirect, method and body come along."""
    flags = ("--location", "--data", "body", "--write-out", " %{http_code} %{num_redirects} %{url_effective}")
    printed = stage.curl(f"http://{A}/x", *flags)
    assert printed == f"body 200 1 https://{A}/x"  # the upstream says bodies back


def test_a_strange_name_leaves_no_traceback(stage: Stage) -> None:
    """`ssl` prints one for a name that is no ASCII."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="aaaaa.example").do_handshake()
    with Visitor(stage.https_port) as visitor:
        visitor.send(outgoing.read().replace(b"aaaaa.example", b"aa\xff\xfea.example"))
        assert visitor.rest()[:1] == b"\x15"
    assert stage.curl(f"https://{B}/") == "/"
    for word in ("Traceback", "please report", "Exception ignored"):
        assert word not in stage.tunnel.server.output


class OpenVisitor(Visitor):
    """On a connection that is there."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self.reader = Reader(sock)


def server_signal(server: Process, number: signal.Signals) -> None:
    os.kill(server.pid, number)


def test_a_new_certificate_without_dropping_anybody(stage: Stage) -> None:
    """By SIGHUP for those of flags and, without being told, for those of a directory."""
    server = stage.tunnel.server
    context = ssl.create_default_context(cafile=str(stage.authority.ca_file))
    with (
        socket.create_connection(("127.0.0.1", stage.https_port), PATIENCE_SECONDS) as sock,
        context.wrap_socket(sock, server_hostname=B) as open_before,
    ):
        visitor = OpenVisitor(open_before)
        assert visitor.ask(get("/1", B)).status == 200
        stage.authority.issue(B, "added.example")
        server_signal(server, signal.SIGHUP)
        eventually(lambda: "added.example" in stage.shown(B), "the new one is used", server)
        assert visitor.ask(get("/2", B)).status == 200

        assert stage.shown(LATER) == {A}  # the first one
        pair = stage.authority.pair(LATER)
        write(stage.watched / "later.pem", key_of(pair) + certificates_of(pair) + stage.authority.pem)
        eventually(lambda: stage.shown(LATER) == {LATER}, "it is found", server)
        assert stage.curl(f"https://{LATER}/3") == "/3"
        assert visitor.ask(get("/3", B)).status == 200


def test_bad_files_leave_what_was_there(stage: Stage) -> None:
    """And are told with flag and file; the server stays up."""
    server = stage.tunnel.server
    certificate, key = (stage.authority.directory / f"{A}.{ending}" for ending in ("crt", "key"))
    before = key.read_bytes()
    write(key, key_of(stage.authority.pair("other.example")))
    try:
        server_signal(server, signal.SIGHUP)
        said = f"--data-key {key} does not belong to the certificate in --data-cert {certificate}"
        eventually(lambda: said in server.output, "it is told", server)
        eventually(lambda: f"{said}; everything stays as it was" in server.output, "nothing is taken over", server)
        assert stage.curl(f"https://{A}/still") == "/still"
    finally:
        write(key, before)
    looked = server.output.count("SIGHUP: looking")
    server_signal(server, signal.SIGHUP)
    eventually(lambda: server.output.count("SIGHUP: looking") > looked, "it looks again", server)
    assert stage.curl(f"https://{A}/again") == "/again"


def test_status_metrics_and_the_command_tell_of_them(stage: Stage) -> None:
    listed = stage.tunnel.status()["certificates"]
    assert [one["plane"] for one in listed][:2] == ["control", "data"]
    assert {one["name"] for one in listed} >= {A, B, "*.wild.example"}
    assert {one["source"] for one in listed} == {"automatic", "own"}
    metrics = stage.tunnel.metrics("certificate_expiry_timestamp_seconds")
    assert f'{{name="{A}",plane="data"}}' in metrics
    asked = ["--url", stage.tunnel.url, "--token-file", str(stage.tunnel.token_file)]
    text = run(*SLUICE, "certificates", *asked).decode()
    assert re.search(rf"^data +own +\d{{4}}-\d\d-\d\d \d\d:\d\d UTC +- +Sluice authority \w+ +{A}$", text, re.MULTILINE)
    kept = run(*SLUICE, "certificates", "--auto-tls-path", str(stage.tunnel.directory / "authority")).decode()
    found = re.search(r"^Fingerprint: (sha256:[0-9a-f]{64})$", kept, re.MULTILINE)
    assert found is not None and found[1] in stage.tunnel.server.output


def test_what_is_wrong_at_the_start_is_one_line(stage: Stage, tmp_path: Path) -> None:
    certificate, key = stage.authority.issue(A, stem="start")
    _, other = stage.authority.issue(B, stem="other")
    old, old_key = stage.authority.issue(A, stem="old", days=-3)
    base = [*SLUICE, "http", "server", "--token", "x", "--auto-tls-path", str(tmp_path), "--control-port", "0"]
    for flags, said in (
        (
            [certificate, other],
            f"Error: --data-key {other} does not belong to the certificate in --data-cert {certificate}",
        ),
        ([old, old_key], f"Error: --data-cert {old} expired on "),
        ([certificate, tmp_path / "no"], f"Error: --data-key {tmp_path / 'no'} cannot be read: No such file"),
        ([key, key], f"Error: --data-cert {key} holds no certificate that can be read: PEM is wanted"),
    ):
        command = [*base, "--data-cert", str(flags[0]), "--data-key", str(flags[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        last = done.stderr.strip().splitlines()[-1]
        assert (done.returncode, last[: len(said)]) == (2, said), done.stderr


def test_plain_http_on_either_tls_port(stage: Stage) -> None:
    assert once(stage.https_port, get("/", A)).status == 400
    answer = once(stage.tunnel.control_port, get("/", "localhost"))
    assert answer.status == 400 and b"This port speaks TLS: write https://" in answer.body


# ---- without AES instructions

PI_4 = "Features\t: fp asimd evtstrm crc32 cpuid\n"
AS_ON_A_PI = """
import sys
from pathlib import Path
from appliance.transport import ciphers
ciphers._CPU_INFORMATION = Path(sys.argv.pop(1))
from appliance.__main__ import main
main()
"""


def agreed(port: int, name: str, *flags: str) -> str:
    """The suite that openssl and the server agree on."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name, *flags]
    found = re.search(r"Cipher is (\S+)", run(*command).decode("utf-8", "replace"))
    assert found is not None
    return found[1]


def test_without_aes_instructions_both_planes_agree_on_chacha20(stage: Stage, tmp_path: Path) -> None:
    cpu = tmp_path / "cpuinfo"
    cpu.write_text(PI_4)
    port, https_port, control_port = free_port(), free_port(), free_port()
    command = [
        sys.executable, "-c", AS_ON_A_PI, str(cpu), "http", "server", "--data-addr", "127.0.0.1", "--control-addr",
        "127.0.0.1", "--token", "x", "--auto-tls-path", str(tmp_path / "state"), "--control-port", str(control_port),
        *stage.flags, "--port", str(port), "--https-port", str(https_port),
    ]  # fmt: skip
    server = Process("pi", command, tmp_path, {"PYTHONPATH": str(ROOT)})
    try:
        eventually(lambda: "clients: " in server.output, "it is ready", server)
        for ours in (https_port, control_port):
            assert agreed(ours, A, "-tls1_3") == "TLS_CHACHA20_POLY1305_SHA256"
            assert agreed(ours, A, "-tls1_2") == "ECDHE-ECDSA-CHACHA20-POLY1305"
            assert agreed(ours, A, "-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256") == "TLS_AES_128_GCM_SHA256"
    finally:
        assert server.stop() == 0


def test_with_them_visitors_without_get_chacha20_as_they_wish(stage: Stage) -> None:
    """Who names it first has no AES instructions."""
    aes, chacha20 = "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"
    if " aes" in Path("/proc/cpuinfo").read_text():
        assert agreed(stage.https_port, A, "-tls1_3") == aes
        assert agreed(stage.https_port, A, "-tls1_3", "-ciphersuites", f"{aes}:{chacha20}") == aes
    assert agreed(stage.https_port, A, "-tls1_3", "-ciphersuites", f"{chacha20}:{aes}") == chacha20
    old = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"
    assert agreed(stage.https_port, A, "-tls1_2", "-cipher", old) == "ECDHE-ECDSA-CHACHA20-POLY1305"


@pytest.mark.parametrize("flags", [("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_2", "-cipher", "AES128-SHA")])
def test_nothing_old_is_agreed_on(stage: Stage, flags: tuple[str, ...]) -> None:
    for port in (stage.https_port, stage.tunnel.control_port):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *flags]
        done = subprocess.run(command, input=b"", capture_output=True, timeout=PATIENCE_SECONDS, check=False)
        assert done.returncode != 0 or b"Cipher is (NONE)" in done.stdout
