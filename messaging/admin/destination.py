"""Callback addresses: each with its circuit, its last answer and what waits for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import CharField, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast
from django.http import HttpRequest

from accounts.models import Tenant
from messaging.admin.base import HistoryAdmin
from messaging.admin.filters import ThroughQueue
from messaging.admin.queue import circuit_in_words
from messaging.models import Destination
from messaging.models.sql import sql
from messaging.queues import circuit
from messaging.rules.values import DestinationKind

COUNTED = 1000  # events: more than so many are not counted
_WAITING = sql("""
(SELECT count(*) FROM (SELECT 1 FROM messaging_event event WHERE event.destination_id = messaging_destination.id
                       AND event.state = {EventState.DUE} LIMIT %s) waiting)
""")
_SHOWN = ("address", "told", "tenant", "circuit", "last_answer", "last_success", "waiting")


@admin.register(Destination)
class DestinationAdmin(HistoryAdmin):
    """Nobody edits an address; a person may have it tried at once."""

    actions = ("try_now",)
    list_display = _SHOWN
    list_filter = (ThroughQueue, "kind")
    ordering = ("-faults",)
    fields = (*_SHOWN, "created_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Destination]:
        tenant = Tenant.objects.annotate(key=Cast("pk", CharField())).filter(key=OuterRef("queue__key"))
        found: QuerySet[Destination] = super().get_queryset(request)
        return found.annotate(
            tenant=Subquery(tenant.values("slug")[:1]),
            waiting=RawSQL(_WAITING, [COUNTED + 1], output_field=IntegerField()),  # noqa: S611  (a constant)
        )

    def has_try_permission(self, request: HttpRequest) -> bool:
        """Who may resume a queue may have an address tried."""
        return request.user.has_perm("messaging.change_queue")

    @admin.action(description="Try now, and close the circuit", permissions=["try"])
    def try_now(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        for address in queryset:
            circuit.try_now([address.pk])
            self.log_change(request, address, "Tried at once, circuit closed.")
            self.message_user(request, f"{address} is tried now.", messages.SUCCESS)

    @admin.display(description="what is told")
    def told(self, address: Destination) -> str:
        inbound = address.kind == DestinationKind.INBOUND
        return "inbound messages" if inbound else "what became of messages"

    @admin.display(description="tenant")
    def tenant(self, address: Destination) -> str:
        return str(getattr(address, "tenant", "") or "")

    @admin.display(description="circuit")
    def circuit(self, address: Destination) -> str:
        return circuit_in_words(address, now=datetime.now(UTC))

    @admin.display(description="last answer")
    def last_answer(self, address: Destination) -> str:
        return last_answer(address)

    @admin.display(description="last success", empty_value="none yet")
    def last_success(self, address: Destination) -> datetime | None:
        return address.ok_at

    @admin.display(description="waiting")
    def waiting(self, address: Any) -> str:
        return f"more than {COUNTED}" if address.waiting > COUNTED else str(address.waiting)


def last_answer(address: Destination) -> str:
    """What the address said last: that it took a POST, or why not."""
    if address.failed_at is None or (address.ok_at is not None and address.ok_at > address.failed_at):
        return "taken" if address.ok_at else "none yet"
    return f"{address.last_fault} ({address.failed_at:%Y-%m-%d %H:%M:%S} UTC)"
