"""What each kind of replay does to a page of rows. Callers hold the transaction that moves the cursor."""

from __future__ import annotations

from typing import Final

from messaging.models.event import BATCH_CAP
from messaging.models.statement import change, fetch
from messaging.replay import statements
from messaging.replay.criteria import Selection
from messaging.replay.statements import Key
from messaging.rules.ids import uuid7

# Rows are locked before they are judged, in a statement of its own: two orders for one message copy it once,
# and a report that comes meanwhile is seen or waits.
LOCK: Final = {
    "events": "SELECT id FROM messaging_event WHERE id = ANY(%(keys)s) ORDER BY id FOR UPDATE",
    "messages": "SELECT id FROM messaging_message WHERE id = ANY(%(keys)s) ORDER BY id FOR NO KEY UPDATE",
    "corrections": """
        SELECT m.id FROM messaging_message m WHERE m.id IN (
            SELECT a.message_id FROM messaging_deliveryreport r JOIN messaging_attempt a ON a.id = r.attempt_id
            WHERE r.id = ANY(%(keys)s))
        ORDER BY m.id FOR NO KEY UPDATE""",
}

REARM = """
UPDATE messaging_event e SET state = 0, due_at = clock_timestamp() + make_interval(secs => v.wait), tries = 0,
       batch_cap = %(batch_cap)s, first_try_at = NULL, lease = NULL, lease_until = NULL, acked_at = NULL
FROM unnest(%(keys)s::uuid[], %(waits)s::float8[]) AS v(id, wait)
WHERE e.id = v.id
"""

CLONE = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
copy AS (
    INSERT INTO messaging_message (id, tenant_id, channel, dedupe_key, request_id, account_id, queue_id,
        sender, send_from, recipient, send_as, is_test, segments, country, state, due_at, expires_at, created_at,
        replay_of)
    SELECT v.copy, m.tenant_id, m.channel, NULL, m.request_id, way.id, way.queue_id,
        m.sender, CASE WHEN way.id = m.account_id THEN m.send_from ELSE '' END, m.recipient, m.channel, false,
        m.segments, m.country, 0,
        clock.now + make_interval(secs => v.wait), clock.now + make_interval(secs => v.wait) + way.validity,
        clock.now, m.id
    FROM clock, unnest(%(keys)s::uuid[], %(fresh)s::uuid[], %(waits)s::float8[]) AS v(id, copy, wait)
    JOIN messaging_message m ON m.id = v.id
    CROSS JOIN LATERAL (/* way */) way
    RETURNING id, created_at, replay_of)
INSERT INTO messaging_content (message_id, created_at, text, subject, fallback_text, custom_data,
                               callback_url, media, metadata, extra)
SELECT copy.id, copy.created_at, c.text, c.subject, c.fallback_text, c.custom_data, c.callback_url, c.media,
       c.metadata, c.extra
FROM copy
JOIN messaging_message m ON m.id = copy.replay_of
JOIN messaging_content c ON c.message_id = m.id AND c.created_at = m.created_at
""".replace("/* way */", statements.WAY)

READ_AGAIN = """
INSERT INTO messaging_inbox (exchange_id, exchange_at, account_id, due_at)
SELECT r.id, r.at, r.account_id, clock_timestamp() + make_interval(secs => v.wait)
FROM unnest(%(keys)s::uuid[], %(waits)s::float8[]) AS v(id, wait) JOIN messaging_exchange r ON r.id = v.id
ON CONFLICT (exchange_id) DO UPDATE SET parked_at = NULL, parked_why = '', tries = 0, due_at = excluded.due_at
WHERE messaging_inbox.parked_at IS NOT NULL
"""

CORRECT = """
INSERT INTO messaging_event (id, queue_id, destination_id, message_id, kind, generation, url, status, occurred_at,
                             error, segments, sent_as, due_at)
SELECT v.event, told.queue_id, told.destination_id, a.message_id, 2, coalesce(told.corrections, 0), told.url,
       CASE r.status WHEN 'delivered' THEN 'delivered' ELSE 'failed' END,
       coalesce(r.occurred_at, r.received_at),
       CASE WHEN r.status <> 'delivered' THEN jsonb_build_object(
           'code', coalesce(nullif(r.code, ''), r.status), 'message', r.text, 'vendor_code', r.vendor_code)
       END,
       coalesce(r.segments, told.segments), a.send_as, clock_timestamp() + make_interval(secs => v.wait)
FROM unnest(%(keys)s::bigint[], %(fresh)s::uuid[], %(waits)s::float8[]) AS v(id, event, wait)
JOIN messaging_deliveryreport r ON r.id = v.id
JOIN messaging_attempt a ON a.id = r.attempt_id
CROSS JOIN LATERAL (
    SELECT e.queue_id, e.destination_id, e.url, e.segments, (SELECT max(k.generation) + 1 FROM messaging_event k
                                          WHERE k.message_id = e.message_id AND k.kind = 2) AS corrections
    FROM messaging_event e WHERE e.message_id = a.message_id AND e.kind = 1
    ORDER BY e.generation DESC LIMIT 1) told
ON CONFLICT (message_id, kind, generation) DO NOTHING
"""

WORK: Final = {"events": REARM, "messages": CLONE, "reports": READ_AGAIN, "corrections": CORRECT}


def do(selection: Selection, keys: list[Key], *, rate: float | None) -> int:
    """Locks the rows, judges them once more, and does those that still want it; returns how many.

    `rate` (rows per second) spreads their due times from now on.
    """
    work = "corrections" if selection.corrections else str(selection.kind)
    if work in LOCK:
        fetch(LOCK[work], {"keys": keys})
    chosen = statements.willing(selection, keys)
    if not chosen:
        return 0
    return change(
        WORK[work],
        {
            "keys": chosen,
            "fresh": [uuid7() for _ in chosen],
            "waits": [n / rate if rate else 0.0 for n in range(len(chosen))],
            "batch_cap": BATCH_CAP,
        },
    )
