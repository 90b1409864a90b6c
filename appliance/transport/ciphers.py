"""The cheaper cipher for this machine first: AES-GCM with AES instructions, ChaCha20 without (a Raspberry Pi 4).

Python's ssl cannot order the suites of TLS 1.3 (before 3.15), but OpenSSL's own configuration can. OpenSSL reads that
when it is first used, by `ssl` and by `hashlib` alike, so `prefer_cheaper` must come before both are imported. Nothing
is changed where AES is cheap, or where the user has a configuration for us.
"""

import os

CONFIGURATION = os.path.join(os.path.dirname(__file__), "chacha20.cnf")

_CPU_INFORMATION = "/proc/cpuinfo"
# Until TLS 1.2: forward secrecy and authenticated encryption only; signatures by ECDSA, being cheaper, before RSA.
_AES = ("ECDHE+ECDSA+AESGCM", "ECDHE+aRSA+AESGCM")
_CHACHA20 = ("ECDHE+ECDSA+CHACHA20", "ECDHE+aRSA+CHACHA20")

aes_is_cheap = True  # until `prefer_cheaper` finds otherwise


def prefer_cheaper(cpu_information: str | None = None) -> None:
    """Find out what this machine has, and prepare OpenSSL for it."""
    global aes_is_cheap
    try:
        with open(cpu_information or _CPU_INFORMATION, encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError:
        return
    aes_is_cheap = has_aes(text)
    if not aes_is_cheap:
        os.environ.setdefault("OPENSSL_CONF", CONFIGURATION)


def has_aes(cpu_information: str) -> bool:
    """Whether the processor that /proc/cpuinfo describes has AES instructions; also where that is not told."""
    for line in cpu_information.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, ARM
            return "aes" in value.split()
    return True


def suites() -> str:
    """OpenSSL's cipher list until TLS 1.2."""
    return ":".join(_AES + _CHACHA20 if aes_is_cheap else _CHACHA20 + _AES)
