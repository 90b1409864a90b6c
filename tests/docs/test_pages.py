"""What the pages say is so: links lead somewhere, flags and metrics exist, defaults and shapes are the program's."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import click
import pytest

from appliance.certificates.known_servers import KnownServers
from appliance.certificates.trust import Distrusted, Trust
from appliance.cli.asking import TokenRefused
from appliance.cli.commands import sluice
from appliance.cli.doctor.rounds import EXIT_ILL
from appliance.cli.main import EXIT_CRASHED, EXIT_INTERRUPTED, EXIT_USAGE
from appliance.cli.manual import walk
from appliance.config.certificates import CertificatesConfig
from appliance.config.client import ClientConfig
from appliance.config.doctor import DoctorConfig
from appliance.config.file_server import FileServerConfig
from appliance.config.http_client import HttpClientConfig
from appliance.config.http_server import HttpServerConfig
from appliance.config.known import KnownConfig
from appliance.config.options import flag, options_of, parse_boolean
from appliance.config.server import ServerConfig
from appliance.config.status import StatusConfig
from appliance.config.tcp_client import TcpClientConfig
from appliance.config.tcp_server import TcpServerConfig
from appliance.config.trust import TrustOptions
from appliance.server.pages import TITLES
from appliance.wire.address import parse_server_url
from tests.docs.pages import ALL_PAGES, PAGES, anchors, blocks, links, name_of, only_block, prose, rows
from tests.stage.process import ROOT, SLUICE, free_port
from tests.stage.tunnel import TOKEN, Tunnel
from tests.stage.upstream import Upstream
from tests.stage.visitor import get, once, request

COMMANDS = (
    ["server"],
    ["client"],
    ["status"],
    ["trust"],
    ["tokens", "add"],
    ["certificates"],
    ["fileserver"],
    ["doctor"],
    ["version"],
    ["man"],
    ["config", "show"],
)  # the first two have all flags of `http` and `tcp`
CONFIGS = (
    ServerConfig,
    ClientConfig,
    StatusConfig,
    KnownConfig,
    CertificatesConfig,
    FileServerConfig,
    DoctorConfig,
)
# Whose tables begin with what other programs have.
OF_OTHERS = "coming-from.md"
SCRIPTS = ("try", "test", "bench", "install.sh")

_flag = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_metric = re.compile(r"\b(?:(?:http|tcp)_(?:data|control)plane|certificate_expiry|sluice)_[a-z_]+\b")
METRIC_ROW = r"`(?:http|tcp|certificate|sluice)_\w+`"


# ---- links


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT) and target.exists(), f"{name_of(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{name_of(page)}: {link}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached = fresh = {ROOT / "README.md"}
    while fresh:
        fresh = {linked for page in fresh for linked in linked_from(page)} & set(ALL_PAGES) - reached
        reached = reached | fresh
    assert set(ALL_PAGES) <= reached


def linked_from(page: Path) -> set[Path]:
    return {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}


# ---- flags


@pytest.fixture(scope="module")
def known_flags() -> set[str]:
    """What --help of the commands shows, and what the scripts' text has."""
    shown = (
        subprocess.run([*SLUICE, *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for words in COMMANDS
    )
    scripts = ((ROOT / "scripts" / name).read_text("utf-8") for name in SCRIPTS)
    return {found for text in (*shown, *scripts) for found in _flag.findall(text)}


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_flags_exist(page: Path, known_flags: set[str]) -> None:
    text = prose(page)
    if page.name == OF_OTHERS:
        text = "\n".join(line.split(" | ", 1)[-1] if line.startswith("|") else line for line in text.splitlines())
    assert set(_flag.findall(text)) <= known_flags


def test_help_shows_every_flag(known_flags: set[str]) -> None:
    """So that the test above knows them all."""
    options = {
        flag(field.name) for config in CONFIGS for field, described in options_of(config) if not described.hidden
    }
    assert options <= known_flags


def test_limits_are_on_the_pages_with_their_defaults() -> None:
    http = limits_of(HttpServerConfig, HttpClientConfig)
    assert dict(defaults_told(ROOT / "docs" / "http.md")) == http
    tcp = limits_of(TcpServerConfig, TcpClientConfig)
    told = {flag: default for flag, default in defaults_told(ROOT / "docs" / "tcp.md") if flag not in http}
    assert http | told == http | tcp


def limits_of(*configs: type) -> dict[str, str]:
    return {
        flag(field.name): shown_default(field, described.default_text)
        for config in configs
        for field, described in options_of(config)
        if described.group == "Limits"
    }


def test_defaults_of_the_file_server() -> None:
    fields = {flag(field.name): (field, described) for field, described in options_of(FileServerConfig)}
    for name, default in defaults_told(ROOT / "docs" / "fileserver.md"):
        field, described = fields[name]
        value = described.default_text or field.default
        if isinstance(value, bool):
            assert value == parse_boolean(default)
        else:
            assert default == ("none" if value is None else str(value))


def defaults_told(page: Path) -> Iterator[tuple[str, str]]:
    for cells in rows(page, r"`--.*"):
        found = _flag.search(cells[0])
        assert found is not None
        yield found[0], cells[1]


def shown_default(field: dataclasses.Field[object], text: str | None) -> str:
    """As --help shows it."""
    return text or (f"{field.default:g}s" if isinstance(field.default, float) else str(field.default))


# ---- commands


def test_every_command_is_on_the_page_with_its_own_words() -> None:
    told = [(cells[0].strip("`"), cells[1]) for cells in rows(ROOT / "docs" / "commands.md", r"`sluice .*`")]
    commands = {
        " ".join(words): " ".join((command.help or "").strip().partition("\n\n")[0].split())
        for words, command in walk(sluice)
        if not isinstance(command, click.Group)
    }
    assert dict(told) == commands and len(told) == len(commands)


def test_exit_statuses_are_on_the_page() -> None:
    told = {int(cells[0]) for cells in rows(ROOT / "docs" / "commands.md", r"\d+")}
    assert told == {0, EXIT_CRASHED, EXIT_USAGE, TokenRefused.exit_code, EXIT_INTERRUPTED, EXIT_ILL}


def test_what_the_doctor_looks_at_is_on_the_page() -> None:
    told = {
        name
        for cells in rows(ROOT / "docs" / "troubleshooting.md", r"`[a-z]+`.*")
        for name in re.findall(r"`([a-z]+)`", cells[0])
    }
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "appliance" / "cli" / "doctor").glob("*.py"))
    assert told == set(re.findall(r'Finding\(\s*"([a-z]+)"', sources))


# ---- answers


def test_every_error_is_explained() -> None:
    told = {int(cells[0]) for cells in rows(ROOT / "docs" / "http.md", r"\d{3}")}
    unused = {HTTPStatus.NOT_IMPLEMENTED}
    assert told == TITLES.keys() - unused


@pytest.fixture(scope="module")
def tunnel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tunnel]:
    """A server that has seen a bit of everything."""
    upstream = Upstream()
    tunnel = Tunnel(tmp_path_factory.mktemp("pages"), mode="")  # both kinds, and what either counts
    port = free_port()
    try:
        names = f"*.lab.example.com=http://127.0.0.1:{upstream.port}"
        tunnel.add_client("client", names, f"{port}=127.0.0.1:{upstream.port}")
        assert once(port, get("/x", "a.example")).status == 200
        assert once(tunnel.port, get("/x", "a.lab.example.com")).status == 200
        assert once(tunnel.port, get("/x", "other.example.com")).status == 404
        assert once(tunnel.port, request("GET / HTTP/1.1")).status == 400
        assert tunnel.control("/status", token="wrong")[0] == 401
        yield tunnel
    finally:
        tunnel.close()
        upstream.close()


def test_metrics_are_on_the_page_and_no_others(tunnel: Tunnel) -> None:
    exposed: dict[str, str] = dict(
        line.split(" ")[2:4]
        for line in tunnel.control("/metrics")[2].decode().splitlines()
        if line.startswith("# TYPE ")
    )
    page = ROOT / "docs" / "monitoring.md"
    table = {cells[0].strip("`"): cells[1] for cells in rows(page, METRIC_ROW)}
    own = {name: kind for name, kind in exposed.items() if not name.startswith(("process_", "python_"))}
    assert table == own
    usual = set(re.findall(r"\b(?:process|python)_\w+", prose(page)))
    assert {name for name in usual if not name.endswith("_")} <= exposed.keys()
    assert any(name.startswith("python_gc_") for name in exposed)


ONLY_WITH_ACME = {"sluice_certificate_failed_orders"}  # looked at in tests/admin


def test_labels_are_those_of_the_metrics(tunnel: Tunnel) -> None:
    text = tunnel.control("/metrics")[2].decode()
    for cells in rows(ROOT / "docs" / "monitoring.md", METRIC_ROW):
        name = cells[0].strip("`")
        found = re.search(rf"^{name}(?:_bucket)?(?:{{(.*)}})? [0-9.e+]+$", text, re.MULTILINE)
        if name in ONLY_WITH_ACME:
            assert f"# TYPE {name} " in text and found is None
            continue
        assert found is not None, name
        labels = set(re.findall(r"(\w+)=", found[1] or "")) - {"le"}
        assert labels == set(re.findall(r"`(\w+)`", cells[2])), name


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_metrics_that_pages_mention_exist(page: Path, tunnel: Tunnel) -> None:
    text = tunnel.control("/metrics")[2].decode()
    exposed = set(re.findall(r"^(?:# TYPE )?(\w+)", text, re.MULTILINE))
    assert set(_metric.findall(page.read_text("utf-8"))) <= exposed


def test_the_status_is_of_the_shape_that_is_told(tunnel: Tunnel) -> None:
    told = json.loads(only_block("monitoring.md", "json").text)
    assert shape(tunnel.status()) == shape(told)


def shape(value: object) -> object:
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return [shape(item) for item in value[:1]] if isinstance(value, list) else type(value)


def test_the_printed_status_is_of_the_form_that_is_told(tunnel: Tunnel) -> None:
    printed = subprocess.run(
        [*SLUICE, "status", "--url", tunnel.url, "--token-file", str(tunnel.token_file)],
        cwd=ROOT, capture_output=True, text=True, timeout=20, check=True,
    ).stdout.splitlines()  # fmt: skip
    told = only_block("monitoring.md", "text").text.splitlines()
    assert len(told) == len(printed)
    for line, other in zip(told[:-2], printed[:-2], strict=True):
        assert line.partition(":")[0] == other.partition(":")[0]
    assert told[-2].split() == printed[-2].split()


def test_paths_answer_as_told(tunnel: Tunnel) -> None:
    found = list(rows(ROOT / "docs" / "monitoring.md", r"`/.*`"))
    assert len(found) == 5
    for path, token, answer, *_ in found:
        path = path.strip("`")
        without = tunnel.control(path, token=None)
        assert without[0] == (401 if token == "yes" else 200), path
        status, _, body = tunnel.control(path, token=TOKEN)
        assert status == 200
        told = re.match(r"200 `(\w+)`", answer)
        assert told is None or body.decode().strip() == told[1]


def test_the_refusal_of_a_changed_server_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = next(block.text for block in blocks(ROOT / "docs" / "trust.md", "text") if "is not trusted" in block.text)
    new, old, _ = re.findall(r"[0-9a-f]{64}", told)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    trust = Trust(TrustOptions(), parse_server_url("wss://203.0.113.7:8123"), environ, lambda level, text: None)
    (tmp_path / "sluice").mkdir()
    known = KnownServers.of(environ)
    known.put("203.0.113.7:8123", old)
    assert known.path is not None
    Path(known.path).write_text(
        re.sub(r"\S+Z$", "2026-01-31T12:23:17Z", Path(known.path).read_text(), flags=re.MULTILINE)
    )
    monkeypatch.setattr("appliance.certificates.trust.one_certificate", lambda shown, server: shown)
    monkeypatch.setattr("appliance.certificates.trust.fingerprint_of", lambda pem: new)
    with pytest.raises(Distrusted) as caught:
        trust.decide("")
    assert str(caught.value) == told.strip()


def test_no_page_is_left_out() -> None:
    assert {name_of(page) for page in PAGES} >= {
        "README.md",
        *(f"docs/{name}.md" for name in ("http", "monitoring", "security", "fileserver")),
    }
    assert all(blocks(page) for page in PAGES if page.name != "benchmarks.md")
