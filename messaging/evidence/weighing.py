"""Evidence changes messages here and nowhere else: lock them, ask states.py, write what changed, add events.

Callers hold a transaction. All times are the database's.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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
class _Batch:
    """What the evidence that is weighed together adds up to, or reads once."""

    new_events: list[NewEvent] = field(default_factory=list)
    tables: failover.Tables = field(default_factory=dict)  # the tenants' accounts and routes

    def add_event(
        self,
        message: LockedMessage,
        kind: EventKind,
        status: str,
        occurred_at: datetime,
        error: dict[str, str] | None = None,
        *,
        follows_final: bool = False,
    ) -> None:
        self.new_events.append(NewEvent(message, kind, status, occurred_at, error, follows_final))


@dataclass(frozen=True, slots=True)
class _VendorFacts:
    """What the events about a transition repeat of the vendor's answer or report."""

    text: str
    vendor_code: str
    occurred_at: datetime
    follows_final: bool  # the message was final before: then that final was a decision of our own


def apply(evidence: Sequence[Evidence]) -> list[Effect]:
    """Weighs each piece in order and writes what follows. Returns what each one did.

    Evidence about a message that is gone (purged) is `stored`.
    """
    if not evidence:
        return []
    messages = locking.lock({item.message_id for item in evidence})
    batch = _Batch()
    effects = []
    for item in evidence:
        message = messages.get(item.message_id)
        effects.append(_weigh(message, item, batch) if message else Effect.STORED)
    _write(evidence, messages.values(), batch)
    _add_opt_outs(messages.values())
    return effects


def _weigh(message: LockedMessage, item: Evidence, batch: _Batch) -> Effect:
    if isinstance(item, Decision):
        return _weigh_decision(message, item, batch)
    attempt = message.attempts.get(item.attempt_id)
    if attempt is None:
        return Effect.STORED
    if isinstance(item, AnswerEvidence):
        return _weigh_answer(message, attempt, item.result, batch)
    return _weigh_report(message, attempt, item, batch)


def _weigh_answer(
    message: LockedMessage, attempt: LockedAttempt, result: SendResult, batch: _Batch
) -> Effect:
    situation = _situation(message, attempt)
    facts = _VendorFacts(result.text, result.vendor_code, message.row.now, message.state.is_final)
    other = None
    if states.blames_route(situation, result):
        other = failover.after_refusal(message, attempt, result.outcome, batch.tables)
    transition = states.on_answer(
        situation, result, may_fall_back=message.may_fall_back, may_move=other is not None
    )
    if states.replaces(attempt.outcome, result.outcome):
        attempt.outcome, attempt.code, attempt.answer = result.outcome, result.code, result
    attempt.segments = small(result.segments) or attempt.segments
    _move(message, transition, batch, retry_after=result.retry_after, other=other)
    _add_events(message, attempt, transition, facts, batch)
    return transition.effect


def _weigh_report(
    message: LockedMessage, attempt: LockedAttempt, item: ReportEvidence, batch: _Batch
) -> Effect:
    report = item.report
    occurred_at = report.occurred_at or item.received_at or message.row.now
    facts = _VendorFacts(report.text, report.vendor_code, occurred_at, message.state.is_final)
    transition = states.on_report(_situation(message, attempt), report, may_fall_back=message.may_fall_back)
    if transition.effect is not Effect.CONTRADICTION and report.status is not Status.UNKNOWN:
        attempt.status = _better(attempt.status, report.status)
    attempt.segments = small(report.segments) or attempt.segments
    attempt.send_as = report.sent_as or attempt.send_as
    _move(message, transition, batch, retry_after=None)
    _add_events(message, attempt, transition, facts, batch)
    return transition.effect


def _weigh_decision(message: LockedMessage, decision: Decision, batch: _Batch) -> Effect:
    """Our own decision never overrides a final, nor what became of an unknown outcome meanwhile."""
    if message.state.is_final:
        return Effect.STORED
    if decision.state is MessageState.CANCELLED and not message.may_be_withdrawn:
        return Effect.SUPERSEDED
    is_undecided = message.state in (MessageState.SENDING, MessageState.UNKNOWN_OUTCOME)
    if decision.about and not (is_undecided and message.last and message.last.id == decision.about):
        return Effect.SUPERSEDED
    message.become(decision.state, decision.code)
    if not decision.state.is_final:
        message.due_at = message.row.now
        return Effect.APPLIED
    if decision.state is MessageState.REFUSED:
        return Effect.APPLIED  # the caller heard it while waiting
    if decision.state is not MessageState.UNCONFIRMED or message.row.fail_unconfirmed:
        error = _error(decision.code, decision.text)
        batch.add_event(message, EventKind.FINAL, "failed", message.row.now, error)
    return Effect.APPLIED


def _situation(message: LockedMessage, attempt: LockedAttempt) -> states.Situation:
    is_last = attempt is message.last
    return states.Situation(message.state, message.error_code, is_last, attempt.outcome, attempt.status)


def _better(known: Status | None, reported: Status) -> Status:
    return reported if known is None or not known.is_final else known


def _move(
    message: LockedMessage,
    transition: states.Transition,
    batch: _Batch,
    *,
    retry_after: float | None,
    other: Choice | None = None,
) -> None:
    """Changes the message as the transition says, and when it is due. `other`: the way that it moves to."""
    if transition.state is None:
        return
    now = message.row.now
    message.become(transition.state, transition.error_code)
    if transition.fallback:
        message.send_as, message.due_at = Channel.SMS, now
        message.segments = segments.count(message.row.fallback_text).parts
    elif transition.moves and other:
        message.account_id, message.queue_id = other.way.account_id, other.way.queue_id
        message.send_from = "" if other.sender == message.row.sender else other.sender
        message.due_at = now
    elif transition.retry:
        _retry(message, batch, retry_after)
    elif transition.state is MessageState.UNKNOWN_OUTCOME:
        message.due_at = now + timedelta(seconds=settings.UNKNOWN_OUTCOME_WAIT)
    elif transition.state is MessageState.SENT:
        message.due_at = now + message.row.report_deadline


def _retry(message: LockedMessage, batch: _Batch, retry_after: float | None) -> None:
    """Due after a delay, or ended: a retry after the validity is not worth sending.

    A message that never arrived at the vendor is sent again at once.
    """
    message.due_at = message.row.now
    if message.error_code != states.PROVED_ABSENT:
        delay = backoff.send_delay(message.times_put_off, retry_after=retry_after, rand=random.random)
        message.due_at += timedelta(seconds=delay)
    if message.row.attempts >= backoff.SEND_ATTEMPTS_MAX:
        text = f"given up after {message.row.attempts} attempts"
        _weigh_decision(message, Decision(message.row.id, MessageState.FAILED, states.GAVE_UP, text), batch)
    elif message.due_at >= message.row.expires_at:
        text = f"not sent within its validity; the last attempt: {message.error_code}"
        _weigh_decision(
            message, Decision(message.row.id, MessageState.EXPIRED, states.EXPIRED_HERE, text), batch
        )


def _add_events(
    message: LockedMessage,
    attempt: LockedAttempt,
    transition: states.Transition,
    facts: _VendorFacts,
    batch: _Batch,
) -> None:
    """The events that tell Bloomreach of the transition (contract 5)."""
    if transition.state is MessageState.SENT and message.row.report_sent:
        batch.add_event(message, EventKind.SENT, "sent", facts.occurred_at)
    if transition.state is None or not transition.state.is_final:
        return
    message.segments = attempt.segments or message.segments
    message.send_as = attempt.send_as  # a picture may arrive after all, while its fallback waits
    error = None
    if transition.state is not MessageState.DELIVERED:
        error = _error(message.error_code, facts.text, facts.vendor_code)
    status = "delivered" if error is None else "failed"
    batch.add_event(
        message, EventKind.FINAL, status, facts.occurred_at, error, follows_final=facts.follows_final
    )


def _error(code: str, text: str, vendor_code: str = "") -> dict[str, str]:
    return {
        "code": clip(code, 60),
        "message": clip(text, 300),
        "vendor_code": clip(vendor_code, 60),
    }


def _write(evidence: Sequence[Evidence], messages: Iterable[LockedMessage], batch: _Batch) -> None:
    changed = [message for message in messages if message.changed]
    if changed:
        locking.write_messages(changed)
    attempts = [attempt for message in messages for attempt in message.attempts.values()]
    answers = [(attempt.id, attempt.answer) for attempt in attempts if attempt.answer]
    if answers:
        locking.write_answers(answers)
    reported_ids = {item.attempt_id for item in evidence if isinstance(item, ReportEvidence)}
    reported = [attempt for attempt in attempts if attempt.id in reported_ids]
    if reported:
        locking.write_statuses(reported)
    locking.add_events([event for event in batch.new_events if event.message.row.callback_url])


def _add_opt_outs(messages: Iterable[LockedMessage]) -> None:
    """An inbound STOP for each message that ended because its recipient had opted out."""
    ended = [message for message in messages if message.changed and message.state.is_final]
    if opted_out := [message.row.id for message in ended if message.error_code == states.OPTED_OUT]:
        inbound.opted_out(opted_out)
