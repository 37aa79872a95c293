"""Unknown outcomes: ask, send the same bytes again, wait for a report, or follow the policy (ADR 6)."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.crypto import SealError, open_
from messaging.dialling import exchanges
from messaging.evidence import weighing
from messaging.models import ProviderAccount
from messaging.models.statement import change, fetch
from messaging.rules import states
from messaging.rules.values import ExchangeKind, MessageState, UnknownPolicy
from messaging.sending import answers, calls
from outbound.values import CallFailure, HttpRequest, HttpResponse
from vendors import registry
from vendors.base import Adapter
from vendors.values import Channel, Credentials, Found, Outcome, Outgoing, Presence, SendResult, Sent

log = logging.getLogger(__name__)

ABSENCES = 2  # look-ups that must find nothing, LOOKUP_GAP apart
ASK_FIRST = 10  # gaps between look-ups after which the stored bytes are sent again, where that is safe
UNKNOWNS = 2  # unknown attempts that at_least_once allows

# The due time moves on as it is claimed: that is the lease of whoever asks.
CLAIM = """
WITH d AS (
  SELECT id FROM messaging_message WHERE state = 3 AND due_at <= clock_timestamp()
  ORDER BY due_at LIMIT %(free)s FOR NO KEY UPDATE SKIP LOCKED),
u AS (
  UPDATE messaging_message m SET due_at = clock_timestamp() + make_interval(secs => %(row_lease)s)
  FROM d WHERE m.id = d.id RETURNING m.*)
SELECT u.id AS message_id, u.account_id, u.channel, u.send_as, u.recipient,
       a.id AS attempt_id, a.created_at AS sent_at, a.frozen, a.dialled, a.code,
       coalesce(nullif(a.sender, ''), u.sender) AS sender,
       l.paused_at IS NOT NULL OR l.open_until > clock_timestamp() AS is_held,
       a.absences, extract(epoch FROM clock_timestamp() - a.created_at)::float8 AS age,
       (SELECT count(*) FROM messaging_attempt x WHERE x.message_id = u.id AND x.outcome = 'unknown') AS unknowns
FROM u JOIN messaging_attempt a ON a.message_id = u.id AND a.n = u.attempts JOIN messaging_queue l ON l.id = u.queue_id
"""

WAIT = """
UPDATE messaging_message m SET due_at = clock_timestamp() + make_interval(secs => v.wait)
FROM unnest(%(id)s::uuid[], %(wait)s::float8[]) AS v(id, wait) WHERE m.id = v.id AND m.state = 3
"""

COUNT_ABSENCE = "UPDATE messaging_attempt SET absences = absences + 1 WHERE id = ANY(%(ids)s)"


@dataclass(frozen=True, slots=True)
class UnknownOutcome:
    """One message of unknown outcome, and what can be done about it. `request` None: there is nothing to ask."""

    row: Any
    account: ProviderAccount
    adapter: Adapter | None = None
    credentials: Credentials | None = None
    request: HttpRequest | None = field(default=None, repr=False)
    resend: bool = False  # the request is the stored call itself, not a question
    blocked: bool = False  # cannot be asked now, but once an operator has repaired something
    undialled: bool = False  # no byte was sent: there is no doubt

    @property
    def deadline_in(self) -> float:
        """Seconds until no report is waited for any more."""
        return float(self.account.report_deadline.total_seconds() - self.row.age)


@dataclass(frozen=True, slots=True)
class LookedUp:
    """A doubt and what came back."""

    unknown: UnknownOutcome
    answer: HttpResponse | CallFailure


def claim(*, free: int) -> list[UnknownOutcome]:
    """Takes up to `free` messages whose outcome should be asked about now."""
    rows = fetch(CLAIM, {"free": free, "row_lease": settings.ROW_LEASE})
    accounts = ProviderAccount.objects.in_bulk({row.account_id for row in rows})
    return [_unknown(row, accounts[row.account_id]) for row in rows]


def _unknown(row: Any, account: ProviderAccount) -> UnknownOutcome:
    if row.dialled is False:
        return UnknownOutcome(row, account, undialled=True)
    if row.is_held:  # nobody calls a vendor whose queue stands still, not even to ask
        return UnknownOutcome(row, account, blocked=True)
    try:
        adapter = registry.adapter(account.vendor)
        credentials = account.credentials()
        stored = json.loads(open_(row.frozen)) if row.frozen else None
    except (SealError, registry.UnknownVendor) as error:
        log.error(
            "unknown outcome cannot be asked about", extra={"vendor": account.vendor, "why": str(error)}
        )
        return UnknownOutcome(row, account, blocked=True)
    try:
        window = adapter.resend_window(credentials)
        if window and _stored_nothing(row, account):
            return UnknownOutcome(row, account, undialled=True)
        resend = bool(window and stored and row.age < window.total_seconds() - 2 * settings.CALL_DEADLINE)
        # Asking changes nothing, so it comes first; but an answer that never tells must not use up the window.
        asked = row.absences >= ABSENCES or (resend and row.age > ASK_FIRST * settings.LOOKUP_GAP)
        question = None if asked else adapter.look_up(_sent(row), credentials)
        if question is None and resend and stored:
            return UnknownOutcome(row, account, adapter, credentials, exchanges.thawed(stored), resend=True)
        return UnknownOutcome(row, account, adapter, credentials, question)
    except Exception:  # an adapter's bug must not keep the other unknowns from being asked about
        log.exception("look-up could not be built", extra={"vendor": account.vendor})
        return UnknownOutcome(row, account, adapter, credentials, blocked=True)


def _stored_nothing(row: Any, account: ProviderAccount) -> bool:
    """Whether a lost call had not even stored its bytes, which its account does before it sends one.

    Only of calls by an older version, which left no mark, and only while the account is what it was then.
    """
    lost = row.dialled is None and row.code == states.WORKER_LOST and not row.frozen
    return lost and account.updated_at < row.sent_at


def _sent(row: Any) -> Sent:
    return Sent(str(row.attempt_id), "", Channel(row.send_as), row.recipient, row.sent_at)


def dial(unknown: UnknownOutcome, *, deadline: float) -> LookedUp:
    """Asks the vendor, or sends the stored bytes again. Touches no database."""
    assert unknown.request is not None
    adapter, credentials = _reader(unknown)
    return LookedUp(unknown, calls.call(adapter, credentials, unknown.request, deadline=deadline))


def follow_policy(unknowns: Sequence[UnknownOutcome]) -> None:
    """What becomes of unknowns that nothing can be asked about: wait for a report, send once more, or give up.

    What was never sent is no doubt at all, and is retried.
    """
    waiting = [unknown for unknown in unknowns if _waits(unknown)]
    verdicts = [_verdict(unknown) for unknown in unknowns if not _waits(unknown)]
    with transaction.atomic():
        weighing.apply(verdicts)
        _put_off([(unknown.row.message_id, _patience(unknown)) for unknown in waiting])


def _patience(unknown: UnknownOutcome) -> float:
    return min(unknown.deadline_in, settings.LOOKUP_GAP) if unknown.blocked else unknown.deadline_in


def _sends_once_more(unknown: UnknownOutcome) -> bool:
    policy = UnknownPolicy(unknown.account.unknown_policy)
    return policy is UnknownPolicy.AT_LEAST_ONCE and unknown.row.unknowns < UNKNOWNS


def _waits(unknown: UnknownOutcome) -> bool:
    return (
        not unknown.undialled
        and unknown.deadline_in > 0
        and (unknown.blocked or not _sends_once_more(unknown))
    )


def _verdict(unknown: UnknownOutcome) -> weighing.Evidence:
    return _never_sent(unknown) if unknown.undialled else _decision(unknown)


def _never_sent(unknown: UnknownOutcome) -> weighing.AnswerEvidence:
    result = SendResult(Outcome.NOT_DIALLED, code=states.WORKER_LOST, text="cut off before it was dialled")
    return weighing.AnswerEvidence(unknown.row.message_id, unknown.row.attempt_id, result)


def _decision(unknown: UnknownOutcome) -> weighing.Decision:
    row = unknown.row
    if _sends_once_more(unknown):
        return weighing.Decision(
            row.message_id, MessageState.RETRYING, "sent_once_more", "", about=row.attempt_id
        )
    text = "the vendor never told whether it took the message"
    return weighing.Decision(
        row.message_id, MessageState.FAILED, states.UNKNOWN_OUTCOME, text, about=row.attempt_id
    )


def record(asked: Sequence[LookedUp]) -> None:
    """Writes what the vendors answered, in one transaction; what is still unknown is put off, or over."""
    said: list[weighing.Evidence] = []
    absent: list[UUID] = []
    again: list[tuple[UUID, float]] = []
    for one in asked:
        row = one.unknown.row
        again.append(
            (row.message_id, settings.UNKNOWN_OUTCOME_WAIT if one.unknown.resend else settings.LOOKUP_GAP)
        )
        if one.unknown.resend:
            said.append(weighing.AnswerEvidence(row.message_id, row.attempt_id, _resent(one)))
            is_absent = False
        else:
            found = answers.read_look_up(*_reader(one.unknown), _sent(row), one.answer)
            is_absent = found.presence is Presence.ABSENT
            said += _evidence(one.unknown, found)
        if is_absent:
            absent.append(row.attempt_id)
        elif one.unknown.deadline_in <= 0:  # void when the answer has just removed the doubt
            said.append(_decision(one.unknown))
    with transaction.atomic():
        exchanges.store([_exchange(one) for one in asked])
        if absent:
            change(COUNT_ABSENCE, {"ids": absent})
        weighing.apply(said)
        _put_off(again)


def _reader(unknown: UnknownOutcome) -> tuple[Adapter, Credentials]:
    assert unknown.adapter is not None and unknown.credentials is not None
    return unknown.adapter, unknown.credentials


def _resent(one: LookedUp) -> SendResult:
    """Not taken, this time, says nothing about the first time, unless it is refused for good."""
    row = one.unknown.row
    outgoing = Outgoing(
        str(row.attempt_id), str(row.message_id), Channel(row.send_as), row.sender, row.recipient
    )
    (result,) = answers.read_send(*_reader(one.unknown), [outgoing], one.answer)
    if result.outcome in (Outcome.TAKEN, Outcome.PERMANENT):
        return result
    return replace(result, outcome=Outcome.UNKNOWN)


def _evidence(unknown: UnknownOutcome, found: Found) -> list[weighing.Evidence]:
    row = unknown.row
    if found.presence is Presence.FOUND:
        taken = SendResult(Outcome.TAKEN, vendor_id=found.vendor_id)
        said: list[weighing.Evidence] = [weighing.AnswerEvidence(row.message_id, row.attempt_id, taken)]
        if found.report:
            said.append(weighing.ReportEvidence(row.message_id, row.attempt_id, found.report, None))
        return said
    proved = row.absences + 1 >= ABSENCES and _reader(unknown)[0].absence_is_proof
    if found.presence is Presence.ABSENT and proved:
        text = "looked up twice: the vendor never took it"
        absent = SendResult(Outcome.TEMPORARY, code=states.PROVED_ABSENT, text=text)
        return [weighing.AnswerEvidence(row.message_id, row.attempt_id, absent)]
    return []


def _exchange(one: LookedUp) -> exchanges.RecordedExchange:
    assert one.unknown.request is not None and one.unknown.credentials is not None
    return exchanges.exchange(
        ExchangeKind.CALL if one.unknown.resend else ExchangeKind.LOOKUP,
        one.unknown.request,
        one.answer,
        secrets=[str(secret) for secret in one.unknown.credentials.secrets.values()],
        account_id=one.unknown.account.pk,
        owners=[one.unknown.row.attempt_id],
    )


def _put_off(waits: Sequence[tuple[UUID, float]]) -> None:
    if waits:
        change(WAIT, {"id": [id_ for id_, _ in waits], "wait": [wait for _, wait in waits]})
