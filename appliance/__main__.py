"""``python -m appliance`` and the command ``sluice``."""

import sys

from appliance.cli.main import run


def main() -> None:
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
