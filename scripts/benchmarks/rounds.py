"""The rounds: contestants take turns within each repetition, so a change of the machine's mood meets all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from .contestants import CONTESTANTS
from .contestants.base import Contestant
from .lab import Lab
from .load import WrkResult, wrk
from .measurements import MEASUREMENTS, Measurement, Sample, Settings
from .process import LabError

PAUSE_SECONDS = 0.2
WARM_SECONDS = 1
START = "start"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Failure:
    """A contestant that did not start, or a measurement of it that failed; with the end of the logs."""

    contestant: str
    what: str
    reason: str


@dataclass
class Results:
    """Samples by measurement and contestant, and why some are missing."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def of(self, measurement: str, contestant: str) -> list[Sample]:
        return self.samples.get(measurement, {}).get(contestant, [])

    def add(self, measurement: str, contestant: str, sample: Sample) -> None:
        self.samples.setdefault(measurement, {}).setdefault(contestant, []).append(sample)

    def given_up(self, measurement: str, contestant: str) -> bool:
        return any(f.contestant == contestant and f.what in (START, measurement) for f in self.failures)


def chosen_measurements(names: Sequence[str]) -> list[Measurement]:
    """Give the measurements of these names or groups; all when none is given."""
    return [m for m in MEASUREMENTS if not names or m.name in names or m.group in names]


def in_turn(names: Sequence[str], repeat: int) -> list[list[str]]:
    """Give the order of each repetition. Each begins further on: what one contestant leaves to the next, as warm
    caches and ports in TIME_WAIT, must not always go to the same one.
    """
    firsts = [len(names) * number // repeat for number in range(repeat)]
    return [[*names[first:], *names[:first]] for first in firsts]


class Rounds:
    """One run. After a failure a contestant is started anew for what comes next; the others go on."""

    def __init__(self, lab: Lab, contestants: Sequence[str], settings: Settings) -> None:
        self.results = Results()
        self._lab = lab
        self._names = contestants
        self._settings = settings

    def run(self, measurements: Sequence[Measurement]) -> Results:
        together = [m for m in measurements if not m.fresh]
        if together:
            self._run_together(together)
        for measurement in measurements:
            if measurement.fresh:
                self._run_apart(measurement)
        return self.results

    def _run_together(self, measurements: Sequence[Measurement]) -> None:
        running: dict[str, Contestant] = {}
        # All are there before the first measurement: for each, the others are the same quiet company.
        for name in self._names:
            self._ensure_running(name, running)
        for measurement in measurements:
            for name in self._turns(measurement):
                contestant = self._ensure_running(name, running)
                if contestant is not None and not self._measure(contestant, measurement):
                    del running[name]
        for contestant in running.values():
            contestant.stop()

    def _run_apart(self, measurement: Measurement) -> None:
        for name in self._turns(measurement):
            contestant = CONTESTANTS[name](self._lab)
            if contestant.is_tunnel and (measurement.starts_itself or self._start(contestant)):
                self._measure(contestant, measurement)
                contestant.stop()

    def _turns(self, measurement: Measurement) -> Iterator[str]:
        """Give the contestants in turn, again for each repetition, but those that failed before."""
        for names in in_turn(self._names, self._settings.repeat if measurement.repeated else 1):
            for name in names:
                if not self.results.given_up(measurement.name, name):
                    yield name

    def _ensure_running(self, name: str, running: dict[str, Contestant]) -> Contestant | None:
        if name not in running and not self.results.given_up(START, name):
            contestant = CONTESTANTS[name](self._lab)
            if self._start(contestant) and self._attempt(contestant, START, self._warm) is not None:
                running[name] = contestant
        return running.get(name)

    def _start(self, contestant: Contestant) -> bool:
        return self._attempt(contestant, START, lambda c: c.start()) is not None

    def _warm(self, contestant: Contestant) -> WrkResult:
        return wrk(self._lab.places.programs["wrk"], contestant.port, 32, WARM_SECONDS)

    def _measure(self, contestant: Contestant, measurement: Measurement) -> bool:
        time.sleep(PAUSE_SECONDS)
        sample = self._attempt(contestant, measurement.name, lambda c: measurement.run(c, self._settings))
        if sample is None:
            return False
        self.results.add(measurement.name, contestant.name, sample)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in list(sample.items())[:5])
        _progress(f"{measurement.name}: {contestant.title}: {figures}")
        return True

    def _attempt(self, contestant: Contestant, what: str, action: Callable[[Contestant], Answer]) -> Answer | None:
        """Do it. When it fails: keep the reason with the ends of the logs, stop the contestant, give None."""
        try:
            return action(contestant)
        except (LabError, OSError) as error:
            logs = [child.log_tail() for child in (contestant.server, contestant.client) if child is not None]
            # The error may bring a log already: a line is told once.
            lines = list(dict.fromkeys("\n".join([str(error), *logs]).splitlines()))
        contestant.stop()
        reason = self._lab.anonymous("\n".join(filter(None, lines)))
        self.results.failures.append(Failure(contestant.name, what, reason))
        _progress(f"{what}: {contestant.title} FAILED: {reason}")
        return None


def _progress(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
