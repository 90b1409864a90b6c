"""A client in the foreground: what its signals do."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

import gevent
from gevent.event import Event

from appliance.client.agent import Agent
from appliance.transport import sd_notify, tasks

log = logging.getLogger("sluice.client")


def run(agent: Agent, reload: Callable[[], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; a second one ends at once. `reload`: what SIGHUP asks for."""
    signalled, hangup = Event(), Event()

    def on_signal() -> None:
        if signalled.is_set():
            raise SystemExit(130)
        signalled.set()
        sd_notify.stopping()
        log.info("stopping: what is under way has %g seconds", agent.grace)
        agent.stop()

    signs = sd_notify.Signs(lambda: agent.status)
    watchers = [gevent.signal_handler(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)]
    watchers.append(gevent.signal_handler(signal.SIGHUP, hangup.set))
    reloading = tasks.spawn("reload", _reload, hangup, reload or (lambda: None))
    try:
        # At once, connected or not: a server that is away for long must not make the service manager give us up.
        agent.run(signs.start, sd_notify.ready)
    finally:
        reloading.kill()
        signs.stop()
        for watcher in watchers:
            watcher.cancel()


def _reload(hangup: Event, reload: Callable[[], None]) -> None:
    while True:
        hangup.wait()
        hangup.clear()
        sd_notify.reloading()
        reload()
        sd_notify.ready()
