"""Links between the desk's pages."""

from __future__ import annotations

from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html


def message_link(message_id: UUID | None) -> str:
    """The page of a message."""
    if message_id is None:
        return ""
    return format_html(
        '<a href="{}">{}</a>', reverse("admin:messaging_message_change", args=[message_id]), message_id
    )


def exchange_link(exchange_id: UUID) -> str:
    """The page of a stored exchange."""
    return format_html(
        '<a href="{}">{}</a>', reverse("admin:messaging_exchange_change", args=[exchange_id]), exchange_id
    )
