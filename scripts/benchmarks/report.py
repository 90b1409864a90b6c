"""The report of a run: text for the terminal, JSON with every value. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from .measurements import Sample, Settings
from .rounds import Results
from .tables import contestant_title, render_text, tables
from .targets import TARGETS, judged, notes, target_table


def as_json(results: Results, facts: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    """Everything, with each repetition's value."""
    return {
        "machine": dict(facts),
        "settings": vars(settings).copy(),
        "results": {
            measurement: {name: _summary(samples) for name, samples in by_contestant.items()}
            for measurement, by_contestant in results.samples.items()
        },
        "targets": [judged(target, results) for target in TARGETS],
        "failures": [vars(failure).copy() for failure in results.failures],
    }


def _summary(samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    summary = {}
    for metric in dict.fromkeys(metric for sample in samples for metric in sample):
        values = [sample[metric] for sample in samples if metric in sample]
        extremes = {"min": min(values), "max": max(values)}
        summary[metric] = {"median": statistics.median(values), **extremes, "values": values}
    return summary


def as_text(results: Results, settings: Settings) -> str:
    parts = [render_text(table) for table in (*tables(results, settings), target_table(results))]
    parts += notes(results)
    parts += [f"{contestant_title(f.contestant)}, {f.what}, failed: {f.reason}" for f in results.failures]
    return "\n\n".join(parts)
