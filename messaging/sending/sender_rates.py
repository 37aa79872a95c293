"""Senders' own limits within a claim: who has used up their share lets the others of the queue go first.

A message over its sender's limit gets a later due time, once: its place in the sender's own order. So a flood of one
sender is neither read again at every claim nor in the others' way. The claim holds the queues' locks, which makes
reading and debiting the buckets in one statement safe (docs/adr/0010-routing.md).
"""

from __future__ import annotations

from typing import Final

WINDOW: Final = 500  # due messages of a queue that one claim looks at, where senders have limits
HORIZON: Final = 900.0  # seconds: places are given out no further ahead, so that a raised limit is soon felt

# After `l` (the queues) and before `d` (what is taken). `w`: what is due. `c`: what may go. `p`: what is put off, with
# the segments of its sender that go before it. A message that has waited for its place goes before one that has not.
CANDIDATES: Final = """
b AS MATERIALIZED (
  SELECT s.id, s.queue_id, lower(s.sender) AS sender, s.rate, l.at, s.booked_until,
         least(greatest(s.rate, 1), s.tokens
               + extract(epoch FROM l.at - s.refilled_at)::float8 * s.rate) AS tokens
  FROM messaging_senderrate s JOIN l ON l.id = s.queue_id),
w AS MATERIALIZED (
  SELECT m.id, m.due_at, m.segments, m.expires_at, m.is_new, l.id AS queue_id, l.served_at, l.rate, l.tokens, l.room,
         b.id AS bucket, b.tokens AS allowed, b.id IS NULL OR m.has_waited OR b.booked_until <= l.at AS in_turn
  FROM l CROSS JOIN LATERAL (
    SELECT id, due_at, segments, expires_at, attempts = 0 AS is_new, due_at > created_at AS has_waited,
           lower(coalesce(nullif(send_from, ''), sender)) AS sender
    FROM messaging_message
    WHERE queue_id = l.id AND state IN (0, 2) AND due_at <= clock_timestamp() AND expires_at > clock_timestamp()
      AND attempts < %(most)s AND tenant_id <> ALL (SELECT id FROM accounts_tenant WHERE status <> 'active')
    ORDER BY due_at
    LIMIT CASE WHEN least(l.room, %(free)s) <= 0 OR l.tokens <= 0 AND l.rate IS NOT NULL THEN 0
               WHEN EXISTS (SELECT 1 FROM b WHERE b.queue_id = l.id) THEN %(window)s
               ELSE least(l.room, %(free)s) END
    FOR NO KEY UPDATE SKIP LOCKED) m
  LEFT JOIN b ON b.queue_id = l.id AND b.sender = m.sender),
t AS (SELECT *, coalesce(sum(segments) FILTER (WHERE in_turn) OVER (PARTITION BY bucket ORDER BY due_at, id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS used FROM w),
g AS MATERIALIZED (SELECT *, bucket IS NULL OR in_turn AND used < allowed AS goes FROM t),
c AS MATERIALIZED (SELECT * FROM g WHERE goes),
p AS MATERIALIZED (SELECT id, bucket, expires_at,
        sum(segments) OVER (PARTITION BY bucket ORDER BY due_at, id ROWS UNBOUNDED PRECEDING) AS ahead
      FROM g WHERE NOT goes),
k AS MATERIALIZED (SELECT b.id, b.rate, b.at, b.tokens, greatest(b.booked_until, b.at + make_interval(secs =>
        greatest(0, coalesce((SELECT sum(c.segments) FROM c WHERE c.bucket = b.id), 0) - b.tokens) / b.rate)) AS free_at
      FROM b),
"""

# After `u` (what was taken).
SETTLE: Final = """,
o AS (UPDATE messaging_message m
      SET due_at = least(k.free_at + make_interval(secs => p.ahead / k.rate),
                         k.at + make_interval(secs => %(horizon)s), p.expires_at)
      FROM p JOIN k ON k.id = p.bucket WHERE m.id = p.id),
q AS (UPDATE messaging_senderrate s
      SET refilled_at = k.at,
          tokens = k.tokens - coalesce((SELECT sum(u.segments) FROM u JOIN c ON c.id = u.id WHERE c.bucket = k.id), 0),
          booked_until = greatest(s.booked_until, (
            SELECT least(k.free_at + make_interval(secs => max(p.ahead) / k.rate),
                         k.at + make_interval(secs => %(horizon)s)) FROM p WHERE p.bucket = k.id HAVING count(*) > 0))
      FROM k WHERE s.id = k.id)
"""

PARAMS: Final = {"window": WINDOW, "horizon": HORIZON}
