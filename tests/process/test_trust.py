"""A second server with the same name and another authority: processes as users run them, and what it gets to hear.

Names of other machines lead here by a web proxy: at an address of this machine itself a change is let pass.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.proxy import ConnectProxy
from tests.stage.impostor import Impostor
from tests.stage.process import PATIENCE_SECONDS, SLUICE, Process, eventually
from tests.stage.terminal import Terminal
from tests.stage.tunnel import TOKEN, Tunnel

NAME = "tunnel.test"


def fingerprint_of(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


class Home:
    """The client's machine: its state directory, and the proxy that leads to the server's ports."""

    def __init__(self, directory: Path, tunnel: Tunnel) -> None:
        self.directory = directory
        self.tunnel = tunnel
        self.state = directory / "state"
        self.proxy = ConnectProxy(lambda port: port)
        self.url = f"wss://{NAME}:{tunnel.control_port}"
        self.clients: list[Process] = []
        kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        self.environ = {
            **kept,
            "HTTPS_PROXY": f"http://127.0.0.1:{self.proxy.port}",
            "STATE_DIRECTORY": str(self.state),
        }

    @property
    def known(self) -> str:
        path = self.state / "known_servers"
        return path.read_text() if path.exists() else ""

    def client(self, *flags: str) -> Process:
        command = [
            *SLUICE, "http", "client", "--url", self.url, "--token-file", str(self.tunnel.token_file),
            "--upstream", "http://127.0.0.1:1", *flags,
        ]  # fmt: skip
        name = f"client-{len(self.clients)}"
        client = Process(name, ["env", "-u", "NO_PROXY", "-u", "no_proxy", *command], self.directory, self.environ)
        self.clients.append(client)
        return client

    def connects(self, client: Process) -> None:
        eventually(lambda: client.output.count("connected to wss://"), "the client is connected", client)

    def sluice(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.shell(shlex.join([*SLUICE, *words]))

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command], cwd=Path(__file__).parents[2], env=self.environ, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip

    def close(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self.proxy.close)
            for client in self.clients:
                stack.callback(client.stop)


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[Tunnel]:
    (tmp_path / "server").mkdir()
    tunnel = Tunnel(tmp_path / "server", "--auto-tls-san", NAME)
    yield tunnel
    tunnel.close()


@pytest.fixture
def home(tmp_path: Path, tunnel: Tunnel) -> Iterator[Home]:
    home = Home(tmp_path, tunnel)
    yield home
    home.close()


@pytest.fixture
def impostor(tmp_path: Path, tunnel: Tunnel) -> Iterator[Callable[[], Impostor]]:
    """Takes the server's place when it is called."""
    made: list[Impostor] = []

    def take_over() -> Impostor:
        assert tunnel.authority  # asked for while it can be
        tunnel.server.stop()
        (tmp_path / "impostor").mkdir()
        made.append(Impostor(tmp_path / "impostor", NAME, tunnel.control_port))
        return made[-1]

    yield take_over
    for one in made:
        one.close()


def has_no_token(impostor: Impostor) -> bool:
    """It was asked for its authority, and heard nothing else."""
    lines = impostor.heard.decode().split("\r\n")
    requests = [line for line in lines if " HTTP/1.1" in line]
    assert TOKEN not in impostor.heard.decode() and "Authorization" not in impostor.heard.decode()
    return bool(requests) and set(requests) == {"GET /.well-known/ca.crt HTTP/1.1"}


def test_the_server_says_what_to_pin(tunnel: Tunnel) -> None:
    line = f"authority: sha256:{fingerprint_of(tunnel.authority)}, pin it with --ca-fingerprint"
    assert line in tunnel.server.output


def test_an_impostor_gets_no_token(home: Home, tunnel: Tunnel, impostor: Callable[[], Impostor]) -> None:
    client = home.client()
    home.connects(client)
    old = fingerprint_of(tunnel.authority)
    assert f"first use of {NAME}:{tunnel.control_port}: its authority is sha256:{old}, remembered in" in client.output
    assert f"{NAME}:{tunnel.control_port} sha256:{old} 20" in home.known
    fake = impostor()
    new = fingerprint_of(fake.authority)
    eventually(lambda: client.output.count("is not trusted and did not get the token") > 1, "it is refused", client)
    assert f"sha256:{old}" in client.output and f"sha256:{new}" in client.output
    assert has_no_token(fake)
    client.stop()
    # Later clients fare no better, whatever they are shown.
    shown: dict[str | None, str] = {
        tunnel.authority: "somebody may pose as the server; next try",
        tunnel.authority + fake.authority: "has no certificate at /.well-known/ca.crt but something else; next try",
        None: "it shows no authority of its own, and since",
        "nonsense": "offers no authority of its own; next try",
        fake.authority: f"its authority is sha256:{new}, and since",
    }
    for text, said in shown.items():
        fake.shows = text
        client = home.client()
        eventually(lambda client=client, said=said: said in client.output, f"it is refused: {said}", client)
        assert has_no_token(fake)
    # Until its user says that it is the right one, by the very command that was shown. So this test can fail, too.
    (command,) = set(re.findall(r"Then `([^`]*--ca-fingerprint [^`]*)` accepts it", client.output))
    done = home.shell(command.replace("sluice trust", f"{shlex.join(SLUICE)} trust"))
    assert done.returncode == 0, done.stderr
    eventually(lambda: "refuses the token" in client.output, "the client has sent it", client)
    assert f"Authorization: Bearer {TOKEN}".encode() in fake.heard


def test_a_pinned_client(home: Home, tunnel: Tunnel, impostor: Callable[[], Impostor]) -> None:
    pin = fingerprint_of(tunnel.authority)
    spelled = ":".join(pin.upper()[at : at + 2] for at in range(0, 64, 2))
    client = home.client("--ca-fingerprint", f"sha256:{spelled}")
    home.connects(client)
    wrong = home.client("--ca-fingerprint", "0" * 64)
    eventually(lambda: f"and --ca-fingerprint is sha256:{'0' * 64}" in wrong.output, "the other is refused", wrong)
    fake = impostor()
    eventually(lambda: f"and --ca-fingerprint is sha256:{pin}" in client.output, "it is refused", client)
    assert has_no_token(fake)
    assert not home.state.exists()


def test_own_authorities(home: Home, tunnel: Tunnel, impostor: Callable[[], Impostor]) -> None:
    (home.directory / "ca.pem").write_text(f"# ours\n{tunnel.authority}")
    client = home.client("--tls-ca", str(home.directory / "ca.pem"))
    home.connects(client)
    fake = impostor()
    eventually(lambda: "--tls-ca must hold the authority that issued it" in client.output, "it is refused", client)
    assert fake.heard == b""
    assert not home.state.exists()


def test_a_state_directory_that_cannot_be_written(home: Home, tunnel: Tunnel, impostor: Callable[[], Impostor]) -> None:
    """As a container's. It is said, and believed until the client ends."""
    (home.directory / "file").write_text("")
    home.environ["STATE_DIRECTORY"] = str(home.directory / "file")
    client = home.client()
    home.connects(client)
    assert client.output.count("cannot be remembered (") == 1
    assert f"End that with --ca-fingerprint sha256:{fingerprint_of(tunnel.authority)}" in client.output
    fake = impostor()
    pin = fingerprint_of(fake.authority)
    eventually(lambda: f"Then a start with --ca-fingerprint {pin} accepts it" in client.output, "refused", client)
    assert has_no_token(fake)


def test_status_at_this_machine(home: Home, tunnel: Tunnel) -> None:
    words = ("status", "--url", tunnel.url, "--token-file", str(tunnel.token_file))
    first, second = home.sluice(*words), home.sluice(*words)
    assert (first.returncode, second.returncode, second.stderr) == (0, 0, "")
    assert first.stderr.startswith(f"first use of 127.0.0.1:{tunnel.control_port}: ")
    path = home.state / "known_servers"
    path.write_text(home.known.replace(fingerprint_of(tunnel.authority), "ab" * 32))
    third = home.sluice(*words)
    assert third.returncode == 0 and third.stderr.startswith("Warning: 127.0.0.1:")
    assert home.sluice(*words).stderr == ""


@pytest.mark.parametrize("command", ["trust", "status --token x", "doctor"])
def test_waiting_in_vain_is_ended_by_ctrl_c(tmp_path: Path, command: str) -> None:
    """And leaves nothing on the terminal but what was printed before."""
    words = command.split()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"wss://127.0.0.1:{silent.getsockname()[1]}"
        environ = {"STATE_DIRECTORY": str(tmp_path / "state")}
        terminal = Terminal([*SLUICE, words[0], "--url", url, *words[1:]], tmp_path, environ)
        try:
            terminal.shows(f"{url} ...")
            terminal.type("\x03")
            assert terminal.wait() == 130
            terminal.until(lambda: f"{url} ..." not in terminal.text, "the line is taken back")
            assert "KeyboardInterrupt" not in terminal.text
        finally:
            terminal.close()


def test_the_list(home: Home, tunnel: Tunnel) -> None:
    pin = fingerprint_of(tunnel.authority)
    asked = home.sluice("trust", "--url", home.url)
    assert asked.returncode == 1 and f"Shows:   sha256:{pin}" in asked.stdout
    assert f"repeat this with --ca-fingerprint {pin}" in asked.stderr
    assert home.sluice("trust", "--url", home.url, "--ca-fingerprint", "0" * 64).returncode == 1
    assert home.sluice("trust", "--url", home.url, "--ca-fingerprint", pin).returncode == 0
    assert (home.state / "known_servers").stat().st_mode & 0o777 == 0o600
    assert f"{NAME}:{tunnel.control_port}" in home.sluice("trust", "--list").stdout
    client = home.client()
    home.connects(client)
    assert "first use" not in client.output
    assert home.sluice("trust", "--url", home.url, "--forget").returncode == 0
    assert home.sluice("trust", "--list").stdout.startswith("No servers are known")
