"""Callbacks as work for a pump (dialling/work.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID, uuid4

from messaging.callbacks import posting
from messaging.dialling.work import DueName, PoolName


class Callbacks:
    """Events that are due, as POSTs: one per queue."""

    due: ClassVar[DueName] = "events"
    pool: ClassVar[PoolName] = "callbacks"
    singly: ClassVar[bool] = False

    def __init__(self) -> None:
        self._leases: Sequence[UUID] = ()  # of a claim whose answer has not come

    def claim(self, free: int) -> list[posting.Post]:
        """Takes up to `free` POSTs. Events that cannot be written are undeliverable at once."""
        self._leases = leases = [uuid4() for _ in range(free)]
        posts = posting.claim(leases=leases)
        self._leases = ()
        return posts

    def dial(self, item: posting.Post, *, deadline: float) -> posting.Posted:
        """Posts the events."""
        return posting.dial(item, deadline=deadline)

    def record(self, finished: Sequence[posting.Posted]) -> None:
        """Acknowledges the events, puts them off or gives them up."""
        posting.record(finished)

    def give_back(self) -> None:
        """Events that were claimed and not posted are due again."""
        if self._leases:
            posting.give_back(self._leases)
            self._leases = ()
