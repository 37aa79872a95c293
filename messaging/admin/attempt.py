"""Attempts: each call that handed a message to a vendor."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q

from messaging.admin.base import HistoryAdmin, vendor_id
from messaging.admin.filters import AccountFilter, SinceFilter
from messaging.admin.links import message_link
from messaging.books.timeline import OUTCOME_WORDS
from messaging.models import Attempt, AttemptPart
from vendors.values import Outcome


@admin.register(Attempt)
class AttemptAdmin(HistoryAdmin):
    list_display = ("id", "created_at", "of_message", "n", "account", "said", "code", "vendor_code")
    list_filter = ("outcome", SinceFilter, AccountFilter)
    list_select_related = ("account__tenant",)
    search_fields = ("id",)
    search_help_text = "A whole attempt id (our reference at the vendor), message id or vendor's id."
    exclude = ("frozen", "message")
    readonly_fields = ("of_message", "part_ids")
    id_columns = ("pk", "message")

    def search_text(self, term: str) -> Q:
        return vendor_id(term)

    @admin.display(description="message")
    def of_message(self, attempt: Attempt) -> str:
        return message_link(attempt.message_id)

    @admin.display(description="answer")
    def said(self, attempt: Attempt) -> str:
        return OUTCOME_WORDS[Outcome(attempt.outcome)] if attempt.outcome else "none recorded yet"

    @admin.display(description="vendor's ids of further parts", empty_value="none")
    def part_ids(self, attempt: Attempt) -> str | None:
        parts = (
            AttemptPart.objects.filter(attempt=attempt).order_by("part").values_list("vendor_id", flat=True)
        )
        return ", ".join(parts) or None
