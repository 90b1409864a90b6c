"""What a TLS server needs from this layer, wherever it came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

# Where a certificate came from, as `sluice certificates` and /status say it.
AUTOMATIC, OWN, ACME = "automatic", "own", "acme"
SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Material:
    """Files for ``SSLContext.load_cert_chain``, and what is told about them. `material_of` makes one.

    The two files may be one. ``ca_pem`` is what clients may fetch and trust; None where others vouch for the
    certificate. ``fingerprint`` is the SHA-256, in hex, of the DER of the automatic authority, or of the certificate.
    ``begins`` and ``expires`` are the certificate's, ``renews`` is when we next replace it by ourselves (None: never),
    all in UTC. ``names`` are DNS names (lower case, A-labels, maybe ``*.`` first) and IP addresses. ``source``: one of
    AUTOMATIC, OWN, ACME.
    """

    certificate_file: Path
    key_file: Path
    ca_pem: bytes | None
    fingerprint: str
    begins: datetime
    expires: datetime
    names: tuple[str, ...]
    issuer: str
    source: str
    renews: datetime | None = None

    @property
    def name(self) -> str:
        """The first of its names: what it is called in lists and metrics."""
        return self.names[0] if self.names else "(no name)"


def material_of(
    certificate: x509.Certificate,
    certificate_file: Path,
    key_file: Path,
    source: str,
    *,
    authority: x509.Certificate | None = None,
    ca_pem: bytes | None = None,
    renews: datetime | None = None,
) -> Material:
    """Material for a server's certificate. ``authority``: whose fingerprint is shown in place of its own."""
    return Material(
        certificate_file=certificate_file,
        key_file=key_file,
        ca_pem=ca_pem,
        fingerprint=fingerprint(authority or certificate),
        begins=certificate.not_valid_before_utc,
        expires=certificate.not_valid_after_utc,
        names=spoken_names(certificate),
        issuer=issuer_of(certificate),
        source=source,
        renews=renews,
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER form, 64 hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def spoken_date(moment: datetime) -> str:
    """``2026-01-31 12:23 UTC``, for messages."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def described(material: Material, plane: str) -> dict[str, object]:
    """As /status and ``sluice certificates --json`` have it; times by RFC 3339, None where there is none."""
    return {
        "name": material.name,
        "names": list(material.names),
        "issuer": material.issuer,
        "expires": material.expires.isoformat(),
        "source": material.source,
        "renews": material.renews.isoformat(timespec="seconds") if material.renews else None,
        "plane": plane,
        "fingerprint": material.fingerprint,
    }


def warning_of(material: Material, now: datetime) -> str:
    """What is to be said of a certificate's end: "expired on ...", "ends on ..."; empty where it is far off."""
    when = spoken_date(material.expires)
    if now >= material.expires:
        return f"expired on {when}: renew it"
    life = material.expires - material.begins
    # By then whatever renews by itself has failed many times. Short-lived ones have less time for that.
    if now >= material.expires - min(SOON, life / 4):
        return f"ends on {when}: renew it"
    return ""


def names_of(certificate: x509.Certificate) -> Sequence[x509.GeneralName]:
    """The subject's alternative names; none where the certificate has no such extension."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):  # ValueError: an extension that cannot be read
        return ()
    return tuple(found.value)


def spoken_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and IP addresses that a certificate is for. (Clients ignore its subject's common name.)"""
    found: list[str] = []
    for name in names_of(certificate):
        if isinstance(name, x509.DNSName):
            found.append(name.value.lower().rstrip("."))
        elif isinstance(name, x509.IPAddress):
            found.append(str(name.value))
    return tuple(dict.fromkeys(found))


def issuer_of(certificate: x509.Certificate) -> str:
    """Who vouches for it, for people: "Let's Encrypt R11"; "itself" for a self-signed one."""
    if certificate.issuer == certificate.subject:
        return "itself"
    words: list[str] = []
    for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        for attribute in certificate.issuer.get_attributes_for_oid(oid)[:1]:
            text = attribute.value
            if isinstance(text, str) and text and not any(text in word for word in words):
                words.append(text)
    return " ".join(words) or certificate.issuer.rfc4514_string() or "unknown"
