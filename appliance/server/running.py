"""A server in the foreground: what its signals do, and what it does daily."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence
from typing import Protocol

import gevent
from gevent.event import Event

from appliance.config.options import ConfigError
from appliance.server.app import Server
from appliance.transport import sd_notify, tasks

DAY_SECONDS = 86400.0

log = logging.getLogger("sluice.server")


class Companion(Protocol):
    """What runs beside a server, from when its ports are open until it stops."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def run(
    server: Server,
    daily: Callable[[], None],
    reload: Callable[[], None] | None = None,
    companions: Sequence[Companion] = (),
) -> None:
    """Serve until SIGINT or SIGTERM; a second one ends at once.

    `daily`: what a long-running server looks after; `reload`: what SIGHUP asks for.
    """
    stopping = Event()

    def on_signal() -> None:
        if stopping.is_set():
            if under_way := server.under_way():
                log.warning("stopped at once, as asked: %s cut off", under_way)
            raise SystemExit(130)
        stopping.set()

    hangups = Hangups(reload or daily)
    signs = sd_notify.Signs(lambda: _described(server))
    watchers = [gevent.signal_handler(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)]
    watchers.append(gevent.signal_handler(signal.SIGHUP, hangups.note))
    try:
        server.start()
        tending = [tasks.spawn("daily", _every_day, daily), tasks.spawn("reload", hangups.attend)]
        for companion in companions:
            companion.start()
        signs.start()
        sd_notify.ready()
        stopping.wait()
        sd_notify.stopping()
        for task in tending:
            task.kill()
        for companion in companions:
            companion.stop()
        log.info("stopping: what is under way has %g seconds", server.grace)
        server.stop()
    finally:
        signs.stop()
        for watcher in watchers:
            watcher.cancel()


class Hangups:
    """SIGHUPs, one after the other; several at once are one."""

    def __init__(self, reload: Callable[[], None]) -> None:
        self._reload = reload
        self._noted = Event()

    def note(self) -> None:
        self._noted.set()

    def attend(self) -> None:
        while True:
            self._noted.wait()
            self._noted.clear()
            sd_notify.reloading()
            _tend(self._reload)
            sd_notify.ready()


def _described(server: Server) -> str:
    """One line for who looks at the service."""
    state = server.state
    if not state.ready:
        return "stopping"
    names = sum(bool(route.members) for route in state.router.routes()) if state.router is not None else 0
    ports = sum(bool(members) for _, members in state.doors.listing()) if state.doors is not None else 0
    counted = [(len(state.sessions()), "client", "clients")]
    counted += [(names, "name", "names")] if state.router is not None else []
    counted += [(ports, "port", "ports")] if state.doors is not None else []
    return ", ".join(f"{count} {one if count == 1 else several}" for count, one, several in counted)


def _every_day(work: Callable[[], None]) -> None:
    while True:
        gevent.sleep(DAY_SECONDS)
        _tend(work)


def _tend(work: Callable[[], None]) -> None:
    try:
        work()
    except (ConfigError, OSError) as error:
        log.error("%s", error)
