"""A relay in front of PostgreSQL that counts round trips: each ReadyForQuery from the server ends one.

What pools, drivers and Django do beneath a query count is seen here too. It can also fall silent, as a firewall does
that has forgotten its connections.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import connection as database
from django.db import connections

from connector.postgresql.base import DatabaseWrapper

READY = b"Z"


@dataclass
class Counted:
    """Where the relay listens, and what went through it."""

    port: int
    trips: int = 0
    statements: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    connections: int = 0
    silent: int = 0  # connections up to this number are dead, and nobody says so
    deaf: int = 0  # of connections up to this number the client hears nothing; the server does
    dead: bool = False  # nobody hears anything, and new connections get no answer either

    sockets: list[socket.socket] = field(default_factory=list)

    def hears_client(self, number: int) -> bool:
        return number > self.silent and not self.dead

    def hears_server(self, number: int) -> bool:
        return number > max(self.silent, self.deaf) and not self.dead

    def fall_silent(self) -> None:
        """Nothing passes any more on the connections that there are, in either direction; new ones work."""
        with self.lock:
            self.silent = self.connections


@contextlib.contextmanager
def counting_relay(settings: dict[str, Any] | None = None) -> Iterator[Counted]:
    """A relay on loopback to the server that the tests use, or to the HOST and PORT of other settings."""
    settings = settings or database.settings_dict
    listener = socket.create_server(("127.0.0.1", 0))
    counted = Counted(listener.getsockname()[1])

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with counted.lock:
                counted.connections += 1
            _relay(client, _dial(settings), counted, counted.connections)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield counted
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for side in counted.sockets:
            _end(side)


def in_other_process_settings(work: Callable[[], Any], **changes: Any) -> Any:
    """Runs `work` in a thread whose default database has settings of its own; its result, or its exception."""
    result: list[Any] = []

    def run() -> None:
        wrapper = DatabaseWrapper({**connection_settings, **changes}, alias="default")
        connections["default"] = wrapper
        try:
            result.append(work())
        except BaseException as error:
            result.append(error)
        finally:
            wrapper.close()
            if wrapper.settings_dict["OPTIONS"].get("pool"):
                wrapper.close_pool()

    connection_settings = database.settings_dict
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


def _dial(settings: dict[str, Any]) -> socket.socket:
    host, port = str(settings["HOST"]), int(settings["PORT"] or 5432)
    if not host.startswith("/"):
        return socket.create_connection((host or "127.0.0.1", port))
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{host}/.s.PGSQL.{port}")
    return server


def _relay(client: socket.socket, server: socket.socket, counted: Counted, number: int) -> None:
    counted.sockets += [client, server]

    def down() -> None:
        with contextlib.suppress(OSError), server.makefile("rb") as stream:
            while header := stream.read(5):
                kind, length = header[:1], struct.unpack("!I", header[1:])[0]
                rest = stream.read(length - 4)
                if kind == READY:
                    with counted.lock:
                        counted.trips += 1
                if counted.hears_server(number):
                    client.sendall(header + rest)

    def up() -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(65536):
                if counted.hears_client(number):
                    server.sendall(piece)
        _end(client)
        if counted.hears_client(number):  # else it never hears that the client is gone
            _end(server)

    threading.Thread(target=down, daemon=True).start()
    threading.Thread(target=up, daemon=True).start()


def _end(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
    side.close()
