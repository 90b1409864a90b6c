"""Certificates that the user brings: what is taken, and the line that each mistake gets."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.certificates.issue import Pair, issue_server, new_authority, subject_names
from appliance.certificates.own import DATA, FOUND, inspect, load_own
from appliance.config.options import ConfigError

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)
AUTHORITY = new_authority(NOW)
SERVER = issue_server(AUTHORITY, subject_names(["example.com"], "box"), NOW)


def write_certificates(path: Path, *pairs: Pair) -> Path:
    path.write_bytes(b"".join(one.certificate.public_bytes(serialization.Encoding.PEM) for one in pairs))
    return path


def write_key(path: Path, pair: Pair, password: bytes | None = None) -> Path:
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(pair.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection))
    return path


@pytest.fixture
def cert(tmp_path: Path) -> Path:
    return write_certificates(tmp_path / "cert.pem", SERVER, AUTHORITY)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return write_key(tmp_path / "key.pem", SERVER)


def refusal(cert: Path | str | None, key: Path | str | None, now: datetime = NOW) -> str:
    with pytest.raises(ConfigError) as caught:
        load_own(cert, key, now=now)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_chain_is_taken(cert: Path, key: Path) -> None:
    material = load_own(str(cert), str(key))
    assert (material.certificate_file, material.key_file, material.ca_pem) == (cert, key, None)
    assert material.expires == SERVER.certificate.not_valid_after_utc
    assert material.fingerprint == SERVER.certificate.fingerprint(hashes.SHA256()).hex()


def test_a_single_certificate_is_taken(tmp_path: Path, key: Path) -> None:
    assert load_own(write_certificates(tmp_path / "one.pem", SERVER), key)


def test_order_and_extras_of_the_chain_do_not_matter(tmp_path: Path, key: Path) -> None:
    assert load_own(write_certificates(tmp_path / "extra.pem", SERVER, new_authority(NOW), AUTHORITY), key)


def test_one_file_may_hold_both(tmp_path: Path, cert: Path, key: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    assert load_own(both, both)


@pytest.mark.parametrize(("cert_given", "key_given"), [(True, False), (False, True)])
def test_one_without_the_other(cert: Path, key: Path, cert_given: bool, key_given: bool) -> None:
    said = refusal(cert if cert_given else None, key if key_given else "")
    assert "--tls-cert and --tls-key belong together" in said


def test_files_that_are_not_there(tmp_path: Path, cert: Path, key: Path) -> None:
    missing = tmp_path / "missing"
    assert refusal(missing, key) == f"--tls-cert {missing} cannot be read: No such file or directory"
    assert refusal(cert, missing) == f"--tls-key {missing} cannot be read: No such file or directory"
    assert "Is a directory" in refusal(tmp_path, key)


def test_files_swapped(cert: Path, key: Path) -> None:
    assert f"--tls-cert {key} holds no certificate" in refusal(key, cert)
    assert f"--tls-key {cert} holds no private key" in refusal(cert, cert)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"-----BEGIN CERTIFICATE-----\nMIIB\n"])
def test_garbage(tmp_path: Path, cert: Path, key: Path, content: bytes) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(content)
    assert f"--tls-cert {garbage} holds no certificate" in refusal(garbage, key)
    assert f"--tls-key {garbage} holds no private key" in refusal(cert, garbage)


def test_another_key(tmp_path: Path, cert: Path) -> None:
    other = write_key(tmp_path / "other.pem", new_authority(NOW))
    assert f"--tls-key {other} does not belong to the certificate in --tls-cert {cert}" == refusal(cert, other)


def test_the_chain_before_the_certificate(tmp_path: Path, key: Path) -> None:
    upside_down = write_certificates(tmp_path / "chain.pem", AUTHORITY, SERVER)
    assert "must stand first" in refusal(upside_down, key)


def test_a_chain_that_leads_elsewhere(tmp_path: Path, key: Path) -> None:
    stray = write_certificates(tmp_path / "chain.pem", SERVER, new_authority(NOW))
    assert "do not vouch for it" in refusal(stray, key)


def test_a_chain_that_has_expired(tmp_path: Path) -> None:
    then = NOW - 3700 * DAY
    old = new_authority(then)
    server = issue_server(Pair(old.key, _dated(old, NOW)), subject_names([], "box"), NOW)
    cert = write_certificates(tmp_path / "chain.pem", server, old)
    assert "expired" in refusal(cert, write_key(tmp_path / "key.pem", server))


def _dated(pair: Pair, now: datetime) -> x509.Certificate:
    """The same authority, with dates from ``now`` on: what a cross-signed or renewed issuer looks like."""
    old = pair.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(pair.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + 100 * DAY)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(pair.key, hashes.SHA256())


def test_expired_and_not_yet_valid(cert: Path, key: Path) -> None:
    assert f"--tls-cert {cert} expired on " in refusal(cert, key, NOW + 400 * DAY)
    assert f"--tls-cert {cert} is not valid before " in refusal(cert, key, NOW - 2 * DAY)


def test_a_key_with_a_passphrase(tmp_path: Path, cert: Path) -> None:
    locked = write_key(tmp_path / "locked.pem", SERVER, b"secret words")
    said = refusal(cert, locked)
    assert f"--tls-key {locked} is protected by a passphrase" in said and "secret words" not in said


def test_a_key_too_small_for_openssl(tmp_path: Path) -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(small.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(small, hashes.SHA256())
    )
    cert, key = tmp_path / "small.crt", tmp_path / "small.key"
    cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        small.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    assert "the key is too small: get a certificate for a P-256 key" in refusal(cert, key)


def test_a_file_that_is_cut_short_in_its_chain(cert: Path, key: Path) -> None:
    cert.write_bytes(cert.read_bytes() + cert.read_bytes()[:200])
    assert "cut short" in refusal(cert, key)


# ---- for the data plane, and what serves although it is not as it should be


def test_messages_name_the_flags_of_the_data_plane(tmp_path: Path, cert: Path) -> None:
    other = write_key(tmp_path / "other.pem", new_authority(NOW))
    with pytest.raises(ConfigError) as caught:
        load_own(cert, other, DATA)
    assert str(caught.value) == f"--data-key {other} does not belong to the certificate in --data-cert {cert}"
    with pytest.raises(ConfigError, match="^certificate .* expired on "):
        load_own(cert, write_key(tmp_path / "k.pem", SERVER), FOUND, now=NOW + 400 * DAY)


def warnings(cert: Path, key: Path, now: datetime = NOW) -> list[str]:
    """Without the name of the file."""
    material, found = inspect(cert, key, DATA, now=now)
    assert material.source == "own" and material.renews is None
    assert all(text.startswith(f"--data-cert {cert} ") for text in found)
    return [text.removeprefix(f"--data-cert {cert} ") for text in found]


def issued(subject: str, issuer: Pair | None, authority: bool, *, names: bool = True, use: bool = True) -> Pair:
    """One link of a chain; without an issuer it is its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 90 * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority and names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    if not authority and not use:
        client = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(client, critical=False)
    return Pair(key, builder.sign((issuer.key if issuer else key), hashes.SHA256()))


ROOT = issued("Root", None, True)
MIDDLE = issued("Middle", ROOT, True)
LOW = issued("Low", MIDDLE, True)
LEAF = issued("leaf.example", LOW, False)


@pytest.fixture
def known_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine trusts it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(write_certificates(tmp_path / "root.pem", ROOT)))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nothing"))


@pytest.mark.usefixtures("known_root")
@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ([LEAF, LOW, MIDDLE], []),
        ([LEAF, LOW, MIDDLE, ROOT], []),  # needless, and usual
        ([LEAF, MIDDLE, LOW], ["has its chain in the wrong order"]),
        ([LEAF, LOW, MIDDLE, issued("Stray", None, True)], ["holds certificates that have nothing to do with it"]),
        ([LEAF, LOW], ["has an incomplete chain: 'Middle', who issued 'CN=Low', is neither in the file nor known"]),
        ([LEAF], ["has an incomplete chain: 'Low', who issued 'CN=leaf.example', is neither"]),
    ],
)
def test_chains_that_serve_not_everybody(tmp_path: Path, chain: list[Pair], expected: list[str]) -> None:
    found = warnings(write_certificates(tmp_path / "c.pem", *chain), write_key(tmp_path / "k.pem", LEAF))
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True)), found


@pytest.mark.usefixtures("known_root")
def test_an_issuer_that_this_machine_knows_needs_no_chain(tmp_path: Path) -> None:
    leaf = issued("direct.example", ROOT, False)
    assert warnings(write_certificates(tmp_path / "c.pem", leaf), write_key(tmp_path / "k.pem", leaf)) == []


def test_what_this_machine_does_not_know_is_doubted(tmp_path: Path) -> None:
    """And the way out for those who have an authority of their own is named."""
    cert = write_certificates(tmp_path / "c.pem", LEAF, LOW, MIDDLE)
    (text,) = warnings(cert, write_key(tmp_path / "k.pem", LEAF))
    assert "append the issuer's certificates" in text and "unless your visitors trust that issuer itself" in text


def test_a_self_signed_one(tmp_path: Path) -> None:
    alone = issued("alone.example", None, False)
    (text,) = warnings(write_certificates(tmp_path / "c.pem", alone), write_key(tmp_path / "k.pem", alone))
    assert text == "is self-signed: clients refuse it unless each has been told to trust it"


def test_one_that_names_nobody(tmp_path: Path) -> None:
    """Useless to browsers; the control plane's clients may still take it."""
    leaf = issued("cn.example", ROOT, False, names=False)
    cert, key = write_certificates(tmp_path / "c.pem", leaf, ROOT), write_key(tmp_path / "k.pem", leaf)
    with pytest.raises(ConfigError, match="^--data-cert .* has no subjectAltName: browsers go by that alone"):
        load_own(cert, key, DATA)
    assert any("has no subjectAltName" in text for text in inspect(cert, key)[1])


def test_one_that_is_not_for_servers(tmp_path: Path) -> None:
    leaf = issued("client.example", ROOT, False, use=False)
    (text,) = warnings(write_certificates(tmp_path / "c.pem", leaf, ROOT), write_key(tmp_path / "k.pem", leaf))
    assert "lacks serverAuth" in text


@pytest.mark.parametrize(("days", "said"), [(10, False), (77, True), (89.9, True)])
def test_one_that_ends_soon(tmp_path: Path, days: float, said: bool) -> None:
    leaf = issued("leaf.example", ROOT, False)
    cert = write_certificates(tmp_path / "c.pem", leaf, ROOT)
    found = warnings(cert, write_key(tmp_path / "k.pem", leaf), NOW + days * DAY)
    assert [text[:8] for text in found] == (["ends on "] if said else [])


def test_warnings_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alone = issued("alone.example", None, False)
    load_own(write_certificates(tmp_path / "c.pem", alone), write_key(tmp_path / "k.pem", alone), DATA)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    known = inspect(tmp_path / "c.pem", tmp_path / "k.pem", DATA)[0]
    load_own(tmp_path / "c.pem", tmp_path / "k.pem", DATA, known=known)
    assert len(caplog.records) == 1
