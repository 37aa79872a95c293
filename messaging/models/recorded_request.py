"""Shapes of what Bloomreach sent: keys, types and header names, for a person who compares them with the profile."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from accounts.models import Tenant


class RecordedRequest(models.Model):
    """One shape of a request, kept when it was first seen. Without a tenant: the token was missing or unknown."""

    tenant = models.ForeignKey(
        Tenant, null=True, on_delete=models.CASCADE, related_name="recorded_requests", db_index=False
    )
    action = models.CharField(max_length=16)  # sms_send, mms_send, sms_verify, mms_verify, verify
    code = models.CharField("answer", max_length=40, blank=True, db_default="")  # error.code; "": taken
    digest = models.BinaryField(max_length=32)
    keys = models.JSONField(default=dict, blank=True, db_default={})  # key -> type
    headers = models.JSONField(default=list, blank=True, db_default=[])  # names only
    first_at = models.DateTimeField("first seen", db_default=Now())

    class Meta:
        verbose_name = "recorded request"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(name="wire_shape_once", fields=["tenant", "digest"]),
            models.UniqueConstraint(
                name="wire_shape_of_strangers_once",
                fields=["digest"],
                condition=models.Q(tenant__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} of {self.tenant.slug if self.tenant else 'nobody known'}"
