"""Evidence enters rows here and nowhere else: lock the messages, ask states.py, write what changed, owe events.

Callers hold a transaction. All times are the database's (architecture 1.9).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from psycopg.types.json import Jsonb

from messaging import backoff, segments, states
from messaging.models import Lane
from messaging.models.statement import change, fetch
from messaging.types import (
    Channel,
    Effect,
    EventKind,
    MessageState,
    Outcome,
    Report,
    SendResult,
    Status,
    uuid7,
)

SMALLINT = 32767  # what the columns for parts and segments hold


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


@dataclass(slots=True)
class _Attempt:
    id: UUID
    n: int
    send_as: str
    outcome: Outcome | None
    status: Status | None
    segments: int | None
    answer: SendResult | None = None  # to be written


@dataclass(slots=True)
class _Message:
    """A locked row while evidence is weighed; `changed` rows are written back in one statement."""

    row: Any
    state: MessageState
    error_code: str
    send_as: str
    segments: int
    due_at: datetime
    final_at: datetime | None
    attempts: dict[UUID, _Attempt] = field(default_factory=dict)
    changed: bool = False

    @property
    def last(self) -> _Attempt | None:
        return max(self.attempts.values(), key=lambda attempt: attempt.n, default=None)

    @property
    def may_fall_back(self) -> bool:
        asked_for_mms = self.row.channel == Channel.MMS and self.send_as == Channel.MMS
        return bool(asked_for_mms and self.row.fallback_text and self.row.now < self.row.expires_at)


@dataclass(frozen=True, slots=True)
class _Owed:
    message: _Message
    kind: EventKind
    status: str
    occurred_at: datetime
    error: dict[str, str] | None = None
    follows_final: bool = False


@dataclass(frozen=True, slots=True)
class _Told:
    """The words that go with a verdict."""

    text: str
    vendor_code: str
    occurred_at: datetime
    follows_final: bool


LOCK_MESSAGES = """
SELECT m.id, m.tenant_id, m.channel, m.send_as, m.segments, m.state, m.error_code, m.due_at, m.final_at,
       m.expires_at, m.attempts, m.created_at, c.callback_url, c.fallback_text, n.report_deadline,
       n.fail_unconfirmed, t.report_sent, clock_timestamp() AS now
FROM messaging_message m
JOIN messaging_content c ON c.message_id = m.id AND c.created_at = m.created_at
JOIN messaging_connection n ON n.id = m.connection_id
JOIN accounts_tenant t ON t.id = m.tenant_id
WHERE m.id = ANY(%(ids)s) ORDER BY m.id FOR NO KEY UPDATE OF m
"""

READ_ATTEMPTS = """
SELECT id, message_id, n, send_as, outcome, status, segments FROM messaging_attempt WHERE message_id = ANY(%(ids)s)
"""

WRITE_MESSAGES = """
UPDATE messaging_message m SET state = v.state, lease = NULL, due_at = v.due_at, final_at = v.final_at,
       error_code = v.error_code, send_as = v.send_as, segments = v.segments
FROM unnest(%(id)s::uuid[], %(state)s::int2[], %(due_at)s::timestamptz[], %(final_at)s::timestamptz[],
            %(error_code)s::text[], %(send_as)s::text[], %(segments)s::int2[])
     AS v(id, state, due_at, final_at, error_code, send_as, segments)
WHERE m.id = v.id
"""

WRITE_ANSWERS = """
UPDATE messaging_attempt a SET outcome = v.outcome, ended_at = clock_timestamp(), code = v.code,
       vendor_code = v.vendor_code, text = v.text, vendor_id = coalesce(nullif(v.vendor_id, ''), a.vendor_id),
       parts = greatest(v.parts, a.parts), segments = coalesce(v.segments, a.segments)
FROM unnest(%(id)s::uuid[], %(outcome)s::text[], %(code)s::text[], %(vendor_code)s::text[], %(text)s::text[],
            %(vendor_id)s::text[], %(parts)s::int2[], %(segments)s::int2[])
     AS v(id, outcome, code, vendor_code, text, vendor_id, parts, segments)
WHERE a.id = v.id
"""

WRITE_PARTS = """
INSERT INTO messaging_attemptpart (connection_id, vendor_id, attempt_id, part)
SELECT a.connection_id, v.vendor_id, v.attempt_id, v.part
FROM unnest(%(attempt_id)s::uuid[], %(vendor_id)s::text[], %(part)s::int2[]) AS v(attempt_id, vendor_id, part)
JOIN messaging_attempt a ON a.id = v.attempt_id
ON CONFLICT (connection_id, vendor_id) DO NOTHING
"""

WRITE_WORDS = """
UPDATE messaging_attempt a SET status = v.status, segments = coalesce(v.segments, a.segments)
FROM unnest(%(id)s::uuid[], %(status)s::text[], %(segments)s::int2[]) AS v(id, status, segments)
WHERE a.id = v.id
"""

# A report that came before its vendor id was known is looked at again as soon as the id is. SKIP LOCKED: who is
# applying reports holds their rows and wants our messages.
WAKE_REPORTS = """
UPDATE messaging_report SET due_at = clock_timestamp() WHERE id IN (
  SELECT r.id FROM messaging_report r JOIN messaging_attempt a ON a.connection_id = r.connection_id
  WHERE a.id = ANY(%(ids)s) AND r.effect = 'unmatched' AND (r.vendor_id = a.vendor_id
    OR r.vendor_id IN (SELECT p.vendor_id FROM messaging_attemptpart p WHERE p.attempt_id = a.id))
  FOR NO KEY UPDATE OF r SKIP LOCKED)
"""

OWE = """
INSERT INTO messaging_event (id, lane_id, message_id, kind, generation, url, status, occurred_at, error, segments,
                             sent_as, due_at)
SELECT v.id, l.id, v.message_id, v.kind,
       CASE WHEN v.follows_final THEN (SELECT count(*) FROM messaging_event e
                                       WHERE e.message_id = v.message_id AND e.kind = v.kind) ELSE 0 END,
       v.url, v.status, v.occurred_at, v.error, v.segments, v.sent_as, clock_timestamp()
FROM unnest(%(id)s::uuid[], %(tenant_id)s::text[], %(message_id)s::uuid[], %(kind)s::int2[],
            %(follows_final)s::bool[], %(url)s::text[], %(status)s::text[], %(occurred_at)s::timestamptz[],
            %(error)s::jsonb[], %(segments)s::int2[], %(sent_as)s::text[])
     AS v(id, tenant_id, message_id, kind, follows_final, url, status, occurred_at, error, segments, sent_as)
JOIN messaging_lane l ON l.kind = 1 AND l.key = v.tenant_id
ON CONFLICT (message_id, kind, generation) DO NOTHING
"""


def apply(evidence: Sequence[Evidence]) -> list[Effect]:
    """Weighs each piece in order and writes the outcome. Returns what each one did.

    Evidence about a message that is gone (purged) is `stored`.
    """
    if not evidence:
        return []
    messages = _lock({item.message_id for item in evidence})
    owed: list[_Owed] = []
    effects = []
    for item in evidence:
        message = messages.get(item.message_id)
        effects.append(_weigh(message, item, owed) if message else Effect.STORED)
    _write(evidence, messages.values(), owed)
    return effects


def _lock(ids: set[UUID]) -> dict[UUID, _Message]:
    messages = {
        row.id: _Message(
            row=row,
            state=MessageState(row.state),
            error_code=row.error_code,
            send_as=row.send_as,
            segments=row.segments,
            due_at=row.due_at,
            final_at=row.final_at,
        )
        for row in fetch(LOCK_MESSAGES, {"ids": list(ids)})
    }
    for row in fetch(READ_ATTEMPTS, {"ids": list(messages)}):
        outcome = Outcome(row.outcome) if row.outcome else None
        status = Status(row.status) if row.status else None
        attempt = _Attempt(row.id, row.n, row.send_as, outcome, status, row.segments)
        messages[row.message_id].attempts[row.id] = attempt
    return messages


def _weigh(message: _Message, item: Evidence, owed: list[_Owed]) -> Effect:
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
        verdict = states.on_answer(standing, item.result, may_fall_back=message.may_fall_back)
        if states.replaces(attempt.outcome, item.result.outcome):
            attempt.outcome, attempt.answer = item.result.outcome, item.result
        attempt.segments = _small(item.result.segments) or attempt.segments
        _move(message, verdict, owed, retry_after=item.result.retry_after)
        told = _Told(item.result.text, item.result.vendor_code, message.row.now, follows)
        _tell(message, verdict, owed, attempt, told)
        return verdict.effect
    verdict = states.on_report(standing, item.report, may_fall_back=message.may_fall_back)
    if verdict.effect is not Effect.CONTRADICTION and item.report.status is not Status.UNKNOWN:
        attempt.status = _better(attempt.status, item.report.status)
    attempt.segments = _small(item.report.segments) or attempt.segments
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


def clip(text: str, length: int) -> str:
    """What a column takes: no NUL, no half of a surrogate pair, no more than it holds. Vendors write all of it."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")[:length]


def _small(number: int | None) -> int | None:
    return None if number is None else min(max(number, 0), SMALLINT)


def _better(known: Status | None, told: Status) -> Status:
    return told if known is None or not known.is_final else known


def _rule(message: _Message, ruling: Ruling, owed: list[_Owed]) -> Effect:
    """Our own decision never overrides a final, nor what became of a doubt meanwhile."""
    if message.state.is_final:
        return Effect.STORED
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
            _Owed(message, EventKind.FINAL, "failed", message.row.now, _error(ruling.code, ruling.text))
        )
    return Effect.APPLIED


def _move(
    message: _Message, verdict: states.Verdict, owed: list[_Owed], *, retry_after: float | None
) -> None:
    """Writes the verdict into the locked row's working copy."""
    if verdict.state is None:
        return
    now: datetime = message.row.now
    if verdict.state.is_final:
        _end(message, verdict.state, verdict.error_code)
        return
    message.changed, message.state, message.error_code = True, verdict.state, clip(verdict.error_code, 60)
    if verdict.fallback:
        message.send_as, message.due_at = Channel.SMS, now
        message.segments = segments.count(message.row.fallback_text).parts
    elif verdict.retry:
        _retry(message, owed, retry_after)
    elif verdict.state is MessageState.UNCERTAIN:
        message.due_at = now + timedelta(seconds=settings.UNCERTAIN_WAIT)
    elif verdict.state is MessageState.SENT:
        message.due_at = now + message.row.report_deadline


def _end(message: _Message, state: MessageState, code: str) -> None:
    message.changed, message.state, message.error_code = True, state, clip(code, 60)
    message.final_at = message.due_at = message.row.now


def _retry(message: _Message, owed: list[_Owed], retry_after: float | None) -> None:
    """Due by backoff, or over: a retry after the validity is not worth sending."""
    delay = backoff.send_delay(message.row.attempts, retry_after=retry_after, rand=random.random)
    message.due_at = message.row.now + timedelta(seconds=delay)
    if message.row.attempts >= backoff.SEND_ATTEMPTS_MAX:
        text = f"given up after {message.row.attempts} attempts"
        _rule(message, Ruling(message.row.id, MessageState.FAILED, states.GAVE_UP, text), owed)
    elif message.due_at >= message.row.expires_at:
        text = f"not sent within its validity; the last attempt: {message.error_code}"
        _rule(message, Ruling(message.row.id, MessageState.EXPIRED, states.EXPIRED_HERE, text), owed)


def _tell(
    message: _Message, verdict: states.Verdict, owed: list[_Owed], attempt: _Attempt, told: _Told
) -> None:
    """Owes Bloomreach what the verdict changed (contract 6)."""
    if verdict.state is MessageState.SENT and message.row.report_sent:
        owed.append(_Owed(message, EventKind.SENT, "sent", told.occurred_at))
    if verdict.state is None or not verdict.state.is_final:
        return
    message.segments = attempt.segments or message.segments
    message.send_as = attempt.send_as  # a picture may arrive after all, while its fallback waits
    error = None
    if verdict.state is not MessageState.DELIVERED:
        error = _error(message.error_code, told.text, told.vendor_code)
    status = "delivered" if error is None else "failed"
    owed.append(_Owed(message, EventKind.FINAL, status, told.occurred_at, error, told.follows_final))


def _error(code: str, text: str, vendor_code: str = "") -> dict[str, str]:
    return {"code": clip(code, 60), "message": clip(text, 300), "vendor_code": clip(vendor_code, 60)}


def _write(evidence: Sequence[Evidence], messages: Iterable[_Message], owed: list[_Owed]) -> None:
    changed = [message for message in messages if message.changed]
    if changed:
        change(WRITE_MESSAGES, _columns_of_messages(changed))
    attempts = [attempt for message in messages for attempt in message.attempts.values()]
    answers = [(attempt.id, attempt.answer) for attempt in attempts if attempt.answer]
    if answers:
        _write_answers(answers)
    words = {item.attempt_id for item in evidence if isinstance(item, Word)}
    known = [attempt for attempt in attempts if attempt.id in words]
    if known:
        columns = {
            "id": [attempt.id for attempt in known],
            "status": [attempt.status for attempt in known],
            "segments": [attempt.segments for attempt in known],
        }
        change(WRITE_WORDS, columns)
    _owe([item for item in owed if item.message.row.callback_url])


def _columns_of_messages(changed: list[_Message]) -> dict[str, list[Any]]:
    return {
        "id": [message.row.id for message in changed],
        "state": [int(message.state) for message in changed],
        "due_at": [message.due_at for message in changed],
        "final_at": [message.final_at for message in changed],
        "error_code": [message.error_code for message in changed],
        "send_as": [str(message.send_as) for message in changed],
        "segments": [message.segments for message in changed],
    }


def _write_answers(answers: Sequence[tuple[UUID, SendResult]]) -> None:
    results = [result for _, result in answers]
    ids = [attempt_id for attempt_id, _ in answers]
    change(
        WRITE_ANSWERS,
        {
            "id": ids,
            "outcome": [str(result.outcome) for result in results],
            "code": [clip(result.code, 60) for result in results],
            "vendor_code": [clip(result.vendor_code, 60) for result in results],
            "text": [clip(result.text, 300) for result in results],
            "vendor_id": [clip(result.vendor_id, 120) for result in results],
            "parts": [_small(max(len(result.part_ids), 1)) for result in results],
            "segments": [_small(result.segments) for result in results],
        },
    )
    parts = [
        (attempt_id, clip(vendor_id, 120), part)
        for attempt_id, result in answers
        for part, vendor_id in enumerate(result.part_ids[1:SMALLINT], start=2)
    ]
    if parts:
        attempt_ids, vendor_ids, numbers = (list(column) for column in zip(*parts, strict=True))
        change(WRITE_PARTS, {"attempt_id": attempt_ids, "vendor_id": vendor_ids, "part": numbers})
    named = [attempt_id for attempt_id, result in answers if result.vendor_id]
    if named:
        change(WAKE_REPORTS, {"ids": named})


def _owe(owed: list[_Owed]) -> None:
    """Inserts events. A test message without a callback URL is owed nothing."""
    if not owed:
        return
    Lane.objects.ensure_callbacks({item.message.row.tenant_id for item in owed})
    change(
        OWE,
        {
            "id": [uuid7() for _ in owed],
            "tenant_id": [str(item.message.row.tenant_id) for item in owed],
            "message_id": [item.message.row.id for item in owed],
            "kind": [int(item.kind) for item in owed],
            "follows_final": [item.follows_final for item in owed],
            "url": [item.message.row.callback_url for item in owed],
            "status": [item.status for item in owed],
            "occurred_at": [item.occurred_at for item in owed],
            "error": [Jsonb(item.error) if item.error else None for item in owed],
            "segments": [item.message.segments for item in owed],
            "sent_as": [str(item.message.send_as) for item in owed],
        },
    )
