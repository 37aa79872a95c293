"""Requests that wait for a vendor: they move to threads of their own, so that sends never wait behind them (ADR 12).

The server says in WSGI's environ whether a thread may wait; a view that has to and may not says so there.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

MAY_WAIT = (
    "connector.may_wait"  # set by our server; another one (tests, bench) sets nothing, and all may wait
)
MOVED = "connector.moved"  # set by a view: run this request once more, where it may wait

Environ = MutableMapping[str, Any]


def may_wait(environ: Environ) -> bool:
    """Whether this thread may wait for a vendor's answer."""
    return bool(environ.get(MAY_WAIT, True))


def move(environ: Environ) -> None:
    """Asks the server to run the request in a thread that may wait. What the view answers now goes nowhere."""
    environ[MOVED] = True


def was_moved(environ: Environ) -> bool:
    """Whether a view has asked for it."""
    return MOVED in environ
