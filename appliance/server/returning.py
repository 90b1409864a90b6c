"""What was served when the server last stopped, so that its visitors wait for clients that are on their way back."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from appliance.certificates import state

MOST_NAMES = 4096
MOST_BYTES = 2 << 20
FRESH_SECONDS = 300.0  # who has been away for longer is not about to come back

log = logging.getLogger("sluice.server")


class Returning:
    """Names, kept in a file from one run of the server to the next."""

    def __init__(self, path: Path | None) -> None:
        """None: nothing is kept."""
        self._path = path

    def keep(self, names: Iterable[str]) -> None:
        """At the end of a run."""
        if self._path is None:
            return
        content = {"at": time.time(), "names": list(names)[:MOST_NAMES]}
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            state.replace(self._path, json.dumps(content).encode())
        except OSError as error:
            # The next run answers 404 until its clients are back, as after a crash.
            log.info("%s cannot be written: %s", self._path, error.strerror or error)

    def take(self) -> list[str]:
        """At the start of a run: the names, once, if the run before has ended just now."""
        if self._path is None:
            return []
        try:
            with self._path.open("rb") as file:
                content = json.loads(file.read(MOST_BYTES))
            self._path.unlink()
            fresh = 0 <= time.time() - content["at"] < FRESH_SECONDS
            return [name for name in content["names"] if isinstance(name, str)][:MOST_NAMES] if fresh else []
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return []
