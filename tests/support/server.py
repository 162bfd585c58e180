"""A web server that can do what servers do on bad days."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Server(ThreadingHTTPServer):
    """Serves a folder, with parts of files.

    Attributes
    ----------
    asked : list of str
        Paths of requests, oldest first.
    failing : int
        How many more requests are answered with ``status``.
    status : int
    lasting : float
        How many more requests are answered before all of them fail.
    refused : str
        Paths that match are refused (403).
    parts : bool
        Whether parts of files are served.
    hanging : threading.Event or None
        While it is not set, requests get no answer.
    hanging_seconds : float
        How long such a request waits at most.
    at_once, most_at_once : int
        Requests that are being answered, and the most of them at any time.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.asked: list[str] = []
        self.failing = 0
        self.lasting = math.inf
        self.status = 503
        self.refused = ""
        self.parts = True
        self.hanging: threading.Event | None = None
        self.hanging_seconds = 60.0
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body in one packet

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            server.at_once += 1
            server.most_at_once = max(server.at_once, server.most_at_once)
        try:
            self._answer(server)
        finally:
            with server.lock:
                server.at_once -= 1

    def _answer(self, server: Server) -> None:
        name = unquote(urlsplit(self.path).path).lstrip("/")
        with server.lock:
            server.asked.append(name)
            fails = server.failing > 0 or server.lasting <= 0
            server.lasting -= 1
            server.failing -= server.failing > 0
        if server.hanging is not None:
            server.hanging.wait(server.hanging_seconds)
        path = server.folder / name
        if fails:
            self._send(server.status, b"busy")
        elif server.refused and re.search(server.refused, name):
            self._send(403, b"no")
        elif not path.is_file():
            self._send(404, b"nothing")
        else:
            data = path.read_bytes()
            found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            if found is None or not server.parts:
                self._send(200, data)
                return
            first = int(found[1]) if found[1] else max(0, len(data) - int(found[2]))
            last = int(found[2]) if found[1] and found[2] else len(data) - 1
            last = min(last, len(data) - 1)
            self._send(206, data[first : last + 1], f"bytes {first}-{last}/{len(data)}")

    def _send(self, status: int, data: bytes, part: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve a folder on this computer alone."""
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        if server.hanging is not None:
            server.hanging.set()
        server.shutdown()
        server.server_close()
        thread.join()
