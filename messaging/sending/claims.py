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

from messaging.models.statement import change, fetch
from messaging.queues import circuit
from messaging.rules import backoff
from messaging.rules.ids import uuid7
from messaging.sending import sender_rates
from vendors.values import Channel, Media, Outgoing

QUEUES_AT_ONCE = 8

# The least recently served queues that have work. Locked here, counted in the next statement: only a new snapshot
# sees what the last holder of the lock claimed, so the cap is exact. NO KEY: the foreign keys of new messages share
# the row, and a stronger lock would skip every busy queue.
PICK_QUEUES = """
SELECT queue.id, queue.faults >= %(trip)s AS is_probing,
       EXISTS (SELECT 1 FROM messaging_senderrate s WHERE s.queue_id = queue.id) AS is_metered
FROM messaging_queue queue
WHERE queue.kind = 0 AND queue.paused_at IS NULL AND queue.open_until <= clock_timestamp()
  AND (SELECT min(m.due_at) FROM messaging_message m
       WHERE m.queue_id = queue.id AND m.state IN (0, 2)) <= clock_timestamp()
  AND EXISTS (SELECT 1 FROM messaging_provideraccount n JOIN accounts_tenant t ON t.id = n.tenant_id
              WHERE n.queue_id = queue.id AND t.status = 'active')
ORDER BY queue.served_at LIMIT %(queues)s FOR NO KEY UPDATE OF queue SKIP LOCKED
"""

# `room` is what cap and probes leave, `tokens` (segments) what the bucket holds; the last message that
# fits may put it into debt. The clock is read once, so that no time between two readings is lost to the bucket.
_QUEUES = """
WITH l AS MATERIALIZED (
  SELECT queue.id, queue.served_at, queue.rate, queue.faults, t.at, t.tokens,
         row_number() OVER (ORDER BY queue.served_at) AS place,
         CASE WHEN queue.faults >= %(trip)s THEN least(queue.cap, queue.probes) ELSE queue.cap END
           - (SELECT count(*) FROM messaging_message f WHERE f.queue_id = queue.id AND f.state = 1) AS room
  FROM messaging_queue queue CROSS JOIN LATERAL (
    SELECT clock.at, CASE WHEN queue.rate IS NULL THEN 0 ELSE least(greatest(queue.rate, 1), queue.tokens
             + extract(epoch FROM clock.at - queue.refilled_at)::float8 * queue.rate) END AS tokens
    FROM (SELECT clock_timestamp() AS at) clock) t
  WHERE queue.id = ANY(%(queues)s)),
"""

_CANDIDATES = """
c AS MATERIALIZED (
  SELECT m.id, m.due_at, m.segments, l.id AS queue_id, l.served_at, l.room, l.rate, l.tokens FROM l CROSS JOIN LATERAL (
    SELECT id, due_at, segments FROM messaging_message
    WHERE queue_id = l.id AND state IN (0, 2) AND due_at <= clock_timestamp() AND expires_at > clock_timestamp()
      AND attempts < %(most)s AND tenant_id <> ALL (SELECT id FROM accounts_tenant WHERE status <> 'active')
    ORDER BY due_at
    LIMIT CASE WHEN l.rate IS NULL OR l.tokens > 0 THEN greatest(least(l.room, %(free)s), 0) ELSE 0 END
    FOR NO KEY UPDATE SKIP LOCKED) m),
"""

# Half-open queues: as many that were never tried as that were, or either would wait for the other.
_PROBES = """
c AS MATERIALIZED (
  SELECT m.id, m.due_at, m.segments, v.is_new, l.id AS queue_id, l.served_at, l.room, l.rate, l.tokens
  FROM l CROSS JOIN (VALUES (true), (false)) v (is_new) CROSS JOIN LATERAL (
    SELECT id, due_at, segments FROM messaging_message
    WHERE queue_id = l.id AND state IN (0, 2) AND due_at <= clock_timestamp() AND expires_at > clock_timestamp()
      AND (attempts = 0) = v.is_new
      AND attempts < %(most)s AND tenant_id <> ALL (SELECT id FROM accounts_tenant WHERE status <> 'active')
    ORDER BY due_at
    LIMIT CASE WHEN l.rate IS NULL OR l.tokens > 0 THEN greatest(least(l.room, %(free)s), 0) ELSE 0 END
    FOR NO KEY UPDATE SKIP LOCKED) m),
"""

_CHOOSE = """
r AS (SELECT id, served_at, room, rate, tokens, row_number() OVER w AS turn, sum(segments) OVER w - segments AS spent
      FROM c WINDOW w AS (PARTITION BY queue_id ORDER BY due_at, id ROWS UNBOUNDED PRECEDING)),
d AS MATERIALIZED (SELECT id, row_number() OVER () AS rn FROM (
  SELECT id FROM r WHERE turn <= room AND (rate IS NULL OR spent < tokens) ORDER BY turn, served_at LIMIT %(free)s) x),
"""

# In turn: who goes first changes with each fault, so that single probes alternate too.
_CHOOSE_PROBES = _CHOOSE.replace(
    "FROM c WINDOW w AS (PARTITION BY queue_id ORDER BY due_at, id ROWS",
    """FROM (SELECT c.*, row_number() OVER (PARTITION BY c.queue_id, c.is_new ORDER BY c.due_at, c.id) AS nth,
                   c.is_new <> (l.faults %% 2 = 0) AS is_second FROM c JOIN l ON l.id = c.queue_id) n
      WINDOW w AS (PARTITION BY queue_id ORDER BY nth, is_second, due_at, id ROWS""",
)

_CHOOSE_ONE = """
WITH d AS MATERIALIZED (
  SELECT id, 1 AS rn FROM messaging_message WHERE id = %(message)s AND state = 0 FOR NO KEY UPDATE),
"""

_TAKE = """
u AS (UPDATE messaging_message m SET state = 1, lease = %(lease)s, attempts = m.attempts + 1,
        due_at = clock_timestamp() + make_interval(secs => %(row_lease)s)
      FROM d WHERE m.id = d.id RETURNING m.*, d.rn),
a AS (INSERT INTO messaging_attempt (id, message_id, n, account_id, send_as, sender, created_at, dialled, poll_at)
      SELECT (%(ids)s::uuid[])[u.rn], u.id, u.attempts, u.account_id, u.send_as,
             coalesce(nullif(u.send_from, ''), u.sender), clock_timestamp(), false,
             clock_timestamp() + (SELECT n.poll_after FROM messaging_provideraccount n WHERE n.id = u.account_id)
      FROM u)
"""

# Queues go to the back of their queue in the order in which they stood; one that lost to the others for want of threads
# keeps its place.
_SERVE = """,
s AS (UPDATE messaging_queue queue SET refilled_at = l.at,
        served_at = CASE WHEN EXISTS (SELECT 1 FROM c WHERE c.queue_id = l.id)
                          AND NOT EXISTS (SELECT 1 FROM u WHERE u.queue_id = l.id)
                         THEN queue.served_at
                         ELSE (SELECT max(at) FROM l) + l.place * interval '1 microsecond' END,
        tokens = l.tokens - coalesce((SELECT sum(u.segments) FROM u WHERE u.queue_id = l.id), 0)
      FROM l WHERE queue.id = l.id)
"""

_READ = """
SELECT (%(ids)s::uuid[])[u.rn] AS attempt_id, u.id AS message_id, u.queue_id, u.account_id, u.tenant_id, u.send_as,
       coalesce(nullif(u.send_from, ''), u.sender) AS sender, u.recipient,
       extract(epoch FROM u.expires_at - clock_timestamp())::float8 AS validity,
       c.text, c.subject, c.fallback_text, c.media, c.metadata, u.channel
FROM u JOIN messaging_content c ON c.message_id = u.id AND c.created_at = u.created_at ORDER BY u.rn
"""

CLAIM = _QUEUES + _CANDIDATES + _CHOOSE + _TAKE + _SERVE + _READ
CLAIM_METERED = _QUEUES + sender_rates.CANDIDATES + _CHOOSE + _TAKE + _SERVE + sender_rates.SETTLE + _READ
CLAIM_PROBES = _QUEUES + _PROBES + _CHOOSE_PROBES + _TAKE + _SERVE + _READ
CLAIM_METERED_PROBES = (
    _QUEUES + sender_rates.CANDIDATES + _CHOOSE_PROBES + _TAKE + _SERVE + sender_rates.SETTLE + _READ
)
CLAIM_ONE = _CHOOSE_ONE + _TAKE + _READ

HAND_BACK = """
WITH back AS (
  UPDATE messaging_message SET state = 2, lease = NULL, due_at = clock_timestamp()
  WHERE lease = %(lease)s AND state = 1 AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s)) RETURNING id, attempts)
UPDATE messaging_attempt a SET outcome = 'not_dialled', ended_at = clock_timestamp()
FROM back WHERE a.message_id = back.id AND a.n = back.attempts
"""

OLDEST = """
SELECT min(d.due_at) AS due_at FROM messaging_queue queue CROSS JOIN LATERAL (
  SELECT m.due_at FROM messaging_message m WHERE m.queue_id = queue.id AND m.state IN (0, 2)
  AND m.due_at <= clock_timestamp() ORDER BY m.due_at LIMIT 1) d
WHERE queue.kind = 0 AND queue.paused_at IS NULL AND queue.open_until <= clock_timestamp()
"""


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
        queues = fetch(PICK_QUEUES, {"queues": QUEUES_AT_ONCE, "trip": circuit.TRIP})
        probing = [row for row in queues if row.is_probing]
        rows: list[Any] = []
        for some in (
            [row for row in probing if row.is_metered],
            [row for row in probing if not row.is_metered],
        ):
            rows += _take(some, free=min(max(1, free // 2), free - len(rows)), lease=lease)
        rows += _take([row for row in queues if not row.is_probing], free=free - len(rows), lease=lease)
    return [_claimed(row, lease, asked_at) for row in rows]


def _take(queues: Sequence[Any], *, free: int, lease: UUID) -> list[Any]:
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
    return fetch(statement, params | sender_rates.PARAMS if is_metered else params)


def claim_one(message_id: UUID, *, lease: UUID) -> list[Claimed]:
    """Takes one accepted message, whatever its due time (test messages, sent inline)."""
    asked_at = time.monotonic()
    rows = fetch(CLAIM_ONE, _claim_params(1, lease) | {"message": message_id})
    return [_claimed(row, lease, asked_at) for row in rows]


def _claim_params(free: int, lease: UUID) -> dict[str, Any]:
    return {"lease": lease, "row_lease": settings.ROW_LEASE, "ids": [uuid7() for _ in range(free)]}


def _claimed(row: Any, lease: UUID, claimed_at: float) -> Claimed:
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


def hand_back(claimed: Sequence[Claimed]) -> int:
    """Returns messages for which nothing was dialled; they are due at once."""
    by_lease: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for item in claimed:
        by_lease[item.lease].append(item.message_id)
    return sum(change(HAND_BACK, {"lease": lease, "ids": ids}) for lease, ids in by_lease.items())


def hand_back_lease(lease: UUID) -> int:
    """Returns whatever a claim took whose answer never arrived."""
    return change(HAND_BACK, {"lease": lease, "ids": None})


def oldest_due() -> datetime | None:
    """When the oldest message that could be sent now became due; None when there is none."""
    rows = fetch(OLDEST)
    return rows[0].due_at if rows else None
