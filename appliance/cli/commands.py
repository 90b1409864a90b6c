"""The commands. Each hands its config to what runs it; imports wait until then: help comes at once."""

import click

from appliance.cli.flags import ConfigCommand
from appliance.config.build import full_version
from appliance.config.client import ClientConfig
from appliance.config.file_server import FileServerConfig
from appliance.config.http_client import HttpClientConfig
from appliance.config.http_server import HttpServerConfig
from appliance.config.server import ServerConfig
from appliance.config.status import StatusConfig
from appliance.config.tcp_client import TcpClientConfig
from appliance.config.tcp_server import TcpServerConfig

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(invoke_without_command=True, context_settings=CONTEXT)
@click.version_option(full_version(), message="%(version)s")
@click.pass_context
def sluice(ctx: click.Context) -> None:
    """Reach services in a private network through a server of your own."""
    _help_unless_called(ctx)


@sluice.group(invoke_without_command=True)
@click.pass_context
def http(ctx: click.Context) -> None:
    """Tunnels for HTTP services."""
    _help_unless_called(ctx)


@http.command(
    "server",
    cls=ConfigCommand,
    config_class=HttpServerConfig,
    examples=[
        "head -c 32 /dev/urandom | base64 > token",
        "sluice http server --token-file token --auto-tls-san 203.0.113.7",
        "sluice http server --token-file token --port 80 --data-addr 127.0.0.1",
    ],
)
def http_server(config: HttpServerConfig) -> None:
    """Accept clients, and visitors of what they offer.

    Runs where the Internet can reach it: visitors come to --port, clients to --control-port.
    """
    from appliance.cli.compose import run_server

    run_server(config)


@http.command(
    "client",
    cls=ConfigCommand,
    config_class=HttpClientConfig,
    examples=[
        "sluice http client --url wss://203.0.113.7:8123 --token-file token --upstream http://127.0.0.1:3000",
        "sluice http client --url wss://203.0.113.7:8123 --token-file token \\",
        "    --upstream app.example.com=http://127.0.0.1:3000 --upstream files.example.com=/srv/share",
    ],
)
def http_client(config: HttpClientConfig) -> None:
    """Offer services of this network through a server.

    Dials out to the server, and again whenever the connection is lost.
    """
    from appliance.cli.compose import run_client

    run_client(config)


@sluice.group(invoke_without_command=True)
@click.pass_context
def tcp(ctx: click.Context) -> None:
    """Tunnels for everything else: SSH, databases, servers with TLS of their own."""
    _help_unless_called(ctx)


@tcp.command(
    "server",
    cls=ConfigCommand,
    config_class=TcpServerConfig,
    examples=[
        "sluice tcp server --token-file token --auto-tls-san 203.0.113.7",
        "sluice tcp server --token-file token --allow-ports 2222,5432 --data-addr 127.0.0.1",
        "sluice tcp server --token-file token --proxy-protocol v2",
    ],
)
def tcp_server(config: TcpServerConfig) -> None:
    """Accept clients, and visitors at the ports that they offer.

    A port is open while a client offers it. --allow-ports says which may be.
    """
    from appliance.cli.compose import run_server

    run_server(config)


@tcp.command(
    "client",
    cls=ConfigCommand,
    config_class=TcpClientConfig,
    examples=[
        "sluice tcp client --url wss://203.0.113.7:8123 --token-file token --upstream 2222=127.0.0.1:22",
        "sluice tcp client --url wss://203.0.113.7:8123 --token-file token --upstream 192.168.0.10 --ports 80,443",
        "sluice tcp client --url wss://203.0.113.7:8123 --token-file token --local 5432:127.0.0.1:5432",
    ],
)
def tcp_client(config: TcpClientConfig) -> None:
    """Offer ports of this network through a server.

    Dials out to the server, and again whenever the connection is lost.
    """
    from appliance.cli.compose import run_client

    run_client(config)


@sluice.command(
    cls=ConfigCommand,
    config_class=ServerConfig,
    examples=[
        "sluice server --token-file token --auto-tls-san 203.0.113.7",
        "sluice server --token-file token --port 80 --allow-ports 2222,5432",
    ],
)
def server(config: ServerConfig) -> None:
    """Accept clients, and visitors by HTTP and TCP at once.

    As `http server` and `tcp server` together, with one control port.
    """
    from appliance.cli.compose import run_server

    run_server(config)


@sluice.command(
    cls=ConfigCommand,
    config_class=ClientConfig,
    examples=[
        "sluice client --url wss://203.0.113.7:8123 --token-file token \\",
        "    --upstream app.example.com=http://127.0.0.1:3000 --upstream 2222=127.0.0.1:22",
    ],
)
def client(config: ClientConfig) -> None:
    """Offer HTTP services and ports of this network through a server.

    As `http client` and `tcp client` together, in one connection.
    """
    from appliance.cli.compose import run_client

    run_client(config)


def file_server(config: FileServerConfig) -> None:
    """Serve the files of a directory over HTTP."""
    from appliance.cli.compose import run_file_server

    run_file_server(config)


def _file_server_command(hidden: bool) -> ConfigCommand:
    return ConfigCommand(
        name="fileserver",
        config_class=FileServerConfig,
        callback=file_server,
        help=file_server.__doc__,
        hidden=hidden,
        examples=[
            "sluice fileserver --webroot /srv/share --allow-browsing",
            "sluice fileserver --webroot /srv/share --port 8080 --token-file password",
        ],
    )


sluice.add_command(_file_server_command(hidden=False))
http.add_command(_file_server_command(hidden=True))  # where inlets has it


@sluice.command(
    cls=ConfigCommand,
    config_class=StatusConfig,
    examples=[
        "sluice status --url wss://203.0.113.7:8123 --token-file token",
        "sluice status --token-file token --json",
    ],
)
def status(config: StatusConfig) -> None:
    """Show a server and its connected clients.

    Exits 1 when the server cannot be reached, 3 when it refuses the token.
    """
    from appliance.cli.status import print_status

    print_status(config)


@sluice.command()
def version() -> None:
    """Print the version and the commit it was built from."""
    click.echo(full_version())


@sluice.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    For bash: source <(sluice completion bash)
    """
    from click.shell_completion import get_completion_class

    completion_class = get_completion_class(shell)
    assert completion_class is not None  # click knows these three
    click.echo(completion_class(sluice, {}, "sluice", "_SLUICE_COMPLETE").source())


def _help_unless_called(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
