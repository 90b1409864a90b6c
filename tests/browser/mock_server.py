"""The API of the admin page with made-up answers, as a process of its own: PORT is printed when it listens.

python tests/browser/mock_server.py [--port N] [--clients N] [--names N] [--rate N] [--role server|client] [--hostile]
"""

from __future__ import annotations

import argparse
import json
import queue
import re
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.browser.mock_data import Fleet, exchange, stamp  # noqa: E402

WEB = ROOT / "web" / "admin"
TOKEN = "mock-token"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DETAILS = ("timing", "request", "response", "messages")
PERIODS = 20  # of the traffic, in a second


class Model:
    """What the server would know; changed by requests and by the traffic's thread."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.fleet = Fleet(options.clients, options.names, options.hostile)
        self.records: deque[dict[str, Any]] = deque(maxlen=500)
        self.inspected: dict[str, str | None] = {"*": None} if options.role == "client" or options.rate else {}
        self.listeners: list[queue.Queue[str]] = []
        self.number = 0
        self.log: deque[dict[str, Any]] = deque(maxlen=2000)
        for number in range(80):
            self.say(("info", "info", "warning", "error", "debug")[number % 5], f"line {number}: something happened")
        for _ in range(24 if options.clients else 0):
            self.exchange()

    def say(self, level: str, text: str) -> None:
        self.log.append(
            {"id": len(self.log) + 1, "at": stamp(), "level": level, "logger": "sluice.server", "text": text}
        )

    def exchange(self, replay_of: str | None = None, like: dict[str, Any] | None = None) -> dict[str, Any]:
        record = exchange(self.number, self.fleet, replay_of)
        if like is not None:
            record = {**like, "id": record["id"], "at": stamp(), "replayOf": replay_of}
        self.number += 1
        self.records.appendleft(record)
        return record

    def publish(self, kind: str, data: Any) -> None:
        text = f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        for listener in tuple(self.listeners):
            listener.put(text)

    def run(self) -> None:
        rate = self.options.rate
        period = 0
        while True:
            time.sleep(1 / PERIODS)
            period += 1
            for _ in range(int(rate * period / PERIODS) - int(rate * (period - 1) / PERIODS)):
                record = self.exchange()
                if self.inspected:
                    self.publish("request", summary(record))
            if period % PERIODS == 0:
                self.publish("sample", self.fleet.now(rate))


def summary(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in DETAILS}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, code: int, body: bytes = b"", content_type: str = "application/json", **headers: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", CSP)
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    @property
    def inside(self) -> bool:
        return self.model.options.role == "client" or "sluice_session=mock" in (self.headers.get("Cookie") or "")

    def json(self, value: Any, code: int = 200) -> None:
        self.answer(code, json.dumps(value).encode())

    def problem(self, code: int, title: str, detail: str) -> None:
        body = {"type": "about:blank", "title": title, "status": code, "detail": detail}
        self.answer(code, json.dumps(body).encode(), "application/problem+json")

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/":
            shell = (WEB / "index.html").read_bytes()
            if not self.inside:
                shell = shell.replace(b"<html ", b"<html data-log-in ", 1)
            self.answer(200, shell, "text/html; charset=utf-8")
        elif url.path.startswith("/assets/"):
            path = (WEB / url.path.removeprefix("/assets/")).resolve()
            if path.is_relative_to(WEB) and path.is_file():
                self.answer(200, path.read_bytes(), TYPES.get(path.suffix, "text/plain"))
            else:
                self.answer(404)
        else:
            self.dispatch("GET")

    def do_POST(self) -> None:
        self.dispatch("POST")

    def do_PUT(self) -> None:
        self.dispatch("PUT")

    def do_DELETE(self) -> None:
        self.dispatch("DELETE")

    def dispatch(self, method: str) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        url = urlsplit(self.path)
        if url.path == "/login":
            if body.get("token") == TOKEN:
                self.answer(200, b"{}", Set_Cookie="sluice_session=mock; HttpOnly; SameSite=Strict; Path=/")
            else:
                self.problem(401, "Unauthorized", "this token is refused")
            return
        if not self.inside:
            self.problem(401, "Unauthorized", "a token is needed")
            return
        if method != "GET" and self.headers.get("X-CSRF-Token") != "csrf":
            self.problem(403, "Forbidden", "X-CSRF-Token is missing")
            return
        if url.path == "/logout":
            self.answer(204, Set_Cookie="sluice_session=; Max-Age=0; Path=/")
            return
        path = url.path.removeprefix("/api/v1/")
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        for verb, pattern, name in ROUTES:
            match = re.fullmatch(pattern, path)
            if verb == method and match:
                more = {"body": body} if method in ("POST", "PUT") else {}
                getattr(self, name)(*map(unquote, match.groups()), **more)
                return
        self.problem(404, "Not Found", f"there is no {path}")

    def session(self) -> None:
        options = self.model.options
        self.json({"csrfToken": "csrf", "role": options.role, "mode": options.mode, "version": "0.1.0",
                   "hostname": "am1.example.net", "inspect": True})  # fmt: skip

    def overview(self) -> None:
        fleet, options = self.model.fleet, self.model.options
        findings = []
        if not fleet.clients:
            hint = "Start one where the services are. The admin page has the command: Add a client."
            findings.append({"level": "warning", "text": "No client is connected.", "hint": hint})
        elif not options.well:
            findings.append({"level": "warning", "text": "Upstreams that clients did not reach: http://127.0.0.1:3003.",
                             "hint": "Look whether these services run beside their clients."})  # fmt: skip
        info = {"version": "0.1.0", "sha": "3f2a9c1", "mode": options.mode, "startTime": stamp(280000),
                "hostname": "am1.example.net", "uptimeSeconds": 280000.0, "controlAddress": "0.0.0.0:8123",
                "dataAddress": "0.0.0.0:8000"}  # fmt: skip
        state = "warning" if findings else "ok"
        self.json({"info": info, "health": {"state": state, "findings": findings}, "now": fleet.now(options.rate)})

    def history(self) -> None:
        self.json(self.model.fleet.history(self.query.get("range", "5m"), self.model.options.rate))

    def clients(self) -> None:
        self.json({"clients": self.model.fleet.clients, "events": self.model.fleet.events})

    def evict(self, client_id: str) -> None:
        fleet = self.model.fleet
        fleet.clients = [client for client in fleet.clients if client["clientId"] != client_id]
        self.come_or_go("disconnected", client_id)
        self.answer(204)

    def tokens(self) -> None:
        self.json({"tokens": self.model.fleet.tokens, "problem": None})

    def add_token(self, body: dict[str, Any]) -> None:
        made = {"created": stamp(), "forward": False, "clients": 0, **body}
        self.model.fleet.tokens.append(made)
        self.json({"token": "sluice_" + "x" * 43, **made}, 201)

    def remove_token(self, name: str) -> None:
        fleet = self.model.fleet
        fleet.tokens = [token for token in fleet.tokens if token["name"] != name]
        self.answer(204)

    def come_or_go(self, kind: str, client_id: str) -> None:
        event = {"at": stamp(), "kind": kind, "clientId": client_id, "remoteAddr": "203.0.113.9:4000", "detail": ""}
        self.model.fleet.events.insert(0, event)
        self.model.publish("client", event)

    def routes(self) -> None:
        fleet, inspected = self.model.fleet, self.model.inspected
        for name in fleet.names:
            name["inspect"] = {"on": name["name"] in inspected or "*" in inspected, "until": None}
        self.json({"names": fleet.names, "ports": fleet.ports})

    def inspect(self) -> None:
        names = [{"name": name, "on": True, "until": until} for name, until in self.model.inspected.items()]
        size = sum(record["responseBytes"] for record in tuple(self.model.records))
        self.json({"names": names, "records": len(self.model.records), "bytes": size, "maxRecords": 500,
                   "maxBytes": 64 << 20, "maxBodyBytes": 1 << 20})  # fmt: skip

    def inspect_on(self, name: str, body: dict[str, Any]) -> None:
        until = self.model.inspected[name] = stamp(-body["seconds"])
        self.json({"name": name, "on": True, "until": until})

    def inspect_off(self, name: str) -> None:
        self.model.inspected.pop(name, None)
        self.answer(204)

    def requests(self) -> None:
        found = [summary(record) for record in tuple(self.model.records)]
        before = self.query.get("before")
        self.json({"requests": [item for item in found if not before or item["id"] < before][:500], "dropped": 0})

    def clear(self) -> None:
        self.model.records.clear()
        self.answer(204)

    def record(self, record_id: str) -> dict[str, Any] | None:
        for record in tuple(self.model.records):
            if record["id"] == record_id:
                return record
        self.problem(404, "Not Found", "this request is no longer kept")
        return None

    def request_one(self, record_id: str) -> None:
        record = self.record(record_id)
        if record is not None:
            revealed = json.dumps(record).replace("\\u2022\\u2022\\u2022\\u2022 (72 characters)", "Bearer hunter2")
            self.json(json.loads(revealed) if self.query.get("reveal") else record)

    def request_body(self, record_id: str, side: str) -> None:
        record = self.record(record_id)
        if record is not None:
            text = record[side]["body"]["text"]
            self.answer(200, text.encode() if text else bytes(range(256)) * 40, "application/octet-stream")

    def request_curl(self, record_id: str) -> None:
        record = self.record(record_id)
        if record is not None:
            self.answer(200, f"curl -X {record['method']} 'https://x{record['path']}'".encode(), "text/plain")

    def replay(self, record_id: str, body: dict[str, Any]) -> None:
        record = self.record(record_id)
        if record is None:
            return
        request = {**record["request"], "headers": body.get("headers", record["request"]["headers"])}
        if "body" in body:
            request["body"] = {**request["body"], "kind": "text", "text": body["body"]["text"]}
        like = {**record, "path": body.get("path", record["path"]), "method": body.get("method", record["method"])}
        made = self.model.exchange(record_id, {**like, "request": request})
        self.model.publish("request", summary(made))
        self.json({"id": made["id"]}, 201)

    def har(self) -> None:
        entries = [{"request": {"url": record["path"]}} for record in tuple(self.model.records)]
        text = json.dumps({"log": {"version": "1.2", "entries": entries}})
        self.answer(200, text.encode(), Content_Disposition="attachment; filename=requests.har")

    def log(self) -> None:
        self.json({"lines": list(self.model.log)})

    def settings(self) -> None:
        def setting(flag: str, value: Any, source: str, group: str, text: str) -> dict[str, Any]:
            return {"flag": flag, "value": value, "isDefault": source == "default", "source": source, "group": group,
                    "help": text}  # fmt: skip

        self.json({"settings": [
            setting("--port", 8000, "default", "Data plane", "Port of the public side."),
            setting("--token-file", "/etc/sluice/token", "flag", "Token", "File with the token that clients show."),
            setting("--token", "set", "file", "Token", "The token itself."),
            setting("--auto-tls-san", ["am1.example.net", "192.0.2.7"], "environment", "TLS", "Names and addresses."),
            setting("--idle-timeout", "75 s", "default", "Data plane", "For how long an idle connection is kept."),
            setting("--auto-tls", True, "default", "TLS", "Make an authority and a certificate."),
        ]})  # fmt: skip

    def certificates(self) -> None:
        def made(name: str, plane: str, days: float) -> dict[str, Any]:
            return {"name": name, "names": [name], "issuer": "Let's Encrypt R11", "expires": stamp(-86400 * days),
                    "source": "letsencrypt", "renews": stamp(-86400 * (days - 30)), "plane": plane,
                    "fingerprint": "3A:5F:" * 15 + "00:01"}  # fmt: skip

        late = {"name": "new.example.com", "failures": 3, "reason": "new.example.com: no address (dns)",
                "since": stamp(300), "nextTry": stamp(-3600), "expires": None}  # fmt: skip
        in_use = [made("am1.example.net", "control", 71), made("shop.example.com", "data", 6)]
        self.json({"certificates": in_use, "overdue": [late]})

    def add_client(self, body: dict[str, Any]) -> None:
        if any(not name["target"] for name in body["names"]):
            self.problem(400, "Bad Request", "a name needs a target such as http://127.0.0.1:3000")
            return
        client_id = "c" * 32
        url = "wss://am1.example.net:8123"
        shell = f"sluice http client --url {url} \\\n  --token-file /etc/sluice/token \\\n  --client-id {client_id}\n"
        commands = {"shell": shell, "systemd": f"[Service]\n{shell}", "docker": f"docker run {shell}",
                    "kubernetes": "apiVersion: v1"}  # fmt: skip
        print_ = "3A:5F:" * 15 + "00:01"
        file = f"{body['tokenName']}.token" if body.get("tokenName") else "token"
        self.json({"url": url, "fingerprint": print_, "clientId": client_id, "commands": commands, "notes": [],
                   "tokenFile": file})  # fmt: skip
        threading.Timer(1.0, self.come_or_go, ("connected", client_id)).start()

    def events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        mine: queue.Queue[str] = queue.Queue()
        self.model.listeners.append(mine)
        try:
            while True:
                self.wfile.write(mine.get().encode())
        except OSError:
            self.model.listeners.remove(mine)


ROUTES = [
    ("GET", "session", "session"), ("GET", "overview", "overview"), ("GET", "history", "history"),
    ("GET", "clients", "clients"), ("DELETE", "clients/([^/]+)", "evict"), ("GET", "routes", "routes"),
    ("GET", "inspect", "inspect"), ("PUT", "inspect/([^/]+)", "inspect_on"),
    ("DELETE", "inspect/([^/]+)", "inspect_off"),
    ("GET", "requests", "requests"), ("DELETE", "requests", "clear"), ("GET", "requests.har", "har"),
    ("GET", "requests/([^/]+)", "request_one"), ("GET", "requests/([^/]+)/body/(request|response)", "request_body"),
    ("GET", "requests/([^/]+)/curl", "request_curl"), ("POST", "requests/([^/]+)/replay", "replay"),
    ("GET", "log", "log"), ("GET", "settings", "settings"), ("GET", "certificates", "certificates"),
    ("GET", "tokens", "tokens"), ("POST", "tokens", "add_token"), ("DELETE", "tokens/([^/]+)", "remove_token"),
    ("POST", "add-client", "add_client"), ("GET", "events", "events"),
]  # fmt: skip


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # browsers hang up
            super().handle_error(request, client_address)


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("--port", 0), ("--clients", 6), ("--names", 14), ("--rate", 0)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--role", default="server")
    parser.add_argument("--mode", default="http+tcp")
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--well", action="store_true")
    Handler.model = model = Model(parser.parse_args())
    server = Server(("127.0.0.1", model.options.port), Handler)
    threading.Thread(target=model.run, daemon=True).start()
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
