"""Tenants (one for each Bloomreach project) and the tokens by which their requests are recognised."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now

from accounts.crypto import SealedTextField

DEFAULT_HEADER = "Chan-Token"
DEFAULT_CALLBACK_HOSTS = ("bloomreach.co", "bloomreach.com", "exponea.com")


class TenantStatus(models.TextChoices):
    """What a tenant may do."""

    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"  # accepted and held: nothing is handed to vendors
    SUSPENDED = "suspended", "Suspended"  # refused with 403, on purpose


class Tenant(models.Model):
    """One Bloomreach project: how it is called back, and how much it may ask."""

    slug = models.SlugField(unique=True, help_text="Short name, also the value of a second header.")
    name = models.CharField(max_length=200)
    customer = models.CharField(
        max_length=200, blank=True, db_default="", help_text="Groups the projects of one brand."
    )
    status = models.CharField(
        max_length=16,
        choices=TenantStatus.choices,
        default=TenantStatus.ACTIVE,
        db_default=TenantStatus.ACTIVE,
    )
    project_id = models.CharField("Bloomreach project id", max_length=100, blank=True, db_default="")
    callback_secret = SealedTextField(
        help_text="Signs the callbacks (JWT, HS256). The same value is entered at Bloomreach."
    )
    callback_secret_previous = SealedTextField(
        blank=True, help_text="Tried once when Bloomreach answers 401 or 403 to the current one."
    )
    secret_in_use = models.CharField(
        max_length=8, blank=True, db_default="", editable=False, help_text="Which one Bloomreach took last."
    )
    secret_taken_at = models.DateTimeField(null=True, editable=False)  # when that was, to the minute
    callback_secret_dictated = models.BooleanField(
        default=False, db_default=False, editable=False
    )  # Bloomreach gave it: it may be short
    allowed_hosts = ArrayField(
        models.CharField(max_length=253),
        default=list,
        blank=True,
        db_default=[],
        verbose_name="more callback hosts",
        help_text="Besides " + ", ".join(DEFAULT_CALLBACK_HOSTS) + " and their subdomains.",
    )
    inbound_url_sms = models.URLField(
        max_length=2048, blank=True, db_default="", help_text="Pasted whole from Bloomreach's screen."
    )
    inbound_url_mms = models.URLField(max_length=2048, blank=True, db_default="")
    wire_profile = models.JSONField(
        default=dict,
        blank=True,
        db_default={},
        help_text="How this project spells keys, envelopes and statuses, where it differs from the default.",
    )
    report_sent = models.BooleanField(
        "report sent",
        default=False,
        db_default=False,
        help_text="Also tell Bloomreach when the vendor took it.",
    )
    opt_out_as_inbound = models.BooleanField(
        "tell opt-outs",
        default=False,
        db_default=False,
        help_text="When a vendor refuses a message because its recipient opted out there, also post an inbound STOP.",
    )
    rate = models.FloatField(
        "API rate limit",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1)],
        help_text="Requests per second; empty: no limit.",
    )
    burst = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests at once; empty: 2 seconds' worth."
    )
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    class Meta:
        ordering: ClassVar[list[str]] = ["slug"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                name="tenant_status_known", condition=models.Q(status__in=TenantStatus.values)
            ),
            models.CheckConstraint(
                name="tenant_rate_positive", condition=models.Q(rate__isnull=True) | models.Q(rate__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    def inbound_url(self, channel: str) -> str:
        """Where inbound messages of the channel are posted; empty: nowhere (contract 6)."""
        return self.inbound_url_mms if channel == "mms" else self.inbound_url_sms

    @property
    def callback_hosts(self) -> tuple[str, ...]:
        """Hosts that a callback URL may name, each with its subdomains (contract 5)."""
        return (*DEFAULT_CALLBACK_HOSTS, *self.allowed_hosts)


def digest(token: str) -> bytes:
    """What is stored of a token. Fast on purpose: tokens are 256 random bits."""
    return hashlib.sha256(token.encode()).digest()


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def live(self) -> ApiTokenQuerySet:
        """Tokens that still open the door."""
        return self.filter(revoked_at__isnull=True)


class ApiToken(models.Model):
    """A secret that Bloomreach sends with each request. Only its digest is kept."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="tokens")
    label = models.CharField(max_length=100, blank=True, db_default="")
    digest = models.BinaryField(unique=True, editable=False, max_length=32)
    hint = models.CharField(
        max_length=8, editable=False, help_text="The last characters, to tell tokens apart."
    )
    header = models.CharField(
        max_length=100,
        default=DEFAULT_HEADER,
        db_default=DEFAULT_HEADER,
        validators=[RegexValidator(r"^[A-Za-z][A-Za-z0-9-]*$", "Letters, digits and dashes.")],
        help_text="The header that carries the token.",
    )
    second_header = models.CharField(
        max_length=100,
        blank=True,
        db_default="",
        validators=[RegexValidator(r"^[A-Za-z][A-Za-z0-9-]*$", "Letters, digits and dashes.")],
        help_text="A header that must come too, for example Chan-Account.",
    )
    second_value = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="What the second header must say; empty: the slug.",
    )
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"
        ordering: ClassVar[list[str]] = ["tenant", "-created_at"]

    def __str__(self) -> str:
        return f"{self.tenant.slug} …{self.hint}"

    @classmethod
    def issue(cls, tenant: Tenant, **fields: Any) -> tuple[ApiToken, str]:
        """A new token and its secret (256 random bits), which is shown this once and never again."""
        secret = secrets.token_hex(32)  # in hex: one that begins with a dash is an option to a command
        token = cls.objects.create(tenant=tenant, digest=digest(secret), hint=secret[-4:], **fields)
        return token, secret
