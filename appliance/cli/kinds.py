"""The commands that servers and clients are, by their words."""

from appliance.cli.generate.plan import COMMANDS

# What each is run with.
CONFIGS: dict[str, type] = {" ".join(words): config_class for config_class, words in COMMANDS.items()}


def spoken(config_class: type) -> str:
    """The words of the command that has this config."""
    return " ".join(COMMANDS[config_class])
