"""Options that say how a server is to be trusted, of all commands that connect to one."""

import re
from dataclasses import dataclass

from appliance.config.options import ConfigError, option
from appliance.config.shared import TLS

_FINGERPRINT = re.compile(r"(?:sha-?256(?: fingerprint)?[:= ] *)?([0-9a-f:]+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class TrustOptions:
    """``ca_fingerprint`` is canonical: 64 hex digits, lower case."""

    auto_tls: bool = option(
        True, group=TLS, help="Trust the server's own authority: the one that was there at the first use, or pinned."
    )
    ca_fingerprint: str | None = option(
        None,
        group=TLS,
        metavar="HEX",
        help="SHA-256 of the server's own authority, as `sluice certificates` shows it there: no other is trusted.",
    )
    tls_ca: str | None = option(
        None, group=TLS, metavar="FILE", help="Authorities (PEM) of yours: the server's certificate must be of one."
    )
    insecure: bool = option(False, group=TLS, help="Accept any certificate of the server. For tests.")

    def check_trust(self, url: str) -> None:
        """Bring the fingerprint into its form. Raises ConfigError for that, and for options that exclude each other."""
        if self.ca_fingerprint is not None:
            object.__setattr__(self, "ca_fingerprint", parse_fingerprint(self.ca_fingerprint))
        if self.tls_ca is not None and not self.tls_ca.strip():
            raise ConfigError("--tls-ca is empty: name a file with authorities (PEM)")
        given = [
            name
            for name, value in (("--ca-fingerprint", self.ca_fingerprint), ("--tls-ca", self.tls_ca))
            if value is not None
        ]
        if not given:
            return
        if len(given) == 2:
            raise ConfigError(
                "--ca-fingerprint is for the server's own authority and --tls-ca for others: leave one of them out"
            )
        if self.insecure:
            raise ConfigError(f"--insecure accepts any certificate, which {given[0]} forbids: leave one of them out")
        if self.ca_fingerprint is not None and not self.auto_tls:
            raise ConfigError(
                "--ca-fingerprint is for the server's own authority, which --auto-tls=false declines: "
                "leave one of them out"
            )
        if is_plain(url):
            raise ConfigError(f"{given[0]} needs TLS: write wss:// in --url, since ws:// sends the token in the clear")


def parse_fingerprint(text: str) -> str:
    """64 hex digits, lower case, of what people copy: with colons, upper case, ``sha256:`` before. ConfigError."""
    found = _FINGERPRINT.fullmatch(text.strip())
    digits = found[1].replace(":", "").lower() if found else ""
    if len(digits) != 64:
        raise ConfigError(
            f"--ca-fingerprint {text!r}: the 64 hex digits of a SHA-256 are needed, as `sluice certificates` "
            "shows them on the server"
        )
    return digits


def is_plain(url: str) -> bool:
    """Whether the URL is one without TLS. (What else may be wrong with it is found where it is parsed.)"""
    return url.strip().lower().startswith(("ws://", "http://"))
