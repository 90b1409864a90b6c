"""Debian's PostgreSQL with a database of its own, which asks nobody for a password."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.stage.process import PATIENCE_SECONDS, Process, eventually, free_port

SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "50", "shared_buffers": "16MB"}
ACCOUNT = "postgres"  # the server refuses to be root


class PostgreSql:
    """`user` may do everything in the database `database`. Also on a Unix socket, `socket`."""

    user = "app"
    database = "shop"

    def __init__(self, directory: Path, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, free_port(host)
        # What tests have is for root alone: another account cannot even get there. The data are its own.
        self._home = Path(tempfile.mkdtemp(prefix="sluice-postgresql-", dir="/var/tmp"))
        try:
            if os.geteuid() == 0:
                shutil.chown(self._home, ACCOUNT, ACCOUNT)
            data = str(self._home / "data")
            self._run(_program("initdb"), "--no-sync", "--auth=trust", f"--username={self.user}", f"--pgdata={data}")
            settings = {**SETTINGS, "listen_addresses": host, "port": str(self.port)}
            settings["unix_socket_directories"] = str(self._home)
            flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
            # The tests' own directory is closed to the account, which insists on knowing where it is.
            command = ["env", f"--chdir={self._home}", *_as_account(), _program("postgres"), "-D", data, *flags]
            self.process = Process("postgresql", command, directory)
        except BaseException:
            shutil.rmtree(self._home)
            raise
        try:
            eventually(self._answers, "PostgreSQL answers", self.process)
            self._run("psql", *self.flags("postgres"), "-c", f"create database {self.database}")
        except BaseException:
            self.close()
            raise

    @property
    def socket(self) -> Path:
        return self._home / f".s.PGSQL.{self.port}"

    def flags(self, database: str = database) -> list[str]:
        """How psql gets there directly."""
        return ["-X", "-q", "-h", self.host, "-p", str(self.port), "-U", self.user, "-d", database]

    def close(self) -> None:
        self.process.stop(signal.SIGINT)  # SIGTERM waits until all its clients have left
        shutil.rmtree(self._home)

    def _answers(self) -> bool:
        command = [_program("pg_isready"), "-q", "-h", self.host, "-p", str(self.port)]
        return subprocess.run(command, timeout=PATIENCE_SECONDS, check=False).returncode == 0

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            [*_as_account(), *command],
            cwd=self._home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"


def _as_account() -> Sequence[str]:
    if os.geteuid() != 0:
        return ()
    return ("setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups", "--")


def _program(name: str) -> str:
    """Debian keeps the server's programs out of PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(places[-1]) if places else name
