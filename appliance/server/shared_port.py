"""One port for both planes: requests for the control plane's own name are led to it, for platforms that give one port.

What is led there is written anew by the edge, like all that passes it; one request, or an upgrade, then the connection
ends: proxies in front use one connection for several names.
"""

from __future__ import annotations

import ipaddress

from appliance.server.visitor import Visitor
from appliance.wire.forwarding import request_to_upstream
from appliance.wire.http1 import RequestHead


class SharedVisitor(Visitor):
    """May be a client, or somebody who looks at the control plane."""

    __slots__ = ()

    def exchange(self, request: RequestHead) -> bool:
        lead = self.front.lead_to_control
        if lead is None or request.host is None or _name(request.host) != self.front.config.control_domain:
            return super().exchange(request)
        address = self._address(request)
        head = request_to_upstream(
            request, request.host, address.encode(), self.scheme, self.next_request_id(), self.trusted, b"control"
        )
        early = head + self.buffer
        connection = self.connection.moved()
        if address.encode() != self.address:
            connection.peer = f"[{address}]:0" if ":" in address else f"{address}:0"
        self.busy = False  # what a stopping server waits for are visitors, not clients
        lead(connection, early)
        return False

    def _address(self, request: RequestHead) -> str:
        """The visitor's, or what a proxy of ours says of it."""
        if self.trusted:
            chain = [value for name, value in request.forwarded if name == b"x-forwarded-for"]
            try:
                return str(ipaddress.ip_address(b",".join(chain).rpartition(b",")[2].strip().decode("latin-1")))
            except ValueError:
                pass
        return self.address.decode()


def _name(host: bytes) -> str:
    return host.partition(b":")[0].rstrip(b".").lower().decode("latin-1")
