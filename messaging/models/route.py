"""A route: under which conditions a tenant's messages go through one of its provider accounts."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from accounts.models import Tenant
from messaging.models.provider_account import PREFIX, ProviderAccount
from phone.numbers import NumberError, parse_sender
from vendors.values import Channel

IS_PREFIX = RegexValidator(
    rf"^{PREFIX.pattern}\Z", "A prefix is written in digits, without + or 00: 421, 1, 4420."
)


class Route(models.Model):
    """One row of a tenant's routing table. A tenant without an active route uses its accounts in their order."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="routes")
    account = models.ForeignKey(
        ProviderAccount, on_delete=models.CASCADE, related_name="routes", verbose_name="provider account"
    )
    position = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="Lower is tried first. Routes of one position share traffic by weight.",
    )
    weight = models.PositiveIntegerField(
        default=1,
        db_default=1,
        validators=[MinValueValidator(1)],
        help_text="This route's share among those of its position.",
    )
    channel = models.CharField(
        max_length=3,
        blank=True,
        default="",
        db_default="",
        choices=[(channel.value, channel.value.upper()) for channel in Channel],
        help_text="Empty: both.",
    )
    prefixes = ArrayField(
        models.CharField(max_length=15, validators=[IS_PREFIX]),
        default=list,
        blank=True,
        db_default=[],
        verbose_name="country prefixes",
        help_text="What a recipient's number begins with, in digits: 421, 1. Empty: any.",
    )
    senders = ArrayField(
        models.CharField(max_length=20),
        default=list,
        blank=True,
        db_default=[],
        help_text="Senders that a request must name. Empty: any.",
    )
    is_active = models.BooleanField("active", default=True, db_default=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["tenant", "position", "id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(name="route_weight_positive", condition=models.Q(weight__gte=1)),
            models.CheckConstraint(
                name="route_channel_known",
                condition=models.Q(channel__in=["", *(channel.value for channel in Channel)]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant.slug}: {self.position} to {self.account.name}"

    def clean(self) -> None:
        """The account is the tenant's own; senders are kept in their canonical writing."""
        if self.account_id and self.tenant_id and self.account.tenant_id != self.tenant_id:
            raise ValidationError({"account": "This provider account belongs to another tenant."})
        senders: list[str] = []
        for raw in self.senders:
            try:
                senders.append(parse_sender(raw).value)
            except NumberError as error:
                raise ValidationError({"senders": f"Sender {len(senders) + 1} {error}."}) from None
        self.senders = list(dict.fromkeys(senders))
        self.prefixes = list(dict.fromkeys(self.prefixes))
