"""What went over the wire, and the inbox of vendors' calls that are not read yet."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from accounts.crypto import SealedTextField
from messaging.models.provider_account import ProviderAccount
from messaging.rules.ids import uuid7
from messaging.rules.values import ExchangeKind

KIND_LABELS = {
    ExchangeKind.HOOK: "vendor called us",
    ExchangeKind.CALL: "we handed a message over",
    ExchangeKind.LOOKUP: "we asked a vendor about an attempt",
    ExchangeKind.POST: "we posted events",
}


class Exchange(models.Model):
    """One exchange, append-only. `request` and `response` are JSON text (JSON may hold what jsonb refuses).

    Our own calls are for people: secrets are masked before they are stored. A vendor's call is read again, so it is
    stored to the byte and sealed in `call`; only calls that are older than that column have a masked text in `request`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField()
    kind = models.CharField(
        max_length=8, choices=[(kind.value, label) for kind, label in KIND_LABELS.items()]
    )
    account = models.ForeignKey(ProviderAccount, null=True, on_delete=models.DO_NOTHING, db_constraint=False)
    owner = models.UUIDField(null=True)  # the attempt, for calls and look-ups
    request = models.TextField(blank=True)
    response = models.TextField(blank=True)
    call = SealedTextField(blank=True, db_default="")  # a vendor's call, opened by reports/stored_calls.py

    class Meta:
        managed = False
        db_table = "messaging_exchange"
        verbose_name_plural = "exchanges"

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Inbox(models.Model):
    """A vendor's call that waits to be applied. Deleted in the transaction that applies it."""

    exchange_id = models.UUIDField(primary_key=True)
    exchange_at = models.DateTimeField()
    account = models.ForeignKey(ProviderAccount, on_delete=models.CASCADE)
    due_at = models.DateTimeField(db_default=Now())
    tries = models.SmallIntegerField(default=0, db_default=0)
    parked_at = models.DateTimeField(null=True)  # could not be read: kept for a person and a replay
    parked_why = models.CharField(max_length=300, blank=True, db_default="")

    class Meta:
        verbose_name_plural = "inbox"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(name="inbox_due", fields=["due_at"], condition=models.Q(parked_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return str(self.exchange_id)
