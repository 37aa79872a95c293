"""Waiting for a fact instead of for a time, and ports for the processes that make it true."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

# Asked on a connection that holds locks. Live, also within a transaction (pg_stat_activity is not).
WAITS_FOR_ME = "SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
BUSY = 60.0  # seconds: what anything may take on a busy machine, the start of a process included


def eventually(
    question: Callable[[], Any], *, within: float = BUSY, what: str | Callable[[], str] = "no truthy answer"
) -> Any:
    """The first truthy answer. Raises AssertionError saying `what` when there is none within so many seconds."""
    until = time.monotonic() + within
    while not (answer := question()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {within:g} s: {what() if callable(what) else what}")
        time.sleep(0.02)
    return answer


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def answers(url: str) -> bool:
    """Whether something answers 200 there."""
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError, TimeoutError):
        return False
