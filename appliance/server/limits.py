"""What the bearer of a token may offer: names, ports, local forwards. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.wire.address import AddressError, parse_pattern
from appliance.wire.ports import PortSet

MOST_NAMES = 100
MOST_PORTS = 100  # ranges
MOST_LETTERS = 300  # of one name or range
SHOWN_LETTERS = 120  # of what is allowed, in the reason of a refusal
NO_PORTS = PortSet()


@dataclass(frozen=True, slots=True)
class Limits:
    """`names`: as routes know them, "" for all; `forward`: whether local forwards may be used.

    Without names and without ports there is no limit. With either, what is not listed is not allowed: a token that was
    made for a name opens no port, and the other way round.
    """

    names: tuple[str, ...] = ()
    ports: PortSet = NO_PORTS
    forward: bool = False

    @classmethod
    def parse(cls, names: Iterable[str], ports: Iterable[str], forward: bool = False) -> Limits:
        """Of "app.example.com", "*.example.com" or "*", and "443", "8000-8010" or "*". Raises AddressError."""
        given = [text.strip() for text in ports]
        wrong = next((text for text in given if not text), None)
        if wrong is not None:
            raise AddressError("a port is empty: write 443, 1024-65535, or * for all")
        return cls(
            tuple(dict.fromkeys(map(parse_pattern, names))), PortSet.parse(*given) if given else NO_PORTS, forward
        )

    @property
    def none(self) -> bool:
        return not self.names and not self.ports

    @property
    def spoken_names(self) -> list[str]:
        return [name or "*" for name in self.names]

    @property
    def spoken_ports(self) -> list[str]:
        return str(self.ports).split(",") if self.ports else []

    def objection_to_name(self, pattern: str) -> str:
        """Why a name ("*.name", or "" for every one) may not be served, or "": all that it stands for must be
        allowed."""
        if self.none or any(_covers(allowed, pattern) for allowed in self.names):
            return ""
        return f"this client's token allows {_listed(self.spoken_names, 'no names')}"

    def objection_to_port(self, port: int) -> str:
        if self.none or port in self.ports:
            return ""
        return f"this client's token allows {_listed(self.spoken_ports, 'no ports', 'port', 'ports')}"


UNLIMITED = Limits(forward=True)


def _covers(allowed: str, pattern: str) -> bool:
    """Whether each name that a pattern stands for is one that is allowed."""
    if not allowed or allowed == pattern:
        return True
    # "*.a.b" is every name that ends so, also those of more parts; it is not a.b itself.
    return allowed.startswith("*.") and pattern.removeprefix("*").endswith(allowed[1:])


def _listed(found: list[str], nothing: str, one: str = "", several: str = "") -> str:
    if not found:
        return nothing
    text = ", ".join(found)
    if len(text) > SHOWN_LETTERS:
        text = text[:SHOWN_LETTERS].rpartition(", ")[0] + " and others"
    return " ".join(filter(None, (one if len(found) == 1 and "-" not in text else several, text, "alone")))
