"""Delivery reports, as the vendors sent them and what they did."""

from __future__ import annotations

from django.contrib import admin

from messaging.admin.base import HistoryAdmin
from messaging.admin.filters import AccountFilter, ReceivedSinceFilter
from messaging.admin.links import exchange_link, message_link
from messaging.models import DeliveryReport


@admin.register(DeliveryReport)
class DeliveryReportAdmin(HistoryAdmin):
    list_display = ("id", "received_at", "account", "status", "vendor_status", "effect", "of_message")
    list_filter = ("effect", "status", ReceivedSinceFilter, AccountFilter)
    list_select_related = ("account__tenant", "attempt")
    search_fields = ("id",)
    search_help_text = "A whole attempt id (our reference at the vendor)."
    id_columns = ("attempt",)
    exclude = ("digest", "exchange_id", "exchange_at")
    readonly_fields = ("of_message", "as_it_came")

    @admin.display(description="message", empty_value="none found")
    def of_message(self, report: DeliveryReport) -> str | None:
        return message_link(report.attempt.message_id) if report.attempt else None

    @admin.display(description="exchange")
    def as_it_came(self, report: DeliveryReport) -> str:
        return exchange_link(report.exchange_id)
