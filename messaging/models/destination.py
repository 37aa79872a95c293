"""A destination: one address to which events are posted, with a circuit of its own.

The queue stays the tenant's, with its cap and its turn. What an address refuses is the fault of that address alone.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from messaging.models.circuit import LONG_AGO, Circuit
from messaging.models.queue import Queue
from messaging.rules.values import DestinationKind


class Destination(Circuit):
    """Scheme, host and path of callback or inbound URLs. Made by the first event, deleted when long idle.

    A queue has a bounded number of them: what is beyond shares one per host, then one for all (queues/destinations.py).
    """

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, db_index=False, verbose_name="queue")
    kind = models.SmallIntegerField(choices=[(kind.value, kind.name.lower()) for kind in DestinationKind])
    key = models.CharField(max_length=32)  # md5 of the address: it may be longer than an index takes
    address = models.TextField()  # without the query, which may hold a secret
    served_at = models.DateTimeField(default=LONG_AGO, db_default=LONG_AGO, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # Also finds the addresses of a queue: the claim.
            models.UniqueConstraint(name="destination_once", fields=["queue", "kind", "key"]),
            models.CheckConstraint(
                name="destination_kind_known", condition=models.Q(kind__in=[k.value for k in DestinationKind])
            ),
        ]

    def __str__(self) -> str:
        return self.address
