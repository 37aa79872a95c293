"""Messages that evidence is about: locked and read here, changed by weighing.py, written back here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.types.json import Jsonb

from messaging.models import Queue
from messaging.models.sql import change, fetch, sql
from messaging.queues import destinations
from messaging.rules.ids import uuid7
from messaging.rules.states import PROVED_ABSENT
from messaging.rules.values import EventKind, MessageState
from vendors.values import Channel, Outcome, SendResult, Status

SMALLINT = 32767  # what the columns for parts and segments hold


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it was when it was locked, with what its content, account and tenant say about it."""

    id: UUID
    tenant_id: int
    channel: str
    sender: str
    recipient: str
    send_from: str
    account_id: int
    queue_id: int  # its account's queue as it is now
    send_as: str
    segments: int
    state: int
    error_code: str
    due_at: datetime
    final_at: datetime | None
    expires_at: datetime
    attempts: int
    created_at: datetime
    callback_url: str
    fallback_text: str
    report_deadline: timedelta
    fail_unconfirmed: bool
    report_sent: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """An attempt of a locked message, as it is stored."""

    id: UUID
    message_id: UUID
    n: int
    send_as: str
    outcome: str | None
    status: str | None
    segments: int | None
    code: str
    account_id: int


@dataclass(slots=True)
class LockedAttempt:
    """An attempt of a locked message: what evidence changes about it is kept here until it is written."""

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
    def refused_for_good(self) -> bool:
        """Whether its account will not have the message."""
        return self.outcome in (Outcome.PERMANENT, Outcome.CONFIGURATION)

    @property
    def may_arrive(self) -> bool:
        """Whether the recipient may get the message, or have got it, by this attempt.

        Statements say the same with `{attempt_may_arrive}` (messaging/models/sql.py).
        """
        undecided = self.outcome in (None, Outcome.UNKNOWN, Outcome.TAKEN)
        return undecided and self.status not in (Status.UNDELIVERED, Status.EXPIRED, Status.REJECTED)

    @property
    def was_put_off(self) -> bool:
        """Whether the vendor asked to come back later: neither an undialled call nor one that never arrived."""
        return self.outcome in (Outcome.TEMPORARY, Outcome.CONFIGURATION) and self.code != PROVED_ABSENT


@dataclass(slots=True)
class LockedMessage:
    """A locked message: evidence changes it here, and all that are `changed` are written back in one statement."""

    row: StoredMessage
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
    def times_put_off(self) -> int:
        """How often the vendor asked to come back later."""
        return sum(attempt.was_put_off for attempt in self.attempts.values())

    @property
    def may_be_withdrawn(self) -> bool:
        """Whether it waits, and nothing of it can be on its way."""
        waits = self.state in (MessageState.ACCEPTED, MessageState.RETRYING)
        return waits and not any(attempt.may_arrive for attempt in self.attempts.values())

    @property
    def may_fall_back(self) -> bool:
        asked_for_mms = self.row.channel == Channel.MMS and self.send_as == Channel.MMS
        return bool(asked_for_mms and self.row.fallback_text and self.row.now < self.row.expires_at)

    def become(self, state: MessageState, code: str) -> None:
        """Puts the message into `state`. `code` says why; a final state also ends the message now."""
        self.changed, self.state, self.error_code = True, state, clip(code, 60)
        if state.is_final:
            self.final_at = self.due_at = self.row.now


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that Bloomreach is owed because of the evidence. `add_events` inserts it."""

    message: LockedMessage
    kind: EventKind
    status: str
    occurred_at: datetime
    error: dict[str, str] | None = None
    follows_final: bool = False


# Messages are locked in one order, so that two who lock the same ones do not wait for each other.
LOCK_MESSAGES = sql("""
SELECT message.id, message.tenant_id, message.channel, message.sender, message.recipient, message.send_from,
       message.account_id, account.queue_id, message.send_as, message.segments, message.state, message.error_code,
       message.due_at, message.final_at, message.expires_at, message.attempts, message.created_at,
       content.callback_url, content.fallback_text, account.report_deadline, account.fail_unconfirmed,
       tenant.report_sent, clock_timestamp() AS now
FROM messaging_message message
JOIN messaging_content content ON content.message_id = message.id AND content.created_at = message.created_at
JOIN messaging_provideraccount account ON account.id = message.account_id
JOIN accounts_tenant tenant ON tenant.id = message.tenant_id
WHERE message.id = ANY(%(ids)s) ORDER BY message.id FOR NO KEY UPDATE OF message
""")

READ_ATTEMPTS = """
SELECT id, message_id, n, send_as, outcome, status, segments, code, account_id
FROM messaging_attempt WHERE message_id = ANY(%(ids)s)
"""

WRITE_MESSAGES = """
UPDATE messaging_message message
SET state = given.state, lease = NULL, due_at = given.due_at, final_at = given.final_at,
    error_code = given.error_code, send_as = given.send_as, segments = given.segments,
    account_id = given.account_id, queue_id = given.queue_id, send_from = given.send_from
FROM unnest(%(id)s::uuid[], %(state)s::int2[], %(due_at)s::timestamptz[], %(final_at)s::timestamptz[],
            %(error_code)s::text[], %(send_as)s::text[], %(segments)s::int2[], %(account_id)s::int8[],
            %(queue_id)s::int8[], %(send_from)s::text[])
     AS given(id, state, due_at, final_at, error_code, send_as, segments, account_id, queue_id, send_from)
WHERE message.id = given.id
"""

# An answer without a vendor id or a number of segments leaves those that are known.
WRITE_ANSWERS = """
UPDATE messaging_attempt attempt
SET outcome = given.outcome, ended_at = clock_timestamp(), code = given.code, vendor_code = given.vendor_code,
    text = given.text, vendor_id = coalesce(nullif(given.vendor_id, ''), attempt.vendor_id),
    parts = greatest(given.parts, attempt.parts), segments = coalesce(given.segments, attempt.segments)
FROM unnest(%(id)s::uuid[], %(outcome)s::text[], %(code)s::text[], %(vendor_code)s::text[], %(text)s::text[],
            %(vendor_id)s::text[], %(parts)s::int2[], %(segments)s::int2[])
     AS given(id, outcome, code, vendor_code, text, vendor_id, parts, segments)
WHERE attempt.id = given.id
"""

# The vendor's ids of the second part and those after it; the first part's id is the attempt's own.
WRITE_PARTS = """
INSERT INTO messaging_attemptpart (account_id, vendor_id, attempt_id, part)
SELECT attempt.account_id, given.vendor_id, given.attempt_id, given.part
FROM unnest(%(attempt_id)s::uuid[], %(vendor_id)s::text[], %(part)s::int2[]) AS given(attempt_id, vendor_id, part)
JOIN messaging_attempt attempt ON attempt.id = given.attempt_id
ON CONFLICT (account_id, vendor_id) DO NOTHING
"""

# What delivery reports said about attempts.
WRITE_STATUSES = """
UPDATE messaging_attempt attempt
SET status = given.status, segments = coalesce(given.segments, attempt.segments)
FROM unnest(%(id)s::uuid[], %(status)s::text[], %(segments)s::int2[]) AS given(id, status, segments)
WHERE attempt.id = given.id
"""

# A report that came before its vendor id was known is due again as soon as the id is known. SKIP LOCKED: whoever is
# applying reports holds their rows and waits for our messages.
WAKE_REPORTS = sql("""
UPDATE messaging_deliveryreport SET due_at = clock_timestamp() WHERE id IN (
  SELECT report.id FROM messaging_deliveryreport report
  JOIN messaging_attempt attempt ON attempt.account_id = report.account_id
  WHERE attempt.id = ANY(%(ids)s) AND report.effect = {Effect.UNMATCHED} AND (report.vendor_id = attempt.vendor_id
    OR report.vendor_id IN (SELECT part.vendor_id FROM messaging_attemptpart part WHERE part.attempt_id = attempt.id))
  FOR NO KEY UPDATE OF report SKIP LOCKED)
""")

# A final that follows another final gets the next generation; the first one is inserted once, whoever comes first.
ADD_EVENTS = sql(
    """
INSERT INTO messaging_event (id, queue_id, destination_id, message_id, kind, generation, url, status, occurred_at,
                             error, segments, sent_as, due_at)
SELECT given.id, queue.id, {known_destination}, given.message_id, given.kind,
       CASE WHEN given.follows_final THEN (SELECT count(*) FROM messaging_event event
                                           WHERE event.message_id = given.message_id AND event.kind = given.kind)
            ELSE 0 END,
       given.url, given.status, given.occurred_at, given.error, given.segments, given.sent_as, clock_timestamp()
FROM unnest(%(id)s::uuid[], %(tenant_id)s::text[], %(message_id)s::uuid[], %(kind)s::int2[],
            %(follows_final)s::bool[], %(url)s::text[], %(status)s::text[], %(occurred_at)s::timestamptz[],
            %(error)s::jsonb[], %(segments)s::int2[], %(sent_as)s::text[])
     AS given(id, tenant_id, message_id, kind, follows_final, url, status, occurred_at, error, segments, sent_as)
JOIN messaging_queue queue ON queue.kind = {QueueKind.CALLBACKS} AND queue.key = given.tenant_id
ON CONFLICT (message_id, kind, generation) DO NOTHING
""",
    known_destination=destinations.KNOWN.format(
        queue="queue.id", kind="{DestinationKind.CALLBACK}", url="given.url"
    ),
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
        for row in fetch(LOCK_MESSAGES, {"ids": list(ids)}, row=StoredMessage)
    }
    for row in fetch(READ_ATTEMPTS, {"ids": list(messages)}, row=StoredAttempt):
        outcome = Outcome(row.outcome) if row.outcome else None
        status = Status(row.status) if row.status else None
        attempt = LockedAttempt(
            row.id, row.n, row.send_as, outcome, status, row.segments, row.code, row.account_id
        )
        messages[row.message_id].attempts[row.id] = attempt
    return messages


def write_messages(changed: Sequence[LockedMessage]) -> None:
    """Writes back the messages that evidence changed."""
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


def write_statuses(reported: Sequence[LockedAttempt]) -> None:
    """Writes what reports said about attempts."""
    columns = {
        "id": [attempt.id for attempt in reported],
        "status": [attempt.status for attempt in reported],
        "segments": [attempt.segments for attempt in reported],
    }
    change(WRITE_STATUSES, columns)


def write_answers(answers: Sequence[tuple[UUID, SendResult]]) -> None:
    """Writes what vendors answered. Reports that waited for a vendor id are due at once."""
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
