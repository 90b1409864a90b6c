"""A failed test shows what its processes have said. Imported by a conftest beside such tests."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.stage.process import running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for process in running:
            report.sections.append((f"{process.name} (pid {process.pid})", process.output[-6000:]))
    return report
