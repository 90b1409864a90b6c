"""Real programs through a TCP tunnel: OpenSSH, PostgreSQL, Redis."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage.openssh import OpenSsh
from tests.stage.postgresql import PostgreSql
from tests.stage.process import free_port, run
from tests.stage.redis import Redis, redis_cli
from tests.stage.tcp import rest, visit
from tests.stage.tunnel import Tunnel

MIB = 2**20
LARGE_MIB = 256
COMMANDS = 10_000
TRANSFER_SECONDS = 60.0


@dataclasses.dataclass
class Stage:
    """`doors`: the server's ports, by what is behind them."""

    tunnel: Tunnel
    ssh: OpenSsh
    postgresql: PostgreSql
    doors: dict[str, int]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("programs")
    with contextlib.ExitStack() as stack:
        redis, ssh, postgresql = (
            stack.enter_context(contextlib.closing(it(directory))) for it in (Redis, OpenSsh, PostgreSql)
        )
        ports = {"redis": redis.port, "ssh": ssh.port, "postgresql": postgresql.port}
        doors = {name: free_port() for name in ports}
        tunnel = stack.enter_context(contextlib.closing(Tunnel(directory, mode="tcp")))
        tunnel.add_client("client", *(f"{doors[name]}=127.0.0.1:{port}" for name, port in ports.items()))
        yield Stage(tunnel, ssh, postgresql, doors)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A directory for large files, which no later look at a failure needs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        hashed = hashlib.sha256()
        while piece := file.read(MIB):
            hashed.update(piece)
    return hashed.hexdigest()


# ---- OpenSSH


def ssh(stage: Stage, program: str = "ssh") -> list[str]:
    port_flag = "-P" if program == "scp" else "-p"
    return [program, "-F", str(stage.ssh.client_config), port_flag, str(stage.doors["ssh"])]


def test_ssh_logs_in_and_runs_a_command(stage: Stage) -> None:
    """Input ends before the answer comes; the status of the command is ssh's own."""
    where = f"{stage.ssh.user}@127.0.0.1"
    said = run(*ssh(stage), where, "sha256sum; echo $SSH_CONNECTION; exit 7", data=b"x" * MIB, status=7)
    hashed, connection = said.decode().splitlines()
    assert hashed.split()[0] == hashlib.sha256(b"x" * MIB).hexdigest()
    assert connection.split()[3] == str(stage.ssh.port)


def test_ssh_gives_a_shell(stage: Stage) -> None:
    said = run(*ssh(stage), "-T", f"{stage.ssh.user}@127.0.0.1", data=b"echo $((6 * 7)) are here\nexit 3\n", status=3)
    assert b"42 are here" in said


def test_scp_of_a_large_file_both_ways(stage: Stage, tree: Path) -> None:
    source, there, back = tree / "source", tree / "there", tree / "back"
    with source.open("wb") as file:
        for _ in range(LARGE_MIB):
            file.write(os.urandom(MIB))
    where = f"{stage.ssh.user}@127.0.0.1"
    run(*ssh(stage, "scp"), "-q", str(source), f"{where}:{there}", seconds=TRANSFER_SECONDS)
    run(*ssh(stage, "scp"), "-q", f"{where}:{there}", str(back), seconds=TRANSFER_SECONDS)
    assert back.stat().st_size == LARGE_MIB * MIB
    assert digest(source) == digest(there) == digest(back)


def test_rsync_of_a_tree(stage: Stage, tree: Path) -> None:
    """The second time only what has changed travels."""
    source, copy = tree / "source", tree / "copy"
    chance = random.Random(3)
    for number in range(300):
        path = source / f"{number % 7}" / f"{number % 11}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randrange(40_000)))
    (source / "large").write_bytes(chance.randbytes(8 * MIB))
    command = ["rsync", "--archive", "--delete", "--stats", "--rsh", " ".join(ssh(stage)),
               f"{source}/", f"{stage.ssh.user}@127.0.0.1:{copy}/"]  # fmt: skip
    run(*command)
    assert contents(copy) == contents(source)
    shutil.rmtree(source / "3")
    with (source / "large").open("r+b") as file:
        file.seek(4 * MIB)
        file.write(b"changed")
    said = run(*command, "--checksum").decode()  # the time alone may be the same second
    assert contents(copy) == contents(source)
    literal = next(line for line in said.splitlines() if line.startswith("Literal data:"))
    assert int(literal.split()[2].replace(",", "")) < MIB


def contents(directory: Path) -> dict[str, str]:
    """A checksum for each file in it."""
    return {str(path.relative_to(directory)): digest(path) for path in directory.rglob("*") if path.is_file()}


# ---- PostgreSQL


def postgresql(stage: Stage, program: str, *words: str, database: str = PostgreSql.database) -> str:
    """What one of PostgreSQL's programs prints, connected to a database through the tunnel."""
    where = ("-h", "127.0.0.1", "-p", str(stage.doors["postgresql"]), "-U", PostgreSql.user, "-d", database)
    return run(program, *where, *words, seconds=TRANSFER_SECONDS).decode().strip()


def test_psql_asks(stage: Stage) -> None:
    question = "select inet_server_port() || ' ' || count(*) from generate_series(1, 100000) as n"
    assert postgresql(stage, "psql", "-XAtc", question) == f"{stage.postgresql.port} 100000"


def test_pg_dump_and_back(stage: Stage, tree: Path) -> None:
    checksum = "select count(*) || md5(string_agg(rows::text, ',' order by number)) from rows"
    table = (
        "create table rows as select number, md5(number::text) as text, decode(md5(number::text), 'hex') as bytes"
        " from generate_series(1, 100000) as number"
    )
    postgresql(stage, "psql", "-Xqc", table, "-c", "create database again")
    postgresql(stage, "pg_dump", "--format=custom", "--file", str(tree / "dump"))
    assert (tree / "dump").stat().st_size > MIB
    postgresql(stage, "pg_restore", "--exit-on-error", str(tree / "dump"), database="again")
    before, after = (postgresql(stage, "psql", "-XAtc", checksum, database=it) for it in (PostgreSql.database, "again"))
    assert before == after
    assert before.startswith("100000")


# ---- Redis


def test_redis_sets_and_gets(stage: Stage) -> None:
    door, value = stage.doors["redis"], random.Random(1).randbytes(4 * MIB).hex()
    assert redis_cli(door, "set", "greeting", "hello") == "OK"
    assert redis_cli(door, "get", "greeting") == "hello"
    assert redis_cli(door, "-x", "set", "large", data=value.encode()) == "OK"
    assert redis_cli(door, "get", "large") == value


def test_redis_takes_many_commands_at_once(stage: Stage) -> None:
    commands = b"".join(resp("set", f"key {number}", str(number)) for number in range(COMMANDS))
    assert redis_cli(stage.doors["redis"], "--pipe", data=commands).endswith(f"errors: 0, replies: {COMMANDS}")
    assert redis_cli(stage.doors["redis"], "get", f"key {COMMANDS - 1}") == str(COMMANDS - 1)
    with visit(stage.doors["redis"]) as sock:
        sock.sendall(b"".join(resp("get", f"key {number}") for number in range(COMMANDS)) + resp("quit"))
        answers = rest(sock).split(b"\r\n")
    assert answers[1:-2:2] == [str(number).encode() for number in range(COMMANDS)]
    assert answers[-2:] == [b"+OK", b""]


def resp(*words: str) -> bytes:
    """A command as Redis' protocol has it."""
    return "".join([f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)]).encode()
