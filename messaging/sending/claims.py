"""Which messages are sent next: claims over queues, and what is given back (ADR 4)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from messaging.models.sql import change, fetch, fetch_one, sql
from messaging.queues import circuit
from messaging.rules import backoff
from messaging.rules.ids import uuid7
from messaging.sending import sender_rates
from vendors.values import Channel, Media, Outgoing

QUEUES_AT_ONCE = 8

# The least recently served queues that have work. Locked here, counted in the next statement: only a new snapshot
# sees what the last holder of the lock claimed, so the cap is exact. NO KEY: the foreign keys of new messages share
# the row, and a stronger lock would skip every busy queue.
PICK_QUEUES = sql("""
SELECT queue.id, queue.faults >= %(trip)s AS is_probing,
       EXISTS (SELECT 1 FROM messaging_senderrate sender_rate WHERE sender_rate.queue_id = queue.id) AS is_metered
FROM messaging_queue queue
WHERE queue.kind = {QueueKind.DISPATCH} AND {queue_runs}
  AND (SELECT min(message.due_at) FROM messaging_message message
       WHERE message.queue_id = queue.id AND message.state IN {MessageState.ACCEPTED, RETRYING}) <= clock_timestamp()
  AND EXISTS (SELECT 1 FROM messaging_provideraccount account
              JOIN accounts_tenant tenant ON tenant.id = account.tenant_id
              WHERE account.queue_id = queue.id AND tenant.status = 'active')
ORDER BY queue.served_at LIMIT %(queues)s FOR NO KEY UPDATE OF queue SKIP LOCKED
""")

# `room` is what cap and probes leave, `tokens` (segments) what the bucket holds; the last message that
# fits may put it into debt. The clock is read once, so that no time between two readings is lost to the bucket.
_BUSY_QUEUES = """
busy_queues AS MATERIALIZED (
  SELECT queue.id, queue.served_at, queue.rate, queue.faults, bucket.at, bucket.tokens,
         row_number() OVER (ORDER BY queue.served_at) AS place,
         CASE WHEN queue.faults >= %(trip)s THEN least(queue.cap, queue.probes) ELSE queue.cap END
           - (SELECT count(*) FROM messaging_message message
              WHERE message.queue_id = queue.id AND message.state = {MessageState.SENDING}) AS room
  FROM messaging_queue queue CROSS JOIN LATERAL (
    SELECT clock.at, CASE WHEN queue.rate IS NULL THEN 0 ELSE least(greatest(queue.rate, 1), queue.tokens
             + extract(epoch FROM clock.at - queue.refilled_at)::float8 * queue.rate) END AS tokens
    FROM (SELECT clock_timestamp() AS at) clock) bucket
  WHERE queue.id = ANY(%(queues)s))"""

# Which messages of a queue may be sent now.
_SENDABLE = """state IN {MessageState.ACCEPTED, RETRYING}
      AND due_at <= clock_timestamp() AND expires_at > clock_timestamp() AND attempts < %(most)s
      AND tenant_id <> ALL (SELECT id FROM accounts_tenant WHERE status <> 'active')"""

_CANDIDATES = """
candidates AS MATERIALIZED (
  SELECT message.id, message.due_at, message.segments, busy_queues.id AS queue_id, busy_queues.served_at,
         busy_queues.room, busy_queues.rate, busy_queues.tokens
  FROM busy_queues CROSS JOIN LATERAL (
    SELECT id, due_at, segments FROM messaging_message
    WHERE queue_id = busy_queues.id AND {sendable}
    ORDER BY due_at
    LIMIT CASE WHEN busy_queues.rate IS NULL OR busy_queues.tokens > 0
               THEN greatest(least(busy_queues.room, %(free)s), 0) ELSE 0 END
    FOR NO KEY UPDATE SKIP LOCKED) message)"""

# Half-open queues: as many that were never tried as that were, or either would wait for the other.
_PROBES = """
candidates AS MATERIALIZED (
  SELECT message.id, message.due_at, message.segments, half.is_new, busy_queues.id AS queue_id, busy_queues.served_at,
         busy_queues.room, busy_queues.rate, busy_queues.tokens
  FROM busy_queues CROSS JOIN (VALUES (true), (false)) half (is_new) CROSS JOIN LATERAL (
    SELECT id, due_at, segments FROM messaging_message
    WHERE queue_id = busy_queues.id AND (attempts = 0) = half.is_new AND {sendable}
    ORDER BY due_at
    LIMIT CASE WHEN busy_queues.rate IS NULL OR busy_queues.tokens > 0
               THEN greatest(least(busy_queues.room, %(free)s), 0) ELSE 0 END
    FOR NO KEY UPDATE SKIP LOCKED) message)"""

# One of each queue in turn, as far as room and tokens of its queue reach.
_CHOSEN = """
ranked AS (
  SELECT id, served_at, room, rate, tokens,
         row_number() OVER turns AS turn, sum(segments) OVER turns - segments AS spent
  FROM {contenders}
  WINDOW turns AS (PARTITION BY queue_id ORDER BY {first}due_at, id ROWS UNBOUNDED PRECEDING)),
chosen AS MATERIALIZED (SELECT id, row_number() OVER () AS number FROM (
  SELECT id FROM ranked WHERE turn <= room AND (rate IS NULL OR spent < tokens)
  ORDER BY turn, served_at LIMIT %(free)s) fitting)"""

_PLAIN_ORDER = {"contenders": "candidates", "first": ""}

# New ones and tried ones in turn: who goes first changes with each fault, so that single probes alternate too.
_PROBE_ORDER = {
    "contenders": """(
    SELECT candidates.*, candidates.is_new <> (busy_queues.faults %% 2 = 0) AS is_second,
           row_number() OVER (PARTITION BY candidates.queue_id, candidates.is_new
                              ORDER BY candidates.due_at, candidates.id) AS nth
    FROM candidates JOIN busy_queues ON busy_queues.id = candidates.queue_id) probes""",
    "first": "nth, is_second, ",
}

# The chosen messages get the lease, and each a new attempt. `number` says which of the new ids is whose.
_CLAIMED = """
claimed AS (
  UPDATE messaging_message message SET state = {MessageState.SENDING}, lease = %(lease)s,
    attempts = message.attempts + 1, due_at = clock_timestamp() + make_interval(secs => %(row_lease)s)
  FROM chosen WHERE message.id = chosen.id RETURNING message.*, chosen.number),
attempts AS (
  INSERT INTO messaging_attempt (id, message_id, n, account_id, send_as, sender, created_at, dialled, poll_at)
  SELECT (%(ids)s::uuid[])[claimed.number], claimed.id, claimed.attempts, claimed.account_id, claimed.send_as,
         coalesce(nullif(claimed.send_from, ''), claimed.sender), clock_timestamp(), false,
         clock_timestamp() + (SELECT account.poll_after FROM messaging_provideraccount account
                              WHERE account.id = claimed.account_id)
  FROM claimed)"""

# Queues go to the back of the order in which they stood; one that lost to the others for want of threads keeps its
# place.
_SERVED = """
served AS (
  UPDATE messaging_queue queue SET refilled_at = busy_queues.at,
    served_at = CASE WHEN EXISTS (SELECT 1 FROM candidates WHERE candidates.queue_id = busy_queues.id)
                      AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.queue_id = busy_queues.id)
                     THEN queue.served_at
                     ELSE (SELECT max(at) FROM busy_queues) + busy_queues.place * interval '1 microsecond' END,
    tokens = busy_queues.tokens
             - coalesce((SELECT sum(claimed.segments) FROM claimed WHERE claimed.queue_id = busy_queues.id), 0)
  FROM busy_queues WHERE queue.id = busy_queues.id)"""

# The columns of TakenMessage.
_READ = """
SELECT (%(ids)s::uuid[])[claimed.number] AS attempt_id, claimed.id AS message_id, claimed.queue_id, claimed.account_id,
       claimed.send_as, coalesce(nullif(claimed.send_from, ''), claimed.sender) AS sender, claimed.recipient,
       extract(epoch FROM claimed.expires_at - clock_timestamp())::float8 AS validity,
       content.text, content.subject, content.fallback_text, content.media, content.metadata, claimed.channel
FROM claimed
JOIN messaging_content content ON content.message_id = claimed.id AND content.created_at = claimed.created_at
ORDER BY claimed.number
"""

_PARTS = {
    "busy_queues": _BUSY_QUEUES,
    "sendable": _SENDABLE,
    "chosen": _CHOSEN,
    "claimed": _CLAIMED,
    "served": _SERVED,
    "read": _READ,
}
_CLAIM = "WITH {busy_queues},{candidates},{chosen},{claimed},{served}{read}"
_CLAIM_METERED = "WITH {busy_queues},{candidates},{chosen},{claimed},{served},{settled}{read}"
_METERED = _PARTS | {"candidates": sender_rates.CANDIDATES, "settled": sender_rates.SETTLED}

# Takes due messages of some queues, all of them probing or none, with sender limits or without.
CLAIM = sql(_CLAIM, **_PARTS, **_PLAIN_ORDER, candidates=_CANDIDATES)
CLAIM_METERED = sql(_CLAIM_METERED, **_METERED, **_PLAIN_ORDER)
CLAIM_PROBES = sql(_CLAIM, **_PARTS, **_PROBE_ORDER, candidates=_PROBES)
CLAIM_METERED_PROBES = sql(_CLAIM_METERED, **_METERED, **_PROBE_ORDER)

CLAIM_ONE = sql(
    """
WITH chosen AS MATERIALIZED (
  SELECT id, 1 AS number FROM messaging_message
  WHERE id = %(message)s AND state = {MessageState.ACCEPTED} FOR NO KEY UPDATE),
{claimed}{read}""",
    **_PARTS,
)

# Messages of a lease become due again, and their attempts are marked as never dialled.
GIVE_BACK = sql("""
WITH returned AS (
  UPDATE messaging_message SET state = {MessageState.RETRYING}, lease = NULL, due_at = clock_timestamp()
  WHERE lease = %(lease)s AND state = {MessageState.SENDING} AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s))
  RETURNING id, attempts)
UPDATE messaging_attempt attempt SET outcome = {Outcome.NOT_DIALLED}, ended_at = clock_timestamp()
FROM returned WHERE attempt.message_id = returned.id AND attempt.n = returned.attempts
""")

OLDEST = sql("""
SELECT min(oldest.due_at) AS due_at FROM messaging_queue queue CROSS JOIN LATERAL (
  SELECT message.due_at FROM messaging_message message
  WHERE message.queue_id = queue.id AND message.state IN {MessageState.ACCEPTED, RETRYING}
    AND message.due_at <= clock_timestamp() ORDER BY message.due_at LIMIT 1) oldest
WHERE queue.kind = {QueueKind.DISPATCH} AND {queue_runs}
""")


@dataclass(frozen=True, slots=True)
class PickedQueue:
    """A locked queue that has work."""

    id: int
    is_probing: bool  # its circuit is half open
    is_metered: bool  # senders of it have limits of their own


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A row of a claim: the message, its content and its new attempt."""

    attempt_id: UUID
    message_id: UUID
    queue_id: int
    account_id: int
    send_as: str
    sender: str
    recipient: str
    validity: float  # seconds
    text: str
    subject: str
    fallback_text: str
    media: list[dict[str, str]]
    metadata: dict[str, Any]
    channel: str


@dataclass(frozen=True, slots=True)
class OldestDue:
    """When the oldest message that could be sent became due."""

    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """One message of which this process holds the lease, and its attempt."""

    message_id: UUID
    attempt_id: UUID
    queue_id: int
    account_id: int
    outgoing: Outgoing
    lease: UUID
    claimed_at: float  # monotonic, before the claim was asked for: the lease cannot have begun earlier


def claim(*, free: int, lease: UUID) -> list[Claimed]:
    """Takes up to `free` due messages, fairly over the queues. `lease` is made by the caller before it asks, so that
    a claim whose commit got lost can still be handed back."""
    asked_at = time.monotonic()
    with transaction.atomic():
        queues = fetch(PICK_QUEUES, {"queues": QUEUES_AT_ONCE, "trip": circuit.TRIP}, row=PickedQueue)
        probing = [row for row in queues if row.is_probing]
        rows: list[ClaimedRow] = []
        for some in (
            [row for row in probing if row.is_metered],
            [row for row in probing if not row.is_metered],
        ):
            rows += _take(some, free=min(max(1, free // 2), free - len(rows)), lease=lease)
        rows += _take([row for row in queues if not row.is_probing], free=free - len(rows), lease=lease)
    return [_claimed(row, lease, asked_at) for row in rows]


def _take(queues: Sequence[PickedQueue], *, free: int, lease: UUID) -> list[ClaimedRow]:
    """What the queues, all probing or none, may send now."""
    if not queues or free <= 0:
        return []
    is_metered = any(row.is_metered for row in queues)  # most queues are not, and pay nothing for it
    if queues[0].is_probing:
        statement = CLAIM_METERED_PROBES if is_metered else CLAIM_PROBES
    else:
        statement = CLAIM_METERED if is_metered else CLAIM
    params = _claim_params(free, lease) | {
        "queues": [row.id for row in queues],
        "free": free,
        "trip": circuit.TRIP,
        "most": backoff.SEND_ATTEMPTS_MAX,
    }
    return fetch(statement, params | sender_rates.PARAMS if is_metered else params, row=ClaimedRow)


def claim_one(message_id: UUID, *, lease: UUID) -> list[Claimed]:
    """Takes one accepted message, whatever its due time (test messages, sent inline)."""
    asked_at = time.monotonic()
    rows = fetch(CLAIM_ONE, _claim_params(1, lease) | {"message": message_id}, row=ClaimedRow)
    return [_claimed(row, lease, asked_at) for row in rows]


def _claim_params(free: int, lease: UUID) -> dict[str, Any]:
    return {"lease": lease, "row_lease": settings.ROW_LEASE, "ids": [uuid7() for _ in range(free)]}


def _claimed(row: ClaimedRow, lease: UUID, claimed_at: float) -> Claimed:
    send_as = Channel(row.send_as)
    fell_back = row.channel == Channel.MMS and send_as is not Channel.MMS
    outgoing = Outgoing(
        reference=str(row.attempt_id),
        message_id=str(row.message_id),
        channel=send_as,
        sender=row.sender,
        recipient=row.recipient,
        text=row.fallback_text if fell_back else row.text,
        subject=row.subject,
        fallback_text="" if fell_back else row.fallback_text,
        media=() if fell_back else tuple(Media(**item) for item in row.media),
        validity=row.validity,
        metadata=row.metadata,
    )
    return Claimed(row.message_id, row.attempt_id, row.queue_id, row.account_id, outgoing, lease, claimed_at)


def give_back(claimed: Sequence[Claimed]) -> int:
    """Returns messages for which nothing was dialled; they are due at once."""
    by_lease: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for item in claimed:
        by_lease[item.lease].append(item.message_id)
    return sum(change(GIVE_BACK, {"lease": lease, "ids": ids}) for lease, ids in by_lease.items())


def give_back_lease(lease: UUID) -> int:
    """Returns whatever a claim took whose answer never arrived."""
    return change(GIVE_BACK, {"lease": lease, "ids": None})


def oldest_due() -> datetime | None:
    """When the oldest message that could be sent now became due; None when there is none."""
    found = fetch_one(OLDEST, row=OldestDue)
    return found.due_at if found else None
