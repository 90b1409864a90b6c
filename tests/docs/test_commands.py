"""Every shell block of the README and of docs/ is run as it stands, page by page, in order."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli.certificates_text import _HEADINGS
from tests.docs.pages import PAGES, Block, blocks, name_of, only_block
from tests.docs.scene import Scene, UnknownCommand
from tests.stage.process import ROOT, SLUICE, eventually

# Commands that are not run here, and by whom they are.
ELSEWHERE = {
    "scripts/try": "tests/process/test_try.py",
    "scripts/test": "scripts/test",  # which runs this
    "scripts/bench": "tests/scripts/test_bench.py",
    "scripts/install.sh": "tests/scripts/test_install.py",  # and for real, by scripts/test-install
    "systemctl": "scripts/test-install",
    "journalctl": "scripts/test-install",
}
# What a page says in passing, to be tried when its blocks have run.
AFTERWARDS = {
    "README.md": [
        "curl http://app.example.com:8000/",
        "sluice status --url wss://203.0.113.7:8123 --token-file token",
    ]
}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.close()


def is_elsewhere(block: Block) -> bool:
    return all(command.split()[0] in ELSEWHERE for command in block.commands)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_of(page: Path, scene: Scene) -> None:
    for block in blocks(page):
        if block.language == "nginx":
            scene.start_nginx(block)
        elif block.language == "yaml":
            furnish_prometheus(scene, block)
        elif block.language == "toml":
            furnish_configuration(scene, block)
        elif block.language == "sh" and not is_elsewhere(block):
            scene.run(block)
    for command in AFTERWARDS.get(name_of(page), ()):
        scene.run(Block(page, 0, scene.section, "sh", command))
    checks = {
        "README.md": check_readme,
        "docs/certificates.md": check_certificates,
        "docs/http.md": check_http,
        "docs/letsencrypt.md": check_letsencrypt,
        "docs/running.md": check_running,
        "docs/security.md": check_security,
        "docs/tcp.md": check_tcp,
        "docs/trust.md": check_trust,
    }
    check = checks.get(name_of(page))
    if check is not None:
        check(scene)


def check_readme(scene: Scene) -> None:
    """Both upstreams answer, as the text says in passing."""
    (request,) = scene.upstreams[3000].requests()
    assert request.message.one("x-forwarded-for") == "127.0.0.1"
    scene.run_line("curl http://files.example.com:8000/hello.txt | grep -x hello")


def check_http(scene: Scene) -> None:
    """Every name led to its own upstream, and every way there was used."""
    hosts = {
        port: {record.message.one("host") for record in upstream.requests()}
        for port, upstream in scene.upstreams.items()
    }
    assert hosts[3000] == {"app.example.com", "localhost:3000"}
    assert hosts[3001] == {"printer.lab.example.com"}
    assert hosts[3002] == {f"127.0.0.1:{scene.port(8000)}"}
    assert scene.socket_upstream.requests()
    schemes = [record.message.one("x-forwarded-proto") for record in scene.upstreams[3000].requests()]
    assert "https" in schemes  # by nginx
    assert "203.0.113.7:8123" in scene.proxy.asked


def check_certificates(scene: Scene) -> None:
    """Each way was by HTTPS, the redirected one, too; and the table is laid out as the program lays it out."""
    schemes = [record.message.one("x-forwarded-proto") for record in scene.upstreams[3000].requests()]
    assert schemes == ["https"] * 3
    (told,) = blocks(ROOT / "docs" / "certificates.md", "text")
    (heading,) = (line for line in told.text.splitlines() if line.startswith("Plane"))
    assert heading.split() == list(_HEADINGS)
    assert not any("WARNING" in process.output for process in scene.processes)


def check_letsencrypt(scene: Scene) -> None:
    """What was asked for by HTTPS came by it."""
    (request,) = scene.upstreams[3000].requests()
    assert request.message.one("x-forwarded-proto") == "https"


def check_security(scene: Scene) -> None:
    """The fingerprint of what was fetched is the one that was logged."""
    pem = (scene.directory / "ca.crt").read_text("ascii")
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    assert any(f"fingerprint {fingerprint}" in process.output for process in scene.processes)


def check_tcp(scene: Scene) -> None:
    """What was fetched is there, the visitor's address came along, and each way was used."""
    assert (scene.directory / "hostname").read_bytes() == Path("/etc/hostname").read_bytes()
    assert "PostgreSQL database dump complete" in (scene.directory / "shop.sql").read_text()
    by_nginx, by_name = (record.message for record in scene.upstreams[3000].requests())
    assert (by_nginx.one("x-forwarded-proto"), by_nginx.one("x-forwarded-for")) == ("https", "127.0.0.1")
    assert (by_name.one("host"), by_name.one("x-forwarded-proto")) == ("app.example.com", "http")
    kinds = {"sluice-tcp-server", "sluice-tcp-client", "sluice-server", "sluice-client"}
    assert {process.name.partition("-")[2] for process in scene.processes} == kinds | {""}
    assert not any("does not serve" in process.output for process in scene.processes)


def check_trust(scene: Scene) -> None:
    """Only the client without a pin has remembered anything; and it has said what the page says."""
    clients = [process.output for process in scene.processes if process.name.endswith("client")]
    assert ["first use of" in output for output in clients] == [False, True, False]
    told = next(block for block in blocks(ROOT / "docs" / "trust.md", "text") if block.text.startswith("first use"))
    path = scene.directory / "state" / "known_servers"
    server = f"127.0.0.1:{scene.port(8123)}"
    (known,) = [text for text in path.read_text().splitlines() if not text.startswith("#")]
    assert known.startswith(f"{server} sha256:")
    line = told.text.strip().replace("203.0.113.7:8123", server)
    line = line.replace("/home/pi/.local/state/sluice/known_servers", str(path))
    assert re.sub(r"sha256:\w+", known.split()[1], line) in clients[1]


def furnish_configuration(scene: Scene, block: Block) -> None:
    """Its first line says where it is. A token of the pages lies beside it."""
    path = Path(scene.translated(block.text).split()[1])
    path.write_text(scene.translated(block.text))
    (path.parent / "token").write_text((scene.directory / "token").read_text())


def check_running(scene: Scene) -> None:
    """Server and client were told everything by their files; reloading them changes nothing."""
    (request,) = scene.upstreams[3000].requests()
    assert request.message.one("host") == "app.example.com"
    assert not any("WARNING" in process.output for process in scene.processes if "server" in process.name)
    for process in scene.processes[-2:]:
        os.kill(process.pid, signal.SIGHUP)
        eventually(lambda process=process: "SIGHUP: no setting has changed" in process.output, "reloaded", process)


def test_complaints_about_configuration_files(tmp_path: Path) -> None:
    """They read as the page has them."""
    (told,) = (block for block in blocks(ROOT / "docs" / "running.md", "text") if block.text.startswith("Error: "))
    texts = {6: 'alow-ips = ""', 2: "port = 70000", 5: 'grace = "soon"'}
    for line, (number, text) in zip(told.text.splitlines(), texts.items(), strict=True):
        (tmp_path / "server.toml").write_text("\n" * (number - 1) + text)
        command = [*SLUICE, "http", "server", "--config", "server.toml"]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=20, check=False
        )
        assert (done.returncode, done.stderr) == (2, f"{line}\n")


def furnish_prometheus(scene: Scene, block: Block) -> None:
    directory = scene.directory / "prometheus"
    (directory / "prometheus.yml").write_text(scene.translated(block.text))
    for name in ("sluice-token", "sluice-ca.crt"):
        (directory / name).write_text((scene.directory / "certificates" / "ca.pem").read_text())


def test_what_is_run_elsewhere() -> None:
    """Who runs it is there, and it has the flags that the pages give it."""
    commands = [
        command for page in PAGES for block in blocks(page, "sh") if is_elsewhere(block) for command in block.commands
    ]
    assert {"scripts/try", "scripts/test"} <= set(commands)
    for command in commands:
        script, *flags = shlex.split(command, comments=True)
        assert os.access(ROOT / script, os.X_OK)
        assert (ROOT / ELSEWHERE[script]).is_file()
        text = (ROOT / script).read_text("utf-8")
        assert all(flag in text for flag in flags if flag.startswith("-")), command


def test_every_block_says_what_it_is() -> None:
    # console: what needs machines that are not here
    known = {"sh", "text", "json", "yaml", "nginx", "promql", "console", "toml"}
    for page in PAGES:
        for block in blocks(page):
            is_picture = page.name == "README.md" and not block.language and "──▶" in block.text
            assert block.language in known or is_picture, str(block)


def test_a_command_that_nobody_knows_fails(scene: Scene, tmp_path: Path) -> None:
    """And so does one that ends with an error: these tests can fail."""
    page = PAGES[0]
    for command in ("frobnicate --all", "sudo sluice status", "(umask 077; frobnicate)"):
        with pytest.raises(UnknownCommand):
            scene.run(Block(page, 1, "", "sh", command))
    for command in ("sluice frobnicate", "curl http://127.0.0.1:8000/", "sluice status --frobnicate"):
        with pytest.raises(AssertionError, match=r"README.md:1: exit [1-9]"):
            scene.run(Block(page, 1, "", "sh", command))


def test_prometheus_expressions(tmp_path: Path) -> None:
    """promtool understands every expression that the page advises."""
    block = only_block("monitoring.md", "promql")
    rules = ["groups:", "- name: advised", "  rules:"]
    for number, expression in enumerate(block.text.strip().split("\n\n")):
        indented = "\n".join(f"      {line}" for line in expression.splitlines())
        rules += [f"  - alert: Advice{number}", f"    expr: |\n{indented}"]
    path = tmp_path / "rules.yml"
    path.write_text("\n".join(rules) + "\n")
    checked = subprocess.run(
        ["promtool", "check", "rules", str(path)], capture_output=True, text=True, timeout=20, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules[3:]) // 2} rules found" in checked.stdout
