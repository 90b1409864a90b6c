"""Keys, requests and identifiers as ACME wants them."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from appliance.certificates.acme_keys import certificate_id, checked, iso_time, key_of, pem_of, signing_request
from appliance.certificates.acme_problems import Failed
from tests.certificates.issuing import issue

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def certificate_with(serial: int, key_identifier: bytes | None) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
    )
    if key_identifier is not None:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(key_identifier, None, None), critical=False)
    return builder.sign(key, hashes.SHA256())


def test_the_identifier_of_the_standards_example() -> None:
    """RFC 9773 4.1."""
    authority = bytes.fromhex("69885b6b87464041e1b37b847bd0ae2cde01c8d4")
    assert certificate_id(certificate_with(0x87654321, authority)) == "aYhba4dGQEHhs3uEe9CuLN4ByNQ.AIdlQyE"


def test_serial_numbers_as_der_has_them() -> None:
    for serial, encoded in ((0x7F, "fw"), (0x80, "AIA"), (0x1234, "EjQ")):
        assert str(certificate_id(certificate_with(serial, b"\x01"))) == f"AQ.{encoded}"


def test_a_certificate_that_does_not_name_its_issuers_key() -> None:
    assert certificate_id(certificate_with(1, None)) is None


def test_the_request_is_for_one_name_alone() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    text = signing_request(key, "a.example")
    request = x509.load_der_x509_csr(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example"]
    assert request.is_signature_valid
    assert len(request.subject) == 0


def test_keys_come_back() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    again = key_of(pem_of(key))
    assert again is not None
    assert again.public_key() == key.public_key()
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for text in ("", "nothing", other.decode("ascii")):
        assert key_of(text) is None


def test_what_is_not_for_us_is_refused() -> None:
    pair, chain = issue("a.example", NOW, DAY)
    pem = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (pair.certificate, *chain))
    found, rest = checked("a.example", pair.key, pem)
    assert (found.certificate, rest) == (pair.certificate, chain)
    other_key = ec.generate_private_key(ec.SECP256R1())
    for name, key, content in (
        ("b.example", pair.key, pem),
        ("a.example", other_key, pem),
        ("a.example", pair.key, b""),
        ("a.example", pair.key, b"<html>"),
        ("a.example", pair.key, chain[0].public_bytes(serialization.Encoding.PEM)),
    ):
        with pytest.raises(Failed, match="no certificate for this name and our key"):
            checked(name, key, content)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("2026-06-01T00:00:00Z", 0),
        ("2026-06-01T02:00:00+02:00", 0),
        ("2026-06-01t00:00:00.5z", 0.5),
        ("2026-06-01T00:00:00.123456789Z", 0.123456),
        ("2026-06-01T01:00:00.25+01:00", 0.25),
    ],
)
def test_times_as_servers_write_them(text: str, seconds: float) -> None:
    assert datetime.fromisoformat(iso_time(text)) == NOW + timedelta(seconds=seconds)
