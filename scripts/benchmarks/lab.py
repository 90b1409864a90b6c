"""The laboratory: private directories, free ports, nginx as upstream, and an upstream that holds requests."""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import resource
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .process import Child, LabError, end_descendants, stop_all

LOOPBACK = "127.0.0.1"
SMALL_BYTES = 1024
START_SECONDS = 20.0
# Below the usual ephemeral range, so that no outgoing connection takes a port between choosing and listening.
PORTS = range(20000, 32000)
WANTED_DESCRIPTORS = 16384


def free_port() -> int:
    for _ in range(200):
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise LabError(f"no free port found between {PORTS.start} and {PORTS.stop}")


def raise_descriptor_limit() -> int:
    """Raise the soft limit for us and all we start; gives what was reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(WANTED_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def wait_until(ready: Callable[[], bool], children: Sequence[Child], what: str, step: float = 0.005) -> float:
    """Wait until `ready()`, and give the seconds it took.

    LabError, with the end of the log, when a child ends or time runs out.
    """
    started = time.monotonic()
    while not ready():
        for child in children:
            if not child.alive():
                raise LabError(f"{what}: the process ended\n{child.log_tail()}")
        if time.monotonic() - started > START_SECONDS:
            tails = "\n".join(child.log_tail() for child in children)
            raise LabError(f"{what}: not ready within {START_SECONDS:.0f} s\n{tails}")
        time.sleep(step)
    return time.monotonic() - started


def answers(port: int, path: str = "/small") -> bool:
    """Tell whether an HTTP request to a loopback port is answered with 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        response.read()
        return response.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Holder:
    """An upstream that answers nothing until it is told to: so that many requests are in flight at once."""

    _ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"

    def __init__(self) -> None:
        self.port = 0
        self.held = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._gate = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="holder", daemon=True)
        self._ready = threading.Event()

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise LabError("the upstream that holds requests did not start")

    def stop(self) -> None:
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(START_SECONDS)

    def release(self) -> None:
        """Answer everything that is held now, and hold what comes later."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._open_gate)

    def _open_gate(self) -> None:
        gate, self._gate, self.held = self._gate, asyncio.Event(), 0
        gate.set()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._hold, LOOPBACK, 0, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        await self._stopping.wait()
        server.close()

    async def _hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.held += 1
            await self._gate.wait()
            writer.write(self._ANSWER)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the visitor went away: nobody to answer
        finally:
            writer.close()


@dataclass(frozen=True)
class Places:
    """Where things are: the checkout, the interpreter that runs Sluice, the programs by name."""

    checkout: Path
    python: str
    programs: dict[str, str]


class Lab:
    """What all contestants share. A context manager: on leaving, nothing that it made is left."""

    def __init__(self, places: Places, bulk_bytes: int) -> None:
        self.places = places
        self.bulk_bytes = bulk_bytes
        self.work = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
        self.content = Path(tempfile.mkdtemp(prefix="sluice-bench-", dir=_roomy_directory(bulk_bytes)))
        self.holder = Holder()
        self.upstream_port = free_port()
        self._children: list[Child] = []

    def __enter__(self) -> Lab:
        try:
            self.holder.start()
            self._write_content()
            self._start_nginx()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        # The last first: clients before their servers.
        stop_all(self._children[::-1])
        self._children.clear()
        end_descendants()
        self.holder.stop()
        for directory in (self.work, self.content):
            shutil.rmtree(directory, ignore_errors=True)

    def directory(self, name: str) -> Path:
        """Give a new private directory."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.work))

    def run(self, command: Sequence[str], log: Path, cwd: Path | None = None) -> Child:
        """Start a process that is ended with the laboratory at the latest."""
        environment = {k: v for k, v in os.environ.items() if k not in ("SSH_AUTH_SOCK", "SSH_ASKPASS")}
        environment["STATE_DIRECTORY"] = str(self.work / "state")  # which servers were here is nobody's business later
        child = Child(command, log, cwd, environment)
        self._children.append(child)
        return child

    def end(self, children: Sequence[Child]) -> None:
        stop_all(children)
        self._children = [child for child in self._children if child not in children]

    def anonymous(self, text: str) -> str:
        """Take the machine's own paths out of a text that is to be shown elsewhere."""
        for place, name in (
            (self.work, "WORK"),
            (self.content, "CONTENT"),
            (self.places.checkout, "CHECKOUT"),
        ):
            text = text.replace(str(place), name)
        return text.replace(str(Path.home()), "HOME")

    def _write_content(self) -> None:
        # Real bytes, not holes: a sparse file would be faster than any file that people download.
        block = os.urandom(1 << 20)
        with (self.content / "bulk").open("wb") as file:
            for _ in range(self.bulk_bytes >> 20):
                file.write(block)
        # With nginx started by root its worker is nobody, who must be able to read.
        self.content.chmod(0o755)

    def _start_nginx(self) -> None:
        directory = self.directory("nginx")
        config = directory / "nginx.conf"
        config.write_text(nginx_config(self.upstream_port, self.holder.port, self.content))
        command = [self.places.programs["nginx"], "-e", "stderr", "-p", str(directory), "-c", str(config)]
        child = self.run(command, directory / "log")
        wait_until(lambda: answers(self.upstream_port), [child], "nginx as upstream")


def _roomy_directory(bulk_bytes: int) -> str | None:
    """Give memory's own file system where the file fits twice; None means the usual temporary directory."""
    shared = "/dev/shm"
    try:
        roomy = shutil.disk_usage(shared).free > 2 * bulk_bytes and os.access(shared, os.W_OK)
    except OSError:
        return None
    return shared if roomy else None


def nginx_config(port: int, hold_port: int, content: Path) -> str:
    """One worker. Connections are kept for as long as a run may take: it is the tunnel that is measured."""
    text = "sluice " * (SMALL_BYTES // 7)
    return f"""daemon off; master_process on; worker_processes 1; worker_rlimit_nofile 8192; pid nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; sendfile_max_chunk 2m;
    keepalive_timeout 600s; keepalive_requests 1000000000; reset_timedout_connection on;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen {LOOPBACK}:{port} backlog=4096;
        default_type text/plain;
        location = /small {{ return 200 "{text}"; }}
        location = /bulk {{ alias {content}/bulk; }}
        location = /hold {{
            proxy_pass http://{LOOPBACK}:{hold_port}; proxy_buffering off; proxy_read_timeout 120s;
        }}
    }}
}}
"""
