"""Load: wrk for requests, a downloader for bulk, and many requests held in flight."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .lab import LOOPBACK, Holder
from .process import LabError

STALL_SECONDS = 20
RECEIVE_BYTES = 1 << 20
# wrk's own limit for one answer; longer ones are counted as errors.
WRK_TIMEOUT_SECONDS = 5
# Listening queues are short (sshd's forwarding: 128): visitors come in batches that fit.
VISITOR_BATCH = 50

_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}


@dataclass(frozen=True)
class WrkResult:
    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def parse_wrk(text: str) -> WrkResult:
    """Read what `wrk --latency` prints; LabError when it is something else."""
    total = re.search(r"^\s*(\d+) requests in ", text, re.M)
    rate = re.search(r"^Requests/sec:\s*([\d.]+)", text, re.M)
    latencies = dict(re.findall(r"^\s*(\d+)%\s+([\d.]+[a-z]+)\s*$", text, re.M))
    if total is None or rate is None or not {"50", "99"} <= latencies.keys():
        raise LabError(f"wrk printed something unknown:\n{text[-400:]}")
    errors = 0
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    if socket_errors is not None:
        errors += sum(int(number) for number in socket_errors.groups())
    bad_answers = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    if bad_answers is not None:
        errors += int(bad_answers.group(1))
    p50, p99 = (parse_milliseconds(latencies[key]) for key in ("50", "99"))
    return WrkResult(int(total.group(1)), float(rate.group(1)), p50, p99, errors)


def parse_milliseconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)([a-z]+)", text)
    if match is None or match.group(2) not in _MILLISECONDS:
        raise LabError(f"wrk printed an unknown time: {text!r}")
    return float(match.group(1)) * _MILLISECONDS[match.group(2)]


def wrk(program: str, port: int, connections: int, seconds: int, close: bool = False) -> WrkResult:
    """Ask for the small answer over and over, from one thread; `close` makes a connection per request."""
    command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["--timeout", f"{WRK_TIMEOUT_SECONDS}s"]
    if close:
        command += ["-H", "Connection: close"]
    command.append(f"http://{LOOPBACK}:{port}/small")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, start_new_session=True)
    except subprocess.TimeoutExpired:
        raise LabError(f"wrk did not end within {seconds + 30} s") from None
    if done.returncode != 0:
        raise LabError(f"wrk ended with status {done.returncode}: {(done.stderr or done.stdout)[-400:]}")
    result = parse_wrk(done.stdout)
    if result.requests <= result.errors:
        raise LabError(f"no request was answered well ({result.requests} answers, {result.errors} errors)")
    return result


class Download(threading.Thread):
    """Download a range of the bulk file, once, or again and again at a given rate until `stop`.

    The bytes are dropped inside the kernel (MSG_TRUNC, tcp(7)): the reader must not compete for the CPU.
    """

    def __init__(self, port: int, first: int, last: int, bytes_per_second: float | None = None) -> None:
        super().__init__(name="download", daemon=True)
        self.received = 0
        self.error: str | None = None
        self._port = port
        self._range = (first, last)
        self._rate = bytes_per_second
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            with socket.create_connection((LOOPBACK, self._port), STALL_SECONDS) as connection:
                # A limit in the kernel: Python's own would cost a poll() before each recv().
                connection.settimeout(None)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", STALL_SECONDS, 0))
                while not self._stopping.is_set():
                    self._one_body(connection)
                    if self._rate is None:
                        break
        except BlockingIOError:
            self.error = f"the download stood still for {STALL_SECONDS} s"
        except (OSError, LabError) as error:
            self.error = str(error)

    def stop(self) -> None:
        self._stopping.set()
        self.join(STALL_SECONDS + 5)

    def _one_body(self, connection: socket.socket) -> None:
        first, last = self._range
        request = f"GET /bulk HTTP/1.1\r\nHost: {LOOPBACK}:{self._port}\r\nRange: bytes={first}-{last}\r\n\r\n"
        connection.sendall(request.encode())
        head, body = _read_head(connection)
        length = last - first + 1
        if not head.startswith(b"HTTP/1.1 206") or f"\r\ncontent-length: {length}\r\n".encode() not in head.lower():
            raise LabError(f"unexpected answer to a download: {head[:200]!r}")
        self.received += len(body)
        left = length - len(body)
        scratch = bytearray(RECEIVE_BYTES)
        paced_from, paced_bytes = time.monotonic(), 0
        while left and not self._stopping.is_set():
            allowed = RECEIVE_BYTES
            if self._rate is not None:
                elapsed = time.monotonic() - paced_from
                allowed = int(elapsed * self._rate) - paced_bytes
                if allowed < RECEIVE_BYTES // 4:
                    time.sleep(0.004)
                    continue
            count = connection.recv_into(scratch, min(left, allowed, RECEIVE_BYTES), socket.MSG_TRUNC)
            if count == 0:
                raise LabError(f"the download ended {left} bytes early")
            left -= count
            paced_bytes += count
            self.received += count


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece or len(data) > 65536:
            raise LabError(f"no response head, but {data[:100]!r}")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return head + b"\r\n", body


def download(port: int, total_bytes: int, streams: int) -> float:
    """Download the file in `streams` parts at the same time; gives seconds."""
    part = total_bytes // streams
    started = time.monotonic()
    downloads = [Download(port, number * part, (number + 1) * part - 1) for number in range(streams)]
    for one in downloads:
        one.start()
    # 4 MB/s is far below anything worth a figure.
    deadline = started + STALL_SECONDS + total_bytes / 4e6
    for one in downloads:
        one.join(max(0.0, deadline - time.monotonic()))
    seconds = time.monotonic() - started
    if any(one.is_alive() for one in downloads):
        for one in downloads:
            one.stop()
        raise LabError(f"a download of {total_bytes >> 20} MiB was not done after {seconds:.0f} s")
    for one in downloads:
        if one.error is not None:
            raise LabError(one.error)
    return seconds


class Visitors:
    """Many requests in flight at once, all held by the upstream until `answer_all`."""

    def __init__(self, port: int, holder: Holder) -> None:
        self._port = port
        self._holder = holder
        self._sockets: list[socket.socket] = []

    def arrive(self, count: int) -> None:
        """Return when `count` requests have reached the upstream."""
        request = f"GET /hold HTTP/1.1\r\nHost: {LOOPBACK}:{self._port}\r\n\r\n".encode()
        while len(self._sockets) < count:
            for _ in range(min(VISITOR_BATCH, count - len(self._sockets))):
                visitor = socket.create_connection((LOOPBACK, self._port), STALL_SECONDS)
                self._sockets.append(visitor)
                visitor.sendall(request)
            self._wait_for(len(self._sockets))

    def _wait_for(self, count: int) -> None:
        deadline = time.monotonic() + STALL_SECONDS
        while self._holder.held < count:
            if time.monotonic() > deadline:
                raise LabError(f"only {self._holder.held} of {count} requests in flight reached the upstream")
            time.sleep(0.005)

    def answer_all(self) -> None:
        """Let the upstream answer; LabError unless each visitor gets its 200."""
        self._holder.release()
        good = sum(_answered(visitor) for visitor in self._sockets)
        if good != len(self._sockets):
            raise LabError(f"only {good} of {len(self._sockets)} requests in flight were answered")

    def leave(self) -> None:
        self._holder.release()
        close_all(self._sockets)
        self._sockets = []


def _answered(visitor: socket.socket) -> bool:
    try:
        return visitor.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def close_all(sockets: Sequence[socket.socket]) -> None:
    for one in sockets:
        one.close()
