"""A slot: the right to run one pump. A slot without a beat gets a new pump (architecture "The worker")."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from messaging.models.queue import LONG_AGO


class Slot(models.Model):
    """One pump's place in one worker. The worker wakes it, the pump writes its heartbeat."""

    worker = models.CharField(max_length=100)
    n = models.SmallIntegerField()
    woken_at = models.DateTimeField(default=LONG_AGO, db_default=LONG_AGO)
    beat_at = models.DateTimeField(default=LONG_AGO, db_default=LONG_AGO)
    token = models.UUIDField(null=True)
    clock_off = models.FloatField(default=0.0, db_default=0.0)  # seconds that the worker's clock is ahead
    run_by = models.CharField(max_length=100, blank=True, db_default="")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(name="slot_place", fields=["worker", "n"]),
        ]

    def __str__(self) -> str:
        return f"{self.worker}/{self.n}"
