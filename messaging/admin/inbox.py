"""The inbox: vendor calls that wait to be applied, and those that could not be read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from messaging.admin.base import HistoryAdmin
from messaging.admin.filters import AccountFilter, KnownFilter
from messaging.admin.links import exchange_link
from messaging.admin.order_replay import REPORTS, confirm, may_order
from messaging.models import Inbox


class ParkedFilter(KnownFilter):
    title = "state"
    parameter_name = "parked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [("1", "could not be read"), ("0", "waiting")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(parked_at__isnull=value == "0") if value in ("0", "1") else queryset


@admin.register(Inbox)
class InboxAdmin(HistoryAdmin):
    actions = ("read_again",)
    list_display = ("exchange_id", "exchange_at", "account", "tries", "due_at", "parked_at", "parked_why")
    list_filter = (ParkedFilter, AccountFilter)
    list_select_related = ("account__tenant",)
    search_fields = ("exchange_id",)
    search_help_text = "The whole id of the stored call."
    readonly_fields = ("as_it_came",)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return may_order(request)

    @admin.action(description="Read again …", permissions=["replay"])
    def read_again(self, request: HttpRequest, queryset: QuerySet[Inbox]) -> HttpResponse | None:
        ids = list(queryset.values_list("pk", flat=True))
        return confirm(self, request, order=REPORTS, ids=ids)

    @admin.display(description="exchange")
    def as_it_came(self, inbox: Inbox) -> str:
        return exchange_link(inbox.exchange_id)
