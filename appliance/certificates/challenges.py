"""What an ACME authority is to see while it checks that a name is ours: HTTP-01 (RFC 8555 8.3), TLS-ALPN-01 (RFC 8737).

Whoever orders a certificate writes here; the data plane's listeners read.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

HTTP_PREFIX = b"/.well-known/acme-challenge/"
ALPN_PROTOCOL = "acme-tls/1"  # RFC 8737 6.2

_ACME_IDENTIFIER = ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # RFC 8737 6.1
_OCTET_STRING_32 = b"\x04\x20"  # DER's tag and length of a SHA-256


@dataclass
class Challenges:
    """`http`: key authorizations by token. `tls`: PEM (key, then certificate) by lower-case name: `tls_answer`'s.

    An entry is there only while its challenge is pending: put it in, tell the authority, take it out.
    """

    http: dict[str, bytes] = field(default_factory=dict)
    tls: dict[str, bytes] = field(default_factory=dict)

    def answer(self, path: bytes | str) -> bytes | None:
        """The body of the answer to a request for this path; None where it is no pending challenge's."""
        if isinstance(path, str):
            path = path.encode("utf-8", "surrogatepass")
        if not path.startswith(HTTP_PREFIX):
            return None
        token = path[len(HTTP_PREFIX) :].partition(b"?")[0]
        return self.http.get(token.decode("latin-1"))


def tls_answer(name: str, key_authorization: bytes) -> bytes:
    """A new key and the certificate that answers a TLS-ALPN-01 challenge for ``name``, as PEM (RFC 8737 3)."""
    now = datetime.now(timezone.utc)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
    digest = _OCTET_STRING_32 + hashlib.sha256(key_authorization).digest()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(_ACME_IDENTIFIER, digest), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
