"""Test messages: sent while the caller waits, so that a vendor's refusal is the answer (contract 3, "request_id")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import transaction

from messaging.dialling import exchanges, work
from messaging.evidence import weighing
from messaging.rules.values import Effect, MessageState
from messaging.sending import claims, dispatch
from vendors.values import Outcome, SendResult

REFUSALS = (Outcome.TEMPORARY, Outcome.PERMANENT, Outcome.CONFIGURATION, Outcome.NOT_DIALLED)


@dataclass(frozen=True, slots=True)
class InlineAnswer:
    """What became of a test message within the caller's patience. `retry`: the refusal may pass."""

    state: MessageState
    code: str = ""
    text: str = ""
    retry: bool = False


def send(message_id: UUID, *, deadline: float) -> InlineAnswer:
    """Claims, calls and records one accepted message. `deadline` in seconds; an unknown outcome is not a refusal."""
    sending = InlineSending(message_id)
    work.run_once(sending, free=1, deadline=deadline)
    return sending.answer


class InlineSending(dispatch.Sending):
    """The sending of one test message: a refusal ends it, since its caller hears it."""

    def __init__(self, message_id: UUID) -> None:
        super().__init__(take=partial(_take, message_id))
        # Until it is recorded, and where a pump was quicker, it is on its way like any other message.
        self.answer = InlineAnswer(MessageState.ACCEPTED)

    def record(self, finished: Sequence[dispatch.Dialled]) -> None:
        """Writes what the call said, and keeps what the caller should hear."""
        (dialled,) = finished
        result = dialled.results[0]
        if result.outcome not in REFUSALS:
            super().record(finished)
            taken = result.outcome is Outcome.TAKEN
            self.answer = InlineAnswer(MessageState.SENT if taken else MessageState.UNKNOWN_OUTCOME)
        elif _refuse(dialled, result):  # else it was taken back meanwhile, or reported on
            retry = result.outcome is not Outcome.PERMANENT
            self.answer = InlineAnswer(MessageState.REFUSED, result.code, result.text, retry)


def _take(message_id: UUID, *, free: int, lease: UUID) -> list[claims.Claimed]:
    return claims.claim_one(message_id, lease=lease)


def _refuse(dialled: dispatch.Dialled, result: SendResult) -> bool:
    """Ends the message. False when others know better, and nothing was ended."""
    item = dialled.call.batch[0]
    code = result.code or "rejected_by_vendor"
    with transaction.atomic():
        exchanges.store([dialled.exchange] if dialled.exchange else [])
        effect, _ = weighing.apply(
            [
                weighing.Decision(
                    item.message_id, MessageState.REFUSED, code, result.text, about=item.attempt_id
                ),
                weighing.AnswerEvidence(item.message_id, item.attempt_id, result),
            ]
        )
    return effect is Effect.APPLIED
