"""Somebody on loopback: keeps every POST byte for byte, answers what the test says, and can hold its answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

Answer = int | tuple[int, Mapping[str, str]]


@dataclass(frozen=True)
class Received:
    """One POST as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of the POST, in either of its two shapes."""
        value = json.loads(self.body)
        found: list[dict[str, Any]] = value["events"] if isinstance(value, dict) else value
        return found

    @property
    def ids(self) -> list[UUID]:
        return [UUID(event["event_id"]) for event in self.events]


@dataclass
class Listener:
    """What a test may know and say. `answer` gets each POST; `gate` holds the answers while it is cleared."""

    port: int = 0
    answer: Callable[[Received], Answer] = lambda post: 200
    posts: list[Received] = field(default_factory=list)
    body: bytes = b""  # of every answer
    gate: threading.Event = field(default_factory=threading.Event)
    flying: int = 0
    most_flying: int = 0
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_for(self, count: int) -> None:
        """Until that many POSTs have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.posts) >= count, timeout=10)

    def take(self, post: Received) -> tuple[int, Mapping[str, str]]:
        with self.arrived:
            self.posts.append(post)
            self.flying += 1
            self.most_flying = max(self.most_flying, self.flying)
            self.arrived.notify_all()
        self.gate.wait(20)
        answer = self.answer(post)
        with self.arrived:
            self.flying -= 1
        return answer if isinstance(answer, tuple) else (answer, {})


@contextmanager
def serving() -> Iterator[Listener]:
    """Runs a listener, its gate open."""
    listener = Listener()
    listener.gate.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            status, headers = listener.take(Received(self.path, dict(self.headers), body))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(listener.body)))
            self.end_headers()
            self.wfile.write(listener.body)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test reads `posts`."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    listener.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield listener
    finally:
        listener.gate.set()
        server.shutdown()
        thread.join(10)
        server.server_close()
