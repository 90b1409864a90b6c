"""What the admin page's tests share: one Chromium, and made-up servers that start once."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.visit import CHROMIUM, FLAGS, PATIENCE_MS
from tests.stage.failures import pytest_runtest_makereport  # noqa: F401
from tests.stage.process import ROOT, Process, eventually

MOCK = ROOT / "tests" / "browser" / "mock_server.py"

Mock = Callable[..., str]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    """mock("--clients", "5") is the address of a made-up server with these flags."""
    running: dict[tuple[str, ...], tuple[Process, str]] = {}

    def start(*flags: str) -> str:
        if flags not in running:
            directory: Path = tmp_path_factory.mktemp("mock")
            process = Process("mock", [sys.executable, str(MOCK), *flags], directory)
            running[flags] = process, ""
            found = eventually(lambda: re.search(r"listening on (\d+)", process.output), "the mock listens", process)
            running[flags] = process, f"http://127.0.0.1:{found[1]}/"
        return running[flags][1]

    yield start
    for process, _ in running.values():
        process.stop()
