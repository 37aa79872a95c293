"""Events: what Bloomreach must be told, was told, or could not be told."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from messaging.admin.base import HistoryAdmin
from messaging.admin.filters import EventStateFilter, SinceFilter, ThroughQueue
from messaging.admin.links import message_link
from messaging.admin.order_replay import EVENTS, confirm, may_order
from messaging.books.timeline import EVENT_WORDS
from messaging.models import Event
from messaging.rules.values import EventState


@admin.register(Event)
class EventAdmin(HistoryAdmin):
    actions = ("send_again",)
    list_display = ("id", "created_at", "of_message", "kind", "status", "event_state", "tries", "last_error")
    list_filter = (EventStateFilter, "kind", SinceFilter, ThroughQueue)
    search_fields = ("id",)
    search_help_text = "A whole callback id (event_id) or message id."
    id_columns = ("pk", "message")
    exclude = ("lease", "message", "state")
    readonly_fields = ("of_message", "event_state")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        tool = EVENTS if may_order(request) else None
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "tool": tool})

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return may_order(request)

    @admin.action(description="Send again …", permissions=["replay"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Event]) -> HttpResponse | None:
        ids = list(queryset.values_list("pk", flat=True))
        return confirm(self, request, order=EVENTS, ids=ids)

    @admin.display(description="message", empty_value="inbound")
    def of_message(self, event: Event) -> str | None:
        return message_link(event.message_id) if event.message_id else None

    @admin.display(description="state")
    def event_state(self, event: Event) -> str:
        return EVENT_WORDS[EventState(event.state)]
