"""The only place that starts greenlets: each has a name, and its crash is logged and counted, never printed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub
from greenlet import GreenletExit, greenlet

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


def spawn(name: str, function: Callable[..., object], *arguments: Any) -> gevent.Greenlet:
    """Run `function` in a greenlet of its own, soon. The result can be joined and killed."""
    return gevent.spawn(_run, name, function, arguments)


def run_now(name: str, function: Callable[..., object], *arguments: Any) -> None:
    """From a call-back in the hub: run `function` in a greenlet of its own, at once, until it first waits.

    Cheaper than `spawn` by the loop's call-back and a wake-up; nobody can join it.
    """
    greenlet(_run, get_hub()).switch(name, function, arguments)


def later(seconds: float, name: str, function: Callable[..., object], *arguments: Any) -> gevent.Greenlet:
    """As `spawn`, after a while."""
    return gevent.spawn_later(seconds, _run, name, function, arguments)
