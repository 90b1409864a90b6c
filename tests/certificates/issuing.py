"""A stand-in for an ACME issuer: certificates at once, or what a test wants to go wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.certificates.acme_files import Record
from appliance.certificates.acme_keys import Issued
from appliance.certificates.acme_problems import Failed, Window
from appliance.certificates.issue import Pair, new_authority

START = datetime(2026, 6, 1, tzinfo=timezone.utc)
AUTHORITY = new_authority(datetime(2026, 1, 1, tzinfo=timezone.utc))


def issue(name: str, begins: datetime, life: timedelta) -> Issued:
    """As an issuer would, but with any times."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = AUTHORITY.certificate
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + life)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(AUTHORITY.key, hashes.SHA256())
    )
    return Pair(key, certificate), [issuer]


@dataclass
class StandIn:
    """`now`: what this machine's clock says; `ahead`: by how much that is wrong."""

    now: float
    ahead: float = 0.0
    life: timedelta = timedelta(days=90)
    failures: dict[str, Failed] = field(default_factory=dict)
    suggested: Window | Failed | None = None
    ordered: list[tuple[str, str]] = field(default_factory=list)  # name, challenge
    replaced: list[x509.Certificate | None] = field(default_factory=list)
    asked: int = 0  # for windows
    rounds: int = 0
    open: int = 0

    def connect(self) -> StandIn:
        self.rounds += 1
        self.open += 1
        return self

    def close(self) -> None:
        self.open -= 1

    def obtain(
        self, name: str, method: str, record: Record, replaces: x509.Certificate | None, keep: Callable[[], None]
    ) -> Issued:
        self.ordered.append((name, method))
        self.replaced.append(replaces)
        record.order = "https://ca.example/order/1"
        keep()
        if name in self.failures:
            raise self.failures[name]
        return issue(name, datetime.fromtimestamp(int(self.now - self.ahead), timezone.utc), self.life)

    def window(self, certificate: x509.Certificate) -> Window | None:
        self.asked += 1
        if isinstance(self.suggested, Failed):
            raise self.suggested
        return self.suggested
