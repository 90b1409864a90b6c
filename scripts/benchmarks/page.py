"""The page: docs/benchmarks.md, made from one run."""

from __future__ import annotations

from collections.abc import Mapping

from .load import WRK_TIMEOUT_SECONDS
from .measurements import CLOSE_SECONDS, MEMORY_DOWNLOADS, Settings
from .rounds import Failure, Results
from .tables import contestant_title, render_markdown, tables
from .targets import notes, target_table

_INTRODUCTION = """
Made by `scripts/bench`; do not edit by hand. All contestants ran in the same run on the same machine,
{turns}; a figure is the median, with the least and the most in brackets. CPU is user and system
time of the tunnel's server and client processes together, as Linux counts it; what nginx and the load
generator use is not in it.

Absolute figures are this machine's: load generator, upstream, server and client share its cores.
The ratios to `ssh -N -R` travel better.
"""

_METHOD = """
* Upstream: nginx with one worker, a 1 KiB answer and a file of {bulk_mib:,} MiB, over loopback.
* haproxy: TCP mode, one thread, nothing encrypted. ssh: `-R` with `aes128-gcm@openssh.com`.
* sluice: `sluice http server` and `sluice http client` with a token file; (TLS) with automatic TLS, (plain)
  with `--auto-tls=false`. The others relay bytes; Sluice also parses, routes, rewrites and counts requests.
* sluice tcp: `sluice tcp server` and `sluice tcp client`, a port for the upstream: bytes as they come, as ssh.
* Small requests: `wrk` with one thread for {seconds} s; answers later than {wrk_seconds} s are errors.
* New connections: `wrk` opens one for each small request, for {close_seconds} s at most; the time to connect is
  not in its latency.
* Download: the reader drops the bytes in the kernel, so that it does not compete for the CPU. Four streams
  are four ranges of the file.
* Beside a download: its visitor reads {limited:g} MB/s and no more.
* Memory, of processes started for it and left alone for a second each time: after the first answer; after
  {seconds} s of small requests at 32 connections; after {downloads} downloads of the file; with {in_flight:,}
  requests held upstream.
* Start-up: from the server's start to a good answer of `/readyz` (sshd: its greeting; haproxy: an answer),
  and from the client's start to the first answer through the tunnel.
"""

_REPRODUCE = """
On Debian, with `nginx haproxy openssh-server openssh-client wrk` (as root, `--install` installs them):

```sh
scripts/bench                                   # everything: about twenty minutes
scripts/bench --quick --only small,bulk         # a first impression
scripts/bench --markdown docs/benchmarks.md     # this page
```
"""


def as_markdown(results: Results, facts: Mapping[str, str], settings: Settings) -> str:
    targets = target_table(results)
    remarks = "\n".join(f"* {note}" for note in notes(results))
    parts = [
        "# Benchmarks",
        _introduction(settings),
        f"## {targets.title}",
        render_markdown(targets),
        remarks,
    ]
    parts.append("## Figures")
    for table in tables(results, settings):
        parts += [f"### {table.title}", render_markdown(table)]
    if results.failures:
        # Only who and where: logs belong on the terminal of whoever ran this.
        parts += ["## Failed", "\n".join(_failure(failure) for failure in results.failures)]
    parts += ["## Machine", "\n".join(f"* {name}: {text}" for name, text in facts.items())]
    parts += ["## How it is measured", _method(settings), "## Run it yourself", _REPRODUCE]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _failure(failure: Failure) -> str:
    return f"* {contestant_title(failure.contestant)}, {failure.what}: {failure.reason.splitlines()[0]}"


def _introduction(settings: Settings) -> str:
    return _INTRODUCTION.format(turns=f"{settings.repeat} times in turn" if settings.repeat > 1 else "once")


def _method(settings: Settings) -> str:
    return _METHOD.format(
        bulk_mib=settings.bulk_bytes >> 20,
        seconds=settings.duration_seconds,
        wrk_seconds=WRK_TIMEOUT_SECONDS,
        close_seconds=min(settings.duration_seconds, CLOSE_SECONDS),
        limited=settings.limited_bytes_per_second / 1e6,
        downloads=MEMORY_DOWNLOADS,
        in_flight=settings.in_flight,
    )
