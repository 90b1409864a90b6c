"""Debian's nginx or haproxy where TLS ends, in front of a server of the program: one port for all, as an Ingress."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.stage.process import PATIENCE_SECONDS, Process, eventually, free_port, listening

# What either does with a connection on which nothing passes, by default: Debian's /etc/haproxy/haproxy.cfg has 50 s.
DEFAULT_SECONDS = {"nginx": 60.0, "haproxy": 50.0}

_NGINX = """
daemon off;
master_process off;
error_log {directory}/error.log warn;
pid {directory}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxied;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        ''      '';
    }}
    proxy_read_timeout {milliseconds}ms;
    proxy_send_timeout {milliseconds}ms;
    send_timeout {milliseconds}ms;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    ssl_certificate {directory}/both.pem;
    ssl_certificate_key {directory}/both.pem;
    server {{
        listen 127.0.0.1:{port} ssl default_server;
        location / {{ proxy_pass http://127.0.0.1:{data_port}; }}
    }}
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name localhost;
        location / {{ proxy_pass http://127.0.0.1:{control_port}; }}
    }}
}}
"""
_HAPROXY = """
global
    maxconn 400
defaults
    mode http
    timeout connect 5s
    timeout client {milliseconds}ms
    timeout server {milliseconds}ms
frontend all
    bind 127.0.0.1:{port} ssl crt {directory}/both.pem
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    use_backend control if {{ hdr(host),field(1,:) -i localhost }}
    default_backend data
backend data
    server sluice 127.0.0.1:{data_port}
backend control
    server sluice 127.0.0.1:{control_port}
"""
_OPENSSL = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=proxy"


class TlsEnd:
    """`kind`: nginx or haproxy. What asks for localhost goes to `control_port`, all else to `data_port`.

    Connections are ended after `seconds` of silence. `authority`: the file with what to trust.
    """

    def __init__(self, kind: str, directory: Path, data_port: int, control_port: int, seconds: float) -> None:
        self.port = free_port()
        self.authority = directory / "proxy.pem"
        key = directory / "proxy.key"
        command = [*_OPENSSL.split(), "-addext", "subjectAltName=DNS:localhost,DNS:app.example"]
        command += ["-keyout", str(key), "-out", str(self.authority)]
        subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_SECONDS)
        (directory / "both.pem").write_text(self.authority.read_text() + key.read_text())
        path = directory / f"{kind}.conf"
        path.write_text(
            (_NGINX if kind == "nginx" else _HAPROXY).format(
                directory=directory,
                port=self.port,
                data_port=data_port,
                control_port=control_port,
                milliseconds=int(seconds * 1000),
            )
        )
        program = ["/usr/sbin/nginx", "-p", str(directory), "-c"] if kind == "nginx" else ["haproxy", "-db", "-f"]
        self.process = Process(kind, [*program, str(path)], directory)
        eventually(lambda: listening(self.port), f"{kind} listens", self.process)

    def close(self) -> None:
        self.process.stop()
