"""The work that calls others: rows are claimed, a thread dials for them, what came back is recorded.

Each room that calls somebody has an object of this kind. A pump keeps one of each and knows none by name; `run_once`
takes one of them through a single round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol, TypeVar

from django.db import InterfaceError, OperationalError

Item = TypeVar("Item")  # what one thread dials
Finished = TypeVar("Finished")  # what came of it

DueName = Literal["messages", "unknowns", "polls", "events"]  # flags of worker/pump.py's Due
PoolName = Literal["vendors", "callbacks"]


class Work(Protocol[Item, Finished]):
    """One kind of work. Only `dial` runs in a thread of its own; the rest runs where the database may be touched."""

    due: ClassVar[DueName]  # which flag of the look at the database says that there is some
    pool: ClassVar[PoolName]  # whose threads dial
    singly: ClassVar[bool]  # a new process claims one item at a time until it has recorded one

    def claim(self, free: int) -> Sequence[Item]:
        """Takes up to `free` items that must be dialled, and settles at once what needs no call."""

    def dial(self, item: Item, *, deadline: float) -> Finished:
        """Makes the call within `deadline` seconds. Touches no database."""

    def record(self, finished: Sequence[Finished]) -> None:
        """Writes what came back, in one transaction. The same may be recorded twice: a commit's answer can get lost."""

    def give_back(self) -> None:
        """Gives back what a claim took that did not end well: it may have been committed. Nothing of it was dialled."""


def run_once(work: Work[Item, Finished], *, free: int, deadline: float) -> list[Finished]:
    """One claim, its calls one after the other, their record. Raises what the work raises.

    A claim that ends in a bug is given back. While the database is away that would be one more wait for it: then the
    lease ends by itself.
    """
    try:
        items = work.claim(free)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        work.give_back()
        raise
    finished = [work.dial(item, deadline=deadline) for item in items]
    if finished:
        work.record(finished)
    return finished
