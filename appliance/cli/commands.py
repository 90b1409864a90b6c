"""The commands. Each hands its config to what runs it; imports wait until then: help comes at once."""

from typing import TYPE_CHECKING

import click

from appliance.cli import program
from appliance.cli.examples import Group
from appliance.cli.flags import ConfigCommand
from appliance.config.build import full_version

if TYPE_CHECKING:
    from appliance.config.certificates import CertificatesConfig
    from appliance.config.client import ClientConfig
    from appliance.config.doctor import DoctorConfig
    from appliance.config.file_server import FileServerConfig
    from appliance.config.http_client import HttpClientConfig
    from appliance.config.http_server import HttpServerConfig
    from appliance.config.known import KnownConfig
    from appliance.config.server import ServerConfig
    from appliance.config.status import StatusConfig
    from appliance.config.tcp_client import TcpClientConfig
    from appliance.config.tcp_server import TcpServerConfig
    from appliance.config.tokens import NamedTokenConfig, NewTokenConfig, TokensConfig

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(
    cls=Group,
    invoke_without_command=True,
    context_settings=CONTEXT,
    examples=[
        "sluice http server --token-file token --auto-tls-san 203.0.113.7",
        "sluice http client --url wss://203.0.113.7:8123 --token-file token --upstream http://127.0.0.1:3000",
        "sluice doctor --url wss://203.0.113.7:8123 --token-file token",
    ],
)
@click.version_option(full_version(), message="%(version)s")
@click.pass_context
def sluice(ctx: click.Context) -> None:
    """Reach services in a private network through a server of your own."""
    _help_unless_called(ctx)


@sluice.group(
    invoke_without_command=True,
    examples=[
        "sluice http server --token-file token --auto-tls-san 203.0.113.7",
        "sluice http client --url wss://203.0.113.7:8123 --token-file token --upstream http://127.0.0.1:3000",
    ],
)
@click.pass_context
def http(ctx: click.Context) -> None:
    """Tunnels for HTTP services."""
    _help_unless_called(ctx)


@http.command(
    "server",
    cls=ConfigCommand,
    config_class="http_server.HttpServerConfig",
    examples=[
        "(umask 077; head -c 32 /dev/urandom | base64 > token)",
        "sluice http server --token-file token --auto-tls-san 203.0.113.7",
        "sluice http server --token-file token --letsencrypt-domain app.example.com",
        "sluice http server --token-file token --port 80 --data-addr 127.0.0.1",
    ],
)
def http_server(config: "HttpServerConfig") -> None:
    """Accept clients, and visitors of what they offer.

    Runs where the Internet can reach it: visitors come to --port, clients to --control-port.
    """
    from appliance.cli.compose import run_server

    run_server(config)


@http.command(
    "client",
    cls=ConfigCommand,
    config_class="http_client.HttpClientConfig",
    examples=[
        "sluice http client --url wss://203.0.113.7:8123 --token-file token --upstream http://127.0.0.1:3000",
        "sluice http client --url wss://203.0.113.7:8123 --token-file token \\",
        "    --upstream app.example.com=http://127.0.0.1:3000 --upstream files.example.com=/srv/share",
    ],
)
def http_client(config: "HttpClientConfig") -> None:
    """Offer services of this network through a server.

    Dials out to the server, and again whenever the connection is lost.
    """
    from appliance.cli.compose import run_client

    run_client(config)


@sluice.group(
    invoke_without_command=True,
    examples=[
        "sluice tcp server --token-file token --auto-tls-san 203.0.113.7",
        "sluice tcp client --url wss://203.0.113.7:8123 --token-file token --upstream 2222=127.0.0.1:22",
    ],
)
@click.pass_context
def tcp(ctx: click.Context) -> None:
    """Tunnels for everything else: SSH, databases, servers with TLS of their own."""
    _help_unless_called(ctx)


@tcp.command(
    "server",
    cls=ConfigCommand,
    config_class="tcp_server.TcpServerConfig",
    examples=[
        "sluice tcp server --token-file token --auto-tls-san 203.0.113.7",
        "sluice tcp server --token-file token --allow-ports 2222,5432 --data-addr 127.0.0.1",
        "sluice tcp server --token-file token --proxy-protocol v2",
    ],
)
def tcp_server(config: "TcpServerConfig") -> None:
    """Accept clients, and visitors at the ports that they offer.

    A port is open while a client offers it. --allow-ports says which may be.
    """
    from appliance.cli.compose import run_server

    run_server(config)


@tcp.command(
    "client",
    cls=ConfigCommand,
    config_class="tcp_client.TcpClientConfig",
    examples=[
        "sluice tcp client --url wss://203.0.113.7:8123 --token-file token --upstream 2222=127.0.0.1:22",
        "sluice tcp client --url wss://203.0.113.7:8123 --token-file token --upstream 192.168.0.10 --ports 80,443",
        "sluice tcp client --url wss://203.0.113.7:8123 --token-file token --local 5432:127.0.0.1:5432",
    ],
)
def tcp_client(config: "TcpClientConfig") -> None:
    """Offer ports of this network through a server.

    Dials out to the server, and again whenever the connection is lost.
    """
    from appliance.cli.compose import run_client

    run_client(config)


@sluice.command(
    cls=ConfigCommand,
    config_class="server.ServerConfig",
    examples=[
        "sluice server --token-file token --auto-tls-san 203.0.113.7",
        "sluice server --token-file token --port 80 --allow-ports 2222,5432",
    ],
)
def server(config: "ServerConfig") -> None:
    """Accept clients, and visitors by HTTP and TCP at once.

    As `http server` and `tcp server` together, with one control port.
    """
    from appliance.cli.compose import run_server

    run_server(config)


@sluice.command(
    cls=ConfigCommand,
    config_class="client.ClientConfig",
    examples=[
        "sluice client --url wss://203.0.113.7:8123 --token-file token \\",
        "    --upstream app.example.com=http://127.0.0.1:3000 --upstream 2222=127.0.0.1:22",
    ],
)
def client(config: "ClientConfig") -> None:
    """Offer HTTP services and ports of this network through a server.

    As `http client` and `tcp client` together, in one connection.
    """
    from appliance.cli.compose import run_client

    run_client(config)


def file_server(config: "FileServerConfig") -> None:
    """Serve the files of a directory over HTTP."""
    from appliance.cli.compose import run_file_server

    run_file_server(config)


def _file_server_command(hidden: bool) -> ConfigCommand:
    return ConfigCommand(
        name="fileserver",
        config_class="file_server.FileServerConfig",
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
    config_class="status.StatusConfig",
    examples=[
        "sluice status --url wss://203.0.113.7:8123 --token-file token",
        "sluice status --token-file token --json",
        "sluice status --token-file token --watch",
    ],
)
def status(config: "StatusConfig") -> None:
    """Show a server and its connected clients.

    Exits 1 when the server cannot be reached, 3 when it refuses the token.
    """
    from appliance.cli.status import print_status

    print_status(config)


@sluice.command(
    cls=ConfigCommand,
    config_class="certificates.CertificatesConfig",
    examples=[
        "sluice certificates",
        "sluice certificates --url wss://203.0.113.7:8123 --token-file token",
    ],
)
def certificates(config: "CertificatesConfig") -> None:
    """List a server's certificates, and the fingerprint of its authority.

    Without --url those that the server on this machine keeps: of its own authority, and of Let's Encrypt. With --url
    all that a running server has in use, also those brought from elsewhere.
    """
    from appliance.cli.certificates import print_certificates

    print_certificates(config)


@sluice.command(
    cls=ConfigCommand,
    config_class="known.KnownConfig",
    examples=[
        "sluice trust --url wss://203.0.113.7:8123",
        "sluice trust --list",
        "sluice trust --url wss://203.0.113.7:8123 --forget",
    ],
)
def trust(config: "KnownConfig") -> None:
    """Show how a server is known here, and trust it as it is now.

    A client remembers the authority of each server, and refuses another one until it is accepted here: after a look at
    `sluice certificates` on the server. Exits 1 when that is not done.
    """
    from appliance.cli.trust import trust as run_trust

    run_trust(config)


@sluice.group(
    invoke_without_command=True,
    examples=[
        "(umask 077; sluice tokens add pi --token-file token > pi.token)",
        "sluice tokens list --token-file token",
        "sluice tokens remove pi --token-file token",
    ],
)
@click.pass_context
def tokens(ctx: click.Context) -> None:
    """Tokens of their own for clients: each opens what it is made for, and can be revoked by itself."""
    _help_unless_called(ctx)


@tokens.command(
    "list",
    cls=ConfigCommand,
    config_class="tokens.TokensConfig",
    examples=["sluice tokens list --url wss://203.0.113.7:8123 --token-file token"],
)
def tokens_list(config: "TokensConfig") -> None:
    """List a server's tokens for clients, and how many clients each has let in.

    The tokens themselves are kept nowhere and cannot be shown again.
    """
    from appliance.cli.tokens import list_tokens

    list_tokens(config)


@tokens.command(
    "add",
    cls=ConfigCommand,
    config_class="tokens.NewTokenConfig",
    examples=[
        "(umask 077; sluice tokens add pi --url wss://203.0.113.7:8123 --token-file token > pi.token)",
        "sluice tokens add pi --token-file token --names '*.home.example.com' --ports 2222",
    ],
)
def tokens_add(config: "NewTokenConfig") -> None:
    """Make a token that lets clients connect, and nothing else, and print it this once.

    The server keeps its digest alone. With --names or --ports its clients may offer these and nothing more.
    """
    from appliance.cli.tokens import add_token

    add_token(config)


@tokens.command(
    "remove",
    cls=ConfigCommand,
    config_class="tokens.NamedTokenConfig",
    examples=["sluice tokens remove pi --url wss://203.0.113.7:8123 --token-file token"],
)
def tokens_remove(config: "NamedTokenConfig") -> None:
    """Revoke a token. The sessions of its clients end at once, with all that they carry."""
    from appliance.cli.tokens import remove_token

    remove_token(config)


@sluice.group(
    "config",
    invoke_without_command=True,
    examples=["sluice config check /etc/sluice/server.toml", "sluice config show /etc/sluice/server.toml"],
)
@click.pass_context
def config_files(ctx: click.Context) -> None:
    """Look at configuration files, as --config reads them."""
    _help_unless_called(ctx)


@config_files.command(
    "check",
    examples=["sluice config check /etc/sluice/server.toml", "sluice config check --json /etc/sluice/client.toml"],
)
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config_check(file: str, as_json: bool) -> None:
    """Say what a file runs, or what is wrong with it.

    Exits 2 when something is: in the file, or in what it names.
    """
    from appliance.cli.checking import check

    check(file, as_json)


@config_files.command(
    "show",
    examples=["sluice config show /etc/sluice/server.toml", "sluice config show --json /etc/sluice/server.toml"],
)
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config_show(file: str, as_json: bool) -> None:
    """Print all settings that are in force with a file, defaults too."""
    from appliance.cli.checking import show

    show(file, as_json)


@sluice.command(
    cls=ConfigCommand,
    config_class="doctor.DoctorConfig",
    examples=[
        "sluice doctor --config /etc/sluice/server.toml",
        "sluice doctor --url wss://203.0.113.7:8123 --token-file token",
        "sluice doctor --name tunnel.example.com",
    ],
)
def doctor(config: "DoctorConfig") -> None:
    """Look for what keeps a tunnel from working, and say how to mend it.

    Looks at this machine; with --config at all that a server or client needs, with --url at a server. Without either,
    at the files in /etc/sluice that are there. Changes nothing. Exits 1 when something is wrong.
    """
    from appliance.cli.doctor.rounds import doctor as run_doctor

    run_doctor(config)


for command in (program.version, program.completion, program.man):
    sluice.add_command(command)


def _help_unless_called(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
