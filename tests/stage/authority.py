"""An authority of the tests, and certificates that it issues, as files for programs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from appliance.certificates.issue import Pair, issue_server, new_authority, parse_name

PEM = serialization.Encoding.PEM


class Authority:
    """`ca_file`: its own certificate, for who is to trust it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self._pair = new_authority(datetime.now(timezone.utc))
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(self.pem)

    @property
    def pem(self) -> bytes:
        return self._pair.certificate.public_bytes(PEM)

    def pair(self, *names: str, days: float = 365) -> Pair:
        """A new key and certificate; one that ended `days` ago where those are negative."""
        issued = datetime.now(timezone.utc) - (timedelta(days=366) if days < 0 else timedelta(0))
        pair = issue_server(self._pair, [parse_name(name) for name in names], issued)
        if 0 < days < 365 or days < 0:
            pair = self._dated(pair, datetime.now(timezone.utc) + timedelta(days=days))
        return pair

    def _dated(self, pair: Pair, end: datetime) -> Pair:
        old = pair.certificate
        builder = (
            x509.CertificateBuilder()
            .subject_name(old.subject)
            .issuer_name(old.issuer)
            .public_key(pair.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - timedelta(days=90))
            .not_valid_after(end)
        )
        for extension in old.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        return Pair(pair.key, builder.sign(self._pair.key, hashes.SHA256()))

    def issue(self, *names: str, days: float = 365, stem: str = "", chain: bool = True) -> tuple[Path, Path]:
        """Certificate (with the authority's behind it, for `chain`) and key as files: NAME.crt and NAME.key."""
        pair = self.pair(*names, days=days)
        stem = stem or names[0].replace("*", "_")
        certificate, key = self.directory / f"{stem}.crt", self.directory / f"{stem}.key"
        write(certificate, certificates_of(pair) + (self.pem if chain else b""))
        write(key, key_of(pair))
        return certificate, key


def certificates_of(pair: Pair) -> bytes:
    return pair.certificate.public_bytes(PEM)


def key_of(pair: Pair) -> bytes:
    return pair.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def write(path: Path, content: bytes) -> None:
    """As careful programs do: whole, at once."""
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)
