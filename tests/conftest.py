"""For all tests: no program of theirs keeps its state, such as the servers that it knows, where its user's lies."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from tests.sharing import (  # noqa: F401
    pytest_collection_modifyitems,
    pytest_runtest_protocol,
    pytest_xdist_make_scheduler,
)


@pytest.fixture(autouse=True)
def log_level_of_its_own() -> Iterator[None]:
    """What a server that reads its configuration again in one test logs, must not show in the next."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture(autouse=True, scope="session")
def state_of_the_tests_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("STATE_DIRECTORY")
    os.environ["STATE_DIRECTORY"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["STATE_DIRECTORY"]
    else:
        os.environ["STATE_DIRECTORY"] = before
