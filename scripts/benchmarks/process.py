"""Processes: what Linux says of their CPU time and memory, and children that are surely ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
GRACE_SECONDS = 5.0
COMMAND_SECONDS = 20.0


class LabError(Exception):
    """Something the benchmark needs did not work; the message is for the reader."""


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that are used here (proc(5)); times in clock ticks."""

    pid: int
    parent: int
    cpu_ticks: int
    start_ticks: int
    state: str = "S"


@dataclass(frozen=True)
class Memory:
    """Resident bytes of a set of processes; `pss` shares shared pages out, None where it may not be read."""

    rss: int
    pss: int | None


def parse_stat(text: str) -> Stat:
    # The name stands in brackets and may itself hold blanks and brackets: count from the last one.
    fields = text[text.rindex(")") + 2 :].split()
    # utime, stime, and those of children already waited for: what a process forked is not lost when it ends.
    cpu_ticks = sum(int(field) for field in fields[11:15])
    return Stat(int(text[: text.index("(")]), int(fields[1]), cpu_ticks, int(fields[19]), fields[0])


def parse_memory(text: str) -> Memory:
    """Read /proc/PID/smaps_rollup, or /proc/PID/status, which has no PSS."""
    sizes: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB" and words[1].isdigit():
            sizes[words[0]] = int(words[1]) * 1024
    rss = sizes.get("Rss:", sizes.get("VmRSS:", 0))
    return Memory(rss, sizes.get("Pss:"))


def all_stats() -> dict[int, Stat]:
    stats: dict[int, Stat] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stats[int(entry)] = parse_stat(Path("/proc", entry, "stat").read_text(errors="replace"))
            except (OSError, ValueError):
                continue  # ended while we looked
    return stats


def family(roots: Iterable[int], stats: Mapping[int, Stat]) -> list[Stat]:
    """Give the processes `roots` that live, with all that descend from them."""
    children: dict[int, list[int]] = {}
    for stat in stats.values():
        children.setdefault(stat.parent, []).append(stat.pid)
    found: dict[int, Stat] = {}
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid in stats and pid not in found:
            found[pid] = stats[pid]
            waiting.extend(children.get(pid, ()))
    return list(found.values())


def cpu_seconds(roots: Iterable[int]) -> float:
    return sum(stat.cpu_ticks for stat in family(roots, all_stats())) / TICKS_PER_SECOND


def memory(roots: Iterable[int]) -> Memory:
    readings = [_memory_of(stat.pid) for stat in family(roots, all_stats())]
    shares = [reading.pss for reading in readings if reading.pss is not None]
    pss = sum(shares) if len(shares) == len(readings) else None
    return Memory(sum(reading.rss for reading in readings), pss)


def _memory_of(pid: int) -> Memory:
    for name in ("smaps_rollup", "status"):
        try:
            return parse_memory(Path("/proc", str(pid), name).read_text(errors="replace"))
        except OSError:
            continue
    return Memory(0, None)


class Child:
    """A process started here, its output in a log; `stop_all` ends it and everything it started, by pid."""

    def __init__(
        self, command: Sequence[str], log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            # A session of its own: Ctrl-C reaches only this program, which then ends all in order.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, env=env,
                start_new_session=True,
            )  # fmt: skip
        self.pid = self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> None:
        """Wait for a command that ends by itself."""
        try:
            self._process.wait(COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            raise LabError(f"a command did not end within {COMMAND_SECONDS:.0f} s\n{self.log_tail()}") from None

    def log_tail(self, lines: int = 8) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        if self.alive():
            self._process.terminate()
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def stop_all(children: Sequence[Child]) -> None:
    """Stop the children in this order, and what they started."""
    # Looked up before the first is stopped: when ssh ends, what sshd runs for it belongs to nobody any more.
    members = family([child.pid for child in children], all_stats())
    for child in children:
        child.stop()
    _end_orphans(members)


def end_descendants() -> None:
    """End whatever this process started and did not end: a signal may come between starting and noting."""
    own = os.getpid()
    _end_orphans([stat for stat in family([own], all_stats()) if stat.pid != own])


def _end_orphans(members: Sequence[Stat]) -> None:
    """End what a stopped child left behind (sshd its connections); the start time tells a reused pid."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + (0.5 if number == signal.SIGTERM else 0)
        left = _still_running(members)
        for stat in left:
            try:
                os.kill(stat.pid, number)
            except ProcessLookupError:
                continue
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = _still_running(members)


def _still_running(members: Sequence[Stat]) -> list[Stat]:
    running = {(stat.pid, stat.start_ticks) for stat in all_stats().values() if stat.state != "Z"}
    return [member for member in members if (member.pid, member.start_ticks) in running]
