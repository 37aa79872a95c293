"""Slots and tasks: one pump per slot, silent ones are replaced, dead workers leave nothing behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import connection as database
from django.db.models import F
from django.utils import timezone
from django_q.models import OrmQ

from messaging import tasks
from messaging.models import Slot
from messaging.worker import broker, slots
from tests.waiting import eventually

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker() -> str:
    name = f"host-{uuid4().hex[:8]}"
    slots.register(name, slots=2)
    return name


def age(worker: str, seconds: float) -> None:
    """As if so much time had passed for the worker's slots."""
    gap = timedelta(seconds=seconds)
    Slot.objects.filter(worker=worker).update(beat_at=F("beat_at") - gap, woken_at=F("woken_at") - gap)


def queued(worker: str) -> int:
    return OrmQ.objects.filter(key=worker).count()


def test_new_slots_are_woken_at_once_and_once(worker: str) -> None:
    assert slots.wake(worker) == 2
    assert queued(worker) == 2
    assert [task.task["func"] for task in OrmQ.objects.all()] == ["messaging.tasks.pump"] * 2
    assert sorted(task.task["args"] for task in OrmQ.objects.all()) == [(worker, 0), (worker, 1)]
    assert slots.wake(worker) == 0


def test_a_pump_that_does_not_come_is_asked_for_again_after_five_seconds(
    worker: str, caplog: pytest.LogCaptureFixture
) -> None:
    slots.wake(worker)
    OrmQ.objects.all().delete()  # somebody emptied the queue
    age(worker, 4)
    assert slots.wake(worker) == 0
    age(worker, 1.1)
    assert "no pump came" not in caplog.text
    assert slots.wake(worker) == 2
    lines = [vars(record) for record in caplog.records if record.message == "no pump came"]
    assert sorted((line["worker"], line["slot"]) for line in lines) == [(worker, 0), (worker, 1)]


def test_a_beating_slot_is_not_woken(worker: str) -> None:
    Slot.objects.update(beat_at=timezone.now())
    assert slots.wake(worker) == 0
    age(worker, 3.1)
    assert slots.wake(worker) == 2


def test_registering_again_changes_nothing(worker: str) -> None:
    slots.wake(worker)
    before = list(Slot.objects.order_by("n").values())
    slots.register(worker, slots=2)
    assert list(Slot.objects.order_by("n").values()) == before


def test_each_worker_rings_its_own(worker: str) -> None:
    slots.register("another", slots=3)
    assert slots.wake("another") == 3
    assert (queued(worker), queued("another")) == (0, 3)


@pytest.mark.django_db(transaction=True)
def test_one_pump_per_slot(worker: str, settings: LazySettings) -> None:
    settings.PUMP_BOX = 60.0
    words: list[str] = []

    def run() -> None:
        try:
            words.append(tasks.pump(worker, 0))
        finally:
            database.close()

    first = threading.Thread(target=run)
    first.start()
    eventually(lambda: slots.busy(worker) == 1)
    assert tasks.pump(worker, 0) == "taken"
    assert (words, Slot.objects.get(n=0).run_by) == ([], f"pid {os.getpid()}")
    slots.remove(worker)  # who has lost its slot ends
    first.join(20)
    assert words == ["served"]


def test_leaving_frees_the_slot_at_once(worker: str, settings: LazySettings) -> None:
    settings.PUMP_BOX = 0.05
    slots.wake(worker)
    assert slots.serve(worker, 1) == "served"

    row = Slot.objects.get(n=1)
    assert (row.token, row.run_by, slots.busy(worker)) == (None, "", 0)
    assert slots.wake(worker) == 1
    assert slots.serve(worker, 1) == "served"


def test_a_pump_that_ends_in_a_bug_leaves_too(worker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def run(self, **kwargs: Any) -> None:
            raise RuntimeError("a bug")

    monkeypatch.setattr(slots, "Pump", Broken)
    with pytest.raises(RuntimeError):
        slots.serve(worker, 0)
    assert Slot.objects.get(n=0).token is None


def test_a_silent_slot_is_taken_over_and_the_old_pump_stops(
    worker: str, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PUMP_BOX = 0.05
    old = uuid4()
    Slot.objects.filter(n=0).update(token=old, beat_at=timezone.now())
    old_heartbeat = slots._heartbeat(old)
    assert old_heartbeat() is True
    assert slots.serve(worker, 0) == "taken"

    age(worker, 3.1)
    seen: list[bool] = []

    class Pump:
        def run(self, *, beat: Callable[[], bool], **kwargs: Any) -> None:
            seen.append(beat())
            seen.append(slots._heartbeat(old)())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots, "Pump", Pump)
        assert slots.serve(worker, 0) == "served"
    assert seen == [True, False]
    (line,) = [record for record in caplog.records if record.message == "slot lost"]
    assert vars(line)["run_by"] == f"pid {os.getpid()}"


def test_a_beat_is_written_once_a_second(worker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = uuid4()
    Slot.objects.filter(n=0).update(token=token)
    now = 1000.0
    monkeypatch.setattr(slots.time, "monotonic", lambda: now)
    beat = slots._heartbeat(token)
    assert beat()
    Slot.objects.update(token=None)
    assert beat()  # not asked yet
    now += 1
    assert beat() is False


def test_a_pump_does_not_start_while_the_worker_stops(worker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv(broker.STOP_PIPE_VARIABLE, str(reading))
    try:
        assert broker.stopped() is False
        os.close(writing)
        assert broker.stopped() is True
        assert slots.serve(worker, 0) == "stopping"
        assert Slot.objects.get(n=0).token is None
    finally:
        os.close(reading)


def test_outside_a_worker_nothing_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(broker.STOP_PIPE_VARIABLE, raising=False)
    assert broker.stopped() is False


def test_busy_counts_living_pumps(worker: str) -> None:
    Slot.objects.filter(n=0).update(token=uuid4(), beat_at=timezone.now())
    Slot.objects.filter(n=1).update(token=None, beat_at=timezone.now())
    assert slots.busy(worker) == 1
    age(worker, 3.1)
    assert slots.busy(worker) == 0


def test_a_leaving_worker_takes_its_slots_and_tasks_along(worker: str) -> None:
    slots.register("another", slots=1)
    slots.wake(worker)
    slots.wake("another")
    slots.remove(worker)
    assert list(Slot.objects.values_list("worker", flat=True)) == ["another"]
    assert (queued(worker), queued("another")) == (0, 1)


def test_dead_workers_are_removed_with_their_tasks(worker: str) -> None:
    slots.register("dead", slots=2)
    slots.wake("dead")
    slots.wake(worker)
    age("dead", slots.FORGOTTEN + 11)

    assert slots.remove_dead() == 1
    assert set(Slot.objects.values_list("worker", flat=True)) == {worker}
    assert (queued("dead"), queued(worker)) == (0, 2)
    assert slots.remove_dead() == 0


def test_a_fresh_slot_that_nobody_rang_yet_is_not_dead(worker: str) -> None:
    age(worker, slots.FORGOTTEN - 20)
    assert slots.remove_dead() == 0


def test_a_live_worker_that_was_taken_for_dead_registers_again(worker: str) -> None:
    age(worker, slots.FORGOTTEN + 11)
    assert slots.remove_dead() == 1
    slots.register(worker, slots=2)
    assert slots.wake(worker) == 2


def test_tasks_that_were_taken_long_ago_are_tidied_away(worker: str, settings: LazySettings) -> None:
    """What a cluster took is locked for `retry` seconds; one that cannot acknowledge takes it again and again."""
    retry = timedelta(seconds=settings.Q_CLUSTER["retry"])
    slots.wake(worker)
    just, long_ago = OrmQ.objects.order_by("id")
    OrmQ.objects.filter(pk=just.pk).update(lock=timezone.now() + retry - timedelta(seconds=90))
    OrmQ.objects.filter(pk=long_ago.pk).update(lock=timezone.now() + retry - timedelta(seconds=121))
    OrmQ.objects.create(key="another", payload="", lock=timezone.now())

    assert broker.tidy(worker) == 1
    assert set(OrmQ.objects.values_list("pk", "key")) >= {(just.pk, worker)}
    assert queued("another") == 1
