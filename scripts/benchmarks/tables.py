"""Tables: the median of each figure, laid out for the terminal and for Markdown. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .contestants import CONTESTANTS
from .measurements import GIB, MEASUREMENTS, MEMORY_DOWNLOADS, Measurement, Sample, Settings
from .rounds import Results

BASELINE = "ssh"


@dataclass(frozen=True)
class Column:
    """One column: a metric of the samples, how it is written, and whether it is divided by ssh's."""

    title: str
    metric: str
    digits: int = 0
    against_baseline: bool = False
    spread: bool = False


def _rate_columns(unit: str) -> tuple[Column, ...]:
    return (
        Column(f"{unit}s/s", f"{unit}s_per_second", spread=True),
        Column("rate × ssh", f"{unit}s_per_second", 2, against_baseline=True),
        Column("p50 ms", "p50_ms", 2),
        Column("p99 ms", "p99_ms", 2),
    )


def _cpu_columns(unit: str) -> tuple[Column, ...]:
    return (
        Column(f"CPU µs/{unit}", f"cpu_us_per_{unit}", 1, spread=True),
        Column("server", f"server_cpu_us_per_{unit}", 1),
        Column("client", f"client_cpu_us_per_{unit}", 1),
        Column("CPU × ssh", f"cpu_us_per_{unit}", 2, against_baseline=True),
    )


_ERRORS = Column("errors", "errors")
_BULK_COLUMNS = (
    Column("MB/s", "mb_per_second", spread=True),
    Column("rate × ssh", "mb_per_second", 2, against_baseline=True),
    Column("CPU s/GiB", "cpu_s_per_gib", 2, spread=True),
    Column("server", "server_cpu_s_per_gib", 2),
    Column("client", "client_cpu_s_per_gib", 2),
    Column("CPU × ssh", "cpu_s_per_gib", 2, against_baseline=True),
)
COLUMNS: dict[str, tuple[Column, ...]] = {
    "small": (*_rate_columns("request"), *_cpu_columns("request"), _ERRORS),
    "connections": (*_rate_columns("connection"), *_cpu_columns("connection"), _ERRORS),
    "bulk": _BULK_COLUMNS,
    "mixed": (*_rate_columns("request"), Column("bulk MB/s", "bulk_mb_per_second", 1), _ERRORS),
    "startup": (
        Column("server ready ms", "server_ready_ms", spread=True),
        Column("client to first answer ms", "client_first_answer_ms", spread=True),
        Column("--help ms", "help_ms", spread=True),
    ),
}
MEMORY_MOMENTS = ("idle", "loaded", "transferred", "in_flight")

Samples = Mapping[str, list[Sample]]  # of one measurement, by contestant


@dataclass(frozen=True)
class Table:
    title: str
    header: list[str]
    rows: list[list[str]]


def median(samples: Sequence[Sample], metric: str) -> float | None:
    values = [sample[metric] for sample in samples if metric in sample]
    return statistics.median(values) if values else None


def number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def cell(column: Column, samples: Sequence[Sample], baseline: Sequence[Sample]) -> str:
    value = median(samples, column.metric)
    if column.against_baseline:
        other = median(baseline, column.metric)
        return "-" if value is None or not other else number(value / other, column.digits)
    values = [sample[column.metric] for sample in samples if column.metric in sample]
    if column.spread and len(values) > 1:
        least, most = number(min(values), column.digits), number(max(values), column.digits)
        return f"{number(value, column.digits)} ({least}-{most})"
    return number(value, column.digits)


def tables(results: Results, settings: Settings) -> list[Table]:
    """One table per measurement that was made."""
    made = []
    for measurement in MEASUREMENTS:
        samples = results.samples.get(measurement.name)
        if samples:
            is_memory = measurement.name == "memory"
            made.append(_memory_table(samples, settings) if is_memory else _plain_table(measurement, samples))
    return made


def _plain_table(measurement: Measurement, samples: Samples) -> Table:
    # A column that says nothing is left out: errors where there were none, ratios without ssh.
    columns = [column for column in COLUMNS[measurement.group] if _worth_showing(column, samples)]
    baseline = samples.get(BASELINE, [])
    rows = [
        [contestant_title(name), *(cell(column, own, baseline) for column in columns)] for name, own in samples.items()
    ]
    return Table(measurement.title, ["", *(column.title for column in columns)], rows)


def _worth_showing(column: Column, samples: Samples) -> bool:
    values = [sample.get(column.metric) for own in samples.values() for sample in own]
    if column.metric == "errors":
        return any(values)
    return any(value is not None for value in values) and (not column.against_baseline or BASELINE in samples)


def _memory_table(samples: Samples, settings: Settings) -> Table:
    transferred = f"after {settings.bulk_bytes * MEMORY_DOWNLOADS / GIB:g} GiB"
    header = ["", "idle", "after load", transferred, f"{settings.in_flight:,} in flight"]
    rows = []
    for name, own in samples.items():
        for role in ("server", "client"):
            cells = [_memory_cell(own, f"{role}_{moment}") for moment in MEMORY_MOMENTS]
            if any(text != "-" for text in cells):
                rows.append([f"{contestant_title(name)}, {role}", *cells])
    return Table("Memory: MiB resident (in brackets: shared pages shared out)", header, rows)


def contestant_title(contestant: str) -> str:
    return CONTESTANTS[contestant].title


def _memory_cell(samples: Sequence[Sample], prefix: str) -> str:
    rss, pss = median(samples, f"{prefix}_rss_mib"), median(samples, f"{prefix}_pss_mib")
    return number(rss, 1) if pss is None else f"{number(rss, 1)} ({number(pss, 1)})"


def render_text(table: Table) -> str:
    """Align: names to the left, figures to the right."""
    lines = [table.header, *table.rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(table.header))]
    rendered = [table.title]
    for line in lines:
        figures = [text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True)]
        rendered.append("  " + "  ".join([line[0].ljust(widths[0]), *figures]).rstrip())
    return "\n".join(rendered)


def render_markdown(table: Table) -> str:
    """The table alone; its title is the page's affair."""
    rule = "|---" + "|---:" * (len(table.header) - 1) + "|"
    return "\n".join([_markdown_row(table.header), rule, *(_markdown_row(row) for row in table.rows)])


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
