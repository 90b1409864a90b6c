"""Debian's OpenSSH: a server with keys of its own, and a client configuration that trusts it and logs in."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import subprocess
from pathlib import Path

from tests.stage.process import PATIENCE_SECONDS, Process, eventually, free_port, listening

PRIVILEGE_DIRECTORY = Path("/run/sshd")  # a root sshd insists on it; only the system's own unit makes it
SERVER = """
Port {port}
ListenAddress {host}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
Subsystem sftp internal-sftp
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
"""
CLIENT = """
Host *
    IdentityFile {directory}/user_key
    IdentitiesOnly yes
    BatchMode yes
    ControlPath none
    HostKeyAlias host-of-these-tests
    StrictHostKeyChecking yes
    UserKnownHostsFile {directory}/known_hosts
    ConnectTimeout 10
"""


class OpenSsh:
    """`port`: where it listens; `client_config`: for `ssh -F`, whichever way leads there; `user`: who logs in."""

    def __init__(self, directory: Path, host: str = "127.0.0.1") -> None:
        self.user = getpass.getuser()
        self.port = free_port(host)
        self.client_config = directory / "ssh_config"
        for name in ("host_key", "user_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(directory / name)],
                stdin=subprocess.DEVNULL,
                timeout=PATIENCE_SECONDS,
                check=True,
            )
        host_key = (directory / "host_key.pub").read_text()
        (directory / "known_hosts").write_text(f"host-of-these-tests {host_key}")
        self.client_config.write_text(CLIENT.format(directory=directory))
        configuration = directory / "sshd_config"
        configuration.write_text(SERVER.format(port=self.port, host=host, directory=directory))
        self._privileges = PrivilegeDirectory()
        self.process = Process("sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", str(configuration)], directory)
        try:
            eventually(lambda: listening(self.port, host), "sshd listens", self.process)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.process.stop()
        self._privileges.close()


class PrivilegeDirectory:
    """There while a root sshd needs it, which looks for it at each login; then taken away again if it was not there
    before, but not from another run of the tests, which shows that it needs it by a lock."""

    def __init__(self) -> None:
        self._ours = False
        self._lock: int | None = None
        while os.geteuid() == 0 and self._lock is None:
            with contextlib.suppress(FileExistsError):
                PRIVILEGE_DIRECTORY.mkdir(mode=0o755)
                self._ours = True
            with contextlib.suppress(FileNotFoundError):
                lock = os.open(PRIVILEGE_DIRECTORY, os.O_RDONLY)
                fcntl.flock(lock, fcntl.LOCK_SH)
                if os.fstat(lock).st_nlink:  # nobody has taken it away meanwhile
                    self._lock = lock
                else:
                    os.close(lock)

    def close(self) -> None:
        if self._lock is None:
            return
        if self._ours:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                PRIVILEGE_DIRECTORY.rmdir()
        os.close(self._lock)
        self._lock = None
