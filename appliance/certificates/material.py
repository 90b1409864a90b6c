"""What a TLS server needs from this layer, wherever it came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes


@dataclass(frozen=True, slots=True)
class Material:
    """Files for ``SSLContext.load_cert_chain``, and what is told about them.

    The two files may be one. ``ca_pem`` is what clients may fetch and trust; None with a certificate that the
    user brought. ``fingerprint`` is the SHA-256, in hex, of the DER of the authority, or of that certificate.
    ``expires`` is the end of the server's certificate, in UTC.
    """

    certificate_file: Path
    key_file: Path
    ca_pem: bytes | None
    fingerprint: str
    expires: datetime


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER form, 64 hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def spoken_date(moment: datetime) -> str:
    """``2026-01-31 12:23 UTC``, for messages."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def names_of(certificate: x509.Certificate) -> Sequence[x509.GeneralName]:
    """The subject's alternative names; none where the certificate has no such extension."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(found.value)
