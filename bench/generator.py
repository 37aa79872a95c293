"""A load generator in one process: raw sockets, prepared bytes, kept connections, one request in flight on each."""

from __future__ import annotations

import itertools
import selectors
import socket
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MARK = "@@id@@"  # in a body: where the request id goes
CHUNK = 65536
STALLED = 10.0  # seconds without any answer after which the server counts as gone


@dataclass(frozen=True, slots=True)
class Measured:
    """What a time of load came to. `errors` are answers other than 200 (wrk: from 400), and broken connections."""

    requests: int  # answered
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds if self.seconds else 0.0


class Requests:
    """The bytes of one request after the other; all are of the same length."""

    def __init__(self, url: str, path: str, token: str, body: str, prefix: str, same: bool = False) -> None:
        target = urlsplit(url)
        self.address = (target.hostname or "", target.port or 80)
        self._numbers = itertools.repeat(0) if same else itertools.count(1)
        before, _, self._tail = body.encode().partition(MARK.encode())
        self._width = 9
        length = len(before) + len(prefix.encode()) + 1 + self._width + len(self._tail)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {target.netloc}\r\nChan-Token: {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
        self._head = head.encode() + before + f"{prefix}-".encode()

    def next(self) -> bytes:
        """The next request."""
        return self._head + b"%09d" % next(self._numbers) + self._tail


@dataclass(slots=True)
class _Line:
    """One connection and the answer that is arriving on it."""

    socket: socket.socket
    sent_at: int = 0  # nanoseconds
    buffer: bytes = b""


@dataclass(slots=True)
class _Tally:
    """What has happened so far."""

    nanoseconds: list[int] = field(default_factory=list)
    errors: int = 0
    heard_at: float = 0.0


def run(requests: Requests, *, connections: int, seconds: float) -> Measured:
    """Load for so many seconds; what is in flight then is not waited for. Raises OSError when nobody listens."""
    tally = _Tally(heard_at=time.monotonic())
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            _open(selector, requests)
        began = time.monotonic()
        until = began + seconds
        while (now := time.monotonic()) < until and now - tally.heard_at < STALLED:
            for key, _ in selector.select(timeout=0.1):
                _hear(selector, key.data, requests, tally)
        took = time.monotonic() - began
        for key in list(selector.get_map().values()):
            key.data.socket.close()
    if now < until:
        tally.errors += connections  # all of them hang
    return _measured(tally, took)


def _open(selector: selectors.BaseSelector, requests: Requests) -> None:
    connection = socket.create_connection(requests.address, timeout=STALLED)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line = _Line(connection)
    selector.register(connection, selectors.EVENT_READ, line)
    _send(line, requests)


def _send(line: _Line, requests: Requests) -> None:
    line.buffer = b""
    line.sent_at = time.perf_counter_ns()
    line.socket.sendall(requests.next())


def _hear(selector: selectors.BaseSelector, line: _Line, requests: Requests, tally: _Tally) -> None:
    """Takes what has arrived; a whole answer is counted and followed by the next request."""
    try:
        piece = line.socket.recv(CHUNK)
    except ConnectionError:
        piece = b""
    if not piece:
        tally.errors += 1
        selector.unregister(line.socket)
        line.socket.close()
        _open(selector, requests)
        return
    line.buffer += piece
    status = answered(line.buffer)
    if status is None:
        return
    tally.nanoseconds.append(time.perf_counter_ns() - line.sent_at)
    tally.heard_at = time.monotonic()
    tally.errors += status != 200
    _send(line, requests)


def answered(buffer: bytes) -> int | None:
    """The status of an answer that has arrived whole; None while it has not. Every answer must tell its length."""
    head, end, body = buffer.partition(b"\r\n\r\n")
    if not end:
        return None
    _, _, rest = head.lower().partition(b"content-length:")
    if len(body) < int(rest.partition(b"\r\n")[0]):
        return None
    return int(head[9:12])


def _measured(tally: _Tally, seconds: float) -> Measured:
    times = sorted(tally.nanoseconds)
    return Measured(
        requests=len(times),
        seconds=seconds,
        errors=tally.errors,
        p50_ms=percentile(times, 50) / 1e6,
        p99_ms=percentile(times, 99) / 1e6,
    )


def percentile(ascending: list[int] | list[float], percent: float) -> float:
    """The value that so many percent do not exceed; 0 for none at all."""
    if not ascending:
        return 0.0
    return float(ascending[min(len(ascending) - 1, int(len(ascending) * percent / 100))])
