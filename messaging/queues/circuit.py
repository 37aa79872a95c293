"""Circuits: many faults in a row stop the calls to a destination, probes start them again (architecture "Queues").

A fault counts by what it is about (its witness): one message that fails again and again says nothing about its
destination. A destination that answers is probed with several at once, new and retried ones in turn; only silence is
probed one by one. A success anywhere closes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cache
from hashlib import blake2b
from typing import Final

from django.db import transaction

from messaging.models.sql import change, column, fetch, sql
from messaging.rules import backoff

log = logging.getLogger(__name__)

TRIP = 10  # faults in a row, of as many witnesses, that open the circuit

# Codes of errors that lie with the destination and not with the message: who waited for them is due when it recovers.
QUEUE_WIDE = (
    "throttled",
    "unreachable",
    "dns",
    "tls",
    "proxy",
    "refused_address",
    "vendor_unavailable",
    "credentials_refused",
)


class Of(StrEnum):
    """Whose circuit: queues towards vendors, or the addresses that callbacks go to. The value is the table."""

    QUEUE = "messaging_queue"
    DESTINATION = "messaging_destination"


class Blame(IntEnum):
    """How much a fault says about the destination; the mildest of a batch decides. What each means: OPENINGS."""

    MESSAGE = 0  # an answer that may be about one message alone: HTTP 500
    SERVICE = 1  # the destination speaks of itself: HTTP 429, 502, 503, 504
    SILENCE = 2  # no answer at all


@dataclass(frozen=True, slots=True)
class Opening:
    """How long a circuit opens (seconds), and how many probes fly at once when that is over."""

    first: float
    most: float
    probes: int


# While a destination answers, a probe costs it little, and one of them may be the healthy message that ends it all.
OPENINGS: Final[Mapping[Blame, Opening]] = {
    Blame.MESSAGE: Opening(backoff.CIRCUIT_BRIEF, backoff.CIRCUIT_BRIEF_MAX, probes=16),
    Blame.SERVICE: Opening(backoff.CIRCUIT_FIRST, backoff.CIRCUIT_MAX, probes=2),
    Blame.SILENCE: Opening(backoff.CIRCUIT_FIRST, backoff.CIRCUIT_MAX, probes=1),
}


@dataclass(frozen=True, slots=True)
class Note:
    """What one exchange says about its destination."""

    ok: bool
    open_for: float | None = None  # seconds, when this fault asks for longer than the usual opening
    blame: Blame = Blame.SILENCE
    witness: int | None = None  # what the fault is about: the same again is no new evidence; None: always new
    text: str = ""  # the fault in words


# In one order, or two pumps with mixed news would wait for each other. NO KEY, here and below: intake and new events
# share the row by their foreign keys.
LOCK = "SELECT id FROM {table} WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE"

# Closes circuits, and says how many faults each had.
CLOSE = """
WITH before AS (SELECT id, faults, open_for FROM {table} WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE)
UPDATE {table} circuit SET faults = 0, open_for = 0, witnesses = '{}',
       open_until = least(open_until, clock_timestamp()), ok_at = clock_timestamp()
FROM before WHERE circuit.id = before.id RETURNING circuit.id, before.faults
"""

# Most notes are good news about a healthy destination: those write nothing, but for `ok_at` once a second.
WORTH_CLOSING = """
SELECT id FROM {table} WHERE id = ANY(%(ids)s)
AND (faults > 0 OR open_for > 0 OR ok_at IS NULL OR ok_at < clock_timestamp() - interval '1 second')
"""

# A fault counts once for each witness that is new since the last success. What comes back while the circuit is open
# was in flight when it opened, and is no probe; any fault of a probe opens it again.
FAULT = """
WITH counted AS (
  SELECT circuit.id,
         circuit.faults + greatest(new.n, CASE WHEN circuit.faults >= %(trip)s THEN 1 ELSE 0 END) AS faults,
         greatest(%(least)s, least(%(most)s, greatest(%(first)s, circuit.open_for * 2))) AS open_for
  FROM {table} circuit CROSS JOIN LATERAL (
    SELECT %(nameless)s + count(*) AS n FROM unnest(%(witnesses)s::bigint[]) AS given(witness)
    WHERE given.witness <> ALL (circuit.witnesses)) new
  WHERE circuit.id = %(id)s FOR NO KEY UPDATE OF circuit)
UPDATE {table} circuit SET faults = counted.faults, last_fault = %(text)s, failed_at = clock_timestamp(),
    witnesses = CASE WHEN counted.faults < %(trip)s THEN circuit.witnesses || %(witnesses)s::bigint[]
                     ELSE circuit.witnesses END,
    probes = CASE WHEN counted.faults < %(trip)s THEN circuit.probes ELSE %(probes)s END,
    open_for = CASE WHEN counted.faults < %(trip)s THEN circuit.open_for ELSE counted.open_for END,
    open_until = CASE WHEN counted.faults < %(trip)s THEN circuit.open_until
                      ELSE clock_timestamp() + make_interval(secs => counted.open_for) END
FROM counted WHERE circuit.id = counted.id AND circuit.open_until <= clock_timestamp()
RETURNING circuit.faults, circuit.open_for
"""

# What logs call it: never the queue's key, which is the secret part of an account's hook address.
NAMES: Final[Mapping[Of, str]] = {
    Of.QUEUE: """
SELECT coalesce(string_agg(tenant.slug || '/' || account.name, ', ' ORDER BY account.id), 'queue ' || %(id)s) AS name
FROM messaging_provideraccount account JOIN accounts_tenant tenant ON tenant.id = account.tenant_id
WHERE account.queue_id = %(id)s
""",
    Of.DESTINATION: "SELECT address AS name FROM messaging_destination WHERE id = %(id)s",
}

# SKIP LOCKED: who holds a message is about to write about this queue.
WAKE_MESSAGES = sql("""
UPDATE messaging_message SET due_at = clock_timestamp() WHERE id IN (
  SELECT id FROM messaging_message
  WHERE queue_id = ANY(%(ids)s) AND state = {MessageState.RETRYING} AND due_at > clock_timestamp()
    AND error_code = ANY(%(codes)s)
  FOR NO KEY UPDATE SKIP LOCKED)
""")
# The try that is thrown in costs nothing: where one URL of a queue works and another does not, the circuit may close
# every minute, and three days of tries would be used up in one hour.
WAKE_EVENTS = sql("""
UPDATE messaging_event SET due_at = clock_timestamp(), tries = greatest(tries - 1, 0)
WHERE destination_id = ANY(%(ids)s) AND state = {EventState.DUE} AND due_at > clock_timestamp()
""")
RESUME = """
UPDATE {table} SET open_until = timestamptz '2000-01-01 00:00+00', open_for = 0, faults = 0, witnesses = '{}'
WHERE id = ANY(%(ids)s)
"""
UNPAUSE = "UPDATE messaging_queue SET paused_at = NULL, paused_why = '' WHERE id = ANY(%(ids)s)"
OF_QUEUES = "SELECT id FROM messaging_destination WHERE queue_id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE"
PAUSE = """
UPDATE messaging_queue SET paused_at = clock_timestamp(), paused_why = %(why)s
WHERE id = %(id)s AND paused_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Closed:
    """A circuit that closed, and how many faults it had."""

    id: int
    faults: int


@dataclass(frozen=True, slots=True)
class Faulty:
    """A circuit after a fault: how many it has, and for how long it opens (seconds)."""

    faults: int
    open_for: float


def note(notes: Mapping[int, Sequence[Note]], *, of: Of = Of.QUEUE) -> None:
    """Takes in what the exchanges of a batch said about their destinations, oldest first.

    In the caller's transaction.
    """
    good = [id_ for id_, said in notes.items() if any(one.ok for one in said)]
    worth = column(_on(of, WORTH_CLOSING), {"ids": good}, of=int) if good else []
    trailing = {id_: _after_last_good(said) for id_, said in notes.items()}
    faulty = sorted(id_ for id_, faults in trailing.items() if faults)
    if worth and faulty:
        change(_on(of, LOCK), {"ids": worth + faulty})
    if worth:
        _close(worth, of)
    for id_ in faulty:
        _fault(id_, trailing[id_], of)


def pause(queue_id: int, *, why: str) -> None:
    """Stops a queue until a person resumes it: credentials refused, secrets that do not open."""
    if change(PAUSE, {"id": queue_id, "why": why[:300]}):
        log.error("queue paused", extra={"queue": name(queue_id, Of.QUEUE), "why": why})


def resume(queue_ids: Sequence[int]) -> None:
    """A person ends a pause and closes the circuits: what waited for the destinations is due at once."""
    ids = list(queue_ids)
    with transaction.atomic():
        change(UNPAUSE, {"ids": ids})
        change(_on(Of.QUEUE, RESUME), {"ids": ids})
        _wake(ids, Of.QUEUE)
        try_now(column(OF_QUEUES, {"ids": ids}, of=int))


def try_now(destination_ids: Sequence[int]) -> None:
    """A person closes the circuits of these addresses: their events are due at once."""
    ids = list(destination_ids)
    with transaction.atomic():
        change(_on(Of.DESTINATION, RESUME), {"ids": ids})
        _wake(ids, Of.DESTINATION)


def blame(status: int) -> Blame:
    """What an HTTP status says; 0: no answer. A 500 is about the request as much as the server (RFC 9110, 15.6)."""
    if status in (401, 403, 408, 429, 502, 503, 504):
        return Blame.SERVICE
    return Blame.MESSAGE if status else Blame.SILENCE


def witness(*about: object) -> int:
    """A short name for what a fault is about, as the column takes it."""
    name = "|".join(str(part) for part in about).encode()
    return int.from_bytes(blake2b(name, digest_size=8).digest(), signed=True)


@cache
def _on(of: Of, statement: str) -> str:
    return sql(statement, table=of.value)


def name(id_: int, of: Of = Of.QUEUE) -> str:
    """What logs call a destination: its accounts, or its address without the query."""
    return next(iter(column(NAMES[of], {"id": id_}, of=str)), "")


def _wake(ids: list[int], of: Of) -> None:
    if of is Of.QUEUE:
        change(WAKE_MESSAGES, {"ids": ids, "codes": list(QUEUE_WIDE)})
    else:
        change(WAKE_EVENTS, {"ids": ids})


def _after_last_good(said: Sequence[Note]) -> list[Note]:
    trailing: list[Note] = []
    for one in said:
        trailing = [] if one.ok else [*trailing, one]
    return trailing


def _close(ids: list[int], of: Of) -> None:
    tripped = [row for row in fetch(_on(of, CLOSE), {"ids": ids}, row=Closed) if row.faults >= TRIP]
    if not tripped:
        return
    _wake([row.id for row in tripped], of)
    for row in tripped:
        log.warning("circuit closed", extra={"queue": name(row.id, of)})


def _fault(id_: int, faults: Sequence[Note], of: Of) -> None:
    opening = OPENINGS[min(one.blame for one in faults)]
    params = {
        "id": id_,
        "witnesses": sorted({one.witness for one in faults if one.witness is not None}),
        "nameless": sum(one.witness is None for one in faults),
        "text": faults[-1].text[:300],
        "trip": TRIP,
        "least": max((one.open_for or 0.0) for one in faults),
        "most": opening.most,
        "first": opening.first,
        "probes": opening.probes,
    }
    for row in fetch(_on(of, FAULT), params, row=Faulty):
        if row.faults >= TRIP:
            told = {"queue": name(id_, of), "faults": row.faults, "seconds": row.open_for}
            log.warning("circuit open", extra=told)
