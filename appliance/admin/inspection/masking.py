"""Secrets of visitors, which are shown only to who asks for them: what they are, and what stands in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote_plus

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"})
URL_HEADERS = frozenset({"referer", "location", "content-location"})  # secrets may stand in their queries

_words = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])").findall
_SECRET_WORDS = frozenset({"key", "keys", "pwd", "pass", "pin", "otp", "jwt", "signature", "sig"})
_SECRET_HEADER_PARTS = ("token", "secret", "passw", "api-key", "apikey")  # not Sec-WebSocket-Key, for one
_SECRET_PARTS = ("token", "passw", "passphrase", "secret", "apikey", "credential")
# Every letter of a text belongs to one of these: that is what keeps the time for hostile ones linear.
JSON_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[{}\[\],:]|\s+|[^\s{}\[\],:"]+', re.DOTALL)


def placeholder(value: str) -> str:
    return f"•••• ({len(value)} characters)"


def placeholder_of_bytes(size: int) -> str:
    """For all of a body that could not be looked through."""
    return f"•••• ({size} bytes)"


def is_secret(name: str) -> bool:
    """Whether a parameter or field is called like one whose value is nobody's business."""
    lower = name.lower().strip('"')
    if lower in SECRET_HEADERS:  # which some put into JSON
        return True
    return any(part in lower for part in _SECRET_PARTS) or any(word.lower() in _SECRET_WORDS for word in _words(name))


def header(name: str, value: str) -> str:
    lower = name.lower()
    if lower in SECRET_HEADERS or any(part in lower for part in _SECRET_HEADER_PARTS):
        return placeholder(value)
    return target(value) if lower in URL_HEADERS else value


def target(text: str) -> str:
    """A path or address, whose query may have secrets."""
    before, question, query = text.partition("?")
    return before + question + parameters(query) if question else text


def parameters(text: str) -> str:
    """``a=1&token=•••• (3 characters)``: a query, or a form's body. Names and order stay as they are."""
    return "&".join(_parameter(piece) for piece in text.split("&"))


def _parameter(piece: str) -> str:
    name, equals, value = piece.partition("=")
    return f"{name}={placeholder(value)}" if equals and value and is_secret(unquote_plus(name)) else piece


def json_text(text: str) -> str:
    """JSON, or what looks like it: values of fields that are called like secrets."""
    return "".join(_masked(JSON_TOKENS.findall(text)))


def _masked(tokens: Iterable[str]) -> list[str]:
    """Tokens, of which those that are the value of a secret name are replaced."""
    out: list[str] = []
    before, secret = "", False
    for token in tokens:
        if token.isspace():
            out.append(token)
            continue
        if token == ":":
            secret = before[:1] == '"' and is_secret(_name(before))
        elif secret and token not in ("{", "["):
            value = token[1:-1] if token[:1] == '"' else token
            if value not in ("null", "true", "false", ""):
                token = json.dumps(placeholder(value), ensure_ascii=False)
            secret = False
        else:
            secret = False
        out.append(token)
        before = token
    return out


def _name(token: str) -> str:
    """Of a field: letters of it may stand as escapes."""
    if "\\" in token:
        try:
            return str(json.loads(token))
        except ValueError:
            return token
    return token


def message(text: str) -> str:
    """Of a WebSocket: JSON for the most part."""
    return json_text(text) if text.lstrip()[:1] in ("{", "[") else text


# ---- back again: what an editor was shown, and sends on


def header_again(name: str, value: str, originals: list[tuple[str, str]]) -> str:
    """The value that a header had where its placeholder came back."""
    for found, original in originals:
        if found.lower() == name.lower() and original != value and header(found, original) == value:
            return original
    if name.lower() in URL_HEADERS:
        for found, original in originals:
            if found.lower() == name.lower():
                return target_again(value, original)
    return value


def target_again(text: str, original: str) -> str:
    before, question, query = text.partition("?")
    return before + question + parameters_again(query, original.partition("?")[2]) if question else text


def parameters_again(text: str, original: str) -> str:
    """Values by name and place: of two with one name, the first has that of the first."""
    return _restored(text.split("&"), original.split("&"), _parameter, "&")


def json_again(text: str, original: str) -> str:
    """By place among values that were replaced by the very same placeholder."""
    tokens = JSON_TOKENS.findall(original)
    masked = _masked(tokens)
    replaced: dict[str, list[str]] = {}
    for old, new in zip(tokens, masked, strict=True):
        if old != new:
            replaced.setdefault(new, []).append(old)
    out = []
    for token in JSON_TOKENS.findall(text):
        waiting = replaced.get(token)
        out.append(waiting.pop(0) if waiting else token)
    return "".join(out)


def _restored(pieces: list[str], originals: list[str], mask: Callable[[str], str], joint: str) -> str:
    waiting: dict[str, list[str]] = {}
    for original in originals:
        waiting.setdefault(mask(original), []).append(original)
    return joint.join(waiting[piece].pop(0) if waiting.get(piece) else piece for piece in pieces)
