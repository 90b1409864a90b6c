"""Secrets of visitors, which are shown only to who asks for them: what they are, and what stands in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import unquote_plus

SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "cookie2", "set-cookie", "set-cookie2", "x-api-key", "dpop"}
)
# Called like secrets, and known to be none.
_OPEN_HEADERS = frozenset({"sec-websocket-key", "idempotency-key", "surrogate-key", "x-cache-key", "public-key-pins"})
# Secrets may stand in their queries.
URL_HEADERS = frozenset(
    {"referer", "location", "content-location", "destination", "origin", "link", "refresh"}
    | {"x-original-url", "x-original-uri", "x-forwarded-uri", "x-rewrite-url"}
)

_words = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])").findall
_SECRET_WORDS = frozenset({"key", "keys", "pwd", "pass", "pin", "otp", "jwt", "signature", "sig", "auth", "bearer"})
_SECRET_PARTS = ("token", "passw", "passphrase", "secret", "apikey", "credential")
_SECRET_NAMES = frozenset({"session", "sessionid", "sid", "phpsessid", "jsessionid"})  # without - and _
_SECRET_PARAMETERS = frozenset({"code"})  # of OAuth; elsewhere it is a number of an error
_inner = re.compile(r"([;?#])")
_path_parameter = re.compile(r";([^;/=]*)=([^;/]+)")
_user = re.compile(r"([a-z][a-z0-9+.-]*://[^/@:?#]*:)([^/@?#]+)@", re.IGNORECASE).match
DEEPEST = 3  # addresses within addresses
MOST_PARTS = 500  # of a parameter that are looked at; the rest is hidden
# Every letter of a text belongs to one of these: that is what keeps the time for hostile ones linear.
JSON_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[{}\[\],:]|\s+|[^\s{}\[\],:"]+', re.DOTALL)


_like_json = re.compile(r"\s*[0-9]{0,3}(?:/[^,\s]{0,200},)?[0-9]{0,9}\s*[\[{]").match


def placeholder(value: str) -> str:
    return f"•••• ({len(value)} characters)"


def placeholder_of_bytes(size: int) -> str:
    """For all of a body that could not be looked through."""
    return f"•••• ({size} bytes)"


def is_secret(name: str) -> bool:
    """Whether a parameter or field is called like one whose value is nobody's business."""
    lower = name.lower().strip('"')
    if lower in SECRET_HEADERS or lower.removeprefix("x-").replace("-", "").replace("_", "") in _SECRET_NAMES:
        return True
    return any(part in lower for part in _SECRET_PARTS) or any(word.lower() in _SECRET_WORDS for word in _words(name))


def header(name: str, value: str) -> str:
    lower = name.lower()
    if lower == "sec-websocket-protocol":  # where browsers can send nothing else
        return placeholder(value) if "bearer" in value.lower() or "token" in value.lower() else value
    if lower not in _OPEN_HEADERS and is_secret(name):
        return placeholder(value)
    return target(value) if lower in URL_HEADERS else value


def target(text: str, depth: int = 0) -> str:
    """A path or address, whose query may have secrets."""
    before, sign, query = _parts(text)
    return _before(before) + sign + parameters(query, depth)


def _parts(text: str) -> tuple[str, str, str]:
    at = next((number for number, letter in enumerate(text) if letter in "?#"), len(text))
    return text[:at], text[at : at + 1], text[at + 1 :]


def _before(text: str) -> str:
    """What comes before the query: a user's password, parameters of the path."""
    user = _user(text)
    if user:
        text = f"{user[1]}{placeholder(user[2])}@{text[user.end() :]}"
    return _path_parameter.sub(
        lambda found: f";{found[1]}={placeholder(found[2])}" if is_secret(unquote_plus(found[1])) else found[0], text
    )


def parameters(text: str, depth: int = 0) -> str:
    """``a=1&token=•••• (3 characters)``: a query, or a form's body. Names and order stay as they are."""
    return "&".join(_parameter(piece, depth) for piece in text.split("&"))


def _parameter(piece: str, depth: int = 0) -> str:
    """Some part them by ; as well. The value of a secret may have one in it: it goes on to the end."""
    at = 0
    for number, part in enumerate(_inner.split(piece, MOST_PARTS)):
        if number == 2 * MOST_PARTS:  # signs between count, too
            return piece[:at] + placeholder(piece[at:])
        name, equals, value = part.partition("=")
        if equals:
            start = at + len(name) + 1
            plain = unquote_plus(name)
            if piece[start:] and (is_secret(plain) or plain.lower() in _SECRET_PARAMETERS):
                return piece[:start] + placeholder(piece[start:])
            if depth < DEEPEST and "%" in value:
                address = unquote_plus(value)
                if target(address, depth + 1) != address:
                    return piece[:start] + placeholder(piece[start:])
        at += len(part)
    return piece


def json_text(text: str) -> str:
    """JSON, or what looks like it: values of fields that are called like secrets."""
    return "".join(_masked(JSON_TOKENS.findall(text)))


def _masked(tokens: list[str]) -> list[str]:
    """Tokens, of which those that are the value of a secret name are replaced, or within it."""
    out: list[str] = []
    before, secret, depth = "", False, 0  # depth: of lists and objects that are a secret
    for number, token in enumerate(tokens):
        if token.isspace():
            out.append(token)
            continue
        if token == ":":
            secret = before[:1] == '"' and is_secret(_name(before))
        elif token in ("{", "["):
            depth += bool(secret or depth)
            secret = False
        elif token in ("}", "]"):
            depth -= bool(depth)
        elif token != "," and (secret or (depth and not _is_name(tokens, number))):
            token, secret = _hidden(token), False
        else:
            secret = False
        out.append(token)
        before = token
    return out


def _is_name(tokens: list[str], number: int) -> bool:
    following = next((token for token in tokens[number + 1 : number + 3] if not token.isspace()), "")
    return following == ":"


def _hidden(token: str) -> str:
    value = token[1:-1] if token[:1] == '"' else token
    if value in ("null", "true", "false", ""):
        return token
    return json.dumps(placeholder(value), ensure_ascii=False)


def _name(token: str) -> str:
    """Of a field: letters of it may stand as escapes."""
    if "\\" in token:
        try:
            return str(json.loads(token))
        except ValueError:
            return token
    return token


def message(text: str) -> str:
    """Of a WebSocket: JSON for the most part, with a number before it by socket.io (42["auth",...])."""
    return json_text(text) if _like_json(text) else text


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
    before, sign, query = _parts(text)
    before_then, _, query_then = _parts(original)
    if before == _before(before_then):
        before = before_then
    return before + sign + parameters_again(query, query_then)


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
