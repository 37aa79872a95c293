"""A delivery report (DLR), translated; the vendor's own words lie in its exchange."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from messaging.models.attempt import Attempt
from messaging.models.provider_account import ProviderAccount
from messaging.rules.values import Effect
from vendors.values import Status


class DeliveryReport(models.Model):
    """One thing that a vendor said about one part of one attempt, once."""

    exchange_id = models.UUIDField()
    exchange_at = models.DateTimeField()
    account = models.ForeignKey(ProviderAccount, on_delete=models.CASCADE, db_index=False)
    attempt = models.ForeignKey(Attempt, null=True, on_delete=models.CASCADE, related_name="reports")
    vendor_id = models.CharField(max_length=120, blank=True, db_default="")
    reference = models.CharField(max_length=60, blank=True, db_default="")
    status = models.CharField(max_length=16, choices=[(s.value, s.value) for s in Status])
    vendor_status = models.CharField(max_length=60, blank=True, db_default="")
    part = models.SmallIntegerField(default=1, db_default=1)
    parts = models.SmallIntegerField(null=True)
    code = models.CharField(max_length=60, blank=True, db_default="")
    vendor_code = models.CharField(max_length=60, blank=True, db_default="")
    text = models.CharField(max_length=300, blank=True, db_default="")
    segments = models.SmallIntegerField(null=True)
    mms_unsupported = models.BooleanField(default=False, db_default=False)
    sent_as = models.CharField(max_length=3, blank=True, db_default="")  # after the vendor's own fallback
    occurred_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField()
    effect = models.CharField(max_length=16, choices=[(e.value, e.value.replace("_", " ")) for e in Effect])
    due_at = models.DateTimeField(null=True)  # unmatched only: when to look again
    tries = models.SmallIntegerField(default=0, db_default=0)
    digest = models.BinaryField(max_length=32)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(name="report_once", fields=["account", "digest"]),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                name="report_unmatched", fields=["due_at"], condition=models.Q(effect=Effect.UNMATCHED.value)
            ),
            models.Index(  # what a replay of corrections looks through
                name="report_contradiction",
                fields=["id"],
                condition=models.Q(effect=Effect.CONTRADICTION.value),
            ),
            models.Index(  # a new vendor id looks for reports that came before it
                name="report_waiting",
                fields=["account", "vendor_id"],
                condition=models.Q(effect=Effect.UNMATCHED.value),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.vendor_id or self.reference}"
