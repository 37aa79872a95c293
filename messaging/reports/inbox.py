"""Vendors' calls as they came: each is read once, in one transaction, into reports and inbound messages.

What cannot be read is parked for a person. A crash repeats nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DataError, IntegrityError, transaction

from messaging.evidence import inbound, locking
from messaging.models import ProviderAccount
from messaging.models.statement import change, fetch
from messaging.reports import stored_calls
from messaging.watch import counters, seldom
from outbound.redaction import words
from vendors import charsets, entries, registry
from vendors.base import BadPayload
from vendors.values import Credentials, Inbound, Report, Said, Status, Unreadable

# Whoever calls an address can call it often: a line about a call has its account as cause, and comes once a minute.
log = logging.getLogger(__name__)
log.addFilter(seldom.once_a_minute)

BATCH = 200
REFUSED = (DataError, IntegrityError, ValueError)  # by the database, or by its driver: half a surrogate pair
SMALLINT = 32767


TAKE_CALLS = """
SELECT i.exchange_id, i.exchange_at, i.account_id, n.vendor, n.tenant_id, w.request, w.call
FROM messaging_inbox i
JOIN messaging_provideraccount n ON n.id = i.account_id
JOIN messaging_exchange w ON w.id = i.exchange_id AND w.at = i.exchange_at
WHERE i.parked_at IS NULL AND i.due_at <= clock_timestamp()
ORDER BY i.due_at LIMIT %(limit)s FOR UPDATE OF i SKIP LOCKED
"""
DONE = "DELETE FROM messaging_inbox WHERE exchange_id = ANY(%(ids)s)"
PARK = """
UPDATE messaging_inbox SET parked_at = clock_timestamp(), parked_why = %(why)s, tries = tries + 1
WHERE exchange_id = %(id)s
"""

# The digest recognises what a vendor says twice: same ids, status, error, part and (where it is told) time.
STORE = """
INSERT INTO messaging_deliveryreport (exchange_id, exchange_at, account_id, vendor_id, reference, status, vendor_status,
    part, parts, code, vendor_code, text, segments, mms_unsupported, sent_as, occurred_at, digest, received_at,
    effect, due_at)
SELECT v.*, v.exchange_at, 'unmatched', clock_timestamp()
FROM unnest(%(exchange_id)s::uuid[], %(exchange_at)s::timestamptz[], %(account_id)s::int8[], %(vendor_id)s::text[],
    %(reference)s::text[], %(status)s::text[], %(vendor_status)s::text[], %(part)s::int2[], %(parts)s::int2[],
    %(code)s::text[], %(vendor_code)s::text[], %(text)s::text[], %(segments)s::int2[], %(mms_unsupported)s::bool[],
    %(sent_as)s::text[], %(occurred_at)s::timestamptz[], %(digest)s::bytea[])
  AS v(exchange_id, exchange_at, account_id, vendor_id, reference, status, vendor_status, part, parts, code,
       vendor_code, text, segments, mms_unsupported, sent_as, occurred_at, digest)
ON CONFLICT (account_id, digest) DO NOTHING
"""


_Told = tuple[Any, Report] | inbound.Received  # each with its inbox row


@dataclass(slots=True)
class _Call:
    """A stored call, read: what it tells, and why some of it could not be read or stored."""

    row: Any
    told: list[_Told] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read(*, limit: int = BATCH) -> int:
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
    accounts = ProviderAccount.objects.in_bulk({row.account_id for row in rows})
    return [_read(row, accounts[row.account_id].credentials_without_secrets()) for row in rows]


def _read(row: Any, credentials: Credentials) -> _Call:
    call = _Call(row)
    try:
        adapter, hook = registry.adapter(row.vendor), stored_calls.opened(row.call, request=row.request)
        legible = charsets.legible(hook, lambda fields: adapter.charsets(fields, credentials))
        said = adapter.parse_hook(legible.hook, credentials)
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
        names = [locking.clip(name, 40) for name in guessed[:10]]
        log.warning(
            "characters in no stated charset", extra=_about(row, exchange=str(row.exchange_id), fields=names)
        )


def _about(row: Any, **told: Any) -> dict[str, Any]:
    return {"cause": row.account_id, "vendor": row.vendor, **told}


def _wrong(one: Said) -> str:
    """Why something that a call tells can go no further; "" when it can."""
    if isinstance(one, Unreadable):
        return one.reason
    return inbound.wrong(one) if isinstance(one, Inbound) else ""


def _store(told: Sequence[_Told], calls: Sequence[_Call]) -> None:
    _store_reports([one for one in told if isinstance(one, tuple)])
    messages = [one for one in told if isinstance(one, inbound.Received)]
    inbound.store(messages, reading=[call.row.exchange_id for call in calls])


def _finish(calls: Sequence[_Call]) -> None:
    """Calls that were read whole leave the inbox; one with a fault stays, once, for a person and a replay."""
    if done := [call.row.exchange_id for call in calls if not call.faults]:
        change(DONE, {"ids": done})
    for call in calls:
        if call.faults:
            bad, good = len(call.faults), len(call.told)
            share = f"{bad} of {bad + good} entries: " if good else ""
            _park(call.row, share + "; ".join(dict.fromkeys(call.faults)))


def _park(row: Any, why: str) -> None:
    counters.parked.labels(vendor=row.vendor).inc()
    log.error("vendor call parked", extra=_about(row, exchange=str(row.exchange_id), why=why))
    change(PARK, {"id": row.exchange_id, "why": why[:300]})


def _store_reports(reports: Sequence[tuple[Any, Report]]) -> None:
    if not reports:
        return
    for row, report in reports:
        if report.status is Status.UNKNOWN:
            word = locking.clip(report.vendor_status, 40)
            counters.drift(vendor=row.vendor, word=word)
            log.warning("unknown status word", extra=_about(row, word=word))
    change(
        STORE,
        {
            "exchange_id": [row.exchange_id for row, _ in reports],
            "exchange_at": [row.exchange_at for row, _ in reports],
            "account_id": [row.account_id for row, _ in reports],
            "digest": [_digest(report) for _, report in reports],
            **_columns([report for _, report in reports]),
        },
    )


def _columns(reports: Sequence[Report]) -> dict[str, list[Any]]:
    return {
        "vendor_id": [locking.clip(report.vendor_id, 120) for report in reports],
        "reference": [locking.clip(report.reference, 60) for report in reports],
        "status": [str(report.status) for report in reports],
        "vendor_status": [locking.clip(report.vendor_status, 60) for report in reports],
        "part": [min(max(report.part, 1), SMALLINT) for report in reports],
        "parts": [min(report.parts, SMALLINT) if report.parts else None for report in reports],
        "code": [locking.clip(report.code, 60) for report in reports],
        "vendor_code": [locking.clip(report.vendor_code, 60) for report in reports],
        "text": [locking.clip(words(report.text), 300) for report in reports],
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
