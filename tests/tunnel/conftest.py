"""Streams and connections of these tests are real, both ends in this process; nothing of them may be left."""

import pytest

from tests.transport.conftest import certificates, nothing_is_left_behind, wires  # noqa: F401
from tests.transport.wires import Wires
from tests.tunnel.passages import Way


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def way(request: pytest.FixtureRequest, wires: Wires) -> Way:  # noqa: F811
    return Way(wires, 1, tls=request.param)
