"""Debian's Prometheus as a process of a test, and what it answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.stage.process import Process, free_port


class Prometheus:
    """Runs with the configuration in that file; its data lie beside it."""

    def __init__(self, configuration: Path) -> None:
        self.port = free_port()
        directory = configuration.parent
        self.process = Process(
            "prometheus",
            ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={directory / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            directory,
        )  # fmt: skip

    def close(self) -> None:
        self.process.stop()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The answer to an instant query; nothing while Prometheus is not ready."""
        result: list[dict[str, Any]] = self._get("query", query=expression).get("result", [])
        return result

    def rules(self) -> list[dict[str, Any]]:
        """Of all groups, as the API has them."""
        return [rule for group in self._get("rules").get("groups", []) for rule in group["rules"]]

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=5) as response:
                data: dict[str, Any] = json.load(response)["data"]
                return data
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode("utf-8", "replace")
            assert error.code != 400, f"{parameters}: {said}"
            return {}
        except OSError:
            return {}
