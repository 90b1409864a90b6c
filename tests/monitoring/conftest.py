"""What tests of monitoring share: their processes' output is shown when they fail."""

from __future__ import annotations

from tests.stage.failures import pytest_runtest_makereport  # noqa: F401
