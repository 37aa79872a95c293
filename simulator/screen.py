"""What the demo prints: steps with a clock, one live line, a table. Plain lines where nobody watches."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

BOLD, DIM, GREEN, RED, YELLOW = "1", "2", "32", "31", "33"
PLAIN_EVERY = 5.0  # seconds between two progress lines that cannot be overwritten


@dataclass
class Screen:
    """One output. Colours and the live line only on a terminal; NO_COLOR is honoured."""

    stream: Any  # a text file or a command's output
    started: float = field(default_factory=time.monotonic)
    live: bool = False
    coloured: bool = False
    _open_line: bool = False
    _last_plain: float = 0.0

    @classmethod
    def on(cls, stream: Any) -> Screen:
        """A screen that knows what its stream can do."""
        terminal = stream.isatty()
        wishes_colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(stream, live=terminal, coloured=terminal and wishes_colour)

    def paint(self, text: str, *codes: str) -> str:
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.coloured and codes else text

    def say(self, text: str = "") -> None:
        """One line."""
        self._end_line()
        self.stream.write(text + "\n")
        self.stream.flush()

    def step(self, text: str, *codes: str) -> None:
        """One line with the time since the start."""
        clock = self.paint(f"[{time.monotonic() - self.started:5.1f} s]", DIM)
        self.say(f"{clock} {self.paint(text, *codes)}")

    def progress(self, text: str) -> None:
        """The live line, written over itself; where that is impossible, a line every five seconds."""
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            line = f"[{time.monotonic() - self.started:5.1f} s] {text}"
            self.stream.write(f"\r\x1b[K{line[:width]}")
            self.stream.flush()
            self._open_line = True
        elif time.monotonic() - self._last_plain >= PLAIN_EVERY:
            self._last_plain = time.monotonic()
            self.step(text)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Left column words, the others numbers; rows whose label starts with blanks are details."""
        lines = [head, *rows]
        widths = [max(len(line[n]) for line in lines if n < len(line)) for n in range(len(head))]
        self.say(self.paint(_aligned(head, widths), BOLD))
        for row in rows:
            text = _aligned(row, widths)
            self.say(self.paint(text, DIM) if row[0].startswith(" ") else text)

    def _end_line(self) -> None:
        if self._open_line:
            self.stream.write("\r\x1b[K")
            self._open_line = False


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = row
    cells = [
        first.ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=False)),
    ]
    return "  ".join(cells).rstrip()
