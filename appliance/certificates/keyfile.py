"""Files that hold a private key with its certificates: read, replaced whole, locked."""

import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.certificates.issue import Pair
from appliance.certificates.state import replace as replace
from appliance.config.options import ConfigError

LOCK_FILE = "authority.lock"
# Making both certificates takes milliseconds; who holds the lock for longer is stuck.
LOCK_SECONDS = 10.0

_MAX_FILE_BYTES = 1 << 20
_log = logging.getLogger(__name__)


class Damaged(Exception):
    """The file is there, and is not what `write` wrote; the message says what is wrong with it."""


def read(path: Path) -> tuple[Pair, list[x509.Certificate]]:
    """The pair, and the certificates after it. Raises Damaged or OSError.

    A file that others may read is closed to them.
    """
    with open(path, "rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            _log.warning("%s could be read by others: its mode is set to 0600", path)
            os.fchmod(file.fileno(), 0o600)
        pem = file.read(_MAX_FILE_BYTES)
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise Damaged("no private key in it") from None
    try:
        certificate, *chain = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise Damaged("no whole certificate in it") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise Damaged("key and certificate do not belong together")
    return Pair(key, certificate), chain


def write(path: Path, pair: Pair, *chain: x509.Certificate) -> None:
    """Replace ``path`` at once and for good, whatever crashes. Call with the lock held."""
    key = pair.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificates = [one.public_bytes(serialization.Encoding.PEM) for one in (pair.certificate, *chain)]
    replace(path, b"".join([key, *certificates]))


def check_directory(directory: Path) -> None:
    """Raise ConfigError if others may write there: they could plant an authority of their own."""
    try:
        found = os.stat(directory)
    except FileNotFoundError:
        return
    user = os.geteuid()
    # Root is let off the owner: bind mounts into containers keep the owner they have outside.
    if found.st_mode & stat.S_IWOTH or (user != 0 and found.st_uid not in (user, 0)):
        raise ConfigError(
            f"{directory} is no safe place for keys, since others may write there: chmod 0700 it, or name "
            "another directory with --auto-tls-path"
        )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One process at a time makes certificates; the lock ends with its process, however that dies."""
    path = directory / LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        give_up = time.monotonic() + LOCK_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() >= give_up:
                raise ConfigError(
                    f"another process holds {path}: end it, or name another directory with --auto-tls-path"
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether we are the one process that holds this lock, until the end of the block. Does not wait."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
