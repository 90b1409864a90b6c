"""Telling a service manager how we are (sd_notify(3)), without its library. Where none asks, nothing is told."""

from __future__ import annotations

import os
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM
from _socket import socket as NativeSocket
from collections.abc import Callable

import gevent

from appliance.transport import tasks

STATUS_SECONDS = 2.0


def notify(*lines: str) -> bool:
    """Send "NAME=VALUE" lines; says whether they were taken. Never waits, never fails."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return False
    try:
        sock = NativeSocket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
        try:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), "\0" + place[1:] if place[0] == "@" else place)
        finally:
            sock.close()
    except OSError:
        return False
    return True


def ready() -> None:
    notify("READY=1")


def stopping() -> None:
    notify("STOPPING=1", "STATUS=stopping")


def reloading() -> None:
    """Until the next `ready`."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_seconds() -> float:
    """Within which a sign of life is wanted each time; 0 where none is."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdigit() else 0.0


class Signs:
    """Of life and of what goes on, from `start` to `stop`: from the hub, so that one that is stuck is noticed.

    `describe`: one line, told when it has changed.
    """

    def __init__(self, describe: Callable[[], str]) -> None:
        self._describe = describe
        self._told = ""
        self._tasks: list[gevent.Greenlet] = []

    def start(self) -> None:
        if not os.environ.get("NOTIFY_SOCKET"):
            return
        seconds = watchdog_seconds()
        self._tasks = [tasks.spawn("status", self._tell, STATUS_SECONDS)]
        if seconds:
            self._tasks.append(tasks.spawn("watchdog", _live, seconds / 2))

    def stop(self) -> None:
        for task in self._tasks:
            task.kill()
        self._tasks.clear()

    def _tell(self, seconds: float) -> None:
        while True:
            text = self._describe()
            if text != self._told:
                notify(f"STATUS={text}")
                self._told = text
            gevent.sleep(seconds)


def _live(seconds: float) -> None:
    while True:
        notify("WATCHDOG=1")
        gevent.sleep(seconds)
