"""Configuration files: what is wrong is told with its line; SIGHUP takes over what has changed, and drops nothing."""

from __future__ import annotations

import os
import re
import signal
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage.load import SteadyLoad
from tests.stage.process import PATIENCE_SECONDS, SLUICE, Process, eventually, free_port, run
from tests.stage.tcp import Echo, closed, exactly, visit
from tests.stage.tunnel import TOKEN
from tests.stage.upstream import MARK, Exchange, Upstream
from tests.stage.visitor import Visitor, get, once

HOST, OTHER = "a.example", "b.example"


class Configured:
    """A server and a client that are told everything by a file each."""

    def __init__(self, directory: Path, upstream: Upstream) -> None:
        self.directory = directory
        self.port, self.control_port, self.door = free_port(), free_port(), free_port()
        (directory / "token").write_text(TOKEN)
        self.server_file, self.client_file = directory / "server.toml", directory / "client.toml"
        self.write_server()
        self.write_client(f'upstream = ["{HOST}=http://127.0.0.1:{upstream.port}"]')
        self.server = Process("server", [*SLUICE, "server", "--config=server.toml"], directory)
        self.client = Process("client", [*SLUICE, "client", "--config=client.toml"], directory)
        eventually(lambda: " connected from " in self.server.output, "the client is there", self.client, self.server)
        self._heard = {self.server: 0, self.client: 0}

    def write_server(self, *lines: str) -> None:
        text = f"""\
        # A server for tests
        command = "server"
        token-file = "token"
        port = {self.port}
        control_port = {self.control_port}
        data-addr = "127.0.0.1"
        control-addr = "127.0.0.1"
        auto-tls = false
        """
        self.server_file.write_text(textwrap.dedent(text) + "\n".join(lines) + "\n")

    def write_client(self, *lines: str) -> None:
        text = f"""\
        command = "client"
        url = "ws://127.0.0.1:{self.control_port}"
        token-file = "token"
        """
        self.client_file.write_text(textwrap.dedent(text) + "\n".join(lines) + "\n")

    def hang_up(self, process: Process) -> str:
        """SIGHUP; the one line that it says then."""
        os.kill(process.pid, signal.SIGHUP)
        self._heard[process] += 1

        def told() -> list[str]:
            return [line for line in process.output.splitlines() if re.search(r"(server|client): SIGHUP: ", line)]

        lines = eventually(lambda: told() if len(told()) == self._heard[process] else None, "it is said", process)
        assert lines is not None
        return lines[-1].partition("SIGHUP: ")[2]

    def close(self) -> None:
        assert self.client.stop() == 0
        assert self.server.stop() == 0
        for process in (self.client, self.server):
            assert "Traceback" not in process.output
            assert TOKEN not in process.output


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream("first")
    yield upstream
    upstream.close()


@pytest.fixture
def another() -> Iterator[Upstream]:
    upstream = Upstream("second")
    yield upstream
    upstream.close()


@pytest.fixture
def both(tmp_path: Path, upstream: Upstream) -> Iterator[Configured]:
    configured = Configured(tmp_path, upstream)
    try:
        yield configured
    finally:
        configured.close()


def test_under_load_nothing_is_dropped(both: Configured, upstream: Upstream, another: Upstream) -> None:
    """Server and client again and again, with lists, timeouts, upstreams and tokens that change each time."""
    load = SteadyLoad(both.port, HOST)
    load.start()
    try:
        for number in range(6):
            (both.directory / "token").write_text(f"{TOKEN}-{number}")
            both.write_server(f'allow-ips = ["127.0.0.1", "10.0.0.{number}"]', f'response-timeout = "{60 + number}s"')
            assert both.hang_up(both.server) == "changed: allow-ips, response-timeout, token"
            there = (another, upstream)[number % 2]
            both.write_client(f'upstream = ["{HOST}=http://127.0.0.1:{there.port}", "{OTHER}=http://127.0.0.1:1"]')
            assert both.hang_up(both.client) == "changed: upstream, token"
            load.go_on(60)
    finally:
        load.end()
    assert not load.failures
    assert both.server.output.count(" connected from ") == 1
    assert {record.message.one("host") for one in (upstream, another) for record in one.requests()} == {HOST}


def test_a_new_name_and_a_new_port(both: Configured, upstream: Upstream, another: Upstream) -> None:
    """Without a new connection; what is under way goes on to where it was."""
    begun, go_on, echo = threading.Event(), threading.Event(), Echo()

    def slowly(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        begun.set()
        go_on.wait(PATIENCE_SECONDS)
        exchange.send(b"done")

    upstream.scripts["/slow"] = slowly
    try:
        with Visitor(both.port) as visitor:
            visitor.send(get("/slow", HOST))
            assert begun.wait(PATIENCE_SECONDS)
            both.write_client(f'upstream = ["{OTHER}=http://127.0.0.1:{another.port}", "{both.door}={echo.address}"]')
            assert both.hang_up(both.client) == "changed: upstream"
            eventually(lambda: once(both.port, get("/", OTHER)).one(MARK) == "second", "the new name is served")
            eventually(lambda: not closed(both.door), "the new port is open")
            with visit(both.door) as door:
                door.sendall(b"hello")
                assert exactly(door, 5) == b"hello"
                assert once(both.port, get("/", HOST)).status == 503  # nobody offers it any more
                both.write_client(f'upstream = "{OTHER}=http://127.0.0.1:{another.port}"')
                assert both.hang_up(both.client) == "changed: upstream"
                eventually(lambda: closed(both.door), "the port is closed")
                door.sendall(b"still")
                assert exactly(door, 5) == b"still"
            go_on.set()
            assert visitor.answer().body == b"halfdone"
        assert both.server.output.count(" connected from ") == 1
    finally:
        go_on.set()
        echo.close()


def test_who_is_let_in(both: Configured) -> None:
    kept = Visitor(both.port)
    assert kept.ask(get("/", HOST)).status == 200
    both.write_server('allow-ips = "192.0.2.0/24"')
    assert both.hang_up(both.server) == "changed: allow-ips"
    assert once(both.port, get("/", HOST)).status == 403
    assert kept.ask(get("/", HOST)).status == 200  # who is there is
    kept.sock.close()
    both.write_server()
    assert both.hang_up(both.server) == "changed: allow-ips"
    assert once(both.port, get("/", HOST)).status == 200


def test_which_ports_may_be_opened(both: Configured) -> None:
    """A port that is allowed no more closes, for new visitors; one that is allowed now opens at once."""
    echo = Echo()
    try:
        both.write_client(f'upstream = "{both.door}={echo.address}"')
        both.hang_up(both.client)
        eventually(lambda: not closed(both.door), "it is open")
        with visit(both.door) as door:
            door.sendall(b"hello")
            assert exactly(door, 5) == b"hello"
            both.write_server("allow-ports = [80]")
            assert both.hang_up(both.server) == "changed: allow-ports"
            eventually(lambda: closed(both.door), "it is closed")
            text = f"the server does not serve {both.door}: the server allows ports 80 (--allow-ports)"
            eventually(lambda: text in both.client.output, "the client is told", both.client)
            door.sendall(b"still")
            assert exactly(door, 5) == b"still"
        both.write_server(f'allow-ports = [80, "{both.door}-{both.door}"]')
        both.hang_up(both.server)
        eventually(lambda: not closed(both.door), "it is open again")
        eventually(lambda: f"the server now serves {both.door}" in both.client.output, "the client is told")
    finally:
        echo.close()


def test_a_new_token(both: Configured) -> None:
    """At once for who comes; who is there stays, and gets more streams."""
    (both.directory / "token").write_text("another-one")
    assert both.hang_up(both.server) == "changed: token"
    command = [*SLUICE, "status", f"--url=ws://127.0.0.1:{both.control_port}"]
    run(*command, f"--token={TOKEN}", status=3)
    assert b"a.example" in run(*command, "--token=another-one")
    visitors = [Visitor(both.port) for _ in range(20)]  # more at once than streams were kept warm
    try:
        for visitor in visitors:
            visitor.send(get("/", HOST))
        assert [visitor.answer().status for visitor in visitors] == [200] * 20
    finally:
        for visitor in visitors:
            visitor.sock.close()
    assert "refuses the token" not in both.client.output
    assert both.hang_up(both.client) == "changed: token"
    assert both.hang_up(both.client) == "no setting has changed"


def test_how_much_is_logged(both: Configured) -> None:
    both.write_server('log-level = "debug"')
    assert both.hang_up(both.server) == "changed: log-level"
    assert once(both.control_port, get("/healthz", "localhost", "Connection: close")).status == 200
    eventually(lambda: "DEBUG" in both.server.output, "more is logged", both.server)


def test_what_needs_a_restart(both: Configured) -> None:
    both.write_server("https-port = 8443")
    said = both.hang_up(both.server)
    assert said.startswith("server.toml:9: --https-port is for HTTPS, which needs certificates: give ")
    assert said.endswith("; everything stays as it was")
    both.write_server('data-addr = "0.0.0.0"\nhead-timeout = 7')
    both.server_file.write_text(both.server_file.read_text().replace('data-addr = "127.0.0.1"\n', "", 1))
    wanted = "changed: head-timeout; data-addr needs a restart and stays as before"
    assert both.hang_up(both.server) == wanted
    both.write_client(f'upstream = "{HOST}=http://127.0.0.1:1"', 'local-addr = "127.0.0.2"', "insecure = true")
    wanted = "changed: upstream; insecure, local-addr need a restart and stay as before"
    assert both.hang_up(both.client) == wanted


BAD = {
    'alow-ips = "10.0.0.0/8"': "unknown key alow-ips: do you mean allow-ips?",
    "grace = [1]": "grace = [1]: one value is wanted here, not several",
    "port = 70000": "port is there twice, the other one is on line",  # by TOML's own rule, below
    "response-timeout = 0": "--response-timeout 0 is too small: at least 0.1",
    'allow-ports = "ssh"': "--allow-ports: ",
    'token = "secret-in-a-file"': "token is a secret, and everybody may read this file: chmod o= server.toml",
    'allow-ips = "10.0.0.0/8': "(a quote that was opened is not closed on its line)",
    'allow-ips = ["no-address"]': "--allow-ips 'no-address' is neither an IP address nor a CIDR block like 10.0.0.0/8",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_file_is_told_by_line_and_changes_nothing(both: Configured, line: str) -> None:
    text = BAD[line]
    both.write_server('allow-ips = "192.0.2.0/24"' if "allow-ips" not in line else "", line)
    said = both.hang_up(both.server)
    assert said.startswith("server.toml:10: ")
    assert text in said
    assert said.endswith("; everything stays as it was")
    assert once(both.port, get("/", HOST)).status == 200
    command = [*SLUICE, "server", "--config=server.toml", "--port=0", "--control-port=0"]
    refused = Process("refused", command, both.directory)
    assert refused.wait() == 2
    assert refused.output.startswith("Error: server.toml:10: ")
    assert refused.output.count("\n") == 1
    check = Process("check", [*SLUICE, "config", "check", "server.toml"], both.directory)
    assert (check.wait(), check.output) == (2, refused.output)
    for process in (refused, check):
        process.stop()


def test_a_file_that_has_gone(both: Configured) -> None:
    both.server_file.unlink()
    said = both.hang_up(both.server)
    assert said == "--config server.toml cannot be read: No such file or directory; everything stays as it was"
    both.client_file.write_text('command = "client"\n')
    assert both.hang_up(both.client) == "Missing option '--url'; everything stays as it was"


def test_where_settings_come_from(both: Configured) -> None:
    answer = once(
        both.control_port,
        get("/api/v1/settings", "localhost", f"Authorization: Bearer {TOKEN}", "Connection: close"),
    )
    assert answer.status == 200
    assert b'"source":"file"' in answer.body.replace(b" ", b"")
