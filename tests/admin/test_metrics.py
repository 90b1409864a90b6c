"""Names, labels and numbers of a scrape, and that a large one does not hold up visitors."""

import gzip
import re
import shutil
import subprocess
from typing import Any

import gevent
import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from appliance.admin import metrics
from appliance.tunnel.counters import ANY_REFUSALS, BUCKETS, HTTP_REFUSALS
from tests.stage.material import material

OPENMETRICS = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;q=0.2"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(client: FlaskClient, **headers: str) -> str:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return answer.text


def samples(client: FlaskClient) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(scrape(client))
        for sample in family.samples
    }


def value(found: Samples, name: str, /, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


@pytest.fixture
def busy(state: Any, session: Any) -> Any:
    """A state with something in every number."""
    state.connected = [session, session]
    for seconds in (0.0005, 0.003, 0.003, 100.0):
        state.http.observe("example.com", "GET", 200, seconds, 0.0005)
    state.http.observe("", "BREW", 502, 0.25)
    state.http.bytes_in, state.http.bytes_out = 1000, 5000
    state.http.connections_open, state.http.connections_total = 3, 40
    state.http.refuse("no route")
    state.control.count("/connect", 101)
    state.control.count("/wp-login.php", 401)
    state.control.reconnects = 2
    state.guard.denied = 5
    state.in_use = [
        ("control", material("vm", "localhost")),
        ("data", material("a.example")),
        ("data", material("a.example", "b.example", expires=1.9e9)),
        ("data", material()),
    ]
    return state


def test_numbers_come_out_under_their_names(busy: Any, authorized: FlaskClient) -> None:
    found = samples(authorized)
    assert value(found, "http_controlplane_connected_gauge") == 2
    assert value(found, "http_controlplane_requests_total", code="101", path="/connect") == 1
    assert value(found, "http_controlplane_requests_total", code="401", path="other") == 1
    assert value(found, "http_dataplane_requests_total", code="200", host="example.com", method="GET") == 4
    assert value(found, "http_dataplane_requests_total", code="502", host="*", method="OTHER") == 1
    assert value(found, "sluice_build_info", version="0.1.0", sha="3f2a9c1", mode="http") == 1
    assert value(found, "sluice_streams", state="idle") == 16
    assert value(found, "sluice_streams", state="used") == 4
    assert value(found, "sluice_reconnects_total") == 2
    assert value(found, "sluice_controlplane_denied_total") == 5
    assert value(found, "sluice_dataplane_bytes_total", direction="in") == 1000
    assert value(found, "sluice_dataplane_bytes_total", direction="out") == 5000
    assert value(found, "sluice_dataplane_connections_open") == 3
    assert value(found, "sluice_dataplane_connections_total") == 40
    assert value(found, "sluice_dataplane_refused_total", reason="no route") == 1
    expiry = "certificate_expiry_timestamp_seconds"
    assert value(found, expiry, name="vm", plane="control") == 1.8e9
    assert value(found, expiry, name="a.example", plane="data") == 1.9e9  # of two the one that is in use
    assert value(found, expiry, name="(no name)", plane="data") == 1.8e9


def test_the_histogram_is_cumulative_and_agrees_with_the_counter(busy: Any, authorized: FlaskClient) -> None:
    found = samples(authorized)
    name, labels = (
        "http_dataplane_request_duration_seconds",
        {"code": "200", "host": "example.com", "method": "GET"},
    )
    buckets = [value(found, name + "_bucket", le=str(bound), **labels) for bound in BUCKETS]
    assert buckets == sorted(buckets)
    assert value(found, name + "_bucket", le="0.001", **labels) == 1
    assert value(found, name + "_bucket", le="0.0025", **labels) == 1
    assert value(found, name + "_bucket", le="0.005", **labels) == 3
    assert value(found, name + "_bucket", le="60.0", **labels) == 3
    assert value(found, name + "_bucket", le="+Inf", **labels) == 4
    assert value(found, name + "_count", **labels) == 4
    assert value(found, name + "_sum", **labels) == pytest.approx(100.0065)


def test_answers_that_begin_soon_are_not_slow_for_lasting_long(busy: Any, authorized: FlaskClient) -> None:
    found = samples(authorized)
    name = "sluice_http_first_byte_seconds"
    assert value(found, name + "_bucket", host="example.com", le="0.001") == 4
    assert value(found, name + "_count", host="example.com") == 4
    assert value(found, name + "_sum", host="example.com") == pytest.approx(0.002)


def test_refusals_are_there_before_the_first(state: Any, authorized: FlaskClient) -> None:
    """Else Prometheus sees no increase from nothing to some."""
    found = samples(authorized)
    reasons = {dict(labels)["reason"] for name, labels in found if name == "sluice_dataplane_refused_total"}
    assert reasons == {*ANY_REFUSALS, *HTTP_REFUSALS}
    assert value(found, "http_controlplane_requests_total", code="401", path="/connect") == 0
    state.mode = "http+tcp"
    state.http.refuse("loop")
    state.tcp.refuse("loop")
    found = samples(authorized)
    assert value(found, "sluice_dataplane_refused_total", reason="loop") == 2
    assert value(found, "sluice_dataplane_refused_total", reason="target not reached") == 0


def test_process_platform_and_collector_are_there(authorized: FlaskClient) -> None:
    names = {name for name, _ in samples(authorized)}
    assert {"process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"} <= names
    assert {"python_info", "python_gc_collections_total"} <= names


def test_a_host_name_cannot_break_the_format(state: Any, authorized: FlaskClient) -> None:
    host = 'quo"te\\back\nline'
    state.http.observe(host, "GET", 200, 0.1)
    found = samples(authorized)
    assert value(found, "http_dataplane_requests_total", code="200", host=host, method="GET") == 1


def test_promtool_complains_of_nothing_but_the_old_names(ports: Any, authorized: FlaskClient) -> None:
    text = scrape(authorized)
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        assert (kind == "counter") == name.endswith("_total"), name
        assert f"# HELP {name} " in text
    promtool = shutil.which("promtool")
    if promtool is not None:  # Debian's package "prometheus"; the rules above are those that matter
        checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
        complaints = (checked.stdout + checked.stderr).splitlines()
        assert [line for line in complaints if "_gauge metric name" not in line] == []
        assert len(complaints) == 3  # of either control plane's clients, and of connections by port


def test_openmetrics_for_those_who_ask(ports: Any, authorized: FlaskClient) -> None:
    answer = authorized.get("/metrics", headers={"Accept": OPENMETRICS})
    assert answer.mimetype == "application/openmetrics-text"
    assert answer.text.endswith("# EOF\n")
    families = {family.name: family for family in parse_openmetrics(answer.text)}
    assert families["http_dataplane_requests"].type == "counter"
    assert families["http_dataplane_request_duration_seconds"].type == "histogram"
    assert families["tcp_dataplane_connections"].type == "counter"
    assert families["tcp_dataplane_connections_gauge"].type == "gauge"
    assert families["sluice_build"].type == "info"


@pytest.mark.parametrize(
    "accept", ["", "*/*", "text/html", "text/plain;version=abc", "application/openmetrics-text;version=x"]
)
def test_others_get_plain_text(authorized: FlaskClient, accept: str) -> None:
    answer = authorized.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4; charset=utf-8")


def test_gzip_for_those_who_take_it(busy: Any, authorized: FlaskClient) -> None:
    answer = authorized.get("/metrics", headers={"Accept-Encoding": "gzip, deflate"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert b"http_dataplane_requests_total" in gzip.decompress(answer.data)


def test_single_metrics_can_be_picked(busy: Any, authorized: FlaskClient) -> None:
    answer = authorized.get("/metrics?name[]=http_dataplane_requests_total&name[]=sluice_streams")
    names = set(re.findall(r"^(\w+)", answer.text, re.MULTILINE))
    assert names == {"http_dataplane_requests_total", "sluice_streams"}


@pytest.fixture
def ports(busy: Any) -> Any:
    """A server of both kinds: what `busy` has, and two ports."""
    busy.mode = "http+tcp"
    ssh, idle = busy.tcp.port(2222), busy.tcp.port(5432)
    ssh.open, ssh.total, ssh.bytes_in, ssh.bytes_out = 4, 50, 300, 7000
    idle.total = 1
    busy.tcp.refuse("no stream")
    busy.tcp.refuse("address not allowed")
    busy.http.refuse("address not allowed")
    return busy


def test_ports_come_out_under_their_names(ports: Any, authorized: FlaskClient) -> None:
    found = samples(authorized)
    assert value(found, "tcp_dataplane_connections_gauge", port="2222") == 4
    assert value(found, "tcp_dataplane_connections_gauge", port="5432") == 0
    assert value(found, "tcp_dataplane_connections_total", port="2222") == 50
    assert value(found, "tcp_dataplane_connections_total", port="5432") == 1
    assert value(found, "sluice_tcp_bytes_total", direction="in", port="2222") == 300
    assert value(found, "sluice_tcp_bytes_total", direction="out", port="2222") == 7000
    assert value(found, "sluice_tcp_bytes_total", direction="out", port="5432") == 0


def test_what_counts_visitors_of_both_kinds(ports: Any, authorized: FlaskClient) -> None:
    found = samples(authorized)
    assert value(found, "sluice_dataplane_bytes_total", direction="in") == 1300
    assert value(found, "sluice_dataplane_bytes_total", direction="out") == 12000
    assert value(found, "sluice_dataplane_connections_open") == 7
    assert value(found, "sluice_dataplane_connections_total") == 91
    assert value(found, "sluice_dataplane_refused_total", reason="no route") == 1
    assert value(found, "sluice_dataplane_refused_total", reason="no stream") == 1
    assert value(found, "sluice_dataplane_refused_total", reason="address not allowed") == 2


@pytest.mark.parametrize(("mode", "planes"), [("http", {"http"}), ("tcp", {"tcp"}), ("http+tcp", {"http", "tcp"})])
def test_a_server_has_the_families_of_its_planes(ports: Any, make_client: Any, mode: str, planes: set[str]) -> None:
    ports.mode = mode
    found = samples(make_client(ports))
    theirs = {
        "http": {"http_dataplane_requests_total", "http_dataplane_request_duration_seconds_bucket"},
        "tcp": {"tcp_dataplane_connections_gauge", "tcp_dataplane_connections_total", "sluice_tcp_bytes_total"},
    }
    names = {name for name, _ in found}
    for plane, own in theirs.items():
        assert own <= names if plane in planes else not own & names
        assert any(name.startswith(f"{plane}_") for name in names) == (plane in planes)
    for plane in planes:
        assert value(found, f"{plane}_controlplane_connected_gauge") == 2
        assert value(found, f"{plane}_controlplane_requests_total", code="101", path="/connect") == 1
    assert value(found, "sluice_build_info", version="0.1.0", sha="3f2a9c1", mode=mode) == 1


def test_others_get_their_turn_during_a_scrape_of_many_ports(
    state: Any, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SERIES_AT_ONCE", 10)
    state.mode = "tcp"
    for number in range(1024, 1224):
        state.tcp.port(number)
    client = make_client(state)
    turns = 0

    def visitor() -> None:
        nonlocal turns
        while True:
            turns += 1
            state.tcp.port(40_000 + turns)  # which must not disturb the scrape
            gevent.sleep(0)

    visiting = gevent.spawn(visitor)
    assert scrape(client).count("tcp_dataplane_connections_total{") >= 200
    visiting.kill()
    assert turns >= 3 * 200 // 10


def test_others_get_their_turn_during_a_large_scrape(
    state: Any, authorized: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SERIES_AT_ONCE", 10)
    for number in range(200):
        state.http.observe(f"host-{number}.example.com", "GET", 200, 0.1)
    seen: list[str] = []

    def visitor() -> None:
        for number in range(5):
            seen.append(f"visitor {number}")
            # A new series while the others are being written must not disturb the scrape.
            state.http.observe(f"late-{number}.example.com", "GET", 200, 0.1)
            gevent.sleep(0)

    def scraper() -> None:
        text = scrape(authorized)
        seen.append("scraped")
        assert text.count("http_dataplane_requests_total{") >= 200

    gevent.joinall([gevent.spawn(scraper), gevent.spawn(visitor)], raise_error=True, timeout=30)
    assert seen == [*(f"visitor {number}" for number in range(5)), "scraped"]
