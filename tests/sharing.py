"""How tests are shared out when several run at once (pytest-xdist; `scripts/test` without paths does so).

The tests of a file stay together, for they share what stands on its stage. Files whose tests wait most begin first, so
that short ones fill the time at the end. What is marked `alone` comes last, and only when nothing else runs.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

ALONE = "alone"  # the mark, and the group of all tests that have it
# Directories whose tests wait for processes, and those whose tests take long; others follow in their usual order.
EARLY = ("docs", "process", "browser", "scripts", "monitoring", "conformance", "end_to_end")
APART = "tests/docs/test_commands.py"  # the longest file, whose tests share nothing


def _rank(item: pytest.Item) -> int:
    if item.get_closest_marker(ALONE):
        return len(EARLY) + 1
    directory = item.path.relative_to(Path(__file__).parent).parts[0]
    return EARLY.index(directory) if directory in EARLY else len(EARLY)


@pytest.hookimpl(tryfirst=True)  # xdist's own reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not hasattr(config, "workerinput"):
        return
    items.sort(key=_rank)
    for item in items:
        if item.get_closest_marker(ALONE):
            item.add_marker(pytest.mark.xdist_group(ALONE))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with _the_machine(item):
        return (yield)


@contextlib.contextmanager
def _the_machine(item: pytest.Item) -> Iterator[None]:
    """Shared with the other workers, or `alone`. (Waiting here does not count for faulthandler_timeout.)"""
    worker: dict[str, Any] | None = getattr(item.config, "workerinput", None)
    if worker is None:
        yield
        return
    factory: pytest.TempPathFactory = item.config._tmp_path_factory  # type: ignore[attr-defined]
    with (factory.getbasetemp().parent / "machine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if item.get_closest_marker(ALONE) else fcntl.LOCK_SH)
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadGroupScheduling

    class Files(LoadGroupScheduling):  # type: ignore[misc]
        """By group, which the name of a test ends with, or else by file."""

        def _split_scope(self, nodeid: str) -> str:
            if nodeid.endswith(f"@{ALONE}"):
                return ALONE
            file = nodeid.partition("::")[0]
            return nodeid if file == APART else file

    config.option.loadscopereorder = False  # by the number of their tests, which says little of how long they take
    return Files(config, log)
