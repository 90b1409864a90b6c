"""A directory as a page: what may be served of it, directories first, names as people sort them."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from string import Template
from urllib.parse import quote

import gevent

from appliance.config.build import web_directory
from appliance.fileserver.paths import NotServed, may_be_served, open_beneath, open_listable

MAX_ENTRIES = 10_000  # a page of 3 MB or so; nobody reads more, and memory is bounded
_STATS_AT_ONCE = 256  # others get their turn in between

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_digits = re.compile(r"([0-9]+)")
# Control characters, line separators, and what turns the direction of the text around it.
_unshowable = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u200e\u200f\u2066-\u2069]")


@dataclass(frozen=True)
class Entry:
    name: bytes
    is_directory: bool
    size: int
    modified: float


def read_entries(root: str, names: Sequence[bytes], descriptor: int) -> tuple[list[Entry], bool]:
    """What the directory open at `descriptor`, `names` below `root`, offers; and whether there is more.

    What would not be served is not shown: hidden names, devices and pipes, links that are broken or lead
    outside.
    """
    entries: list[Entry] = []
    listable = open_listable(descriptor)
    try:
        with os.scandir(listable) as found:
            for count, item in enumerate(found):
                if count == MAX_ENTRIES:
                    return sorted(entries, key=_order), True
                if count % _STATS_AT_ONCE == _STATS_AT_ONCE - 1:
                    gevent.sleep(0)
                entry = _entry(root, names, os.fsencode(item.name), listable)
                if entry is not None:
                    entries.append(entry)
    finally:
        os.close(listable)
    return sorted(entries, key=_order), False


def _entry(root: str, names: Sequence[bytes], name: bytes, directory: int) -> Entry | None:
    if not may_be_served(name, len(names)):
        return None
    try:
        info = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISLNK(info.st_mode):
            descriptor, info = open_beneath(root, [*names, name])
            os.close(descriptor)
    except (OSError, NotServed):  # gone meanwhile, or nothing to serve
        return None
    is_directory = stat.S_ISDIR(info.st_mode)
    if not is_directory and not stat.S_ISREG(info.st_mode):
        return None
    return Entry(name, is_directory, info.st_size, info.st_mtime)


def _order(entry: Entry) -> tuple[bool, list[str | int], bytes]:
    """Directories first; `part 2` before `part 10`, `b` between `A` and `C`."""
    parts = _digits.split(shown(entry.name))  # text at even places, digits at odd ones
    natural = [int(part) if place % 2 else part.casefold() for place, part in enumerate(parts)]
    return not entry.is_directory, natural, entry.name


def listing_page(names: Sequence[bytes], entries: Sequence[Entry], more: bool) -> bytes:
    """The page for the directory `names` below the root."""
    here = "/" + "".join(escaped(name) + "/" for name in names)
    rows = [_row(entry) for entry in entries]
    if names:
        rows.insert(0, '<li class="up"><a href="../">Parent directory</a></li>')
    count = f"{len(entries):,} " + ("entry" if len(entries) == 1 else "entries")
    if more:
        count = f"The first {MAX_ENTRIES:,} names were looked at: {count} shown, there are more"
    text = _template().substitute(
        title=here, crumbs=_crumbs(names), rows="\n".join(rows), count=count if entries else "Nothing here"
    )
    return text.encode()


@cache
def _template() -> Template:
    return Template((web_directory() / "listing.html").read_text("utf-8"))


def _crumbs(names: Sequence[bytes]) -> str:
    """Each directory on the way, as a link relative to this one: a proxy may serve us below any path."""
    above = ["Home", *(escaped(name) for name in names)]
    last = len(above) - 1
    links = [f'<a href="{"../" * (last - depth)}">{text}</a>' for depth, text in enumerate(above[:last])]
    return " / ".join([*links, f"<span>{above[last]}</span>"])


def _row(entry: Entry) -> str:
    # "./" keeps a name like `a:b` from being read as a scheme.
    slash = "/" if entry.is_directory else ""
    link = f'<a href="./{quoted(entry.name).decode()}{slash}">{escaped(entry.name)}{slash}</a>'
    size = "" if entry.is_directory else human_size(entry.size)
    date, stamp = _dates(entry.modified)
    kind = "directory" if entry.is_directory else "file"
    return f'<li class="{kind}">{link}<span>{size}</span><time datetime="{stamp}">{date}</time></li>'


def _dates(modified: float) -> tuple[str, str]:
    """For people, in the machine's time zone; and for programs."""
    try:
        local = time.strftime("%Y-%m-%d %H:%M", time.localtime(modified))
        return local, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(modified))
    except (OverflowError, ValueError, OSError):  # what some file systems take for a date
        return "", ""


def human_size(size: int) -> str:
    """`0 bytes`, `999 bytes`, `1.0 kB`, `12 MB`: powers of 1000, as file managers count."""
    if size < 1000:
        return "1 byte" if size == 1 else f"{size} bytes"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 9.95:
            return f"{value:.1f} {unit}"
        if value < 999.5:
            return f"{value:.0f} {unit}"
    return f"{value / 1000:.1f} PB"


def quoted(name: bytes) -> bytes:
    """A name as it stands in an address."""
    return quote(name, safe="").encode()


def shown(name: bytes) -> str:
    """A name as text; what is no UTF-8 or cannot be shown becomes a replacement character."""
    return _unshowable.sub("\ufffd", name.decode("utf-8", "replace"))


def escaped(name: bytes) -> str:
    return shown(name).translate(_ESCAPES)
