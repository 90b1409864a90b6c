"""Services of the server's network for clients' local forwards: only those that the rules allow."""

from __future__ import annotations

import logging
from collections.abc import Callable

from appliance.transport import reach
from appliance.transport.connection import Connection, TimedOut
from appliance.tunnel.carrier import NotReached
from appliance.wire.address import AddressError
from appliance.wire.messages import NOT_ALLOWED, TIMED_OUT, UNREACHABLE
from appliance.wire.ports import ForwardRules, parse_tcp_target

log = logging.getLogger("sluice.forward")


class Forwards:
    """Dials for clients. `seconds`: the time a service has to accept."""

    def __init__(self, rules: ForwardRules, seconds: float, refused: Callable[[str], None]) -> None:
        """`refused`: called with the reason for each connection that is turned away."""
        self._rules = rules
        self._seconds = seconds
        self._refused = refused

    def dial(self, target: str, visitor: str = "") -> Connection:
        """A connection to `tcp://host:port`, whoever it is for. Raises NotReached."""
        try:
            offer = parse_tcp_target(target.removeprefix("tcp://"), 1)
        except AddressError as error:
            raise NotReached(NOT_ALLOWED, str(error)) from None
        if offer.path or not target.startswith("tcp://"):
            raise NotReached(NOT_ALLOWED, f"{target} is not a TCP address")
        try:
            addresses = reach.resolve(offer.host, offer.target_port, self._seconds)
            # The address that was checked is the one that is dialled: a name looked up twice may change between.
            allowed = [
                address for address in addresses if self._rules.allows(offer.host, address[1][0], offer.target_port)
            ]
            if not allowed:
                self._refused("forward not allowed")
                raise NotReached(NOT_ALLOWED, f"{target} may not be reached for clients: see --allow-forward-to")
            return reach.first(allowed, self._seconds)
        except (TimedOut, TimeoutError):
            raise NotReached(TIMED_OUT, f"{target} did not answer within {self._seconds:g} seconds") from None
        except NotReached:
            raise
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise NotReached(UNREACHABLE, f"{target} was not reached: {reason}") from None
