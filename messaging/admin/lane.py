"""Queues: limits, pause with a reason, the circuit in words, the age of the backlog."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.postgres.aggregates import StringAgg
from django.db.models import CharField, Count, Max, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Concat, Now
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.lists import StrictLists
from accounts.models import Tenant
from messaging.models import Connection, Destination, Event, Lane, Message, SenderRate
from messaging.models.circuit import Circuit
from messaging.queues import circuit
from messaging.rules.values import EventState, LaneKind, MessageState

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Lane]
    _Inline = admin.TabularInline[SenderRate, Lane]
else:
    _Admin = admin.ModelAdmin
    _Inline = admin.TabularInline

_WAITING = (MessageState.ACCEPTED.value, MessageState.RETRYING.value)
_STANDING = ("destination", "standing", "circuit", "waiting_for", "last_success", "created_at")


class PauseForm(forms.Form):
    """Why a queue stands still, for the next person who wonders."""

    reason = forms.CharField(max_length=300, widget=forms.TextInput(attrs={"size": 60}))


class SenderRates(_Inline):
    """What carriers allow single senders of the queue."""

    model = SenderRate
    fields = ("sender", "rate")
    extra = 1


@admin.register(Lane)
class LaneAdmin(StrictLists, _Admin):
    """Queues make themselves; people change their limits and stop or start them."""

    list_display = ("destination", "cap", "rate", "standing", "circuit", "waiting_for", "last_success")
    list_display_links = ("destination",)
    list_editable = ("cap", "rate")
    list_filter = ("kind",)
    list_per_page = 100
    ordering = ("kind", "key")
    sortable_by = ()
    actions = ("pause", "resume")
    fields = (*_STANDING, "cap", "rate")
    readonly_fields = _STANDING
    show_facets = admin.ShowFacets.NEVER
    inlines = (SenderRates,)

    def get_inlines(self, request: HttpRequest, obj: Lane | None) -> Any:
        return self.inlines if obj is not None and obj.kind == LaneKind.DISPATCH else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lane]:
        return named(super().get_queryset(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="queue")
    def destination(self, lane: Lane) -> str:
        return destination(lane)

    @admin.display(description="state")
    def standing(self, lane: Lane) -> str:
        return standing(lane)

    @admin.display(description="circuit")
    def circuit(self, lane: Lane) -> str:
        if lane.kind == LaneKind.CALLBACKS:
            return addresses_in_words(lane)
        return circuit_in_words(lane, now=datetime.now(UTC))

    @admin.display(description="oldest work")
    def waiting_for(self, lane: Lane) -> str:
        oldest = "oldest_event" if lane.kind == LaneKind.CALLBACKS else "oldest_message"
        return backlog(getattr(lane, oldest), now=datetime.now(UTC))

    @admin.display(description="last success", empty_value="none yet")
    def last_success(self, lane: Lane) -> datetime | None:
        known: datetime | None = getattr(lane, "address_ok_at", None) or lane.ok_at
        return known

    @admin.action(description="Pause, with a reason", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Lane]) -> HttpResponse | None:
        form = PauseForm(request.POST if "reason" in request.POST else None)
        if not form.is_valid():
            return self._ask_why(request, queryset, form)
        reason = form.cleaned_data["reason"]
        for lane in queryset.filter(paused_at__isnull=True):
            Lane.objects.filter(pk=lane.pk).update(paused_at=Now(), paused_why=reason)
            self.log_change(request, lane, f"Paused: {reason}")
            self.message_user(request, f"{destination(lane)} is paused.", messages.SUCCESS)
        return None

    @admin.action(description="Resume, and close the circuit", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Lane]) -> None:
        for lane in queryset:
            circuit.resume([lane.pk])
            self.log_change(request, lane, "Resumed.")
            self.message_user(request, f"{destination(lane)} is running.", messages.SUCCESS)

    def _ask_why(self, request: HttpRequest, queryset: QuerySet[Lane], form: PauseForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Pause queues",
            "opts": self.opts,
            "form": form,
            "lanes": [(lane.pk, destination(lane)) for lane in queryset],
        }
        return TemplateResponse(request, "admin/messaging/lane/pause.html", context)


def named(lanes: QuerySet[Lane]) -> QuerySet[Lane]:
    """Lanes with whom they lead to, and the due time of their oldest work: one look into an index each."""
    account = (
        Connection.objects.filter(lane=OuterRef("pk"))
        .order_by()
        .values("lane")
        .annotate(
            word=StringAgg(
                Concat("tenant__slug", Value("/"), "name", output_field=CharField()),
                ", ",
                order_by="name",
            )
        )
    )
    tenant = Tenant.objects.annotate(key=Cast("pk", CharField())).filter(key=OuterRef("key"))
    waiting = Message.objects.filter(lane=OuterRef("pk"), state__in=_WAITING).order_by("due_at")
    events = Event.objects.filter(lane=OuterRef("pk"), state=EventState.DUE.value).order_by("due_at")
    addresses = Destination.objects.filter(lane=OuterRef("pk")).order_by().values("lane")
    refusing = addresses.filter(open_for__gt=0).annotate(n=Count("pk"))
    return lanes.annotate(
        address_ok_at=Subquery(addresses.annotate(at=Max("ok_at")).values("at")),
        addresses=Subquery(addresses.annotate(n=Count("pk")).values("n")),
        refusing=Subquery(refusing.values("n")),
        account=Subquery(account.values("word")),
        tenant=Subquery(tenant.values("slug")[:1]),
        oldest_message=Subquery(waiting.values("due_at")[:1]),
        oldest_event=Subquery(events.values("due_at")[:1]),
    )


def destination(lane: Lane) -> str:
    """Whom the queue leads to, in the words of the desk."""
    if lane.kind == LaneKind.CALLBACKS:
        return f"to Bloomreach for {getattr(lane, 'tenant', None) or f'tenant {lane.key}'}"
    return f"to {getattr(lane, 'account', None) or f'provider account {lane.key}'}"


def standing(lane: Lane) -> str:
    """Running or paused, and why."""
    if lane.paused_at is None:
        return "running"
    return f"paused since {lane.paused_at:%Y-%m-%d %H:%M} UTC: {lane.paused_why or 'no reason given'}"


def addresses_in_words(lane: Lane) -> SafeString:
    """How many callback addresses refuse, with a link to them: each has a circuit of its own."""
    known, refusing = (getattr(lane, name, None) or 0 for name in ("addresses", "refusing"))
    words = f"{refusing} of {known} addresses refuse" if refusing else f"{known} addresses, none refuses"
    url = reverse("admin:messaging_destination_changelist")
    return format_html('<a href="{}?tenant={}">{}</a>', url, lane.key, words)


def circuit_in_words(lane: Circuit, *, now: datetime) -> str:
    """The circuit breaker in words."""
    left = (lane.open_until - now).total_seconds()
    if left > 0:
        return f"open for {left:.0f} s more after {lane.faults} faults{_last(lane)}"
    if lane.open_for > 0:
        return f"trying again after {lane.faults} faults{_last(lane)}"
    return f"closed, {lane.faults} faults in a row{_last(lane)}" if lane.faults else "closed"


def _last(lane: Circuit) -> str:
    return f", the last: {lane.last_fault}" if lane.last_fault else ""


def backlog(oldest: datetime | None, *, now: datetime) -> str:
    """How long the oldest work has been due, or when the next is."""
    if oldest is None:
        return "none"
    age = (now - oldest).total_seconds()
    return f"due for {_span(age)}" if age >= 0 else f"next in {_span(-age)}"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
