"""What each kind of replay does to a page of rows. Callers hold the transaction that moves the cursor."""

from __future__ import annotations

from typing import Final

from messaging.models.event import BATCH_CAP
from messaging.models.sql import change, sql
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
        SELECT message.id FROM messaging_message message WHERE message.id IN (
            SELECT attempt.message_id
            FROM messaging_deliveryreport report JOIN messaging_attempt attempt ON attempt.id = report.attempt_id
            WHERE report.id = ANY(%(keys)s))
        ORDER BY message.id FOR NO KEY UPDATE""",
}

# Events are due again, as if they had never been tried.
REARM = sql("""
UPDATE messaging_event event
SET state = {EventState.DUE}, due_at = clock_timestamp() + make_interval(secs => given.wait), tries = 0,
    batch_cap = %(batch_cap)s, first_try_at = NULL, lease = NULL, lease_until = NULL, acked_at = NULL
FROM unnest(%(keys)s::uuid[], %(waits)s::float8[]) AS given(id, wait)
WHERE event.id = given.id
""")

# A copy of each message and of its content, through the account that serves it now.
COPY = sql(
    """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
copy AS (
    INSERT INTO messaging_message (id, tenant_id, channel, dedupe_key, request_id, account_id, queue_id,
        sender, send_from, recipient, send_as, is_test, segments, country, state, due_at, expires_at, created_at,
        replay_of)
    SELECT given.copy_id, message.tenant_id, message.channel, NULL, message.request_id, way.id, way.queue_id,
        message.sender, CASE WHEN way.id = message.account_id THEN message.send_from ELSE '' END, message.recipient,
        message.channel, false, message.segments, message.country, {MessageState.ACCEPTED},
        clock.now + make_interval(secs => given.wait), clock.now + make_interval(secs => given.wait) + way.validity,
        clock.now, message.id
    FROM clock, unnest(%(keys)s::uuid[], %(fresh)s::uuid[], %(waits)s::float8[]) AS given(id, copy_id, wait)
    JOIN messaging_message message ON message.id = given.id
    CROSS JOIN LATERAL ({way}) way
    RETURNING id, created_at, replay_of)
INSERT INTO messaging_content (message_id, created_at, text, subject, fallback_text, custom_data,
                               callback_url, media, metadata, extra)
SELECT copy.id, copy.created_at, content.text, content.subject, content.fallback_text, content.custom_data,
       content.callback_url, content.media, content.metadata, content.extra
FROM copy
JOIN messaging_message message ON message.id = copy.replay_of
JOIN messaging_content content ON content.message_id = message.id AND content.created_at = message.created_at
""",
    way=statements.WAY,
)

# Vendors' calls go back into the inbox; one that is parked there is due again.
READ_AGAIN = """
INSERT INTO messaging_inbox (exchange_id, exchange_at, account_id, due_at)
SELECT exchange.id, exchange.at, exchange.account_id, clock_timestamp() + make_interval(secs => given.wait)
FROM unnest(%(keys)s::uuid[], %(waits)s::float8[]) AS given(id, wait)
JOIN messaging_exchange exchange ON exchange.id = given.id
ON CONFLICT (exchange_id) DO UPDATE SET parked_at = NULL, parked_why = '', tries = 0, due_at = excluded.due_at
WHERE messaging_inbox.parked_at IS NOT NULL
"""

# A correction goes where the message's latest final went, and is numbered after its earlier corrections.
CORRECT = sql("""
INSERT INTO messaging_event (id, queue_id, destination_id, message_id, kind, generation, url, status, occurred_at,
                             error, segments, sent_as, due_at)
SELECT given.event_id, told.queue_id, told.destination_id, attempt.message_id, {EventKind.CORRECTION},
       coalesce(told.corrections, 0), told.url,
       CASE report.status WHEN {Status.DELIVERED} THEN 'delivered' ELSE 'failed' END,
       coalesce(report.occurred_at, report.received_at),
       CASE WHEN report.status <> {Status.DELIVERED} THEN jsonb_build_object(
           'code', coalesce(nullif(report.code, ''), report.status), 'message', report.text,
           'vendor_code', report.vendor_code)
       END,
       coalesce(report.segments, told.segments), attempt.send_as,
       clock_timestamp() + make_interval(secs => given.wait)
FROM unnest(%(keys)s::bigint[], %(fresh)s::uuid[], %(waits)s::float8[]) AS given(id, event_id, wait)
JOIN messaging_deliveryreport report ON report.id = given.id
JOIN messaging_attempt attempt ON attempt.id = report.attempt_id
CROSS JOIN LATERAL (
    SELECT final.queue_id, final.destination_id, final.url, final.segments,
           (SELECT max(correction.generation) + 1 FROM messaging_event correction
            WHERE correction.message_id = final.message_id
              AND correction.kind = {EventKind.CORRECTION}) AS corrections
    FROM messaging_event final WHERE final.message_id = attempt.message_id AND final.kind = {EventKind.FINAL}
    ORDER BY final.generation DESC LIMIT 1) told
ON CONFLICT (message_id, kind, generation) DO NOTHING
""")

WORK: Final = {"events": REARM, "messages": COPY, "reports": READ_AGAIN, "corrections": CORRECT}


def do(selection: Selection, keys: list[Key], *, rate: float | None) -> int:
    """Locks the rows, judges them once more, and does those that still want it; returns how many.

    `rate` (rows per second) spreads their due times from now on.
    """
    work = "corrections" if selection.corrections else str(selection.kind)
    if work in LOCK:
        change(LOCK[work], {"keys": keys})
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
