"""A body as it can be looked at: without content coding, as text where it is text. Never more than a limit of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable

MOST_CODINGS = 3


class Undecodable(Exception):
    """It stays as it is; the text says why, and may be shown."""


Decode = Callable[[bytes, int], bytes]


def decoded(data: bytes, codings: list[str], limit: int) -> tuple[bytes, bool]:
    """`data` without these codings (as Content-Encoding lists them), at most `limit` bytes; and whether there are more.

    What ends within a coding gives what can be had of it. Raises Undecodable.
    """
    if len(codings) > MOST_CODINGS:
        raise Undecodable(f"it has more than {MOST_CODINGS} codings")
    for coding in reversed(codings):
        decode = _DECODERS.get(coding)
        if decode is None:
            raise Undecodable(f"{coding[:40]!r} is not known here")
        data = decode(data, limit + 1)
    return data[:limit], len(data) > limit


def _identity(data: bytes, limit: int) -> bytes:
    return data[:limit]


def _gzip(data: bytes, limit: int) -> bytes:
    return _inflated(data, limit, 16 + zlib.MAX_WBITS)


def _deflate(data: bytes, limit: int) -> bytes:
    """With zlib's header, as RFC 9110 wants it, or without one, as some do."""
    try:
        return _inflated(data, limit, zlib.MAX_WBITS)
    except Undecodable:
        return _inflated(data, limit, -zlib.MAX_WBITS)


def _inflated(data: bytes, limit: int, window_bits: int) -> bytes:
    out = b""
    try:
        while data and len(out) < limit:  # gzip may have several members
            inflater = zlib.decompressobj(window_bits)
            out += inflater.decompress(data, limit - len(out))
            if not inflater.eof or window_bits < 16:
                break
            data = inflater.unused_data
    except zlib.error:
        if not out:
            raise Undecodable("it is not what its Content-Encoding says") from None
    return out


def _brotli(data: bytes, limit: int) -> bytes:
    try:
        import brotli  # here, for servers whose inspector is off need not load it
    except ImportError:
        raise Undecodable("br needs the package `brotli`") from None
    inflater = brotli.Decompressor()
    pieces: list[bytes] = []
    size = 0
    try:
        piece = inflater.process(data, output_buffer_limit=limit)
        while True:
            pieces.append(piece)
            size += len(piece)
            if size >= limit or inflater.is_finished() or inflater.can_accept_more_data():
                break
            piece = inflater.process(b"", output_buffer_limit=limit - size)
    except (brotli.error, TypeError):  # TypeError: a version before 1.2 knows no limit
        if not pieces:
            raise Undecodable("it is not what its Content-Encoding says") from None
    return b"".join(pieces)[:limit]


def _zstd(data: bytes, limit: int) -> bytes:
    try:
        from compression import zstd  # CPython 3.14
    except ImportError:
        raise Undecodable("zstd needs CPython 3.14") from None
    inflater = zstd.ZstdDecompressor()
    try:
        return inflater.decompress(data, max_length=limit)
    except zstd.ZstdError:
        raise Undecodable("it is not what its Content-Encoding says") from None


_DECODERS: dict[str, Decode] = {
    "identity": _identity,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
