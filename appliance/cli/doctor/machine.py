"""What any server or client needs of this machine."""

import ctypes
import os
import platform
import resource
import shutil
import socket
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from appliance.certificates import state
from appliance.cli.doctor.findings import ERROR, OK, WARNING, Finding, Findings
from appliance.config.build import full_version

ENOUGH_DESCRIPTORS = 4096  # two for each visitor, and streams kept ready
ENOUGH_BYTES = 50 << 20
EARLIEST_YEAR = 2026  # a clock that says less has not been set since the machine was built
SECONDS_APART, SECONDS_FAR_APART = 30.0, 3600.0

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 512  # more than struct timex has anywhere
# Documentation addresses (RFC 3849, RFC 5737) would have no route; nothing is sent to these either.
_FAR_AWAY = {socket.AF_INET: "1.1.1.1", socket.AF_INET6: "2606:4700:4700::1111"}


def look() -> Findings:
    yield _version()
    yield _clock()
    yield _descriptors()
    yield state_directory(None)
    yield _internet_protocol()
    yield from _proxies()


def _version() -> Finding:
    import ssl

    text = f"sluice {full_version()}, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}"
    return Finding("version", OK, text)


def _clock() -> Finding:
    now = datetime.now(timezone.utc)
    said = now.strftime("%Y-%m-%d %H:%M:%S UTC")
    if now.year < EARLIEST_YEAR:
        return Finding(
            "clock", ERROR, f"it says {said}, so every certificate is not valid yet", "set it: timedatectl set-ntp true"
        )
    if _synchronised() is False:
        fix = "let it be set: timedatectl set-ntp true, or install chrony"
        return Finding("clock", WARNING, f"it says {said}, and nothing keeps it right", fix)
    return Finding("clock", OK, f"it says {said}")


def _synchronised() -> bool | None:
    """By the kernel's word; None where it gives none."""
    try:
        found = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if found < 0 else found != _TIME_ERROR


def compare_clock(theirs: datetime, asked_at: float, place: str) -> Finding:
    """`asked_at`: our time when they were asked, seconds since the epoch."""
    apart = (asked_at + time.time()) / 2 - theirs.timestamp()
    if abs(apart) <= SECONDS_APART:
        return Finding("clock", OK, f"it agrees with that of {place}")
    level = ERROR if abs(apart) > SECONDS_FAR_APART else WARNING
    fix = "set the wrong one of the two: timedatectl set-ntp true"
    way = "ahead of" if apart > 0 else "behind"
    return Finding("clock", level, f"it is {abs(apart):.0f} seconds {way} that of {place}", fix)


def _descriptors() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "any number of" if hard == resource.RLIM_INFINITY else f"{hard}"
    if hard != resource.RLIM_INFINITY and hard < ENOUGH_DESCRIPTORS:
        fix = f"LimitNOFILE=65536 in the systemd unit, or ulimit -Hn 65536 (at least {ENOUGH_DESCRIPTORS})"
        visitors = max(0, hard // 2 - 50)
        if not visitors:
            text = f"{most} files may be open, which is enough for no visitor at all"
            return Finding("descriptors", ERROR, text, fix)
        text = f"{most} files may be open, which is enough for some {visitors} visitors at once"
        return Finding("descriptors", WARNING, text, fix)
    return Finding("descriptors", OK, f"{most} files may be open (a program starts with {soft})")


def state_directory(given: str | None) -> Finding:
    """`given`: by --auto-tls-path; else the usual place."""
    path = Path(given) if given else state.find_directory(os.environ)
    if path is None:
        return Finding("state", WARNING, "there is no home, so nothing can be kept", "set HOME, or STATE_DIRECTORY")
    flag = "--auto-tls-path" if given else "STATE_DIRECTORY"
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        if path != there:
            text, fix = f"{path} is not there and cannot be made ({error.strerror})", f"make it, or set {flag}"
        else:
            text = f"{path} cannot be written to by {_user()} ({error.strerror})"
            fix = f"run this as the user that sluice runs as, or give that one the directory, or set {flag}"
        return Finding("state", ERROR, text, fix)
    free = shutil.disk_usage(there).free
    if free < ENOUGH_BYTES:
        return Finding("state", WARNING, f"{path} has only {free >> 20} MiB left", "make room on that disk")
    return Finding(
        "state", OK, f"{path} {'can be written to' if path == there else 'is not there yet, and can be made'}"
    )


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def _internet_protocol() -> Finding:
    four, six = (has_route(family) for family in (socket.AF_INET, socket.AF_INET6))
    if four and six:
        return Finding("network", OK, "IPv4 and IPv6 both lead out")
    if four:
        return Finding(
            "network", OK, "IPv4 leads out, IPv6 does not: names must not have AAAA records for this machine"
        )
    if six:
        return Finding("network", WARNING, "only IPv6 leads out", "visitors and servers without IPv6 cannot be reached")
    return Finding(
        "network", WARNING, "nothing leads out of this machine", "look at ip route: a default route is missing"
    )


def has_route(family: int) -> bool:
    """Whether the kernel knows a way out; nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((_FAR_AWAY[socket.AddressFamily(family)], 53))
    except OSError:
        return False
    return True


def _proxies() -> Findings:
    """Those that the environment names, without what lets us in."""
    from urllib.parse import urlsplit

    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        value = os.environ.get(name) or os.environ.get(name.lower())
        if not value:
            continue
        try:
            proxy = urlsplit(value if "://" in value else f"http://{value}")
            place = f"{proxy.scheme}://{proxy.hostname}:{proxy.port or 80}"
        except ValueError:
            yield Finding("proxy", ERROR, f"{name} is not understood", f"write {name}=http://host:port")
            continue
        if proxy.scheme != "http" or not proxy.hostname:
            yield Finding(
                "proxy", ERROR, f"{name} is {place}, which sluice cannot use", f"write {name}=http://host:port"
            )
        else:
            text = f"{name} is {place}: clients use it, but for what NO_PROXY lists and for this machine"
            yield Finding("proxy", OK, text)
