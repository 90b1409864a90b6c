"""A house for each test, empty again at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.house import House, a_house


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "sluice")


@pytest.fixture
def house() -> Iterator[House]:
    with a_house() as house:
        yield house
