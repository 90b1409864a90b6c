"""Content codings undone, never beyond the limit."""

import gzip
import sys
import zlib

import brotli
import pytest

from appliance.admin.inspection.decoding import Undecodable, decoded

TEXT = b"hello, hello, hello " * 100
LIMIT = 100_000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("br", brotli.compress),
    ("identity", bytes),
]


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
def test_codings(coding: str, pack: "type[bytes]") -> None:
    assert decoded(pack(TEXT), [coding], LIMIT) == (TEXT, False)
    assert decoded(pack(TEXT), [coding], 10) == (TEXT[:10], True)


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
def test_a_bomb_is_cut(coding: str, pack: "type[bytes]") -> None:
    data, more = decoded(pack(bytes(50_000_000)), [coding], LIMIT)
    assert len(data) == LIMIT and more


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
def test_what_was_cut_off_gives_what_can_be_had(coding: str, pack: "type[bytes]") -> None:
    import random

    text = random.Random(1).randbytes(5000)
    data, more = decoded(pack(text)[:-1000], [coding], LIMIT)
    assert text.startswith(data) and len(data) > 1000 and not more


def test_several() -> None:
    assert decoded(brotli.compress(gzip.compress(TEXT)), ["gzip", "br"], LIMIT) == (TEXT, False)
    assert decoded(gzip.compress(b"a") + gzip.compress(b"b"), ["gzip"], LIMIT) == (b"ab", False)


@pytest.mark.parametrize(
    ("data", "codings"),
    [(b"x" * 50, ["gzip"]), (b"\xff\xff\xff\xff", ["deflate"]), (b"\xff" * 50, ["br"]), (b"", ["rot13"]),
     (b"", ["gzip"] * 4)],
)  # fmt: skip
def test_what_cannot_be(data: bytes, codings: list[str]) -> None:
    with pytest.raises(Undecodable):
        decoded(data, codings, LIMIT)


def test_zstd_where_python_has_it() -> None:
    if sys.version_info < (3, 14):
        with pytest.raises(Undecodable, match=r"3\.14"):
            decoded(b"x", ["zstd"], LIMIT)
    else:
        from compression import zstd

        assert decoded(zstd.compress(TEXT), ["zstd"], LIMIT) == (TEXT, False)
        assert decoded(zstd.compress(bytes(10_000_000)), ["zstd"], LIMIT)[1]
