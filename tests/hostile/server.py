"""A web server on this machine that offers one file at a time, whole or in ranges."""

import re
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class Server:
    """A context manager; serves what was last offered."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def offer(self, data: bytes, suffix: str) -> str:
        """Offer `data`, and nothing else; returns its URL."""
        _Handler.offered = data
        return f"http://127.0.0.1:{self._server.server_port}/mutant{suffix}"


class _Handler(BaseHTTPRequestHandler):
    offered = b""

    def do_GET(self) -> None:
        data = self.offered
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        if first > len(data):
            self.send_error(416)
            return
        end = min(int(asked[2]) + 1, len(data)) if asked and asked[2] else len(data)
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - first))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data[first:end])

    def log_message(self, *_: object) -> None:
        """Say nothing."""
