"""What is kept of an ACME authority: STATE/acme/ISSUER/ with the account, and names/ with what each name has.

A name has two files: ``example.com.pem``, key and certificates, and ``example.com.json``, how far we have come with it
(`Record`). Names are A-labels, so they are good names for files. Nothing here speaks to anybody.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from cryptography import x509

from appliance.certificates import keyfile
from appliance.certificates.acme_keys import Issued
from appliance.certificates.issue import Pair
from appliance.certificates.material import ACME, Material, material_of
from appliance.certificates.state import replace
from appliance.config.options import ConfigError

_log = logging.getLogger(__name__)

_MAX_FILE_BYTES = 1 << 20
# Renewals of certificates that were issued together are spread over this part of their life.
JITTER = 0.05


@dataclass
class Account:
    """``key``: PEM. ``uri``: the account's URL, empty before it is registered. ``email``: as the issuer knows it."""

    key: str
    uri: str = ""
    email: str = ""


@dataclass
class Record:
    """How far we have come. Times are seconds since the epoch by this machine's clock; 0: never."""

    failures: int = 0  # in a row
    proofs: int = 0  # those of them that the challenge may be to blame for
    since: float = 0.0  # when the last of them was
    until: float = 0.0  # no attempt before this
    told: bool = False  # `until` is the issuer's own word, for which no restart makes an exception
    reason: str = ""
    method: str = ""  # the challenge that last went well
    issued: float = 0.0
    window: tuple[float, float] = (0.0, 0.0)  # the issuer's suggestion for the renewal (RFC 9773)
    chosen: float = 0.0  # a moment in it
    ask_again: float = 0.0  # when to ask for the window next
    order: str = ""  # URL of an order under way, and the key (PEM) that its certificate is for
    order_key: str = ""
    wanted: bool = True  # still among the names that the server was started with


Kept = TypeVar("Kept", Account, Record)


class AcmeFiles:
    """The files of one issuer. Writing raises OSError."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._names = directory / "names"
        self._seen: dict[str, tuple[tuple[int, int], Issued | None]] = {}  # what was read, and of which file

    def account(self) -> Account | None:
        """None where there is none yet, or it is damaged: then a new one is registered."""
        return _read(self.directory / "account.json", Account)

    def keep_account(self, account: Account) -> None:
        _write(self.directory / "account.json", account)

    def issuer(self) -> Record:
        """How it stands with the issuer as a whole: whether it can be reached and lets us."""
        return _read(self.directory / "issuer.json", Record) or Record()

    def keep_issuer(self, record: Record) -> None:
        _write(self.directory / "issuer.json", record)

    def record(self, name: str) -> Record:
        return _read(self._names / f"{name}.json", Record) or Record()

    def keep_record(self, name: str, record: Record) -> None:
        _write(self._names / f"{name}.json", record)

    def certificate(self, name: str) -> Issued | None:
        """None where there is none yet, or it is damaged: then another is ordered. Read anew when the file is another:
        another process may have put it there."""
        path = self._names / f"{name}.pem"
        try:
            found = path.stat()
        except OSError:
            return None
        version = found.st_ino, found.st_mtime_ns
        known = self._seen.get(name)
        if known is None or known[0] != version:
            known = self._seen[name] = version, _certificate(path)
        return known[1]

    def keep_certificate(self, name: str, pair: Pair, chain: list[x509.Certificate]) -> None:
        keyfile.write(self._names / f"{name}.pem", pair, *chain)

    def material(self, name: str, now: datetime) -> Material | None:
        found = self.certificate(name)
        return None if found is None else self.material_of(name, found[0].certificate, self.record(name), now)

    def material_of(self, name: str, certificate: x509.Certificate, record: Record, now: datetime) -> Material:
        path = self._names / f"{name}.pem"
        renews = max(renewal_time(certificate, record, now), _moment(record.until)) if record.wanted else None
        return material_of(certificate, path, path, ACME, renews=renews)

    def names(self) -> list[str]:
        """All that have a certificate, wanted still or not."""
        return sorted(path.name.removesuffix(".pem") for path in self._names.glob("*.pem"))

    def known(self) -> list[str]:
        """All that have a certificate or were to get one."""
        return sorted({*self.names(), *(path.name.removesuffix(".json") for path in self._names.glob("*.json"))})

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether no other process orders certificates here until the end of the block."""
        with keyfile.held(self.directory / "acme.lock") as ours:
            yield ours


def prepare(state: Path, directory_url: str) -> AcmeFiles:
    """The place of an issuer, made if need be. Each has its own: a certificate of the test environment must not stay
    in the real one. Raises ConfigError where nothing can be kept."""
    digest = hashlib.sha256(directory_url.encode()).hexdigest()[:8]
    directory = state / "acme" / f"{urlsplit(directory_url).hostname or 'issuer'}-{digest}"
    try:
        keyfile.check_directory(state)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (directory.parent, directory, directory / "names"):
            folder.mkdir(mode=0o700, exist_ok=True)  # one by one: of parents made along the way mkdir loosens the mode
        replace(directory / "url", directory_url.encode() + b"\n")
    except OSError as error:
        raise ConfigError(
            f"cannot keep certificates in {directory}: {error.strerror or error}: choose another state directory "
            "with --auto-tls-path"
        ) from None
    return AcmeFiles(directory)


def issuers(state: Path) -> list[AcmeFiles]:
    """Those of a state directory, for those who only look."""
    return [AcmeFiles(url.parent) for url in sorted((state / "acme").glob("*/url"))]


def stored(state: Path, now: datetime) -> list[Material]:
    """All certificates of ACME issuers in a state directory, for those who only look. Raises OSError."""
    found = []
    for files in issuers(state):
        for name in files.names():
            material = files.material(name, now)
            if material is not None:
                found.append(material)
    return found


def _certificate(path: Path) -> Issued | None:
    try:
        return keyfile.read(path)
    except (keyfile.Damaged, OSError) as error:
        _log.warning("%s cannot be used (%s): another certificate is ordered", path, error)
        return None


def renewal_time(certificate: x509.Certificate, record: Record, now: datetime) -> datetime:
    """Two thirds of its life, or the moment chosen in the window that the issuer suggests.

    Never so soon after it was issued that a clock which is wrong could make us ask again and again.
    """
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    life = ends - begins
    spread = int.from_bytes(hashlib.sha256(certificate.signature).digest()[:4], "big") / 2**32
    due = begins + life * 2 / 3 - life * JITTER * spread
    patience = life / 2
    if record.chosen:
        due = min(_moment(record.chosen), begins + life * 9 / 10)
        patience = min(life / 10, timedelta(days=1))
    if record.issued and _moment(record.issued) <= now:  # else the clock has been set back since
        due = max(due, _moment(record.issued) + patience)
    return due


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _read(path: Path, kind: type[Kept]) -> Kept | None:
    """None where there is none, or it cannot be read: it is only a memory, and is made anew."""
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read(_MAX_FILE_BYTES))
        fields = {field.name: field.default for field in dataclasses.fields(kind)}
        return kind(**{name: _as(fields[name], value) for name, value in content.items() if name in fields})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.warning("%s cannot be used (%s): it is made anew", path, error)
        return None


def _as(default: Any, value: Any) -> Any:
    """The value, if it is of the kind that stands there by default. Raises TypeError."""
    if isinstance(default, tuple):
        first, last = value
        return float(first), float(last)
    if default is dataclasses.MISSING:
        default = ""
    if type(default) is float and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise TypeError(f"{value!r} is not what is kept there")
    return value


def _write(path: Path, content: Account | Record) -> None:
    replace(path, json.dumps(dataclasses.asdict(content), indent=1).encode() + b"\n")
