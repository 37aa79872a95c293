"""Test messages: sent while the caller waits, so that a vendor's refusal is the answer (contract 3, "request_id")."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from django.db import transaction

from messaging.dialling import exchanges
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
    claimed = claims.claim_one(message_id, lease=uuid4())
    if not claimed:  # a pump was quicker: it is on its way like any other message
        return InlineAnswer(MessageState.ACCEPTED)
    try:
        (call,) = dispatch.prepare(claimed)
    except Exception:  # nothing was dialled: a pump may try
        claims.hand_back(claimed)
        raise
    dialled = dispatch.dial(call, deadline=deadline)
    result = dialled.results[0]
    if result.outcome not in REFUSALS:
        dispatch.record([dialled])
        state = MessageState.SENT if result.outcome is Outcome.TAKEN else MessageState.UNKNOWN_OUTCOME
        return InlineAnswer(state)
    if not _refuse(dialled, result):  # taken back meanwhile, or reported on: it is on its way
        return InlineAnswer(MessageState.ACCEPTED)
    retry = result.outcome is not Outcome.PERMANENT
    return InlineAnswer(MessageState.REFUSED, result.code, result.text, retry)


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
