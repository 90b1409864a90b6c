"""Clients of these tests run in this process, in a house as the end-to-end tests have it."""

from tests.end_to_end.conftest import everything_is_logged, house, material, tls_house  # noqa: F401
