"""Lists of addresses: who is let in, who is a proxy of ours."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AddressList:
    """IP addresses and networks. IPv4 addresses mapped into IPv6 count as IPv4, those of the list, too."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Of checked texts: an address or CIDR each."""
        self._networks = [_unmapped(ipaddress.ip_network(text, strict=False)) for text in texts]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, host: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False  # a Unix socket has none
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _unmapped(network: Network) -> Network:
    first = network.network_address
    if isinstance(first, ipaddress.IPv6Address) and first.ipv4_mapped is not None:  # 96 bits at least
        return ipaddress.IPv4Network((first.ipv4_mapped, network.prefixlen - 96))
    return network


class Admission(AddressList):
    """Who may connect at all; everybody where nothing is listed."""

    def admits(self, host: str) -> bool:
        return not self._networks or host in self
