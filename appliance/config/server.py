"""Options of ``sluice server``, which serves HTTP and TCP at once."""

from dataclasses import dataclass
from typing import ClassVar

from appliance.config.http_server import HttpServerConfig
from appliance.config.tcp_server import TcpServerConfig


@dataclass(frozen=True, kw_only=True)
class ServerConfig(TcpServerConfig, HttpServerConfig):
    """The options of both, each once."""

    mode: ClassVar[str] = "http+tcp"
