"""Slots: which pumps are running, and when they last gave a sign of life."""

from __future__ import annotations

from django.contrib import admin

from messaging.admin.base import HistoryAdmin
from messaging.models import Slot


@admin.register(Slot)
class SlotAdmin(HistoryAdmin):
    list_display = ("worker", "n", "beat_at", "woken_at", "run_by")
    exclude = ("token",)
