"""HTTP archives."""

import base64
import json
from typing import Any

import pytest

from appliance.admin.inspection.har import archive
from appliance.tunnel.inspector.record import Message, Record, now
from appliance.tunnel.inspector.store import Inspector
from tests.admin.records import hostile_record, part, record


def of(*records: Record, reveal: bool = False) -> Any:
    return json.loads(b"".join(archive(records, "0.1.0", reveal)))["log"]


IMAGE = ("Content-Type", "image/png")
# What HAR 1.2 wants of each.
ENTRY = {"startedDateTime", "time", "request", "response", "cache", "timings"}
REQUEST = {"method", "url", "httpVersion", "cookies", "headers", "queryString", "headersSize", "bodySize"}
RESPONSE = {"status", "statusText", "httpVersion", "cookies", "headers", "content", "redirectURL", "headersSize"}


def test_an_archive_of_nothing() -> None:
    assert of() == {"version": "1.2", "creator": {"name": "sluice", "version": "0.1.0"}, "pages": [], "entries": []}


def test_entries_have_what_they_must() -> None:
    inspector = Inspector()
    posted = record(
        inspector, "POST", "/a?x=1&token=hush", [("Content-Type", "application/json"), ("Cookie", "sid=hush")],
        b'{"password":"hush"}',
        part("HTTP/1.1 302 Found", [("Location", "/b?token=hush"), ("Set-Cookie", "a=hush"), IMAGE], b"\x89PNG"),
    )  # fmt: skip
    unanswered = inspector.begin("x")
    found = of(posted, hostile_record(inspector), unanswered)
    assert len(found["entries"]) == 3
    for entry in found["entries"]:
        assert entry.keys() >= ENTRY and entry["request"].keys() >= REQUEST and entry["response"].keys() >= RESPONSE
        assert all(isinstance(entry["timings"][name], int | float) for name in ("send", "wait", "receive"))
        assert {"size", "mimeType"} <= entry["response"]["content"].keys()
    entry = found["entries"][0]
    assert "hush" not in json.dumps(entry)
    assert entry["response"]["status"] == 302 and entry["response"]["statusText"] == "Found"
    assert entry["response"]["content"]["encoding"] == "base64"
    assert {"name": "x", "value": "1"} in entry["request"]["queryString"]
    revealed = of(posted, reveal=True)["entries"][0]
    assert revealed["request"]["cookies"] == [{"name": "sid", "value": "hush"}]
    assert revealed["request"]["postData"]["text"] == '{"password":"hush"}'
    assert revealed["response"]["redirectURL"] == "/b?token=hush"


def test_timings_add_up_and_nothing_is_made_up() -> None:
    kept = record(Inspector())
    kept.sent_at, kept.asked_at = kept.began_at + 0.001, kept.began_at + 0.003
    kept.answered_at, kept.ended_at = kept.began_at + 0.010, kept.began_at + 0.015
    kept.link_seconds = 0.002
    entry = of(kept)["entries"][0]
    assert entry["time"] == 15
    timings = {"blocked": 1, "send": 2, "wait": 7, "receive": 5, "_tunnel": 2, "_upstream": 5}
    assert entry["timings"] == pytest.approx(timings)
    kept.link_seconds = None
    entry = of(kept)["entries"][0]
    assert entry["timings"] == pytest.approx(timings | {"_tunnel": -1, "_upstream": -1})


def test_an_answer_of_the_edge_itself_was_waited_for() -> None:
    kept = record(Inspector())
    kept.sent_at = kept.asked_at = kept.answered_at = None
    kept.ended_at = kept.began_at + 0.0026
    entry = of(kept)["entries"][0]
    assert entry["timings"] == pytest.approx(
        {"blocked": -1, "send": 0, "wait": 2.6, "receive": 0, "_tunnel": -1, "_upstream": -1}
    )


def test_a_form_is_text_alone() -> None:
    """The format wants either text or parameters; text is the very bytes."""
    kept = record(
        Inspector(), "POST", "/", [("Content-Type", "application/x-www-form-urlencoded")], b"a=1&password=hush"
    )
    assert of(kept)["entries"][0]["request"]["postData"] == {
        "mimeType": "application/x-www-form-urlencoded",
        "text": "a=1&password=•••• (4 characters)",
    }


def test_a_form_that_is_in_parts_does_not_leak() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\nhush\r\n--x--\r\n'
    kept = record(Inspector(), "POST", "/", [("Content-Type", "multipart/form-data; boundary=x")], body)
    masked, revealed = of(kept), of(kept, reveal=True)
    assert masked["entries"][0]["request"]["postData"]["text"] == body.decode().replace("hush", "•••• (4 characters)")
    assert revealed["entries"][0]["request"]["postData"]["text"] == body.decode()


def test_what_cannot_be_decoded_does_not_leak() -> None:
    headers = [("Content-Type", "application/json"), ("Content-Encoding", "compress")]
    kept = record(Inspector(), "POST", "/", headers, b'{"password":"hush"}')
    assert of(kept)["entries"][0]["request"]["postData"]["text"] == "•••• (19 bytes)"
    assert base64.b64encode(b"hush")[:5].decode() not in json.dumps(of(kept))


def test_addresses_are_text() -> None:
    kept = record(Inspector(), path="/caf\u00c3\u00a9?token=abc&q=" + "x" * 3000)
    request = of(kept)["entries"][0]["request"]
    assert request["url"].startswith("http://app.example.com/caf\u00e9?token=•••• (3 characters)&q=xxx")
    assert len(request["queryString"][1]["value"]) == 3000, "whole"


def test_messages_without_secrets() -> None:
    kept = record(Inspector(), kind="websocket")
    kept.messages.append(Message(now()[0], "visitor", "text", 20, b'{"payload":{"Authorization":"hush"}}'))
    assert "hush" not in json.dumps(of(kept))
    assert "hush" in json.dumps(of(kept, reveal=True))


def test_websockets() -> None:
    kept = record(Inspector(), kind="websocket")
    kept.messages.append(Message(now()[0], "visitor", "text", 1, b"a"))
    kept.messages.append(Message(now()[0], "upstream", "binary", 1, b"\xff"))
    kept.messages.append(Message(now()[0], "upstream", "ping", 0, b""))
    messages = of(kept)["entries"][0]["_webSocketMessages"]
    assert [(message["type"], message["data"]) for message in messages] == [("send", "a"), ("receive", "/w==")]
