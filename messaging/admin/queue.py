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
from messaging.models import Destination, Event, Message, ProviderAccount, Queue, SenderRate
from messaging.models.circuit import Circuit
from messaging.queues import circuit
from messaging.rules.values import EventState, MessageState, QueueKind

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Queue]
    _Inline = admin.TabularInline[SenderRate, Queue]
else:
    _Admin = admin.ModelAdmin
    _Inline = admin.TabularInline

_WAITING = (MessageState.ACCEPTED.value, MessageState.RETRYING.value)
_READ_ONLY = ("destination", "queue_state", "circuit", "waiting_for", "last_success", "created_at")


class PauseForm(forms.Form):
    """Why a queue stands still, for the next person who wonders."""

    reason = forms.CharField(max_length=300, widget=forms.TextInput(attrs={"size": 60}))


class SenderRates(_Inline):
    """What carriers allow single senders of the queue."""

    model = SenderRate
    fields = ("sender", "rate")
    extra = 1


@admin.register(Queue)
class QueueAdmin(StrictLists, _Admin):
    """Queues make themselves; people change their limits and stop or start them."""

    list_display = ("destination", "cap", "rate", "queue_state", "circuit", "waiting_for", "last_success")
    list_display_links = ("destination",)
    list_editable = ("cap", "rate")
    list_filter = ("kind",)
    list_per_page = 100
    ordering = ("kind", "key")
    sortable_by = ()
    actions = ("pause", "resume")
    fields = (*_READ_ONLY, "cap", "rate")
    readonly_fields = _READ_ONLY
    show_facets = admin.ShowFacets.NEVER
    inlines = (SenderRates,)

    def get_inlines(self, request: HttpRequest, obj: Queue | None) -> Any:
        return self.inlines if obj is not None and obj.kind == QueueKind.DISPATCH else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Queue]:
        return named(super().get_queryset(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="queue")
    def destination(self, queue: Queue) -> str:
        return destination(queue)

    @admin.display(description="state")
    def queue_state(self, queue: Queue) -> str:
        return queue_state(queue)

    @admin.display(description="circuit")
    def circuit(self, queue: Queue) -> str:
        if queue.kind == QueueKind.CALLBACKS:
            return addresses_in_words(queue)
        return circuit_in_words(queue, now=datetime.now(UTC))

    @admin.display(description="oldest work")
    def waiting_for(self, queue: Queue) -> str:
        oldest = "oldest_event" if queue.kind == QueueKind.CALLBACKS else "oldest_message"
        return backlog(getattr(queue, oldest), now=datetime.now(UTC))

    @admin.display(description="last success", empty_value="none yet")
    def last_success(self, queue: Queue) -> datetime | None:
        known: datetime | None = getattr(queue, "address_ok_at", None) or queue.ok_at
        return known

    @admin.action(description="Pause, with a reason", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Queue]) -> HttpResponse | None:
        form = PauseForm(request.POST if "reason" in request.POST else None)
        if not form.is_valid():
            return self._ask_why(request, queryset, form)
        reason = form.cleaned_data["reason"]
        for queue in queryset.filter(paused_at__isnull=True):
            Queue.objects.filter(pk=queue.pk).update(paused_at=Now(), paused_why=reason)
            self.log_change(request, queue, f"Paused: {reason}")
            self.message_user(request, f"{destination(queue)} is paused.", messages.SUCCESS)
        return None

    @admin.action(description="Resume, and close the circuit", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Queue]) -> None:
        for queue in queryset:
            circuit.resume([queue.pk])
            self.log_change(request, queue, "Resumed.")
            self.message_user(request, f"{destination(queue)} is running.", messages.SUCCESS)

    def _ask_why(self, request: HttpRequest, queryset: QuerySet[Queue], form: PauseForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Pause queues",
            "opts": self.opts,
            "form": form,
            "queues": [(queue.pk, destination(queue)) for queue in queryset],
        }
        return TemplateResponse(request, "admin/messaging/queue/pause.html", context)


def named(queues: QuerySet[Queue]) -> QuerySet[Queue]:
    """Queues with whom they lead to, and the due time of their oldest work: one look into an index each."""
    account = (
        ProviderAccount.objects.filter(queue=OuterRef("pk"))
        .order_by()
        .values("queue")
        .annotate(
            word=StringAgg(
                Concat("tenant__slug", Value("/"), "name", output_field=CharField()),
                ", ",
                order_by="name",
            )
        )
    )
    tenant = Tenant.objects.annotate(key=Cast("pk", CharField())).filter(key=OuterRef("key"))
    waiting = Message.objects.filter(queue=OuterRef("pk"), state__in=_WAITING).order_by("due_at")
    events = Event.objects.filter(queue=OuterRef("pk"), state=EventState.DUE.value).order_by("due_at")
    addresses = Destination.objects.filter(queue=OuterRef("pk")).order_by().values("queue")
    refusing = addresses.filter(open_for__gt=0).annotate(n=Count("pk"))
    return queues.annotate(
        address_ok_at=Subquery(addresses.annotate(at=Max("ok_at")).values("at")),
        addresses=Subquery(addresses.annotate(n=Count("pk")).values("n")),
        refusing=Subquery(refusing.values("n")),
        account=Subquery(account.values("word")),
        tenant=Subquery(tenant.values("slug")[:1]),
        oldest_message=Subquery(waiting.values("due_at")[:1]),
        oldest_event=Subquery(events.values("due_at")[:1]),
    )


def destination(queue: Queue) -> str:
    """Whom the queue leads to, in the words of the desk."""
    if queue.kind == QueueKind.CALLBACKS:
        return f"to Bloomreach for {getattr(queue, 'tenant', None) or f'tenant {queue.key}'}"
    return f"to {getattr(queue, 'account', None) or f'provider account {queue.key}'}"


def queue_state(queue: Queue) -> str:
    """Running or paused, and why."""
    if queue.paused_at is None:
        return "running"
    return f"paused since {queue.paused_at:%Y-%m-%d %H:%M} UTC: {queue.paused_why or 'no reason given'}"


def addresses_in_words(queue: Queue) -> SafeString:
    """How many callback addresses refuse, with a link to them: each has a circuit of its own."""
    known, refusing = (getattr(queue, name, None) or 0 for name in ("addresses", "refusing"))
    words = f"{refusing} of {known} addresses refuse" if refusing else f"{known} addresses, none refuses"
    url = reverse("admin:messaging_destination_changelist")
    return format_html('<a href="{}?tenant={}">{}</a>', url, queue.key, words)


def circuit_in_words(queue: Circuit, *, now: datetime) -> str:
    """The circuit breaker in words."""
    left = (queue.open_until - now).total_seconds()
    if left > 0:
        return f"open for {left:.0f} s more after {queue.faults} faults{_last(queue)}"
    if queue.open_for > 0:
        return f"trying again after {queue.faults} faults{_last(queue)}"
    return f"closed, {queue.faults} faults in a row{_last(queue)}" if queue.faults else "closed"


def _last(queue: Circuit) -> str:
    return f", the last: {queue.last_fault}" if queue.last_fault else ""


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
