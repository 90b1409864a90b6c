"""Clients of these tests run in this process, in a house as the end-to-end tests have it."""

from tests.end_to_end.conftest import (  # noqa: F401
    everything_is_logged,
    house,
    material,
    no_greenlet_is_left,
    tls_house,
)
