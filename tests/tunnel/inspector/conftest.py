"""Streams of these tests are real ones."""

from tests.transport.conftest import certificates, wires  # noqa: F401
