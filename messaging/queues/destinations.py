"""Where events are posted: each address of a queue has a row of its own with its circuit (models/destination.py).

Events are inserted with their address where that is known. The rest (a new address, one that was deleted meanwhile)
get theirs here, right before they are claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import md5
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from django.db import transaction

from messaging.models.sql import change, fetch, sql
from messaging.rules.values import DestinationKind

BATCH: Final = 1000
OWN: Final = 32  # addresses of a queue that are told apart; beyond, one for each host
SHARED: Final = 64  # and beyond that, one for all others
ELSEWHERE: Final = "all other addresses"
IDLE: Final = timedelta(days=1)  # an address that got nothing for so long is forgotten, unless it refuses

# What an event is inserted with: the row of its address, or null. {url}, {queue} and {kind} are expressions.
KNOWN: Final = """(SELECT destination.id FROM messaging_destination destination
          WHERE destination.queue_id = {queue} AND destination.kind = {kind}
            AND destination.key = md5(regexp_replace({url}, '[?#].*$', '')))"""

# Addresses that have events waiting, one step of the index each: however many addresses there are, those without
# events cost nothing. A null stands for events without an address.
_WAITING: Final = """
  SELECT min(destination_id) AS id FROM messaging_event WHERE state = {EventState.DUE}
  UNION ALL
  SELECT (SELECT min(event.destination_id) FROM messaging_event event
          WHERE event.state = {EventState.DUE} AND event.destination_id > waiting.id)
  FROM waiting WHERE waiting.id IS NOT NULL
"""

# `queues`: queues with something to post now. `gone`: deleted addresses that events still name. `nameless`: whether
# there are events without an address.
DUE: Final = sql(
    """
WITH RECURSIVE waiting AS ({waiting})
SELECT coalesce(array_agg(DISTINCT queue.id) FILTER (WHERE
         destination.open_until <= clock_timestamp() AND queue.paused_at IS NULL AND (
           SELECT min(event.due_at) FROM messaging_event event
           WHERE event.destination_id = waiting.id AND event.state = {EventState.DUE})
         <= clock_timestamp()), '{}') AS queues,
       coalesce(array_agg(waiting.id) FILTER (WHERE destination.id IS NULL), '{}') AS gone,
       (SELECT min(due_at) FROM messaging_event
        WHERE state = {EventState.DUE} AND destination_id IS NULL) IS NOT NULL AS nameless
FROM waiting LEFT JOIN messaging_destination destination ON destination.id = waiting.id
LEFT JOIN messaging_queue queue ON queue.id = destination.queue_id
WHERE waiting.id IS NOT NULL
""",
    waiting=_WAITING,
)

# Events that need an address.
UNPLACED: Final = sql("""
SELECT id, queue_id, inbound_id IS NOT NULL AS is_inbound, url FROM messaging_event
WHERE state = {EventState.DUE} AND (destination_id IS NULL OR destination_id = ANY(%(gone)s))
ORDER BY destination_id, due_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
""")

OF_QUEUES: Final = "SELECT queue_id, kind, key FROM messaging_destination WHERE queue_id = ANY(%(queues)s)"

MAKE: Final = """
INSERT INTO messaging_destination (queue_id, kind, key, address)
SELECT * FROM unnest(%(queue)s::int8[], %(kind)s::int2[], %(key)s::text[], %(address)s::text[])
ON CONFLICT (queue_id, kind, key) DO NOTHING
"""

PLACE: Final = sql("""
UPDATE messaging_event event SET destination_id = destination.id
FROM unnest(%(id)s::uuid[], %(queue)s::int8[], %(kind)s::int2[], %(key)s::text[]) AS given(id, queue, kind, key)
JOIN messaging_destination destination
  ON destination.queue_id = given.queue AND destination.kind = given.kind AND destination.key = given.key
WHERE event.id = given.id AND event.state = {EventState.DUE}
""")

# An event that comes meanwhile and names a deleted row is placed anew.
PRUNE: Final = sql("""
DELETE FROM messaging_destination WHERE id IN (
  SELECT destination.id FROM messaging_destination destination
  WHERE destination.faults = 0
    AND greatest(destination.created_at, destination.ok_at, destination.served_at) < clock_timestamp() - %(idle)s
    AND NOT EXISTS (SELECT 1 FROM messaging_event event
                    WHERE event.destination_id = destination.id AND event.state = {EventState.DUE})
  LIMIT 1000 FOR UPDATE SKIP LOCKED)
""")


@dataclass(frozen=True, slots=True)
class DueQueues:
    """Queues with something to post now, and what stands in the way of other events."""

    queues: list[int]
    gone: list[int]  # deleted addresses that events still name
    nameless: bool  # some events have no address yet


@dataclass(frozen=True, slots=True)
class UnplacedEvent:
    """An event without an address."""

    id: UUID
    queue_id: int
    is_inbound: bool
    url: str


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """What an address is found by."""

    queue_id: int
    kind: int
    key: str


def due() -> DueQueues:
    """`queues` that have something to post now; first, events without an address are given one."""
    (row,) = fetch(DUE, row=DueQueues)
    if not (row.nameless or row.gone):
        return row
    place(row.gone)
    return fetch(DUE, row=DueQueues)[0]


def place(gone: Sequence[int] = ()) -> int:
    """Gives events their address, making those that are new. Returns how many."""
    with transaction.atomic():
        rows = fetch(UNPLACED, {"gone": list(gone), "limit": BATCH}, row=UnplacedEvent)
        if not rows:
            return 0
        names = _names(rows)
        columns = {
            "id": [row.id for row in rows],
            "queue": [name.queue_id for name in names],
            "kind": [name.kind for name in names],
            "key": [name.key for name in names],
        }
        return change(PLACE, columns)


def prune() -> int:
    """Forgets addresses that are idle and well."""
    return change(PRUNE, {"idle": IDLE})


def address_of(url: str) -> str:
    """Scheme, host and path: the query may hold a secret, and says nothing about who listens."""
    return url.partition("#")[0].partition("?")[0]


def _names(rows: Sequence[UnplacedEvent]) -> list[Name]:
    """The destination of each event; new ones are made, within the bounds."""
    known: dict[int, set[tuple[int, str]]] = {row.queue_id: set() for row in rows}
    for found in fetch(OF_QUEUES, {"queues": list(known)}, row=Name):
        known[found.queue_id].add((found.kind, found.key))
    made: dict[Name, str] = {}
    names = []
    for row in rows:
        kind = int(DestinationKind.INBOUND if row.is_inbound else DestinationKind.CALLBACK)
        key, address = _choose(kind, row.url, known[row.queue_id])
        if (kind, key) not in known[row.queue_id]:
            known[row.queue_id].add((kind, key))
            made[Name(row.queue_id, kind, key)] = address
        names.append(Name(row.queue_id, kind, key))
    _make(made)
    return names


def _choose(kind: int, url: str, known: set[tuple[int, str]]) -> tuple[str, str]:
    """Key and address: its own where there is one or room for one, else the host's, else the last of all."""
    address = address_of(url)
    parts = urlsplit(address)
    for name, room in ((address, OWN), (f"{parts.scheme}://{parts.netloc}/…", SHARED)):
        if (kind, _key(name)) in known or len(known) < room:
            return _key(name), name
    return _key(ELSEWHERE), ELSEWHERE


def _key(address: str) -> str:
    return md5(address.encode(), usedforsecurity=False).hexdigest()


def _make(made: dict[Name, str]) -> None:
    if made:
        names = sorted(made)  # one order: no deadlock
        columns = {
            "queue": [name.queue_id for name in names],
            "kind": [name.kind for name in names],
            "key": [name.key for name in names],
            "address": [made[name] for name in names],
        }
        change(MAKE, columns)
