"""A queue: all the work towards one destination, with its cap, rate, pause and circuit (architecture "Queues")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now

from messaging.models.circuit import LONG_AGO, Circuit
from messaging.models.sql import change
from messaging.rules.values import QueueKind

__all__ = ["DEFAULT_CALLBACK_CAP", "DEFAULT_DISPATCH_CAP", "LONG_AGO", "Queue", "QueueQuerySet"]

DEFAULT_DISPATCH_CAP = 16
DEFAULT_CALLBACK_CAP = 2

ENSURE = """
INSERT INTO messaging_queue (kind, key, cap)
SELECT %(kind)s, given.key, %(cap)s FROM unnest(%(keys)s::text[]) AS given(key)
WHERE NOT EXISTS (SELECT 1 FROM messaging_queue queue WHERE queue.kind = %(kind)s AND queue.key = given.key)
ON CONFLICT (kind, key) DO NOTHING
"""


class QueueQuerySet(models.QuerySet["Queue"]):
    def towards(self, kind: QueueKind, key: str, *, cap: int) -> Queue:
        """The queue of that destination, made when it is missing. Safe when two ask at once."""
        queue, _ = self.get_or_create(kind=kind, key=key, defaults={"cap": cap})
        return queue

    def ensure_callbacks(self, tenant_ids: Iterable[int]) -> None:
        """Makes the missing callbacks queues of these tenants."""
        keys = sorted(str(tenant_id) for tenant_id in tenant_ids)  # one order: no deadlock
        change(ENSURE, {"kind": int(QueueKind.CALLBACKS), "keys": keys, "cap": DEFAULT_CALLBACK_CAP})


class Queue(Circuit):
    """Work towards one destination. Written by claims and records, once per batch."""

    kind = models.SmallIntegerField(choices=[(kind.value, kind.name.capitalize()) for kind in QueueKind])
    key = models.CharField(max_length=200, help_text="The provider account, or the tenant's id.")
    cap = models.PositiveIntegerField(
        default=DEFAULT_DISPATCH_CAP,
        validators=[MinValueValidator(1)],
        help_text="How many calls (to a vendor) or posts (to Bloomreach) may be in flight.",
    )
    rate = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01)],
        help_text="Segments per second towards the vendor; empty: no limit.",
    )
    tokens = models.FloatField(default=0, db_default=0, editable=False)
    refilled_at = models.DateTimeField(default=LONG_AGO, db_default=LONG_AGO, editable=False)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_why = models.CharField(max_length=300, blank=True, db_default="")
    served_at = models.DateTimeField(default=LONG_AGO, db_default=LONG_AGO, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())

    objects = QueueQuerySet.as_manager()

    class Meta:
        verbose_name = "queue"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(name="queue_destination", fields=["kind", "key"]),
            models.CheckConstraint(
                name="queue_kind_known", condition=models.Q(kind__in=[k.value for k in QueueKind])
            ),
            models.CheckConstraint(name="queue_cap_positive", condition=models.Q(cap__gte=1)),
            models.CheckConstraint(
                name="queue_rate_positive", condition=models.Q(rate__isnull=True) | models.Q(rate__gt=0)
            ),
        ]

    def __str__(self) -> str:
        # Not the key: that of a provider account is the secret part of its hook address.
        return f"{QueueKind(self.kind).name.lower()} queue {self.pk}"
