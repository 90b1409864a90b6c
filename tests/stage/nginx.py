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
}}
"""


class Nginx:
    """Answers every request 200; under /files/ takes uploads and serves them again, ranges too."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "files").mkdir()
        self.port = free_port()
        configuration = directory / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(directory=directory, port=self.port))
        self.process = Process("nginx", ["/usr/sbin/nginx", "-p", str(directory), "-c", str(configuration)], directory)
        eventually(lambda: listening(self.port), "nginx listens", self.process)

    def logged(self) -> list[str]:
        """A line for each request that nginx has understood or refused: `status|Host|request line`."""
        return (self.directory / "access.log").read_text("latin-1").splitlines()

    def close(self) -> None:
        self.process.stop()
