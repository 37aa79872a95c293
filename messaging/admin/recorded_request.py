"""Recorded requests: what Bloomreach sent first, in shape. Of requests without a known token, too."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from messaging.admin.base import HistoryAdmin
from messaging.admin.filters import TenantFilter
from messaging.contract import wire_profile, wire_shape
from messaging.models import RecordedRequest


@admin.register(RecordedRequest)
class RecordedRequestAdmin(HistoryAdmin):
    """A person may delete what is in the way of new ones; nobody edits any."""

    list_display = ("first_at", "tenant", "action", "answer", "header_names", "key_names")
    list_filter = (TenantFilter, "action")
    list_select_related = ("tenant",)
    fields = ("first_at", "tenant", "action", "answer", "header_names", "key_names", "differences")
    readonly_fields = fields

    def has_delete_permission(self, request: HttpRequest, obj: RecordedRequest | None = None) -> bool:
        return request.user.has_perm("messaging.delete_recordedrequest")

    @admin.display(description="answer")
    def answer(self, one: RecordedRequest) -> str:
        return one.code or "taken"

    @admin.display(description="headers", empty_value="none")
    def header_names(self, one: RecordedRequest) -> str:
        return ", ".join(one.headers)

    @admin.display(description="keys")
    def key_names(self, one: RecordedRequest) -> str:
        return ", ".join(f"{key}: {kind}" for key, kind in one.keys.items())

    @admin.display(description="other than the profile")
    def differences(self, one: RecordedRequest) -> SafeString:
        return format_html_join("", "<div>{}</div>", ((words,) for words in differences(one)))


def differences(one: RecordedRequest) -> list[str]:
    """In which ways a recorded send differs from its tenant's profile."""
    if one.tenant is None or not one.action.endswith("_send"):
        return []
    profile = wire_profile.stored(one.tenant.wire_profile)
    return wire_shape.differences(one.keys, profile, mms=one.action == "mms_send")
