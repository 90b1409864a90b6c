"""scripts/install.sh, as far as it goes without a machine of its own: what it refuses, what it would do, and what it
puts into a root tree. scripts/test-install has it install whole machines."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.docs.pages import PAGES, blocks
from tests.stage.process import ROOT

SCRIPT = ROOT / "scripts" / "install.sh"
SERVER = ("server", "--mode", "http", "--domain", "home.example.com")
TOKEN = "a-token-that-nobody-else-may-see"

Install = Callable[..., "subprocess.CompletedProcess[str]"]


def install(*arguments: object, cwd: Path = ROOT, script: str | Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(script), *map(str, arguments)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PIP_NO_INDEX": "1", "LC_ALL": "C.UTF-8"},
    )


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def client(token_file: Path) -> list[str]:
    words = f"client --url wss://home.example.com:8123 --token-file {token_file} --upstream http://127.0.0.1:3000"
    return [*words.split(), "--ca-fingerprint", "0" * 64]


# ---- arguments


def test_help_names_every_option() -> None:
    told = install("--help")
    assert (told.returncode, told.stderr) == (0, "")
    text = SCRIPT.read_text("utf-8")
    parsed = text[text.index("parse() {") : text.index("check_arguments() {")]
    options = set(re.findall(r"(?<![\w*-])--[a-z][a-z0-9-]+", parsed)) - {"--token"}
    assert options <= set(re.findall(r"--[a-z][a-z0-9-]+", told.stdout))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "say what this machine is to be"),
        ("servers", "servers is not understood"),
        ("server client", "server or client, not both"),
        ("server", "--domain is missing"),
        ("server --domain", "--domain needs a value"),
        ("server --domain=", "--domain needs a value"),
        ("server --domain a/b", "--domain a/b: a name"),
        ("server --domain a.example --domain b;c", "--domain b;c: a name"),
        ("server --domain a.example --domain -x", "--domain -x: a name"),
        ("server --domain a.example --domain 10.0.0.256", "--domain 10.0.0.256: a name"),
        ("server --domain 10.0.0.1 --letsencrypt", "--letsencrypt is for names"),
        ("server --domain a.example --letsencrypt-issuer foo", "--letsencrypt-issuer foo: prod, staging"),
        ("server --domain a.example --letsencrypt-email me", "--letsencrypt-email me is no e-mail address"),
        ("server --domain a.example --port 8123", "port 8123 would be for visitors and for clients"),
        ("server --domain a.example --control-port 8000 --mode both", "port 8000 would be for visitors"),
        ("server --domain a.example --letsencrypt --control-port 443", "port 443 would be for visitors"),
        ("server --domain a.example --port 08", "--port 08: a port is wanted"),
        ("server --domain a.example --mode tcp --allow-ports abc", "--allow-ports abc: ports are wanted"),
        ("server --domain a.example --mode tcp --allow-ports 22,9-8", "--allow-ports 22,9-8: ports are wanted"),
        ("server --domain a.example --source-sha256 zz", "--source-sha256 zz: 64 hex digits"),
        ("server --domain a.example --python /nonexistent --root /", "--python: there is no such program"),
        ("client --url wss://a.example --ca-fingerprint zz", "--ca-fingerprint zz: the 64 hex digits"),
        ("client --url ftp://a.example", "--url ftp://a.example: the server's address"),
        ("server --domains a.example", "there is no option --domains"),
        ("server --domain a.example --mode udp", "--mode udp: http, tcp or both"),
        ("server --domain a.example --port 0", "--port 0: a port is wanted"),
        ("server --domain a.example --control-port 65536", "--control-port 65536: a port is wanted"),
        ("server --domain a.example --port http", "--port http: a port is wanted"),
        ("server --domain a.example --mode tcp --port 80", "--port is for visitors by HTTP"),
        ("server --domain a.example --mode tcp --letsencrypt", "--letsencrypt is for visitors by HTTP"),
        ("server --domain a.example --allow-ports 22", "--allow-ports goes with --mode tcp"),
        ("server --domain a.example --upstream http://b", "--upstream is for: install.sh client"),
        ("server --domain a.example --token secret", "--token would show the token"),
        ("server --domain a.example --token-file /nonexistent", "--token-file /nonexistent cannot be read"),
        ("server --domain a.example --token-file /dev/null", "--token-file /dev/null is empty"),
        ("server --domain a.example --token-file /dev", "--token-file /dev is a directory"),
        ("server --domain a.example --dry-run=yes", "--dry-run takes no value"),
        ("server --domain a.example --keep-data", "--keep-data goes with --uninstall"),
        ("server --domain a.example --source /nonexistent", "--source /nonexistent does not exist"),
        ("server --domain a.example --source /usr", "--source /usr is no checkout"),
        ("server --domain a.example --source /etc/hostname", "neither a checkout nor a wheel"),
        ("server --domain a.example --source http://a.example/a.whl", "add --source-sha256"),
        ("server --domain a.example --root /nonexistent", "--root /nonexistent is no directory"),
        ("server --config /nonexistent", "--config /nonexistent cannot be read"),
        ("server --config /dev/null --port 80", "--config stands for these: leave out --port"),
        ("client --domain a.example", "--domain is for: install.sh server"),
        ("client --upstream http://127.0.0.1:3000", "--url is missing"),
        ("client --url wss://a.example", "--upstream is missing"),
        ("client --url wss://a.example --upstream http://b", "--token-file is missing"),
        ("update --domain a.example", "update keeps the configuration: --domain"),
        ("update --config /etc/hostname", "update keeps the configuration: --config"),
        ("server --config /etc", "--config /etc cannot be read, or is no file"),
        ("update --uninstall", "--uninstall goes with server, client, or neither"),
        ("server --uninstall --port 80", "--uninstall needs no other flags"),
    ],
)
def test_wrong_arguments(words: str, said: str, tmp_path: Path) -> None:
    told = install(*words.split(), cwd=tmp_path)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("Error: ") and said in told.stderr
    assert told.stderr.count("\n") == 1


def test_a_token_that_can_be_read_only_once(tmp_path: Path) -> None:
    """As a shell's <(...) hands it over: the second reading would find nothing, and that would be the token."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    told = install("client", "--url", "wss://a.example", "--upstream", "http://b", "--token-file", pipe, cwd=tmp_path)
    assert told.returncode == 2
    assert told.stderr == f"Error: --token-file {pipe} is a pipe, which can be read only once: name a file\n"


def test_a_value_with_a_line_break() -> None:
    told = install("server", "--domain", 'a.example"\nport = 1')
    assert told.returncode == 2
    assert "--domain: its value has a control character" in told.stderr


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ('ID=debian\nVERSION_ID="11"\n', "debian 11 is not supported"),
        ("ID=debian\n", "debian without a release number is not supported"),
        ('ID=fedora\nVERSION_ID="43"\n', "fedora 43 is not supported"),
        (None, "an unknown system without a release number is not supported"),
    ],
)
def test_other_systems(release: str | None, said: str, tmp_path: Path) -> None:
    if release is not None:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc" / "os-release").write_text(release)
    told = install(*SERVER, "--root", tmp_path, "--dry-run")
    assert told.returncode == 1
    assert said in told.stderr and "Debian 12 and 13" in told.stderr and "--any-system" in told.stderr
    told = install(*SERVER, "--root", tmp_path, "--dry-run", "--any-system")
    assert told.returncode == 0
    assert said in told.stderr


# ---- a dry run


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("", ['command = "http server"', 'auto-tls-san = ["home.example.com"]']),
        ("--domain 203.0.113.7 --port 80", ['auto-tls-san = ["home.example.com", "203.0.113.7"]', "port = 80"]),
        ("--mode tcp --allow-ports 22,443", ['command = "tcp server"', 'allow-ports = ["22,443"]']),
        ("--mode=both --control-port=9000", ['command = "server"', "control-port = 9000"]),
        (
            "--letsencrypt-email me@example.com --letsencrypt-issuer staging",
            [
                'letsencrypt-domain = ["home.example.com"]',
                'letsencrypt-email = "me@example.com"',
                'letsencrypt-issuer = "staging"',
            ],
        ),
    ],
)
def test_dry_run_of_a_server(words: str, lines: Sequence[str], tree: Path) -> None:
    before = files_in(tree)
    told = install(*SERVER, *words.split(), "--root", tree, "--dry-run")
    assert told.returncode == 0, told.stderr
    shown = [line.strip() for line in told.stderr.splitlines()]
    for line in lines:
        assert line in shown
    assert "== would make a token in /etc/sluice/token (600 root:root)" in shown
    assert files_in(tree) == before


def test_dry_run_of_a_client(tree: Path, token_file: Path) -> None:
    words = [*client(token_file), "--upstream", 'say"=\\http://127.0.0.1:3000', "--root", tree, "--dry-run"]
    told = install(*words)
    assert told.returncode == 0, told.stderr
    assert f"would copy {token_file} to /etc/sluice/token" in told.stderr
    assert r'upstream = ["http://127.0.0.1:3000", "say\"=\\http://127.0.0.1:3000"]' in told.stderr
    assert TOKEN not in told.stderr
    assert "== would enable" not in told.stderr


def test_lines_of_the_pages() -> None:
    """Each line that the pages show of it is understood."""
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.commands if "install.sh" in line]
    assert lines
    for line in lines:
        line = re.sub(r"--token-file \S+", "--token-file /etc/hostname", line)
        line = re.sub(r"--source \S+\.whl( --source-sha256 \S+)?", "", line)
        words = line[line.index("install.sh") :].split()[1:]
        told = install(*words, "--dry-run", "--any-system")
        # Where nothing is installed there is nothing to update, and nothing to remove.
        missing = {"update": "nothing is installed here yet", "--uninstall": "this script has installed nothing here"}
        assert told.returncode == 0 or missing.get(words[0], "?") in told.stderr, told.stderr


def test_out_of_a_pipe(tmp_path: Path) -> None:
    """`curl ... | sh -s -- server`: there is no checkout around it then."""
    told = subprocess.run(
        ["sh", "-s", "--", *SERVER, "--dry-run", "--any-system"],
        input=SCRIPT.read_text("utf-8"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert told.returncode == 2
    assert "say with --source where the program is" in told.stderr


# ---- into a root tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


def make_tree(path: Path) -> Path:
    (path / "etc").mkdir(parents=True)
    (path / "etc" / "os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    for name in ("passwd", "group", "shadow", "gshadow"):
        (path / "etc" / name).touch()
    return path


def files_in(tree: Path) -> dict[str, tuple[int, int]]:
    """What is there, with mode and size; but for what user management leaves of its own."""
    own = re.compile(r"etc/(\.pwd\.lock|(passwd|group|g?shadow|sub[ug]id)-?)|var/log(/.*)?")
    found = {str(path.relative_to(tree)): path.lstat() for path in tree.rglob("*")}
    return {name: (status.st_mode, status.st_size) for name, status in found.items() if not own.fullmatch(name)}


def make_wheel(directory: Path, version: str = "0.1.0") -> Path:
    """A stand-in for the program's wheel that needs no package index: it leads to this checkout and to what the tests
    run on."""
    name, info = "sluice_appliance", f"sluice_appliance-{version}.dist-info"
    files = {
        "sluice.pth": f"{ROOT}\n{sysconfig.get_path('purelib')}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: acme\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nsluice = appliance.__main__:main\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return wheel


class Machine:
    """A root tree that things are installed into, with the wheel that they are from."""

    def __init__(self, directory: Path) -> None:
        self.tree = make_tree(directory / "tree")
        self.wheel = make_wheel(directory)
        self.fresh = files_in(self.tree)

    def install(self, *arguments: object, source: object = None) -> subprocess.CompletedProcess[str]:
        return install(
            *arguments, "--root", self.tree, "--source", source or self.wheel, "--python", sys.executable, cwd=self.tree
        )

    def path(self, name: str) -> Path:
        return self.tree / name

    def mode(self, name: str) -> int:
        return self.path(name).stat().st_mode & 0o7777

    def version(self) -> str:
        return os.readlink(self.path("opt/sluice/current")).partition("/")[2].partition("-")[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Nothing that is done to it may leave it other than it was."""
    machine = Machine(tmp_path_factory.mktemp("server"))
    told = machine.install(*SERVER)
    assert told.returncode == 0, told.stderr
    assert "is installed: sluice-server.service" in told.stderr
    assert "client --url wss://home.example.com:8123 --token-file sluice-token --ca-fingerprint" in told.stdout
    assert machine.path("etc/sluice/token").read_text().strip() not in told.stdout + told.stderr
    return machine


def test_what_is_where(server: Machine) -> None:
    assert server.mode("etc/sluice") == 0o750
    assert server.mode("etc/sluice/token") == 0o600
    assert server.mode("etc/sluice/server.toml") == 0o640
    assert server.mode("var/lib/sluice") == 0o700
    assert len(base64.b64decode(server.path("etc/sluice/token").read_text())) == 32
    assert os.readlink(server.path("usr/local/bin/sluice")) == "/opt/sluice/bin/sluice"
    completion = server.path("usr/local/share/bash-completion/completions/sluice").read_text()
    assert "_SLUICE_COMPLETE" in completion
    command = server.path("opt/sluice/bin/sluice").read_text()
    assert command.startswith("#!/opt/sluice/versions/0.1.0-"), "not where it was built, but where it will be"


def test_the_units(server: Machine) -> None:
    units = server.path("etc/systemd/system")
    service = (units / "sluice-server.service").read_text()
    assert "ExecStart=/opt/sluice/bin/sluice http server" in service
    assert "--config=/etc/sluice/server.toml" in service
    assert "LoadCredential=token:/etc/sluice/token\n" in service
    assert str(server.tree) not in "".join(path.read_text() for path in units.glob("sluice-*"))
    for wants, unit in (
        ("multi-user.target", "sluice-server.service"),
        ("sockets.target", "sluice-server-http.socket"),
        ("sockets.target", "sluice-server-control.socket"),
    ):
        assert os.readlink(units / f"{wants}.wants" / unit) == f"/etc/systemd/system/{unit}"
        assert (units / unit).exists()


def test_systemd_understands_the_units(server: Machine, tmp_path: Path) -> None:
    for path in server.path("etc/systemd/system").glob("sluice-*"):
        # What is verified must be there to be run.
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/sluice/bin/sluice", "/bin/true"))
    analyze = shutil.which("systemd-analyze")
    command = ["ls"] if analyze is None else [analyze, "verify", "--man=no"]
    told = subprocess.run(
        [*command, *sorted(tmp_path.iterdir())], capture_output=True, text=True, timeout=30, check=False
    )
    assert [line for line in told.stderr.splitlines() if "sluice" in line] == []


def test_twice_changes_nothing(server: Machine) -> None:
    before = files_in(server.tree)
    token = server.path("etc/sluice/token").read_bytes()
    assert server.install(*SERVER).returncode == 0
    assert server.install("update").returncode == 0
    assert files_in(server.tree) == before
    assert server.path("etc/sluice/token").read_bytes() == token


def test_what_was_edited_is_not_overwritten(server: Machine) -> None:
    config = server.path("etc/sluice/server.toml")
    text = config.read_text()
    config.write_text(f"{text}port = 8001\n")
    told = server.install(*SERVER, "--port", 8002)
    assert told.returncode == 2
    assert "/etc/sluice/server.toml was edited, and is left as it is: leave out --mode --domain --port" in told.stderr
    assert server.install("update").returncode == 0
    assert "ListenStream=8001" in server.path("etc/systemd/system/sluice-server-http.socket").read_text()
    assert server.install(*SERVER, "--replace-config").returncode == 0
    assert config.read_text() == text
    old = config.with_suffix(".toml.old")
    assert "port = 8001" in old.read_text()
    # A second one does not take its place, and what was not edited is not kept.
    config.write_text(f"{text}port = 8003\n")
    told = server.install(*SERVER, "--replace-config")
    assert "what was edited is kept: /etc/sluice/server.toml.old.2" in told.stderr
    assert server.install(*SERVER, "--port", 8004).returncode == 0
    assert server.install(*SERVER).returncode == 0
    second = config.with_suffix(".toml.old.2")
    assert {path.name for path in config.parent.glob("*.old*")} == {old.name, second.name}
    assert "port = 8001" in old.read_text() and "port = 8003" in second.read_text()
    old.unlink()
    second.unlink()


def test_a_configuration_that_is_no_good(server: Machine, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('command = "http server"\nprot = 80\n')
    before = files_in(server.tree)
    told = server.install("server", "--config", mine)
    assert told.returncode == 2
    assert told.stderr == f"Error: {mine}:2: unknown key prot: do you mean port?\n"
    assert server.install("server", "--config", mine, "--dry-run").stderr == told.stderr
    assert files_in(server.tree) == before


def test_a_configuration_that_was_damaged(server: Machine) -> None:
    """Nothing needs to be touched, so nothing is: not with an update, and not with a look at what it would do."""
    config = server.path("etc/sluice/server.toml")
    text = config.read_text()
    config.write_text(f'{text}hsts = "x"\n')
    before = files_in(server.tree)
    for words in (["update"], ["update", "--dry-run"]):
        told = server.install(*words)
        assert told.returncode == 2
        assert re.match(r"Error: /etc/sluice/server\.toml:\d+: hsts = 'x'", told.stderr)
    assert files_in(server.tree) == before
    config.write_text(text)


def test_a_first_configuration_that_is_no_good(tmp_path: Path) -> None:
    """What only the program can tell is told by the one that was built for it, which leaves no trace then."""
    machine = Machine(tmp_path)
    mine = tmp_path / "mine.toml"
    mine.write_text('hsts = "x"\n')
    told = machine.install("server", "--config", mine)
    assert told.returncode == 2
    assert f"Error: {mine}:1: hsts" in told.stderr
    assert files_in(machine.tree) == machine.fresh


def test_settings_of_pip_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text("[install]\nuser = true\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    told = Machine(tmp_path).install(*SERVER)
    assert told.returncode == 0, told.stderr


def test_a_configuration_for_something_else(server: Machine, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('command = "client"\nurl = "wss://a.example"\nupstream = ["http://127.0.0.1:3000"]\n')
    told = server.install("server", "--config", mine, "--replace-config")
    assert told.returncode == 2
    assert "this configuration is for sluice client, and not for a server" in told.stderr


def test_somebody_elses_environment(tree: Path) -> None:
    """It is neither installed into nor removed."""
    (tree / "opt" / "sluice" / "bin").mkdir(parents=True)
    (tree / "etc" / "sluice").mkdir()
    before = files_in(tree)
    told = install(*SERVER, "--root", tree)
    assert told.returncode == 2
    assert "/opt/sluice was not made by this script: move it away" in told.stderr
    (tree / "opt" / "sluice" / "pyvenv.cfg").touch()
    told = install("update", "--root", tree)
    assert told.returncode == 2
    assert "docs/upgrading.md tells how" in told.stderr
    (tree / "opt" / "sluice" / "pyvenv.cfg").unlink()
    told = install("--uninstall", "--root", tree)
    assert told.returncode == 1
    assert "has installed nothing here" in told.stderr and "Not of its making: /opt/sluice /etc/sluice" in told.stderr
    assert files_in(tree) == before


def test_an_update_that_fails(server: Machine, tmp_path: Path) -> None:
    before = files_in(server.tree)
    broken = tmp_path / "sluice_appliance-0.2.0-py3-none-any.whl"
    broken.write_bytes(b"no wheel at all")
    told = server.install("update", source=broken)
    assert told.returncode == 1
    assert "Sluice 0.2.0 could not be installed" in told.stderr
    assert "What ran before, 0.1.0-" in told.stderr
    assert files_in(server.tree) == before


def test_an_update_and_back(server: Machine, tmp_path: Path) -> None:
    """From an address, too: what comes from there must be what was promised."""
    newer = make_wheel(tmp_path, "0.2.0")
    for address in serve(tmp_path):
        url = f"{address}/{newer.name}?a=1&b='"
        told = server.install("update", "--source-sha256", "0" * 64, source=url)
        assert told.returncode == 1 and "--source is not what --source-sha256 says" in told.stderr
        assert server.version() == "0.1.0"
        digest = hashlib.sha256(newer.read_bytes()).hexdigest()
        told = server.install("update", "--source-sha256", digest, source=url)
        assert told.returncode == 0, told.stderr
        words = shlex.split(next(line for line in told.stdout.splitlines() if "install.sh client" in line))
        assert words[words.index("--source") + 1 :] == [url, "--source-sha256", digest]
        assert server.version() == "0.2.0"
    assert server.install("update", source=newer).returncode == 0
    assert len(os.listdir(server.path("opt/sluice/versions"))) == 2, "twice is once: the one before is still there"
    told = server.install("update")
    assert told.returncode == 0 and "installing Sluice" not in told.stderr
    assert server.version() == "0.1.0"


def serve(directory: Path) -> Iterator[str]:
    """A web server for as long as the loop's body runs."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(directory))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_a_client_beside_it_and_without_it(server: Machine, token_file: Path) -> None:
    before = installed(server)
    told = server.install(*client(token_file))
    assert told.returncode == 2
    assert "the server on this machine has another token" in told.stderr
    assert f"install.sh update --token-file {token_file}" in told.stderr
    assert installed(server) == before
    token_file.write_bytes(server.path("etc/sluice/token").read_bytes())
    token_file.chmod(0o600)
    told = server.install(*client(token_file))
    assert told.returncode == 0, told.stderr
    assert f"{token_file} can be deleted\n" in told.stderr
    token_file.chmod(0o644)
    another = token_file.with_name("another")
    another.write_text("a-token-for-both-of-them\n")
    assert server.install("update", "--token-file", another).returncode == 0
    assert server.path("etc/sluice/token").read_bytes() == another.read_bytes()
    assert server.install("update", "--token-file", token_file).returncode == 0
    told = server.install(*client(token_file))
    assert f"{token_file} can be deleted; until then, others on this machine can read it\n" in told.stderr
    assert "is installed: sluice-server.service sluice-client.service" in told.stderr
    service = server.path("etc/systemd/system/sluice-client.service").read_text()
    assert "ExecStart=/opt/sluice/bin/sluice client" in service
    told = install("client", "--uninstall", "--root", server.tree)
    assert "removed; the server stays" in told.stderr
    told = install("client", "--uninstall", "--root", server.tree)
    assert told.returncode == 1 and "there is no client here to be removed" in told.stderr
    assert installed(server) == before


def installed(machine: Machine) -> dict[str, tuple[int, int]]:
    """Files, but for the version before, which is kept for a while."""
    current = os.readlink(machine.path("opt/sluice/current"))
    found = files_in(machine.tree)
    return {name: status for name, status in found.items() if "versions/" not in name or current in name}


def test_removed_without_a_trace(server: Machine, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(server.tree, tree, symlinks=True)
    before = files_in(tree)
    assert install("--uninstall", "--root", tree, "--dry-run").returncode == 0
    assert files_in(tree) == before
    assert install("--uninstall", "--root", tree, "--keep-data").returncode == 0
    kept = set(files_in(tree)) - set(server.fresh)
    assert {"etc/sluice/token", "etc/sluice/server.toml", "var/lib/sluice"} <= kept
    assert not any(name.startswith("opt") or "systemd" in name for name in kept)
    # What was kept is still known to be of its making.
    assert install("--uninstall", "--root", tree).returncode == 0
    assert files_in(tree).keys() == server.fresh.keys()
    told = install("--uninstall", "--root", tree)
    assert told.returncode == 1 and "this script has installed nothing here" in told.stderr
    shutil.rmtree(tree)
    shutil.copytree(server.tree, tree, symlinks=True)
    assert install("--uninstall", "--root", tree.name, cwd=tmp_path).returncode == 0
    assert files_in(tree).keys() == server.fresh.keys()


def test_what_was_there_before_is_left(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.path("etc/sluice").mkdir()
    machine.path("etc/sluice/token").write_text(f"{TOKEN}\n")
    machine.path("var/lib/sluice").mkdir(parents=True)
    machine.path("var/lib/sluice/mine").touch()
    before = files_in(machine.tree).keys()
    assert machine.install(*SERVER).returncode == 0
    told = install("--uninstall", "--root", machine.tree)
    assert told.returncode == 0
    assert "left: /etc/sluice, which was there before" in told.stderr and "left: /var/lib/sluice" in told.stderr
    assert files_in(machine.tree).keys() == before
