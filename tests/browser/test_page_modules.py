"""The page's modules that compute, asked for single answers where they run: in a browser."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Mock
from tests.browser.visit import Visit, visiting


@pytest.fixture(scope="module")
def visit(chromium: Browser, mock: Mock) -> Iterator[Visit]:
    for visit in visiting(chromium, mock()):
        visit.open()
        yield visit


def ask(visit: Visit, module: str, expression: str, value: Any = None) -> Any:
    """`expression` of the module `m` and the value `v`."""
    return visit.page.evaluate(
        f"async v => {{ const m = await import('/assets/js/{module}.js'); return {expression} }}", value
    )


def test_a_diff_has_both_texts_and_is_as_short_as_can_be(visit: Visit) -> None:
    dice = random.Random(3)
    pairs = []
    for _ in range(150):
        left = [dice.choice("abcd") for _ in range(dice.randrange(14))]
        right = [line for line in left if dice.random() < 0.7] if dice.random() < 0.7 else ["b", "d", "a"]
        for _ in range(dice.randrange(3)):
            right.insert(dice.randrange(len(right) + 1), dice.choice("abx"))
        pairs.append([left, right])
    for (left, right), rows in zip(
        pairs, ask(visit, "diff", "v.map(([left, right]) => m.diffLines(left, right))", pairs), strict=True
    ):
        assert [row["left"] for row in rows if row["left"] is not None] == left
        assert [row["right"] for row in rows if row["right"] is not None] == right
        same = sum(row["same"] for row in rows)
        assert all(row["left"] == row["right"] for row in rows if row["same"])
        assert same == common(left, right)


def common(left: list[str], right: list[str]) -> int:
    """The length of the longest common subsequence."""
    before = [0] * (len(right) + 1)
    for line in left:
        now = [0]
        for number, other in enumerate(right):
            now.append(before[number] + 1 if line == other else max(before[number + 1], now[-1]))
        before = now
    return before[-1]


def test_texts_that_differ_wholly_take_no_long_time(visit: Visit) -> None:
    took = ask(
        visit,
        "diff",
        """(() => { const [a, b] = [[], []]; for (let n = 0; n < 9000; n += 1) { a.push(`a${n}`); b.push(`b${n}`); }
        const start = performance.now(); const rows = m.diffLines(a, b);
        return [rows.length, performance.now() - start] })()""",
    )
    assert took[0] == 9000
    assert took[1] < 2000


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("m.bytes(0)", "0 B"),
        ("m.bytes(1023)", "1,023 B"),
        ("m.bytes(1536)", "1.5 KiB"),
        ("m.bytes(1024 ** 2 - 1)", "1 MiB"),
        ("m.bytes(5 * 1024 ** 3)", "5 GiB"),
        ("m.bytes(null)", "–"),
        ("m.duration(0)", "0 ms"),
        ("m.duration(0.00042)", "0.42 ms"),
        ("m.duration(0.0123)", "12 ms"),
        ("m.duration(1.234)", "1.23 s"),
        ("m.duration(59.99)", "1 min"),
        ("m.duration(3725)", "1 h 2 min"),
        ("m.span(90061)", "1 d 1 h"),
        ("m.span(0)", "0 s"),
        ("m.perSecond(12345)", "12,345/s"),
        ("m.perSecond(123456)", "123.5 k/s"),
        ("m.perSecond(50000, 100000)", "50 k/s"),
        ("m.percent(0.004)", "0.4 %"),
        ("m.plural(1, 'client')", "1 client"),
        ("m.time('nonsense').textContent", "nonsense"),
    ],
)
def test_numbers_in_words(visit: Visit, expression: str, wanted: str) -> None:
    assert ask(visit, "format", expression) == wanted


@pytest.mark.parametrize(
    "attribute", ["{onclick: 'alert(1)'}", "{style: 'x'}", "{srcdoc: '<p>'}", "{innerHTML: '<p>'}", "{ONLOAD: 'x'}"]
)
def test_elements_take_no_attribute_that_runs(visit: Visit, attribute: str) -> None:
    refused = f"(() => {{ try {{ m.h('a', {attribute}); return '' }} catch (error) {{ return error.message }} }})()"
    assert "is not set from here" in ask(visit, "dom", refused)


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "vbscript:x"],
)
def test_links_lead_nowhere_dangerous(visit: Visit, address: str) -> None:
    assert ask(visit, "dom", "m.h('a', {href: v}).getAttribute('href')", address) is None


def test_markup_is_text(visit: Visit) -> None:
    text = "<img src=x onerror=alert(1)>"
    assert ask(visit, "dom", "[m.h('p', v).textContent, m.h('p', v).children.length]", text) == [text, 0]


def test_headers_of_an_editor(visit: Visit) -> None:
    assert ask(visit, "replay", "m.parseHeaders(v)", "A: b\n\nX:c:d \n") == [["A", "b"], ["X", "c:d"]]
    said = "(() => { try { m.parseHeaders(v) } catch (error) { return error.message } })()"
    assert 'no "Name: value"' in ask(visit, "replay", said, "nonsense")
    for name in ("content-length", "X-Forwarded-For"):
        assert ask(visit, "replay", said, f"A: b\n{name}: 7") == f"{name} is made anew when it is sent: leave it out."


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"\x03\xe8", "1000 (normal)"), (b"\x03\xe9bye \xc3\xa9", "1001 (going away): bye \u00e9"), (b"\x0f\xa0", "4000"),
     (b"\x03", "03")],
)  # fmt: skip
def test_why_a_websocket_closed(visit: Visit, data: bytes, words: str) -> None:
    assert ask(visit, "messages", "m.closeWords(v)", base64.b64encode(data).decode()) == words


def test_statuses_tell_what_was_cut_in_words(visit: Visit) -> None:
    records = [{"status": 200, "state": "done"}, {"status": 200, "state": "broken"},
               {"status": None, "state": "broken"}, {"status": None, "state": "open"},
               {"status": 200, "state": "left"}, {"status": None, "state": "left"}]  # fmt: skip
    words = ["200", "200 cut", "cut", "\u2026", "200 left", "left"]
    assert ask(visit, "records", "v.map(m.statusWords)", records) == words
    assert ask(visit, "records", "v.map(m.statusClass)", records)[-2:] == ["left", "left"]


def test_stages_that_cannot_be_told_apart_are_one(visit: Visit) -> None:
    timing = {"waitSeconds": 1, "tunnelSeconds": 2, "upstreamSeconds": 3, "answerSeconds": 5, "transferSeconds": 1}
    labels = "m.stagesOf(v).map(([, label]) => label)"
    whole = ["Wait for a stream", "Tunnel", "Upstream", "Transfer"]
    assert ask(visit, "detail", labels, timing) == whole
    assert ask(visit, "detail", labels, timing | {"tunnelSeconds": None}) == ["Wait for a stream", *whole[2:]]
    unknown = timing | {"tunnelSeconds": None, "upstreamSeconds": None}
    assert ask(visit, "detail", labels, unknown) == ["Wait for a stream", "Tunnel and upstream", "Transfer"]
    assert ask(visit, "detail", labels, dict.fromkeys(timing)) == []


def test_one_is_no_plural(visit: Visit) -> None:
    assert ask(visit, "table", "[m.counted(1, 'clients'), m.counted(0, 'ports')]") == ["1 client", "0 ports"]


def test_upstreams_that_fail_are_seen(visit: Visit) -> None:
    upstreams = [{"offer": f"{number}.example.com", "target": "http://x", "state": "failing" if number == 4 else "up"}
                 for number in range(5)]  # fmt: skip
    shown = "(() => { const cell = m.upstreamsCell(); cell.fill({upstreams: v}); return cell.element.textContent })()"
    text = ask(visit, "clients-table", shown, upstreams)
    assert text.startswith("failing4.example.com") and "0.example.com" in text and text.endswith("and 2 more")


def tree(visit: Visit, text: str) -> Any:
    """The JSON tree's leaves, all of them open."""
    made = """(async () => { const tree = await import('/assets/js/json-tree.js');
        const json = m.readJson(v); if (json === null) return null;
        const box = tree.jsonTree(json); document.body.append(box);
        for (let closed; (closed = box.querySelector('details:not([open])'));) {
          closed.open = true; await new Promise(done => closed.addEventListener('toggle', done, {once: true})); }
        const found = [...box.querySelectorAll('.leaf')].map(leaf => [leaf.textContent, leaf.lastChild.className]);
        box.remove(); return found })()"""
    return ask(visit, "json-text", f"await {made}", text)


def test_a_tree_of_json_shows_what_is_in_the_text(visit: Visit) -> None:
    text = """{"b": 1234567890123456789, "10": 1e400, "9": 1.10, "b": -0, "deep": {"x": [[true, null], {}]},
        "s": "\\u00e9 \\"{}[]:, \\\\", "e": "", "": [], "__proto__": 0.30000000000000004}"""
    assert tree(visit, text) == [
        ['"b": 1234567890123456789', "number"],
        ['"10": 1e400', "number"],
        ['"9": 1.10', "number"],
        ['"b": -0', "number"],
        ["0: true", "word"],
        ["1: null", "word"],
        ["1: { }", "sum"],
        ['"s": "\u00e9 \\"{}[]:, \\\\"', "string"],
        ['"e": ""', "string"],
        ['"": [ ]', "sum"],
        ['"__proto__": 0.30000000000000004', "number"],
    ]
    assert tree(visit, " 1.0 ") == [["1.0", "number"]] and tree(visit, '"a"') == [['"a"', "string"]]
    assert [tree(visit, odd) for odd in ("", "{", "[1,]", "{'a': 1}", "1 2")] == [None] * 5


@pytest.mark.parametrize("text", ["'[' + '[],'.repeat(v) + '[]]'", "'[\"' + '\\\\n'.repeat(v) + '\"]'",
                                  "'['.repeat(2000) + ']'.repeat(2000)", "'\"' + 'x'.repeat(v) + '\"'"])  # fmt: skip
def test_large_json_is_read_in_time(visit: Visit, text: str) -> None:
    took = ask(visit, "json-text", f"(() => {{ const text = {text}; const start = performance.now();"
               " return [m.readJson(text) !== null, performance.now() - start] })()", 500_000)  # fmt: skip
    assert took[0] and took[1] < 3000
