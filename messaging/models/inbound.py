"""An inbound message (MO): what a handset sent to one of our numbers."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from accounts.models import Tenant
from messaging.models.provider_account import ProviderAccount
from messaging.rules.ids import uuid7
from vendors.values import Channel


class InboundMessage(models.Model):
    """One inbound message, recognised by the vendor's id when it comes twice; without one, see evidence/repeats.py."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False)
    account = models.ForeignKey(ProviderAccount, on_delete=models.PROTECT, db_index=False)
    channel = models.CharField(max_length=3, choices=[(c.value, c.value.upper()) for c in Channel])
    vendor_id = models.CharField(max_length=120)
    part = models.SmallIntegerField(default=1, db_default=1)
    sender = models.CharField(max_length=20)
    recipient = models.CharField(max_length=20)
    text = models.TextField(blank=True)
    media = models.JSONField(default=list, blank=True, db_default=[])
    occurred_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField()
    exchange_id = models.UUIDField()
    exchange_at = models.DateTimeField()
    digest = models.BinaryField(
        max_length=32, blank=True, default=b"", db_default=b""
    )  # of the vendor's whole call

    class Meta:
        verbose_name = "inbound message"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(name="inbound_once", fields=["account", "vendor_id", "part"]),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(name="inbound_list", fields=["tenant", "-received_at"]),
        ]

    def __str__(self) -> str:
        return str(self.id)
