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
from messaging.evidence.locking import HeldAttempt, HeldMessage, Owed, clip, small
from messaging.rules import backoff, states
from messaging.rules.routing import Choice
from messaging.rules.values import Effect, EventKind, MessageState
from phone import segments
from vendors.values import Channel, Report, SendResult, Status


@dataclass(frozen=True, slots=True)
class Answer:
    """What a vendor's answer, or its absence, says about one attempt."""

    message_id: UUID
    attempt_id: UUID
    result: SendResult


@dataclass(frozen=True, slots=True)
class Word:
    """What a delivery report says about one attempt (all its parts taken together)."""

    message_id: UUID
    attempt_id: UUID
    report: Report
    received_at: datetime | None  # None: just now, by a look-up


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision of our own: validity used up, no report in time, unknown outcome given up or sent once more.

    `about` is the attempt whose call it judges: void once that attempt is decided, or another one has begun.
    """

    message_id: UUID
    state: MessageState
    code: str
    text: str
    about: UUID | None = None


Evidence = Answer | Word | Ruling


@dataclass(frozen=True, slots=True)
class _Told:
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
    owed: list[Owed] = []
    effects = []
    tables: failover.Tables = {}
    for item in evidence:
        message = messages.get(item.message_id)
        effects.append(_weigh(message, item, owed, tables) if message else Effect.STORED)
    _write(evidence, messages.values(), owed)
    _tell_opt_outs(messages.values())
    return effects


def _weigh(message: HeldMessage, item: Evidence, owed: list[Owed], tables: failover.Tables) -> Effect:
    if isinstance(item, Ruling):
        return _rule(message, item, owed)
    attempt = message.attempts.get(item.attempt_id)
    if attempt is None:
        return Effect.STORED
    standing = states.Standing(
        message.state, message.error_code, attempt is message.last, attempt.outcome, attempt.status
    )
    follows = message.state.is_final  # then the final before was of our own making
    if isinstance(item, Answer):
        other = None
        if states.blames_route(standing, item.result):
            other = failover.after_refusal(message, attempt, item.result.outcome, tables)
        verdict = states.on_answer(
            standing, item.result, may_fall_back=message.may_fall_back, may_move=other is not None
        )
        if states.replaces(attempt.outcome, item.result.outcome):
            attempt.outcome, attempt.code, attempt.answer = item.result.outcome, item.result.code, item.result
        attempt.segments = small(item.result.segments) or attempt.segments
        _move(message, verdict, owed, retry_after=item.result.retry_after, other=other)
        told = _Told(item.result.text, item.result.vendor_code, message.row.now, follows)
        _tell(message, verdict, owed, attempt, told)
        return verdict.effect
    verdict = states.on_report(standing, item.report, may_fall_back=message.may_fall_back)
    if verdict.effect is not Effect.CONTRADICTION and item.report.status is not Status.UNKNOWN:
        attempt.status = _better(attempt.status, item.report.status)
    attempt.segments = small(item.report.segments) or attempt.segments
    attempt.send_as = item.report.sent_as or attempt.send_as
    _move(message, verdict, owed, retry_after=None)
    occurred_at = item.report.occurred_at or item.received_at or message.row.now
    _tell(
        message,
        verdict,
        owed,
        attempt,
        _Told(item.report.text, item.report.vendor_code, occurred_at, follows),
    )
    return verdict.effect


def _better(known: Status | None, told: Status) -> Status:
    return told if known is None or not known.is_final else known


def _rule(message: HeldMessage, ruling: Ruling, owed: list[Owed]) -> Effect:
    """Our own decision never overrides a final, nor what became of a doubt meanwhile."""
    if message.state.is_final:
        return Effect.STORED
    if ruling.state is MessageState.CANCELLED and not message.may_be_withdrawn:
        return Effect.SUPERSEDED
    in_doubt = message.state in (MessageState.SENDING, MessageState.UNCERTAIN)
    if ruling.about and not (in_doubt and message.last and message.last.id == ruling.about):
        return Effect.SUPERSEDED
    if not ruling.state.is_final:
        message.changed, message.state, message.error_code = True, ruling.state, ruling.code
        message.due_at = message.row.now
        return Effect.APPLIED
    _end(message, ruling.state, ruling.code)
    if ruling.state is MessageState.REFUSED:
        return Effect.APPLIED  # the caller heard it while waiting
    if ruling.state is not MessageState.UNCONFIRMED or message.row.fail_unconfirmed:
        owed.append(
            Owed(message, EventKind.FINAL, "failed", message.row.now, _error(ruling.code, ruling.text))
        )
    return Effect.APPLIED


def _move(
    message: HeldMessage,
    verdict: states.Verdict,
    owed: list[Owed],
    *,
    retry_after: float | None,
    other: Choice | None = None,
) -> None:
    """Writes the verdict into the locked row's working copy."""
    if verdict.state is None:
        return
    now: datetime = message.row.now
    if verdict.state.is_final:
        _end(message, verdict.state, verdict.error_code)
        return
    message.changed, message.state, message.error_code = (
        True,
        verdict.state,
        clip(verdict.error_code, 60),
    )
    if verdict.fallback:
        message.send_as, message.due_at = Channel.SMS, now
        message.segments = segments.count(message.row.fallback_text).parts
    elif verdict.moves and other:
        message.account_id, message.queue_id, message.due_at = (
            other.way.account_id,
            other.way.queue_id,
            now,
        )
        message.send_from = "" if other.sender == message.row.sender else other.sender
    elif verdict.retry:
        _retry(message, owed, retry_after)
    elif verdict.state is MessageState.UNCERTAIN:
        message.due_at = now + timedelta(seconds=settings.UNCERTAIN_WAIT)
    elif verdict.state is MessageState.SENT:
        message.due_at = now + message.row.report_deadline


def _end(message: HeldMessage, state: MessageState, code: str) -> None:
    message.changed, message.state, message.error_code = True, state, clip(code, 60)
    message.final_at = message.due_at = message.row.now


def _retry(message: HeldMessage, owed: list[Owed], retry_after: float | None) -> None:
    """Due by backoff, or over: a retry after the validity is not worth sending. What never arrived goes at once."""
    message.due_at = message.row.now
    if message.error_code != states.PROVED_ABSENT:
        delay = backoff.send_delay(message.refusals, retry_after=retry_after, rand=random.random)
        message.due_at += timedelta(seconds=delay)
    if message.row.attempts >= backoff.SEND_ATTEMPTS_MAX:
        text = f"given up after {message.row.attempts} attempts"
        _rule(message, Ruling(message.row.id, MessageState.FAILED, states.GAVE_UP, text), owed)
    elif message.due_at >= message.row.expires_at:
        text = f"not sent within its validity; the last attempt: {message.error_code}"
        _rule(message, Ruling(message.row.id, MessageState.EXPIRED, states.EXPIRED_HERE, text), owed)


def _tell(
    message: HeldMessage,
    verdict: states.Verdict,
    owed: list[Owed],
    attempt: HeldAttempt,
    told: _Told,
) -> None:
    """Owes Bloomreach what the verdict changed (contract 5)."""
    if verdict.state is MessageState.SENT and message.row.report_sent:
        owed.append(Owed(message, EventKind.SENT, "sent", told.occurred_at))
    if verdict.state is None or not verdict.state.is_final:
        return
    message.segments = attempt.segments or message.segments
    message.send_as = attempt.send_as  # a picture may arrive after all, while its fallback waits
    error = None
    if verdict.state is not MessageState.DELIVERED:
        error = _error(message.error_code, told.text, told.vendor_code)
    status = "delivered" if error is None else "failed"
    owed.append(Owed(message, EventKind.FINAL, status, told.occurred_at, error, told.follows_final))


def _error(code: str, text: str, vendor_code: str = "") -> dict[str, str]:
    return {
        "code": clip(code, 60),
        "message": clip(text, 300),
        "vendor_code": clip(vendor_code, 60),
    }


def _write(
    evidence: Sequence[Evidence],
    messages: Iterable[HeldMessage],
    owed: list[Owed],
) -> None:
    changed = [message for message in messages if message.changed]
    if changed:
        locking.write_messages(changed)
    attempts = [attempt for message in messages for attempt in message.attempts.values()]
    answers = [(attempt.id, attempt.answer) for attempt in attempts if attempt.answer]
    if answers:
        locking.write_answers(answers)
    words = {item.attempt_id for item in evidence if isinstance(item, Word)}
    known = [attempt for attempt in attempts if attempt.id in words]
    if known:
        locking.write_words(known)
    locking.owe([item for item in owed if item.message.row.callback_url])


def _tell_opt_outs(messages: Iterable[HeldMessage]) -> None:
    ended = [message for message in messages if message.changed and message.state.is_final]
    if opted_out := [message.row.id for message in ended if message.error_code == states.OPTED_OUT]:
        inbound.opted_out(opted_out)
