"""Canned and generated data in the shapes of the API, for working on the page without a server. Hostile where asked."""

from __future__ import annotations

import base64
import json
import random
import struct
import time
import zlib
from datetime import datetime, timedelta, timezone
from typing import Any

ATTACK = "<img src=x onerror=\"window.attacked='{where}'\"><script>window.attacked='{where}'</script>"
SERIES = ("requests", "errors", "p50", "p95", "bytesIn", "bytesOut", "clients", "streams", "connections")
RANGES = {"5m": (1, 300), "1h": (10, 360), "6h": (60, 360), "24h": (300, 288)}
WORDS = ("shop", "blog", "photos", "grafana", "git", "wiki", "notes", "music", "api", "home", "cloud", "mail")
LONG = "/api/very/long/path/that/does/not/fit/into/any/list/at/all"
PATHS = ("/", "/api/orders?page=2", "/api/orders/81723/items", "/static/app.css", "/login", "/search?q=water+gate",
         "/webhooks/payment", "/img/logo.png", "/feed.xml", LONG)  # fmt: skip


def attack(where: str) -> str:
    return ATTACK.format(where=where)


def stamp(seconds_ago: float = 0) -> str:
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds_ago)).isoformat(timespec="microseconds")


def png() -> bytes:
    """A picture of 64 by 40 points."""
    rows = b"".join(b"\0" + b"".join(bytes((4 * x, 6 * y, 160)) for x in range(64)) for y in range(40))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 64, 40, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _serving(client: dict[str, Any], target: str, turn: bool) -> dict[str, Any]:
    return {"clientId": client["clientId"], "clientName": client["name"], "target": target, "next": turn}


class Fleet:
    """Clients, names and the traffic that they would have. The same for the same numbers."""

    def __init__(self, clients: int, names: int, hostile: bool) -> None:
        self.dice = random.Random(7)
        self.hostile = hostile
        self.clients = [self._client(number) for number in range(clients)]
        self.names = [self._name(number) for number in range(names if clients else 0)]
        for number, name in enumerate(self.names):
            owner = self.clients[number % clients]
            target = f"http://127.0.0.1:{3000 + number % 50}"
            name["clients"].append(_serving(owner, target, True))
            if number % 7 == 0 and clients > 1:
                name["clients"].append(_serving(self.clients[(number + 1) % clients], target, False))
            state = "failing" if number == 3 else "up"
            detail = "connection refused" if number == 3 else ""
            upstream = {"offer": name["name"], "target": target, "state": state, "detail": detail, "since": stamp(400)}
            owner["upstreams"].append(upstream)
        self.tokens = [
            {"name": "pi.attic", "created": stamp(86400),
             "names": [attack("token") if hostile else "*.home.example.com"], "ports": ["2222"], "forward": True,
             "clients": 2},
            {"name": "laptop", "created": stamp(900), "names": [], "ports": [], "forward": False, "clients": 0},
        ][: clients and 2]  # fmt: skip
        self.ports = [self._port(number) for number in range(min(4, clients))]
        kinds = ("connected", "disconnected", "connected", "refused")
        self.events = [
            {"at": stamp(60 * number + 20), "kind": kinds[number % 4], "clientId": client["clientId"],
             "name": client["name"], "remoteAddr": client["remoteAddr"],
             "detail": "" if number % 4 != 3 else "wrong token"}
            for number, client in enumerate(self.clients[:24])
        ]  # fmt: skip

    def _client(self, number: int) -> dict[str, Any]:
        name = ("pi-attic", "laptop-ada", "nas", "", "k8s-node-3")[number % 5]
        return {
            "clientId": f"{self.dice.getrandbits(128):032x}",
            "name": attack("client") if self.hostile and number == 0 else name and f"{name}-{number}",
            "token": None if number % 3 else "pi.attic",
            "remoteAddr": f"203.0.113.{number % 250 + 1}:{40000 + number}",
            "version": "0.1.0",
            "since": stamp(3600 * (number % 70) + 140),
            "roundTripSeconds": 0.004 + self.dice.random() * 0.09,
            "upstreams": [],
            "bytesIn": self.dice.randrange(10**9),
            "bytesOut": self.dice.randrange(10**11),
            "streamsIdle": 8,
            "streamsUsed": self.dice.randrange(12),
        }

    def _name(self, number: int) -> dict[str, Any]:
        word = f"{WORDS[number % len(WORDS)]}{number // len(WORDS) or ''}"
        name = attack("name") if self.hostile and number == 0 else f"{word}.example.com"
        busy = max(0.0, self.dice.gauss(4, 4))
        return {
            "name": name,
            "url": "javascript:window.attacked='url'" if self.hostile and number == 0 else f"https://{name}/",
            "clients": [],
            "requestsTotal": self.dice.randrange(200_000),
            "requestsPerSecond": round(busy, 2),
            "errorRate": (0.0, 0.0, 0.004, 0.08)[number % 4] if busy else None,
            "p95Seconds": self.dice.random() * 0.4 if busy else None,
            "allowIps": ["192.0.2.0/24"] if number % 9 == 4 else [],
            "certificate": {"name": name, "expires": stamp(-86400 * (5 + number % 80))} if number % 2 else None,
            "inspect": {"on": False, "until": None},
        }

    def _port(self, number: int) -> dict[str, Any]:
        client = self.clients[number % len(self.clients)]
        return {
            "port": (2222, 5432, 6379, 25565)[number],
            "clients": [_serving(client, f"127.0.0.1:{(22, 5432, 6379, 25565)[number]}", False) | {"open": 3}],
            "connectionsOpen": 3 * number,
            "connectionsTotal": 100 * number + 7,
            "bytesIn": 10**6 * number,
            "bytesOut": 3 * 10**7 * number,
        }

    def now(self, rate: float) -> dict[str, Any]:
        wave = 1 + 0.25 * random.random()
        return {
            "clients": len(self.clients), "names": len(self.names), "ports": len(self.ports),
            "requestsPerSecond": rate * wave, "errorsPerSecond": rate * 0.01 * random.random(),
            "p50Seconds": 0.011 * wave if rate else None, "p95Seconds": 0.074 * wave if rate else None,
            "bytesInPerSecond": rate * 900 * wave, "bytesOutPerSecond": rate * 21000 * wave,
            "streamsIdle": 8 * len(self.clients), "streamsUsed": int(rate * 0.1), "connections": int(rate * wave),
        }  # fmt: skip

    def history(self, name: str, rate: float) -> dict[str, Any]:
        step, size = RANGES[name]
        now, dice = time.time(), random.Random(step)
        columns: dict[str, list[float | None]] = {key: [] for key in SERIES}
        for number in range(size):
            known = number > size // 6
            wave = rate * (1 + 0.4 * dice.random() + 0.5 * (number % 60 > 40))
            values = (wave, wave * 0.01 * dice.random(), 0.012 + dice.random() / 300, 0.05 + dice.random() / 20,
                      wave * 900, wave * 21000, len(self.clients), wave / 10, wave)  # fmt: skip
            for key, value in zip(SERIES, values, strict=True):
                columns[key].append(round(value, 5) if known else None)
        return {"stepSeconds": step, "times": [now - (size - 1 - n) * step for n in range(size)], "series": columns}


def exchange(number: int, fleet: Fleet, replay_of: str | None = None) -> dict[str, Any]:
    """A whole record, of a kind that its number says."""
    name = fleet.names[number % len(fleet.names)] if fleet.names else {"name": "x", "clients": [{"clientId": "0"}]}
    kind = number % 8
    method = ("GET", "POST", "GET", "GET", "POST", "GET", "DELETE", "PUT")[kind]
    status = (200, 201, 304, 404, 200, 502, 204, 101)[kind]
    path = PATHS[number % len(PATHS)]
    path = path + attack("path") if fleet.hostile and kind == 0 else path
    request, response = _bodies(kind, fleet.hostile)
    socket = kind == 7
    seconds = None if socket else 0.003 + (number * 37 % 100) / 700
    record = {
        "id": f"{number:08d}", "at": stamp(), "name": name["name"], "method": "GET" if socket else method, "path": path,
        "status": status, "seconds": seconds, "clientId": name["clients"][0]["clientId"],
        "clientName": name["clients"][0].get("clientName", ""),
        "visitor": f"198.51.100.{number % 250}:{50000 + number % 9000}", "requestBytes": request["size"],
        "responseBytes": response["size"], "kind": "websocket" if socket else "http",
        "state": "open" if socket else "broken" if kind == 5 else "left" if kind == 2 else "done",
        "replayOf": replay_of, "timing": _timing(seconds, kind),
        "request": {"line": f"{method} {path} HTTP/1.1", "headers": _request_headers(fleet.hostile), "body": request},
        "response": {"line": f"HTTP/1.1 {status} Fine", "headers": [["Content-Type", response["contentType"]],
                     ["Set-Cookie", "•••• (41 characters)"], ["Cache-Control", "no-store"]], "body": response},
        "messages": _messages(fleet.hostile) if socket else [],
    }  # fmt: skip
    return record


def _timing(seconds: float | None, kind: int) -> dict[str, float | None]:
    told = seconds is not None and kind != 4
    return {
        "waitSeconds": 0.0004, "tunnelSeconds": 0.021 if told else None, "upstreamSeconds": seconds if told else None,
        "answerSeconds": 0.0215 if seconds is None else seconds + 0.021, "transferSeconds": 0.004,
    }  # fmt: skip


def _request_headers(hostile: bool) -> list[list[str]]:
    headers = [
        ["Host", "shop.example.com"], ["User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"],
        ["Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
        ["Authorization", "•••• (72 characters)"], ["Cookie", "•••• (512 characters)"],
    ]  # fmt: skip
    return [*headers, ["X-Attack", attack("header")]] if hostile else headers


def _body(kind: str, content_type: str, data: bytes, fields: list[list[str]] | None = None) -> dict[str, Any]:
    text = None if kind in ("image", "binary", "none") else data.decode()
    return {
        "size": len(data), "captured": len(data), "truncated": False, "contentType": content_type,
        "encoding": "gzip" if kind == "json" else None, "kind": kind, "text": text,
        "base64": None if text is not None else base64.b64encode(data).decode(), "fields": fields,
    }  # fmt: skip


def _bodies(kind: int, hostile: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    mark = attack("body") if hostile else "Fine."
    items = [{"sku": f"A-{n}", "count": n, "price": 9.5 * n} for n in range(12)]
    order = {"id": 81723, "paid": True, "note": mark, "total": 129.9, "customer": {"name": "Ada", "tags": ["new"]},
             "items": items, "shippedAt": None}  # fmt: skip
    none = _body("none", "", b"")
    tree = _body("json", "application/json", json.dumps(order, indent=2).encode())
    page = f"<!doctype html><title>Shop</title><h1>Hello</h1>{attack('html') if hostile else ''}"
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" onload="window.attacked=1">{mark}</svg>'
    form = _body("form", "application/x-www-form-urlencoded", b"user=ada&password=x",
                 [["user", mark], ["password", "•••• (12 characters)"]])  # fmt: skip
    requests = {1: tree, 4: form, 7: none}
    responses = {
        0: _body("html", "text/html; charset=utf-8", page.encode()),
        1: tree,
        2: _body("image", "image/png", png()),
        3: _body("text", "text/plain", b"nothing here\n"),
        4: _body("image", "image/svg+xml", drawing.encode()),
        5: _body("binary", "application/octet-stream", bytes(range(256)) * 40),
    }
    return requests.get(kind, none), responses.get(kind, none)


def _messages(hostile: bool) -> list[dict[str, Any]]:
    found = []
    for number in range(30):
        binary = number % 9 == 5
        text = attack("message") if hostile and number == 0 else json.dumps({"type": "tick", "number": number})
        found.append(
            {"at": stamp(30 - number), "direction": "visitor" if number % 3 == 0 else "upstream",
             "kind": "binary" if binary else "ping" if number % 10 == 9 else "text",
             "size": 16 if binary else len(text), "text": None if binary else text,
             "base64": base64.b64encode(bytes(range(16))).decode() if binary else None}
        )  # fmt: skip
    return found
