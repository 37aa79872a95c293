"""Where events are posted: each address of a queue has a row of its own with its circuit (models/destination.py).

Events are inserted with their address where that is known. The rest (a new address, one that was deleted meanwhile)
get theirs here, right before they are claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from hashlib import md5
from typing import Any, Final
from urllib.parse import urlsplit

from django.db import transaction

from messaging.models.statement import change, fetch
from messaging.rules.values import DestinationKind

BATCH: Final = 1000
OWN: Final = 32  # addresses of a queue that are told apart; beyond, one for each host
SHARED: Final = 64  # and beyond that, one for all others
ELSEWHERE: Final = "all other addresses"
IDLE: Final = timedelta(
    days=1
)  # an address that nothing was told for so long is forgotten, unless it refuses

# What an event is inserted with: the row of its address, or null. {url}, {queue} and {kind} are expressions.
KNOWN: Final = """(SELECT o.id FROM messaging_destination o
          WHERE o.queue_id = {queue} AND o.kind = {kind} AND o.key = md5(regexp_replace({url}, '[?#].*$', '')))"""

# Addresses that have events waiting, one step of the index each: however many addresses there are, those without
# events cost nothing. A null stands for events without an address.
_WAITING: Final = """
  SELECT min(destination_id) AS id FROM messaging_event WHERE state = 0
  UNION ALL
  SELECT (SELECT min(e.destination_id) FROM messaging_event e WHERE e.state = 0 AND e.destination_id > w.id)
  FROM w WHERE w.id IS NOT NULL
"""

# `queues`: queues with something to post now. `gone`: deleted addresses that events still name. `nameless`: whether
# there are events without an address.
DUE: Final = """
WITH RECURSIVE w AS (/* waiting */)
SELECT coalesce(array_agg(DISTINCT l.id) FILTER (WHERE
         d.open_until <= clock_timestamp() AND l.paused_at IS NULL AND (
           SELECT min(e.due_at) FROM messaging_event e WHERE e.destination_id = w.id AND e.state = 0)
         <= clock_timestamp()), '{}') AS queues,
       coalesce(array_agg(w.id) FILTER (WHERE d.id IS NULL), '{}') AS gone,
       (SELECT min(due_at) FROM messaging_event WHERE state = 0 AND destination_id IS NULL) IS NOT NULL AS nameless
FROM w LEFT JOIN messaging_destination d ON d.id = w.id LEFT JOIN messaging_queue l ON l.id = d.queue_id
WHERE w.id IS NOT NULL
""".replace("/* waiting */", _WAITING)

UNPLACED: Final = """
SELECT id, queue_id, inbound_id IS NOT NULL AS is_inbound, url FROM messaging_event
WHERE state = 0 AND (destination_id IS NULL OR destination_id = ANY(%(gone)s))
ORDER BY destination_id, due_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
"""

HELD: Final = "SELECT id, queue_id, kind, key FROM messaging_destination WHERE queue_id = ANY(%(queues)s)"

MAKE: Final = """
INSERT INTO messaging_destination (queue_id, kind, key, address)
SELECT * FROM unnest(%(queue)s::int8[], %(kind)s::int2[], %(key)s::text[], %(address)s::text[])
ON CONFLICT (queue_id, kind, key) DO NOTHING
"""

PLACE: Final = """
UPDATE messaging_event e SET destination_id = d.id
FROM unnest(%(id)s::uuid[], %(queue)s::int8[], %(kind)s::int2[], %(key)s::text[]) AS v(id, queue, kind, key)
JOIN messaging_destination d ON d.queue_id = v.queue AND d.kind = v.kind AND d.key = v.key
WHERE e.id = v.id AND e.state = 0
"""

# An event that comes meanwhile and names a deleted row is placed anew.
PRUNE: Final = """
DELETE FROM messaging_destination WHERE id IN (
  SELECT d.id FROM messaging_destination d
  WHERE d.faults = 0 AND greatest(d.created_at, d.ok_at, d.served_at) < clock_timestamp() - %(idle)s
    AND NOT EXISTS (SELECT 1 FROM messaging_event e WHERE e.destination_id = d.id AND e.state = 0)
  LIMIT 1000 FOR UPDATE SKIP LOCKED)
"""

Name = tuple[int, int, str]  # queue, kind, key


def due() -> Any:
    """`queues` that have something to post now; first, events without an address are given one."""
    (row,) = fetch(DUE)
    if not (row.nameless or row.gone):
        return row
    place(row.gone)
    return fetch(DUE)[0]


def place(gone: Sequence[int] = ()) -> int:
    """Gives events their address, making those that are new. Returns how many."""
    with transaction.atomic():
        rows = fetch(UNPLACED, {"gone": list(gone), "limit": BATCH})
        if not rows:
            return 0
        names = _names(rows)
        columns = {
            "id": [row.id for row in rows],
            "queue": [queue for queue, _, _ in names],
            "kind": [kind for _, kind, _ in names],
            "key": [key for _, _, key in names],
        }
        return change(PLACE, columns)


def prune() -> int:
    """Forgets addresses that are idle and well."""
    return change(PRUNE, {"idle": IDLE})


def address_of(url: str) -> str:
    """Scheme, host and path: the query may hold a secret, and says nothing about who listens."""
    return url.partition("#")[0].partition("?")[0]


def _names(rows: Iterable[Any]) -> list[Name]:
    """The destination of each event; new ones are made, within the bounds."""
    rows = list(rows)
    held: dict[int, set[tuple[int, str]]] = {row.queue_id: set() for row in rows}
    for row in fetch(HELD, {"queues": list(held)}):
        held[row.queue_id].add((row.kind, row.key))
    made: dict[Name, str] = {}
    names = []
    for row in rows:
        kind = int(DestinationKind.INBOUND if row.is_inbound else DestinationKind.CALLBACK)
        key, address = _choose(kind, row.url, held[row.queue_id])
        if (kind, key) not in held[row.queue_id]:
            held[row.queue_id].add((kind, key))
            made[row.queue_id, kind, key] = address
        names.append((row.queue_id, kind, key))
    _make(made)
    return names


def _choose(kind: int, url: str, held: set[tuple[int, str]]) -> tuple[str, str]:
    """Key and address: its own where there is one or room for one, else the host's, else the last of all."""
    address = address_of(url)
    parts = urlsplit(address)
    for name, room in ((address, OWN), (f"{parts.scheme}://{parts.netloc}/…", SHARED)):
        if (kind, _key(name)) in held or len(held) < room:
            return _key(name), name
    return _key(ELSEWHERE), ELSEWHERE


def _key(address: str) -> str:
    return md5(address.encode(), usedforsecurity=False).hexdigest()


def _make(made: dict[Name, str]) -> None:
    if made:
        names = sorted(made)  # one order: no deadlock
        columns = {
            "queue": [queue for queue, _, _ in names],
            "kind": [kind for _, kind, _ in names],
            "key": [key for _, _, key in names],
            "address": [made[name] for name in names],
        }
        change(MAKE, columns)
