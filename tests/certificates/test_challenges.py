"""What an ACME authority sees while it checks a name."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance.certificates.challenges import Challenges, tls_answer

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA"
PATH = "/.well-known/acme-challenge/" + TOKEN


def test_a_pending_challenge_is_answered() -> None:
    challenges = Challenges()
    challenges.http[TOKEN] = b"authorization"
    assert challenges.answer(PATH) == b"authorization"
    assert challenges.answer(PATH.encode()) == b"authorization"
    assert challenges.answer(PATH + "?x=1") == b"authorization"
    del challenges.http[TOKEN]
    assert challenges.answer(PATH) is None


@pytest.mark.parametrize(
    "path",
    ["/", "", "/.well-known/acme-challenge/", "/.well-known/acme-challenge", PATH + "/", PATH + "x", "/x" + PATH,
     "//.well-known/acme-challenge/" + TOKEN, "/.well-known/acme-challenge/../acme-challenge/" + TOKEN,
     "/.well-known/acme-challenge/\xff\udcff"],
)  # fmt: skip
def test_other_paths_are_not(path: str) -> None:
    assert Challenges(http={TOKEN: b"authorization"}).answer(path) is None


def test_the_certificate_of_tls_alpn_01() -> None:
    pem = tls_answer("a.example", b"token.thumbprint")
    key = serialization.load_pem_private_key(pem, None)
    (certificate,) = x509.load_pem_x509_certificates(pem)
    assert certificate.public_key() == key.public_key()
    certificate.verify_directly_issued_by(certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("a.example")]  # one name, and no other
    (identifier,) = (one for one in certificate.extensions if one.oid.dotted_string == "1.3.6.1.5.5.7.1.31")
    assert identifier.critical
    assert isinstance(identifier.value, x509.UnrecognizedExtension)
    assert identifier.value.value == b"\x04\x20" + hashlib.sha256(b"token.thumbprint").digest()
