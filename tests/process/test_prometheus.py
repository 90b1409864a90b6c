"""Debian's Prometheus scrapes the control plane over TLS, with the token from its file."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.stage.process import Process, eventually, free_port
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream
from tests.stage.visitor import get, once

CONFIGURATION = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: sluice
    scheme: https
    authorization: {{credentials_file: {token}}}
    tls_config: {{ca_file: {authority}}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
QUERY = 'http_dataplane_requests_total{host="metered.example",method="GET",code="200"}'


def ask(port: int, query: str) -> list[dict[str, Any]]:
    """What Prometheus answers to an instant query; nothing while it is not ready."""
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            result: list[dict[str, Any]] = json.load(response)["data"]["result"]
            return result
    except urllib.error.HTTPError as error:
        error.close()
        return []
    except OSError:
        return []


def test_prometheus_scrapes_and_answers(tmp_path: Path) -> None:
    upstream = Upstream()
    tunnel = Tunnel(tmp_path)
    port = free_port()
    prometheus = None
    try:
        tunnel.add_client("client", f"metered.example=http://127.0.0.1:{upstream.port}")
        for _ in range(7):
            assert once(tunnel.port, get("/x", "metered.example")).status == 200
        (tmp_path / "ca.pem").write_text(tunnel.authority)
        configuration = tmp_path / "prometheus.yml"
        configuration.write_text(
            CONFIGURATION.format(token=tunnel.token_file, authority=tmp_path / "ca.pem", port=tunnel.control_port)
        )
        prometheus = Process(
            "prometheus",
            ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={tmp_path / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}"],
            tmp_path,
        )  # fmt: skip
        found = eventually(lambda: ask(port, QUERY), "Prometheus has a sample", prometheus)
        assert [sample["value"][1] for sample in found] == ["7"]
        assert ask(port, 'up{job="sluice"}')[0]["value"][1] == "1"
        buckets = ask(port, 'http_dataplane_request_duration_seconds_bucket{host="metered.example",le="+Inf"}')
        assert [sample["value"][1] for sample in buckets] == ["7"]
        connected = ask(port, "http_controlplane_connected_gauge")
        assert [sample["value"][1] for sample in connected] == ["1"]
    finally:
        if prometheus is not None:
            prometheus.stop()
        tunnel.close()
        upstream.close()


def test_promtool_finds_nothing_but_the_names_we_keep(tmp_path: Path) -> None:
    upstream = Upstream()
    tunnel = Tunnel(tmp_path, plain=True)
    try:
        tunnel.add_client("client", f"http://127.0.0.1:{upstream.port}")
        assert once(tunnel.port, get("/x", "a.example")).status == 200
        status, _, body = tunnel.control("/metrics")
        assert status == 200
    finally:
        tunnel.close()
        upstream.close()
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, timeout=20, check=False)
    complaints = (checked.stdout + checked.stderr).decode().splitlines()
    # `gauge` in a name: people's dashboards know it so
    assert [line for line in complaints if "_gauge" not in line] == []
