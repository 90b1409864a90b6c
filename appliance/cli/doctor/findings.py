"""What a look has found, and how it is told. Pure."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from appliance.cli.tables import shown

OK, WARNING, ERROR = "ok", "warning", "error"
_LEVELS = (OK, WARNING, ERROR)


class Finding(NamedTuple):
    """`check`: one word for what was looked at; `fix`: what to do, empty where all is well."""

    check: str
    level: str
    text: str
    fix: str = ""


Findings = Iterator[Finding]


def worst(findings: Iterable[Finding]) -> str:
    return max((finding.level for finding in findings), key=_LEVELS.index, default=OK)


def render(heading: str, findings: Iterable[Finding], paint: Callable[[str, str], str]) -> Iterator[str]:
    """Lines; `paint(text, level)` may colour a level, or a heading (its level is empty)."""
    yield paint(heading, "")
    for check, level, text, fix in findings:
        yield f"  {paint(level.ljust(8), level)}{check.ljust(13)}{shown(text)}"
        if fix:
            yield f"{'':23}-> {shown(fix)}"
