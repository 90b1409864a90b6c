"""The machine: the programs that the benchmark needs, and a description that names no host and no path."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from .process import LabError

# program -> Debian's package
PACKAGES = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "wrk": "wrk",
}
# Where scripts/try, scripts/test and people keep virtual environments in a checkout.
ENVIRONMENTS = (".venv*", ".cache/*", ".cache/*/*")
BUSY_LOAD = 0.5
_VERSION_FLAGS = {"nginx": "-v", "haproxy": "-v", "ssh": "-V", "wrk": "-v"}
_PYTHON_FACTS = """
import importlib.metadata, platform, ssl
print(platform.python_implementation(), platform.python_version())
print(ssl.OPENSSL_VERSION)
print("gevent", importlib.metadata.version("gevent"))
"""


def find_programs(names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Give the paths of the programs that are there, and the names of those that are not."""
    # Servers live where the PATH of an ordinary user does not look.
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"
    found = {name: place for name in names if (place := shutil.which(name, path=path))}
    return found, [name for name in names if name not in found]


def packages_of(programs: Iterable[str]) -> list[str]:
    return sorted({PACKAGES[program] for program in programs})


def install(packages: list[str]) -> None:
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode != 0:
        raise LabError(f"`{' '.join(command)}` failed")


def choose_python(checkout: Path, own: str) -> str:
    """Give the interpreter of the checkout's own virtual environment that can run Sluice, else `own`."""
    for python in sorted(path for pattern in ENVIRONMENTS for path in checkout.glob(f"{pattern}/bin/python")):
        if subprocess.run([python, "-c", "import gevent, httptools"], capture_output=True).returncode == 0:
            return str(python)
    return own


def describe(python: str, programs: dict[str, str]) -> dict[str, str]:
    """Describe what was measured on, for a reader elsewhere."""
    facts = {
        "date": datetime.date.today().isoformat(),
        "CPU": f"{cpu_model(Path('/proc/cpuinfo').read_text())}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "system": _system(),
    }
    done = subprocess.run([python, "-c", _PYTHON_FACTS], capture_output=True, text=True)
    facts["Python of Sluice"] = ", ".join(done.stdout.splitlines())
    for name, flag in _VERSION_FLAGS.items():
        if name in programs:
            done = subprocess.run([programs[name], flag], capture_output=True, text=True)
            facts[name] = version_of(done.stdout + done.stderr)
    return facts


def load_before() -> dict[str, str]:
    """Give the load average as a fact: a busy machine spoils rates and latencies more than CPU figures."""
    load = os.getloadavg()[0]
    if load > BUSY_LOAD:
        print(f"bench: the machine is busy (load average {load:.1f}): rates suffer", file=sys.stderr)
    return {"load average before the run": f"{load:.1f}"}


def cpu_model(cpuinfo: str) -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.M)
    return match.group(1).strip() if match else platform.machine()


def version_of(text: str) -> str:
    """Give the first thing that looks like a version number: 1.22.1, 9.2p1, 4.1.0-3."""
    match = re.search(r"\d+\.\d[\w.+-]*", text)
    return match.group(0) if match else "unknown"


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
