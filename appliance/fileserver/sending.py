"""An answer onto a connection: small files together with their head, large ones by the kernel (sendfile)."""

from __future__ import annotations

import errno
import os
import time

import gevent

from appliance.fileserver.answers import Answer
from appliance.fileserver.ranges import Extent
from appliance.transport.connection import Connection

# Up to here one read and one write, head included, cost less than a write and a sendfile.
SMALL_BYTES = 16384
# After each piece others get their turn, and the visitor a new time limit: who takes less than a piece in
# that time (2 KiB/s) is not waited for.
PIECE_BYTES = 262144
PIECE_SECONDS = 120.0

# File systems that cannot: the bytes are read and written then.
_NO_SENDFILE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class FileShrank(OSError):
    """The file lost bytes that its head had promised: only ending the connection can tell the visitor."""


def send_answer(connection: Connection, answer: Answer, head: bytes, without_body: bool) -> None:
    """Send `head` and the body. Raises FileShrank, or the connection's OSError."""
    connection.deadline = time.monotonic() + PIECE_SECONDS
    pending = head
    for piece in () if without_body else answer.pieces:
        if isinstance(piece, bytes):
            pending += piece
            continue
        assert answer.descriptor is not None
        if piece.length <= SMALL_BYTES:
            pending += _read(answer.descriptor, piece)
        else:
            connection.write(pending)
            pending = b""
            send_file(connection, answer.descriptor, piece)
    if pending:
        connection.write(pending)


def send_file(connection: Connection, descriptor: int, extent: Extent) -> None:
    """Send a piece of the file open at `descriptor`, in flat memory."""
    # Not a subclass: past TLS, sendfile would send plain text.
    by_kernel = type(connection) is Connection
    offset, end = extent.start, extent.start + extent.length
    while offset < end:
        connection.deadline = time.monotonic() + PIECE_SECONDS
        piece = Extent(offset, min(PIECE_BYTES, end - offset))
        if by_kernel:
            try:
                waited = _send_piece(connection, descriptor, piece)
            except OSError as error:
                if error.errno not in _NO_SENDFILE or isinstance(error, FileShrank):
                    raise
                by_kernel = False  # known at the first call: nothing of the piece has gone
                continue
        else:
            connection.write(_read(descriptor, piece))
            waited = False
        if not waited:
            gevent.sleep(0)
        offset += piece.length


def _send_piece(connection: Connection, descriptor: int, piece: Extent) -> bool:
    """Returns whether it had to wait, and so has let others run."""
    out = connection.fileno()
    offset, left = piece
    waited = False
    while left:
        try:
            sent = os.sendfile(out, descriptor, offset, left)
        except BlockingIOError:
            connection.wait_writable()
            waited = True
            continue
        if not sent:
            raise FileShrank(errno.EIO, "the file became shorter while it was sent")
        offset += sent
        left -= sent
    return waited


def _read(descriptor: int, extent: Extent) -> bytes:
    data = os.pread(descriptor, extent.length, extent.start)
    if len(data) < extent.length:
        raise FileShrank(errno.EIO, "the file became shorter while it was sent")
    return data
