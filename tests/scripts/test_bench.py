"""The pure parts of scripts/bench: what is read from wrk and /proc, and what is made of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from benchmarks import machine, page, report, tables, targets  # noqa: E402
from benchmarks.contestants import CONTESTANTS  # noqa: E402
from benchmarks.contestants.relays import haproxy_config  # noqa: E402
from benchmarks.contestants.sluice import Sluice, SluiceTcp, SluiceTcpPlain  # noqa: E402
from benchmarks.contestants.ssh import sshd_config  # noqa: E402
from benchmarks.lab import nginx_config  # noqa: E402
from benchmarks.load import parse_milliseconds, parse_wrk  # noqa: E402
from benchmarks.measurements import GIB, MEASUREMENTS, Settings  # noqa: E402
from benchmarks.process import LabError, Memory, Stat, family, parse_memory, parse_stat  # noqa: E402
from benchmarks.rounds import START, Failure, Results, chosen_measurements, in_turn  # noqa: E402

WRK = """Running 2s test @ http://127.0.0.1:24000/small
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.33ms    6.87ms  44.60ms   93.36%
    Req/Sec    43.74k     4.98k   50.99k    65.00%
  Latency Distribution
     50%  719.00us
     75%    1.02ms
     90%    1.79ms
     99%    1.05s
  87047 requests in 2.00s, 103.18MB read
Requests/sec:  43441.80
Transfer/sec:     51.49MB
"""
WRK_ERRORS = WRK.replace(
    "Requests/sec",
    "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\nRequests/sec",
)


def stat_line(pid: int, parent: int, name: str = "python") -> str:
    return f"{pid} ({name}) S {parent} 1 1 0 -1 4194304 100 0 3 0 111 22 3000 40000 20 0 1 0 987654 1 2 3"


class TestWrk:
    def test_reads_what_a_run_prints(self) -> None:
        result = parse_wrk(WRK)
        assert (result.requests, result.requests_per_second) == (87047, 43441.80)
        assert (result.p50_ms, result.p99_ms) == (pytest.approx(0.719), pytest.approx(1050))
        assert result.errors == 0

    def test_adds_up_all_kinds_of_errors(self) -> None:
        assert parse_wrk(WRK_ERRORS).errors == 54321

    @pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1", WRK.replace("     99%    1.05s\n", "")])
    def test_anything_else_is_an_error(self, text: str) -> None:
        with pytest.raises(LabError, match="unknown"):
            parse_wrk(text)

    @pytest.mark.parametrize(
        ("text", "milliseconds"), [("250.00us", 0.25), ("1.50ms", 1.5), ("2.00s", 2000), ("1.50m", 90_000)]
    )
    def test_units_of_time(self, text: str, milliseconds: float) -> None:
        assert parse_milliseconds(text) == pytest.approx(milliseconds)

    @pytest.mark.parametrize("text", ["12", "us", "1.0parsec"])
    def test_unknown_units_are_an_error(self, text: str) -> None:
        with pytest.raises(LabError):
            parse_milliseconds(text)


class TestProc:
    def test_cpu_is_user_and_system_of_the_process_and_of_its_ended_children(self) -> None:
        assert parse_stat(stat_line(42, 7)) == Stat(42, 7, 111 + 22 + 3000 + 40000, 987654)

    @pytest.mark.parametrize("name", ["sshd: x [priv]", "a) S 1 (b", "(())", ""])
    def test_a_name_may_hold_blanks_and_brackets(self, name: str) -> None:
        assert parse_stat(stat_line(42, 7, name)) == parse_stat(stat_line(42, 7))

    def test_a_family_is_all_that_descend_from_the_roots(self) -> None:
        stats = {
            pid: Stat(pid, parent, 0, 0) for pid, parent in [(1, 0), (10, 1), (11, 10), (12, 11), (20, 1), (21, 20)]
        }
        assert {stat.pid for stat in family([10], stats)} == {10, 11, 12}
        assert {stat.pid for stat in family([10, 11, 21], stats)} == {10, 11, 12, 21}
        assert family([99], stats) == []

    def test_memory_with_shared_pages_shared_out(self) -> None:
        text = "55e0-7ffc ---p 00000000 00:00 0  [rollup]\nRss:   1728 kB\nPss:    401 kB\nPss_Dirty:  116 kB\n"
        assert parse_memory(text) == Memory(1728 * 1024, 401 * 1024)

    def test_memory_where_only_the_status_may_be_read(self) -> None:
        assert parse_memory("Name:\tsshd\nVmHWM:\t 9000 kB\nVmRSS:\t 8000 kB\n") == Memory(8000 * 1024, None)
        assert parse_memory("Name:\tzombie\n") == Memory(0, None)


class TestMachine:
    def test_versions_as_programs_print_them(self) -> None:
        assert machine.version_of("nginx version: nginx/1.22.1\n") == "1.22.1"
        assert machine.version_of("OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19") == "9.2p1"
        assert machine.version_of("usage: thing") == "unknown"

    def test_the_processor_is_named(self) -> None:
        assert machine.cpu_model("vendor_id : X\nmodel\t\t: 2\nmodel name\t: Some CPU @ 2 GHz\n") == "Some CPU @ 2 GHz"
        assert machine.cpu_model("no such line")

    def test_missing_programs_and_their_packages(self) -> None:
        found, missing = machine.find_programs(["sh", "no-such-program-anywhere"])
        assert (list(found), missing) == (["sh"], ["no-such-program-anywhere"])
        assert machine.packages_of(["ssh", "ssh-keygen", "sshd"]) == ["openssh-client", "openssh-server"]
        assert {program for kind in CONTESTANTS.values() for program in kind.programs} <= machine.PACKAGES.keys()


def test_all_configurations_listen_on_loopback_only() -> None:
    nginx = nginx_config(20001, 20002, Path("content"))
    assert "listen 127.0.0.1:20001 " in nginx and nginx.count("listen ") == 1
    haproxy = haproxy_config(20003, 20001)
    assert "bind 127.0.0.1:20003 " in haproxy and haproxy.count("bind ") == 1
    assert "ListenAddress 127.0.0.1\n" in sshd_config(20004, Path("keys"))
    assert "PasswordAuthentication no" in sshd_config(20004, Path("keys"))


@pytest.mark.parametrize("kind", [SluiceTcp, SluiceTcpPlain])
def test_sluice_tcp_has_the_port_of_its_client_only(kind: type[Sluice]) -> None:
    contestant = kind(SimpleNamespace(upstream_port=20001))  # type: ignore[arg-type]
    contestant.port = 20005
    server = contestant._server_flags(20006, Path("token"), Path("tls"))
    client = contestant._client_flags(20006, Path("token"))
    assert server[:2] == ["tcp", "server"] and client[:2] == ["tcp", "client"]
    assert "20005" not in server and "--port" not in server
    assert client[client.index("--upstream") + 1] == "20005=127.0.0.1:20001"
    assert ("--auto-tls=false" in server) is ("--auto-tls=false" in client) is (not kind.tls)


class TestChoice:
    def test_everything_by_default(self) -> None:
        assert chosen_measurements([]) == list(MEASUREMENTS)

    def test_by_group_or_name_in_the_order_of_the_run(self) -> None:
        names = [m.name for m in chosen_measurements(["bulk", "small-1"])]
        assert names == ["small-1", "bulk-1", "bulk-4"]

    def test_no_contestant_is_always_first(self) -> None:
        assert in_turn(["a", "b", "c", "d"], 1) == [["a", "b", "c", "d"]]
        assert in_turn(["a", "b", "c", "d"], 2) == [["a", "b", "c", "d"], ["c", "d", "a", "b"]]
        orders = in_turn(["a", "b", "c"], 3)
        assert [order[0] for order in orders] == ["a", "b", "c"]
        assert all(sorted(order) == ["a", "b", "c"] for order in orders)

    def test_every_measurement_can_be_shown(self) -> None:
        for measurement in MEASUREMENTS:
            assert measurement.name == "memory" or tables.COLUMNS[measurement.group]


def requests_sample(rate: float, cpu: float | None = None, errors: int = 0) -> dict[str, float]:
    sample = {"requests_per_second": rate, "p50_ms": 0.5, "p99_ms": 2.25, "errors": errors}
    return sample if cpu is None else {**sample, "cpu_us_per_request": cpu, "server_cpu_us_per_request": cpu / 2}


def memory_sample(idle: float, loaded: float, transferred: float) -> dict[str, float]:
    moments = {"idle": idle, "loaded": loaded, "transferred": transferred, "in_flight": 99.0}
    sample = {f"server_{moment}_rss_mib": value for moment, value in moments.items()}
    return {**sample, **{f"client_{moment}_rss_mib": value / 2 for moment, value in moments.items()}}


@pytest.fixture
def results() -> Results:
    made = Results()
    for rate, cpu in ((4000.0, 30.0), (5000.0, 20.0), (9000.0, 25.0)):
        made.add("small-32", "nginx", requests_sample(rate * 10))
        made.add("small-32", "ssh", requests_sample(rate, cpu))
        made.add("small-32", "ssh-session", requests_sample(rate * 4, cpu))
        made.add("small-32", "sluice", requests_sample(rate * 2, cpu * 4))
    made.add("mixed", "sluice", {**requests_sample(8000), "bulk_mb_per_second": 49.9})
    made.add("memory", "sluice", memory_sample(50, 52, 63))
    return made


def test_a_failure_ends_what_it_concerns(results: Results) -> None:
    results.failures = [Failure("haproxy", START, "port taken"), Failure("ssh", "bulk-1", "cut")]
    assert results.given_up("small-1", "haproxy") and results.given_up(START, "haproxy")
    assert results.given_up("bulk-1", "ssh")
    assert not results.given_up("bulk-4", "ssh") and not results.given_up(START, "ssh")


class TestTables:
    def test_a_figure_is_the_median_with_least_and_most(self, results: Results) -> None:
        table = tables.tables(results, Settings())[0]
        assert table.title == "Small requests, 32 connections"
        assert table.rows[1][:3] == ["ssh -N -R", "5,000 (4,000-9,000)", "1.00"]
        assert table.rows[3][:3] == ["sluice (TLS)", "10,000 (8,000-18,000)", "2.00"]

    def test_what_was_not_measured_is_a_dash_and_an_empty_column_is_left_out(self, results: Results) -> None:
        table = tables.tables(results, Settings())[0]
        nginx = dict(zip(table.header, table.rows[0], strict=True))
        assert nginx["CPU µs/request"] == nginx["CPU × ssh"] == "-"
        assert "client" not in table.header and "errors" not in table.header

    def test_errors_are_shown_where_there_were_any(self, results: Results) -> None:
        results.add("mixed", "ssh", {**requests_sample(100, errors=7), "bulk_mb_per_second": 3})
        mixed = next(table for table in tables.tables(results, Settings()) if "limited" in table.title)
        assert mixed.header[-1] == "errors"
        assert [row[-1] for row in mixed.rows] == ["0", "7"]

    def test_no_ratio_without_ssh(self) -> None:
        alone = Results()
        alone.add("small-1", "sluice", requests_sample(100, 50))
        assert not any("ssh" in title for title in tables.tables(alone, Settings())[0].header)

    def test_memory_has_a_line_for_each_part(self, results: Results) -> None:
        table = tables.tables(results, Settings(in_flight=1000))[-1]
        assert table.header == ["", "idle", "after load", "after 4 GiB", "1,000 in flight"]
        assert table.rows[0] == ["sluice (TLS), server", "50.0", "52.0", "63.0", "99.0"]
        assert table.rows[1][0] == "sluice (TLS), client"
        quick = tables.tables(results, Settings(bulk_bytes=GIB // 8))[-1]
        assert quick.header[3] == "after 0.5 GiB"

    def test_text_is_aligned(self) -> None:
        table = tables.Table("Title", ["", "a", "long header"], [["x", "1,000", "2"], ["longer", "3", "40"]])
        assert tables.render_text(table).splitlines() == [
            "Title",
            "              a  long header",
            "  x       1,000            2",
            "  longer      3           40",
        ]

    def test_markdown(self) -> None:
        table = tables.Table("Title", ["", "a"], [["x", "1"]])
        assert tables.render_markdown(table) == "|  | a |\n|---|---:|\n| x | 1 |"


class TestTargets:
    def test_met_missed_and_not_measured(self, results: Results) -> None:
        verdicts = {row[0]: row[2:] for row in targets.target_table(results).rows}
        assert verdicts["32 connections: CPU per request against ssh"] == ["4.00 ×", "missed by 33.3%", "4.00 ×"]
        assert verdicts["32 connections: requests/s against ssh"] == ["2.00 ×", "met", "0.50 ×"]
        assert verdicts["small requests beside a limited download"] == ["8,000 /s", "met", ""]
        assert verdicts["server at rest"] == ["50.0 MiB", "met", ""]
        assert verdicts["memory added by the transfer"] == ["11.0 MiB", "missed by 10.0%", ""]
        assert verdicts["`sluice --help`"] == ["-", "not measured", ""]
        assert verdicts["TCP: new connections/s against ssh"] == ["-", "not measured", ""]

    def test_of_tcp(self) -> None:
        measured = Results()
        for name, rate, cpu, gib in (
            ("ssh", 100.0, 20.0, 2.0),
            ("ssh-session", 200.0, 16.0, 2.0),
            ("sluice-tcp", 150, 48, 3),
        ):
            measured.add("small-32", name, requests_sample(rate, cpu))
            measured.add("connections", name, {"connections_per_second": rate, "cpu_us_per_connection": cpu})
            measured.add("bulk-1", name, {"mb_per_second": rate, "cpu_s_per_gib": gib})
        verdicts = {row[0]: row[2:] for row in targets.target_table(measured).rows}
        assert verdicts["TCP, 32 connections: CPU per request against ssh"] == ["2.40 ×", "met", "3.00 ×"]
        assert verdicts["TCP, download, 1 stream: CPU per GiB against ssh"] == ["1.50 ×", "met", "1.50 ×"]
        assert verdicts["TCP: new connections/s against ssh"] == ["1.50 ×", "met", "0.75 ×"]
        assert verdicts["32 connections: CPU per request against ssh"] == ["-", "not measured", ""]

    def test_no_column_for_ssh_at_its_best_where_it_did_not_run(self) -> None:
        assert targets.target_table(Results()).header[-1] == "verdict"

    def test_below_a_floor_is_missed(self) -> None:
        floor = targets.Target("rate", 8000, "/s", True, lambda _: None)
        assert targets.verdict(floor, 6000) == "missed by 25.0%"

    def test_ssh_at_its_best_is_told(self, results: Results) -> None:
        [nagle] = targets.notes(results)
        assert "Nagle" in nagle
        assert targets.notes(Results()) == []


class TestReports:
    def test_text_tells_failures_in_full(self, results: Results) -> None:
        results.failures.append(Failure("haproxy", "start", "the process ended\nits log"))
        assert report.as_text(results, Settings()).endswith("haproxy (TCP), start, failed: the process ended\nits log")

    def test_json_keeps_every_value(self, results: Results) -> None:
        made = json.loads(json.dumps(report.as_json(results, {"CPU": "x"}, Settings())))
        rates = made["results"]["small-32"]["ssh"]["requests_per_second"]
        assert rates == {"median": 5000, "min": 4000, "max": 9000, "values": [4000, 5000, 9000]}
        assert made["settings"]["repeat"] == 3
        assert {target["verdict"] for target in made["targets"]} >= {"met", "not measured"}

    def test_the_page_has_all_parts_and_no_logs(self, results: Results) -> None:
        results.failures.append(Failure("haproxy", "start", "the process ended\nits log"))
        made = page.as_markdown(results, {"CPU": "some CPU, 2 cores"}, Settings())
        headings = [line for line in made.splitlines() if line.startswith("#")]
        assert headings[:3] == ["# Benchmarks", "## Targets of Sluice over TLS", "## Figures"]
        assert headings[-4:] == ["## Failed", "## Machine", "## How it is measured", "## Run it yourself"]
        assert "* CPU: some CPU, 2 cores" in made
        assert "3 times in turn" in made
        assert "* haproxy (TCP), start: the process ended\n" in made
        assert "its log" not in made
        assert "{" not in made
