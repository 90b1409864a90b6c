"""What is told about a certificate."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.certificates.issue import issue_server, new_authority, parse_name
from appliance.certificates.material import OWN, fingerprint, issuer_of, material_of, spoken_names

NOW = datetime(2026, 11, 1, tzinfo=timezone.utc)
AUTHORITY = new_authority(NOW)
NAMES = ["App.Example.com", "*.example.com", "203.0.113.7", "2001:db8::1"]
SERVER = issue_server(AUTHORITY, [parse_name(name) for name in NAMES], NOW)


def test_a_certificate_is_described() -> None:
    path = Path("/x.pem")
    found = material_of(SERVER.certificate, path, path, OWN)
    assert found.names == ("app.example.com", "*.example.com", "203.0.113.7", "2001:db8::1")
    assert found.name == "app.example.com"
    assert found.fingerprint == fingerprint(SERVER.certificate)
    assert found.issuer.startswith("Sluice authority ")
    assert (found.begins, found.expires) == (NOW - timedelta(days=1), NOW + timedelta(days=365))
    assert (found.source, found.renews, found.ca_pem) == ("own", None, None)


def test_the_authority_in_its_place() -> None:
    found = material_of(SERVER.certificate, Path("/x"), Path("/x"), OWN, authority=AUTHORITY.certificate)
    assert found.fingerprint == fingerprint(AUTHORITY.certificate)


def certificate(issuer: list[tuple[x509.ObjectIdentifier, str]], subject: str = "me") -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(oid, text) for oid, text in issuer]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


@pytest.mark.parametrize(
    ("issuer", "spoken"),
    [
        ([(NameOID.COUNTRY_NAME, "US"), (NameOID.ORGANIZATION_NAME, "Let's Encrypt"), (NameOID.COMMON_NAME, "E7")],
         "Let's Encrypt E7"),
        ([(NameOID.COMMON_NAME, "Home authority")], "Home authority"),
        ([(NameOID.ORGANIZATION_NAME, "Home"), (NameOID.COMMON_NAME, "Home")], "Home"),
        ([(NameOID.COUNTRY_NAME, "AQ")], "C=AQ"),
        ([], "unknown"),
        ([(NameOID.COMMON_NAME, "me")], "itself"),
    ],
)  # fmt: skip
def test_who_vouches(issuer: list[tuple[x509.ObjectIdentifier, str]], spoken: str) -> None:
    assert issuer_of(certificate(issuer)) == spoken


def test_no_names_at_all() -> None:
    nameless = certificate([])
    assert spoken_names(nameless) == ()
    assert material_of(nameless, Path("/x"), Path("/x"), OWN).name == "(no name)"
