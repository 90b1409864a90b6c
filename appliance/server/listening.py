"""Listening where a flag says; what stands in the way is told with the flag that changes it."""

from __future__ import annotations

import errno
from typing import Any

from appliance.config.options import ConfigError
from appliance.transport.activation import Inherited
from appliance.transport.listener import listen
from appliance.wire.address import join_host_port


def listen_for(flag: str, host: str, port: int, name: str = "", inherited: Inherited | None = None) -> list[Any]:
    """Sockets that listen: those that were passed on as `name`, or for this place, or new ones. Raises ConfigError."""
    if inherited is not None and (sockets := inherited.claim(name, host, port)):
        return sockets
    try:
        return listen(host, port)
    except OSError as error:
        where = join_host_port(host or "0.0.0.0", port)
        if error.errno == errno.EADDRINUSE:
            reason = f"{where} is in use by another program: choose another port with {flag}"
        elif error.errno == errno.EACCES:
            reason = (
                f"{where} needs a right that this user has not, as ports below 1024 do: give it CAP_NET_BIND_SERVICE "
                f"(a systemd unit: AmbientCapabilities), or choose another port with {flag}"
            )
        else:
            reason = f"{where} cannot be listened on ({error.strerror or error}): see {flag} and its address"
        raise ConfigError(reason) from None


def check_address(host: str) -> None:
    """Raise ConfigError where nothing can listen: ports are opened later, for clients, whom it would not help to hear
    of it."""
    try:
        sockets = listen(host, 0)
    except OSError as error:
        raise ConfigError(
            f"{host or '0.0.0.0'} cannot be listened on ({error.strerror or error}): see --data-addr"
        ) from None
    for sock in sockets:
        sock.close()
