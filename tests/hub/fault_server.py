"""A hub that misbehaves as told: small models from memory, and rules that spoil single answers.

    with FaultServer({"org/model": files}) as hub:
        hub.rule("model.safetensors", lambda request, answer: answer.cut(100))
        … HF_ENDPOINT=hub.url …
        hub.requests

A rule sees the request and the answer that would be right, and changes it. Its path is a regular
expression that the request's path contains.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None  # what Content-Length says; None: the body's
    sent: int | None = None  # bytes of the body after which the connection is closed
    stall: float = 0  # seconds to wait there instead, or until the server stops
    reset: bool = False  # instead of an answer, or after `sent` bytes
    wait: float = 0  # seconds before the answer
    rate: float = 0  # bytes a second; 0: as fast as it goes

    def cut(self, sent: int) -> Answer:
        """Says that it has all bytes, and ends early."""
        return replace(self, sent=sent)

    def stalled(self, sent: int = 0) -> Answer:
        return replace(self, sent=sent, stall=60)

    def with_headers(self, **headers: str | None) -> Answer:
        """Names with _ for -; None takes one away."""
        merged = dict(self.headers)
        for name, value in headers.items():
            key = name.replace("_", "-")
            merged.pop(key, None)
            if value is not None:
                merged[key] = value
        return replace(self, headers=merged)


@dataclass
class Request:
    method: str
    path: str  # decoded, without the query
    range: str
    authorization: str | None
    host: str
    headers: dict[str, str]
    number: int  # of the requests for this path, from 0
    time: float
    url: str  # of the server that got it

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.range}"


Rule = Callable[[Request, Answer], Answer]


def json_answer(value: object, status: int = 200, **headers: str) -> Answer:
    fields = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | fields)


def error_answer(status: int, code: str | None, message: str = "") -> Answer:
    fields = {"X_Error_Code": code, "X_Error_Message": message or code} if code else {}
    return json_answer({"error": message or code or "no"}, status, **fields)


def redirect_to(url: str, status: int = 302) -> Answer:
    return Answer(status, b"", {"Location": url})


def read_folder(folder: Path) -> dict[str, bytes]:
    from hub_tree import model_files

    return {name: path.read_bytes() for name, path in model_files(folder).items()}


def commit_of(name: str, files: dict[str, bytes]) -> str:
    text = json.dumps(
        [name, {key: hashlib.sha256(data).hexdigest() for key, data in files.items()}]
    )
    return hashlib.sha1(text.encode()).hexdigest()


def part(request_range: str, answer: Answer) -> Answer:
    """What is asked of a whole answer: 206, 416 or all of it."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", request_range)
    if not found or answer.status != 200:
        return answer
    total = len(answer.body)
    first, last = found.groups()
    if first:
        begin, end = int(first), min(int(last) + 1 if last else total, total)
    else:
        begin, end = max(0, total - int(last)), total
    if begin >= end:
        return Answer(416, b"", {"Content-Range": f"bytes */{total}"})
    headers = answer.headers | {"Content-Range": f"bytes {begin}-{end - 1}/{total}"}
    return replace(answer, status=206, body=answer.body[begin:end], headers=headers)


class FaultServer:
    def __init__(
        self,
        models: dict[str, dict[str, bytes]] | None = None,
        certificate: tuple[Path, Path] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """@param models  name: files; "name@revision" for others than main
        @param certificate  certificate and key, for https"""
        self.models = models or {}
        self.requests: list[Request] = []
        self._rules: list[tuple[re.Pattern[str], Rule]] = []
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self._server = _Server((host, 0), _Handler)
        self._server.hub = self
        self.port = self._server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'https' if certificate else 'http'}://{host}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def rule(self, path: str, change: Rule) -> None:
        self._rules.append((re.compile(path), change))

    def forget(self) -> None:
        """No rules, no requests."""
        self._rules.clear()
        self.requests.clear()

    def record(self, handler: BaseHTTPRequestHandler) -> Request:
        path = unquote(urlsplit(handler.path).path)
        with self._lock:
            request = Request(
                handler.command,
                path,
                handler.headers.get("Range", ""),
                handler.headers.get("Authorization"),
                handler.headers.get("Host", ""),
                dict(handler.headers.items()),
                sum(earlier.path == path for earlier in self.requests),
                time.monotonic(),
                self.url,
            )
            self.requests.append(request)
        return request

    def answer(self, request: Request) -> Answer:
        answer = self._right_answer(request)
        for pattern, change in self._rules:
            if pattern.search(request.path):
                answer = change(request, answer)
        return answer

    def _find(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        for key, files in self.models.items():
            known, _, branch = key.partition("@")
            commit = commit_of(key, files)
            if known == name and revision in (branch or "main", commit):
                return commit, files
        return None

    def _right_answer(self, request: Request) -> Answer:
        api = re.fullmatch(
            r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/(.+)|/(refs))?", request.path
        )
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", request.path)
        found = api or file
        if not found or found[1] not in {key.partition("@")[0] for key in self.models}:
            return error_answer(404, "RepoNotFound", "Repository not found")
        if api and api[4]:
            return json_answer(self._refs(api[1]))
        model = self._find(found[1], (api and api[3]) or (file and file[2]) or "main")
        if not model:
            return error_answer(404, "RevisionNotFound", f"Invalid rev id: {found[0]}")
        commit, files = model
        if api:
            if api[2] == "tree":
                return json_answer([self._entry(key, data) for key, data in files.items()])
            siblings = [{"rfilename": key} for key in files]
            return json_answer({"id": api[1], "sha": commit, "siblings": siblings})
        assert file
        if file[3] not in files:
            missing = error_answer(404, "EntryNotFound", "Entry not found")
            return missing.with_headers(X_Repo_Commit=commit)
        data = files[file[3]]
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        return part(request.range, Answer(200, data, headers))

    def _refs(self, name: str) -> dict[str, list[dict[str, str]]]:
        branches = []
        for key, files in self.models.items():
            known, _, branch = key.partition("@")
            if known == name:
                ref = branch or "main"
                commit = commit_of(key, files)
                branches.append({"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": commit})
        return {"branches": branches, "converts": [], "tags": []}

    @staticmethod
    def _entry(key: str, data: bytes) -> dict[str, object]:
        return {
            "type": "file",
            "path": key,
            "size": len(data),
            "oid": hashlib.sha1(data).hexdigest(),
        }

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    hub: FaultServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing to say."""

    def do_GET(self) -> None:
        hub = self.server.hub
        request = hub.record(self)
        answer = hub.answer(request)
        if answer.wait:
            hub.stopping.wait(answer.wait)
        if answer.reset and answer.sent is None:
            self._reset()
            return
        self.send_response(answer.status)
        length = len(answer.body) if answer.length is None else answer.length
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = len(answer.body) if answer.sent is None else answer.sent
        self._send(answer.body[:sent], answer.rate)
        if answer.stall:
            hub.stopping.wait(answer.stall)
        if answer.reset:
            self._reset()
        if sent < length:
            self.close_connection = True

    do_HEAD = do_GET

    def _send(self, data: bytes, rate: float) -> None:
        if not rate:
            self.wfile.write(data)
            return
        piece = max(1, int(rate / 200))
        for begin in range(0, len(data), piece):
            self.wfile.write(data[begin : begin + piece])
            self.wfile.flush()
            if self.server.hub.stopping.wait(1 / 200):
                break

    def _reset(self) -> None:
        """RST instead of an end."""
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.wfile.flush()
            self.connection.close()
        self.close_connection = True
