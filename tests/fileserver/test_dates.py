"""HTTP dates, in the three forms of RFC 9110 5.6.7."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.fileserver.dates import date_now, http_date, parse_http_date


def test_the_examples_of_the_rfc() -> None:
    assert http_date(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    for text in (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ):
        assert parse_http_date(text) == 784111777


@given(st.integers(0, 253402300799))
def test_what_is_written_is_read(seconds: int) -> None:
    assert parse_http_date(http_date(seconds).decode()) == seconds


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
    assert parse_http_date(text) is None


@given(st.text(max_size=40))
def test_any_text_is_a_date_or_none(text: str) -> None:
    parse_http_date(text)


def test_two_digits_of_a_year_mean_the_nearest_century() -> None:
    this_year = time.gmtime().tm_year
    for years, expected in ((40, this_year + 40), (60, this_year - 40)):
        text = f"Monday, 02-Jan-{(this_year + years) % 100:02d} 00:00:00 GMT"
        seconds = parse_http_date(text)
        assert seconds is not None
        assert time.gmtime(seconds).tm_year == expected


def test_now() -> None:
    seconds = parse_http_date(date_now().decode())
    assert seconds is not None
    assert abs(seconds - time.time()) < 5
