"""Messages that an operator withdraws before they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from messaging.evidence import weighing
from messaging.rules import states
from messaging.rules.values import Effect, MessageState

TEXT = "cancelled by an operator before it was sent"


def cancel(ids: Sequence[UUID]) -> int:
    """Ends messages that wait and of which nothing can be on its way; returns how many. Bloomreach hears of each."""
    decisions = [weighing.Decision(id_, MessageState.CANCELLED, states.CANCELLED, TEXT) for id_ in ids]
    with transaction.atomic():
        return weighing.apply(decisions).count(Effect.APPLIED)
