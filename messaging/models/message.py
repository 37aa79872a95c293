"""A message: one send request, slim and mutable; its content is wide, immutable and partitioned by week."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from accounts.models import Tenant
from messaging.models.provider_account import ProviderAccount
from messaging.models.queue import Queue
from messaging.rules.ids import uuid7
from messaging.rules.values import MessageState
from vendors.values import Channel

FIRST_FINAL = MessageState.DELIVERED.value


class MessageQuerySet(models.QuerySet["Message"]):
    def for_tenant(self, tenant: Tenant) -> MessageQuerySet:
        """Messages of one tenant: every query of a tenant's staff starts here."""
        return self.filter(tenant=tenant)

    def final(self) -> MessageQuerySet:
        """Messages whose story has ended."""
        return self.filter(state__gte=FIRST_FINAL)

    def open(self) -> MessageQuerySet:
        """Messages that are still owed something."""
        return self.filter(state__lt=FIRST_FINAL)


class Message(models.Model):
    """One accepted send request and where it stands. Every index serves a query, named beside it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False)
    channel = models.CharField(max_length=3, choices=[(c.value, c.value.upper()) for c in Channel])
    dedupe_key = models.CharField(max_length=200, null=True)  # the request id; null: a test or a copy
    request_id = models.CharField(max_length=200, blank=True)
    account = models.ForeignKey(ProviderAccount, on_delete=models.PROTECT, db_index=False)
    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, db_index=False, verbose_name="queue")
    sender = models.CharField(max_length=20)
    recipient = models.CharField(max_length=20)
    send_from = models.CharField(
        max_length=20, blank=True, default="", db_default=""
    )  # the account's own sender for this recipient; empty: as asked
    send_as = models.CharField(max_length=3)  # differs from channel after a fallback
    is_test = models.BooleanField(default=False, db_default=False)
    segments = models.SmallIntegerField(default=1, db_default=1)  # our own count, before sending
    country = models.CharField(max_length=2, blank=True, db_default="")
    state = models.SmallIntegerField(
        default=MessageState.ACCEPTED.value, choices=[(s.value, s.name.lower()) for s in MessageState]
    )
    due_at = models.DateTimeField()  # sending: end of the lease; sent: report deadline; final: unused
    lease = models.UUIDField(null=True)
    attempts = models.SmallIntegerField(default=0, db_default=0)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()
    final_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=60, blank=True, db_default="")
    replay_of = models.UUIDField(null=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                name="message_once",
                fields=["tenant", "channel", "dedupe_key"],
                condition=models.Q(dedupe_key__isnull=False),
            ),
            models.CheckConstraint(
                name="message_state_known", condition=models.Q(state__in=[s.value for s in MessageState])
            ),
            models.CheckConstraint(
                name="message_final_at_iff_final",
                condition=models.Q(state__lt=FIRST_FINAL, final_at__isnull=True)
                | models.Q(state__gte=FIRST_FINAL, final_at__isnull=False),
            ),
            models.CheckConstraint(
                name="message_lease_iff_sending",
                condition=models.Q(state=MessageState.SENDING.value, lease__isnull=False)
                | (~models.Q(state=MessageState.SENDING.value) & models.Q(lease__isnull=True)),
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(  # the claim
                name="message_due",
                fields=["queue", "due_at"],
                condition=models.Q(state__in=[MessageState.ACCEPTED.value, MessageState.RETRYING.value]),
            ),
            models.Index(  # the sweep: leases, resolutions, report deadlines
                name="message_open",
                fields=["state", "due_at"],
                condition=models.Q(
                    state__in=[
                        MessageState.SENDING.value,
                        MessageState.UNKNOWN_OUTCOME.value,
                        MessageState.SENT.value,
                    ]
                ),
            ),
            models.Index(  # calls in flight per queue, under the queue's lock
                name="message_flying", fields=["queue"], condition=models.Q(state=MessageState.SENDING.value)
            ),
            models.Index(name="message_list", fields=["tenant", "-created_at"]),
            models.Index(  # whether a message was resent
                name="message_replay", fields=["replay_of"], condition=models.Q(replay_of__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def message_state(self) -> MessageState:
        """The state as a word."""
        return MessageState(self.state)


class Content(models.Model):
    """What was asked for, byte for byte. `created_at` travels with the id, so that look-ups prune partitions."""

    message = models.OneToOneField(
        Message, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="content"
    )
    created_at = models.DateTimeField()
    text = models.TextField()
    subject = models.TextField(blank=True, db_default="")
    fallback_text = models.TextField(blank=True, db_default="")
    custom_data = models.TextField(blank=True, db_default="")
    callback_url = models.TextField(blank=True, db_default="")
    media = models.JSONField(default=list, blank=True, db_default=[])
    metadata = models.JSONField(default=dict, blank=True, db_default={})
    extra = models.JSONField(
        default=dict, blank=True, db_default={}
    )  # unknown keys and the numbers as written

    class Meta:
        managed = False
        db_table = "messaging_content"
        verbose_name_plural = "content"

    def __str__(self) -> str:
        return str(self.message_id)
