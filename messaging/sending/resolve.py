"""Unknown outcomes: ask, send the same bytes again, wait for a report, or follow the policy (ADR 6)."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.crypto import SealError, open_
from messaging.dialling import exchanges
from messaging.dialling.work import DueName, PoolName
from messaging.evidence import weighing
from messaging.models import ProviderAccount
from messaging.models.sql import change, fetch, sql
from messaging.rules import states
from messaging.rules.values import MessageState, UnknownPolicy
from messaging.sending.conversation import CannotBuild, CannotOpen, Conversation, Heard, VendorCall
from outbound.values import HttpRequest
from vendors.values import Channel, Found, Outcome, Outgoing, Presence, SendResult, Sent

log = logging.getLogger(__name__)

ABSENCES = 2  # look-ups that must find nothing, LOOKUP_GAP apart
ASK_FIRST = 10  # gaps between look-ups after which the stored bytes are sent again, where that is safe
UNKNOWNS = 2  # unknown attempts that at_least_once allows

# The due time moves on as it is claimed: that is the lease of whoever asks.
CLAIM = sql("""
WITH due AS (
  SELECT id FROM messaging_message WHERE state = {MessageState.UNKNOWN_OUTCOME} AND due_at <= clock_timestamp()
  ORDER BY due_at LIMIT %(free)s FOR NO KEY UPDATE SKIP LOCKED),
taken AS (
  UPDATE messaging_message message SET due_at = clock_timestamp() + make_interval(secs => %(row_lease)s)
  FROM due WHERE message.id = due.id RETURNING message.*)
SELECT taken.id AS message_id, taken.account_id, taken.send_as, taken.recipient,
       attempt.id AS attempt_id, attempt.created_at AS sent_at, attempt.frozen, attempt.dialled, attempt.code,
       coalesce(nullif(attempt.sender, ''), taken.sender) AS sender, {queue_is_held} AS is_held,
       attempt.absences, extract(epoch FROM clock_timestamp() - attempt.created_at)::float8 AS age,
       (SELECT count(*) FROM messaging_attempt earlier
        WHERE earlier.message_id = taken.id AND earlier.outcome = {Outcome.UNKNOWN}) AS unknowns
FROM taken JOIN messaging_attempt attempt ON attempt.message_id = taken.id AND attempt.n = taken.attempts
JOIN messaging_queue queue ON queue.id = taken.queue_id
""")

WAIT = sql("""
UPDATE messaging_message message SET due_at = clock_timestamp() + make_interval(secs => given.wait)
FROM unnest(%(id)s::uuid[], %(wait)s::float8[]) AS given(id, wait)
WHERE message.id = given.id AND message.state = {MessageState.UNKNOWN_OUTCOME}
""")

COUNT_ABSENCE = "UPDATE messaging_attempt SET absences = absences + 1 WHERE id = ANY(%(ids)s)"


@dataclass(frozen=True, slots=True)
class UnknownRow:
    """A claimed message of unknown outcome, and its last attempt."""

    message_id: UUID
    account_id: int
    send_as: str
    recipient: str
    attempt_id: UUID
    sent_at: datetime
    frozen: str  # the sealed bytes that may be sent again; empty: none
    dialled: bool | None  # None: by an older version, which left no mark
    code: str
    sender: str
    is_held: bool  # its queue is paused, or the circuit is open
    absences: int  # look-ups that found nothing
    age: float  # seconds since the attempt
    unknowns: int  # attempts of unknown outcome

    @property
    def sent(self) -> Sent:
        """The attempt, as a vendor is asked about it."""
        return Sent(str(self.attempt_id), "", Channel(self.send_as), self.recipient, self.sent_at)

    @property
    def outgoing(self) -> Outgoing:
        """The attempt, for reading the answer to its bytes. The text is in the bytes alone."""
        return Outgoing(
            str(self.attempt_id), str(self.message_id), Channel(self.send_as), self.sender, self.recipient
        )


@dataclass(frozen=True, slots=True)
class UnknownOutcome:
    """One message of unknown outcome, and what can be done about it."""

    row: UnknownRow
    account: ProviderAccount
    # A question, or the stored bytes themselves; None: there is nothing to dial.
    call: VendorCall[Found] | VendorCall[tuple[SendResult, ...]] | None = None
    blocked: bool = False  # cannot be asked now, but once an operator has repaired something
    undialled: bool = False  # no byte was sent, so its outcome is known

    @property
    def deadline_in(self) -> float:
        """Seconds until no report is waited for any more."""
        return float(self.account.report_deadline.total_seconds() - self.row.age)


@dataclass(frozen=True, slots=True)
class Asked:
    """An unknown outcome, and the answer to the question, or to the bytes that were sent again."""

    unknown: UnknownOutcome
    heard: Heard[Found] | Heard[tuple[SendResult, ...]]


class Resolving:
    """Unknown outcomes that should be asked about, for a pump (dialling/work.py)."""

    due: ClassVar[DueName] = "unknowns"
    pool: ClassVar[PoolName] = "vendors"
    singly: ClassVar[bool] = False

    def claim(self, free: int) -> list[UnknownOutcome]:
        """What cannot be asked about follows the policy at once."""
        unknowns = claim(free=free)
        follow_policy([unknown for unknown in unknowns if unknown.call is None])
        return [unknown for unknown in unknowns if unknown.call is not None]

    def dial(self, item: UnknownOutcome, *, deadline: float) -> Asked:
        """Asks the vendor, or sends the stored bytes again."""
        assert item.call is not None
        return Asked(item, item.call.dial(deadline=deadline))

    def record(self, finished: Sequence[Asked]) -> None:
        """What is still unknown is put off, or over."""
        told: list[weighing.Evidence] = []
        absent: list[UUID] = []
        again: list[tuple[UUID, float]] = []
        for one in finished:
            row, result = one.unknown.row, one.heard.result
            if isinstance(result, Found):
                told += _found(one.unknown, result)
                again.append((row.message_id, settings.LOOKUP_GAP))
            else:
                told += _sent_again(one.unknown, result)
                again.append((row.message_id, settings.UNKNOWN_OUTCOME_WAIT))
            if isinstance(result, Found) and result.presence is Presence.ABSENT:
                absent.append(row.attempt_id)
            elif one.unknown.deadline_in <= 0:  # has no effect where the answer just told the outcome
                told.append(_decision(one.unknown))
        with transaction.atomic():
            exchanges.store([one.heard.exchange for one in finished])
            if absent:
                change(COUNT_ABSENCE, {"ids": absent})
            weighing.apply(told)
            _put_off(again)

    def give_back(self) -> None:
        """Nothing to do: the due time that the claim moved on comes by itself."""


def claim(*, free: int) -> list[UnknownOutcome]:
    """Takes up to `free` messages whose outcome should be asked about now."""
    rows = fetch(CLAIM, {"free": free, "row_lease": settings.ROW_LEASE}, row=UnknownRow)
    accounts = ProviderAccount.objects.in_bulk({row.account_id for row in rows})
    return [_unknown(row, accounts[row.account_id]) for row in rows]


def _unknown(row: UnknownRow, account: ProviderAccount) -> UnknownOutcome:
    if row.dialled is False:
        return UnknownOutcome(row, account, undialled=True)
    if row.is_held:  # nobody calls a vendor whose queue stands still, not even to ask
        return UnknownOutcome(row, account, blocked=True)
    try:
        talk = Conversation.open(account)
        stored = exchanges.thawed(json.loads(open_(row.frozen))) if row.frozen else None
    except (CannotOpen, SealError) as error:
        log.error(
            "unknown outcome cannot be asked about", extra={"vendor": account.vendor, "why": str(error)}
        )
        return UnknownOutcome(row, account, blocked=True)
    try:
        return _open_unknown(row, talk, stored)
    except CannotBuild:  # an adapter's bug must not keep the other unknowns from being asked about
        return UnknownOutcome(row, account, blocked=True)


def _open_unknown(row: UnknownRow, talk: Conversation, stored: HttpRequest | None) -> UnknownOutcome:
    """What can be done about an outcome of an account that works. Raises CannotBuild."""
    window = talk.repeat_window()
    if window and _stored_nothing(row, talk.account):
        return UnknownOutcome(row, talk.account, undialled=True)
    may_resend = bool(window and stored and row.age < window.total_seconds() - 2 * settings.CALL_DEADLINE)
    # Asking changes nothing, so it comes first; but an answer that never tells must not use up the window.
    asked = row.absences >= ABSENCES or (may_resend and row.age > ASK_FIRST * settings.LOOKUP_GAP)
    question = None if asked else talk.look_up(row.sent, row.attempt_id)
    if question is None and may_resend and stored:
        return UnknownOutcome(row, talk.account, talk.send_again(stored, [row.outgoing], [row.attempt_id]))
    return UnknownOutcome(row, talk.account, question)


def _stored_nothing(row: UnknownRow, account: ProviderAccount) -> bool:
    """Whether a lost call had not even stored its bytes, which its account does before it sends one.

    Only of calls by an older version, which left no mark, and only while the account is what it was then.
    """
    lost = row.dialled is None and row.code == states.WORKER_LOST and not row.frozen
    return lost and account.updated_at < row.sent_at


def follow_policy(unknowns: Sequence[UnknownOutcome]) -> None:
    """What becomes of unknowns that nothing can be asked about: wait for a report, send once more, or give up.

    What was never sent is retried.
    """
    waiting = [unknown for unknown in unknowns if _waits(unknown)]
    evidence = [_without_asking(unknown) for unknown in unknowns if not _waits(unknown)]
    with transaction.atomic():
        weighing.apply(evidence)
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


def _without_asking(unknown: UnknownOutcome) -> weighing.Evidence:
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


def _sent_again(unknown: UnknownOutcome, results: Sequence[SendResult]) -> list[weighing.Evidence]:
    """Not taken, this time, says nothing about the first time, unless it is refused for good."""
    (result,) = results
    if result.outcome not in (Outcome.TAKEN, Outcome.PERMANENT):
        result = replace(result, outcome=Outcome.UNKNOWN)
    return [weighing.AnswerEvidence(unknown.row.message_id, unknown.row.attempt_id, result)]


def _found(unknown: UnknownOutcome, found: Found) -> list[weighing.Evidence]:
    row = unknown.row
    if found.presence is Presence.FOUND:
        taken = SendResult(Outcome.TAKEN, vendor_id=found.vendor_id)
        told: list[weighing.Evidence] = [weighing.AnswerEvidence(row.message_id, row.attempt_id, taken)]
        if found.report:
            told.append(weighing.ReportEvidence(row.message_id, row.attempt_id, found.report, None))
        return told
    if found.presence is Presence.ABSENT and row.absences + 1 >= ABSENCES and _absence_is_proof(unknown):
        text = "looked up twice: the vendor never took it"
        absent = SendResult(Outcome.TEMPORARY, code=states.PROVED_ABSENT, text=text)
        return [weighing.AnswerEvidence(row.message_id, row.attempt_id, absent)]
    return []


def _absence_is_proof(unknown: UnknownOutcome) -> bool:
    assert unknown.call is not None
    return unknown.call.conversation.adapter.absence_is_proof


def _put_off(waits: Sequence[tuple[UUID, float]]) -> None:
    if waits:
        change(WAIT, {"id": [id_ for id_, _ in waits], "wait": [wait for _, wait in waits]})
