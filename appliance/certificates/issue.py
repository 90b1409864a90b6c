"""Builds certificates: the automatic authority's own, and the server's. No files, no clock, no renewal.

Everything that Python 3.13's default VERIFY_X509_STRICT (RFC 5280) asks for is set: critical basicConstraints
and keyUsage, subject and authority key identifiers.
"""

import contextlib
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=365)
# Small machines without a clock battery start in the past: what is made now must be valid there too.
BACKDATED = timedelta(days=1)

ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")

_MAX_NAME_LENGTH = 253  # RFC 1035 section 2.3.4, without the trailing dot
_MAX_COMMON_NAME = 64  # RFC 5280 appendix A, ub-common-name
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and the certificate that belongs to it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def parse_name(text: str) -> x509.GeneralName:
    """An IP address (IPv6 also in brackets) or a DNS name (also ``*.`` and one); ValueError otherwise."""
    text = text.strip()
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    with contextlib.suppress(ValueError):
        # An IPv6 zone ("%eth0") means nothing to others, and a certificate has no room for it.
        return x509.IPAddress(ipaddress.ip_address(bare.partition("%")[0]))
    try:
        name = text.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError(f"{text!r} is neither an IP address nor a DNS name") from None
    labels = name.removeprefix("*.").split(".")
    # A last label of digits only is a mistyped IPv4 address: no top-level domain looks like that.
    if not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit() or len(name) > _MAX_NAME_LENGTH:
        raise ValueError(f"{text!r} is neither an IP address nor a DNS name")
    return x509.DNSName(name)


def subject_names(names: Iterable[str], hostname: str) -> list[x509.GeneralName]:
    """What the server's certificate must cover: ``names``, this host and the loopback, each once.

    Raises ValueError for a bad one of ``names``. A host name that is no DNS name is left out.
    """
    wanted = [parse_name(name) for name in names]
    with contextlib.suppress(ValueError):
        wanted.append(parse_name(hostname))
    wanted.extend(parse_name(name) for name in ALWAYS_NAMED)
    return list(dict.fromkeys(wanted))


def new_authority(now: datetime) -> Pair:
    """A new P-256 authority, valid for AUTHORITY_LIFE, that may issue end certificates only."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    key_id = x509.SubjectKeyIdentifier.from_public_key(public)
    # The key's id in the name: a trust store that holds two of our authorities must not mix them up.
    name = _name(f"Sluice authority {key_id.digest.hex()[:16]}")
    builder = (
        _builder(name, public, now, now + AUTHORITY_LIFE)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(key_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    return Pair(key, builder.sign(key, hashes.SHA256()))


def issue_server(authority: Pair, names: Sequence[x509.GeneralName], now: datetime) -> Pair:
    """A new key and certificate for a server, valid for SERVER_LIFE but never longer than its authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    expires = min(now + SERVER_LIFE, authority.certificate.not_valid_after_utc)
    issuer_id = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(_name(str(names[0].value)), public, now, expires)
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
    )
    return Pair(key, builder.sign(authority.key, hashes.SHA256()))


def _builder(
    subject: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, expires: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(expires)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_MAX_COMMON_NAME])])


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
