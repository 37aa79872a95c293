"""Lines that one cause could write thousands of times: the first is written, the others are counted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable

EVERY = 60.0  # seconds between two lines of one cause
KEPT = 1000  # causes remembered

_lock = threading.Lock()
_written: dict[
    Hashable, tuple[float, int]
] = {}  # when the last line was written, and how many were not since


def once_a_minute(record: logging.LogRecord) -> bool:
    """A logger's filter. A record with a `cause` in its `extra` is written when none of this message and cause was in
    the last minute; `left_out` in it counts those since the last."""
    cause = vars(record).pop("cause", None)
    left_out = 0 if cause is None else since_last((record.msg, cause))
    if left_out:
        record.left_out = left_out
    return left_out is not None


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
