"""Vendors' calls as they came: each is read once, in one transaction, into reports and inbound messages.

What cannot be read is parked for a person. A crash repeats nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, transaction

from messaging.evidence import inbound, locking
from messaging.models import ProviderAccount
from messaging.models.sql import Params, change, fetch, sql
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


# The oldest calls that are due. SKIP LOCKED: several pumps read at once, each its own calls.
TAKE_CALLS = """
SELECT inbox.exchange_id, inbox.exchange_at, inbox.account_id, account.vendor, account.tenant_id, exchange.request,
       exchange.call
FROM messaging_inbox inbox
JOIN messaging_provideraccount account ON account.id = inbox.account_id
JOIN messaging_exchange exchange ON exchange.id = inbox.exchange_id AND exchange.at = inbox.exchange_at
WHERE inbox.parked_at IS NULL AND inbox.due_at <= clock_timestamp()
ORDER BY inbox.due_at LIMIT %(limit)s FOR UPDATE OF inbox SKIP LOCKED
"""
DONE = "DELETE FROM messaging_inbox WHERE exchange_id = ANY(%(ids)s)"
PARK = """
UPDATE messaging_inbox SET parked_at = clock_timestamp(), parked_why = %(why)s, tries = tries + 1
WHERE exchange_id = %(id)s
"""

# A repeated report is ignored: its digest is there already (same ids, status, vendor's status and code, part and, where
# it is told, time).
STORE = sql("""
INSERT INTO messaging_deliveryreport (exchange_id, exchange_at, account_id, vendor_id, reference, status, vendor_status,
    part, parts, code, vendor_code, text, segments, mms_unsupported, sent_as, occurred_at, digest, received_at,
    effect, due_at)
SELECT given.*, given.exchange_at, {Effect.UNMATCHED}, clock_timestamp()
FROM unnest(%(exchange_id)s::uuid[], %(exchange_at)s::timestamptz[], %(account_id)s::int8[], %(vendor_id)s::text[],
    %(reference)s::text[], %(status)s::text[], %(vendor_status)s::text[], %(part)s::int2[], %(parts)s::int2[],
    %(code)s::text[], %(vendor_code)s::text[], %(text)s::text[], %(segments)s::int2[], %(mms_unsupported)s::bool[],
    %(sent_as)s::text[], %(occurred_at)s::timestamptz[], %(digest)s::bytea[])
  AS given(exchange_id, exchange_at, account_id, vendor_id, reference, status, vendor_status, part, parts, code,
           vendor_code, text, segments, mms_unsupported, sent_as, occurred_at, digest)
ON CONFLICT (account_id, digest) DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """A vendor's call in the inbox, as it was stored, with the account that it came for."""

    exchange_id: UUID
    exchange_at: datetime
    account_id: int
    vendor: str
    tenant_id: int
    request: str = field(repr=False)
    call: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReceivedReport:
    """A delivery report, with the call that told it."""

    row: WaitingCall
    report: Report


_Told = ReceivedReport | inbound.Received


@dataclass(slots=True)
class _Call:
    """A stored call, read: what it tells, and why some of it could not be read or stored."""

    row: WaitingCall
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
    rows = fetch(TAKE_CALLS, {"limit": limit}, row=WaitingCall)
    accounts = ProviderAccount.objects.in_bulk({row.account_id for row in rows})
    return [_read(row, accounts[row.account_id].credentials_without_secrets()) for row in rows]


def _read(row: WaitingCall, credentials: Credentials) -> _Call:
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
    _log_guesses(row, legible.guessed, said)
    digest = stored_calls.digest(hook)
    for place, one in enumerate(said):
        if isinstance(one, Unreadable) and not isinstance(one.error, BadPayload):
            log.error("vendor call could not be read", exc_info=one.error, extra=_about(row))
        if wrong := _wrong(one):
            call.faults.append(wrong)
        elif isinstance(one, Inbound):
            call.told.append(_received(row, place, digest, one))
        elif isinstance(one, Report):
            call.told.append(ReceivedReport(row, one))
    return call


def _received(row: WaitingCall, place: int, digest: bytes, message: Inbound) -> inbound.Received:
    return inbound.Received(
        row.tenant_id, row.account_id, row.exchange_id, row.exchange_at, place, digest, message
    )


def _log_guesses(row: WaitingCall, fields: Sequence[str], said: Sequence[Said]) -> None:
    """An alarm for characters in no charset that was stated: what was read may be garbled, what came is kept."""
    guessed = [*fields, *("text" for one in said if isinstance(one, Inbound) and one.guessed)]
    if guessed:
        counters.drift(vendor=row.vendor, word="charset")
        names = [locking.clip(name, 40) for name in guessed[:10]]
        log.warning(
            "characters in no stated charset", extra=_about(row, exchange=str(row.exchange_id), fields=names)
        )


def _about(row: WaitingCall, **told: Any) -> dict[str, Any]:
    return {"cause": row.account_id, "vendor": row.vendor, **told}


def _wrong(one: Said) -> str:
    """Why something that a call tells can go no further; "" when it can."""
    if isinstance(one, Unreadable):
        return one.reason
    return inbound.wrong(one) if isinstance(one, Inbound) else ""


def _store(told: Sequence[_Told], calls: Sequence[_Call]) -> None:
    _store_reports([one for one in told if isinstance(one, ReceivedReport)])
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


def _park(row: WaitingCall, why: str) -> None:
    counters.parked.labels(vendor=row.vendor).inc()
    log.error("vendor call parked", extra=_about(row, exchange=str(row.exchange_id), why=why))
    change(PARK, {"id": row.exchange_id, "why": why[:300]})


def _store_reports(received: Sequence[ReceivedReport]) -> None:
    if not received:
        return
    for one in received:
        if one.report.status is Status.UNKNOWN:
            word = locking.clip(one.report.vendor_status, 40)
            counters.drift(vendor=one.row.vendor, word=word)
            log.warning("unknown status word", extra=_about(one.row, word=word))
    change(
        STORE,
        {
            "exchange_id": [one.row.exchange_id for one in received],
            "exchange_at": [one.row.exchange_at for one in received],
            "account_id": [one.row.account_id for one in received],
            "digest": [_report_digest(one.report) for one in received],
            **_columns([one.report for one in received]),
        },
    )


def _columns(reports: Sequence[Report]) -> Params:
    return {
        "vendor_id": [locking.clip(report.vendor_id, 120) for report in reports],
        "reference": [locking.clip(report.reference, 60) for report in reports],
        "status": [str(report.status) for report in reports],
        "vendor_status": [locking.clip(report.vendor_status, 60) for report in reports],
        "part": [min(max(report.part, 1), locking.SMALLINT) for report in reports],
        "parts": [min(report.parts, locking.SMALLINT) if report.parts else None for report in reports],
        "code": [locking.clip(report.code, 60) for report in reports],
        "vendor_code": [locking.clip(report.vendor_code, 60) for report in reports],
        "text": [locking.clip(words(report.text), 300) for report in reports],
        "segments": [
            min(report.segments, locking.SMALLINT) if report.segments else None for report in reports
        ],
        "mms_unsupported": [report.mms_unsupported for report in reports],
        "sent_as": [str(report.sent_as or "") for report in reports],
        "occurred_at": [report.occurred_at for report in reports],
    }


def _report_digest(report: Report) -> bytes:
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
