"""Reading the token from where the options say. Its text is never part of a message."""

from collections.abc import Mapping

from appliance.config.options import ConfigError
from appliance.config.shared import TokenOptions

MAX_TOKEN_BYTES = 4096


def load_token(options: TokenOptions, environ: Mapping[str, str]) -> str:
    """The token, from the one place given. Raises ConfigError when there is none or it cannot be used."""
    token = find_token(options, environ)
    if token is None:
        raise ConfigError(f"no token given: {options.no_token_advice}")
    return token


def find_token(options: TokenOptions, environ: Mapping[str, str]) -> str | None:
    """As `load_token`, but None where no place is given: for a command that may run without a token."""
    places = {"--token": options.token, "--token-file": options.token_file, "--token-env": options.token_env}
    given = [name for name, value in places.items() if value is not None]
    if not given:
        return None
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} are given: one of them is enough, leave the others out")
    if options.token_file is not None:
        return _checked(_read(options.token_file), f"--token-file {options.token_file}")
    if options.token_env is not None:
        if options.token_env not in environ:
            raise ConfigError(f"--token-env {options.token_env}: no such environment variable is set")
        return _checked(environ[options.token_env], f"--token-env {options.token_env}")
    return _checked(options.token or "", "--token")


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_TOKEN_BYTES + 2)  # a device or a wrong file must not fill memory
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--token-file {path} cannot be read: {reason}") from None
    return content.decode("latin-1").removesuffix("\n").removesuffix("\r")


def _checked(token: str, place: str) -> str:
    """A token travels in a header line: visible ASCII, spaces only inside."""
    if not token.strip():
        raise ConfigError(f"{place}: the token is empty")
    if len(token) > MAX_TOKEN_BYTES:
        raise ConfigError(f"{place}: the token is longer than {MAX_TOKEN_BYTES} bytes")
    if token != token.strip() or not token.isascii() or not token.isprintable():
        raise ConfigError(f"{place}: the token must be one line of ASCII letters, digits and signs")
    return token
