"""The automatic authority of the control plane: kept in a state directory, made and renewed as needed.

Two files, each holding a key together with its certificate, so that one rename replaces both and no crash can
leave a pair that does not match. ``authority.pem`` is kept for ten years. ``server.pem``, which also has the
authority's certificate, is good for one; `ensure` makes it anew when two thirds of that are over, or when it
lacks a wanted name.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from appliance.certificates import keyfile
from appliance.certificates.issue import Pair, issue_server, new_authority, subject_names
from appliance.certificates.material import AUTOMATIC, Material, fingerprint, material_of, names_of, spoken_date
from appliance.certificates.state import find_directory
from appliance.config.options import ConfigError

AUTHORITY_FILE = "authority.pem"
SERVER_FILE = "server.pem"

# An authority this close to its end would issue certificates that die with it: a new one is made.
AUTHORITY_RESERVE = timedelta(days=90)

# No machine is right that says it is earlier: this program was not written yet.
EARLIEST = datetime(2026, 1, 1, tzinfo=timezone.utc)

_log = logging.getLogger(__name__)


def state_directory(config_path: str | None, environ: Mapping[str, str]) -> Path:
    """``--auto-tls-path``, systemd's ``$STATE_DIRECTORY``, or where this user's programs keep their state."""
    if config_path:
        return Path(config_path).expanduser()
    found = find_directory(environ)
    if found is None:
        raise ConfigError("no place is known for certificates: name a directory with --auto-tls-path")
    return found


def check_names(names: Sequence[str], hostname: str = "") -> list[x509.GeneralName]:
    """What a server certificate is made for. Raises ConfigError for what cannot stand in one."""
    try:
        return subject_names(names, hostname)
    except ValueError as error:
        raise ConfigError(f"--auto-tls-san {error}") from None


def ensure(
    directory: Path, names: Sequence[str], hostname: str, *, now: datetime | None = None, running: bool = False
) -> Material:
    """The authority, and a server certificate for ``names`` and this host: made or renewed where needed.

    Cheap when nothing is to be done, so a long-lived server may call it daily and load the files again; `running`: it
    does, and an authority that has gone meanwhile is an error, for clients trust it.
    Raises ConfigError, naming flag or file: a bad name, a damaged authority, a directory out of reach.
    """
    now = now or datetime.now(timezone.utc)
    wanted = check_names(names, hostname)
    try:
        keyfile.check_directory(directory)
        if running and not (directory / AUTHORITY_FILE).exists():
            raise ConfigError(
                f"{directory / AUTHORITY_FILE} is gone: put it back; without it the next start makes another one, "
                "which clients have to trust anew"
            )
        # Reading needs no lock, since files are replaced whole: a read-only directory with good files serves.
        found = _find(directory, wanted, now)
        if found is None:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with keyfile.locked(directory):
                found = _find(directory, wanted, now) or _make(directory, wanted, now)
    except OSError as error:
        raise ConfigError(
            f"cannot keep certificates in {directory}: {error.strerror or error}: choose another directory "
            "with --auto-tls-path, or bring your own with --tls-cert and --tls-key"
        ) from None
    return found


def _find(directory: Path, wanted: Sequence[x509.GeneralName], now: datetime) -> Material | None:
    """What is there, if it serves as it is."""
    authority = _read_authority(directory / AUTHORITY_FILE, now)
    if authority is None:
        return None
    path = directory / SERVER_FILE
    try:
        server, chain = keyfile.read(path)
    except FileNotFoundError:
        return None
    except keyfile.Damaged as error:
        # Nothing is lost with it: the authority issues another.
        _log.warning("%s is damaged (%s): a new one is made", path, error)
        return None
    if chain != [authority.certificate] or not _serves(server.certificate, authority, wanted, now):
        return None
    return _material(path, authority, server)


def _make(directory: Path, wanted: Sequence[x509.GeneralName], now: datetime) -> Material:
    path = directory / AUTHORITY_FILE
    authority = _read_authority(path, now)
    if authority is None:
        if now < EARLIEST:
            raise ConfigError(
                f"this machine's clock says {spoken_date(now)}: set it, since certificates made now would be of no use"
            )
        authority = new_authority(now)
        if path.exists():
            # Clients trust it; the clock may have been wrong.
            kept = path.with_name(path.name + ".old")
            os.replace(path, kept)
            _log.warning("%s ends soon and is kept as %s: clients must trust the new one", path, kept)
        keyfile.write(path, authority)
        _log.info("new authority in %s, fingerprint %s", path, fingerprint(authority.certificate))
    server = issue_server(authority, wanted, now)
    path = directory / SERVER_FILE
    keyfile.write(path, server, authority.certificate)
    _log.info("new server certificate, good until %s", spoken_date(server.certificate.not_valid_after_utc))
    return _material(path, authority, server)


def _material(path: Path, authority: Pair, server: Pair) -> Material:
    return server_material(path, server.certificate, authority.certificate)


def server_material(path: Path, server: x509.Certificate, authority: x509.Certificate) -> Material:
    """What is told of the server's certificate in this file, for those, too, who only look."""
    return material_of(
        server,
        path,
        path,
        AUTOMATIC,
        authority=authority,
        ca_pem=authority.public_bytes(serialization.Encoding.PEM),
        renews=_renewal(server),
    )


def _renewal(server: x509.Certificate) -> datetime:
    begins, ends = server.not_valid_before_utc, server.not_valid_after_utc
    return begins + (ends - begins) * 2 / 3


def _read_authority(path: Path, now: datetime) -> Pair | None:
    """None where there is none yet, or its time is over."""
    try:
        authority, _ = keyfile.read(path)
    except FileNotFoundError:
        return None
    except keyfile.Damaged as error:
        raise ConfigError(
            f"{path} is damaged ({error}): put back a copy, or delete it and a new authority is made"
        ) from None
    begins, ends = authority.certificate.not_valid_before_utc, authority.certificate.not_valid_after_utc
    if now < begins:
        # A machine whose clock starts in 1970 must not throw away an authority that clients trust.
        raise ConfigError(
            f"{path} is valid from {spoken_date(begins)} and this machine's clock says {spoken_date(now)}: "
            "set the clock, or delete the file and a new authority is made"
        )
    if now > ends - AUTHORITY_RESERVE:
        return None
    return authority


def _serves(server: x509.Certificate, authority: Pair, wanted: Sequence[x509.GeneralName], now: datetime) -> bool:
    if not server.not_valid_before_utc <= now < _renewal(server):
        return False
    try:
        server.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return set(wanted) <= set(names_of(server))
