"""The Range field against a file's size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.fileserver.ranges import MAX_RANGES, Extent, Unsatisfiable, parse_range


@pytest.mark.parametrize(
    ("value", "extents"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-9", [(0, 10)]),
        ("bytes=5-", [(5, 95)]),
        ("bytes=99-", [(99, 1)]),
        ("bytes=90-200", [(90, 10)]),
        ("bytes=-10", [(90, 10)]),
        ("bytes=-100", [(0, 100)]),
        ("bytes=-500", [(0, 100)]),
        ("BYTES=1-2", [(1, 2)]),
        ("bytes = 1-2", [(1, 2)]),
        ("bytes=1-2,5-6", [(1, 2), (5, 2)]),
        ("bytes=5-6, 1-2", [(5, 2), (1, 2)]),  # in the order asked for
        ("bytes=,1-2 ,, 5-6,", [(1, 2), (5, 2)]),
        ("bytes=1-2,200-300", [(1, 2)]),
        ("bytes=1-5,3-8", [(1, 8)]),
        ("bytes=50-59,0-9,55-70", [(0, 10), (50, 21)]),
        ("bytes=0-,0-,0-", [(0, 100)]),
        ("bytes=0-9,10-19", [(0, 10), (10, 10)]),
        ("bytes=0-99999999999999999999999", [(0, 100)]),
    ],
)
def test_ranges_of_a_hundred_bytes(value: str, extents: list[tuple[int, int]]) -> None:
    assert parse_range(value, 100) == [Extent(*extent) for extent in extents]


@pytest.mark.parametrize("value", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=200-300,400-"])
def test_ranges_outside(value: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(value, 100)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=5-1",
        "bytes=0-1,5-1",
        "bytes=1--2",
        "bytes=1 -2",
        "bytes=+1-2",
        "bytes=0x1-2",
        "bytes=\u0661-\u0662",
        "lines=1-2",
        "bytes=1-2;3-4",
        "bytes=" + "1" * 5000 + "-",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 2 * MAX_RANGES + 2, 2)),
    ],
)
def test_what_is_ignored(value: str) -> None:
    assert parse_range(value, 100) is None


def test_an_empty_file_is_sent_whole() -> None:
    assert parse_range("bytes=0-", 0) is None


numbers = st.one_of(st.just(""), st.integers(0, 60).map(str))


@given(
    st.lists(st.builds("{}-{}".format, numbers, numbers), min_size=1, max_size=MAX_RANGES),
    st.integers(0, 50),
)
def test_extents_are_the_bytes_asked_for_each_once(specs: list[str], size: int) -> None:
    try:
        extents = parse_range("bytes=" + ",".join(specs), size)
    except Unsatisfiable:
        extents = []
    if extents is None:
        return
    sent = [number for extent in extents for number in range(extent.start, extent.start + extent.length)]
    wanted: set[int] = set()
    for spec in specs:
        first, last = spec.split("-")
        if first:
            wanted.update(range(int(first), min(int(last) + 1, size) if last else size))
        elif int(last):
            wanted.update(range(max(size - int(last), 0), size))
    assert sorted(sent) == sorted(wanted & set(range(size)))


@given(st.text(max_size=30), st.integers(0, 1000))
def test_any_text_is_extents_inside_or_refused(value: str, size: int) -> None:
    try:
        extents = parse_range("bytes=" + value, size) or []
    except Unsatisfiable:
        return
    for extent in extents:
        assert 0 <= extent.start <= extent.last < size
