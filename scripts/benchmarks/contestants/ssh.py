"""`ssh -R` to an sshd with configuration and keys of its own."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path

from ..lab import LOOPBACK, answers, free_port, wait_until
from .base import Contestant, Startup

SSHD_PRIVILEGE_DIRECTORY = Path("/run/sshd")


class Ssh(Contestant):
    """`ssh -N -R` to an sshd of our own: the tunnel that everybody has, and the one to compare with."""

    name = "ssh"
    title = "ssh -N -R"
    programs = ("sshd", "ssh", "ssh-keygen")
    mode = "-N"
    remote_command: tuple[str, ...] = ()

    def start(self) -> Startup:
        directory = self.lab.directory(self.name)
        ssh_port, self.port = free_port(), free_port()
        self._make_keys(directory, ssh_port)
        (directory / "sshd_config").write_text(sshd_config(ssh_port, directory))
        with _PrivilegeDirectory():
            command = [self.lab.places.programs["sshd"], "-D", "-e", "-f", str(directory / "sshd_config")]
            self.server = self.lab.run(command, directory / "server.log")
            server_seconds = wait_until(lambda: _greets(ssh_port), [self.server], "sshd")
            self.client = self.lab.run(self._client_command(directory, ssh_port), directory / "client.log")
            client_seconds = wait_until(lambda: answers(self.port), [self.server, self.client], "ssh -R")
        return Startup(server_seconds, client_seconds)

    def _make_keys(self, directory: Path, ssh_port: int) -> None:
        for name in ("host_key", "user_key"):
            command = [self.lab.places.programs["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-C", "bench"]
            child = self.lab.run([*command, "-f", str(directory / name)], directory / "keys.log")
            child.wait()
            self.lab.end([child])
        host_key = (directory / "host_key.pub").read_text().rsplit(" ", 1)[0]
        (directory / "known_hosts").write_text(f"[{LOOPBACK}]:{ssh_port} {host_key}\n")

    def _client_command(self, directory: Path, ssh_port: int) -> list[str]:
        options = {
            "BatchMode": "yes",
            "ControlPath": "none",
            "ExitOnForwardFailure": "yes",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(directory / "known_hosts"),
        }
        command = [self.lab.places.programs["ssh"], "-F", "none", self.mode, "-c", "aes128-gcm@openssh.com"]
        command += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        command += ["-R", f"{LOOPBACK}:{self.port}:{LOOPBACK}:{self.lab.upstream_port}"]
        command += ["-i", str(directory / "user_key"), "-p", str(ssh_port), f"{getpass.getuser()}@{LOOPBACK}"]
        return [*command, *self.remote_command]


class SshSession(Ssh):
    """The same with a session open, at rest: sshd turns Nagle's algorithm off only when one is opened.

    With `-N` it stays on, and small requests wait up to 40 ms for delayed acknowledgements: this is ssh at
    its best.
    """

    name = "ssh-session"
    title = "ssh -R, session"
    mode = "-T"
    remote_command = ("sleep 7200",)


def sshd_config(port: int, directory: Path) -> str:
    return f"""Port {port}
ListenAddress {LOOPBACK}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding remote
"""


class _PrivilegeDirectory:
    """The directory that a root sshd insists on; it may be missing, as only the system's unit makes it.

    It is taken away again if it is ours.
    """

    def __enter__(self) -> None:
        self._ours = os.geteuid() == 0 and not SSHD_PRIVILEGE_DIRECTORY.exists()
        if self._ours:
            SSHD_PRIVILEGE_DIRECTORY.mkdir(mode=0o755)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            SSHD_PRIVILEGE_DIRECTORY.rmdir()


def _greets(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), 5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
