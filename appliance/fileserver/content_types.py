"""Content types by a file's ending: Python's own table, and what it misses or its versions disagree about.

The system's table is not read: the same file has the same type everywhere.
"""

from __future__ import annotations

import mimetypes

_OURS = {
    ".7z": "application/x-7z-compressed",
    ".apk": "application/vnd.android.package-archive",
    ".avif": "image/avif",
    ".br": "application/x-brotli",
    ".bz2": "application/x-bzip2",
    ".cfg": "text/plain",
    ".conf": "text/plain",
    ".deb": "application/vnd.debian.binary-package",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".epub": "application/epub+zip",
    ".flac": "audio/flac",
    ".gz": "application/gzip",
    ".heic": "image/heic",
    ".ico": "image/vnd.microsoft.icon",
    ".ini": "text/plain",
    ".iso": "application/x-iso9660-image",
    ".jar": "application/java-archive",
    ".js": "text/javascript",
    ".jxl": "image/jxl",
    ".log": "text/plain",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mkv": "video/x-matroska",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".rar": "application/vnd.rar",
    ".toml": "application/toml",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".wav": "audio/wav",
    ".weba": "audio/webm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}
_table = {**mimetypes.types_map, **_OURS}


def content_type(name: bytes) -> bytes:
    """The Content-Type of a file called `name`; text is taken to be UTF-8."""
    ending = name[name.rfind(b".") :].lower().decode("latin-1") if b"." in name else ""
    kind = _table.get(ending, "application/octet-stream")
    return (kind + "; charset=utf-8" if kind.startswith("text/") else kind).encode()
