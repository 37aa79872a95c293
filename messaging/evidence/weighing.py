"""Evidence enters rows here and nowhere else: lock the messages, ask states.py, write what changed, owe events.

Callers hold a transaction. All times are the database's.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from messaging.evidence import failover, inbound, locking
from messaging.evidence.locking import LockedAttempt, LockedMessage, NewEvent, clip, small
from messaging.rules import backoff, states
from messaging.rules.routing import Choice
from messaging.rules.values import Effect, EventKind, MessageState
from phone import segments
from vendors.values import Channel, Report, SendResult, Status


@dataclass(frozen=True, slots=True)
class AnswerEvidence:
    """What a vendor's answer, or its absence, says about one attempt."""

    message_id: UUID
    attempt_id: UUID
    result: SendResult


@dataclass(frozen=True, slots=True)
class ReportEvidence:
    """What a delivery report says about one attempt (all its parts taken together)."""

    message_id: UUID
    attempt_id: UUID
    report: Report
    received_at: datetime | None  # None: just now, by a look-up


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision of our own: validity used up, no report in time, unknown outcome given up or sent once more.

    `about` is the attempt whose call it judges: void once that attempt is decided, or another one has begun.
    """

    message_id: UUID
    state: MessageState
    code: str
    text: str
    about: UUID | None = None


Evidence = AnswerEvidence | ReportEvidence | Decision


@dataclass(frozen=True, slots=True)
class _Wording:
    """The words that go with a verdict."""

    text: str
    vendor_code: str
    occurred_at: datetime
    follows_final: bool


def apply(evidence: Sequence[Evidence]) -> list[Effect]:
    """Weighs each piece in order and writes the outcome. Returns what each one did.

    Evidence about a message that is gone (purged) is `stored`.
    """
    if not evidence:
        return []
    messages = locking.lock({item.message_id for item in evidence})
    new_events: list[NewEvent] = []
    effects = []
    tables: failover.Tables = {}
    for item in evidence:
        message = messages.get(item.message_id)
        effects.append(_weigh(message, item, new_events, tables) if message else Effect.STORED)
    _write(evidence, messages.values(), new_events)
    _tell_opt_outs(messages.values())
    return effects


def _weigh(
    message: LockedMessage, item: Evidence, new_events: list[NewEvent], tables: failover.Tables
) -> Effect:
    if isinstance(item, Decision):
        return _decide(message, item, new_events)
    attempt = message.attempts.get(item.attempt_id)
    if attempt is None:
        return Effect.STORED
    situation = states.Situation(
        message.state, message.error_code, attempt is message.last, attempt.outcome, attempt.status
    )
    follows = message.state.is_final  # then the final before was of our own making
    if isinstance(item, AnswerEvidence):
        other = None
        if states.blames_route(situation, item.result):
            other = failover.after_refusal(message, attempt, item.result.outcome, tables)
        transition = states.on_answer(
            situation, item.result, may_fall_back=message.may_fall_back, may_move=other is not None
        )
        if states.replaces(attempt.outcome, item.result.outcome):
            attempt.outcome, attempt.code, attempt.answer = item.result.outcome, item.result.code, item.result
        attempt.segments = small(item.result.segments) or attempt.segments
        _move(message, transition, new_events, retry_after=item.result.retry_after, other=other)
        wording = _Wording(item.result.text, item.result.vendor_code, message.row.now, follows)
        _announce(message, transition, new_events, attempt, wording)
        return transition.effect
    transition = states.on_report(situation, item.report, may_fall_back=message.may_fall_back)
    if transition.effect is not Effect.CONTRADICTION and item.report.status is not Status.UNKNOWN:
        attempt.status = _better(attempt.status, item.report.status)
    attempt.segments = small(item.report.segments) or attempt.segments
    attempt.send_as = item.report.sent_as or attempt.send_as
    _move(message, transition, new_events, retry_after=None)
    occurred_at = item.report.occurred_at or item.received_at or message.row.now
    _announce(
        message,
        transition,
        new_events,
        attempt,
        _Wording(item.report.text, item.report.vendor_code, occurred_at, follows),
    )
    return transition.effect


def _better(known: Status | None, wording: Status) -> Status:
    return wording if known is None or not known.is_final else known


def _decide(message: LockedMessage, decision: Decision, new_events: list[NewEvent]) -> Effect:
    """Our own decision never overrides a final, nor what became of a doubt meanwhile."""
    if message.state.is_final:
        return Effect.STORED
    if decision.state is MessageState.CANCELLED and not message.may_be_withdrawn:
        return Effect.SUPERSEDED
    is_undecided = message.state in (MessageState.SENDING, MessageState.UNKNOWN_OUTCOME)
    if decision.about and not (is_undecided and message.last and message.last.id == decision.about):
        return Effect.SUPERSEDED
    if not decision.state.is_final:
        message.changed, message.state, message.error_code = True, decision.state, decision.code
        message.due_at = message.row.now
        return Effect.APPLIED
    _end(message, decision.state, decision.code)
    if decision.state is MessageState.REFUSED:
        return Effect.APPLIED  # the caller heard it while waiting
    if decision.state is not MessageState.UNCONFIRMED or message.row.fail_unconfirmed:
        new_events.append(
            NewEvent(
                message, EventKind.FINAL, "failed", message.row.now, _error(decision.code, decision.text)
            )
        )
    return Effect.APPLIED


def _move(
    message: LockedMessage,
    transition: states.Transition,
    new_events: list[NewEvent],
    *,
    retry_after: float | None,
    other: Choice | None = None,
) -> None:
    """Writes the verdict into the locked row's working copy."""
    if transition.state is None:
        return
    now: datetime = message.row.now
    if transition.state.is_final:
        _end(message, transition.state, transition.error_code)
        return
    message.changed, message.state, message.error_code = (
        True,
        transition.state,
        clip(transition.error_code, 60),
    )
    if transition.fallback:
        message.send_as, message.due_at = Channel.SMS, now
        message.segments = segments.count(message.row.fallback_text).parts
    elif transition.moves and other:
        message.account_id, message.queue_id, message.due_at = (
            other.way.account_id,
            other.way.queue_id,
            now,
        )
        message.send_from = "" if other.sender == message.row.sender else other.sender
    elif transition.retry:
        _retry(message, new_events, retry_after)
    elif transition.state is MessageState.UNKNOWN_OUTCOME:
        message.due_at = now + timedelta(seconds=settings.UNKNOWN_OUTCOME_WAIT)
    elif transition.state is MessageState.SENT:
        message.due_at = now + message.row.report_deadline


def _end(message: LockedMessage, state: MessageState, code: str) -> None:
    message.changed, message.state, message.error_code = True, state, clip(code, 60)
    message.final_at = message.due_at = message.row.now


def _retry(message: LockedMessage, new_events: list[NewEvent], retry_after: float | None) -> None:
    """Due by backoff, or over: a retry after the validity is not worth sending. What never arrived goes at once."""
    message.due_at = message.row.now
    if message.error_code != states.PROVED_ABSENT:
        delay = backoff.send_delay(message.refusals, retry_after=retry_after, rand=random.random)
        message.due_at += timedelta(seconds=delay)
    if message.row.attempts >= backoff.SEND_ATTEMPTS_MAX:
        text = f"given up after {message.row.attempts} attempts"
        _decide(message, Decision(message.row.id, MessageState.FAILED, states.GAVE_UP, text), new_events)
    elif message.due_at >= message.row.expires_at:
        text = f"not sent within its validity; the last attempt: {message.error_code}"
        _decide(
            message, Decision(message.row.id, MessageState.EXPIRED, states.EXPIRED_HERE, text), new_events
        )


def _announce(
    message: LockedMessage,
    transition: states.Transition,
    new_events: list[NewEvent],
    attempt: LockedAttempt,
    wording: _Wording,
) -> None:
    """Owes Bloomreach what the verdict changed (contract 5)."""
    if transition.state is MessageState.SENT and message.row.report_sent:
        new_events.append(NewEvent(message, EventKind.SENT, "sent", wording.occurred_at))
    if transition.state is None or not transition.state.is_final:
        return
    message.segments = attempt.segments or message.segments
    message.send_as = attempt.send_as  # a picture may arrive after all, while its fallback waits
    error = None
    if transition.state is not MessageState.DELIVERED:
        error = _error(message.error_code, wording.text, wording.vendor_code)
    status = "delivered" if error is None else "failed"
    new_events.append(
        NewEvent(message, EventKind.FINAL, status, wording.occurred_at, error, wording.follows_final)
    )


def _error(code: str, text: str, vendor_code: str = "") -> dict[str, str]:
    return {
        "code": clip(code, 60),
        "message": clip(text, 300),
        "vendor_code": clip(vendor_code, 60),
    }


def _write(
    evidence: Sequence[Evidence],
    messages: Iterable[LockedMessage],
    new_events: list[NewEvent],
) -> None:
    changed = [message for message in messages if message.changed]
    if changed:
        locking.write_messages(changed)
    attempts = [attempt for message in messages for attempt in message.attempts.values()]
    answers = [(attempt.id, attempt.answer) for attempt in attempts if attempt.answer]
    if answers:
        locking.write_answers(answers)
    words = {item.attempt_id for item in evidence if isinstance(item, ReportEvidence)}
    known = [attempt for attempt in attempts if attempt.id in words]
    if known:
        locking.write_words(known)
    locking.add_events([item for item in new_events if item.message.row.callback_url])


def _tell_opt_outs(messages: Iterable[LockedMessage]) -> None:
    ended = [message for message in messages if message.changed and message.state.is_final]
    if opted_out := [message.row.id for message in ended if message.error_code == states.OPTED_OUT]:
        inbound.opted_out(opted_out)
