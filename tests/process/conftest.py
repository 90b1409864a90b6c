"""What tests of processes share: their output is shown when they fail."""

from __future__ import annotations

from tests.stage.failures import pytest_runtest_makereport  # noqa: F401
