"""What we owe Bloomreach: claim events, post them signed and batched, record the answer (contract 5)."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import transaction

from accounts.crypto import SealError
from accounts.models import Tenant
from messaging.callbacks import signing
from messaging.contract import callback_url, wire, wire_profile
from messaging.contract.wire_profile import WireProfile
from messaging.dialling import exchanges, guards
from messaging.models.statement import change, fetch
from messaging.queues import circuit, destinations
from messaging.rules import backoff
from messaging.rules.values import EventKind, ExchangeKind
from outbound import http
from outbound import retry_after as retry_after_header
from outbound.values import CallFailure, HttpRequest, HttpResponse

log = logging.getLogger(__name__)

BODY_CAP = 256 * 1024  # bytes of one POST
QUEUES_AT_ONCE = 8
ALONE_TRIES = 3  # an event that is refused alone dies after so many tries, if the destination takes others

BISECT_DELAY = 1.0  # seconds

# Locked first, counted in the next statement, as in claims.py.
LOCK_QUEUES = """
SELECT id FROM messaging_queue WHERE id = ANY(%(due)s) AND kind = 1
ORDER BY served_at LIMIT %(queues)s FOR NO KEY UPDATE SKIP LOCKED
"""

# One POST per queue, to the address that was served least recently; one that failed has one POST in flight until it
# takes something, so that a hung one leaves room for the others. Its oldest due event names the URL and the batch cap,
# its like go along. An event waits for its message's older open event: looked up one by one, since a planner whose
# statistics are from before a burst would join with all that is open (10,000 events: 1.3 s a claim, and 26 ms so). A
# queue without room counts as served too, or hung destinations would be picked for ever.
CLAIM = """
WITH l AS MATERIALIZED (
  SELECT queue.id FROM messaging_queue queue WHERE queue.id = ANY(%(queues)s)
    AND queue.cap > (SELECT count(DISTINCT f.lease) FROM messaging_event f
                     WHERE f.queue_id = queue.id AND f.state = 1)),
p AS MATERIALIZED (
  SELECT d.id FROM l CROSS JOIN LATERAL (
    SELECT o.id FROM messaging_destination o CROSS JOIN LATERAL (
      SELECT min(e.due_at) AS due_at FROM messaging_event e WHERE e.destination_id = o.id AND e.state = 0) first
    WHERE o.queue_id = l.id AND o.open_until <= clock_timestamp() AND first.due_at <= clock_timestamp()
      AND (o.faults = 0 OR NOT EXISTS (SELECT 1 FROM messaging_event f
                                       WHERE f.queue_id = l.id AND f.state = 1 AND f.destination_id = o.id))
    ORDER BY o.served_at, first.due_at LIMIT 1 FOR NO KEY UPDATE OF o SKIP LOCKED) d),
h AS MATERIALIZED (
  SELECT p.id AS destination_id, head.url, head.batch_cap, row_number() OVER () AS rn FROM p CROSS JOIN LATERAL (
    SELECT e.url, e.batch_cap FROM messaging_event e
    WHERE e.destination_id = p.id AND e.state = 0 AND e.due_at <= clock_timestamp() AND (
      SELECT true FROM messaging_event p WHERE p.message_id = e.message_id AND p.state IN (0, 1)
        AND (p.generation, p.kind) < (e.generation, e.kind) LIMIT 1) IS NULL
    ORDER BY e.due_at LIMIT 1) head),
d AS MATERIALIZED (
  SELECT e.id, h.rn FROM h CROSS JOIN LATERAL (
    SELECT e.id FROM messaging_event e
    WHERE e.destination_id = h.destination_id AND e.state = 0 AND e.due_at <= clock_timestamp()
      AND e.url = h.url AND e.batch_cap = h.batch_cap AND (
        SELECT true FROM messaging_event p WHERE p.message_id = e.message_id AND p.state IN (0, 1)
          AND (p.generation, p.kind) < (e.generation, e.kind) LIMIT 1) IS NULL
    ORDER BY e.due_at LIMIT h.batch_cap FOR UPDATE SKIP LOCKED) e),
u AS (
  UPDATE messaging_event e SET state = 1, lease = (%(leases)s::uuid[])[d.rn],
         lease_until = clock_timestamp() + make_interval(secs => %(row_lease)s),
         last_post = (%(leases)s::uuid[])[d.rn]
  FROM d WHERE e.id = d.id RETURNING e.*),
s AS (UPDATE messaging_queue queue SET served_at = clock_timestamp() WHERE queue.id = ANY(%(queues)s)),
t AS (UPDATE messaging_destination o SET served_at = clock_timestamp() FROM p WHERE o.id = p.id)
SELECT u.id, u.lease, u.destination_id, queue.key AS queue_key, u.url, u.kind, u.generation, u.status, u.occurred_at,
       u.error, u.segments, u.sent_as, u.tries, u.batch_cap, u.message_id, m.channel, m.request_id,
       c.custom_data, c.metadata, c.extra, i.id AS inbound_id, i.channel AS inbound_channel, i.sender, i.recipient,
       i.text, i.media
FROM u JOIN messaging_queue queue ON queue.id = u.queue_id
LEFT JOIN messaging_message m ON m.id = u.message_id
LEFT JOIN messaging_content c ON c.message_id = m.id AND c.created_at = m.created_at
LEFT JOIN messaging_inboundmessage i ON i.id = u.inbound_id
ORDER BY u.lease, u.id
"""

ACKNOWLEDGE = """
UPDATE messaging_event SET state = 2, tries = tries + 1, lease = NULL, lease_until = NULL,
       acked_at = clock_timestamp(), last_error = ''
WHERE lease = %(lease)s AND id = ANY(%(ids)s)
"""

# One row per event: when it is due again, or dead (due null), and how many may go along next time. Tries are counted
# and dated here and not when claimed: a POST that is given back, or lost with its worker, says nothing about an event.
# A batch's refusal is dated, since what its halves bring shows who is at fault, and counted for none.
PUT_OFF = """
UPDATE messaging_event e SET state = CASE WHEN v.wait IS NULL THEN 3 ELSE 0 END, tries = tries + %(counted)s,
       first_try_at = coalesce(e.first_try_at, clock_timestamp()), lease = NULL, lease_until = NULL,
       due_at = clock_timestamp() + make_interval(secs => coalesce(v.wait, 0)), batch_cap = v.batch_cap,
       last_error = %(error)s
FROM unnest(%(id)s::uuid[], %(wait)s::float8[], %(batch_cap)s::int2[]) AS v(id, wait, batch_cap)
WHERE e.id = v.id AND e.lease = %(lease)s
"""

RELEASE = """
UPDATE messaging_event SET state = 0, lease = NULL, lease_until = NULL
WHERE lease = ANY(%(leases)s) AND state = 1 AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s))
"""

# Whether its address took anything since the event was first refused: then the event itself is at fault.
BLAME = """
SELECT e.id FROM messaging_event e JOIN messaging_destination d ON d.id = e.destination_id
WHERE e.id = ANY(%(ids)s) AND d.ok_at > e.first_try_at
"""

# Not when the secret was replaced while the POST was in flight: then its name means another one. Once a minute.
NOTE_KEY = """
UPDATE accounts_tenant SET secret_in_use = %(which)s, secret_taken_at = clock_timestamp()
WHERE id = %(tenant)s AND callback_secret = %(sealed)s AND (secret_in_use <> %(which)s OR secret_taken_at IS NULL
      OR secret_taken_at < clock_timestamp() - interval '1 minute')
"""


@dataclass(frozen=True, slots=True)
class Post:
    """One POST to Bloomreach: the events of one queue for one URL. Its lease is also its raw row's id."""

    lease: UUID
    destination_id: int
    tenant: Tenant
    url: str
    events: tuple[Any, ...] = field(repr=False)
    body: bytes = field(repr=False, default=b"")


@dataclass(frozen=True, slots=True)
class Posted:
    """How a POST went. `key` names the signing secret that was used last: current or previous."""

    post: Post
    answer: HttpResponse | CallFailure
    key: str
    exchange: exchanges.RecordedExchange

    @property
    def status(self) -> int:
        """Of the HTTP answer; 0: there was none."""
        return self.answer.status if isinstance(self.answer, HttpResponse) else 0

    @property
    def taken(self) -> bool:
        """Any 2xx means that Bloomreach has every event of the POST (contract 5)."""
        return isinstance(self.answer, HttpResponse) and 200 <= self.answer.status < 300

    @property
    def refused(self) -> bool:
        """A 4xx that says something about the request: one of its events, or the URL, is at fault."""
        return 400 <= self.status < 500 and self.status not in (401, 403, 408, 429)

    @property
    def splits(self) -> bool:
        """Refused as a batch, or answered with 500, which may be about one event: its halves show which one it is."""
        return (self.refused or self.status == 500) and len(self.post.events) > 1

    @property
    def error(self) -> str:
        """What went wrong, for people."""
        if isinstance(self.answer, CallFailure):
            return self.answer.text[:300]
        return "" if self.taken else f"HTTP {self.answer.status}"


def claim(*, leases: Sequence[UUID]) -> list[Post]:
    """Takes up to one POST per queue, at most `len(leases)`. Leases are made by the caller before it asks.

    Events that cannot be written as JSON are dead, so that the others are told.
    """
    due = destinations.due().queues
    if not due:
        return []
    with transaction.atomic():
        at_once = min(QUEUES_AT_ONCE, len(leases))
        queues = [row.id for row in fetch(LOCK_QUEUES, {"due": due, "queues": at_once})]
        if not queues:
            return []
        params = {
            "queues": queues,
            "leases": list(leases),
            "row_lease": settings.ROW_LEASE,
        }
        rows = fetch(CLAIM, params)
    groups: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        groups[row.lease].append(row)
    tenants = Tenant.objects.in_bulk({int(group[0].queue_key) for group in groups.values()})
    posts = (_post(group, tenants[int(group[0].queue_key)]) for group in groups.values())
    return [post for post in posts if post.events]


def _post(rows: Sequence[Any], tenant: Tenant) -> Post:
    """The body, cut before it grows too large; what does not fit is due again at once."""
    fits: list[Any] = []
    pieces: list[bytes] = []
    profile = wire_profile.stored(tenant.wire_profile)
    key = profile.inbound if rows[0].inbound_id is not None else profile.outbound
    size = len(wire_profile.enclose([], key))
    for place, row in enumerate(rows):
        if (row.inbound_id is None) != (
            rows[0].inbound_id is None
        ):  # one URL for both: each in its own envelope
            release([row.lease], ids=[row.id])
            continue
        piece = _written(row, profile)
        if piece is None:
            continue
        size += len(piece) + 1
        if pieces and size - 1 > BODY_CAP:
            release([row.lease], ids=[left.id for left in rows[place:]])
            break
        fits.append(row)
        pieces.append(piece)
    body = wire_profile.enclose(pieces, key)
    return Post(rows[0].lease, rows[0].destination_id, tenant, rows[0].url, tuple(fits), body)


def _written(row: Any, profile: WireProfile) -> bytes | None:
    """The event as JSON. None: it cannot be written, and is dead."""
    try:
        return orjson.dumps(wire_profile.dress(_event(row), profile))
    except Exception as error:  # one broken row must not hold up everybody's callbacks
        log.exception("callback could not be written", extra={"event": str(row.id)})
        text = f"the event could not be written ({type(error).__name__})"
        columns = {"id": [row.id], "wait": [None], "batch_cap": [row.batch_cap]}
        change(PUT_OFF, {"lease": row.lease, "error": text, "counted": 0, **columns})
        return None


def _event(row: Any) -> dict[str, Any]:
    if row.inbound_id is not None:
        return wire.inbound_event(
            event_id=row.id,
            channel=row.inbound_channel,
            occurred_at=row.occurred_at,
            sender_msisdn=row.sender,
            recipient=row.recipient,
            text=row.text,
            media=row.media,
            message_id=row.inbound_id,
        )
    return wire.outbound_event(
        event_id=row.id,
        channel=row.channel,
        status=row.status,
        occurred_at=row.occurred_at,
        request_id=row.request_id,
        message_id=row.message_id,
        sender=row.extra.get("from", ""),
        recipient=row.extra.get("to", ""),
        custom_data=row.custom_data,
        error=row.error,
        segments=row.segments,
        sent_as=row.sent_as,
        metadata=row.metadata,
        correction=row.kind == EventKind.CORRECTION,
    )


def dial(post: Post, *, deadline: float) -> Posted:
    """Posts the events. A 401 or 403 is tried once more with the previous secret. Touches no database."""
    started = time.monotonic()
    key = "current"
    request, answer = _attempt(post, post.tenant.callback_secret, deadline)
    status = answer.status if isinstance(answer, HttpResponse) else 0
    left = deadline - (time.monotonic() - started)
    if status in (401, 403) and post.tenant.callback_secret_previous and left > 0:
        key = "previous"
        request, answer = _attempt(post, post.tenant.callback_secret_previous, left)
    exchange = exchanges.exchange(ExchangeKind.POST, request, answer, secrets=(), ids=[post.lease])
    return Posted(post, answer, key, exchange)


def try_once(post: Post, secret: Any, *, deadline: float) -> HttpResponse | CallFailure:
    """One POST beside the queue, signed and guarded like the others. Nothing is recorded."""
    return _attempt(post, secret, deadline)[1]


def _attempt(post: Post, secret: Any, deadline: float) -> tuple[HttpRequest, HttpResponse | CallFailure]:
    headers = {"Content-Type": "application/json"}
    request = HttpRequest("POST", post.url, headers, post.body)
    if wrong := _forbidden(post):
        return request, CallFailure("refused_address", f"the callback URL {wrong}", sent=False)
    try:
        token = signing.authorization(
            secret.reveal(), bearer=wire_profile.stored(post.tenant.wire_profile).bearer
        )
    except (SealError, ValueError) as error:  # sealed with another key, or empty: an operator can repair both
        return request, CallFailure("no_signature", str(error), sent=False)
    request = HttpRequest("POST", post.url, {**headers, "Authorization": token}, post.body)
    return request, http.call(request, deadline=deadline, guard=guards.for_callbacks())


def _forbidden(post: Post) -> str:
    """Contract 3: what a request may name is checked again. Inbound URLs are an operator's own."""
    if post.events[0].inbound_id is not None:
        return ""
    return callback_url.problem(post.url, hosts=post.tenant.callback_hosts, demo=settings.DEMO)


def record(posted: Sequence[Posted]) -> None:
    """Acknowledges, puts off or gives up the events of each POST, and tells the addresses' circuits."""
    with transaction.atomic():
        exchanges.store([one.exchange for one in posted])
        notes: defaultdict[int, list[circuit.Note]] = defaultdict(list)
        for one in posted:
            _settle(one)
            notes[one.post.destination_id].append(_note(one))
        circuit.note(notes, of=circuit.Of.DESTINATION)


def _note(one: Posted) -> circuit.Note:
    """An event that is refused alone again and again is no new evidence against its address."""
    alone = one.post.events[0].id if len(one.post.events) == 1 else None
    return circuit.Note(
        ok=one.taken,
        open_for=settings.PROBE_EVERY if one.refused else None,
        blame=circuit.blame(one.status),
        witness=circuit.witness(alone) if alone and one.status else None,
        text=one.error,
    )


def _settle(one: Posted) -> None:
    ids = [event.id for event in one.post.events]
    if one.taken:
        change(ACKNOWLEDGE, {"lease": one.post.lease, "ids": ids})
        tenant = one.post.tenant
        sealed = tenant.callback_secret.ciphertext
        change(NOTE_KEY, {"which": one.key, "tenant": tenant.pk, "sealed": sealed})
        return
    waits = _waits(one)
    cap = max(1, len(ids) // 2) if one.refused or one.splits else None
    change(
        PUT_OFF,
        {
            "lease": one.post.lease,
            "error": one.error,
            "counted": 0 if one.splits else 1,
            "id": ids,
            "wait": waits,
            "batch_cap": [cap or event.batch_cap for event in one.post.events],
        },
    )
    for event, wait in zip(one.post.events, waits, strict=True):
        if wait is None:
            log.error(
                "callback undeliverable", extra={"event": str(event.id), "tenant": one.post.tenant.slug}
            )


def _waits(one: Posted) -> list[float | None]:
    """Seconds until each event is tried again; None: dead."""
    retry_after = None
    if isinstance(one.answer, HttpResponse):
        retry_after = retry_after_header.seconds_of(one.answer.headers.get("Retry-After"), time.time())
    if one.splits:
        return [BISECT_DELAY] * len(one.post.events)
    tries = [event.tries + 1 for event in one.post.events]
    if one.refused and tries[0] >= ALONE_TRIES and _at_fault(one.post.events[0].id):
        return [None]
    return [backoff.callback_delay(count, retry_after=retry_after) for count in tries]


def _at_fault(event_id: UUID) -> bool:
    return bool(fetch(BLAME, {"ids": [event_id]}))


def release(leases: Sequence[UUID], *, ids: Sequence[UUID] | None = None) -> int:
    """Gives back events that were claimed and not posted."""
    return change(RELEASE, {"leases": list(leases), "ids": list(ids) if ids is not None else None})
