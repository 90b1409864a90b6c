"""Debian's Prometheus scrapes the control plane over TLS, with the token from its file."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.stage.process import eventually, free_port
from tests.stage.prometheus import Prometheus
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


def test_prometheus_scrapes_and_answers(tmp_path: Path) -> None:
    upstream = Upstream()
    tunnel = Tunnel(tmp_path, mode="")
    door = free_port()
    prometheus = None
    try:
        names = f"metered.example=http://127.0.0.1:{upstream.port}"
        tunnel.add_client("client", names, f"{door}=127.0.0.1:{upstream.port}")
        for _ in range(7):
            assert once(tunnel.port, get("/x", "metered.example")).status == 200
        for _ in range(3):
            assert once(door, get("/x", "metered.example")).status == 200
        (tmp_path / "ca.pem").write_text(tunnel.authority)
        configuration = tmp_path / "prometheus.yml"
        configuration.write_text(
            CONFIGURATION.format(token=tunnel.token_file, authority=tmp_path / "ca.pem", port=tunnel.control_port)
        )
        prometheus = Prometheus(configuration)
        found = eventually(lambda: prometheus.query(QUERY), "Prometheus has a sample", prometheus.process)
        assert [sample["value"][1] for sample in found] == ["7"]
        assert prometheus.query('up{job="sluice"}')[0]["value"][1] == "1"
        buckets = prometheus.query('http_dataplane_request_duration_seconds_bucket{host="metered.example",le="+Inf"}')
        assert [sample["value"][1] for sample in buckets] == ["7"]
        for plane in ("http", "tcp"):
            connected = prometheus.query(f"{plane}_controlplane_connected_gauge")
            assert [sample["value"][1] for sample in connected] == ["1"]
        by_port = prometheus.query(f'tcp_dataplane_connections_total{{port="{door}"}}')
        assert [sample["value"][1] for sample in by_port] == ["3"]
    finally:
        if prometheus is not None:
            prometheus.close()
        tunnel.close()
        upstream.close()


def test_promtool_finds_nothing_but_the_names_we_keep(tmp_path: Path) -> None:
    upstream = Upstream()
    tunnel, door = Tunnel(tmp_path, plain=True, mode=""), free_port()
    try:
        tunnel.add_client("client", f"http://127.0.0.1:{upstream.port}", f"{door}=127.0.0.1:{upstream.port}")
        assert once(tunnel.port, get("/x", "a.example")).status == 200
        assert once(door, get("/x", "a.example")).status == 200
        status, _, body = tunnel.control("/metrics")
        assert status == 200
    finally:
        tunnel.close()
        upstream.close()
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, timeout=20, check=False)
    complaints = (checked.stdout + checked.stderr).decode().splitlines()
    # `gauge` in a name: people's dashboards know it so
    assert [line for line in complaints if "_gauge" not in line] == []
    assert len(complaints) == 3
