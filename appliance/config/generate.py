"""Options that print what runs this very command at boot, in a container, in a cluster, instead of running it."""

import re
from dataclasses import dataclass

from appliance.config.options import ConfigError, option
from appliance.config.shared import OUTPUT

FORMATS = ("systemd", "k8s_yaml", "docker", "compose", "launchd", "cloud-init")

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,48}[a-z0-9])?")  # good for units, containers and Kubernetes (RFC 1123 label)

_PACKAGE = re.compile(r"[A-Za-z0-9][!-~ ]{0,1000}")  # no flag of pip


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    generate: str = option(
        "",
        group=OUTPUT,
        choices=("", *FORMATS),
        metavar="FORMAT",
        help=f"Print what runs this command with these flags, and end: {', '.join(FORMATS)}.",
    )
    generate_name: str | None = option(
        None,
        group=OUTPUT,
        metavar="NAME",
        default_text="sluice-server or sluice-client",
        help="What --generate calls it: unit, container, deployment.",
    )
    generate_package: str | None = option(
        None,
        group=OUTPUT,
        metavar="SOURCE",
        default_text="this version, from pip's index",
        help="What --generate cloud-init installs: a wheel's https address, or a package as pip takes it.",
    )

    def check_generate(self) -> None:
        """Raises ConfigError, naming the flag at fault."""
        if self.generate_package is not None and (
            self.generate != "cloud-init" or not _PACKAGE.fullmatch(self.generate_package)
        ):
            raise ConfigError(
                "--generate-package is for --generate cloud-init: a wheel's https address, or a package as pip takes "
                "it, like sluice-appliance==0.1.0"
            )
        if self.generate_name is None:
            return
        if not self.generate:
            raise ConfigError("--generate-name is for --generate: give that, too, or leave it out")
        if not _NAME.fullmatch(self.generate_name):
            raise ConfigError(
                f"--generate-name {self.generate_name!r}: lower-case letters, digits and dashes, 50 at most, "
                "beginning with a letter"
            )
