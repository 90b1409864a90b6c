"""The data plane's own certificates: read at the start, on SIGHUP, and whenever their files have changed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import gevent

from appliance.certificates.directory import Files, search
from appliance.certificates.material import Material, spoken_date
from appliance.certificates.own import DATA, FOUND, Words, load_own
from appliance.certificates.store import Store
from appliance.config.data_tls import DataTlsOptions
from appliance.config.options import ConfigError
from appliance.transport import tasks

LOOK_SECONDS = 3.0
KEY_PREFIX = "file:"  # of our keys in the store

log = logging.getLogger("sluice.certificates")


class OwnCertificates:
    """Keeps `store` in step with --data-cert, --data-key and --data-cert-dir.

    Nothing that goes wrong later takes away what is served: a file that cannot be used leaves the one before it in its
    place. One that has just been changed may be half-written, so a mistake is told when it is still there at the next
    look.
    """

    def __init__(self, config: DataTlsOptions, store: Store) -> None:
        self.use(config)
        self._store = store
        self._loaded: dict[Files, tuple[int, ...]] = {}  # the state that each was in when it was last dealt with
        self._suspects: dict[Files, tuple[int, ...]] = {}  # in this state it could not be used, at the last look
        self._missing: set[Files] = set()  # was not there at the last look
        self._unreadable: set[Path] = set()
        self._task: gevent.Greenlet | None = None

    def use(self, config: DataTlsOptions) -> None:
        """From now on, these are the files; what is no more among them goes at the next look."""
        pairs = zip(config.data_cert, config.data_key, strict=True)
        self._given = [Files(Path(certificate), Path(key)) for certificate, key in pairs]
        self._directories = [Path(directory) for directory in config.data_cert_dir]

    def load(self) -> None:
        """At the start. Raises ConfigError for what the flags name themselves; what is wrong in a directory is told."""
        for files in self._given:
            state = _state(files)
            self._put(files, load_own(*files, DATA), state, quiet=True)
        for directory in self._directories:
            try:
                search(directory)
            except OSError as error:
                raise ConfigError(f"--data-cert-dir {directory} cannot be read: {error.strerror or error}") from None
        self.look(patient=False, quiet=True)
        for directory in self._directories:
            if not any(files.certificate.is_relative_to(directory) for files in self._loaded):
                log.warning("--data-cert-dir %s: no certificate with its key is there yet", directory)

    def start(self) -> None:
        self._task = tasks.spawn("certificate files", self._watch)

    def stop(self) -> None:
        if self._task is not None:
            self._task.kill()
            self._task = None

    def reload(self) -> int:
        """Look at everything anew, and tell at once what is wrong. Returns how many certificates have changed."""
        self._loaded.clear()
        return self.look(patient=False)

    def look(self, patient: bool = True, quiet: bool = False) -> int:
        """Load what has changed; returns how many that were. `patient`: a mistake may be gone at the next look."""
        there: dict[Files, Words] = dict.fromkeys(self._given, DATA)
        for files in self._found():
            there.setdefault(files, FOUND)
        changed = sum(self._follow(files, words, patient, quiet) for files, words in there.items())
        return changed + self._forget(there, patient)

    def _watch(self) -> None:
        while True:
            gevent.sleep(LOOK_SECONDS)
            self.look()

    def _found(self) -> Iterator[Files]:
        for directory in self._directories:
            try:
                found = search(directory)
            except OSError as error:
                if directory not in self._unreadable:
                    self._unreadable.add(directory)
                    log.error(
                        "--data-cert-dir %s cannot be read any more: %s: the certificates from it stay in use",
                        *(directory, error.strerror or error),
                    )
                found = [files for files in self._loaded if files.certificate.is_relative_to(directory)]
            else:
                self._unreadable.discard(directory)
            yield from found

    def _follow(self, files: Files, words: Words, patient: bool, quiet: bool) -> bool:
        """Load it, if it is not as it was; says whether another certificate is in use now."""
        state = _state(files)
        if state == self._loaded.get(files) or (not state and patient):
            return False
        try:
            material = load_own(*files, words)
        except ConfigError as error:
            if patient and self._suspects.get(files) != state:
                self._suspects[files] = state
                return False
            self._loaded[files] = state
            before = self._store.get(_key(files))
            log.error("%s%s", error, f": the one before it, for {_spoken(before)}, stays in use" if before else "")
            return False
        return self._put(files, material, state, quiet)

    def _put(self, files: Files, material: Material, state: tuple[int, ...], quiet: bool) -> bool:
        self._suspects.pop(files, None)
        self._loaded[files] = state
        changed = self._store.get(_key(files)) != material
        self._store.put(_key(files), material)
        if changed:
            text = "certificate for %s, good until %s" if quiet else "new certificate for %s, good until %s"
            log.info(text, _spoken(material), spoken_date(material.expires))
        return changed

    def _forget(self, there: dict[Files, Words], patient: bool) -> int:
        """Drop what a directory has no more, unless it is the only one left; twice missing, for files are replaced."""
        forgotten = 0
        missing = {files for files in self._files_in_use() if files not in there}
        for files in missing:
            material = self._store.get(_key(files))
            if material is None or (patient and files not in self._missing):
                continue
            if len(self._store.listing()) == 1:
                if files in self._loaded:
                    log.warning("%s is gone; being the last certificate, it stays in use", files.certificate)
                    del self._loaded[files]
                continue
            self._store.drop(_key(files))
            self._loaded.pop(files, None)
            forgotten += 1
            log.info("%s is gone, and with it the certificate for %s", files.certificate, _spoken(material))
        self._missing = missing
        return forgotten

    def _files_in_use(self) -> list[Files]:
        prefix = len(KEY_PREFIX)
        ours = [(key[prefix:], material) for key, material in self._store.items() if key.startswith(KEY_PREFIX)]
        return [Files(Path(path), material.key_file) for path, material in ours]


def _key(files: Files) -> str:
    return f"{KEY_PREFIX}{files.certificate}"


def _state(files: Files) -> tuple[int, ...]:
    """Empty where a file is not there."""
    try:
        return files.state
    except OSError:
        return ()


def _spoken(material: Material) -> str:
    return ", ".join(material.names)
