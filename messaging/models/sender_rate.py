"""A sender's own limit on a queue: what the carrier allows one number, below what the vendor allows the account."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from messaging.models.queue import LONG_AGO, Queue
from messaging.rules.values import QueueKind
from phone.numbers import NumberError, parse_sender


class SenderRate(models.Model):
    """Segments per second that one sender may use. Read and written under its queue's lock, by claims only."""

    queue = models.ForeignKey(
        Queue, on_delete=models.CASCADE, related_name="sender_rates", verbose_name="queue"
    )
    sender = models.CharField(max_length=20, help_text="A number, short code or name, as it goes out.")
    rate = models.FloatField("segments per second", validators=[MinValueValidator(0.01)])
    tokens = models.FloatField(default=0, db_default=0, editable=False)
    refilled_at = models.DateTimeField(default=LONG_AGO, db_default=LONG_AGO, editable=False)
    booked_until = models.DateTimeField(default=LONG_AGO, db_default=LONG_AGO, editable=False)

    class Meta:
        verbose_name = "sender's limit"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(name="sender_rate_once", fields=["queue", "sender"]),
            models.CheckConstraint(name="sender_rate_positive", condition=models.Q(rate__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.sender}: {self.rate:g}/s"

    def clean(self) -> None:
        """The sender in its canonical writing; only queues to vendors have senders."""
        try:
            self.sender = parse_sender(self.sender).value
        except NumberError as error:
            raise ValidationError({"sender": f"The sender {error}."}) from None
        if self.queue_id and self.queue.kind != QueueKind.DISPATCH:
            raise ValidationError("Only a queue to a vendor has senders.")
