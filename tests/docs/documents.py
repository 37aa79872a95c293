"""The documentation as tests read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w+)(?: ([\w-]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text(name: str) -> str:
    """A file of the repository."""
    return (ROOT / name).read_text()


def words(name: str) -> str:
    """The same without its line breaks."""
    return " ".join(text(name).split())


def blocks(name: str, language: str) -> dict[str, str]:
    """Fenced blocks of a language: the word after it, or the place in the file, and what is inside."""
    found = [(match[2], match[3]) for match in FENCE.finditer(text(name)) if match[1] == language]
    return {word or str(place): inside for place, (word, inside) in enumerate(found)}


def example(name: str, word: str) -> dict[str, Any]:
    """A JSON block by its word."""
    value: dict[str, Any] = json.loads(blocks(name, "json")[word])
    return value


def rows(name: str, heading: str) -> list[list[str]]:
    """The cells of the first table below the line that begins with `heading`."""
    _, found, rest = text(name).partition(f"\n{heading}")
    assert found, f"{name} has no line that begins with {heading!r}"
    table: list[list[str]] = []
    for line in map(str.strip, rest.splitlines()):
        if line.startswith("|"):
            table.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif table:
            break
    return table[2:]


def code(cell: str) -> list[str]:
    """What a cell sets in code type."""
    return re.findall(r"`([^`]+)`", cell)
