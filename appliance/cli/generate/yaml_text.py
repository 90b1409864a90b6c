"""YAML of plain values: mappings, lists, texts, numbers. Written here, for no program of ours has to read it."""

import json
import re
from typing import Any

# What no reader takes for anything but a text.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*").fullmatch
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))


def dump(value: Any) -> str:
    """A document, with a newline at its end."""
    return "".join(f"{line}\n" if line.strip() else "\n" for line in _lines(value))


def documents(*values: Any) -> str:
    return "---\n".join(map(dump, values))


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key, item in value.items() for line in _entry(f"{_scalar(key)}:", item)]
    if isinstance(value, list) and value:
        return [line for item in value for line in _item(item)]
    return [_scalar(value)]


def _entry(key: str, value: Any) -> list[str]:
    if isinstance(value, str) and "\n" in value:
        # Only with its one newline at the end is a block the text itself.
        assert value.endswith("\n") and not value.endswith("\n\n") and not value.startswith((" ", "\n"))
        return [f"{key} |", *(f"  {line}" for line in value.splitlines())]
    if isinstance(value, dict | list) and value:
        return [key, *(f"  {line}" for line in _lines(value))]
    return [f"{key} {_scalar(value)}"]


def _item(value: Any) -> list[str]:
    first, *rest = _lines(value) if not (isinstance(value, str) and "\n" in value) else [_scalar(value)]
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and _PLAIN(value) and value.lower() not in _WORDS:
        return value
    # JSON's texts, numbers, {} and [] are YAML's, too, but for characters that nobody sees.
    return "".join(map(_visible, json.dumps(value, ensure_ascii=False)))


def _visible(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08X}"
