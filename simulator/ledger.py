"""The carrier's memory on disk: one JSON line for each message taken and each call heard, never the text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from simulator.carrier import HookCall, Taken, as_line

KEPT = 24 * 3600.0  # seconds that a message can be looked up for, and sent again without being taken again


class Ledger:
    """An append-only file. Lines reach the kernel at once, so that a killed carrier forgets nothing."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1)
        self._lock = Lock()

    def taken(self, message: Taken) -> None:
        self._write({"taken": as_line(message)})

    def told(self, call: HookCall, *, now: float) -> None:
        self._write({"told": call.key, "at": now})

    def close(self) -> None:
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":")) + "\n"
        with self._lock:
            self._file.write(text)


def read(path: Path, *, now: float) -> tuple[list[Taken], list[str]]:
    """What was taken in the last 24 hours, and the keys of the calls heard. Other lines are dropped."""
    if not path.exists():
        return [], []
    texts = path.read_text().splitlines()
    kept = [line for line in _lines(texts) if _moment(line) >= now - KEPT]
    if len(kept) < len(texts):  # a line cut short must not swallow the next one either
        path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in kept))
    taken = [Taken(**line["taken"]) for line in kept if "taken" in line]
    return taken, [line["told"] for line in kept if "told" in line]


def _lines(texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    for text in texts:
        try:
            yield json.loads(text)
        except ValueError:
            continue  # the last line of a process that was killed while writing it


def _moment(line: Mapping[str, Any]) -> float:
    return float(line["taken"]["at"] if "taken" in line else line["at"])
