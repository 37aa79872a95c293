"""An event: something that we owe Bloomreach, until it is acknowledged."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from messaging.models.destination import Destination
from messaging.models.inbound import InboundMessage
from messaging.models.message import Message
from messaging.models.queue import Queue
from messaging.rules.ids import uuid7
from messaging.rules.values import EventKind, EventState

BATCH_CAP = 500  # events in one POST (architecture "Callbacks")


class Event(models.Model):
    """One thing to tell. Its id is the same on every try, so that the receiver can recognise it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, db_index=False, verbose_name="queue")
    message = models.ForeignKey(
        Message, null=True, on_delete=models.CASCADE, related_name="events", db_index=False
    )
    inbound = models.ForeignKey(InboundMessage, null=True, on_delete=models.CASCADE, db_index=False)
    kind = models.SmallIntegerField(choices=[(k.value, k.name.lower()) for k in EventKind])
    generation = models.SmallIntegerField(
        default=0, db_default=0
    )  # a vendor's final after one of our own is 1
    url = models.TextField()
    # Without a constraint: acknowledged events outlive an address that is deleted, and an event that names a deleted
    # one, or none, gets one before it is posted (queues/destinations.py).
    destination = models.ForeignKey(
        Destination, null=True, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False
    )
    status = models.CharField(max_length=16)  # the word that Bloomreach hears: sent | delivered | failed
    occurred_at = models.DateTimeField()
    error = models.JSONField(null=True)
    segments = models.SmallIntegerField(null=True)
    sent_as = models.CharField(max_length=3, blank=True, db_default="")
    state = models.SmallIntegerField(
        default=EventState.DUE.value,
        db_default=EventState.DUE.value,
        choices=[(s.value, s.name.lower()) for s in EventState],
    )
    due_at = models.DateTimeField(db_default=Now())
    lease = models.UUIDField(null=True)  # the POST it is in: also the id of that exchange's exchange
    lease_until = models.DateTimeField(null=True)
    tries = models.SmallIntegerField(default=0, db_default=0)
    batch_cap = models.SmallIntegerField(default=BATCH_CAP, db_default=BATCH_CAP)
    first_try_at = models.DateTimeField(null=True)  # when its first failed POST was recorded
    last_post = models.UUIDField(null=True)
    last_error = models.CharField(max_length=300, blank=True, db_default="")
    acked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(name="event_once", fields=["message", "kind", "generation"]),
            models.UniqueConstraint(
                name="event_inbound_once", fields=["inbound"], condition=models.Q(inbound__isnull=False)
            ),
            models.CheckConstraint(
                name="event_about_one_thing",
                condition=models.Q(message__isnull=False, inbound__isnull=True)
                | models.Q(message__isnull=True, inbound__isnull=False),
            ),
            models.CheckConstraint(
                name="event_lease_iff_leased",
                condition=models.Q(
                    state=EventState.LEASED.value, lease__isnull=False, lease_until__isnull=False
                )
                | (~models.Q(state=EventState.LEASED.value) & models.Q(lease__isnull=True)),
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(  # the claim, and which addresses have events at all
                name="event_waiting",
                fields=["destination", "due_at"],
                condition=models.Q(state=EventState.DUE.value),
            ),
            models.Index(  # the age of a queue's backlog, for people
                name="event_due", fields=["queue", "due_at"], condition=models.Q(state=EventState.DUE.value)
            ),
            models.Index(  # an event waits for its message's older open event
                name="event_open",
                fields=["message"],
                condition=models.Q(state__in=[EventState.DUE.value, EventState.LEASED.value]),
            ),
            models.Index(  # posts in flight per queue, and leases that ran out
                name="event_leased",
                fields=["queue", "lease_until"],
                condition=models.Q(state=EventState.LEASED.value),
            ),
            models.Index(  # undeliverable callbacks, for people
                name="event_undeliverable",
                fields=["queue", "created_at"],
                condition=models.Q(state=EventState.UNDELIVERABLE.value),
            ),
        ]

    def __str__(self) -> str:
        return f"{EventKind(self.kind).name.lower()} {self.id}"
