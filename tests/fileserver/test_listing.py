"""Directory pages: what is on them, in which order, and that no name can break out of its place."""

from __future__ import annotations

import os
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.fileserver import listing
from appliance.fileserver.listing import Entry, human_size, listing_page, read_entries


def entries_of(root: Path, *names: str) -> list[Entry]:
    return read(root, *names)[0]


def read(root: Path, *names: str) -> tuple[list[Entry], bool]:
    descriptor = os.open(root.joinpath(*names), os.O_RDONLY | os.O_DIRECTORY)
    try:
        return read_entries(str(root), [os.fsencode(name) for name in names], descriptor)
    finally:
        os.close(descriptor)


def test_directories_come_first_and_names_sort_as_people_do(tmp_path: Path) -> None:
    for name in ("b.txt", "A.txt", "part 10", "part 2", "Part 1", "c", "é", "٣"):
        (tmp_path / name).touch()
    for name in ("z", "Y"):
        (tmp_path / name).mkdir()
    shown = [os.fsdecode(entry.name) for entry in entries_of(tmp_path)]
    assert shown == ["Y", "z", "A.txt", "b.txt", "c", "Part 1", "part 2", "part 10", "é", "٣"]


def test_only_what_is_served_is_shown(site: Path) -> None:
    os.mkfifo(site / "pipe")
    (site / "outside").symlink_to("../secret.txt")
    (site / "broken").symlink_to("absent")
    (site / "a\\b").touch()
    (site / "linked").symlink_to("docs")
    (site / "alias.txt").symlink_to("hello.txt")
    found = {entry.name: entry for entry in entries_of(site)}
    assert set(found) == {
        b".well-known",
        b"docs",
        b"page",
        b"linked",
        b"hello.txt",
        b"empty.txt",
        b"alias.txt",
    }
    assert found[b"linked"].is_directory
    assert (found[b"alias.txt"].size, found[b"alias.txt"].is_directory) == (36, False)
    assert [entry.name for entry in entries_of(site, "docs")] == [b"read me.md"]


def test_very_large_directories_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (tmp_path / f"{number}").touch()
    monkeypatch.setattr(listing, "_STATS_AT_ONCE", 7)
    assert len(entries_of(tmp_path)) == 30
    monkeypatch.setattr(listing, "MAX_ENTRIES", 30)
    assert read(tmp_path)[1] is False
    monkeypatch.setattr(listing, "MAX_ENTRIES", 29)
    found, more = read(tmp_path)
    assert (len(found), more) == (29, True)
    assert "there are more" in listing_page([], found, more).decode()


class Page(HTMLParser):
    """Links with their texts, and every tag and attribute there is."""

    def __init__(self, text: bytes) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[list[str]] = []
        self._open = False
        self.feed(text.decode())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attributes)
        if tag == "a":
            self.links.append([dict(attributes)["href"] or "", ""])
            self._open = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            self.links[-1][1] += data


def file(name: bytes) -> Entry:
    return Entry(name, False, 1234, 1_600_000_000.0)


@pytest.mark.parametrize(
    ("name", "href", "text"),
    [
        (b"a.txt", "./a.txt", "a.txt"),
        (
            b"<script>alert(1)</script>",
            "./%3Cscript%3Ealert%281%29%3C%2Fscript%3E",
            "<script>alert(1)</script>",
        ),
        (b"\"' onclick=x", "./%22%27%20onclick%3Dx", "\"' onclick=x"),
        (b"&lt;", "./%26lt%3B", "&lt;"),
        (b"$title ${rows} $$", "./%24title%20%24%7Brows%7D%20%24%24", "$title ${rows} $$"),
        (b"javascript:alert(1)", "./javascript%3Aalert%281%29", "javascript:alert(1)"),
        (b"a?b#c%41", "./a%3Fb%23c%2541", "a?b#c%41"),
        ("é ü".encode(), "./%C3%A9%20%C3%BC", "é ü"),
        (b"\xff\xfe", "./%FF%FE", "\ufffd\ufffd"),
        (b"a\nb\x1b[0m", "./a%0Ab%1B%5B0m", "a\ufffdb\ufffd[0m"),
        ("exe.\u202etxt".encode(), "./exe.%E2%80%AEtxt", "exe.\ufffdtxt"),
    ],
)
def test_names_stay_in_their_place(name: bytes, href: str, text: str) -> None:
    page = Page(listing_page([], [file(name)], False))
    assert page.links == [[href, text]]
    inside = Page(listing_page([name], [], False))
    assert inside.links == [["../", "Home"], ["../", "Parent directory"]]
    plain = Page(listing_page([b"d"], [file(b"f")], False))
    assert page.tags | inside.tags <= plain.tags
    assert page.attributes | inside.attributes <= plain.attributes


@given(st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & {0, 0x2F}))
def test_any_name_leads_back_to_itself(name: bytes) -> None:
    page = Page(listing_page([], [file(name)], False))
    assert len(page.links) == 1
    assert re.fullmatch(r"\./[A-Za-z0-9._~%-]+", page.links[0][0])
    assert unquote_to_bytes(page.links[0][0])[2:] == name


def test_the_way_back() -> None:
    page = Page(listing_page([b"a", b"b"], [Entry(b"c", True, 4096, 0.0)], False))
    assert page.links == [["../../", "Home"], ["../", "a"], ["../", "Parent directory"], ["./c/", "c/"]]


def test_what_a_page_says() -> None:
    text = listing_page([b"music"], [file(b"a.flac"), file(b"b.flac")], False).decode()
    assert "<title>/music/</title>" in text
    assert "<span>1.2 kB</span>" in text
    assert 'datetime="2020-09-13T12:26:40Z"' in text
    assert re.search(r">2020-09-1[234] \d\d:\d\d</time>", text)
    assert "<p>2 entries</p>" in text
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text
    assert "<script" not in text
    assert "<p>Nothing here</p>" in unescape(listing_page([], [], False).decode())


def test_dates_that_no_calendar_has() -> None:
    text = listing_page([], [Entry(b"a", False, 1, 1e30), Entry(b"b", False, 1, -1e30)], False)
    assert text.count(b'<time datetime=""></time>') == 2


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_949, "1.9 kB"),
        (9_960, "10 kB"),
        (999_499, "999 kB"),
        (999_600, "1.0 MB"),
        (12_345_678, "12 MB"),
        (4_700_000_000, "4.7 GB"),
        (10**13, "10 TB"),
        (10**16, "10.0 PB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human_size(size) == text
