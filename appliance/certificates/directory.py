"""Certificates that lie in a directory (``--data-cert-dir``): which files belong together. Nothing is checked here.

Looked through are the directory itself, its subdirectories, and those of ``live`` in it, as certbot has them. In each:

    fullchain.pem  privkey.pem    certbot, acme.sh
    NAME.crt       NAME.key       also .cer or .pem; lego, Caddy, Kubernetes' tls.crt
    NAME.pem       NAME-key.pem   mkcert
    NAME.pem                      both in one file
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MAX_FILES = 10_000  # of one directory; whoever has more has named the wrong one
_MAX_FILE_BYTES = 1 << 20
_ENDINGS = (".crt", ".cer", ".pem")


class Files(NamedTuple):
    """Two files that belong together; they may be one."""

    certificate: Path
    key: Path

    @property
    def state(self) -> tuple[int, ...]:
        """Changes when either file does, also where links lead to others. Raises OSError."""
        found: list[int] = []
        for path in self:
            stat = os.stat(path)
            found += (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        return tuple(found)


def search(directory: Path) -> list[Files]:
    """Pairs of files, ordered by their names. Raises OSError for a directory that cannot be read."""
    found = list(_pairs(directory))
    folders = _folders(directory)
    folders += _folders(directory / "live") if directory / "live" in folders else []
    for folder in folders:
        try:
            found += _pairs(folder)
        except OSError:
            continue  # gone since, or somebody else's
    return found


def _folders(directory: Path) -> list[Path]:
    # What begins with a dot is not meant to be seen: Kubernetes keeps older versions so.
    return sorted(path for path in directory.iterdir() if path.name[0] != "." and path.is_dir())


def _pairs(folder: Path) -> Iterator[Files]:
    names: set[str] = set()
    for entry in os.scandir(folder):
        if entry.name[0] != "." and len(names) < _MAX_FILES:
            names.add(entry.name)
    for name in sorted(names):
        stem, ending = os.path.splitext(name)
        if ending not in _ENDINGS:
            continue
        keys = [f"{stem}.key", *([f"{stem}-key.pem"] if ending == ".pem" else [])]
        if name == "fullchain.pem":
            keys.append("privkey.pem")
        key = next((key for key in keys if key in names), None)
        if key is not None:
            yield Files(folder / name, folder / key)
        elif ending == ".pem" and _has_both(folder / name):
            yield Files(folder / name, folder / name)


def _has_both(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_FILE_BYTES)
    except OSError:
        return False
    return b"PRIVATE KEY-----" in text and b"-----BEGIN CERTIFICATE-----" in text
