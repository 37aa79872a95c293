"""Messages that change their queue while they wait: to an account that runs, or after their account.

Never while an attempt may have reached the recipient, and at most once per account that refused (docs/routing.md).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from messaging.evidence import failover
from messaging.evidence.failover import Tables
from messaging.models.sql import change, column, fetch, sql
from messaging.queues import circuit
from messaging.rules import backoff, routing
from messaging.rules.routing import Choice
from vendors.limits import Payload

log = logging.getLogger(__name__)

Place = tuple[datetime | str, UUID]  # in a queue: due time ("-infinity" is before all) and message

BATCH = 500
BATCHES = 10  # per queue and sweep
BEGINNING: Place = ("-infinity", UUID(int=0))

# Queues that do not run while a tenant on them has another account whose queue runs.
BLOCKED = sql("""
SELECT blocked.id FROM messaging_queue blocked
WHERE blocked.kind = {QueueKind.DISPATCH} AND (blocked.paused_at IS NOT NULL OR blocked.open_until > clock_timestamp())
  AND (SELECT min(message.due_at) FROM messaging_message message
       WHERE message.queue_id = blocked.id AND message.state IN {MessageState.ACCEPTED, RETRYING}) IS NOT NULL
  AND EXISTS (SELECT 1 FROM messaging_provideraccount account
              JOIN messaging_provideraccount other ON other.tenant_id = account.tenant_id AND other.is_active
                AND other.queue_id <> blocked.id
              JOIN messaging_queue queue ON queue.id = other.queue_id
              WHERE account.queue_id = blocked.id AND {queue_runs})
""")

# A page of a queue's waiting messages. SKIP LOCKED: who holds a message decides about it.
WAITING = sql("""
SELECT message.id, message.due_at, message.tenant_id, message.send_as, message.sender, message.recipient,
       CASE WHEN message.send_as = message.channel THEN content.text ELSE content.fallback_text END AS text,
       CASE WHEN message.send_as = {Channel.MMS} THEN jsonb_array_length(content.media) ELSE 0 END AS files,
       ARRAY(SELECT attempt.account_id FROM messaging_attempt attempt
             WHERE attempt.message_id = message.id
               AND attempt.outcome IN {Outcome.PERMANENT, CONFIGURATION}) AS tried,
       EXISTS (SELECT 1 FROM messaging_attempt attempt
               WHERE attempt.message_id = message.id AND {attempt_may_arrive}) AS may_arrive
FROM messaging_message message
JOIN messaging_content content ON content.message_id = message.id AND content.created_at = message.created_at
WHERE message.queue_id = %(queue)s AND message.state IN {MessageState.ACCEPTED, RETRYING}
  AND message.expires_at > clock_timestamp() AND message.attempts < %(most)s
  AND (message.due_at, message.id) > (%(due_at)s::timestamptz, %(id)s)
ORDER BY message.due_at, message.id LIMIT %(limit)s FOR NO KEY UPDATE OF message SKIP LOCKED
""")

MOVE = sql("""
UPDATE messaging_message message SET state = {MessageState.ACCEPTED}, account_id = given.account_id,
       queue_id = given.queue_id, send_from = given.send_from, due_at = clock_timestamp()
FROM unnest(%(id)s::uuid[], %(account_id)s::int8[], %(queue_id)s::int8[], %(send_from)s::text[])
     AS given(id, account_id, queue_id, send_from) WHERE message.id = given.id
""")

# An account was put on another queue a moment after its message was routed: nobody would look into the old one.
LEFT_BEHIND = sql("""
UPDATE messaging_message message SET queue_id = account.queue_id FROM messaging_provideraccount account
WHERE account.id = message.account_id AND account.queue_id <> message.queue_id
  AND message.state IN {MessageState.ACCEPTED, RETRYING} AND message.queue_id IN (
    SELECT queue.id FROM messaging_queue queue
    WHERE queue.kind = {QueueKind.DISPATCH}
      AND NOT EXISTS (SELECT 1 FROM messaging_provideraccount other WHERE other.queue_id = queue.id))
""")


@dataclass(frozen=True, slots=True)
class WaitingMessage:
    """A locked message in a queue that does not run."""

    id: UUID
    due_at: datetime
    tenant_id: int
    send_as: str
    sender: str
    recipient: str
    text: str  # as it would go out
    files: int
    tried: list[int]  # accounts that refused it
    may_arrive: bool  # by an attempt that was made


# Where each queue was looked at last, in this process. One that begins anew looks at messages twice, no more.
_seen: dict[int, Place] = {}


def move_waiting() -> int:
    """Moves what waits in queues that do not run to accounts whose queues run. Returns how many messages."""
    return sum(_move_from(queue_id) for queue_id in column(BLOCKED, of=int))


def follow_accounts() -> int:
    """Messages in a queue that no account has any more follow their account. Returns how many."""
    return change(LEFT_BEHIND)


def _move_from(queue_id: int) -> int:
    total = 0
    for _ in range(BATCHES):
        with transaction.atomic():
            rows = _next_rows(queue_id)
            moved = _move(queue_id, rows)
        total += moved
        if len(rows) < BATCH or not moved:  # a queue full of what must stay is walked through slowly
            break
    if total:
        wording = {"queue": circuit.name(queue_id), "count": total}
        log.warning("messages moved to other accounts", extra=wording)
    return total


def _next_rows(queue_id: int) -> list[WaitingMessage]:
    """The next page of a queue, from the beginning again after the last one: not all of it can move."""
    due_at, id_ = _seen.pop(queue_id, BEGINNING)
    params = {
        "queue": queue_id,
        "due_at": due_at,
        "id": id_,
        "limit": BATCH,
        "most": backoff.SEND_ATTEMPTS_MAX,
    }
    rows = fetch(WAITING, params, row=WaitingMessage)
    if len(rows) == BATCH:
        _seen[queue_id] = (rows[-1].due_at, rows[-1].id)
    return rows


def _move(queue_id: int, rows: Sequence[WaitingMessage]) -> int:
    tables: Tables = {}
    moves = [(row, choice) for row in rows if (choice := _elsewhere(queue_id, row, tables))]
    if not moves:
        return 0
    return change(
        MOVE,
        {
            "id": [row.id for row, _ in moves],
            "account_id": [choice.way.account_id for _, choice in moves],
            "queue_id": [choice.way.queue_id for _, choice in moves],
            "send_from": ["" if choice.sender == row.sender else choice.sender for row, choice in moves],
        },
    )


def _elsewhere(queue_id: int, row: WaitingMessage, tables: Tables) -> Choice | None:
    if row.may_arrive:
        return None
    table = failover.table_of(row.tenant_id, tables)
    if queue_id not in table.blocked:  # it has begun to run meanwhile
        return None
    facts = failover.facts_of(row.send_as, row.sender, row.recipient, Payload(row.text, row.files))
    choices = routing.rank(facts, table.ways, blocked=table.blocked, tried=set(row.tried))
    return routing.best(choices, may_wait=False)
