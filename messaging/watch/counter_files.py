"""Counters' shared files, allocated whole: a disk that fills up costs counts, and no process.

prometheus_client maps a sparse file into memory, and a page of it that the full disk cannot hold ends the process with
SIGBUS. Here each block is asked for before it is written; where there is none, the counters live on in memory.
"""

from __future__ import annotations

import logging
import mmap
import os
from pathlib import Path
from typing import Any

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

log = logging.getLogger(__name__)

SIZE = 1 << 16  # bytes of a new file
ENTRY = 64  # bytes that an entry takes at the most, beside its key


class WholeFile(MmapedDict):
    """One process's values of one kind. Raises nothing when there is no room."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        try:
            if not read_mode:
                _allocate(Path(filename))
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]
        except OSError as error:
            self._f: Any = None
            self._m: Any = bytearray(SIZE)
            self._capacity, self._used = SIZE, 8
            self._positions: dict[str, int] = {}
            self._m[:4] = self._used.to_bytes(4, "little")
            _say(error)

    def _init_value(self, key: str) -> None:
        while self._used + len(key.encode()) + ENTRY > self._capacity:
            self._grow()
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _grow(self) -> None:
        size = 2 * self._capacity
        try:
            if self._f is None:
                self._m += bytes(self._capacity)
            else:
                os.posix_fallocate(self._f.fileno(), 0, size)
                self._m = mmap.mmap(self._f.fileno(), size)
        except OSError as error:
            _say(error)
            self._m, self._f = bytearray(self._m[:]) + bytes(self._capacity), None
        self._capacity = size

    def close(self) -> None:
        """The file, if there is one; what was only in memory is gone with the process."""
        if self._f:
            super().close()  # type: ignore[no-untyped-call]


def install() -> None:
    """From now on this process's counters allocate what they write to."""
    values.MmapedDict = WholeFile  # type: ignore[attr-defined]


def _allocate(path: Path) -> None:
    """Makes the file with all its blocks, or none: a scrape must not read an empty one. Raises OSError."""
    if path.exists():
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, max(os.fstat(file.fileno()).st_size, SIZE))
        return
    new = path.with_suffix(".new")
    try:
        with new.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, SIZE)
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _say(error: OSError) -> None:
    log.warning("counters are kept in memory", extra={"error": error.strerror or type(error).__name__})
