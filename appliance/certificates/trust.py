"""Whether a server is the one that it was: what vouches for it is compared with what was pinned, or seen before.

No sockets here: who connects asks the server what it `shows`, and hands that in. Standard library alone: clients
have it.
"""

import base64
import binascii
import logging
import os
import re
import ssl
from collections.abc import Callable, Mapping

from appliance.certificates.known_servers import PUBLIC, Damaged, KnownServers, Unusable, spoken
from appliance.config.options import ConfigError
from appliance.config.trust import TrustOptions
from appliance.wire.address import ServerUrl
from appliance.wire.digests import sha256

CA_PATH = "/.well-known/ca.crt"  # where a server shows its own authority; 404 where it has none

_MAX_FILE_BYTES = 1 << 20
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")

Note = Callable[[int, str], None]


class Distrusted(ConnectionError):
    """The server is not the one that it should be: it must not get the token. The message says what to do."""


class Trust:
    """How one server is trusted. For each new connection to it that is not resumed, in this order: ask the server for
    what it `shows` if `asks` says so; `decide`, and verify the certificate by the answer; `remember`; send the token.

    `note(level, text)` is told what the user should know. Raises ConfigError for `--tls-ca`.
    """

    def __init__(self, options: TrustOptions, url: ServerUrl, environ: Mapping[str, str], note: Note) -> None:
        self.verifies = not options.insecure
        self._url = url
        self._server = url.authority
        self._note = note
        self._own = None if options.tls_ca is None else read_authorities(options.tls_ca)
        self._automatic = options.auto_tls and not options.insecure and self._own is None
        self._pinned = options.ca_fingerprint
        self._known = KnownServers.of(environ)
        self._state_directory = environ.get("STATE_DIRECTORY", "").split(":")[0]
        self._unkept: str | None = None  # the mark that is trusted until this process ends, where it cannot be kept
        self._shown = False  # whether the server had an authority of its own
        self._fresh: tuple[str, str | None] | None = None  # a mark to remember, and that in whose place

    @property
    def asks(self) -> bool:
        """Whether the server's own authority is to be asked for. Raises Distrusted."""
        if not self._automatic:
            return False
        if self._pinned is not None or not self._url.public:
            return True
        # Public authorities vouch for it, unless somebody has put its own one into the list.
        return self._before()[0] not in (None, PUBLIC)

    def decide(self, shown: str | None) -> str | None:
        """The authorities to trust (PEM); None: those of the system. `shown`: the server's own one (PEM), if any.

        Raises Distrusted.
        """
        self._fresh = None
        if self._own is not None:
            return self._own
        if not self.asks:
            return None
        certificate = None if shown is None else one_certificate(shown, self._server)
        mark = PUBLIC if certificate is None else fingerprint_of(certificate)
        self._shown = certificate is not None
        if self._pinned is not None:
            if mark != self._pinned:
                raise Distrusted(self._not_as_pinned(mark))
        else:
            before, since = self._before()
            if before is not None and mark != before and not self._url.loopback:
                raise Distrusted(self._changed(before, since, mark))
            if mark != before:
                self._fresh = mark, before
        return certificate

    @property
    def stranger(self) -> str | None:
        """The mark that is to be remembered of what `decide` was told of, where nothing but its own word is for it."""
        return self._fresh[0] if self._fresh is not None and self._fresh[0] != PUBLIC else None

    def remember(self) -> None:
        """The server has proved to be what was decided on: keep that. Raises Distrusted."""
        if self._fresh is None:
            return
        (mark, before), self._fresh = self._fresh, None
        try:
            there = self._known.remember(self._server, mark, before)
        except Damaged as error:
            raise Distrusted(self._unreadable(error)) from None
        except Unusable as error:
            self._not_kept(mark, str(error))
            return
        if there.mark != mark:  # another client was first
            raise Distrusted(self._changed(there.mark, there.since, mark))
        self._kept(mark, before)

    def advice(self, code: int) -> str:
        """What to do about a certificate that was not trusted; `code` as OpenSSL has it (X509_V_ERR_...)."""
        if code in (9, 10):  # not yet, no longer
            return "look at the clocks of both machines, and for the server's renewal"
        if code in (62, 64):  # another name, another address
            return "its names come from --auto-tls-san or --tls-cert of the server"
        if self._own is not None:
            return "--tls-ca must hold the authority that issued it"
        if self._automatic and self._shown:
            return "it is not of the authority that the server shows: somebody may pose as the server"
        return "public authorities do not vouch for it: --tls-ca is for others, --ca-fingerprint for the server's own"

    def _before(self) -> tuple[str | None, str]:
        """The mark that the server had, and since when. Raises Distrusted where that cannot be told."""
        try:
            known = self._known.find(self._server)
        except Unusable:
            known = None  # which is said when it is to be remembered
        except Damaged as error:
            if self._url.public:
                return None, ""  # and its certificate is checked as any web site's
            raise Distrusted(self._unreadable(error)) from None
        if known is not None:
            return known.mark, f"since {known.since[:10]}"
        return self._unkept, "when this program started"

    # What is said

    def _kept(self, mark: str, before: str | None) -> None:
        where = f"remembered in {self._known.path}"
        if before is not None:
            self._note(
                logging.WARNING,
                f"{self._server}: {_then_and_now(before, 'before', mark)}. At an address of this machine alone that "
                f"is taken for a server that was set up anew; {where}",
            )
        elif mark == PUBLIC:
            self._note(logging.INFO, f"first use of {self._server}: public authorities vouch for it; {where}")
        else:
            self._note(
                logging.INFO,
                f"first use of {self._server}: its authority is {spoken(mark)}, {where}; `sluice certificates` on the "
                "server must show the same",
            )

    def _not_kept(self, mark: str, reason: str) -> None:
        if self._unkept is None and not self._url.loopback:
            pin = "--auto-tls=false" if mark == PUBLIC else f"--ca-fingerprint {spoken(mark)}"
            self._note(
                logging.WARNING,
                f"{self._server} cannot be remembered ({reason}): each start believes anew what the server shows. "
                f"End that with {pin}",
            )
        self._unkept = mark

    def _changed(self, before: str, since: str, mark: str) -> str:
        kept = self._unkept is None
        if mark == PUBLIC:
            question = "has it got a certificate of a public authority"
            command = f"`{self._command} --forget`" if kept else "a start with --auto-tls=false"
        else:
            question = "does `sluice certificates` on the server show the new one"
            command = f"`{self._command} --ca-fingerprint {mark}`" if kept else f"a start with --ca-fingerprint {mark}"
        return (
            f"{self._server} is not trusted and did not get the token: {_then_and_now(before, since, mark)}. Either "
            f"somebody poses as the server, or it was set up anew: {question}? Then {command} accepts it"
        )

    def _not_as_pinned(self, mark: str) -> str:
        assert self._pinned is not None
        now = "it shows no authority of its own" if mark == PUBLIC else f"its authority is {spoken(mark)}"
        return (
            f"{self._server} is not trusted and did not get the token: {now}, and --ca-fingerprint is "
            f"{spoken(self._pinned)}. Either somebody poses as the server, or it was set up anew: "
            "`sluice certificates` on the server shows the right one"
        )

    def _unreadable(self, error: Damaged) -> str:
        return f"{self._server} may be known, and did not get the token: {error}. Or pin it with --ca-fingerprint"

    @property
    def _command(self) -> str:
        """As it can be typed in another shell, of the same user."""
        import shlex  # here, for few clients ever say this

        place = f"STATE_DIRECTORY={shlex.quote(self._state_directory)} " if self._state_directory else ""
        return f"{place}sluice trust --url {self._url}"


def _then_and_now(before: str, since: str, mark: str) -> str:
    if mark == PUBLIC:
        return f"it shows no authority of its own, and {since} that was {spoken(before)}"
    if before == PUBLIC:
        return f"its authority is {spoken(mark)}, and {since} public authorities vouched for it"
    return f"its authority is {spoken(mark)}, and {since} it was {spoken(before)}"


def one_certificate(shown: str, server: str) -> str:
    """The certificate in what a server shows, as PEM anew: what is compared is all that is trusted. Distrusted."""
    found = _CERTIFICATE.findall(shown)
    try:
        (text,) = found  # of a second one nobody would have seen the fingerprint
        pem = ssl.DER_cert_to_PEM_cert(base64.b64decode("".join(text.split()), validate=True))
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ValueError, binascii.Error, ssl.SSLError):
        raise Distrusted(f"{server} has no certificate at {CA_PATH} but something else") from None
    return pem


def fingerprint_of(pem: str) -> str:
    """SHA-256 of the DER form of one certificate: 64 hex digits."""
    return sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def read_authorities(path: str) -> str:
    """All certificates of a PEM file. Raises ConfigError, naming --tls-ca."""
    try:
        with open(os.path.expanduser(path), "rb") as file:
            content = file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"--tls-ca {path} cannot be read: {error.strerror or error}") from None
    # Bundles have comments between the certificates, in all kinds of letters.
    pem = "\n".join(found[0] for found in _CERTIFICATE.finditer(content.decode("latin-1")))
    if not pem:
        raise ConfigError(f"--tls-ca {path} holds no certificate that can be read: PEM is wanted")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise ConfigError(f"--tls-ca {path}: a certificate in it is damaged") from None
    return pem
