"""Rows that evidence moves: locked and read here, weighed in evidence.py, written back here in one statement each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from messaging.models import Queue
from messaging.models.statement import change, fetch
from messaging.queues import destinations
from messaging.rules.ids import uuid7
from messaging.rules.states import PROVED_ABSENT
from messaging.rules.values import DestinationKind, EventKind, MessageState
from vendors.values import Channel, Outcome, SendResult, Status

SMALLINT = 32767  # what the columns for parts and segments hold


@dataclass(slots=True)
class LockedAttempt:
    """An attempt of a locked message, with what is to be written about it."""

    id: UUID
    n: int
    send_as: str
    outcome: Outcome | None
    status: Status | None
    segments: int | None
    code: str
    account_id: int
    answer: SendResult | None = None  # to be written

    @property
    def has_refused(self) -> bool:
        """Whether its account will not have the message."""
        return self.outcome in (Outcome.PERMANENT, Outcome.CONFIGURATION)

    @property
    def may_arrive(self) -> bool:
        """Whether the recipient may get the message, or have got it, by this attempt."""
        undecided = self.outcome in (None, Outcome.UNKNOWN, Outcome.TAKEN)
        return undecided and self.status not in (Status.UNDELIVERED, Status.EXPIRED, Status.REJECTED)

    @property
    def was_refused(self) -> bool:
        """Whether the vendor asked to come back later: neither an undialled call nor one that never arrived."""
        return self.outcome in (Outcome.TEMPORARY, Outcome.CONFIGURATION) and self.code != PROVED_ABSENT


@dataclass(slots=True)
class LockedMessage:
    """A locked row while evidence is weighed; `changed` rows are written back in one statement."""

    row: Any
    state: MessageState
    error_code: str
    send_as: str
    segments: int
    due_at: datetime
    final_at: datetime | None
    account_id: int
    queue_id: int  # its account's queue as it is now
    send_from: str
    attempts: dict[UUID, LockedAttempt] = field(default_factory=dict)
    changed: bool = False

    @property
    def last(self) -> LockedAttempt | None:
        return max(self.attempts.values(), key=lambda attempt: attempt.n, default=None)

    @property
    def refusals(self) -> int:
        """How often the vendor asked to come back later."""
        return sum(attempt.was_refused for attempt in self.attempts.values())

    @property
    def may_be_withdrawn(self) -> bool:
        """Whether it waits, and nothing of it can be on its way."""
        waits = self.state in (MessageState.ACCEPTED, MessageState.RETRYING)
        return waits and not any(attempt.may_arrive for attempt in self.attempts.values())

    @property
    def may_fall_back(self) -> bool:
        asked_for_mms = self.row.channel == Channel.MMS and self.send_as == Channel.MMS
        return bool(asked_for_mms and self.row.fallback_text and self.row.now < self.row.expires_at)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that the evidence makes due."""

    message: LockedMessage
    kind: EventKind
    status: str
    occurred_at: datetime
    error: dict[str, str] | None = None
    follows_final: bool = False


LOCK_MESSAGES = """
SELECT m.id, m.tenant_id, m.channel, m.sender, m.recipient, m.send_from, m.account_id, n.queue_id,
       m.send_as, m.segments, m.state, m.error_code, m.due_at, m.final_at,
       m.expires_at, m.attempts, m.created_at, c.callback_url, c.fallback_text, n.report_deadline,
       n.fail_unconfirmed, t.report_sent, clock_timestamp() AS now
FROM messaging_message m
JOIN messaging_content c ON c.message_id = m.id AND c.created_at = m.created_at
JOIN messaging_provideraccount n ON n.id = m.account_id
JOIN accounts_tenant t ON t.id = m.tenant_id
WHERE m.id = ANY(%(ids)s) ORDER BY m.id FOR NO KEY UPDATE OF m
"""

READ_ATTEMPTS = """
SELECT id, message_id, n, send_as, outcome, status, segments, code, account_id
FROM messaging_attempt WHERE message_id = ANY(%(ids)s)
"""

WRITE_MESSAGES = """
UPDATE messaging_message m SET state = v.state, lease = NULL, due_at = v.due_at, final_at = v.final_at,
       error_code = v.error_code, send_as = v.send_as, segments = v.segments, account_id = v.account_id,
       queue_id = v.queue_id, send_from = v.send_from
FROM unnest(%(id)s::uuid[], %(state)s::int2[], %(due_at)s::timestamptz[], %(final_at)s::timestamptz[],
            %(error_code)s::text[], %(send_as)s::text[], %(segments)s::int2[], %(account_id)s::int8[],
            %(queue_id)s::int8[], %(send_from)s::text[])
     AS v(id, state, due_at, final_at, error_code, send_as, segments, account_id, queue_id, send_from)
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
INSERT INTO messaging_attemptpart (account_id, vendor_id, attempt_id, part)
SELECT a.account_id, v.vendor_id, v.attempt_id, v.part
FROM unnest(%(attempt_id)s::uuid[], %(vendor_id)s::text[], %(part)s::int2[]) AS v(attempt_id, vendor_id, part)
JOIN messaging_attempt a ON a.id = v.attempt_id
ON CONFLICT (account_id, vendor_id) DO NOTHING
"""

WRITE_WORDS = """
UPDATE messaging_attempt a SET status = v.status, segments = coalesce(v.segments, a.segments)
FROM unnest(%(id)s::uuid[], %(status)s::text[], %(segments)s::int2[]) AS v(id, status, segments)
WHERE a.id = v.id
"""

# A report that came before its vendor id was known is looked at again as soon as the id is. SKIP LOCKED: who is
# applying reports holds their rows and wants our messages.
WAKE_REPORTS = """
UPDATE messaging_deliveryreport SET due_at = clock_timestamp() WHERE id IN (
  SELECT r.id FROM messaging_deliveryreport r JOIN messaging_attempt a ON a.account_id = r.account_id
  WHERE a.id = ANY(%(ids)s) AND r.effect = 'unmatched' AND (r.vendor_id = a.vendor_id
    OR r.vendor_id IN (SELECT p.vendor_id FROM messaging_attemptpart p WHERE p.attempt_id = a.id))
  FOR NO KEY UPDATE OF r SKIP LOCKED)
"""

ADD_EVENTS = """
INSERT INTO messaging_event (id, queue_id, destination_id, message_id, kind, generation, url, status, occurred_at,
                             error, segments, sent_as, due_at)
SELECT v.id, l.id,
       /* known */, v.message_id, v.kind,
       CASE WHEN v.follows_final THEN (SELECT count(*) FROM messaging_event e
                                       WHERE e.message_id = v.message_id AND e.kind = v.kind) ELSE 0 END,
       v.url, v.status, v.occurred_at, v.error, v.segments, v.sent_as, clock_timestamp()
FROM unnest(%(id)s::uuid[], %(tenant_id)s::text[], %(message_id)s::uuid[], %(kind)s::int2[],
            %(follows_final)s::bool[], %(url)s::text[], %(status)s::text[], %(occurred_at)s::timestamptz[],
            %(error)s::jsonb[], %(segments)s::int2[], %(sent_as)s::text[])
     AS v(id, tenant_id, message_id, kind, follows_final, url, status, occurred_at, error, segments, sent_as)
JOIN messaging_queue l ON l.kind = 1 AND l.key = v.tenant_id
ON CONFLICT (message_id, kind, generation) DO NOTHING
""".replace(
    "/* known */", destinations.KNOWN.format(queue="l.id", kind=int(DestinationKind.CALLBACK), url="v.url")
)


def lock(ids: set[UUID]) -> dict[UUID, LockedMessage]:
    """The messages, locked in one order, with their attempts. Those that are gone are missing."""
    messages = {
        row.id: LockedMessage(
            row=row,
            state=MessageState(row.state),
            error_code=row.error_code,
            send_as=row.send_as,
            segments=row.segments,
            due_at=row.due_at,
            final_at=row.final_at,
            account_id=row.account_id,
            queue_id=row.queue_id,
            send_from=row.send_from,
        )
        for row in fetch(LOCK_MESSAGES, {"ids": list(ids)})
    }
    for row in fetch(READ_ATTEMPTS, {"ids": list(messages)}):
        outcome = Outcome(row.outcome) if row.outcome else None
        status = Status(row.status) if row.status else None
        attempt = LockedAttempt(
            row.id, row.n, row.send_as, outcome, status, row.segments, row.code, row.account_id
        )
        messages[row.message_id].attempts[row.id] = attempt
    return messages


def write_messages(changed: Sequence[LockedMessage]) -> None:
    """Writes back what evidence moved."""
    columns = {
        "id": [message.row.id for message in changed],
        "state": [int(message.state) for message in changed],
        "due_at": [message.due_at for message in changed],
        "final_at": [message.final_at for message in changed],
        "error_code": [message.error_code for message in changed],
        "send_as": [str(message.send_as) for message in changed],
        "segments": [message.segments for message in changed],
        "account_id": [message.account_id for message in changed],
        "queue_id": [message.queue_id for message in changed],
        "send_from": [message.send_from for message in changed],
    }
    change(WRITE_MESSAGES, columns)


def write_words(reported: Sequence[LockedAttempt]) -> None:
    """Writes what reports said about attempts."""
    columns = {
        "id": [attempt.id for attempt in reported],
        "status": [attempt.status for attempt in reported],
        "segments": [attempt.segments for attempt in reported],
    }
    change(WRITE_WORDS, columns)


def write_answers(answers: Sequence[tuple[UUID, SendResult]]) -> None:
    """Writes what vendors answered; reports that waited for a vendor id are due."""
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
            "parts": [small(max(len(result.part_ids), 1)) for result in results],
            "segments": [small(result.segments) for result in results],
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


def add_events(new_events: Sequence[NewEvent]) -> None:
    """Inserts events. A test message without a callback URL is owed nothing."""
    if not new_events:
        return
    Queue.objects.ensure_callbacks({item.message.row.tenant_id for item in new_events})
    change(
        ADD_EVENTS,
        {
            "id": [uuid7() for _ in new_events],
            "tenant_id": [str(item.message.row.tenant_id) for item in new_events],
            "message_id": [item.message.row.id for item in new_events],
            "kind": [int(item.kind) for item in new_events],
            "follows_final": [item.follows_final for item in new_events],
            "url": [item.message.row.callback_url for item in new_events],
            "status": [item.status for item in new_events],
            "occurred_at": [item.occurred_at for item in new_events],
            "error": [Jsonb(item.error) if item.error else None for item in new_events],
            "segments": [item.message.segments for item in new_events],
            "sent_as": [str(item.message.send_as) for item in new_events],
        },
    )


def clip(text: str, length: int) -> str:
    """What a column takes: no NUL, no half of a surrogate pair, no more than it holds. Vendors write all of it."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")[:length]


def small(number: int | None) -> int | None:
    """What a column of small numbers takes."""
    return None if number is None else min(max(number, 0), SMALLINT)
