"""Debian's Chromium without a window, with a home of its own in whose list of authorities are the tests' alone."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from tests.stage.process import PATIENCE_SECONDS, Process, eventually, run

# Nothing may be asked of anybody but the servers of the test.
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync", "--disable-extensions"),
    *("--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update"),
    *("--disable-default-apps", "--disable-domain-reliability", "--disable-dev-shm-usage"),
    "--disable-features=OptimizationHints,MediaRouter,HttpsUpgrades,HttpsFirstBalancedMode",
)


class Chromium:
    """`hosts`: where each pattern of names and ports leads, such as {"*:443": "127.0.0.1:8443"}."""

    def __init__(self, directory: Path, authority: Path | None, hosts: dict[str, str]) -> None:
        home, profile = directory / "home", directory / "profile"
        database = home / ".pki" / "nssdb"
        database.mkdir(parents=True)
        run("certutil", "-d", f"sql:{database}", "-N", "--empty-password")
        if authority is not None:
            run("certutil", "-d", f"sql:{database}", "-A", "-t", "C,,", "-n", "tests", "-i", str(authority))
        rules = ",".join(f"MAP {pattern} {place}" for pattern, place in hosts.items())
        command = ["chromium", *QUIET, f"--user-data-dir={profile}", f"--host-resolver-rules={rules}"]
        environ = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home), "no_proxy": "*"}
        self.process = Process("chromium", [*command, "--remote-debugging-port=0", "about:blank"], directory, environ)
        try:
            found = eventually(
                lambda: re.search(r"DevTools listening on (ws://\S+)", self.process.output), "it is up", self.process
            )
            self._stack = contextlib.ExitStack()
            self._connection = self._stack.enter_context(connect(found[1], max_size=None, proxy=None))
        except BaseException:
            self.process.stop()
            raise
        self._number = 0
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.process.stop()

    def open(self, url: str) -> Page:
        """A new tab that has loaded this page, or shows why it cannot."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Page"):
            self._ask(f"{domain}.enable", session)
        self._events.clear()
        error = self._ask("Page.navigate", session, url=url).get("errorText", "")
        self._until(lambda event: event["method"] == "Page.loadEventFired")
        document = self._ask("Runtime.evaluate", session, expression="document.documentElement.innerText")
        answers = [
            event["params"]["response"]
            for event in self._events
            if event["method"] == "Network.responseReceived" and event["params"]["type"] == "Document"
        ]
        self._ask("Target.closeTarget", targetId=target)
        return Page(error, str(document["result"].get("value", "")), answers[-1] if answers else {})

    def _ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._connection.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(self._connection.recv(PATIENCE_SECONDS))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def _until(self, wanted: Any) -> None:
        while not any(wanted(event) for event in self._events):
            self._events.append(json.loads(self._connection.recv(PATIENCE_SECONDS)))


class Page:
    """`error`: Chromium's name for what went wrong, or ""; `text`: what a person reads; `security`: of its TLS."""

    def __init__(self, error: str, text: str, response: dict[str, Any]) -> None:
        self.error = error
        self.text = text
        self.url: str = response.get("url", "")
        self.state: str = response.get("securityState", "")
        self.security: dict[str, Any] = response.get("securityDetails", {})

    @property
    def names(self) -> set[str]:
        """Those of the certificate."""
        return set(self.security.get("sanList", ()))
