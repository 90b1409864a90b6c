"""Options of the data plane over TLS: where its certificates come from, and what becomes of plain HTTP."""

from dataclasses import dataclass

from appliance.config.letsencrypt import LetsEncryptOptions
from appliance.config.options import ConfigError, option
from appliance.config.shared import LISTENING, PORT, SECONDS, TLS

REDIRECT, SERVE, OFF = "redirect", "serve", "off"
TWO_YEARS_SECONDS = 730 * 86400.0  # what browsers' preload lists ask for is one


@dataclass(frozen=True, kw_only=True)
class DataTlsOptions(LetsEncryptOptions):
    """`secure`: whether visitors are to be served over TLS at all, by certificates of any source."""

    https_port: int = option(
        443, group=LISTENING, **PORT, help="Port for visitors by HTTPS, with certificates for the data plane."
    )
    plain_http: str = option(
        REDIRECT,
        group=LISTENING,
        choices=(REDIRECT, SERVE, OFF),
        metavar="redirect|serve|off",
        help="With certificates for the data plane: what --port does.",
    )
    data_cert: tuple[str, ...] = option(
        (),
        group=TLS,
        metavar="FILE",
        help="Own certificate chain (PEM) for visitors; several for several names, each with its --data-key.",
    )
    data_key: tuple[str, ...] = option((), group=TLS, metavar="FILE", help="Private key (PEM) of each --data-cert.")
    data_cert_dir: tuple[str, ...] = option(
        (),
        group=TLS,
        metavar="DIR",
        help="Directory of certificates for visitors, watched for changes: NAME.crt with NAME.key, NAME.pem with "
        "both, or NAME/fullchain.pem with NAME/privkey.pem.",
    )
    hsts: float = option(
        0.0,
        **SECONDS | {"group": TLS, "minimum": 0.0, "maximum": TWO_YEARS_SECONDS},
        default_text="off",
        help="Tell browsers to use nothing but HTTPS for this long (Strict-Transport-Security), like 365d.",
    )

    @property
    def secure(self) -> bool:
        return bool(self.data_cert or self.data_cert_dir or self.letsencrypt_domain)

    def check_data_tls(self, port: int, control_port: int) -> None:
        """Raise ConfigError, naming the flag at fault."""
        self.check_letsencrypt()
        certificates, keys = len(self.data_cert), len(self.data_key)
        if certificates != keys:
            missing = "--data-key" if certificates > keys else "--data-cert"
            raise ConfigError(
                f"--data-cert is given {_times(certificates)} and --data-key {_times(keys)}: each certificate needs "
                f"its key, in the same order; a {missing} is missing"
            )
        if not self.secure:
            self._check_unused()
            return
        for other, flag in ((port if self.plain_http != OFF else 0, "--port"), (control_port, "--control-port")):
            if self.https_port and self.https_port == other:
                raise ConfigError(f"{flag} and --https-port are both {other}: change one of them")

    def _check_unused(self) -> None:
        """What only means something with certificates, given without any, is a mistake that would show late."""
        for given, flag in (
            (self.https_port != 443, "--https-port"),
            (self.plain_http != REDIRECT, "--plain-http"),
            (self.hsts, "--hsts"),
        ):
            if given:
                raise ConfigError(
                    f"{flag} is for HTTPS, which needs certificates: give --letsencrypt-domain, --data-cert with "
                    "--data-key, or --data-cert-dir, too"
                )


def _times(count: int) -> str:
    return {0: "not", 1: "once", 2: "twice"}.get(count, f"{count} times")
