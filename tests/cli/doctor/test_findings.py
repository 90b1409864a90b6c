"""Findings: which is the worst, and how they are told."""

from appliance.cli.doctor.findings import ERROR, OK, WARNING, Finding, render, worst

FINE, RAIN, FIRE = (
    Finding("sun", OK, "it shines"),
    Finding("rain", WARNING, "wet", "stay"),
    Finding("fire", ERROR, "hot"),
)


def test_the_worst() -> None:
    assert worst([]) == OK
    assert worst([FINE, RAIN]) == WARNING
    assert worst([FINE, FIRE, RAIN]) == ERROR


def test_lines() -> None:
    assert list(render("weather", [FINE, RAIN], lambda text, level: f"<{text}>" if level == WARNING else text)) == [
        "weather",
        "  ok      sun          it shines",
        "  <warning >rain         wet",
        "                       -> stay",
    ]


def test_nothing_moves_the_cursor() -> None:
    (_, line) = render("x", [Finding("a", OK, "\033[2J")], lambda text, level: text)
    assert "\033" not in line
