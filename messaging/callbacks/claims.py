"""Events that are due are claimed as POSTs, and given back or put off (contract 5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.models import Tenant
from messaging.callbacks import body
from messaging.callbacks.body import ClaimedEvent
from messaging.contract import wire_profile
from messaging.models.sql import change, column, fetch, sql
from messaging.queues import destinations

QUEUES_AT_ONCE = 8

# Locked first, counted in the next statement, as in sending/claims.py.
LOCK_QUEUES = sql("""
SELECT id FROM messaging_queue WHERE id = ANY(%(due)s) AND kind = {QueueKind.CALLBACKS}
ORDER BY served_at LIMIT %(queues)s FOR NO KEY UPDATE SKIP LOCKED
""")

# One POST per queue, to the address that was served least recently; one that failed has one POST in flight until it
# takes something, so that a hung one leaves room for the others. Its oldest due event names the URL and the batch cap,
# its like go along. An event waits for its message's older open event: looked up one by one, since a planner whose
# statistics are from before a burst would join with all that is open (10,000 events: 1.3 s a claim, and 26 ms so). A
# queue without room counts as served too, or hung destinations would be picked for ever.
CLAIM = sql(
    """
WITH roomy_queues AS MATERIALIZED (
  SELECT queue.id FROM messaging_queue queue WHERE queue.id = ANY(%(queues)s)
    AND queue.cap > (SELECT count(DISTINCT flying.lease) FROM messaging_event flying
                     WHERE flying.queue_id = queue.id AND flying.state = {EventState.LEASED})),
addresses AS MATERIALIZED (
  SELECT address.id FROM roomy_queues CROSS JOIN LATERAL (
    SELECT destination.id FROM messaging_destination destination CROSS JOIN LATERAL (
      SELECT min(event.due_at) AS due_at FROM messaging_event event
      WHERE event.destination_id = destination.id AND event.state = {EventState.DUE}) oldest
    WHERE destination.queue_id = roomy_queues.id AND destination.open_until <= clock_timestamp()
      AND oldest.due_at <= clock_timestamp()
      AND (destination.faults = 0 OR NOT EXISTS (
        SELECT 1 FROM messaging_event flying WHERE flying.queue_id = roomy_queues.id
          AND flying.state = {EventState.LEASED} AND flying.destination_id = destination.id))
    ORDER BY destination.served_at, oldest.due_at LIMIT 1 FOR NO KEY UPDATE OF destination SKIP LOCKED) address),
heads AS MATERIALIZED (
  SELECT addresses.id AS destination_id, head.url, head.batch_cap, row_number() OVER () AS post
  FROM addresses CROSS JOIN LATERAL (
    SELECT event.url, event.batch_cap FROM messaging_event event
    WHERE event.destination_id = addresses.id AND event.state = {EventState.DUE} AND event.due_at <= clock_timestamp()
      AND {is_next_of_its_message}
    ORDER BY event.due_at LIMIT 1) head),
chosen AS MATERIALIZED (
  SELECT alike.id, heads.post FROM heads CROSS JOIN LATERAL (
    SELECT event.id FROM messaging_event event
    WHERE event.destination_id = heads.destination_id AND event.state = {EventState.DUE}
      AND event.due_at <= clock_timestamp() AND event.url = heads.url AND event.batch_cap = heads.batch_cap
      AND {is_next_of_its_message}
    ORDER BY event.due_at LIMIT heads.batch_cap FOR UPDATE SKIP LOCKED) alike),
taken AS (
  UPDATE messaging_event event SET state = {EventState.LEASED}, lease = (%(leases)s::uuid[])[chosen.post],
         lease_until = clock_timestamp() + make_interval(secs => %(row_lease)s),
         last_post = (%(leases)s::uuid[])[chosen.post]
  FROM chosen WHERE event.id = chosen.id RETURNING event.*),
served_queues AS (
  UPDATE messaging_queue queue SET served_at = clock_timestamp() WHERE queue.id = ANY(%(queues)s)),
served_addresses AS (
  UPDATE messaging_destination destination SET served_at = clock_timestamp()
  FROM addresses WHERE destination.id = addresses.id)
SELECT taken.id, taken.lease, taken.destination_id, queue.key AS queue_key, taken.url, taken.kind, taken.generation,
       taken.status, taken.occurred_at, taken.error, taken.segments, taken.sent_as, taken.tries, taken.batch_cap,
       taken.message_id, message.channel, message.request_id, content.custom_data, content.metadata, content.extra,
       inbound.id AS inbound_id, inbound.channel AS inbound_channel, inbound.sender, inbound.recipient, inbound.text,
       inbound.media
FROM taken JOIN messaging_queue queue ON queue.id = taken.queue_id
LEFT JOIN messaging_message message ON message.id = taken.message_id
LEFT JOIN messaging_content content ON content.message_id = message.id AND content.created_at = message.created_at
LEFT JOIN messaging_inboundmessage inbound ON inbound.id = taken.inbound_id
ORDER BY taken.lease, taken.id
""",
    is_next_of_its_message="""(
        SELECT true FROM messaging_event earlier
        WHERE earlier.message_id = event.message_id AND earlier.state IN {EventState.DUE, LEASED}
          AND (earlier.generation, earlier.kind) < (event.generation, event.kind) LIMIT 1) IS NULL""",
)

# One row per event: when it is due again, or undeliverable (wait null), and how many may go along next time. Tries are
# counted and dated here and not when claimed: a POST that is given back, or lost with its worker, says nothing about an
# event. A batch's refusal is dated, since what its halves bring shows who is at fault, and counted for none.
PUT_OFF = sql("""
UPDATE messaging_event event
SET state = CASE WHEN given.wait IS NULL THEN {EventState.UNDELIVERABLE} ELSE {EventState.DUE} END,
    tries = event.tries + %(counted)s, first_try_at = coalesce(event.first_try_at, clock_timestamp()),
    lease = NULL, lease_until = NULL,
    due_at = clock_timestamp() + make_interval(secs => coalesce(given.wait, 0)), batch_cap = given.batch_cap,
    last_error = %(error)s
FROM unnest(%(id)s::uuid[], %(wait)s::float8[], %(batch_cap)s::int2[]) AS given(id, wait, batch_cap)
WHERE event.id = given.id AND event.lease = %(lease)s
""")

# Without `ids` all events of the leases. What was recorded meanwhile is left alone.
GIVE_BACK = sql("""
UPDATE messaging_event SET state = {EventState.DUE}, lease = NULL, lease_until = NULL
WHERE lease = ANY(%(leases)s) AND state = {EventState.LEASED} AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s))
""")


@dataclass(frozen=True, slots=True)
class Post:
    """One POST to Bloomreach: the events of one queue for one URL. Its lease is also the id of its exchange's row."""

    lease: UUID
    destination_id: int
    tenant: Tenant
    url: str
    is_inbound: bool  # about messages from handsets
    events: tuple[ClaimedEvent, ...] = field(repr=False)
    body: bytes = field(repr=False, default=b"")


@dataclass(frozen=True, slots=True)
class PutOff:
    """What becomes of one event that was not taken."""

    event_id: UUID
    wait: float | None  # seconds until it is tried again; None: undeliverable
    batch_cap: int  # how many events may be in its next POST


def claim(*, leases: Sequence[UUID]) -> list[Post]:
    """Takes up to one POST per queue, at most `len(leases)`. Leases are made by the caller before it asks.

    Events that cannot be written as JSON are undeliverable, so that the others are told.
    """
    due = destinations.due().queues
    if not due:
        return []
    with transaction.atomic():
        at_once = min(QUEUES_AT_ONCE, len(leases))
        queues = column(LOCK_QUEUES, {"due": due, "queues": at_once}, of=int)
        if not queues:
            return []
        params = {"queues": queues, "leases": list(leases), "row_lease": settings.ROW_LEASE}
        rows = fetch(CLAIM, params, row=ClaimedEvent)
    groups: defaultdict[UUID, list[ClaimedEvent]] = defaultdict(list)
    for row in rows:
        groups[row.lease].append(row)
    tenants = Tenant.objects.in_bulk({int(group[0].queue_key) for group in groups.values()})
    posts = (_post(group, tenants[int(group[0].queue_key)]) for group in groups.values())
    return [post for post in posts if post.events]


def give_back(leases: Sequence[UUID], *, ids: Sequence[UUID] | None = None) -> int:
    """Gives back events that were claimed and not posted. Returns how many."""
    return change(GIVE_BACK, {"leases": list(leases), "ids": list(ids) if ids is not None else None})


def put_off(lease: UUID, events: Sequence[PutOff], *, error: str, counts: bool) -> None:
    """Events of a POST that was not taken are due again, or undeliverable. `counts`: as a try of each."""
    change(
        PUT_OFF,
        {
            "lease": lease,
            "error": error,
            "counted": 1 if counts else 0,
            "id": [one.event_id for one in events],
            "wait": [one.wait for one in events],
            "batch_cap": [one.batch_cap for one in events],
        },
    )


def _post(events: Sequence[ClaimedEvent], tenant: Tenant) -> Post:
    """The POST of one lease. Events that do not fit are due again at once."""
    first = events[0]
    written = body.write(events, wire_profile.stored(tenant.wire_profile))
    if written.left_out:
        give_back([first.lease], ids=[event.id for event in written.left_out])
    for one in written.unwritable:
        never = PutOff(one.event.id, wait=None, batch_cap=one.event.batch_cap)
        put_off(first.lease, [never], error=one.why, counts=False)
    return Post(
        first.lease,
        first.destination_id,
        tenant,
        first.url,
        first.is_inbound,
        written.events,
        written.content,
    )
