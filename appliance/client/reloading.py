"""SIGHUP: a client takes over what has changed in its configuration, and stays connected."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from appliance.client.agent import Agent
from appliance.config.changes import changed, merged, said
from appliance.config.client_options import ClientOptions
from appliance.config.options import ConfigError
from appliance.wire.address import Upstream

OFFERS = frozenset(
    ("upstream", "port", "ports", "host_header", "strict_forwarding", "upstream_timeout", "upstream_insecure")
)
# What can change while the client runs.
LIVE = OFFERS | {"name", "token", "token_file", "token_env", "log_level", "grace"}

log = logging.getLogger("sluice.client")


class Wanted(NamedTuple):
    """A configuration, with what this machine makes of it."""

    config: ClientOptions
    token: str
    upstreams: tuple[Upstream, ...]


class Reload:
    """`read`: what is wanted now; it raises ConfigError, and then everything stays as it was."""

    def __init__(self, agent: Agent, now: Wanted, read: Callable[[ClientOptions], Wanted]) -> None:
        self._agent = agent
        self._now = now
        self._read = read

    def __call__(self) -> None:
        before = self._now
        again = before.config.origin.again
        try:
            given = again() if again is not None else before.config
            with given.origin.locating():
                wanted = self._read(given)
                names = changed(before.config, given)
                live = [name for name in names if name in LIVE]
                config = merged(before.config, given, live)
                self._agent.offer(wanted.upstreams, config)
        except ConfigError as error:
            log.error("SIGHUP: %s; everything stays as it was", error)
            return
        self._agent.use(config, wanted.token)
        logging.getLogger().setLevel(config.log_level.upper())
        if wanted.token != before.token and not {"token", "token_file", "token_env"}.intersection(live):
            live.append("token")
        self._now = Wanted(config, wanted.token, wanted.upstreams)
        log.info("SIGHUP: %s", said(live, [name for name in names if name not in LIVE]))
