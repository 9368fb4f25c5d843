"""A place to download blobs from, over real HTTP: signed addresses, Range, statuses and connections that break."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SIGNATURE = "X-Amz-Signature=not-to-be-shown"


@dataclass
class BlobServer:
    """Serves files by path. The lists are used up from the front, one entry a request."""

    url: str = ""
    files: dict[str, Path] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """What was asked for: path and Range header."""

    headers: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request."""

    statuses: list[int] = field(default_factory=list)
    """Statuses to answer with instead of content; 200 is content."""

    cut_after: list[int | None] = field(default_factory=list)
    """Bytes of a body after which the connection is cut; None leaves it whole."""

    redirects: dict[str, str] = field(default_factory=dict)
    """Where to go on to, by path."""

    knows_range: bool = True

    uploads: Callable[[BaseHTTPRequestHandler], None] = lambda handler: None
    """What serves POST, PATCH and PUT."""

    def address(self, path: str) -> str:
        return f"{self.url}{path}?{SIGNATURE}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    blobs: BlobServer

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.blobs.requests.append((path, self.headers.get("Range")))
        self.blobs.headers.append(dict(self.headers.items()))
        status = self.blobs.statuses.pop(0) if self.blobs.statuses else 200
        if status == 200 and query != SIGNATURE:
            status = 403
        if status == 200 and path in self.blobs.redirects:
            self._answer(307, {"Content-Length": "0", "Location": self.blobs.redirects[path]})
            return
        if status == 200 and path not in self.blobs.files:
            status = 404
        if status != 200:
            self._answer(status, {"Content-Length": "0"})
            return
        file = self.blobs.files[path]
        size, start = file.stat().st_size, 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and self.blobs.knows_range:
            start = int(wanted[1])
            self._answer(
                206, {"Content-Length": str(size - start), "Content-Range": f"bytes {start}-{size - 1}/{size}"}
            )
        else:
            self._answer(200, {"Content-Length": str(size)})
        self._send(file, start, size - start)

    def do_POST(self) -> None:
        self.blobs.uploads(self)

    do_PATCH = do_PUT = do_POST

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, file: Path, start: int, length: int) -> None:
        cut = self.blobs.cut_after.pop(0) if self.blobs.cut_after else None
        left = length if cut is None else min(cut, length)
        with file.open("rb") as content:
            content.seek(start)
            try:
                while left and (chunk := content.read(min(left, 64 * 1024))):
                    self.wfile.write(chunk)
                    left -= len(chunk)
            except OSError:  # the client has gone
                self.close_connection = True
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Tests print nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests; everything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serve_blobs() -> Iterator[BlobServer]:
    blobs = BlobServer()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"blobs": blobs}))
    blobs.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield blobs
    server.shutdown()
    server.server_close()
    thread.join()
