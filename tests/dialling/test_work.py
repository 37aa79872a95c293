"""One round of one kind of work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest
from django.db import OperationalError

from messaging.dialling.work import DueName, PoolName, run_once


class Numbers:
    """Work of numbers that writes down what happens to it."""

    due: ClassVar[DueName] = "messages"
    pool: ClassVar[PoolName] = "vendors"
    singly: ClassVar[bool] = False

    def __init__(self, waiting: int = 0, error: Exception | None = None) -> None:
        self.waiting, self.error = waiting, error
        self.told: list[str] = []

    def claim(self, free: int) -> list[int]:
        if self.error:
            raise self.error
        return list(range(min(free, self.waiting)))

    def dial(self, item: int, *, deadline: float) -> int:
        self.told.append(f"dial {item} within {deadline:g} s")
        return item

    def record(self, finished: Sequence[int]) -> None:
        self.told.append(f"record {[*finished]}")

    def give_back(self) -> None:
        self.told.append("give back")


def test_one_round() -> None:
    work = Numbers(3)
    assert run_once(work, free=2, deadline=1.5) == [0, 1]
    assert work.told == ["dial 0 within 1.5 s", "dial 1 within 1.5 s", "record [0, 1]"]


def test_nothing_to_dial_is_nothing_to_record() -> None:
    work = Numbers()
    assert (run_once(work, free=2, deadline=1.5), work.told) == ([], [])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(RuntimeError("a bug"), ["give back"], id="a bug"),
        pytest.param(OperationalError("gone"), [], id="nobody waits for a database that is away"),
    ],
)
def test_a_claim_that_raises(error: Exception, told: list[str]) -> None:
    work = Numbers(3, error)
    with pytest.raises(type(error)):
        run_once(work, free=2, deadline=1.5)
    assert work.told == told
