"""Options for certificates of the data plane that Let's Encrypt, or another ACME server, issues."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from appliance.config.options import ConfigError, option
from appliance.config.shared import TLS

# https://letsencrypt.org/docs/acme-protocol-updates/ and .../staging-environment/
ISSUERS = {
    "prod": "https://acme-v02.api.letsencrypt.org/directory",
    "staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}

_MAX_NAME_LENGTH = 253  # RFC 1035 section 2.3.4
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_EMAIL = re.compile(r"[^\s@,<>?]+@[^\s@,<>?]+")


@dataclass(frozen=True, kw_only=True)
class LetsEncryptOptions:
    """`letsencrypt_domain` is kept as certificates have it: lower case, A-labels, each once."""

    letsencrypt_domain: tuple[str, ...] = option(
        (),
        group=TLS,
        metavar="NAME",
        help="Name to get a certificate for from Let's Encrypt, whose terms you accept with it.",
    )
    letsencrypt_email: str | None = option(
        None, group=TLS, metavar="ADDRESS", help="Where the issuer may write to about your certificates."
    )
    letsencrypt_issuer: str = option(
        "prod",
        group=TLS,
        metavar="prod|staging|URL",
        help="Who issues: Let's Encrypt, its test environment, or the directory URL of any ACME server.",
    )
    letsencrypt_ca: str | None = option(
        None,
        group=TLS,
        metavar="FILE",
        default_text="public authorities",
        help="Authority (PEM) that vouches for the ACME server itself, where it is your own.",
    )

    def check_letsencrypt(self) -> None:
        """Raises ConfigError, naming the flag at fault."""
        names = tuple(dict.fromkeys(_domain(name) for name in self.letsencrypt_domain))
        object.__setattr__(self, "letsencrypt_domain", names)
        if not names:
            for given, flag in (
                (self.letsencrypt_email, "--letsencrypt-email"),
                (self.letsencrypt_issuer != "prod", "--letsencrypt-issuer"),
                (self.letsencrypt_ca, "--letsencrypt-ca"),
            ):
                if given:
                    raise ConfigError(f"{flag} is for --letsencrypt-domain: give that, too, or leave it out")
        if self.letsencrypt_email is not None and not _EMAIL.fullmatch(self.letsencrypt_email):
            raise ConfigError(f"--letsencrypt-email {self.letsencrypt_email!r} is not an e-mail address")
        _check_issuer(self.letsencrypt_issuer)

    @property
    def letsencrypt_directory(self) -> str:
        """The directory URL of the ACME server."""
        return ISSUERS.get(self.letsencrypt_issuer, self.letsencrypt_issuer)


def _check_issuer(issuer: str) -> None:
    if issuer in ISSUERS:
        return
    try:
        url = urlsplit(issuer)
        good = url.scheme == "https" and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(
            f"--letsencrypt-issuer {issuer!r} is neither prod, staging, nor the https:// URL of an ACME directory"
        )


def _domain(text: str) -> str:
    name = text.strip().rstrip(".")
    if name.startswith("*."):
        raise ConfigError(
            f"--letsencrypt-domain {text!r}: wildcards need a challenge in the DNS, which sluice does not do: "
            "list the names one by one, or bring a wildcard certificate with --data-cert and --data-key"
        )
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        pass
    else:
        raise ConfigError(f"--letsencrypt-domain {text!r} is an IP address: a DNS name is wanted")
    try:
        name = name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    labels = name.split(".")
    if not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit() or len(name) > _MAX_NAME_LENGTH:
        raise ConfigError(f"--letsencrypt-domain {text!r} is not a DNS name: write it like tunnel.example.com")
    return name
