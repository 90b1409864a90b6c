"""HTTP dates, in the three forms of RFC 9110 5.6.7."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.dates import http_date, parse_http_date


def test_the_examples_of_the_rfc() -> None:
    assert http_date(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    for text in (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ):
        assert parse_http_date(text, 2026) == 784111777


@given(st.integers(0, 253402300799))
def test_what_is_written_is_read(seconds: int) -> None:
    assert parse_http_date(http_date(seconds).decode(), 2026) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:61:00 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT",
    ],
)
def test_what_is_no_date(text: str) -> None:
    assert parse_http_date(text, 2026) is None


@given(st.text(max_size=40))
def test_any_text_is_a_date_or_none(text: str) -> None:
    parse_http_date(text, 2026)


def test_two_digits_of_a_year_mean_the_nearest_century() -> None:
    for year, expected in ((66, 2066), (76, 2076), (77, 1977), (86, 1986)):
        seconds = parse_http_date(f"Monday, 02-Jan-{year} 00:00:00 GMT", 2026)
        assert seconds is not None
        assert time.gmtime(seconds).tm_year == expected
