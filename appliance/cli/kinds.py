"""The commands that servers and clients are, by their words."""

from importlib import import_module

# What each is run with: module and class in appliance.config.
CONFIGS = {
    "http server": "http_server.HttpServerConfig",
    "tcp server": "tcp_server.TcpServerConfig",
    "server": "server.ServerConfig",
    "http client": "http_client.HttpClientConfig",
    "tcp client": "tcp_client.TcpClientConfig",
    "client": "client.ClientConfig",
}


def config_class(name: str) -> type:
    """The class of a name like those above. It is imported only now: a client has no need of the servers' options."""
    module, _, found = name.partition(".")
    config: type = getattr(import_module(f"appliance.config.{module}"), found)
    return config


def spoken(config: type) -> str:
    """The words of the command that has this config; "" where it is neither a server nor a client."""
    name = f"{config.__module__.rpartition('.')[2]}.{config.__name__}"
    return next((words for words, known in CONFIGS.items() if known == name), "")
