"""The wire below `outbound.http`: sockets that keep one deadline, and the pools they wait in.

The exchange under way belongs to the thread. Its sockets shrink their time-out before each read and write, so
a server that drips bytes is cut at the deadline like one that is silent, and TLS is no exception.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import certifi
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from outbound.addresses import AddressGuard, Resolved, ResolveError, resolve

POOL_SIZE = 64  # connections kept per host; more may be open at once
HOSTS_MAX = 256  # hosts with a pool, least recently used goes first
IDLE_MAX = 4.0  # seconds; servers close at 5 s and more, and a stale connection would be an unknown outcome


class Stage(IntEnum):
    """How far an exchange came. From WRITING on, the other side may have heard of it."""

    START = 0
    RESOLVING = 1
    CHECKING = 2
    CONNECTING = 3
    SECURING = 4
    CONNECTED = 5
    WRITING = 6


@dataclass(slots=True)
class CallUnderWay:
    """One call under way: until when (time.monotonic), what it may dial, how far it came."""

    deadline: float
    guard: AddressGuard | None
    stage: Stage = Stage.START

    def left(self) -> float:
        """Seconds until the deadline. Raises TimeoutError once there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        return left


_thread = threading.local()


@contextmanager
def exchange(*, deadline: float, guard: AddressGuard | None) -> Iterator[CallUnderWay]:
    """Everything this thread reads and writes inside ends within `deadline` seconds."""
    _thread.exchange = current = CallUnderWay(time.monotonic() + deadline, guard)
    try:
        yield current
    finally:
        _thread.exchange = None


def _current() -> CallUnderWay:
    current: CallUnderWay = _thread.exchange
    return current


def _begin_to_write(sock: socket.socket) -> None:
    """Raises TimeoutError when no time is left: then this write sends nothing. (A pooled connection begins here.)"""
    current = _current()
    current.stage = max(current.stage, Stage.CONNECTED)
    sock.settimeout(current.left())
    current.stage = Stage.WRITING


class _PlainSocket(socket.socket):
    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(_current().left())
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        _begin_to_write(self)
        super().sendall(*args, **kwargs)


class _TLSSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(_current().left())
        super().do_handshake(block)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(_current().left())
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:  # what SSLSocket.sendall loops over
        _begin_to_write(self)
        return super().send(*args, **kwargs)


def _dial(host: str, port: int) -> socket.socket:
    """Resolves, checks every answer, connects to a checked one. Each gets a fair share of the time left."""
    current = _current()
    current.stage = Stage.RESOLVING
    answers = resolve(host, port, timeout=current.left())
    current.stage = Stage.CHECKING
    if current.guard:
        current.guard.check(answers)
    current.stage = Stage.CONNECTING
    failure: OSError = ResolveError("the name has no address")
    for index, answer in enumerate(answers):
        try:
            return _connect(answer, current.left() / (len(answers) - index))
        except OSError as error:
            failure = error
    raise failure


def _connect(answer: Resolved, timeout: float) -> socket.socket:
    family, sockaddr = answer
    sock = _PlainSocket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)
        sock.connect(sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


class _Parked:
    """Connections that have waited too long count as dropped."""

    sock: Any
    parked_at = 0.0

    @property
    def is_connected(self) -> bool:
        fresh = time.monotonic() - self.parked_at <= IDLE_MAX
        return fresh and bool(super().is_connected)  # type: ignore[misc]


class _Connection(_Parked, HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _dial(self._dns_host, self.port)

    def connect(self) -> None:
        super().connect()
        _current().stage = Stage.CONNECTED


class _TLSConnection(_Parked, HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        sock = _dial(self._dns_host, self.port)
        _current().stage = Stage.SECURING
        return sock

    def connect(self) -> None:
        super().connect()
        _current().stage = Stage.CONNECTED


class _Pool(HTTPConnectionPool):
    ConnectionCls: Any = _Connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.parked_at = time.monotonic()
        super()._put_conn(conn)


class _TLSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class GuardedAdapter(HTTPAdapter):
    """Pools of one class of destination: no retries, no proxies, TLS verified with one context."""

    def __init__(self, ca_bundle: Path | None) -> None:
        self._context = create_urllib3_context()
        self._context.load_verify_locations(ca_bundle or certifi.where())
        self._context.sslsocket_class = _TLSSocket
        super().__init__(pool_connections=HOSTS_MAX, pool_maxsize=POOL_SIZE, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing to do: the context verifies, and loading authorities per connection would cost 10 ms."""


@dataclass
class _Pools:
    lock: threading.Lock
    adapters: dict[tuple[AddressGuard | None, Path | None], GuardedAdapter]


def _no_pools() -> _Pools:
    return _Pools(threading.Lock(), {})


_pools = _no_pools()


def forget_pools() -> None:
    """Leaves all pools behind: a forked child must not speak on its parent's connections."""
    global _pools
    _pools = _no_pools()
    _thread.exchange = None


os.register_at_fork(after_in_child=forget_pools)


def adapter(guard: AddressGuard | None, ca_bundle: Path | None = None) -> GuardedAdapter:
    """This process's pools for a class of destination, made at first use."""
    pools, key = _pools, (guard, ca_bundle)
    with pools.lock:
        if key not in pools.adapters:
            pools.adapters[key] = GuardedAdapter(ca_bundle)
        return pools.adapters[key]
