"""What the admin page's tests share: one Chromium, and made-up servers that start once. Both end with the last of these
tests, for other tests have no use for a browser's event loop in their thread."""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.visit import CHROMIUM, FLAGS, PATIENCE_MS
from tests.stage.failures import pytest_runtest_makereport  # noqa: F401
from tests.stage.process import Process, eventually

HERE = Path(__file__).parent
MOCK = HERE / "mock_server.py"

Mock = Callable[..., str]


class Shared:
    """`close` ends all; whoever asks afterwards gets new ones."""

    def __init__(self) -> None:
        self._ends = contextlib.ExitStack()
        self._browser: Browser | None = None
        self._mocks: dict[tuple[str, ...], str] = {}

    def browser(self) -> Browser:
        if self._browser is None:
            playwright = self._ends.enter_context(sync_playwright())
            expect.set_options(timeout=PATIENCE_MS)
            self._browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            self._ends.callback(self._browser.close)
        return self._browser

    def mock(self, *flags: str) -> str:
        if flags not in self._mocks:
            directory = Path(self._ends.enter_context(tempfile.TemporaryDirectory(prefix="mock")))
            process = Process("mock", [sys.executable, str(MOCK), *flags], directory)
            self._ends.callback(process.stop)
            found = eventually(lambda: re.search(r"listening on (\d+)", process.output), "the mock listens", process)
            self._mocks[flags] = f"http://127.0.0.1:{found[1]}/"
        return self._mocks[flags]

    def close(self) -> None:
        self._browser = None
        self._mocks.clear()
        self._ends.close()


shared = Shared()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    if nextitem is None or not nextitem.path.is_relative_to(HERE):
        shared.close()


@pytest.fixture(scope="module")
def chromium() -> Browser:
    return shared.browser()


@pytest.fixture(scope="module")
def mock() -> Mock:
    """mock("--clients", "5") is the address of a made-up server with these flags."""
    return shared.mock
