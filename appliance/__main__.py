"""``python -m appliance`` and the command ``sluice``."""

import signal
import sys

from appliance.transport import ciphers


def main() -> None:
    if {"server", "client"}.intersection(sys.argv[1:3]):
        # It asks for what the start is about to do anyway; by default it would end what is only starting.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ciphers.prefer_cheaper()  # before anything loads OpenSSL
    from appliance.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
