"""Delivery reports find their attempt and move its message; what matches nothing is tried again.

`inbox.read` makes the rows, `apply` matches those that are due, each in one transaction. A crash repeats nothing.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from messaging.evidence import weighing
from messaging.models.sql import change, fetch, sql
from messaging.rules import backoff
from messaging.rules.values import Effect
from messaging.watch import seldom
from vendors import registry
from vendors.values import Channel, Outcome, Report, Status

# Whoever calls an address can call it often: a line about a call has its account as cause, and comes once a minute.
log = logging.getLogger(__name__)
log.addFilter(seldom.once_a_minute)

BATCH = 200

# The oldest reports that are due. SKIP LOCKED: several pumps match at once, each its own reports.
TAKE_REPORTS = sql("""
SELECT report.id, report.account_id, account.vendor, report.vendor_id, report.reference, report.status,
       report.vendor_status, report.part, report.parts, report.code, report.vendor_code, report.text, report.segments,
       report.mms_unsupported, report.sent_as, report.occurred_at, report.received_at, report.tries
FROM messaging_deliveryreport report JOIN messaging_provideraccount account ON account.id = report.account_id
WHERE report.effect = {Effect.UNMATCHED} AND report.due_at <= clock_timestamp()
ORDER BY report.due_at LIMIT %(limit)s FOR NO KEY UPDATE OF report SKIP LOCKED
""")

# A report belongs to the account whose hook it came through: another tenant's ids match nothing.
# By our reference first, then by the vendor's id, then by the id of a later part.
MATCH = """
SELECT given.id, found.id AS attempt_id, found.message_id, found.outcome, found.parts, found.part FROM unnest(
  %(id)s::int8[], %(account_id)s::int8[], %(reference)s::uuid[], %(vendor_id)s::text[])
  AS given(id, account_id, reference, vendor_id)
CROSS JOIN LATERAL (
  (SELECT attempt.*, (SELECT later.part FROM messaging_attemptpart later WHERE later.account_id = given.account_id
                      AND later.vendor_id = given.vendor_id AND later.attempt_id = attempt.id) AS part
   FROM messaging_attempt attempt WHERE attempt.id = given.reference AND attempt.account_id = given.account_id)
  UNION ALL
  (SELECT attempt.*, NULL::int2 FROM messaging_attempt attempt
   WHERE given.vendor_id <> '' AND attempt.account_id = given.account_id AND attempt.vendor_id = given.vendor_id
   ORDER BY attempt.created_at DESC LIMIT 1)
  UNION ALL
  (SELECT attempt.*, later.part
   FROM messaging_attemptpart later JOIN messaging_attempt attempt ON attempt.id = later.attempt_id
   WHERE given.vendor_id <> '' AND later.account_id = given.account_id AND later.vendor_id = given.vendor_id)
  LIMIT 1) found
"""

# A report that was matched and weighed is due no more.
SETTLE = """
UPDATE messaging_deliveryreport report
SET effect = given.effect, attempt_id = given.attempt_id, part = given.part, due_at = NULL
FROM unnest(%(id)s::int8[], %(effect)s::text[], %(attempt_id)s::uuid[], %(part)s::int2[])
     AS given(id, effect, attempt_id, part) WHERE report.id = given.id
"""

# A report that matched nothing is looked at again after `wait` seconds; without a wait it is an orphan.
PUT_OFF = sql("""
UPDATE messaging_deliveryreport report
SET tries = report.tries + 1, effect = CASE WHEN given.wait IS NULL THEN {Effect.ORPHAN} ELSE report.effect END,
    due_at = clock_timestamp() + make_interval(secs => given.wait)
FROM unnest(%(id)s::int8[], %(wait)s::float8[]) AS given(id, wait) WHERE report.id = given.id
""")

# Reports on two parts of one message may be applied by two pumps at once: the second must see the first.
LOCK_LONG = "SELECT id FROM messaging_message WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE"

# What earlier reports said about the parts of a long message.
PARTS = "SELECT attempt_id, part, status FROM messaging_deliveryreport WHERE attempt_id = ANY(%(ids)s)"


@dataclass(frozen=True, slots=True)
class WaitingReport:
    """A delivery report that is due to be matched."""

    id: int
    account_id: int
    vendor: str
    vendor_id: str
    reference: str
    status: str
    vendor_status: str
    part: int
    parts: int | None
    code: str
    vendor_code: str
    text: str
    segments: int | None
    mms_unsupported: bool
    sent_as: str
    occurred_at: datetime | None
    received_at: datetime
    tries: int


@dataclass(frozen=True, slots=True)
class FoundAttempt:
    """The attempt that report `id` is about. `part`: which part the vendor's id names; None: not a later one."""

    id: int
    attempt_id: UUID
    message_id: UUID
    outcome: str | None
    parts: int
    part: int | None


@dataclass(frozen=True, slots=True)
class ReportedPart:
    """What an earlier report said about one part of an attempt."""

    attempt_id: UUID
    part: int
    status: str


@dataclass(frozen=True, slots=True)
class _Match:
    """A due report and the attempt that it is about."""

    row: WaitingReport
    attempt_id: UUID
    message_id: UUID
    outcome: Outcome | None
    parts: int
    part: int


def apply(*, limit: int = BATCH) -> int:
    """Matches the reports that are due and weighs them. Returns how many were looked at."""
    with transaction.atomic():
        rows = fetch(TAKE_REPORTS, {"limit": limit}, row=WaitingReport)
        if not rows:
            return 0
        matches = [match for match in _match(rows) if not _too_early(match)]
        found = {match.row.id for match in matches}
        _put_off([row for row in rows if row.id not in found])
        evidence = [
            _evidence(match, status) for match, status in zip(matches, _statuses(matches), strict=True)
        ]
        _settle(matches, weighing.apply(evidence))
    return len(rows)


def _match(rows: Sequence[WaitingReport]) -> list[_Match]:
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
        for found in fetch(MATCH, params, row=FoundAttempt)
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
        change(LOCK_LONG, {"ids": sorted({match.message_id for match in matches})})
        for row in fetch(PARTS, {"ids": [match.attempt_id for match in long]}, row=ReportedPart):
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


def _evidence(match: _Match, status: Status) -> weighing.ReportEvidence:
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


def _put_off(rows: Sequence[WaitingReport]) -> None:
    """Looked for again with backoff for three days; then an orphan, which people see."""
    if rows:
        waits = [backoff.match_delay(row.tries + 1) for row in rows]
        change(PUT_OFF, {"id": [row.id for row in rows], "wait": waits})
