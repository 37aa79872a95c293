"""Inbound messages: what handsets sent to the tenants' numbers."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from messaging.admin.base import HistoryAdmin, vendor_id
from messaging.admin.filters import AccountFilter, ReceivedSinceFilter, TenantFilter
from messaging.admin.links import exchange_link
from messaging.models import InboundMessage
from phone.numbers import mask


@admin.register(InboundMessage)
class InboundMessageAdmin(HistoryAdmin):
    list_display = ("id", "received_at", "tenant", "channel", "from_number", "to_number")
    list_filter = ("channel", ReceivedSinceFilter, TenantFilter, AccountFilter)
    list_select_related = ("tenant",)
    search_fields = ("id",)
    search_help_text = "A whole id or vendor's id."
    exclude = ("exchange_id", "exchange_at")
    readonly_fields = ("as_it_came",)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-received_at", "-pk") if request.GET.get(TenantFilter.parameter_name) else ("-pk",)

    def search_text(self, term: str) -> Q:
        return vendor_id(term)

    @admin.display(description="from")
    def from_number(self, inbound: InboundMessage) -> str:
        return mask(inbound.sender)

    @admin.display(description="to")
    def to_number(self, inbound: InboundMessage) -> str:
        return mask(inbound.recipient)

    @admin.display(description="exchange")
    def as_it_came(self, inbound: InboundMessage) -> str:
        return exchange_link(inbound.exchange_id)
