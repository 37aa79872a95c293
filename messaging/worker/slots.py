"""Slots: which pumps run, and how a silent one is replaced (ADR 2)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.conf import settings

from messaging.models.sql import change, column, fetch
from messaging.watch.watchdog import Watchdog
from messaging.worker import broker
from messaging.worker.pump import Pump, warm_up

log = logging.getLogger(__name__)

SILENT = 3.0  # seconds without a beat after which a slot is free
STILL_MAX = (
    90.0  # seconds in which a pump must turn once, or its process ends; the queue's own limit comes first
)
WOKEN = 5.0  # seconds after which a pump that did not come is asked for again
FORGOTTEN = 300.0  # seconds after which a dead worker's slots are removed

# A free slot looks as if it had been silent for a while: a pump is asked for at once, and the slot is not mistaken for
# a dead worker's.
REGISTER = """
INSERT INTO messaging_slot (worker, n, woken_at, beat_at, clock_off)
SELECT %(worker)s, n, clock_timestamp() - interval '10 s', clock_timestamp() - interval '10 s', %(clock_off)s
FROM generate_series(0, %(slots)s - 1) n
ON CONFLICT (worker, n) DO UPDATE SET clock_off = excluded.clock_off
"""
# The silent slots that are due to get a pump, and whether the last pump that was asked for never came.
WAKE = """
UPDATE messaging_slot slot SET woken_at = clock_timestamp()
FROM (SELECT id, woken_at > beat_at AS unanswered FROM messaging_slot WHERE worker = %(worker)s) before
WHERE slot.id = before.id AND slot.beat_at < clock_timestamp() - make_interval(secs => %(silent)s)
  AND slot.woken_at < clock_timestamp() - make_interval(secs => %(woken)s) RETURNING slot.n, before.unanswered
"""
TAKE = """
UPDATE messaging_slot SET token = %(token)s, run_by = %(run_by)s, beat_at = clock_timestamp()
WHERE worker = %(worker)s AND n = %(n)s
  AND (token IS NULL OR beat_at < clock_timestamp() - make_interval(secs => %(silent)s))
"""
BEAT = "UPDATE messaging_slot SET beat_at = clock_timestamp() WHERE token = %(token)s"
# Free at once: the worker asks for the next pump without waiting for silence.
LEAVE = """
UPDATE messaging_slot SET token = NULL, run_by = '', woken_at = clock_timestamp() - interval '10 s',
       beat_at = clock_timestamp() - interval '10 s' WHERE token = %(token)s
"""
REMOVE = "DELETE FROM messaging_slot WHERE worker = %(worker)s"
REMOVE_DEAD = """
DELETE FROM messaging_slot
WHERE greatest(beat_at, woken_at) < clock_timestamp() - make_interval(secs => %(forgotten)s) RETURNING worker
"""
BUSY = """
SELECT count(*) AS n FROM messaging_slot WHERE worker = %(worker)s AND token IS NOT NULL
AND beat_at > clock_timestamp() - make_interval(secs => %(silent)s)
"""

_fresh = True  # no pump of this process has recorded a call


@dataclass(frozen=True, slots=True)
class SilentSlot:
    """A slot for which a pump is asked for."""

    n: int
    unanswered: bool  # one was asked for before, and none came


def register(worker: str, *, slots: int, clock_off: float = 0.0) -> None:
    """Gives a worker its slots, and says how many seconds its clock is ahead of the database's."""
    change(REGISTER, {"worker": worker, "slots": slots, "clock_off": clock_off})


def wake(worker: str) -> int:
    """Asks for a pump for each silent slot. Returns how many were asked for."""
    rows = fetch(WAKE, {"worker": worker, "silent": SILENT, "woken": WOKEN}, row=SilentSlot)
    for row in rows:
        if row.unanswered:  # the queue was emptied, or the cluster is slow
            log.warning("no pump came", extra={"worker": worker, "slot": row.n})
        broker.wake("messaging.tasks.pump", worker, row.n, queue=worker)
    return len(rows)


def serve(worker: str, n: int) -> str:
    """Runs a pump in the slot for one box of time. Returns at once when the slot is taken or the worker stops.

    Until one pump of this process has recorded a call, its pumps claim one message at a time: what kills a process at
    its first call takes one message along, and not as many as there are threads.
    """
    global _fresh
    if broker.stopped():
        return "stopping"
    warm_up()
    token = uuid4()
    run_by = f"pid {os.getpid()}"
    if not change(TAKE, {"token": token, "run_by": run_by, "worker": worker, "n": n, "silent": SILENT}):
        return "taken"
    until = time.monotonic() + settings.PUMP_BOX
    heartbeat = _heartbeat(token)
    try:
        with Watchdog("pump", patience=STILL_MAX) as watchdog:

            def beat() -> bool:
                watchdog.turned()
                return heartbeat()

            recorded = Pump().run(until=until, stopped=broker.stopped, beat=beat, fresh=_fresh)
        _fresh = _fresh and not recorded
    finally:
        change(LEAVE, {"token": token})
    return "served"


def _heartbeat(token: UUID) -> Callable[[], bool]:
    """A beat that writes once a second. False when another pump took the slot."""
    last = 0.0
    lost = False

    def beat() -> bool:
        nonlocal last, lost
        if time.monotonic() - last < 1:
            return True
        last = time.monotonic()
        held = change(BEAT, {"token": token}) == 1
        if not (held or lost):
            lost = True
            log.warning("slot lost", extra={"run_by": f"pid {os.getpid()}"})
        return held

    return beat


def busy(worker: str) -> int:
    """How many of the worker's slots have a living pump."""
    (count,) = column(BUSY, {"worker": worker, "silent": SILENT}, of=int)
    return count


def remove(worker: str) -> None:
    """Takes a worker's slots and its queued tasks away: it is leaving."""
    change(REMOVE, {"worker": worker})
    broker.forget(worker)


def remove_dead() -> int:
    """Removes the slots of workers that left without a word. A live one that was only cut off registers again."""
    workers = set(column(REMOVE_DEAD, {"forgotten": FORGOTTEN}, of=str))
    for worker in workers:
        broker.forget(worker)
    return len(workers)
