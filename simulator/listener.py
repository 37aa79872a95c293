"""A small HTTP server on loopback, through which both stand-ins answer, or keep silent on purpose."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

HOST = "127.0.0.1"
SILENCE = 120.0  # seconds after which even a silent server hangs up
MAX_BODY = 4 * 1024 * 1024


class PortTaken(OSError):
    """Another program listens on the port."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as it came. Header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: JSON, or bytes as they are. `silent`: none, until the caller hangs up."""

    status: int = 200
    body: Mapping[str, Any] | Sequence[Any] | bytes = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False


Answerer = Callable[[Call], Reply]


class Listener:
    """Serves `answer` on loopback from threads. Port 0 takes a free one. Raises PortTaken."""

    def __init__(self, answer: Answerer, *, port: int = 0) -> None:
        try:
            self._server = _Server((HOST, port), answer)
        except OSError as error:
            raise PortTaken(f"port {port} is taken") from error
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No new connections; the open ones end with the process."""
        self._server.shutdown()
        self._server.server_close()


def port_is_free(port: int) -> bool:
    """Whether we could listen on the port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], answer: Answerer) -> None:
        self.answer = answer
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that hangs up in the middle is daily business here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    wbufsize = -1  # head and body leave in one packet
    disable_nagle_algorithm = True
    timeout = SILENCE

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: texts and numbers are in these requests."""

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            return
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(length))
        reply = self.server.answer(
            Call(self.command, url.path.rstrip("/"), dict(parse_qsl(url.query)), headers, body)
        )
        if reply.silent:
            self._keep_silent()
        else:
            self._write(reply)

    def _write(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _keep_silent(self) -> None:
        """Holds the line until the caller hangs up, so that no thread outlives its caller."""
        self.close_connection = True
        until = time.monotonic() + SILENCE
        while time.monotonic() < until:
            readable, _, _ = select.select([self.connection], [], [], 0.5)
            if readable:
                return  # end of file, or a caller who talks on: either way this exchange is over
