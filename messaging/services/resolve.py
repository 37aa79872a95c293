"""Unknown outcomes: ask, send the same bytes again, wait for a report, or follow the policy (architecture 1.5)."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.crypto import SealError, open_
from messaging import http, states
from messaging.models import Connection
from messaging.models.raw import RawKind
from messaging.models.statement import change, fetch
from messaging.services import evidence, exchanges
from messaging.types import (
    Account,
    CallFailure,
    Channel,
    Found,
    HttpRequest,
    HttpResponse,
    MessageState,
    Outcome,
    Outgoing,
    Presence,
    SendResult,
    UnknownPolicy,
)
from messaging.vendors import registry
from messaging.vendors.base import Adapter

log = logging.getLogger(__name__)

ABSENCES = 2  # look-ups that must find nothing, LOOKUP_GAP apart
UNKNOWNS = 2  # unknown attempts that at_least_once allows
PROVED_ABSENT = "proved_absent"

# The due time moves on as it is claimed: that is the lease of whoever asks.
CLAIM = """
WITH d AS (
  SELECT id FROM messaging_message WHERE state = 3 AND due_at <= clock_timestamp()
  ORDER BY due_at LIMIT %(free)s FOR NO KEY UPDATE SKIP LOCKED),
u AS (
  UPDATE messaging_message m SET due_at = clock_timestamp() + make_interval(secs => %(row_lease)s)
  FROM d WHERE m.id = d.id RETURNING m.*)
SELECT u.id AS message_id, u.connection_id, u.channel, u.send_as, u.sender, u.recipient, a.id AS attempt_id, a.frozen,
       a.absences, extract(epoch FROM clock_timestamp() - a.created_at)::float8 AS age,
       (SELECT count(*) FROM messaging_attempt x WHERE x.message_id = u.id AND x.outcome = 'unknown') AS unknowns
FROM u JOIN messaging_attempt a ON a.message_id = u.id AND a.n = u.attempts
"""

WAIT = """
UPDATE messaging_message m SET due_at = clock_timestamp() + make_interval(secs => v.wait)
FROM unnest(%(id)s::uuid[], %(wait)s::float8[]) AS v(id, wait) WHERE m.id = v.id AND m.state = 3
"""

COUNT_ABSENCE = "UPDATE messaging_attempt SET absences = absences + 1 WHERE id = ANY(%(ids)s)"


@dataclass(frozen=True, slots=True)
class Doubt:
    """One message of unknown outcome, and what can be done about it. `request` None: nothing can be asked now."""

    row: Any
    connection: Connection
    adapter: Adapter
    account: Account | None
    request: HttpRequest | None = field(default=None, repr=False)
    resend: bool = False  # the request is the stored call itself, not a question

    @property
    def deadline_in(self) -> float:
        """Seconds until no report is waited for any more."""
        return float(self.connection.report_deadline.total_seconds() - self.row.age)


@dataclass(frozen=True, slots=True)
class Asked:
    """A doubt and what came back."""

    doubt: Doubt
    answer: HttpResponse | CallFailure


def claim(*, free: int) -> list[Doubt]:
    """Takes up to `free` messages whose outcome should be asked about now."""
    rows = fetch(CLAIM, {"free": free, "row_lease": settings.ROW_LEASE})
    connections = Connection.objects.in_bulk({row.connection_id for row in rows})
    return [_doubt(row, connections[row.connection_id]) for row in rows]


def _doubt(row: Any, connection: Connection) -> Doubt:
    adapter = registry.adapter(connection.vendor)
    try:
        account = connection.account()
        stored = json.loads(open_(row.frozen)) if row.frozen else None
    except SealError:
        return Doubt(row, connection, adapter, None)
    window = adapter.resend_window(account)
    if window and stored and row.age < window.total_seconds() - 2 * settings.CALL_DEADLINE:
        return Doubt(row, connection, adapter, account, exchanges.thawed(stored), resend=True)
    if row.absences >= ABSENCES:  # asked often enough; absence was no proof
        return Doubt(row, connection, adapter, account)
    return Doubt(row, connection, adapter, account, adapter.look_up(str(row.attempt_id), account))


def dial(doubt: Doubt, *, deadline: float) -> Asked:
    """Asks the vendor, or sends the stored bytes again. Touches no database."""
    assert doubt.request is not None
    return Asked(doubt, http.call(doubt.request, deadline=deadline))


def follow_policy(doubts: Sequence[Doubt]) -> None:
    """What becomes of doubts that nothing can be asked about: wait for a report, send once more, or give up."""
    waiting = [doubt for doubt in doubts if _waits(doubt)]
    rulings = [_ruling(doubt) for doubt in doubts if not _waits(doubt)]
    with transaction.atomic():
        evidence.apply(rulings)
        _put_off([(doubt.row.message_id, doubt.deadline_in) for doubt in waiting])


def _sends_once_more(doubt: Doubt) -> bool:
    policy = UnknownPolicy(doubt.connection.unknown_policy)
    return policy is UnknownPolicy.AT_LEAST_ONCE and doubt.row.unknowns < UNKNOWNS


def _waits(doubt: Doubt) -> bool:
    return not _sends_once_more(doubt) and doubt.deadline_in > 0


def _ruling(doubt: Doubt) -> evidence.Ruling:
    if _sends_once_more(doubt):
        return evidence.Ruling(doubt.row.message_id, MessageState.RETRYING, "sent_once_more", "")
    text = "the vendor never told whether it took the message"
    return evidence.Ruling(doubt.row.message_id, MessageState.FAILED, states.UNCERTAIN, text)


def record(asked: Sequence[Asked]) -> None:
    """Writes what the vendors answered, in one transaction; what is still unknown is put off."""
    said: list[evidence.Evidence] = []
    absent: list[UUID] = []
    again: list[tuple[UUID, float]] = []
    for one in asked:
        row = one.doubt.row
        again.append((row.message_id, settings.UNCERTAIN_WAIT if one.doubt.resend else settings.LOOKUP_GAP))
        if one.doubt.resend:
            said.append(evidence.Answer(row.message_id, row.attempt_id, _resent(one)))
            continue
        found = _found(one)
        if found.presence is Presence.ABSENT:
            absent.append(row.attempt_id)
        said += _evidence(one.doubt, found)
    with transaction.atomic():
        exchanges.store([_exchange(one) for one in asked])
        if absent:
            change(COUNT_ABSENCE, {"ids": absent})
        evidence.apply(said)
        _put_off(again)


def _resent(one: Asked) -> SendResult:
    if isinstance(one.answer, CallFailure):
        # Not sent this time says nothing about the first time.
        return SendResult(Outcome.UNKNOWN, code=one.answer.code, text=one.answer.text)
    row = one.doubt.row
    outgoing = Outgoing(
        str(row.attempt_id), str(row.message_id), Channel(row.send_as), row.sender, row.recipient
    )
    try:
        (result,) = one.doubt.adapter.parse([outgoing], one.answer)
    except Exception:
        log.exception("answer could not be read", extra={"vendor": one.doubt.adapter.key})
        return SendResult(Outcome.UNKNOWN, code="unreadable_answer", text=f"HTTP {one.answer.status}")
    if result.outcome in (Outcome.TEMPORARY, Outcome.CONFIGURATION):
        return SendResult(Outcome.UNKNOWN, code=result.code, vendor_code=result.vendor_code, text=result.text)
    return result


def _found(one: Asked) -> Found:
    if isinstance(one.answer, CallFailure):
        return Found(Presence.CANNOT_TELL)
    try:
        return one.doubt.adapter.parse_look_up(str(one.doubt.row.attempt_id), one.answer)
    except Exception:
        log.exception("look-up could not be read", extra={"vendor": one.doubt.adapter.key})
        return Found(Presence.CANNOT_TELL)


def _evidence(doubt: Doubt, found: Found) -> list[evidence.Evidence]:
    row = doubt.row
    if found.presence is Presence.FOUND:
        taken = SendResult(Outcome.TAKEN, vendor_id=found.vendor_id)
        said: list[evidence.Evidence] = [evidence.Answer(row.message_id, row.attempt_id, taken)]
        if found.report:
            said.append(evidence.Word(row.message_id, row.attempt_id, found.report, None))
        return said
    proved = row.absences + 1 >= ABSENCES and doubt.adapter.absence_is_proof
    if found.presence is Presence.ABSENT and proved:
        text = "looked up twice: the vendor never took it"
        absent = SendResult(Outcome.TEMPORARY, code=PROVED_ABSENT, text=text)
        return [evidence.Answer(row.message_id, row.attempt_id, absent)]
    return []


def _exchange(one: Asked) -> exchanges.Exchange:
    assert one.doubt.request is not None and one.doubt.account is not None
    return exchanges.exchange(
        RawKind.CALL if one.doubt.resend else RawKind.LOOKUP,
        one.doubt.request,
        one.answer,
        secrets=[str(secret) for secret in one.doubt.account.secrets.values()],
        connection_id=one.doubt.connection.pk,
        owners=[one.doubt.row.attempt_id],
    )


def _put_off(waits: Sequence[tuple[UUID, float]]) -> None:
    if waits:
        change(WAIT, {"id": [id_ for id_, _ in waits], "wait": [wait for _, wait in waits]})
