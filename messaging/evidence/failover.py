"""Messages that change their account: after a refusal that is the route's fault, or where their queue stands still.

Never while an attempt may have reached the recipient, and at most once per account that refused (docs/routing.md).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from messaging.evidence.locking import LockedAttempt, LockedMessage
from messaging.models.statement import change, fetch
from messaging.queues import circuit, routes
from messaging.rules import backoff, routing
from messaging.rules.routing import Choice, Facts
from vendors.limits import NOTHING, Limits, Payload
from vendors.values import Channel, Outcome

log = logging.getLogger(__name__)

Tables = dict[int, routes.Table]  # by tenant: read once per batch

BATCH = 500
BATCHES = 10  # per queue and sweep
BEGINNING = ("-infinity", UUID(int=0))

# Queues that stand still while a tenant on them has another one that does not.
BLOCKED = """
SELECT l.id FROM messaging_queue l
WHERE l.kind = 0 AND (l.paused_at IS NOT NULL OR l.open_until > clock_timestamp())
  AND (SELECT min(m.due_at) FROM messaging_message m WHERE m.queue_id = l.id AND m.state IN (0, 2)) IS NOT NULL
  AND EXISTS (SELECT 1 FROM messaging_provideraccount n
              JOIN messaging_provideraccount o ON o.tenant_id = n.tenant_id AND o.is_active AND o.queue_id <> l.id
              JOIN messaging_queue k ON k.id = o.queue_id
              WHERE n.queue_id = l.id AND k.paused_at IS NULL AND k.open_until <= clock_timestamp())
"""

# Doubtful attempts as in HeldAttempt.may_arrive. SKIP LOCKED: who holds a message decides about it.
WAITING = """
SELECT m.id, m.due_at, m.tenant_id, m.send_as, m.sender, m.recipient, m.account_id,
       CASE WHEN m.send_as = m.channel THEN c.text ELSE c.fallback_text END AS text,
       CASE WHEN m.send_as = 'mms' THEN jsonb_array_length(c.media) ELSE 0 END AS files,
       ARRAY(SELECT a.account_id FROM messaging_attempt a
             WHERE a.message_id = m.id AND a.outcome IN ('permanent', 'configuration')) AS tried,
       EXISTS (SELECT 1 FROM messaging_attempt a WHERE a.message_id = m.id
               AND coalesce(a.outcome, 'unknown') IN ('unknown', 'taken')
               AND coalesce(a.status, '') NOT IN ('undelivered', 'expired', 'rejected')) AS may_arrive
FROM messaging_message m
JOIN messaging_content c ON c.message_id = m.id AND c.created_at = m.created_at
WHERE m.queue_id = %(queue)s AND m.state IN (0, 2) AND m.expires_at > clock_timestamp() AND m.attempts < %(most)s
  AND (m.due_at, m.id) > (%(due_at)s::timestamptz, %(id)s)
ORDER BY m.due_at, m.id LIMIT %(limit)s FOR NO KEY UPDATE OF m SKIP LOCKED
"""

CONTENT = """
SELECT CASE WHEN %(send_as)s = m.channel THEN c.text ELSE c.fallback_text END AS text,
       CASE WHEN %(send_as)s = 'mms' THEN jsonb_array_length(c.media) ELSE 0 END AS files
FROM messaging_message m
JOIN messaging_content c ON c.message_id = m.id AND c.created_at = m.created_at
WHERE m.id = %(id)s
"""

MOVE = """
UPDATE messaging_message m SET state = 0, account_id = v.account_id, queue_id = v.queue_id, send_from = v.send_from,
       due_at = clock_timestamp()
FROM unnest(%(id)s::uuid[], %(account_id)s::int8[], %(queue_id)s::int8[], %(send_from)s::text[])
     AS v(id, account_id, queue_id, send_from) WHERE m.id = v.id
"""

# An account was put on another queue a moment after its message was routed: nobody would look into the old one.
LEFT_BEHIND = """
UPDATE messaging_message m SET queue_id = n.queue_id FROM messaging_provideraccount n
WHERE n.id = m.account_id AND n.queue_id <> m.queue_id AND m.state IN (0, 2) AND m.queue_id IN (
  SELECT l.id FROM messaging_queue l
  WHERE l.kind = 0 AND NOT EXISTS (SELECT 1 FROM messaging_provideraccount o WHERE o.queue_id = l.id))
"""

# Where each queue was looked at last, in this process. One that begins anew looks at messages twice, no more.
_seen: dict[int, tuple[Any, UUID]] = {}


def after_refusal(
    message: LockedMessage, attempt: LockedAttempt, outcome: Outcome, tables: Tables
) -> Choice | None:
    """The way that a message goes on after its account refused it; None: there is none, or it must not.

    A refused account or its credentials stop a whole queue: then no message waits in another that stands still.
    """
    others = [other for other in message.attempts.values() if other is not attempt]
    used_up = message.row.attempts >= backoff.SEND_ATTEMPTS_MAX or message.row.now >= message.row.expires_at
    if used_up or any(other.may_arrive for other in others):
        return None
    tried = {other.account_id for other in others if other.has_refused} | {attempt.account_id}
    table = _table(message.row.tenant_id, tables)
    stopped = {message.queue_id: "it was refused"} if outcome is Outcome.CONFIGURATION else {}
    content = _content(message.row.id, message.send_as, table)
    facts = _facts(message.send_as, message.row.sender, message.row.recipient, content)
    choices = routing.rank(facts, table.ways, blocked={**table.blocked, **stopped}, tried=tried)
    return routing.best(choices, may_wait=outcome is Outcome.PERMANENT)


def move_waiting() -> int:
    """Moves what waits in queues that stand still to accounts that run. Returns how many messages."""
    return sum(_move_from(row.id) for row in fetch(BLOCKED))


def follow_accounts() -> int:
    """Messages in a queue that no account has any more follow their account."""
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


def _next_rows(queue_id: int) -> list[Any]:
    """The next page of a queue, from the beginning again after the last one: not all of it can move."""
    due_at, id_ = _seen.pop(queue_id, BEGINNING)
    params = {
        "queue": queue_id,
        "due_at": due_at,
        "id": id_,
        "limit": BATCH,
        "most": backoff.SEND_ATTEMPTS_MAX,
    }
    rows = fetch(WAITING, params)
    if len(rows) == BATCH:
        _seen[queue_id] = (rows[-1].due_at, rows[-1].id)
    return rows


def _move(queue_id: int, rows: Sequence[Any]) -> int:
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


def _elsewhere(queue_id: int, row: Any, tables: Tables) -> Choice | None:
    if row.may_arrive:
        return None
    table = _table(row.tenant_id, tables)
    if queue_id not in table.blocked:  # it has begun to run meanwhile
        return None
    choices = routing.rank(
        _facts(row.send_as, row.sender, row.recipient, _shape(row)),
        table.ways,
        blocked=table.blocked,
        tried=set(row.tried),
    )
    return routing.best(choices, may_wait=False)


def _facts(send_as: str, sender: str, recipient: str, content: Payload) -> Facts:
    return Facts(Channel(send_as), sender, recipient, key=recipient, content=content)


def _content(message_id: UUID, send_as: str, table: routes.Table) -> Payload:
    """What would go out, read only where an account has limits to judge it by."""
    if not any(limits != Limits() for way in table.ways for _, limits in way.limits):
        return NOTHING
    (row,) = fetch(CONTENT, {"id": message_id, "send_as": send_as})
    return _shape(row)


def _shape(row: Any) -> Payload:
    return Payload(row.text, row.files)


def _table(tenant_id: int, tables: Tables) -> routes.Table:
    if tenant_id not in tables:
        tables[tenant_id] = routes.load(tenant_id)
    return tables[tenant_id]
