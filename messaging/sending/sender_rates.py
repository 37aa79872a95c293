"""Senders' own limits within a claim: who has used up their share lets the others of the queue go first.

A message over its sender's limit gets a later due time, once: its place in the sender's own order. So a flood of one
sender is neither read again at every claim nor in the others' way. The claim holds the queues' locks, which makes
reading and debiting the buckets in one statement safe (docs/adr/0010-routing.md).
"""

from __future__ import annotations

from typing import Final

WINDOW: Final = 500  # due messages of a queue that one claim looks at, where senders have limits
HORIZON: Final = 900.0  # seconds: places are given out no further ahead, so that a raised limit is soon felt

# CANDIDATES and SETTLED are parts of a claim (claims.py), which renders their words. `waiting`: what is due.
# `candidates`: what may go. `postponed`: what is put off, with the segments of its sender that go before it. A message
# that has waited for its place goes before one that has not.
CANDIDATES: Final = """
buckets AS MATERIALIZED (
  SELECT sender_rate.id, sender_rate.queue_id, lower(sender_rate.sender) AS sender, sender_rate.rate, busy_queues.at,
         sender_rate.booked_until,
         least(greatest(sender_rate.rate, 1), sender_rate.tokens
               + extract(epoch FROM busy_queues.at - sender_rate.refilled_at)::float8 * sender_rate.rate) AS tokens
  FROM messaging_senderrate sender_rate JOIN busy_queues ON busy_queues.id = sender_rate.queue_id),
waiting AS MATERIALIZED (
  SELECT message.id, message.due_at, message.segments, message.expires_at, message.is_new, busy_queues.id AS queue_id,
         busy_queues.served_at, busy_queues.rate, busy_queues.tokens, busy_queues.room,
         buckets.id AS bucket, buckets.tokens AS allowed,
         buckets.id IS NULL OR message.has_waited OR buckets.booked_until <= busy_queues.at AS in_turn
  FROM busy_queues CROSS JOIN LATERAL (
    SELECT id, due_at, segments, expires_at, attempts = 0 AS is_new, due_at > created_at AS has_waited,
           lower(coalesce(nullif(send_from, ''), sender)) AS sender
    FROM messaging_message
    WHERE queue_id = busy_queues.id AND {sendable}
    ORDER BY due_at
    LIMIT CASE WHEN least(busy_queues.room, %(free)s) <= 0 OR busy_queues.tokens <= 0 AND busy_queues.rate IS NOT NULL
               THEN 0
               WHEN EXISTS (SELECT 1 FROM buckets WHERE buckets.queue_id = busy_queues.id) THEN %(window)s
               ELSE least(busy_queues.room, %(free)s) END
    FOR NO KEY UPDATE SKIP LOCKED) message
  LEFT JOIN buckets ON buckets.queue_id = busy_queues.id AND buckets.sender = message.sender),
counted AS (
  SELECT *, coalesce(sum(segments) FILTER (WHERE in_turn) OVER (PARTITION BY bucket ORDER BY due_at, id
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS used FROM waiting),
judged AS MATERIALIZED (SELECT *, bucket IS NULL OR in_turn AND used < allowed AS goes FROM counted),
candidates AS MATERIALIZED (SELECT * FROM judged WHERE goes),
postponed AS MATERIALIZED (
  SELECT id, bucket, expires_at,
         sum(segments) OVER (PARTITION BY bucket ORDER BY due_at, id ROWS UNBOUNDED PRECEDING) AS ahead
  FROM judged WHERE NOT goes),
booked AS MATERIALIZED (
  SELECT buckets.id, buckets.rate, buckets.at, buckets.tokens,
         greatest(buckets.booked_until, buckets.at + make_interval(secs =>
           greatest(0, coalesce((SELECT sum(candidates.segments) FROM candidates
                                 WHERE candidates.bucket = buckets.id), 0) - buckets.tokens) / buckets.rate)) AS free_at
  FROM buckets)"""

# After `claimed`: what is put off gets its later due time, and the buckets pay for what was claimed.
SETTLED: Final = """
put_off AS (
  UPDATE messaging_message message
  SET due_at = least(booked.free_at + make_interval(secs => postponed.ahead / booked.rate),
                     booked.at + make_interval(secs => %(horizon)s), postponed.expires_at)
  FROM postponed JOIN booked ON booked.id = postponed.bucket WHERE message.id = postponed.id),
debited AS (
  UPDATE messaging_senderrate sender_rate
  SET refilled_at = booked.at,
      tokens = booked.tokens - coalesce((
        SELECT sum(claimed.segments) FROM claimed JOIN candidates ON candidates.id = claimed.id
        WHERE candidates.bucket = booked.id), 0),
      booked_until = greatest(sender_rate.booked_until, (
        SELECT least(booked.free_at + make_interval(secs => max(postponed.ahead) / booked.rate),
                     booked.at + make_interval(secs => %(horizon)s))
        FROM postponed WHERE postponed.bucket = booked.id HAVING count(*) > 0))
  FROM booked WHERE sender_rate.id = booked.id)"""

PARAMS: Final = {"window": WINDOW, "horizon": HORIZON}
