"""Claimed messages on their way to the vendors: build, dial, record (architecture "Claim, call, record")."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction

from accounts.crypto import seal
from messaging.dialling import exchanges
from messaging.dialling.work import DueName, PoolName
from messaging.evidence import weighing
from messaging.models import ProviderAccount
from messaging.models.sql import column
from messaging.queues import circuit
from messaging.sending import claims
from messaging.sending.claims import Claimed
from messaging.sending.conversation import CannotBuild, CannotOpen, Conversation, VendorCall
from outbound.values import HttpRequest
from vendors.limits import Payload, objection
from vendors.values import Channel, Outcome, SendResult

# The condition stands on the attempt itself: a sweep that takes the message back ends the attempt, and who waited for
# that lock sees it. So an attempt is either dialled or handed back, never both.
ABOUT_TO_DIAL = """
UPDATE messaging_attempt attempt SET dialled = true, frozen = given.frozen
FROM unnest(%(id)s::uuid[], %(frozen)s::text[]) AS given(id, frozen)
WHERE attempt.id = given.id AND attempt.outcome IS NULL RETURNING attempt.id
"""
LATE = SendResult(Outcome.NOT_DIALLED, code="too_late", text="the claim was too old to dial")


# Our codes for SMS that an account can never carry, by the field at fault; an MMS is `mms_unsupported`.
UNFIT = {"text": "content_refused", "from": "invalid_sender", "media": "media_refused"}


@dataclass(frozen=True, slots=True)
class OutgoingBatch:
    """Messages that go to a vendor in one call. `results` is set when there is nothing to dial."""

    batch: tuple[Claimed, ...]
    call: VendorCall[tuple[SendResult, ...]] | None = None
    results: tuple[SendResult, ...] = ()

    @property
    def request(self) -> HttpRequest | None:
        """None: there is nothing to dial."""
        return self.call.request if self.call else None


@dataclass(frozen=True, slots=True)
class Dialled:
    """A call that is over, however it went."""

    call: OutgoingBatch
    results: tuple[SendResult, ...]
    exchange: exchanges.RecordedExchange | None = None
    status: int = 0  # of the HTTP answer; 0: there was none


def prepare(claimed: Sequence[Claimed]) -> list[OutgoingBatch]:
    """Builds the calls, and writes down that they are about to be dialled: the caller dials them at once.

    A call that cannot be built, or whose message was taken back meanwhile, carries its results instead of a request.
    """
    by_account: defaultdict[int, list[Claimed]] = defaultdict(list)
    for item in claimed:
        by_account[item.account_id].append(item)
    accounts = ProviderAccount.objects.select_related("tenant").in_bulk(by_account)
    calls = [call for account_id, items in by_account.items() for call in _calls(accounts[account_id], items)]
    return _about_to_dial(calls)


def _calls(account: ProviderAccount, items: Sequence[Claimed]) -> Iterable[OutgoingBatch]:
    try:
        talk = Conversation.open(account)
    except CannotOpen as error:  # an operator can repair it: the messages wait
        refused = SendResult(
            Outcome.CONFIGURATION, code="credentials_refused", text=str(error), route_fault=True
        )
        yield OutgoingBatch(tuple(items), results=(refused,) * len(items))
        return
    fitting = []
    for item in items:
        if result := _unfit(talk, item):
            yield OutgoingBatch((item,), results=(result,))
        else:
            fitting.append(item)
    for batch in _batches(fitting, talk.adapter.batch_size):
        call = _build(talk, batch)
        if call.results and len(batch) > 1:  # one message that cannot be built must not take the others along
            yield from (_build(talk, (item,)) for item in batch)
        else:
            yield call


def _unfit(talk: Conversation, item: Claimed) -> SendResult | None:
    """Why the account can never carry the message, known without a call; None: nothing speaks against it."""
    message = item.outgoing
    content = Payload(message.text, len(message.media) if message.channel is Channel.MMS else 0)
    known = talk.adapter.limits(message.channel, talk.credentials.settings)
    wrong = objection(known, sender=message.sender, content=content)
    if wrong is None:
        return None
    is_mms = message.channel is Channel.MMS
    code = "mms_unsupported" if is_mms else UNFIT[wrong.field]
    return SendResult(Outcome.PERMANENT, code=code, text=str(wrong), mms_unsupported=is_mms, route_fault=True)


def _batches(items: Sequence[Claimed], size: int) -> Iterable[tuple[Claimed, ...]]:
    """What one call may carry: no vendor takes SMS and MMS together."""
    for channel in Channel:
        alike = [item for item in items if item.outgoing.channel is channel]
        yield from (tuple(alike[start : start + size]) for start in range(0, len(alike), size))


def _build(talk: Conversation, batch: tuple[Claimed, ...]) -> OutgoingBatch:
    try:
        outgoing = [item.outgoing for item in batch]
        return OutgoingBatch(batch, talk.send(outgoing, [item.attempt_id for item in batch]))
    except CannotBuild as error:  # nothing was sent
        # Another account, or the fallback text of an MMS, may do.
        failed = SendResult(
            Outcome.PERMANENT,
            code="build_error",
            text=f"the request could not be built ({error})",
            mms_unsupported=batch[0].outgoing.channel is Channel.MMS,
            route_fault=True,
        )
        return OutgoingBatch(batch, results=(failed,) * len(batch))


def _about_to_dial(calls: Sequence[OutgoingBatch]) -> list[OutgoingBatch]:
    """Marks the attempts and stores the bytes that may be sent again, before a byte is sent: in one statement.

    An attempt without the mark was surely not sent, whatever became of its process.
    """
    frozen = {id_: text for one in calls if one.call for id_, text in _frozen(one.batch, one.call)}
    if not frozen:
        return list(calls)
    ours = set(column(ABOUT_TO_DIAL, {"id": list(frozen), "frozen": list(frozen.values())}, of=UUID))
    return [one if _is_ours(one, ours) else replace(one, call=None, results=_late(one)) for one in calls]


def _frozen(batch: Sequence[Claimed], call: VendorCall[tuple[SendResult, ...]]) -> Iterable[tuple[UUID, str]]:
    """Per attempt the bytes that may be sent again; none where a second time would not be recognised."""
    talk = call.conversation
    may_be_repeated = talk.repeat_window()
    for item in batch:
        if not may_be_repeated:
            yield item.attempt_id, ""
            continue
        # Alone, even if it goes out in a batch: it may be sent again alone.
        alone = call if len(batch) == 1 else talk.send([item.outgoing])
        yield item.attempt_id, seal(json.dumps(exchanges.frozen(alone.request)))


def _is_ours(one: OutgoingBatch, ours: set[UUID]) -> bool:
    return one.call is None or all(item.attempt_id in ours for item in one.batch)


def _late(one: OutgoingBatch) -> tuple[SendResult, ...]:
    return (LATE,) * len(one.batch)


def dial(one: OutgoingBatch, *, deadline: float) -> Dialled:
    """Makes the call. Touches no database, raises nothing: whatever goes wrong is a result."""
    if one.call is None:
        return Dialled(one, one.results)
    claimed_at = min(item.claimed_at for item in one.batch)
    if time.monotonic() - claimed_at > settings.ROW_LEASE - deadline - settings.DIAL_MARGIN:
        # The lease may run out before the answer comes: somebody else would call it lost (architecture "Evidence").
        return Dialled(one, _late(one))
    heard = one.call.dial(deadline=deadline)
    return Dialled(one, heard.result, heard.exchange, heard.status)


def record(dialled: Sequence[Dialled]) -> None:
    """Writes what the calls said: exchanges, attempts, messages, events and queues, in one transaction."""
    late = [one for one in dialled if one.results[0].outcome is Outcome.NOT_DIALLED]
    answered = [one for one in dialled if one.results[0].outcome is not Outcome.NOT_DIALLED]
    with transaction.atomic():
        exchanges.store([one.exchange for one in answered if one.exchange])
        claims.give_back([item for one in late for item in one.call.batch])
        # The late ones too: who was called lost meanwhile is known to be undialled.
        weighing.apply(
            [
                weighing.AnswerEvidence(item.message_id, item.attempt_id, result)
                for one in (*answered, *late)
                for item, result in zip(one.call.batch, one.results, strict=True)
            ]
        )
        _note_queues(answered)


def _note_queues(answered: Sequence[Dialled]) -> None:
    notes: defaultdict[int, list[circuit.Note]] = defaultdict(list)
    for one in answered:
        for item, result in zip(one.call.batch, one.results, strict=True):
            if result.outcome is Outcome.CONFIGURATION:
                circuit.pause(item.queue_id, why=result.text or "the vendor refuses the credentials")
            elif one.exchange is not None:  # else the vendor was not asked
                notes[item.queue_id].append(_note(one, item, result))
    circuit.note(notes)


def _note(one: Dialled, item: Claimed, result: SendResult) -> circuit.Note:
    """One call is one piece of evidence, however many messages went along."""
    blame = circuit.blame(one.status)
    first = one.call.batch[0]
    if blame is circuit.Blame.MESSAGE:  # several recipients, or senders, must have met it
        witness = circuit.witness(first.outgoing.sender, first.outgoing.recipient)
    else:
        witness = circuit.witness(first.message_id)
    words = f"HTTP {one.status}" if one.status else ""
    text = ": ".join(part for part in (words, result.text) if part) or result.code
    return circuit.Note(ok=_destination_works(result), blame=blame, witness=witness, text=text)


def _destination_works(result: SendResult) -> bool:
    """Taking a message and refusing this one message both show a destination that works."""
    return result.outcome in (Outcome.TAKEN, Outcome.PERMANENT)


class Take(Protocol):
    """How messages are claimed."""

    def __call__(self, *, free: int, lease: UUID) -> list[Claimed]: ...


class Sending:
    """Messages that are due, for a pump (dialling/work.py)."""

    due: ClassVar[DueName] = "messages"
    pool: ClassVar[PoolName] = "vendors"
    singly: ClassVar[bool] = True

    def __init__(self, take: Take | None = None) -> None:
        self._take = take
        self._lease: UUID | None = None  # of a claim whose answer has not come, or whose calls are not built

    def claim(self, free: int) -> list[OutgoingBatch]:
        """Takes up to `free` messages; their calls are built and marked as about to be dialled."""
        self._lease = lease = uuid4()
        claimed = (self._take or claims.claim)(free=free, lease=lease)
        calls = prepare(claimed) if claimed else []
        self._lease = None
        return calls

    def dial(self, item: OutgoingBatch, *, deadline: float) -> Dialled:
        """Makes the call."""
        return dial(item, deadline=deadline)

    def record(self, finished: Sequence[Dialled]) -> None:
        """Writes what the calls said."""
        record(finished)

    def give_back(self) -> None:
        """What was claimed and surely not dialled is due again."""
        if self._lease is not None:
            claims.give_back_lease(self._lease)
            self._lease = None
