"""A page that fails shows what its programs have said."""

from __future__ import annotations

from tests.stage.failures import pytest_runtest_makereport  # noqa: F401
