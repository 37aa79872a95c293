"""Messages: found by id, request id or recipient; one page tells the whole story."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from messaging.admin.base import HistoryAdmin
from messaging.admin.filters import AccountFilter, MessageStateFilter, SinceFilter, TenantFilter
from messaging.admin.order_replay import MESSAGES, confirm, may_order
from messaging.books.timeline import STATE_WORDS, by_request_id, timeline
from messaging.evidence.cancel import cancel
from messaging.models import Content, Message
from messaging.rules.values import MessageState
from phone.numbers import digits, mask

_WHAT = (
    "state_word",
    "tenant_link",
    "account_link",
    "request_id",
    "channel",
    "send_as",
    "is_test",
    "resend_of",
)
_WHO = ("sender", "goes_from", "recipient", "country", "segments")
_WHEN = ("created_at", "due_at", "expires_at", "final_at", "attempts", "error_code")
_CONTENT = ("text", "subject", "fallback_text", "media", "custom_data", "callback_url", "metadata", "extra")


@admin.register(Message)
class MessageAdmin(HistoryAdmin):
    """The list masks numbers; the page of one message shows everything to whoever may view it."""

    change_form_template = "admin/messaging/message/change_form.html"
    actions = ("resend", "cancel")
    list_display = (
        "short_id",
        "created_at",
        "tenant",
        "route",
        "to",
        "message_state_words",
        "error_code",
        "tries",
    )
    list_display_links = ("short_id",)
    list_filter = (MessageStateFilter, "channel", SinceFilter, TenantFilter, AccountFilter, "is_test")
    list_select_related = ("tenant", "account")
    search_fields = ("id",)
    search_help_text = "A whole message id, request id, or recipient (00… or +…)."
    fieldsets = (
        (None, {"fields": _WHAT}),
        ("Numbers", {"fields": _WHO}),
        ("Times", {"fields": _WHEN}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        return super().get_queryset(request).select_related("tenant", "account__tenant")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Newest first: within a tenant by its own index, else by the time-ordered key."""
        return ("-created_at", "-pk") if request.GET.get(TenantFilter.parameter_name) else ("-pk",)

    def search_text(self, term: str) -> Q:
        """A request id within each tenant, or a recipient in either writing."""
        found = by_request_id(term)
        number = digits(term)
        return found | Q(recipient=f"+{number}") if len(number) >= 7 else found

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        message = self.get_object(request, object_id)
        extra: dict[str, Any] = dict(extra_context or {})
        if message is not None and self.has_view_permission(request, message):
            extra |= {
                "title": f"Message {message.pk}",
                "subtitle": None,
                "content_rows": _content(message),
                "timeline": timeline(message),
                "tool": MESSAGES if may_order(request) else None,
            }
        return super().change_view(request, object_id, form_url, extra)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return may_order(request)

    @admin.action(description="Resend …", permissions=["replay"])
    def resend(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        ids = list(queryset.values_list("pk", flat=True))
        return confirm(self, request, order=MESSAGES, ids=ids)

    @admin.action(description="Cancel what was not sent yet", permissions=["replay"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        done = cancel(ids)
        if done:
            self.message_user(
                request, f"Cancelled: {done}. Bloomreach is told that they failed.", messages.SUCCESS
            )
        if left := len(ids) - done:
            why = "already sent, on its way, over, or of unknown outcome"
            self.message_user(request, f"Left alone: {left} ({why}).", messages.WARNING)

    @admin.display(description="id")
    def short_id(self, message: Message) -> str:
        return str(message.pk)

    @admin.display(description="by")
    def route(self, message: Message) -> str:
        fallback = f" as {message.send_as.upper()}" if message.send_as != message.channel else ""
        return f"{message.channel.upper()}{fallback}, {message.account.name}"

    @admin.display(description="to")
    def to(self, message: Message) -> str:
        return mask(message.recipient)

    @admin.display(description="state")
    def message_state_words(self, message: Message) -> str:
        return STATE_WORDS[MessageState(message.state)]

    @admin.display(description="goes out from")
    def goes_from(self, message: Message) -> str:
        return message.send_from or message.sender

    @admin.display(description="state")
    def state_word(self, message: Message) -> str:
        return STATE_WORDS[MessageState(message.state)]

    @admin.display(description="attempts")
    def tries(self, message: Message) -> int:
        return message.attempts

    @admin.display(description="tenant")
    def tenant_link(self, message: Message) -> SafeString:
        url = reverse("admin:accounts_tenant_change", args=[message.tenant_id])
        return format_html('<a href="{}">{}</a>', url, message.tenant)

    @admin.display(description="provider account")
    def account_link(self, message: Message) -> SafeString:
        url = reverse("admin:messaging_provideraccount_change", args=[message.account_id])
        return format_html('<a href="{}">{}</a>', url, message.account)

    @admin.display(description="resend of", empty_value="no")
    def resend_of(self, message: Message) -> SafeString | None:
        if message.replay_of is None:
            return None
        url = reverse("admin:messaging_message_change", args=[message.replay_of])
        return format_html('<a href="{}">{}</a>', url, message.replay_of)


def _content(message: Message) -> list[tuple[str, Any]]:
    """What was asked for, as far as retention has kept it."""
    content = Content.objects.filter(message=message, created_at=message.created_at).first()
    if content is None:
        return []
    return [(name.replace("_", " "), getattr(content, name)) for name in _CONTENT if getattr(content, name)]
