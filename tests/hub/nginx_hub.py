"""A real nginx on free ports of the loopback that serves a hub_tree.Tree, and its log.

hub.http     http://127.0.0.1:PORT
hub.https    https://127.0.0.1:PORT, HTTP/2, with a certificate that hub.certificate verifies
hub.files    /files/: any folder as it is, with nginx's own ETags, which answer If-None-Match
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from hub_tree import Tree

CONFIGURATION = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/temp;
  proxy_temp_path {folder}/temp;
  fastcgi_temp_path {folder}/temp;
  uwsgi_temp_path {folder}/temp;
  scgi_temp_path {folder}/temp;
  sendfile on;
  tcp_nodelay on;
  keepalive_requests 10000;
  http2_max_concurrent_streams 128;
  map_hash_bucket_size 512;
  map_hash_max_size 8192;
  types {{ application/json json; }}
  default_type application/octet-stream;
  map $http_host $hub_port {{ default ""; ~(?<port>:[0-9]+)$ $port; }}
  map $http_authorization $authorized {{ default yes; "" no; }}
  map $uri $hub_etag {{ default ""; include {folder}/etags; }}
  map $uri $hub_size {{ default ""; include {folder}/sizes; }}
  map $uri $hub_commit {{ default ""; include {folder}/commits; }}
  map $uri $hub_away {{ default ""; include {folder}/away; }}
  map $uri $hub_error {{ default RepoNotFound; include {folder}/errors; }}
  log_format requests escape=json '{{"end":"$msec","seconds":"$request_time",'
    '"method":"$request_method","uri":"$request_uri","host":"$host","status":"$status",'
    '"range":"$http_range","body":"$body_bytes_sent","sent":"$bytes_sent",'
    '"received":"$request_length","connection":"$connection","protocol":"$server_protocol",'
    '"authorized":"$authorized","agent":"$http_user_agent","if_none":"$http_if_none_match",'
    '"port":"$server_port"}}';
  server {{
    listen 127.0.0.1:{http};
    listen 127.0.0.1:{https} ssl http2;
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    absolute_redirect off;
    root {root};
    access_log {folder}/access.log requests;
    error_page 404 = @missing;
    location @missing {{
      etag off;
      add_header X-Error-Code $hub_error always;
      add_header X-Error-Message "$hub_error of a test" always;
      default_type application/json;
      return 404 '{{"error":"$hub_error"}}';
    }}
    location ^~ /files/ {{ alias {files}/; }}
    location ^~ /api/ {{
      etag off;
      default_type application/json;
      try_files $uri/index.json =404;
    }}
    location ^~ /away/ {{
      etag off;
      add_header ETag '"$arg_etag"';
      rewrite ^/away(/.*)$ $1 break;
    }}
    location / {{
      etag off;
      add_header ETag '"$hub_etag"';
      add_header X-Repo-Commit $hub_commit;
      if ($hub_away) {{
        add_header X-Repo-Commit $hub_commit;
        add_header X-Linked-Etag '"$hub_etag"';
        add_header X-Linked-Size $hub_size;
        return 302 $scheme://localhost$hub_port/away$uri?etag=$hub_etag;
      }}
    }}
  }}
}}
"""


def missing() -> str:
    """What these tests lack here; empty where they can run."""
    if not nginx():
        return "no nginx"
    return "" if shutil.which("openssl") else "no openssl"


def nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


def make_certificate(folder: Path) -> Path:
    """Its own authority, for 127.0.0.1 and localhost."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    command += f" -subj /CN=localhost -keyout {folder}/key.pem -out {folder}/certificate.pem"
    command += " -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.2"
    subprocess.run(command.split(), check=True, capture_output=True)
    return folder / "certificate.pem"


@dataclass
class Request:
    """A line of nginx's log."""

    method: str
    uri: str
    status: int
    range: str
    body: int  # bytes sent, without headers
    begin: float  # seconds, when nginx had read its first byte
    end: float
    connection: int
    protocol: str
    authorized: bool
    agent: str
    host: str
    line: str

    @classmethod
    def of(cls, line: str) -> Request:
        entry = json.loads(line)
        end = float(entry["end"])
        return cls(
            entry["method"],
            entry["uri"].partition("?")[0],
            int(entry["status"]),
            entry["range"],
            int(entry["body"]),
            end - float(entry["seconds"]),
            end,
            int(entry["connection"]),
            entry["protocol"],
            entry["authorized"] == "yes",
            entry["agent"],
            entry["host"],
            line,
        )


def depth(requests: list[Request], round_trip: float) -> int:
    """The longest chain of requests of which each came a round trip after the end of the one
    before: no chain of dependent requests can be longer. The clock of the log has milliseconds."""
    chain, last = 0, float("-inf")
    for request in sorted(requests, key=lambda request: request.end):
        if request.begin >= last + round_trip - 0.004:
            chain, last = chain + 1, request.end
    return chain


class NginxHub:
    def __init__(
        self, folder: Path, tree: Tree, files: Path | None = None, redirect: bool = False
    ) -> None:
        """@param redirect  large files are sent by another host, localhost, as the hub does"""
        self.folder = folder
        self.redirect = redirect
        self.tree = tree
        (folder / "temp").mkdir(parents=True)
        self.certificate = make_certificate(folder)
        self._write_maps()
        ports = free_ports(2)
        user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
        text = CONFIGURATION.format(
            folder=folder,
            root=tree.root.resolve(),
            files=files or folder / "temp",
            http=ports[0],
            https=ports[1],
            user=user,
        )
        (folder / "nginx.conf").write_text(text)
        self.http_port, self.https_port = ports
        self.http, self.https = (
            f"{scheme}://127.0.0.1:{port}"
            for scheme, port in zip(("http", "https"), ports, strict=True)
        )
        self.files = self.http + "/files"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [str(nginx()), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        command += ["-e", str(self.folder / "error.log")]
        with (self.folder / "start.log").open("wb") as errors:
            process = subprocess.Popen(command, stderr=errors, stdout=errors)
        until = time.monotonic() + 20
        while time.monotonic() < until and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.https_port), 1).close()
                return process
            except OSError:
                time.sleep(0.01)
        process.kill()
        process.wait()
        logs = [self.folder / "start.log", self.folder / "error.log"]
        texts = [log.read_text() for log in logs if log.exists()]
        raise AssertionError("nginx did not start: " + " ".join(texts))

    def _write_maps(self) -> None:
        """What the locations above look up by path."""
        maps: dict[str, list[str]] = {
            key: [] for key in ("etags", "sizes", "commits", "away", "errors")
        }
        for path, (file, commit) in self.tree.served().items():
            maps["etags"].append(f'"{path}" "{file.etag}";')
            maps["sizes"].append(f'"{path}" "{file.size}";')
            maps["commits"].append(f'"{path}" "{commit}";')
            if self.redirect and file.large:
                maps["away"].append(f'"{path}" 1;')
        for name, repository in self.tree.repositories.items():
            escaped = name.replace(".", r"\.")
            for revision in [*repository.refs, *repository.commits]:
                at = f"{escaped}/resolve/{revision.replace('.', chr(92) + '.')}"
                maps["errors"].append(f'"~^/{at}/" EntryNotFound;')
            maps["errors"].append(f'"~^/{escaped}/resolve/" RevisionNotFound;')
            maps["errors"].append(f'"~^/api/models/{escaped}/" RevisionNotFound;')
        for key, lines in maps.items():
            (self.folder / key).write_text("\n".join(lines) + "\n")

    def reload(self) -> None:
        """After a change of the tree."""
        self._write_maps()
        self.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)

    def requests(self) -> list[Request]:
        log = self.folder / "access.log"
        return [Request.of(line) for line in log.read_text().splitlines()] if log.exists() else []

    def forget(self) -> None:
        """Begins the log anew."""
        with (self.folder / "access.log").open("w"):
            pass

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> NginxHub:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
