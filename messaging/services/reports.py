"""Vendors' calls, from the inbox into rows: reports find their attempt, inbound messages become events.

Two short steps, each one transaction: `read_inbox` turns stored calls into rows, `apply` matches the reports that are
due. A crash repeats nothing; what cannot be read is parked for a person, what matches nothing is tried again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, transaction

from messaging import backoff, counters
from messaging.models import Connection
from messaging.models.statement import change, fetch
from messaging.redaction import words
from messaging.services import evidence, evidence_rows, inbound, seldom, stored_calls
from messaging.types import Account, Channel, Effect, Inbound, Outcome, Report, Said, Status, Unreadable
from messaging.vendors import charsets, entries, registry
from messaging.vendors.base import BadPayload

# Whoever calls an address can call it often: a line about a call has its account as cause, and comes once a minute.
log = logging.getLogger(__name__)
log.addFilter(seldom.once_a_minute)

BATCH = 200
REFUSED = (DataError, IntegrityError, ValueError)  # by the database, or by its driver: half a surrogate pair
SMALLINT = 32767

TAKE_CALLS = """
SELECT i.raw_id, i.raw_at, i.connection_id, n.vendor, n.tenant_id, w.request, w.call
FROM messaging_inbox i
JOIN messaging_connection n ON n.id = i.connection_id
JOIN messaging_raw w ON w.id = i.raw_id AND w.at = i.raw_at
WHERE i.parked_at IS NULL AND i.due_at <= clock_timestamp()
ORDER BY i.due_at LIMIT %(limit)s FOR UPDATE OF i SKIP LOCKED
"""
DONE = "DELETE FROM messaging_inbox WHERE raw_id = ANY(%(ids)s)"
PARK = """
UPDATE messaging_inbox SET parked_at = clock_timestamp(), parked_why = %(why)s, tries = tries + 1 WHERE raw_id = %(id)s
"""

# The digest recognises what a vendor says twice: same ids, status, error, part and (where it is told) time.
STORE = """
INSERT INTO messaging_report (raw_id, raw_at, connection_id, vendor_id, reference, status, vendor_status, part, parts,
    code, vendor_code, text, segments, mms_unsupported, sent_as, occurred_at, digest, received_at, effect, due_at)
SELECT v.*, v.raw_at, 'unmatched', clock_timestamp()
FROM unnest(%(raw_id)s::uuid[], %(raw_at)s::timestamptz[], %(connection_id)s::int8[], %(vendor_id)s::text[],
    %(reference)s::text[], %(status)s::text[], %(vendor_status)s::text[], %(part)s::int2[], %(parts)s::int2[],
    %(code)s::text[], %(vendor_code)s::text[], %(text)s::text[], %(segments)s::int2[], %(mms_unsupported)s::bool[],
    %(sent_as)s::text[], %(occurred_at)s::timestamptz[], %(digest)s::bytea[])
  AS v(raw_id, raw_at, connection_id, vendor_id, reference, status, vendor_status, part, parts, code, vendor_code,
       text, segments, mms_unsupported, sent_as, occurred_at, digest)
ON CONFLICT (connection_id, digest) DO NOTHING
"""

TAKE_REPORTS = """
SELECT r.*, n.vendor FROM messaging_report r JOIN messaging_connection n ON n.id = r.connection_id
WHERE r.effect = 'unmatched' AND r.due_at <= clock_timestamp()
ORDER BY r.due_at LIMIT %(limit)s FOR NO KEY UPDATE OF r SKIP LOCKED
"""

# A report belongs to the connection whose hook it came through: another tenant's ids match nothing.
# By our reference first, then by the vendor's id, then by the id of a later part.
MATCH = """
SELECT v.id, a.id AS attempt_id, a.message_id, a.outcome, a.parts, a.part FROM unnest(
  %(id)s::int8[], %(connection_id)s::int8[], %(reference)s::uuid[], %(vendor_id)s::text[])
  AS v(id, connection_id, reference, vendor_id)
CROSS JOIN LATERAL (
  (SELECT a.*, (SELECT p.part FROM messaging_attemptpart p WHERE p.connection_id = v.connection_id
                AND p.vendor_id = v.vendor_id AND p.attempt_id = a.id) AS part
   FROM messaging_attempt a WHERE a.id = v.reference AND a.connection_id = v.connection_id)
  UNION ALL
  (SELECT a.*, NULL::int2 FROM messaging_attempt a
   WHERE v.vendor_id <> '' AND a.connection_id = v.connection_id AND a.vendor_id = v.vendor_id
   ORDER BY a.created_at DESC LIMIT 1)
  UNION ALL
  (SELECT a.*, p.part FROM messaging_attemptpart p JOIN messaging_attempt a ON a.id = p.attempt_id
   WHERE v.vendor_id <> '' AND p.connection_id = v.connection_id AND p.vendor_id = v.vendor_id)
  LIMIT 1) a
"""

SETTLE = """
UPDATE messaging_report r SET effect = v.effect, attempt_id = v.attempt_id, part = v.part, due_at = NULL
FROM unnest(%(id)s::int8[], %(effect)s::text[], %(attempt_id)s::uuid[], %(part)s::int2[])
     AS v(id, effect, attempt_id, part) WHERE r.id = v.id
"""
PUT_OFF = """
UPDATE messaging_report r SET tries = r.tries + 1, effect = CASE WHEN v.wait IS NULL THEN 'orphan' ELSE r.effect END,
       due_at = clock_timestamp() + make_interval(secs => v.wait)
FROM unnest(%(id)s::int8[], %(wait)s::float8[]) AS v(id, wait) WHERE r.id = v.id
"""

# Reports on two parts of one message may be applied by two pumps at once: the second must see the first.
LOCK_LONG = "SELECT id FROM messaging_message WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE"

# What earlier reports said about the parts of a long message.
PARTS = "SELECT attempt_id, part, status FROM messaging_report WHERE attempt_id = ANY(%(ids)s)"


_Told = tuple[Any, Report] | inbound.Received  # each with its inbox row


@dataclass(slots=True)
class _Call:
    """A stored call, read: what it tells, and why some of it could not be read or stored."""

    row: Any
    told: list[_Told] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_inbox(*, limit: int = BATCH) -> int:
    """Turns stored vendor calls into reports and inbound messages. Returns how many calls left the queue."""
    try:
        with transaction.atomic():
            calls = _take(limit)
            _store([one for call in calls for one in call.told], calls)
            _finish(calls)
            return len(calls)
    except REFUSED:
        # Something that a call tells holds what a table refuses; one at a time, it alone is left out.
        log.exception("a batch of vendor calls could not be stored", extra={"cause": "a batch"})
        return sum(_read_one() for _ in range(limit))


def _read_one() -> int:
    with transaction.atomic():
        calls = _take(1)
        for call in calls:
            told, call.told = call.told, []
            for one in told:
                try:
                    with transaction.atomic():
                        _store([one], calls)
                except REFUSED as error:
                    call.faults.append(f"could not be stored ({type(error).__name__})")
                else:
                    call.told.append(one)
        _finish(calls)
        return len(calls)


def _take(limit: int) -> list[_Call]:
    rows = fetch(TAKE_CALLS, {"limit": limit})
    connections = Connection.objects.in_bulk({row.connection_id for row in rows})
    return [_read(row, connections[row.connection_id].account_without_secrets()) for row in rows]


def _read(row: Any, account: Account) -> _Call:
    call = _Call(row)
    try:
        adapter, hook = registry.adapter(row.vendor), stored_calls.opened(row.call, request=row.request)
        legible = charsets.legible(hook, lambda fields: adapter.charsets(fields, account))
        said = adapter.parse_hook(legible.hook, account)
    except BadPayload as error:
        call.faults.append(str(error))
        return call
    except Exception as error:  # an adapter's bug must not hold up the queue
        log.exception("vendor call could not be read", extra=_about(row))
        call.faults.append(entries.why(error))
        return call
    _tell_guesses(row, legible.guessed, said)
    digest = stored_calls.digest(hook)
    for place, one in enumerate(said):
        if isinstance(one, Unreadable) and not isinstance(one.error, BadPayload):
            log.error("vendor call could not be read", exc_info=one.error, extra=_about(row))
        if wrong := _wrong(one):
            call.faults.append(wrong)
        elif isinstance(one, Inbound):
            call.told.append(inbound.Received(row, place, digest, one))
        elif isinstance(one, Report):
            call.told.append((row, one))
    return call


def _tell_guesses(row: Any, fields: Sequence[str], said: Sequence[Said]) -> None:
    """An alarm for characters in no charset that was stated: what was read may be garbled, what came is kept."""
    guessed = [*fields, *("text" for one in said if isinstance(one, Inbound) and one.guessed)]
    if guessed:
        counters.drift(vendor=row.vendor, word="charset")
        names = [evidence_rows.clip(name, 40) for name in guessed[:10]]
        log.warning("characters in no stated charset", extra=_about(row, raw=str(row.raw_id), fields=names))


def _about(row: Any, **told: Any) -> dict[str, Any]:
    return {"cause": row.connection_id, "vendor": row.vendor, **told}


def _wrong(one: Said) -> str:
    """Why something that a call tells can go no further; "" when it can."""
    if isinstance(one, Unreadable):
        return one.reason
    return inbound.wrong(one) if isinstance(one, Inbound) else ""


def _store(told: Sequence[_Told], calls: Sequence[_Call]) -> None:
    _store_reports([one for one in told if isinstance(one, tuple)])
    messages = [one for one in told if isinstance(one, inbound.Received)]
    inbound.store(messages, reading=[call.row.raw_id for call in calls])


def _finish(calls: Sequence[_Call]) -> None:
    """Calls that were read whole leave the inbox; one with a fault stays, once, for a person and a replay."""
    if done := [call.row.raw_id for call in calls if not call.faults]:
        change(DONE, {"ids": done})
    for call in calls:
        if call.faults:
            every = len(call.faults) + len(call.told)
            share = f"{len(call.faults)} of {every} entries: " if call.told else ""
            _park(call.row, share + "; ".join(dict.fromkeys(call.faults)))


def _park(row: Any, why: str) -> None:
    counters.parked.labels(vendor=row.vendor).inc()
    log.error("vendor call parked", extra=_about(row, raw=str(row.raw_id), why=why))
    change(PARK, {"id": row.raw_id, "why": why[:300]})


def _store_reports(reports: Sequence[tuple[Any, Report]]) -> None:
    if not reports:
        return
    for row, report in reports:
        if report.status is Status.UNKNOWN:
            word = evidence_rows.clip(report.vendor_status, 40)
            counters.drift(vendor=row.vendor, word=word)
            log.warning("unknown status word", extra=_about(row, word=word))
    change(
        STORE,
        {
            "raw_id": [row.raw_id for row, _ in reports],
            "raw_at": [row.raw_at for row, _ in reports],
            "connection_id": [row.connection_id for row, _ in reports],
            "digest": [_digest(report) for _, report in reports],
            **_columns([report for _, report in reports]),
        },
    )


def _columns(reports: Sequence[Report]) -> dict[str, list[Any]]:
    return {
        "vendor_id": [evidence_rows.clip(report.vendor_id, 120) for report in reports],
        "reference": [evidence_rows.clip(report.reference, 60) for report in reports],
        "status": [str(report.status) for report in reports],
        "vendor_status": [evidence_rows.clip(report.vendor_status, 60) for report in reports],
        "part": [min(max(report.part, 1), SMALLINT) for report in reports],
        "parts": [min(report.parts, SMALLINT) if report.parts else None for report in reports],
        "code": [evidence_rows.clip(report.code, 60) for report in reports],
        "vendor_code": [evidence_rows.clip(report.vendor_code, 60) for report in reports],
        "text": [evidence_rows.clip(words(report.text), 300) for report in reports],
        "segments": [min(report.segments, SMALLINT) if report.segments else None for report in reports],
        "mms_unsupported": [report.mms_unsupported for report in reports],
        "sent_as": [str(report.sent_as or "") for report in reports],
        "occurred_at": [report.occurred_at for report in reports],
    }


def _digest(report: Report) -> bytes:
    said = (
        report.vendor_id,
        report.reference,
        report.status,
        report.vendor_status,
        report.vendor_code,
        report.part,
        *((report.occurred_at.isoformat(),) if report.occurred_at else ()),
    )
    return hashlib.sha256(json.dumps(said).encode()).digest()


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
        _settle(matches, evidence.apply(words))
    return len(rows)


def _match(rows: Sequence[Any]) -> list[_Match]:
    params = {
        "id": [row.id for row in rows],
        "connection_id": [row.connection_id for row in rows],
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


def _word(match: _Match, status: Status) -> evidence.Word:
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
    return evidence.Word(match.message_id, match.attempt_id, report, row.received_at)


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
