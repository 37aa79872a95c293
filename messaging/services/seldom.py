"""Lines that one cause could write thousands of times: the first is written, the others are counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable

EVERY = 60.0  # seconds between two lines of one cause
KEPT = 1000  # causes remembered

_lock = threading.Lock()
_written: dict[
    Hashable, tuple[float, int]
] = {}  # when the last line was written, and how many were not since


def since_last(cause: Hashable) -> int | None:
    """How many lines of this cause were left out since the last one; None: leave this one out too."""
    now = time.monotonic()
    with _lock:
        at, left_out = _written.get(cause, (now - EVERY, 0))
        if now - at < EVERY:
            _written[cause] = (at, left_out + 1)
            return None
        if len(_written) >= KEPT:
            _written.clear()
        _written[cause] = (now, 0)
        return left_out


def forget() -> None:
    """Every cause is new again, for tests."""
    with _lock:
        _written.clear()
