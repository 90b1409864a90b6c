"""The limit of descriptors is raised as far as it goes."""

from __future__ import annotations

import resource

import pytest

from appliance.transport import descriptors
from appliance.transport.descriptors import MOST, raise_limit


class Limits:
    """Stands in for the kernel's."""

    def __init__(self, soft: int, hard: int, refuses: bool = False) -> None:
        self.now = (soft, hard)
        self._refuses = refuses

    def getrlimit(self, kind: int) -> tuple[int, int]:
        assert kind == resource.RLIMIT_NOFILE
        return self.now

    def setrlimit(self, kind: int, limits: tuple[int, int]) -> None:
        assert kind == resource.RLIMIT_NOFILE
        if self._refuses:
            raise ValueError("not allowed")
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "found"),
    [
        (1024, 4096, 4096),
        (4096, 4096, 4096),
        (1024, resource.RLIM_INFINITY, MOST),
        (1024, MOST * 4, MOST),
        (MOST * 2, MOST * 4, MOST * 2),  # never lowered
    ],
)
def test_raised(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, found: int) -> None:
    limits = Limits(soft, hard)
    monkeypatch.setattr(descriptors.resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(descriptors.resource, "setrlimit", limits.setrlimit)
    assert raise_limit() == found
    assert limits.now == (found, hard)


def test_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(256, 4096, refuses=True)
    monkeypatch.setattr(descriptors.resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(descriptors.resource, "setrlimit", limits.setrlimit)
    assert raise_limit() == 256
