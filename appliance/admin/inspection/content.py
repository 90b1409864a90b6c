"""A recorded body without its codings: its kind, its letters, and by which rules secrets are looked for in it."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from appliance.admin.inspection.decoding import Undecodable, decoded
from appliance.tunnel.inspector.record import Part

LIMIT = 1024 * 1024  # bytes of a body without its coding

# Python knows more, of which some take forever (punycode) and some are no text.
_charset = re.compile(
    r"utf-?(?:8|16|32)(?:le|be)?|(?:us-)?ascii|iso-8859-\d{1,2}|latin-?\d|windows-125\d|cp125\d|koi8-[ru]|"
    r"shift[_-]jis|euc-(?:jp|kr)|iso-2022-jp|gb2312|gbk|gb18030|big5",
    re.IGNORECASE,
).fullmatch
_MARKS = (  # of byte order; the longer ones first
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TEXT_TYPES = ("javascript", "ecmascript", "xml", "yaml", "x-ndjson", "graphql", "x-sh", "toml", "csv", "event-stream")


@dataclass(frozen=True, slots=True)
class Body:
    """`data`: without content coding, whole or its beginning. `kind`: none, json, form, multipart, text, html, image or
    binary. `note`: why it could not be decoded."""

    part: Part
    data: bytes
    content_type: str
    coding: str
    kind: str
    cut: bool
    note: str = ""

    @property
    def charset(self) -> str:
        for mark, name in _MARKS:
            if self.data.startswith(mark):
                return name
        named = parameter(self.content_type, "charset")
        if _charset(named):
            try:
                return codecs.lookup(named).name
            except LookupError:
                return "utf-8"
        return _unnamed(self.data) if self.kind == "json" else "utf-8"

    @property
    def text(self) -> str:
        try:
            return self.data.decode(self.charset)
        except UnicodeDecodeError as error:
            # The last letter may have been cut off; else it is what came before Unicode.
            kept = len(self.data) - error.start < 4 and (self.cut or self.part.truncated)
            return self.data.decode(self.charset, "replace" if kept else "backslashreplace")

    @property
    def is_text(self) -> bool:
        return self.kind in ("json", "form", "multipart", "text", "html")

    @property
    def rules(self) -> str:
        """By which secrets are found: json, form, multipart, or "" where nothing is looked for."""
        if self.kind in ("json", "form", "multipart"):
            return self.kind
        if self.kind != "text":
            return ""
        # Many a page sends its JSON as text/plain, and lines of JSON are text as well.
        return "json" if "event-stream" in self.content_type or self.text.lstrip()[:1] in ("{", "[") else ""


def body_of(part: Part) -> Body:
    content_type = (part.field(b"content-type") or b"").decode("latin-1")
    coding = (part.field(b"content-encoding") or b"").decode("latin-1").strip().lower()
    raw = bytes(part.body)
    if not part.size:
        return Body(part, b"", content_type, coding, "none", False)
    codings = [word for word in map(str.strip, coding.split(",")) if word]
    try:
        data, cut = decoded(raw, codings, LIMIT)
    except Undecodable as error:
        return Body(part, raw, content_type, coding, "binary", False, f"not decoded: {error}")
    return Body(part, data, content_type, coding, kind_of(content_type, data), cut)


def kind_of(content_type: str, data: bytes) -> str:
    mime = content_type.partition(";")[0].strip().lower()
    family, _, name = mime.partition("/")
    if name == "json" or name.endswith("+json"):
        return "json"
    if mime == "application/x-www-form-urlencoded":
        return "form"
    if mime == "multipart/form-data":
        return "multipart"
    if mime in ("text/html", "application/xhtml+xml"):
        return "html"
    if family == "image":
        return "image"
    if family == "text" or any(word in name for word in _TEXT_TYPES):
        return "text"
    return "text" if _looks_like_text(data[:2048], bool(mime)) else "binary"


def _looks_like_text(start: bytes, typed: bool) -> bool:
    if typed:
        return False
    return not re.search(rb"[\x00-\x08\x0e-\x1a\x7f]", start) and b"\xff" not in start


def parameter(content_type: str, name: str) -> str:
    """``utf-8`` of ``text/html; charset="utf-8"``."""
    found = re.search(rf';\s*{re.escape(name)}\s*=\s*(?:"([^"]*)"|([^\s;"]+))', content_type, re.IGNORECASE)
    return (found[1] or found[2] or "") if found else ""


def _unnamed(data: bytes) -> str:
    """Of JSON without a charset: its first letters are ASCII, so that zeros tell (RFC 4627 3)."""
    zeros = "".join("x" if byte else "0" for byte in data[:4])
    if zeros in ("000x", "x000"):
        return "utf-32-be" if zeros == "000x" else "utf-32-le"
    return {"0x": "utf-16-be", "x0": "utf-16-le"}.get(zeros[:2], "utf-8")
