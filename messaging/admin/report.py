"""Delivery reports, as the vendors sent them and what they did."""

from __future__ import annotations

from django.contrib import admin

from messaging.admin.base import HistoryAdmin
from messaging.admin.filters import AccountFilter, ReceivedSinceFilter
from messaging.admin.links import message_link, raw_link
from messaging.models import Report


@admin.register(Report)
class ReportAdmin(HistoryAdmin):
    list_display = ("id", "received_at", "account", "status", "vendor_status", "effect", "of_message")
    list_filter = ("effect", "status", ReceivedSinceFilter, AccountFilter)
    list_select_related = ("account__tenant", "attempt")
    search_fields = ("id",)
    search_help_text = "A whole attempt id (our reference at the vendor)."
    id_columns = ("attempt",)
    exclude = ("digest", "raw_id", "raw_at")
    readonly_fields = ("of_message", "as_it_came")

    @admin.display(description="message", empty_value="none found")
    def of_message(self, report: Report) -> str | None:
        return message_link(report.attempt.message_id) if report.attempt else None

    @admin.display(description="raw call")
    def as_it_came(self, report: Report) -> str:
        return raw_link(report.raw_id)
