"""This machine's clock against the database's."""

from __future__ import annotations

import time

import pytest

from messaging.models import Slot
from messaging.watch import clock
from messaging.worker import slots

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        pytest.param(0, [], id="right"),
        pytest.param(20, [], id="within reason"),
        pytest.param(1200, [1200], id="twenty minutes ahead"),
        pytest.param(-1200, [-1200], id="twenty minutes behind"),
    ],
)
def test_a_wrong_clock_leaves_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ahead: int, said: list[int]
) -> None:
    real = time.time
    monkeypatch.setattr(clock.time, "time", lambda: real() + ahead)
    assert clock.compare() == pytest.approx(ahead, abs=5)
    lines = [vars(record) for record in caplog.records if record.levelname == "WARNING"]
    assert [line["message"] for line in lines] == ["clock differs from the database's"] * len(said)
    assert [line["seconds"] for line in lines] == pytest.approx(said, abs=5)


def test_a_worker_says_it_with_its_slots() -> None:
    slots.register("w", slots=2, clock_off=1200.0)
    assert list(Slot.objects.values_list("clock_off", flat=True)) == [1200.0, 1200.0]
    slots.register("w", slots=2, clock_off=0.5)
    assert list(Slot.objects.values_list("clock_off", flat=True)) == [0.5, 0.5]
