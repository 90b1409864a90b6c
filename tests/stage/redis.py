"""Debian's Redis, which keeps nothing on the disk."""

from __future__ import annotations

from pathlib import Path

from tests.stage.process import Process, eventually, free_port, listening, run


class Redis:
    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(directory),
                   "--save", "", "--appendonly", "no"]  # fmt: skip
        self.process = Process("redis", command, directory)
        eventually(lambda: listening(self.port), "Redis listens", self.process)

    def close(self) -> None:
        self.process.stop()


def redis_cli(port: int, *words: str, data: bytes = b"") -> str:
    """What redis-cli prints, having `data` for its standard input."""
    return run("redis-cli", "-e", "-h", "127.0.0.1", "-p", str(port), *words, data=data).decode().strip()
