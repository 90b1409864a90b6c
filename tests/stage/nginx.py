"""Debian's nginx as an upstream, in a directory of its own."""

from __future__ import annotations

from pathlib import Path

from tests.stage.process import Process, eventually, free_port, listening

CONFIGURATION = """
daemon off;
master_process off;
error_log {directory}/error.log warn;
pid {directory}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    log_format requests escape=none '$status|$http_host|$request';
    access_log {directory}/access.log requests;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    large_client_header_buffers 4 80k;
    client_max_body_size 0;
    keepalive_timeout 60;
    add_header X-Upstream nginx always;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "nginx"; }}
        location /files/ {{ root {directory}; dav_methods PUT; create_full_put_path on; }}
    }}
    log_format greeted '$proxy_protocol_addr $proxy_protocol_port';
    server {{
        listen 127.0.0.1:{greeted_port} proxy_protocol;
        access_log {directory}/greeted.log greeted;
        location / {{
            set $there "$proxy_protocol_server_addr $proxy_protocol_server_port";
            return 200 "$proxy_protocol_addr $proxy_protocol_port $there";
        }}
    }}
}}
"""


class Nginx:
    """Answers every request 200; under /files/ takes uploads and serves them again, ranges too.

    At `greeted_port`, connections begin with a PROXY header of either version, and the answer is what that said.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "files").mkdir()
        self.port, self.greeted_port = free_port(), free_port()
        configuration = directory / "nginx.conf"
        ports = {"port": self.port, "greeted_port": self.greeted_port}
        configuration.write_text(CONFIGURATION.format(directory=directory, **ports))
        self.process = Process("nginx", ["/usr/sbin/nginx", "-p", str(directory), "-c", str(configuration)], directory)
        eventually(lambda: listening(self.port), "nginx listens", self.process)

    def logged(self) -> list[str]:
        """A line for each request that nginx has understood or refused: `status|Host|request line`."""
        return (self.directory / "access.log").read_text("latin-1").splitlines()

    def greeted(self) -> list[str]:
        """A line for each request at `greeted_port`: `address port` of its visitor."""
        return (self.directory / "greeted.log").read_text("ascii").splitlines()

    def close(self) -> None:
        self.process.stop()
