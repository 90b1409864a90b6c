"""Keys, requests and certificates as ACME sends them about (RFC 8555, RFC 9773): values only, nobody is asked."""

import base64

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.certificates.acme_problems import Failed
from appliance.certificates.issue import Pair

HTTP_01, TLS_ALPN_01 = "http-01", "tls-alpn-01"  # the challenges that we can answer

Issued = tuple[Pair, list[x509.Certificate]]


def certificate_id(certificate: x509.Certificate) -> str | None:
    """What RFC 9773 4.1 calls a certificate: its issuer's key identifier and its serial number."""
    try:
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except (x509.ExtensionNotFound, ValueError):
        return None
    if issuer is None:
        return None
    serial = certificate.serial_number
    # DER's integer: a leading zero where the first bit is set.
    return f"{base64url(issuer)}.{base64url(serial.to_bytes(serial.bit_length() // 8 + 1, 'big'))}"


def checked(name: str, key: ec.EllipticCurvePrivateKey, pem: bytes) -> Issued:
    try:
        certificate, *chain = x509.load_pem_x509_certificates(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        fits = certificate.public_key() == key.public_key() and name in [
            one.lower() for one in names.get_values_for_type(x509.DNSName)
        ]
    except (ValueError, x509.ExtensionNotFound):
        fits = False
    if not fits:
        raise Failed("what the issuer has sent is no certificate for this name and our key")
    return Pair(key, certificate), chain


def signing_request(key: ec.EllipticCurvePrivateKey, name: str) -> str:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return base64url(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER))


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def iso_time(text: str) -> str:
    """RFC 3339 as Python 3.10 reads it: no Z, and no fractions of other lengths than three and six."""
    text = text.upper().replace("Z", "+00:00")
    head, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return head + (f".{rest[:digits][:6]:0<6}{rest[digits:]}" if dot else "")


def key_of(pem: str) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")
