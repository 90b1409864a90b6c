"""TLS over memory BIOs: contexts, and a Connection that encrypts.

One large read of the socket feeds many records and one large write sends many, which an SSLSocket (a system call
for each record's head and body) cannot do: 2.3 against 3.0 CPU seconds a GiB over two hops.
"""

from __future__ import annotations

import os
import re
import ssl
from _ssl import _SSLContext as NativeContext
from collections.abc import Callable
from typing import Any

from appliance.transport import ciphers, tasks
from appliance.transport.connection import EMPTY, READ_BYTES, Connection, buffer, encoded

RECORD_BYTES = 16384
# A memory BIO keeps the memory of the most it ever held for as long as the connection lives, so none is given more at a
# time. It is also under the size from which the allocator maps memory anew for each piece to send.
BATCH_BYTES = 4 * RECORD_BYTES
MAX_OWED_BYTES = 16384  # of TLS's own answers, which a peer may ask for without taking them
# A read of the socket, and what an incomplete record left in the BIO before it.
_plain_view = buffer(READ_BYTES + RECORD_BYTES)

HANDSHAKE = 0x16  # the first byte of whoever speaks TLS (RFC 8446 5.1)
# OpenSSL's SSL_OP_PRIORITIZE_CHACHA, which `ssl` has no name for: ChaCha20 for who wants that first, since who does has
# no AES instructions. All others get what is cheaper for us.
_PRIORITIZE_CHACHA = 1 << 21


def server_context(certificate_file: str, key_file: str) -> ssl.SSLContext:
    """For the side that has the certificate. Raises OSError or ssl.SSLError for files that do not fit."""
    context = _server_side(["http/1.1"])
    context.load_cert_chain(certificate_file, key_file)
    return context


def choosing_context(choose: Callable[[str | None], ssl.SSLContext | None]) -> ssl.SSLContext:
    """For a side with several certificates. `choose`: the context for the name that the other side asks for, or for
    None where it names none; None refuses it. The choice counts for the certificate, all else is this context's."""

    def on_name(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        chosen = choose(name)
        if chosen is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        tls.context = chosen
        return None

    context = _server_side(["http/1.1"])
    # Past gevent's property, where `ssl` is patched: it knows nothing of TLS over memory BIOs.
    NativeContext.sni_callback.__set__(context, on_name)  # type: ignore[union-attr]
    return context


def context_of_pem(pem: bytes, protocol: str) -> ssl.SSLContext:
    """As `server_context`, of key and certificate that lie in no file, for one application protocol (ALPN)."""
    context = _server_side([protocol])
    descriptor = os.memfd_create("certificate")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def _server_side(protocols: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | _PRIORITIZE_CHACHA
    context.set_ciphers(ciphers.suites())
    context.set_alpn_protocols(protocols)
    return context


def client_context(ca_pem: str | None, verify: bool = True) -> ssl.SSLContext:
    """For the side that connects. `ca_pem`: trust these authorities alone; None: those of the system."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(ciphers.suites())
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_pem is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(cadata=ca_pem)
    return context


def _end() -> int:
    """No bytes, as SSLObject.read has it while our own direction goes on; later on it raises the same."""
    raise ssl.SSLZeroReturnError


_http_request = re.compile(rb"[A-Z]{2,20} [^ ]").match
_read_plain = Connection.read
_write_plain = Connection.write


class NotTls(ssl.SSLError):
    """A server was sent something else. `http`: that is a request in plain HTTP, which can be answered so."""

    def __init__(self, data: bytes) -> None:
        super().__init__("what came is not TLS")
        self.http = _http_request(data) is not None


class TlsConnection(Connection):
    """A Connection under TLS. `handshake` comes before all else."""

    __slots__ = ("_decrypt", "_early", "_encrypt", "_ended", "_given", "_incoming", "_outgoing", "_tls", "_untouched")

    def __init__(
        self,
        sock: Any,
        peer: str,
        context: ssl.SSLContext,
        server_name: str | None = None,
        session: ssl.SSLSession | None = None,
        early: bytes = b"",
    ) -> None:
        """`server_name`: the server's name or address when this is the client's side, else None.

        `session`: of an earlier connection to the same server, which saves the certificate's signature.
        `early`: what has been read from the socket already.
        """
        super().__init__(sock, peer)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(
                self._incoming,
                self._outgoing,
                server_side=server_name is None,
                server_hostname=None if server_name is None else encoded(server_name),
                session=session,
            )
        except (ValueError, TypeError) as error:
            Connection.close(self)
            raise ConnectionError(f"{server_name!r} cannot be the name of a TLS server ({error})") from None
        self._untouched = server_name is None  # a server that has not heard a byte yet
        self._given = early
        self._decrypt: Callable[..., Any] = self._tls.read
        self._encrypt: Callable[..., int] = self._tls.write
        self._early = False  # bytes that came together with the end of the handshake
        self._ended = False  # the peer has said that no more will come

    @property
    def session(self) -> ssl.SSLSession | None:
        """What resumes this session later; with TLS 1.3 it is there once something has been read."""
        return self._tls.session

    @property
    def protocol(self) -> str | None:
        """What both sides have agreed to speak (ALPN)."""
        return self._tls.selected_alpn_protocol()

    def handshake(self) -> None:
        """Raises ssl.SSLError (the peer is not trusted, or does not speak TLS), or an OSError of the connection.

        After NotTls nothing has been written: `detach` gives the socket to who can answer.
        """
        if self._given:
            self._feed(self._given)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if self._outgoing.pending:
                    _write_plain(self, self._outgoing.read())
                data = super().read()
                if not data:
                    raise ConnectionResetError("the connection ended within the TLS handshake") from None
                self._feed(data)
            except ssl.SSLError:
                self._answer()  # the alert tells the other side why
                raise
        self._early = self._incoming.pending > 0
        _write_plain(self, self._outgoing.read())

    def _feed(self, data: bytes | memoryview) -> None:
        """Give the handshake what has come."""
        if self._untouched:
            self._untouched = False
            if data[0] != HANDSHAKE:
                raise NotTls(bytes(data))
        self._incoming.write(data)

    def read(self) -> memoryview:
        """As a Connection's. A peer that ends without saying so (close_notify) is believed, too: many do."""
        incoming = self._incoming
        while not self._ended:
            rest = EMPTY
            if self._early:
                self._early = False
            else:
                data = _read_plain(self)
                if not data:
                    break
                if len(data) > BATCH_BYTES:
                    data, rest = data[:BATCH_BYTES], data[BATCH_BYTES:]
                incoming.write(data)
            try:
                size = self._decrypt(RECORD_BYTES, _plain_view) or _end()
            except ssl.SSLWantReadError:
                size = 0
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                self._ended = True
                break
            # Asking for more than is there would cost an exception for each small message.
            if rest or (incoming.pending and size):
                size = self._decrypt_more(size, rest)
            if self._outgoing.pending:
                self._answer()
            if size:
                return _plain_view[:size]
        return EMPTY

    def read_ready(self) -> memoryview | None:
        rest = EMPTY
        if self._ended:
            return EMPTY
        if self._early:
            self._early = False
        else:
            data = super().read_ready()
            if not data:
                return data
            rest = data
        size = self._decrypt_more(0, rest)
        if self._outgoing.pending:
            self._answer()
        if size:
            return _plain_view[:size]
        return EMPTY if self._ended else None

    def when_readable(self, name: str, function: Callable[..., object], *arguments: Any) -> None:
        if self._early:  # no event of the socket will tell of it
            tasks.spawn(name, function, *arguments)
        else:
            super().when_readable(name, function, *arguments)

    def _decrypt_more(self, size: int, rest: memoryview) -> int:
        """Decrypt all whole records, and those of `rest`, behind the first `size` plain bytes; returns the new size."""
        incoming = self._incoming
        while True:
            try:
                while incoming.pending:
                    size += self._decrypt(RECORD_BYTES, _plain_view[size : size + RECORD_BYTES]) or _end()
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                self._ended = True
                return size
            if not rest:
                return size
            incoming.write(rest[:BATCH_BYTES])
            rest = rest[BATCH_BYTES:]

    def _answer(self) -> None:
        """Send what TLS itself has to say (key updates, alerts) as far as that needs no waiting: the plain bytes are
        out, and this may be the hub. The rest goes before what is written next."""
        outgoing = self._outgoing
        if not self._unsent:
            answer = outgoing.read()
            try:
                outgoing.write(answer[self._send(answer) :])
            except OSError:
                return  # reading will show it
        if outgoing.pending > MAX_OWED_BYTES:
            self.abort()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        size = len(data)
        if size > RECORD_BYTES or self._unsent:
            self.write_parts([data])
        elif size:
            self._encrypt(data)
            _write_plain(self, self._outgoing.read())

    def write_parts(self, parts: list[Any]) -> None:
        if self._unsent:
            raise RuntimeError("two greenlets write one connection")
        if len(parts) > 2 and sum(map(len, parts)) <= RECORD_BYTES:
            parts = [b"".join(parts)]  # a record for each would cost more
        outgoing = self._outgoing
        ours = False  # whether nobody else can change what is still to be encrypted
        while parts:
            view = memoryview(parts[0])
            parts = parts[1:]
            while view:
                self._encrypt(view[:RECORD_BYTES])  # one call is one record, whatever is given to it
                view = view[RECORD_BYTES:]
                if outgoing.pending < BATCH_BYTES:
                    continue
                batch = outgoing.read()
                sent = self._send(batch)
                if sent == len(batch):
                    continue
                if not ours:
                    view = memoryview(b"".join([view, *parts]))  # the shared buffer changes while we wait
                    parts = []
                    ours = True
                self._write_rest(batch[sent:])
        if outgoing.pending:
            _write_plain(self, outgoing.read())

    def _send(self, data: bytes) -> int:
        """How much of what is encrypted the socket takes now."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._refused = True
            raise

    def write_now(self, data: bytes) -> None:
        if self._unsent:
            return self.abort()
        try:
            self._encrypt(data)
        except ssl.SSLError:  # nothing can follow our own end
            return self.abort()
        return super().write_now(self._outgoing.read())

    # Ending

    def moved(self) -> TlsConnection:
        moved = TlsConnection.__new__(TlsConnection)
        Connection.__init__(moved, self.detach(), self.peer)
        for name in TlsConnection.__slots__:
            setattr(moved, name, getattr(self, name))
        return moved

    def shutdown_write(self) -> None:
        """Say that no more will come (close_notify). Peers that take it for the end of both directions are many:
        between our own programs the end of a direction is a message."""
        self._seal_end()
        _write_plain(self, self._outgoing.read())

    def close(self) -> None:
        """As a Connection's. Says so first (close_notify): some peers else take what came last for cut off."""
        if not self.closed and not self._unsent:
            self._seal_end()
            if self._outgoing.pending:
                self._answer()
        super().close()

    def _seal_end(self) -> None:
        unread = self._incoming.read()  # OpenSSL would look for the peer's end in it, and lose it
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # the peer's end is still to come, or that of the handshake
        self._incoming.write(unread)
