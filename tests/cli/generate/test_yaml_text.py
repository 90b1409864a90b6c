"""YAML that any reader takes for what it was made of."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from appliance.cli.generate.yaml_text import documents, dump

texts = some.text(some.characters(blacklist_categories=("Cs",)), max_size=30).filter(lambda text: "\n" not in text)
scalars = texts | some.booleans() | some.integers() | some.none()
values = some.recursive(
    scalars, lambda inner: some.lists(inner, max_size=4) | some.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@given(values)
def test_any_value_comes_back(value: Any) -> None:
    assert yaml.safe_load(dump(value)) == value


@pytest.mark.parametrize(
    "word", ["yes", "No", "on", "null", "~", "1e3", "0x1f", "1:30", "2026-01-31", "", "- a", "a: b"]
)
def test_texts_that_look_like_something_else(word: str) -> None:
    assert yaml.safe_load(dump({word: [word, {"a": word}]})) == {word: [word, {"a": word}]}


def test_texts_of_several_lines() -> None:
    text = "[Unit]\n\n  indented: %s\n\ttab #\nend\n"
    value = {"a": [{"content": text}, text], "b": text}
    printed = dump(value)
    assert yaml.safe_load(printed) == value
    assert "content: |\n" in printed and not any(line != line.rstrip() for line in printed.splitlines())


def test_several_documents() -> None:
    assert list(yaml.safe_load_all(documents({"a": 1}, [2]))) == [{"a": 1}, [2]]
