"""The same as `hashlib`, which is not loaded for them."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire import digests


@given(st.binary(max_size=300))
def test_the_same(data: bytes) -> None:
    assert digests.sha1(data, usedforsecurity=False).digest() == hashlib.sha1(data, usedforsecurity=False).digest()
    assert digests.sha256(data).hexdigest() == hashlib.sha256(data).hexdigest()


def test_an_interpreter_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    import sys

    for name in ("_sha1", "_sha2", "_sha256"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it could not be found
    try:
        found = importlib.reload(digests)
        assert (found.sha1, found.sha256) == (hashlib.sha1, hashlib.sha256)
    finally:
        monkeypatch.undo()
        importlib.reload(digests)
