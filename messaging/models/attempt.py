"""An attempt: one call that hands one message to a vendor."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from accounts.crypto import SealedTextField
from messaging.models.message import Message
from messaging.models.provider_account import ProviderAccount
from messaging.rules.ids import uuid7
from vendors.values import Outcome, Status


class Attempt(models.Model):
    """One deliberate send. Its id is our reference at the vendor."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="tries", db_index=False)
    n = models.SmallIntegerField()  # 1 is the first
    account = models.ForeignKey(ProviderAccount, on_delete=models.PROTECT, db_index=False)
    send_as = models.CharField(max_length=3)
    sender = models.CharField(max_length=20, blank=True, db_default="")  # as it went out
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, null=True, choices=[(o.value, o.value) for o in Outcome])
    status = models.CharField(max_length=16, null=True, choices=[(s.value, s.value) for s in Status])
    code = models.CharField(max_length=60, blank=True, db_default="")
    vendor_code = models.CharField(max_length=60, blank=True, db_default="")
    text = models.CharField(max_length=300, blank=True, db_default="")
    vendor_id = models.CharField(max_length=120, blank=True, db_default="")
    parts = models.SmallIntegerField(default=1, db_default=1)  # how many reports the vendor will send
    segments = models.SmallIntegerField(null=True)  # the vendor's count
    poll_at = models.DateTimeField(null=True)  # when to ask for a report that did not come; null: never
    absences = models.SmallIntegerField(default=0, db_default=0)  # look-ups that found nothing
    frozen = SealedTextField(
        blank=True, default="", db_default=""
    )  # the call's bytes, where a re-send is safe
    # Whether the call was about to be dialled. False: claimed, and no byte of it was sent. Null: claimed by a version
    # that did not write this, so nothing follows from it.
    dialled = models.BooleanField(null=True, editable=False)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(name="attempt_number", fields=["message", "n"]),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(  # a report that names the vendor's id
                name="attempt_vendor_id",
                fields=["account", "vendor_id"],
                condition=~models.Q(vendor_id=""),
            ),
            models.Index(name="attempt_poll", fields=["poll_at"], condition=models.Q(poll_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} #{self.n}"


class AttemptPart(models.Model):
    """The vendor's id of a second or later part of a long message."""

    account = models.ForeignKey(ProviderAccount, on_delete=models.CASCADE, db_index=False)
    vendor_id = models.CharField(max_length=120)
    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE)
    part = models.SmallIntegerField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(name="attempt_part_vendor_id", fields=["account", "vendor_id"]),
        ]

    def __str__(self) -> str:
        return f"{self.vendor_id} part {self.part}"
