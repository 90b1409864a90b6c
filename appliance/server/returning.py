"""What the server served when it last ran, so that its visitors wait for clients that are on their way back."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import gevent

from appliance.certificates import state
from appliance.transport import tasks

MOST_NAMES = 4096
MOST_BYTES = 2 << 20
FRESH_SECONDS = 300.0  # who has been away for longer is not about to come back
LOOK_SECONDS = 2.0
TOUCH_SECONDS = 60.0

log = logging.getLogger("sluice.server")


class Returning:
    """Names, kept in a file from one run of the server to the next, however the one before ends.

    The file's time says when they were last seen to be right.
    """

    def __init__(self, path: Path | None) -> None:
        """None: nothing is kept."""
        self._path = path
        self._names: Callable[[], list[str]] = list
        self._kept: list[str] | None = None
        self._kept_at = 0.0
        self._task: gevent.Greenlet | None = None

    def take(self) -> list[str]:
        """At the start of a run: the names, if the run before has ended just now."""
        if self._path is None:
            return []
        try:
            with self._path.open("rb") as file:
                fresh = 0 <= time.time() - os.fstat(file.fileno()).st_mtime < FRESH_SECONDS
                names = json.loads(file.read(MOST_BYTES))["names"] if fresh else []
            return [name for name in names if isinstance(name, str)][:MOST_NAMES]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return []

    def start(self, names: Callable[[], list[str]]) -> None:
        """From now on keep what `names` gives, as it changes."""
        self._names = names
        if self._path is not None:
            self._task = tasks.spawn("returning", self._watch)

    def stop(self) -> None:
        """At the end of a run, while all are served still."""
        if self._task is not None:
            self._task.kill()
            self._task = None
            self.look()

    def look(self) -> None:
        names = self._names()[:MOST_NAMES]
        now = time.monotonic()
        if names == self._kept and now - self._kept_at < TOUCH_SECONDS:
            return
        assert self._path is not None
        try:
            if names == self._kept:
                os.utime(self._path)
            else:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                state.replace(self._path, json.dumps({"names": names}).encode())
        except OSError as error:
            # Without it the next run answers 404 until its clients are back.
            log.info("%s cannot be written: %s", self._path, error.strerror or error)
        self._kept, self._kept_at = names, now

    def _watch(self) -> None:
        while True:
            gevent.sleep(LOOK_SECONDS)
            self.look()
