"""Certificates that the user brings (``--tls-cert``, ``--tls-key``): checked before they are used."""

import ssl
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from appliance.certificates.material import Material, fingerprint, spoken_date
from appliance.config.options import ConfigError

_MAX_FILE_BYTES = 1 << 20


def load_own(cert_file: str | Path | None, key_file: str | Path | None, *, now: datetime | None = None) -> Material:
    """The user's key and certificate, with its chain if any. Raises ConfigError, naming the flag at fault."""
    if not cert_file or not key_file:
        raise ConfigError("--tls-cert and --tls-key belong together: give both or neither")
    now = now or datetime.now(timezone.utc)
    certificates = _certificates(cert_file)
    key = _key(key_file)
    _check_match(certificates, key, cert_file, key_file)
    own = certificates[0]
    if now > own.not_valid_after_utc:
        ended = spoken_date(own.not_valid_after_utc)
        raise ConfigError(f"--tls-cert {cert_file} expired on {ended}: renew it")
    if now < own.not_valid_before_utc:
        begins = spoken_date(own.not_valid_before_utc)
        raise ConfigError(f"--tls-cert {cert_file} is not valid before {begins}, and the clock says {spoken_date(now)}")
    if len(certificates) > 1:
        _check_chain(certificates, cert_file, now)
    try:
        # The last word has the OpenSSL that will use them: it may refuse small keys or old digests.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"--tls-cert {cert_file} with --tls-key {key_file}: OpenSSL says {error}") from None
    return Material(Path(cert_file), Path(key_file), None, fingerprint(own), own.not_valid_after_utc)


def _read(flag: str, path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"{flag} {path} cannot be read: {error.strerror or error}") from None


def _certificates(path: str | Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read("--tls-cert", path))
    except ValueError:
        raise ConfigError(f"--tls-cert {path} holds no certificate that can be read: PEM is wanted") from None


def _key(path: str | Path) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(_read("--tls-key", path), password=None)
    except TypeError:
        raise ConfigError(
            f"--tls-key {path} is protected by a passphrase, which nobody can type here: remove it"
        ) from None
    except (ValueError, NotImplementedError):
        raise ConfigError(f"--tls-key {path} holds no private key that can be read: PEM is wanted") from None


def _check_match(
    certificates: list[x509.Certificate], key: PrivateKeyTypes, cert_file: str | Path, key_file: str | Path
) -> None:
    matches = [one.public_key() == key.public_key() for one in certificates]
    if matches[0]:
        return
    if any(matches):
        raise ConfigError(
            f"--tls-cert {cert_file}: the certificate that --tls-key belongs to must stand first in the file"
        )
    raise ConfigError(f"--tls-key {key_file} does not belong to the certificate in --tls-cert {cert_file}")


def _check_chain(certificates: list[x509.Certificate], cert_file: str | Path, now: datetime) -> None:
    """Do the further certificates lead to the first? Their order and extra ones do not matter to clients."""
    # pyOpenSSL costs 2 MB of memory, so only those pay who bring a chain.
    from OpenSSL import crypto

    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    store.set_time(now.astimezone(timezone.utc))
    for issuer in certificates[1:]:
        store.add_cert(crypto.X509.from_cryptography(issuer))
    try:
        crypto.X509StoreContext(store, crypto.X509.from_cryptography(certificates[0])).verify_certificate()
    except crypto.X509StoreContextError as error:
        raise ConfigError(
            f"--tls-cert {cert_file}: the certificates after the first do not vouch for it ({error}): "
            "the file must hold the server's certificate and then its issuers'"
        ) from None
