"""A lane's circuit: many faults in a row stop the calls, one probe starts them again (architecture "Lanes")."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction

from messaging import backoff
from messaging.models.statement import change, fetch

log = logging.getLogger(__name__)

TRIP = 10  # faults in a row that open the circuit

# Codes of errors that lie with the destination and not with the message: who waited for them is due when it recovers.
LANE_WIDE = (
    "throttled",
    "unreachable",
    "dns",
    "tls",
    "proxy",
    "refused_address",
    "vendor_unavailable",
    "credentials_refused",
)


@dataclass(frozen=True, slots=True)
class Note:
    """What one exchange says about its destination."""

    ok: bool
    open_for: float | None = None  # seconds, when this fault asks for longer than the usual opening


# In one order, or two pumps with mixed news would wait for each other. NO KEY, here and below: intake and new events
# share the row by their foreign keys.
LOCK = "SELECT id FROM messaging_lane WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE"

CLOSE = """
WITH before AS (SELECT id, faults, open_for FROM messaging_lane WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE)
UPDATE messaging_lane l SET faults = 0, open_for = 0, ok_at = clock_timestamp()
FROM before WHERE l.id = before.id RETURNING l.id, l.kind, l.key, before.faults
"""

# Most notes are good news about a healthy lane: those write nothing, but for `ok_at` once a second.
WORTH_CLOSING = """
SELECT id FROM messaging_lane WHERE id = ANY(%(ids)s)
AND (faults > 0 OR open_for > 0 OR ok_at IS NULL OR ok_at < clock_timestamp() - interval '1 second')
"""

FAULT = """
UPDATE messaging_lane SET faults = faults + %(faults)s,
    open_for = CASE WHEN faults + %(faults)s < %(trip)s THEN open_for
                    ELSE greatest(%(least)s, least(%(most)s, greatest(%(first)s, open_for * 2))) END,
    open_until = CASE WHEN faults + %(faults)s < %(trip)s THEN open_until ELSE clock_timestamp() + make_interval(secs =>
                    greatest(%(least)s, least(%(most)s, greatest(%(first)s, open_for * 2)))) END
WHERE id = %(id)s AND open_until <= clock_timestamp()
RETURNING kind, key, faults, open_for
"""

# SKIP LOCKED: who holds a message is about to write about this lane.
WAKE_MESSAGES = """
UPDATE messaging_message SET due_at = clock_timestamp() WHERE id IN (
  SELECT id FROM messaging_message
  WHERE lane_id = ANY(%(ids)s) AND state = 2 AND due_at > clock_timestamp() AND error_code = ANY(%(codes)s)
  FOR NO KEY UPDATE SKIP LOCKED)
"""
# The try that is thrown in costs nothing: where one URL of a lane works and another does not, the circuit may close
# every minute, and three days of tries would be used up in one hour.
WAKE_EVENTS = """
UPDATE messaging_event SET due_at = clock_timestamp(), tries = greatest(tries - 1, 0)
WHERE lane_id = ANY(%(ids)s) AND state = 0 AND due_at > clock_timestamp()
"""
RESUME = """
UPDATE messaging_lane SET paused_at = NULL, paused_why = '', open_until = timestamptz '2000-01-01 00:00+00',
       open_for = 0, faults = 0 WHERE id = ANY(%(ids)s)
"""
PAUSE = """
UPDATE messaging_lane SET paused_at = clock_timestamp(), paused_why = %(why)s
WHERE id = %(id)s AND paused_at IS NULL RETURNING key
"""


def note(notes: Mapping[int, Sequence[Note]]) -> None:
    """Takes in what the exchanges of a batch said about their lanes, oldest first. In the caller's transaction."""
    good = [lane_id for lane_id, said in notes.items() if any(one.ok for one in said)]
    worth = [row.id for row in fetch(WORTH_CLOSING, {"ids": good})] if good else []
    trailing = {lane_id: _after_last_good(said) for lane_id, said in notes.items()}
    faulty = sorted(lane_id for lane_id, faults in trailing.items() if faults)
    if worth and faulty:
        fetch(LOCK, {"ids": worth + faulty})
    if worth:
        _close(worth)
    for lane_id in faulty:
        _fault(lane_id, trailing[lane_id])


def pause(lane_id: int, *, why: str) -> None:
    """Stops a lane until a person resumes it: credentials refused, secrets that do not open."""
    for row in fetch(PAUSE, {"id": lane_id, "why": why[:300]}):
        log.error("queue paused", extra={"lane": row.key, "why": why})


def resume(lane_ids: Sequence[int]) -> None:
    """A person ends a pause and closes the circuit: what waited for the destination is due at once."""
    with transaction.atomic():
        change(RESUME, {"ids": list(lane_ids)})
        _wake(list(lane_ids))


def _wake(lane_ids: list[int]) -> None:
    change(WAKE_MESSAGES, {"ids": lane_ids, "codes": list(LANE_WIDE)})
    change(WAKE_EVENTS, {"ids": lane_ids})


def _after_last_good(said: Sequence[Note]) -> list[Note]:
    trailing: list[Note] = []
    for one in said:
        trailing = [] if one.ok else [*trailing, one]
    return trailing


def _close(lane_ids: list[int]) -> None:
    tripped = [row for row in fetch(CLOSE, {"ids": lane_ids}) if row.faults >= TRIP]
    if not tripped:
        return
    _wake([row.id for row in tripped])
    for row in tripped:
        log.warning("circuit closed", extra={"lane": row.key})


def _fault(lane_id: int, faults: Sequence[Note]) -> None:
    asked = max((one.open_for or 0.0) for one in faults)
    params = {
        "id": lane_id,
        "faults": len(faults),
        "trip": TRIP,
        "least": asked,
        "most": backoff.CIRCUIT_MAX,
        "first": backoff.CIRCUIT_FIRST,
    }
    for row in fetch(FAULT, params):
        if row.faults >= TRIP:
            log.warning(
                "circuit open", extra={"lane": row.key, "faults": row.faults, "seconds": row.open_for}
            )
