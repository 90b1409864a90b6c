"""``python -m appliance`` and the command ``sluice``."""

import sys

from appliance.transport import ciphers


def main() -> None:
    ciphers.prefer_cheaper()  # before anything loads OpenSSL
    from appliance.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
