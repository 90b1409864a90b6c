"""Streams and connections of these tests are real, both ends in this process; nothing of them may be left."""

from tests.transport.conftest import certificates, nothing_is_left_behind, wires  # noqa: F401
