"""A provider account: one tenant's account with one vendor."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now

from accounts.crypto import SealedJSONField
from accounts.models import Tenant
from messaging.models.queue import DEFAULT_DISPATCH_CAP, Queue
from messaging.rules import routing
from messaging.rules.values import QueueKind, UnknownPolicy
from phone.numbers import NumberError, parse_sender
from vendors.values import Channel, Credentials

PREFIX = re.compile(r"[1-9][0-9]{0,14}")  # of a number, without + or 00

DEFAULT_VALIDITY = timedelta(hours=4)
DEFAULT_REPORT_DEADLINE = timedelta(hours=72)


def new_public_id() -> str:
    """The unguessable part of a hook URL: 144 random bits."""
    return secrets.token_urlsafe(18)


def default_channels() -> list[str]:
    """Both channels; an adapter that lacks one refuses it by name."""
    return [Channel.SMS]


def clean_sender_map(value: Any) -> dict[str, str]:
    """A sender map as it is stored. Raises ValidationError on `sender_map`, naming the entry that is wrong."""
    if not isinstance(value, Mapping):
        raise ValidationError({"sender_map": "Must be an object: prefix, then sender."})
    cleaned: dict[str, str] = {}
    for prefix, sender in value.items():
        if prefix != routing.ANY and not PREFIX.fullmatch(prefix):
            text = "Prefixes are digits without + or 00, or * for every other country"
            raise ValidationError({"sender_map": f"{text}; entry {len(cleaned) + 1} is neither."})
        try:
            cleaned[prefix] = parse_sender(sender if isinstance(sender, str) else "").value
        except NumberError as error:
            raise ValidationError({"sender_map": f"The sender for {prefix} {error}."}) from None
    return cleaned


class ProviderAccountQuerySet(models.QuerySet["ProviderAccount"]):
    def serving(self, tenant_id: int, channel: str) -> ProviderAccountQuerySet:
        """Active accounts of a tenant for a channel, those of its routes if it has any, in order of position."""
        of_tenant = models.Q(routes__tenant_id=tenant_id, routes__is_active=True)
        routed = self.model._default_manager.filter(of_tenant)
        leads = of_tenant & models.Q(routes__channel__in=["", channel])
        return (
            self.filter(tenant_id=tenant_id, is_active=True, channels__contains=[channel])
            .annotate(route_position=models.Min("routes__position", filter=leads))
            .filter(models.Q(route_position__isnull=False) | ~models.Exists(routed))
            .order_by("route_position", "position", "id")
        )


class ProviderAccount(models.Model):
    """Credentials, settings and policies of one provider account, on its queue."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="accounts")
    name = models.CharField(max_length=100)
    vendor = models.CharField(max_length=40)
    public_id = models.CharField(max_length=40, unique=True, default=new_public_id, editable=False)
    secrets = SealedJSONField(default=dict)
    settings = models.JSONField(default=dict, blank=True)
    channels = ArrayField(models.CharField(max_length=3), default=default_channels)
    senders = ArrayField(
        models.CharField(max_length=20),
        default=list,
        blank=True,
        db_default=[],
        help_text="Sender numbers and names that this account owns; empty: any.",
    )
    sender_map = models.JSONField(
        default=dict,
        blank=True,
        db_default={},
        help_text="Country prefix, or * for every other: the sender to use there when the request's own is not this "
        "account's.",
    )
    position = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="Lower is tried first.")
    is_active = models.BooleanField("active", default=True, db_default=True)
    unknown_policy = models.CharField(
        max_length=16,
        choices=[(policy.value, policy.value.replace("_", " ")) for policy in UnknownPolicy],
        default=UnknownPolicy.AT_MOST_ONCE.value,
        help_text="What to do about a call that may or may not have been taken, when nothing else resolves it.",
    )
    validity = models.DurationField(
        default=DEFAULT_VALIDITY,
        help_text="How long a message may wait before it is no longer worth sending.",
    )
    report_deadline = models.DurationField(
        default=DEFAULT_REPORT_DEADLINE, help_text="How long to wait for a delivery report."
    )
    poll_after = models.DurationField(
        null=True,
        blank=True,
        help_text="Ask the vendor for the status of a message that has no report after this time; empty: never ask.",
    )
    fail_unconfirmed = models.BooleanField(
        "report unconfirmed as failed",
        default=False,
        db_default=False,
        help_text="Tell Bloomreach 'failed' when no report came by the deadline.",
    )
    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, related_name="accounts", verbose_name="queue")
    checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    check_ok = models.BooleanField(null=True, editable=False)
    check_text = models.CharField(max_length=300, blank=True, db_default="", editable=False)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    objects = ProviderAccountQuerySet.as_manager()

    class Meta:
        verbose_name = "provider account"
        permissions = (("view_hook_address", "Can see hook addresses that are secrets"),)
        ordering: ClassVar[list[str]] = ["tenant", "position", "id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(name="account_name_per_tenant", fields=["tenant", "name"]),
            models.CheckConstraint(
                name="account_policy_known",
                condition=models.Q(unknown_policy__in=[policy.value for policy in UnknownPolicy]),
            ),
            models.CheckConstraint(
                name="account_validity_positive", condition=models.Q(validity__gt=timedelta(0))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant.slug}/{self.name}"

    def clean(self) -> None:
        """The sender map names prefixes and senders; both are kept in their canonical writing."""
        self.sender_map = clean_sender_map(self.sender_map or {})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """An account without a queue gets one of its own."""
        if self.queue_id is None:
            self.queue = Queue.objects.towards(QueueKind.DISPATCH, self.public_id, cap=DEFAULT_DISPATCH_CAP)
        super().save(*args, **kwargs)

    @property
    def hook_url(self) -> str:
        """Where the vendor sends reports and inbound messages."""
        return f"{settings.PUBLIC_URL}/hooks/{self.vendor}/{self.public_id}"

    def credentials(self) -> Credentials:
        """What the adapter may know. Raises accounts.crypto.SealError when the secrets cannot be opened."""
        return replace(self.credentials_without_secrets(), secrets=self.secrets.reveal())

    def credentials_without_secrets(self) -> Credentials:
        """What reading a stored call needs."""
        return Credentials(
            public_id=self.public_id, settings=self.settings, secrets={}, hook_url=self.hook_url
        )
