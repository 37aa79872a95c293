"""Replays: who ordered what and why, and how far it is. Ordered from the lists of messages, callbacks and the inbox."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from messaging.admin.base import HistoryAdmin
from messaging.admin.order_replay import may_order
from messaging.models import Replay
from messaging.replay.orders import stop


@admin.register(Replay)
class ReplayAdmin(HistoryAdmin):
    list_display = ("id", "created_at", "kind", "state", "progress", "requested_by", "reason", "finished_at")
    list_filter = ("state", "kind")
    actions = ("stop",)
    exclude = ("cursor", "filter")
    readonly_fields = ("chosen", "progress")

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return may_order(request)

    @admin.display(description="chosen by")
    def chosen(self, replay: Replay) -> str:
        named = {name: value for name, value in replay.filter.items() if value and not name.endswith("_id")}
        ids = named.pop("ids", [])
        words = [f"{name} {value}" for name, value in named.items()]
        words += [f"{len(ids)} named one by one"] if ids else []
        return ", ".join(words) or "everything that failed"

    @admin.display(description="progress")
    def progress(self, replay: Replay) -> str:
        left_alone = f", {replay.skipped} left alone" if replay.skipped else ""
        return f"{replay.done} of {replay.total} done{left_alone}"

    @admin.action(description="Stop", permissions=["replay"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Replay]) -> None:
        for replay in queryset:
            if stop(replay):
                self.log_change(request, replay, "Stopped.")
                text = f"{replay} is stopped. What it has laid out stays due."
                self.message_user(request, text, messages.SUCCESS)
            else:
                self.message_user(request, f"{replay} had ended already.", messages.WARNING)
