"""Columns of text."""

from appliance.cli.tables import shown, table


def test_columns_are_aligned_and_nothing_trails() -> None:
    lines = list(table(("A", "B", "C"), [("x", "long one", "c"), ("longer", "y", "")], (3, 0, 0)))
    assert lines == ["A      B        C", "x      long one c", "longer y"]
    assert list(table(("A", "B"), [], (5, 0))) == ["A     B"]


def test_what_strangers_say_cannot_move_the_cursor() -> None:
    assert shown("a\x1b[2Jb\nc") == "a?[2Jb?c"
    assert shown(None) == shown("") == "unknown"
    assert shown("\N{SNOWMAN}") == "\N{SNOWMAN}"
