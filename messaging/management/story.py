"""A message's timeline on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from messaging.books.timeline import STATE_WORDS, Entry
from messaging.models import Message
from messaging.rules.values import MessageState

_INDENT = " " * 16


def heading(message: Message) -> str:
    """Which message it is, and where it stands."""
    state = STATE_WORDS[MessageState(message.state)]
    return f"{message.channel.upper()} {message.pk} of {message.tenant}: {state}"


def lines(entries: Iterable[Entry], *, exchanges: bool = False) -> Iterator[str]:
    """One line per moment (UTC) with its facts below it; `exchanges` adds what went over the wire."""
    for entry in entries:
        yield f"{entry.at:%H:%M:%S.%f}"[:12] + f"    {entry.title}"
        for label, value in entry.facts:
            yield f"{_INDENT}{label}: {value}"
        for exchange in entry.exchanges if exchanges else ():
            yield f"{_INDENT}{exchange.title}:"
            yield from (f"{_INDENT}  {line}" for line in exchange.text.splitlines())
