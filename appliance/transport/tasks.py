"""The only place that starts greenlets: each has a name, and its crash is logged and counted, never printed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub
from greenlet import GreenletExit, getcurrent, greenlet

# Greenlets of `run_now` that wait for their next task: a new one costs 10 us (CPython maps a stack for it), this 1.
MOST_RESTING = 64

log = logging.getLogger("sluice.tasks")


class Crashes:
    """How many greenlets ended by an exception that nobody expected."""

    count = 0


crashes = Crashes()


def _run(name: str, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    try:
        function(*arguments)
    except GreenletExit:
        pass
    except (Exception, gevent.Timeout):  # a Timeout that nobody caught is no Exception
        crashes.count += 1
        log.exception("%s crashed; please report this", name)


_resting: list[greenlet] = []


def _work() -> None:
    """The life of one of `run_now`'s greenlets: task after task. It has none to begin with, for what a greenlet is
    started with it keeps until it ends."""
    this = getcurrent()
    while True:
        name, function, arguments = greenlet.switch(this.parent)
        _run(name, function, arguments)
        del function, arguments  # what they refer to must not live as long as we rest
        if len(_resting) >= MOST_RESTING:
            return
        _resting.append(this)


def spawn(name: str, function: Callable[..., object], *arguments: Any) -> gevent.Greenlet:
    """Run `function` in a greenlet of its own, soon. The result can be joined and killed."""
    return gevent.spawn(_run, name, function, arguments)


def run_now(name: str, function: Callable[..., object], *arguments: Any) -> None:
    """From a call-back in the hub: run `function` in a greenlet of its own, at once, until it first waits.

    Cheaper than `spawn` by the loop's call-back and a wake-up; nobody can join or kill it. The greenlet goes on to
    other tasks afterwards: who keeps it, to throw into it, must know that it still does what it did (Connection does).
    """
    hub = get_hub()
    if _resting and _resting[-1].parent is hub:  # another thread has a hub of its own
        worker = _resting.pop()
    else:
        worker = greenlet(_work, hub)
        worker.switch()
    worker.switch(name, function, arguments)


def later(seconds: float, name: str, function: Callable[..., object], *arguments: Any) -> gevent.Greenlet:
    """As `spawn`, after a while."""
    return gevent.spawn_later(seconds, _run, name, function, arguments)
