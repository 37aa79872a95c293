"""Answers of the database that a process keeps for two seconds, so that the hot path need not ask again."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

SECONDS = 2.0
ENTRIES_MAX = 10_000


class Remembered(Generic[K, V]):
    """Key -> value, each for `seconds`, the least recently used goes first. None is a value too."""

    def __init__(self, *, seconds: float = SECONDS, entries: int = ENTRIES_MAX) -> None:
        self._seconds = seconds
        self._entries = entries
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, load: Callable[[], V]) -> V:
        """The value that is kept, or a new one from `load`; what `load` raises is not kept."""
        now = time.monotonic()
        with self._lock:
            found = self._kept.get(key)
            if found and found[0] > now:
                self._kept.move_to_end(key)
                return found[1]
        value = load()
        with self._lock:
            self._kept[key] = (now + self._seconds, value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)
        return value

    def forget(self, key: K) -> None:
        """The next `get` asks again."""
        with self._lock:
            self._kept.pop(key, None)

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._kept.clear()
