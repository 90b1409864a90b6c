"""Certificates that the user brings, for either plane: checked before they are used.

What could not serve is an error that names flag and file; what serves, but not everybody, is a warning in the log.
"""

import logging
import ssl
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.certificates.material import OWN, Material, issuer_of, material_of, spoken_date, warning_of
from appliance.config.options import ConfigError

_MAX_FILE_BYTES = 1 << 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Words:
    """What messages call the two files: flags, or plain words for files that a directory was searched for."""

    certificate: str
    key: str


CONTROL = Words("--tls-cert", "--tls-key")
DATA = Words("--data-cert", "--data-key")
FOUND = Words("certificate", "key")  # by --data-cert-dir


def load_own(
    cert_file: str | Path | None,
    key_file: str | Path | None,
    words: Words = CONTROL,
    *,
    known: Material | None = None,
    now: datetime | None = None,
) -> Material:
    """The user's key and certificate, with its chain if any. Raises ConfigError; logs warnings, but for what is
    ``known``."""
    material, warnings = inspect(cert_file, key_file, words, now=now)
    if material != known:
        for warning in warnings:
            _log.warning("%s", warning)
    return material


def inspect(
    cert_file: str | Path | None, key_file: str | Path | None, words: Words = CONTROL, *, now: datetime | None = None
) -> tuple[Material, list[str]]:
    """As `load_own`, with the warnings for the caller."""
    if not cert_file or not key_file:
        raise ConfigError(f"{words.certificate} and {words.key} belong together: give both or neither")
    now = now or datetime.now(timezone.utc)
    certificates = _certificates(cert_file, words)
    key = _key(key_file, words)
    _check_match(certificates, key, cert_file, key_file, words)
    own = certificates[0]
    if now > own.not_valid_after_utc:
        ended = spoken_date(own.not_valid_after_utc)
        raise ConfigError(f"{words.certificate} {cert_file} expired on {ended}: renew it")
    if now < own.not_valid_before_utc:
        begins = spoken_date(own.not_valid_before_utc)
        raise ConfigError(
            f"{words.certificate} {cert_file} is not valid before {begins}, and the clock says {spoken_date(now)}"
        )
    if len(certificates) > 1:
        _check_chain(certificates, cert_file, words, now)
    try:
        # The last word has the OpenSSL that will use them: it may refuse small keys or old digests.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file)
    except (ssl.SSLError, OSError) as error:
        said = _REASONS.get(getattr(error, "reason", None) or "") or f"OpenSSL says {error}"
        raise ConfigError(f"{words.certificate} {cert_file} with {words.key} {key_file}: {said}") from None
    material = material_of(own, Path(cert_file), Path(key_file), OWN)
    place = f"{words.certificate} {cert_file}"
    if words is not CONTROL and not material.names:
        raise ConfigError(
            f"{place} has no subjectAltName: browsers go by that alone, so get one that names your hosts there"
        )
    found = [_names_missing(material), *_chain_warnings(certificates, now), _use(own), warning_of(material, now)]
    return material, [f"{place} {warning}" for warning in found if warning]


# What OpenSSL refuses, by the name that it has for it.
_REASONS = {
    "BAD_END_LINE": "a file is cut short or damaged after what was read: copy it again",
    "BAD_BASE64_DECODE": "a file is damaged: copy it again",
    "EE_KEY_TOO_SMALL": "the key is too small: get a certificate for a P-256 key, or for RSA of 2048 bits or more",
    "CA_KEY_TOO_SMALL": "an issuer's key is too small: get a certificate from another issuer",
    "CA_MD_TOO_WEAK": "an issuer signs with an outdated digest: get a certificate from another issuer",
    "EE_MD_TOO_WEAK": "it is signed with an outdated digest: get another one",
}


def _read(what: str, path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{what} {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _certificates(path: str | Path, words: Words) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(words.certificate, path))
    except ValueError:
        raise ConfigError(f"{words.certificate} {path} holds no certificate that can be read: PEM is wanted") from None


def _key(path: str | Path, words: Words) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(_read(words.key, path), password=None)
    except TypeError:
        raise ConfigError(
            f"{words.key} {path} is protected by a passphrase, which nobody can type here: remove it"
        ) from None
    except (ValueError, NotImplementedError):
        raise ConfigError(f"{words.key} {path} holds no private key that can be read: PEM is wanted") from None


def _check_match(
    certificates: list[x509.Certificate],
    key: PrivateKeyTypes,
    cert_file: str | Path,
    key_file: str | Path,
    words: Words,
) -> None:
    matches = [one.public_key() == key.public_key() for one in certificates]
    if matches[0]:
        return
    if any(matches):
        raise ConfigError(
            f"{words.certificate} {cert_file}: the certificate that {words.key} belongs to must stand first in the file"
        )
    raise ConfigError(f"{words.key} {key_file} does not belong to the certificate in {words.certificate} {cert_file}")


def _check_chain(certificates: list[x509.Certificate], cert_file: str | Path, words: Words, now: datetime) -> None:
    """Do the further certificates lead to the first?"""
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
            f"{words.certificate} {cert_file}: the certificates after the first do not vouch for it ({error}): "
            "the file must hold the server's certificate and then its issuers'"
        ) from None


# What serves, but not everybody


def _names_missing(material: Material) -> str:
    return "" if material.names else "has no subjectAltName: most clients refuse it"


def _use(own: x509.Certificate) -> str:
    try:
        uses = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    if ExtendedKeyUsageOID.SERVER_AUTH in uses or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in uses:
        return ""
    return "is not meant for servers (its extendedKeyUsage lacks serverAuth): clients refuse it"


def _chain_warnings(certificates: list[x509.Certificate], now: datetime) -> list[str]:
    path = _path(certificates)
    last = path[-1]
    warnings = []
    if certificates[: len(path)] != path:
        warnings.append(
            "has its chain in the wrong order, which some clients refuse: after the server's certificate must come its "
            "issuer's, then that one's issuer's"
        )
    elif len(certificates) > len(path):
        warnings.append("holds certificates that have nothing to do with it: leave them out, each visitor is sent them")
    if last.issuer == last.subject:
        if len(path) == 1:
            warnings.append("is self-signed: clients refuse it unless each has been told to trust it")
    elif not _known_here(path, now):
        warnings.append(
            f"has an incomplete chain: {issuer_of(last)!r}, who issued {_spoken(last)}, is neither in the file nor "
            "known to this machine, so clients may refuse it: append the issuer's certificates (its chain, or use the "
            "fullchain), unless your visitors trust that issuer itself"
        )
    return warnings


def _path(certificates: list[x509.Certificate]) -> list[x509.Certificate]:
    """From the first one upwards, as far as the others lead, in whatever order they are."""
    path = [certificates[0]]
    rest = list(certificates[1:])
    while path[-1].issuer != path[-1].subject:
        issuer = next((one for one in rest if _issued(one, path[-1])), None)
        if issuer is None:
            break
        rest.remove(issuer)
        path.append(issuer)
    return path


def _issued(issuer: x509.Certificate, other: x509.Certificate) -> bool:
    try:
        other.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _known_here(path: list[x509.Certificate], now: datetime) -> bool:
    """Whether an authority that this machine trusts vouches for the last one. (Browsers' own lists are much alike.)"""
    from OpenSSL import crypto

    places = ssl.get_default_verify_paths()
    store = crypto.X509Store()
    store.set_time(now.astimezone(timezone.utc))
    try:
        store.load_locations(places.cafile, places.capath)
    except (crypto.Error, TypeError):
        return False
    leaf, *others = (crypto.X509.from_cryptography(one) for one in path)
    try:
        crypto.X509StoreContext(store, leaf, others).verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True


def _spoken(certificate: x509.Certificate) -> str:
    name = certificate.subject.rfc4514_string()
    return f"{name!r}" if name else "it"
