"""The threads of a web process, in groups: a kind of request never waits for the threads of another kind (ADR 12)."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from connector.failures import is_machine_path

CALLS = 4  # verify and test messages: they wait for a vendor
PEOPLE = 2  # pages
LOGINS = 1  # hashing a password takes a third of a second of a core
PROBES = 1  # /readyz, /metrics
LOGIN_NICENESS = 10  # hashing needs no interpreter lock, so a login that waits for a core holds up nobody
OTHERS = CALLS + PEOPLE + LOGINS + PROBES  # each may hold a database connection, beside WEB_THREADS


class Group:
    """Threads for one kind of request, and how many requests may wait for them."""

    def __init__(self, name: str, threads: int, *, most_waiting: int, niceness: int = 0) -> None:
        self.most = threads + most_waiting
        self.inside = 0
        self.pool = ThreadPoolExecutor(threads, name, initializer=_be_nice, initargs=(niceness,))

    @property
    def is_full(self) -> bool:
        return self.inside >= self.most


class Groups:
    """All groups of one process. `machines` (sends and hooks) has `threads`."""

    def __init__(self, threads: int) -> None:
        self.machines = Group("machines", threads, most_waiting=1024)
        self.calls = Group("calls", CALLS, most_waiting=128)
        self.people = Group("people", PEOPLE, most_waiting=64)
        self.logins = Group("logins", LOGINS, most_waiting=16, niceness=LOGIN_NICENESS)
        self.probes = Group("probes", PROBES, most_waiting=16)
        self.health = Group("health", 1, most_waiting=256)  # asks nobody, so nothing can hold it

    def of(self, method: str, path: str) -> Group:
        """The group of a request."""
        if path == "/healthz":
            return self.health
        if path.startswith(("/readyz", "/metrics")):
            return self.probes
        if is_machine_path(path):
            return self.calls if path.rstrip("/").endswith("/verify") else self.machines
        return self.logins if method == "POST" and path.startswith("/admin/login") else self.people

    def end(self) -> None:
        """Waits for what runs."""
        for group in (self.machines, self.calls, self.people, self.logins, self.probes, self.health):
            group.pool.shutdown()


def _be_nice(niceness: int) -> None:
    """Linux has a niceness for each thread; elsewhere it would be the whole process's."""
    if niceness and sys.platform.startswith("linux"):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
