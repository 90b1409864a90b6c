"""What the pages' commands play in: the places, ports and programs that they name, in a directory of a test.

The pages use fixed addresses, such as 203.0.113.7:8123. Here each has a stand-in on this machine; nothing else of a
command is changed.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization

from appliance.certificates.issue import issue_server, new_authority, parse_name
from tests.docs.pages import Block
from tests.docs.proxy import ConnectProxy
from tests.stage.openssh import OpenSsh
from tests.stage.pebble import Pebble
from tests.stage.postgresql import PostgreSql
from tests.stage.process import PATIENCE_SECONDS, ROOT, Process, eventually, free_port, listening
from tests.stage.upstream import Upstream

# Ports that the pages name, and who is there.
UPSTREAM_PORTS = (3000, 3001, 3002)
PROXY_PORT = 3128
SSH_PORT, POSTGRESQL_PORT = 22, 5432
OTHER_PORTS = (80, 443, 2222, 8000, 8080, 8123)
# Documented names that must be this machine's for programs that look them up.
HOME_ASSISTANT = "homeassistant.local:8123"
SERVER_HOSTS = {"203.0.113.7": "127.0.0.1", "tunnel.example.com": "localhost"}
# Other machines, beside the client or the server. They have services on the very ports that a tunnel opens.
OTHER_MACHINES, ELSEWHERE = re.compile(r"\b(?:192\.168\.0\.[12]0|10\.0\.0\.2)\b"), "127.0.0.2"
CERTIFIED = ("tunnel.example.com", "app.example.com", "files.example.com", "localhost", "127.0.0.1")
DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}


class Staying(NamedTuple):
    """What is started and stays: in whose place, by what it is ready, and what its flags default to where a test cannot
    have that."""

    role: str
    ready: str
    defaults: str = ""


SERVER, CLIENT, FILES, STATUS = "server", "client", "file server", "sluice status"
ROLES = (SERVER, CLIENT, FILES)
_PLACES = "--control-port=8123 --data-addr=127.0.0.1 --control-addr=127.0.0.1"
STAYING = {
    "sluice http server": Staying(SERVER, "clients: ", f"--port=8000 {_PLACES}"),
    "sluice tcp server": Staying(SERVER, "clients: ", _PLACES),
    "sluice server": Staying(SERVER, "clients: ", f"--port=8000 {_PLACES}"),
    "sluice http client": Staying(CLIENT, "connected to "),
    "sluice tcp client": Staying(CLIENT, "connected to "),
    "sluice client": Staying(CLIENT, "connected to "),
    "sluice fileserver": Staying(FILES, "password is ", "--port=8080"),
}
# What ends by itself, with exit status 0.
ENDING = {"sluice", "curl", "head", "man", "mkdir", "openssl", "pg_dump", "printf", "promtool", "psql", "scp", "ssh"}
DEFAULTS = {STATUS: "--url=wss://127.0.0.1:8123"}

_SHIM = '#!/bin/sh\nexec "{python}" -m appliance "$@"\n'
_SSH_SHIM = '#!/bin/sh\nexec /usr/bin/{name} -F "{config}" "$@"\n'
_CURL = """
silent
show-error
fail
max-time = 10
noproxy = "*"
connect-to = "::127.0.0.1:"
cacert = "{ca}"
"""
_NGINX = """
daemon off;
master_process off;
error_log {directory}/error.log warn;
pid {directory}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxied;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {snippet}
}}
"""
_URL = re.compile(r"\b(https?|wss?)://([A-Za-z0-9.-]+)(:\d+)?")
# Flags whose values name ports, of ours and of ssh, scp, psql and pg_dump; a port in such a value.
_PORT_FLAG = re.compile(
    r"(?<!\S)((?:--(?:(?:control|https)-)?ports?|--upstream|--local|--allow-[a-z-]+|-[pP])[ =])(\S+)"
)
_PORT = re.compile(r"(?<![\w./-])\d+(?![\w.-])")

_FINGERPRINT = re.compile(r"\b[0-9a-f]{64}\b")
_AUTHORITY = re.compile(r"authority: sha256:([0-9a-f]{64}), pin it")


class UnknownCommand(AssertionError):
    """A page has a command that nothing here knows how to run."""


class Scene:
    """Runs the blocks of one page, in order. Programs run until others of their kind take their place, or the section
    ends: each section stands for itself, on the README's server unless it starts another."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.upstreams = {port: Upstream(f"port {port}") for port in UPSTREAM_PORTS}
        self.socket_upstream = Upstream("socket", path=str(directory / "app.sock"))
        self.proxy = ConnectProxy(self.port)
        self._ports = {port: free_port() for port in OTHER_PORTS}
        self._ports |= {port: upstream.port for port, upstream in self.upstreams.items()}
        self._ports[PROXY_PORT] = self.proxy.port
        self._programs: dict[int, OpenSsh | PostgreSql] = {}  # by the port that the pages give them
        self._paths = {
            "/srv/share": directory / "share",
            "/run/app.sock": directory / "app.sock",
            "/etc/letsencrypt/live/example.com": directory / "certificates",
            "/etc/prometheus": directory / "prometheus",
            "/usr/local/share": directory / "system",
            "/etc/sluice/certificates": directory / "certificates",
            "/etc/sluice": directory / "certificates",
        }
        self._pebbles: list[Pebble] = []  # none, or one
        self.processes: list[Process] = []  # all that were started
        self._running: dict[str, list[Process]] = {role: [] for role in ROLES}
        self._server_kind = ""
        self._standing: Process | None = None  # the README's server, where it is the one that runs
        self.section = ""
        self._furnish()

    def _furnish(self) -> None:
        directory = self.directory
        for name in ("share", "certificates", "prometheus", "bin", "nginx"):
            (directory / name).mkdir()
        (directory / "share" / "index.html").write_text("<p>shared\n")
        (directory / "share" / "hello.txt").write_text("hello\n")
        (directory / "token").write_text("the-token-of-these-pages\n")
        _make_certificates(directory / "certificates")
        (directory / ".curlrc").write_text(_CURL.format(ca=directory / "certificates" / "ca.pem"))
        _make_program(directory / "bin" / "sluice", _SHIM.format(python=sys.executable))
        unwanted = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"}
        kept = {name: value for name, value in os.environ.items() if name.lower() not in unwanted}
        self._environ = {
            **kept,
            "PATH": f"{directory / 'bin'}:{kept['PATH']}:/usr/sbin",
            "PYTHONPATH": str(ROOT),
            "CURL_HOME": str(directory),
            "STATE_DIRECTORY": str(directory / "state"),
            "SSL_CERT_FILE": str(directory / "certificates" / "ca.pem"),  # for what everybody is to trust
        }

    def port(self, documented: int) -> int:
        """The port here that stands in for one of the pages'."""
        return self._ports.get(documented, documented)

    def close(self) -> None:
        with contextlib.ExitStack() as stack:  # all of them, whatever happens
            stack.callback(self.proxy.close)
            for pebble in self._pebbles:
                stack.callback(pebble.close)
            for upstream in (*self.upstreams.values(), self.socket_upstream):
                stack.callback(upstream.close)
            for program in self._programs.values():
                stack.callback(program.close)
            for process in self.processes:
                stack.callback(process.stop)

    # From what a page says to what is run here

    def translated(self, text: str) -> str:
        """The text with the pages' addresses and paths replaced by those that stand in for them."""
        text = text.replace(HOME_ASSISTANT, f"127.0.0.1:{UPSTREAM_PORTS[0]}")
        for path, place in self._paths.items():
            text = text.replace(path, str(place))
        # A proxied client leaves names to the proxy, and certificates must fit what it was told.
        proxied = text.startswith(("HTTPS_PROXY=", "HTTP_PROXY="))
        text = _URL.sub(lambda found: self._translated_url(found, proxied), text)
        text = OTHER_MACHINES.sub(ELSEWHERE, text)
        text = re.sub(r"\blisten +(?:([\d.]+):)?(\d+)(?=[ ;])", self._translated_listen, text)
        text = _PORT_FLAG.sub(lambda found: found[1] + _PORT.sub(lambda port: self._shown(port[0]), found[2]), text)
        for host, place in SERVER_HOSTS.items():  # for ssh and psql
            text = re.sub(rf"(-h |\w+@){re.escape(host)}\b", rf"\g<1>{place}", text)
        text = _FINGERPRINT.sub(lambda found: self._fingerprint() or found[0], text)
        return text.replace("pi@", f"{getpass.getuser()}@")

    def _fingerprint(self) -> str:
        """That of the authority of the server that runs, which stands in for all that the pages have."""
        outputs = (process.output for process in self._running[SERVER])
        return next((found[1] for found in map(_AUTHORITY.search, outputs) if found), "")

    def _translated_listen(self, found: re.Match[str]) -> str:
        return f"listen {found[1] or '127.0.0.1'}:{self._shown(found[2])}"

    def _translated_url(self, found: re.Match[str], proxied: bool) -> str:
        scheme, host, port = found[1], found[2], int((found[3] or ":0")[1:]) or DEFAULT_PORTS[found[1]]
        if proxied and host in SERVER_HOSTS:
            return found[0]
        if host == "proxy.example.com":
            host = "127.0.0.1"
        return f"{scheme}://{SERVER_HOSTS.get(host, host)}:{self.port(port)}"

    def _shown(self, port: str) -> str:
        return str(self.port(int(port)))

    # Running

    def run(self, block: Block) -> None:
        """All commands of a shell block."""
        if block.section != self.section:
            self._begin(block.section)
        fresh: set[str] = set()  # roles that this block has begun to start
        for command in block.commands:
            kind = _kind_of(command)
            if "--generate" in command:
                self.run_line(command, str(block))
            elif kind in STAYING:
                self._start(kind, command, fresh)
            elif kind in DEFAULTS or _first_word(command) in ENDING:
                self._run_to_end(block, kind, command)
            else:
                raise UnknownCommand(f"{block}: tests/docs/scene.py knows nothing about: {command}")

    def _start(self, kind: str, command: str, fresh: set[str]) -> None:
        role, ready, defaults = STAYING[kind]
        if role == CLIENT:
            self._need_server(kind.replace("client", "server"))
        elif role == SERVER:
            self._replace(CLIENT)
            self._server_kind = kind
        if role not in fresh:
            self._replace(role)
            fresh.add(role)
        self._need_programs(command)
        command, names = self._by_pebble(command)
        if "--data-cert" in command:
            defaults = defaults.replace("--port=8000", "--port=80 --https-port=443")
        line = "exec env " + self.translated(_with_defaults(command, defaults))
        name = f"{len(self.processes)}-{kind.replace(' ', '-')}"
        process = Process(name, ["bash", "-euc", line], self.directory, self._environ)
        self.processes.append(process)
        self._running[role].append(process)
        eventually(lambda: ready in process.output, f"{ready!r} of: {line}", process)
        eventually(lambda: process.output.count(": new certificate, good until") == names, f"issued: {line}", process)
        if role == CLIENT:  # the server says this when its ports are open
            (client_id,) = re.findall(r"connected to \S+ as (\w+)", process.output)
            (server,) = self._running[SERVER]
            eventually(
                lambda: re.search(rf"client {client_id} \(.*\) connected from", server.output),
                "served",
                process,
                server,
            )

    def _by_pebble(self, command: str) -> tuple[str, int]:
        """The command with pebble for its ACME server, whichever it names, and how many certificates that is to issue;
        all that need none are left as they are."""
        names = command.count("--letsencrypt-domain")
        if not names:
            return command, 0
        for pebble in self._pebbles:
            pebble.close()
        directory = self.directory / f"acme-{len(self.processes)}"  # each is a server of its own
        directory.mkdir()
        pebble = Pebble(directory)
        self._pebbles = [pebble]
        self._ports |= {80: pebble.http_port, 443: pebble.tls_port}
        with (self.directory / "certificates" / "ca.pem").open("a") as trusted:
            trusted.write(pebble.root())
        command = re.sub(r" --letsencrypt-(issuer|ca) \S+", "", command)
        flags = ["--port=80", f"--https-port={pebble.tls_port}", *pebble.flags()]
        return " ".join([command, *flags]), names

    def _need_programs(self, command: str) -> None:
        """What the pages take for granted at home: sshd on the client's machine, PostgreSQL on another one."""
        if f"127.0.0.1:{SSH_PORT}" in command and SSH_PORT not in self._programs:
            ssh = self._programs[SSH_PORT] = OpenSsh(self.directory)
            self._ports[SSH_PORT] = ssh.port
            for name in ("ssh", "scp"):
                _make_program(self.directory / "bin" / name, _SSH_SHIM.format(name=name, config=ssh.client_config))
        if re.search(rf"[: ]{POSTGRESQL_PORT}\b", command) and POSTGRESQL_PORT not in self._programs:
            database = self._programs[POSTGRESQL_PORT] = PostgreSql(self.directory, ELSEWHERE)
            self._ports[POSTGRESQL_PORT] = database.port

    def _begin(self, section: str) -> None:
        self.section = section
        keep = self._standing in self._running[SERVER]
        for role in reversed(ROLES):
            if role != SERVER or not keep:
                self._replace(role)

    def _replace(self, role: str) -> None:
        for process in self._running[role]:
            assert process.stop() == 0, process.output
        self._running[role] = []

    def _need_server(self, kind: str) -> None:
        """The pages build on the README's server, or on its like for the clients they start."""
        if self._standing in self._running[SERVER] and self._server_kind != kind:
            self._replace(SERVER)
        if not self._running[SERVER]:
            self._start(kind, f"{kind} --token-file token --auto-tls-san 203.0.113.7", set())
            (self._standing,) = self._running[SERVER]

    def _run_to_end(self, block: Block, kind: str, command: str) -> None:
        if kind == STATUS or "8123" in command:
            self._need_server(self._server_kind or "sluice http server")
        self.run_line(_with_defaults(command, DEFAULTS.get(kind, "")), str(block))

    def run_line(self, command: str, place: str = "") -> None:
        """A command that ends by itself, and well."""
        line = self.translated(command)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{place}: exit {done.returncode} of {line}\n{done.stdout}{done.stderr}"

    def start_nginx(self, block: Block) -> None:
        """Debian's nginx with the servers that a page describes."""
        directory = self.directory / "nginx"
        configuration = directory / "nginx.conf"
        snippet = self.translated(block.text)
        configuration.write_text(_NGINX.format(directory=directory, snippet=snippet))
        command = ["nginx", "-p", str(directory), "-c", str(configuration)]
        nginx = Process("nginx", command, directory, self._environ)
        self.processes.append(nginx)
        host = ELSEWHERE if ELSEWHERE in snippet else "127.0.0.1"
        eventually(lambda: listening(self.port(443), host), f"{block}: nginx listens", nginx)


def _kind_of(command: str) -> str:
    """`sluice http client` and the like: the words before the first flag, without settings before them."""
    words = _words(command)
    kind = []
    for word in words:
        if word.startswith("-"):
            break
        kind.append(word)
    return " ".join(kind)


def _first_word(command: str) -> str:
    """The program that a command runs; of `(umask 077; ...)` the one after that."""
    inner = re.fullmatch(r"\(umask 077; (.*)\)", command)
    return _words(inner[1] if inner else command)[0]


def _words(command: str) -> list[str]:
    words = shlex.split(command)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    return words


def _with_defaults(command: str, defaults: str) -> str:
    """The command with those flags that it does not give itself."""
    missing = [flag for flag in defaults.split() if not re.search(rf"{flag.split('=')[0]}[ =]", command)]
    return " ".join([command, *missing])


def _make_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _make_certificates(directory: Path) -> None:
    """An authority that these tests' programs trust as they would a public one, and a certificate of it."""
    now = datetime.now(timezone.utc)
    authority = new_authority(now)
    server = issue_server(authority, [parse_name(name) for name in CERTIFIED], now)
    pem = serialization.Encoding.PEM
    (directory / "ca.pem").write_bytes(authority.certificate.public_bytes(pem))
    (directory / "fullchain.pem").write_bytes(server.certificate.public_bytes(pem))
    (directory / "privkey.pem").write_bytes(
        server.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
