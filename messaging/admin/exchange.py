"""Stored exchanges: each call over the wire as it was, secrets masked."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from messaging.admin.base import HistoryAdmin
from messaging.admin.filters import AccountFilter, ExchangeSinceFilter
from messaging.books.timeline import readable
from messaging.models import Exchange
from messaging.reports import stored_calls


@admin.register(Exchange)
class ExchangeAdmin(HistoryAdmin):
    list_display = ("id", "at", "kind", "account")
    list_filter = ("kind", ExchangeSinceFilter, AccountFilter)
    list_select_related = ("account__tenant",)
    search_fields = ("id",)
    search_help_text = "The whole id of an exchange, or of the attempt it belongs to."
    id_columns = ("pk", "owner")
    fields = ("id", "at", "kind", "account", "owner", "asked", "answered")
    readonly_fields = ("asked", "answered")

    class Media:
        css: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("messaging/desk.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Exchange]:
        return super().get_queryset(request).select_related("account__tenant")

    @admin.display(description="request")
    def asked(self, exchange: Exchange) -> SafeString:
        return format_html('<pre class="desk-raw">{}</pre>', readable(stored_calls.shown(exchange)))

    @admin.display(description="answer")
    def answered(self, exchange: Exchange) -> SafeString:
        return format_html('<pre class="desk-raw">{}</pre>', readable(exchange.response))
