"""Delivery reports find their attempt and move its message; what matches nothing is tried again.

`inbox.read` makes the rows, `apply` matches those that are due, each in one transaction. A crash repeats nothing.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from messaging.evidence import weighing
from messaging.models.statement import change, fetch
from messaging.rules import backoff
from messaging.rules.values import Effect
from messaging.watch import seldom
from vendors import registry
from vendors.values import Channel, Outcome, Report, Status

# Whoever calls an address can call it often: a line about a call has its account as cause, and comes once a minute.
log = logging.getLogger(__name__)
log.addFilter(seldom.once_a_minute)

BATCH = 200
SMALLINT = 32767

TAKE_REPORTS = """
SELECT r.*, n.vendor FROM messaging_deliveryreport r JOIN messaging_provideraccount n ON n.id = r.account_id
WHERE r.effect = 'unmatched' AND r.due_at <= clock_timestamp()
ORDER BY r.due_at LIMIT %(limit)s FOR NO KEY UPDATE OF r SKIP LOCKED
"""

# A report belongs to the account whose hook it came through: another tenant's ids match nothing.
# By our reference first, then by the vendor's id, then by the id of a later part.
MATCH = """
SELECT v.id, a.id AS attempt_id, a.message_id, a.outcome, a.parts, a.part FROM unnest(
  %(id)s::int8[], %(account_id)s::int8[], %(reference)s::uuid[], %(vendor_id)s::text[])
  AS v(id, account_id, reference, vendor_id)
CROSS JOIN LATERAL (
  (SELECT a.*, (SELECT p.part FROM messaging_attemptpart p WHERE p.account_id = v.account_id
                AND p.vendor_id = v.vendor_id AND p.attempt_id = a.id) AS part
   FROM messaging_attempt a WHERE a.id = v.reference AND a.account_id = v.account_id)
  UNION ALL
  (SELECT a.*, NULL::int2 FROM messaging_attempt a
   WHERE v.vendor_id <> '' AND a.account_id = v.account_id AND a.vendor_id = v.vendor_id
   ORDER BY a.created_at DESC LIMIT 1)
  UNION ALL
  (SELECT a.*, p.part FROM messaging_attemptpart p JOIN messaging_attempt a ON a.id = p.attempt_id
   WHERE v.vendor_id <> '' AND p.account_id = v.account_id AND p.vendor_id = v.vendor_id)
  LIMIT 1) a
"""

SETTLE = """
UPDATE messaging_deliveryreport r SET effect = v.effect, attempt_id = v.attempt_id, part = v.part, due_at = NULL
FROM unnest(%(id)s::int8[], %(effect)s::text[], %(attempt_id)s::uuid[], %(part)s::int2[])
     AS v(id, effect, attempt_id, part) WHERE r.id = v.id
"""
PUT_OFF = """
UPDATE messaging_deliveryreport r SET tries = r.tries + 1,
       effect = CASE WHEN v.wait IS NULL THEN 'orphan' ELSE r.effect END,
       due_at = clock_timestamp() + make_interval(secs => v.wait)
FROM unnest(%(id)s::int8[], %(wait)s::float8[]) AS v(id, wait) WHERE r.id = v.id
"""

# Reports on two parts of one message may be applied by two pumps at once: the second must see the first.
LOCK_LONG = "SELECT id FROM messaging_message WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE"

# What earlier reports said about the parts of a long message.
PARTS = "SELECT attempt_id, part, status FROM messaging_deliveryreport WHERE attempt_id = ANY(%(ids)s)"


@dataclass(frozen=True, slots=True)
class _Match:
    """A due report and the attempt that it is about."""

    row: Any
    attempt_id: UUID
    message_id: UUID
    outcome: Outcome | None
    parts: int
    part: int


def apply(*, limit: int = BATCH) -> int:
    """Matches the reports that are due and lets them speak. Returns how many were looked at."""
    with transaction.atomic():
        rows = fetch(TAKE_REPORTS, {"limit": limit})
        if not rows:
            return 0
        matches = [match for match in _match(rows) if not _too_early(match)]
        found = {match.row.id for match in matches}
        _put_off([row for row in rows if row.id not in found])
        words = [_word(match, status) for match, status in zip(matches, _statuses(matches), strict=True)]
        _settle(matches, weighing.apply(words))
    return len(rows)


def _match(rows: Sequence[Any]) -> list[_Match]:
    params = {
        "id": [row.id for row in rows],
        "account_id": [row.account_id for row in rows],
        "reference": [_uuid(row.reference) for row in rows],
        "vendor_id": [row.vendor_id for row in rows],
    }
    by_id = {row.id: row for row in rows}
    return [
        _Match(
            row=by_id[found.id],
            attempt_id=found.attempt_id,
            message_id=found.message_id,
            outcome=Outcome(found.outcome) if found.outcome else None,
            parts=max(found.parts, by_id[found.id].parts or 1),
            part=found.part or by_id[found.id].part,
        )
        for found in fetch(MATCH, params)
    ]


def _uuid(reference: str) -> UUID | None:
    try:
        return UUID(reference)
    except ValueError:
        return None


def _too_early(match: _Match) -> bool:
    """Whether the answer that tells the number of parts is still to come."""
    per_part = registry.adapter(match.row.vendor).reports_per_part
    return per_part and match.outcome is None and match.row.parts is None


def _statuses(matches: Sequence[_Match]) -> list[Status]:
    """What each report means for its whole attempt: delivered when all parts are, worst part wins."""
    long = [match for match in matches if match.parts > 1]
    known: defaultdict[UUID, dict[int, set[Status]]] = defaultdict(lambda: defaultdict(set))
    if long:
        # All of the batch in one order, as evidence locks them: locking some of them first could deadlock.
        fetch(LOCK_LONG, {"ids": sorted({match.message_id for match in matches})})
        for row in fetch(PARTS, {"ids": [match.attempt_id for match in long]}):
            known[row.attempt_id][row.part].add(Status(row.status))
    statuses = []
    for match in matches:
        status = Status(match.row.status)
        if match.parts > 1:
            known[match.attempt_id][match.part].add(status)
            status = _of_all_parts(status, match.parts, known[match.attempt_id].values())
        statuses.append(status)
    return statuses


def _of_all_parts(status: Status, parts: int, said: Iterable[set[Status]]) -> Status:
    if status is not Status.DELIVERED:
        return status
    delivered = sum(Status.DELIVERED in statuses for statuses in said)
    return Status.DELIVERED if delivered >= parts else Status.SENT


def _word(match: _Match, status: Status) -> weighing.ReportEvidence:
    row = match.row
    report = Report(
        status=status,
        vendor_status=row.vendor_status,
        vendor_id=row.vendor_id,
        reference=row.reference,
        part=match.part,
        parts=match.parts,
        code=row.code,
        vendor_code=row.vendor_code,
        text=row.text,
        segments=row.segments,
        occurred_at=row.occurred_at,
        mms_unsupported=row.mms_unsupported,
        sent_as=Channel(row.sent_as) if row.sent_as else None,
    )
    return weighing.ReportEvidence(match.message_id, match.attempt_id, report, row.received_at)


def _settle(matches: Sequence[_Match], effects: Sequence[Effect]) -> None:
    if matches:
        change(
            SETTLE,
            {
                "id": [match.row.id for match in matches],
                "effect": [str(effect) for effect in effects],
                "attempt_id": [match.attempt_id for match in matches],
                "part": [match.part for match in matches],
            },
        )


def _put_off(rows: Sequence[Any]) -> None:
    """Looked for again with backoff for three days; then an orphan, which people see."""
    if rows:
        waits = [backoff.match_delay(row.tries + 1) for row in rows]
        change(PUT_OFF, {"id": [row.id for row in rows], "wait": waits})
