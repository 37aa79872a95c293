"""Doing it again: a page that shows what would happen and what is refused, before a replay is ordered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.validators import MinValueValidator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from messaging.models.replay import ReplayKind
from messaging.replay import orders
from messaging.replay.orders import Preview, ReplayError, ReplayFilter


@dataclass(frozen=True, slots=True)
class ReplayChoice:
    """One kind of replay in the words of the desk. `consent` is what must be ticked to take a risk."""

    kind: ReplayKind
    action: str
    title: str
    explanation: str
    consent: str = ""


EVENTS = ReplayChoice(
    ReplayKind.EVENTS,
    "send_again",
    "Send events again",
    "Each goes out under the same event id, so that Bloomreach can recognise it.",
    "Send also those that Bloomreach acknowledged already, and not the others.",
)
MESSAGES = ReplayChoice(
    ReplayKind.MESSAGES,
    "resend",
    "Resend messages",
    "Each is sent as a new message with the original request id, and reported under new event ids.",
    "Resend also those that may have been sent already. Recipients may get them twice.",
)
REPORTS = ReplayChoice(
    ReplayKind.REPORTS,
    "read_again",
    "Read vendor calls again",
    "Each goes back into the inbox and is read with the present version's eyes.",
)


class OrderForm(forms.Form):
    """Why, how fast, and at which risk."""

    reason = forms.CharField(max_length=300, widget=forms.TextInput(attrs={"size": 60}))
    rate = forms.FloatField(
        label="At most per second",
        required=False,
        validators=[MinValueValidator(0.01)],
        help_text="Empty: as fast as the queues allow.",
    )
    consent = forms.BooleanField(required=False)

    def __init__(self, *args: Any, consent: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if consent:
            self.fields["consent"].label = consent
        else:
            del self.fields["consent"]


def may_order(request: HttpRequest) -> bool:
    """Whether the person may make things happen again."""
    return bool(request.user.has_perm("messaging.add_replay"))


def confirm(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, *, order: ReplayChoice, ids: Sequence[UUID]
) -> HttpResponse | None:
    """The page to confirm on; after it, the replay is ordered and its own page shows how far it is."""
    try:
        safe = _preview(order, ids, consent=False)
        bold = _preview(order, ids, consent=True) if order.consent else None
        risk = order.consent if bold and bold.would_do and bold != safe else ""
        form = OrderForm(request.POST if "confirm" in request.POST else None, consent=risk)
        if form.is_valid() and (form.cleaned_data.get("consent") or safe.would_do):
            return _order(model_admin, request, order, ids, form.cleaned_data)
    except ReplayError as error:
        model_admin.message_user(request, str(error), messages.ERROR)
        return None
    if form.is_bound and form.is_valid():
        form.add_error(None, "Nothing would be done: see the reasons above.")
    context = {
        **model_admin.admin_site.each_context(request),
        "title": order.title,
        "opts": model_admin.opts,
        "order": order,
        "safe": safe,
        "bold": bold if risk else None,
        "ids": ids,
        "form": form,
    }
    return TemplateResponse(request, "admin/messaging/order_replay.html", context)


def _preview(order: ReplayChoice, ids: Sequence[UUID], *, consent: bool) -> Preview:
    return orders.preview(kind=order.kind, **_words(order, ids, consent=consent))


def _words(order: ReplayChoice, ids: Sequence[UUID], *, consent: bool) -> dict[str, Any]:
    status = "acked" if consent and order is EVENTS else ""
    return {
        "filter": ReplayFilter(ids=tuple(ids), status=status),
        "may_duplicate": consent and order is MESSAGES,
    }


def _order(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    order: ReplayChoice,
    ids: Sequence[UUID],
    chosen: dict[str, Any],
) -> HttpResponse:
    made = orders.create(
        kind=order.kind,
        requested_by=request.user.get_username(),
        reason=chosen["reason"],
        rate=chosen["rate"],
        **_words(order, ids, consent=bool(chosen.get("consent"))),
    )
    model_admin.message_user(request, f"Ordered: {made}.", messages.SUCCESS)
    return HttpResponseRedirect(reverse("admin:messaging_replay_change", args=[made.pk]))
