"""A record as a command for curl that sends the same request: right for a POSIX shell, whatever strangers sent."""

from __future__ import annotations

import re
import shlex

from appliance.admin.inspection import masking, shell_words
from appliance.admin.inspection.copies import Copy, copy_of
from appliance.admin.inspection.detail import headers
from appliance.tunnel.inspector.record import WEBSOCKET, Record
from appliance.wire.http1 import TOKEN

# What curl makes itself, and what the edge adds.
_NOT_COPIED = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
    | {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "cdn-loop"}
)
_is_name = re.compile(TOKEN.decode()).fullmatch


def curl(record: Record, reveal: bool) -> str:
    """Several lines; a body that is no plain text comes by a pipe."""
    copy = copy_of(record.request, reveal)
    words = ["curl --path-as-is --globoff --include"]
    if record.kind == WEBSOCKET:
        words += ["--http1.1 --no-buffer", "--header 'Connection: Upgrade'", "--header 'Upgrade: websocket'"]
    if record.method == "HEAD":
        words.append("--head")
    elif record.method != ("POST" if copy.data else "GET"):
        words.append(f"--request {shell_words.word(record.method or 'GET')}")
    found = [(name, value) for name, value in headers(record.request, reveal) if _is_copied(name, copy)]
    if any(name.lower() == "accept-encoding" for name, _ in found):
        words.append("--compressed")
    words += [f"--header {shell_words.word(f'{name}: {value}' if value else f'{name};')}" for name, value in found]
    before, body = _body(copy, {name.lower() for name, _ in found})
    words += body
    if record.request.line.split(b" ")[1:2] == [b"*"]:
        words.append("--request-target '*'")
    words.append(shell_words.word(_without_controls(url(record, reveal))))
    return before + " \\\n    ".join(words) + "\n" + _remarks(record, copy)


def url(record: Record, reveal: bool) -> str:
    """Where the visitor sent it; a letter below U+0100 for each byte."""
    host = record.host.decode("latin-1") or (record.name if record.name not in ("", "*") else "localhost")
    words = record.request.line.split(b" ")  # whole, which record.path need not be
    path = words[1].decode("latin-1") if len(words) == 3 and words[1].startswith(b"/") else ""
    return f"{record.scheme}://{host}{path if reveal else masking.target(path)}"


def _is_copied(name: str, copy: Copy) -> bool:
    """A name that is none (@file, for one) would be an order to curl."""
    lower = name.lower()
    return bool(_is_name(name)) and lower not in _NOT_COPIED and not (copy.plain and lower == "content-encoding")


def _without_controls(address: str) -> str:
    """curl refuses them."""
    return re.sub(r"[\x00-\x20\x7f]", lambda found: f"%{ord(found[0]):02X}", address)


def _body(copy: Copy, names: set[str]) -> tuple[str, list[str]]:
    """What goes before the command, and its words."""
    if not copy.data:
        return "", []
    # curl would call it a form; sent without a type, it stays without one.
    untyped = [] if "content-type" in names else ["--header 'Content-Type:'"]
    text = shell_words.pasteable(copy.data)
    if text is None:
        return f"{shell_words.base64_lines(copy.data)} |\n", [*untyped, "--data-binary @-"]
    return "", [*untyped, f"--data-raw {shlex.quote(text)}"]


def _remarks(record: Record, copy: Copy) -> str:
    remarks = ""
    if record.request.truncated and record.kind != WEBSOCKET:  # whose messages no command can send
        remarks += f"# Of the body, {len(record.request.body)} of {record.request.size} bytes were recorded.\n"
    if copy.withheld:
        remarks += "# The body cannot be decoded here and may hold secrets: a placeholder stands for it.\n"
    elif copy.masked:
        remarks += "# Secrets of the body are left out: placeholders stand for them.\n"
    return remarks
