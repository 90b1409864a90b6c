"""The pages for users, taken apart: fenced blocks, the commands in them, links, tables."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from tests.stage.process import ROOT

# Whose commands are run.
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Whose links and flags are checked.
ALL_PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

_fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_link = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_heading = re.compile(r"^#+ +(.*)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, where it begins, and under which heading."""

    page: Path
    line: int
    section: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, each on one line."""
        joined = re.sub(r" *\\\n *", " ", self.text)
        return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str = "") -> list[Block]:
    """The fenced blocks of a page, of one language or of all."""
    text = page.read_text("utf-8")
    found = []
    for match in _fence.finditer(text):
        before = text[: match.start()]
        section = _heading.findall(_fence.sub("", before))[-1]
        found.append(Block(page, before.count("\n") + 1, section, match[1], match[2]))
    return [block for block in found if not language or block.language == language]


def only_block(page: str, language: str) -> Block:
    """The one block of this language on a page below docs/."""
    (block,) = blocks(ROOT / "docs" / page, language)
    return block


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _fence.sub("", page.read_text("utf-8"))


def links(page: Path) -> list[str]:
    return _link.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """What may follow a # in a link to this page, as GitHub makes it of headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _heading.findall(prose(page))}


def rows(page: Path, first_cell: str) -> Iterator[list[str]]:
    """The rows of tables whose first cell matches: their cells."""
    for line in prose(page).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.fullmatch(first_cell, cells[0]):
            yield cells


def sections(page: Path) -> Iterator[tuple[str, str]]:
    """Each heading of a page, and the text up to the next one."""
    _, *found = re.split(r"^#+ +(.*)$", page.read_text("utf-8"), flags=re.MULTILINE)
    yield from zip(found[::2], found[1::2], strict=True)
