"""Call and record: claimed messages on their way to the vendors (architecture "Claim, call, record")."""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.crypto import SealError, seal
from messaging.dialling import exchanges
from messaging.evidence import weighing
from messaging.models import ProviderAccount
from messaging.models.statement import fetch
from messaging.queues import circuit
from messaging.rules.values import ExchangeKind
from messaging.sending import answers, calls, claims
from messaging.sending.claims import Claimed
from outbound.values import CallFailure, HttpRequest, HttpResponse
from vendors import registry
from vendors.base import Adapter
from vendors.limits import Payload, objection
from vendors.values import Channel, Credentials, Outcome, SendResult

log = logging.getLogger(__name__)

# The condition stands on the attempt itself: a sweep that takes the message back ends the attempt, and who waited for
# that lock sees it. So an attempt is either dialled or handed back, never both.
ABOUT_TO_DIAL = """
UPDATE messaging_attempt a SET dialled = true, frozen = v.frozen
FROM unnest(%(id)s::uuid[], %(frozen)s::text[]) AS v(id, frozen) WHERE a.id = v.id AND a.outcome IS NULL RETURNING a.id
"""
LATE = SendResult(Outcome.NOT_DIALLED, code="too_late", text="the claim was too old to dial")


# Our codes for SMS that an account can never carry, by the field at fault; an MMS is `mms_unsupported`.
UNFIT = {"text": "content_refused", "from": "invalid_sender", "media": "media_refused"}


@dataclass(frozen=True, slots=True)
class VendorCall:
    """One call to a vendor, ready to be dialled. `results` is set when there is nothing to dial."""

    account: ProviderAccount
    adapter: Adapter | None  # None: there is nothing to dial
    batch: tuple[Claimed, ...]
    credentials: Credentials | None = None
    request: HttpRequest | None = field(default=None, repr=False)
    results: tuple[SendResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Dialled:
    """A call that is over, however it went."""

    call: VendorCall
    results: tuple[SendResult, ...]
    exchange: exchanges.RecordedExchange | None = None
    status: int = 0  # of the HTTP answer; 0: there was none


def prepare(claimed: Sequence[Claimed]) -> list[VendorCall]:
    """Builds the calls, and writes down that they are about to be dialled: the caller dials them at once.

    A call that cannot be built, or whose message was taken back meanwhile, carries its results instead of a request.
    """
    by_account: defaultdict[int, list[Claimed]] = defaultdict(list)
    for item in claimed:
        by_account[item.account_id].append(item)
    accounts = ProviderAccount.objects.select_related("tenant").in_bulk(by_account)
    calls = [call for account_id, items in by_account.items() for call in _calls(accounts[account_id], items)]
    return _about_to_dial(calls)


def _calls(account: ProviderAccount, items: Sequence[Claimed]) -> Iterable[VendorCall]:
    try:
        adapter = registry.adapter(account.vendor)
        credentials = account.credentials()
    except (SealError, registry.UnknownVendor) as error:  # an operator can repair both: the messages wait
        refused = SendResult(
            Outcome.CONFIGURATION, code="credentials_refused", text=str(error), route_fault=True
        )
        yield VendorCall(account, None, tuple(items), results=(refused,) * len(items))
        return
    unfit = {item.attempt_id: result for item in items if (result := _unfit(adapter, credentials, item))}
    for item in items:
        if result := unfit.get(item.attempt_id):
            yield VendorCall(account, adapter, (item,), credentials, results=(result,))
    fitting = [item for item in items if item.attempt_id not in unfit]
    for batch in _batches(fitting, adapter.batch_size):
        call = _build(account, adapter, batch, credentials)
        if call.results and len(batch) > 1:  # one message that cannot be built must not take the others along
            yield from (_build(account, adapter, (item,), credentials) for item in batch)
        else:
            yield call


def _unfit(adapter: Adapter, credentials: Credentials, item: Claimed) -> SendResult | None:
    """Why the account can never carry the message, known without a call; None: nothing speaks against it."""
    message = item.outgoing
    content = Payload(message.text, len(message.media) if message.channel is Channel.MMS else 0)
    known = adapter.limits(message.channel, credentials.settings)
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


def _build(
    account: ProviderAccount, adapter: Adapter, batch: tuple[Claimed, ...], credentials: Credentials
) -> VendorCall:
    try:
        request = adapter.build([item.outgoing for item in batch], credentials)
    except Exception as error:  # an adapter's bug: nothing was sent, and the message says so
        log.exception("call could not be built", extra={"vendor": adapter.key})
        text = f"the request could not be built ({type(error).__name__})"
        # Another account, or the fallback text of an MMS, may do.
        is_mms = batch[0].outgoing.channel is Channel.MMS
        failed = SendResult(
            Outcome.PERMANENT, code="build_error", text=text, mms_unsupported=is_mms, route_fault=True
        )
        return VendorCall(account, adapter, batch, credentials, results=(failed,) * len(batch))
    return VendorCall(account, adapter, batch, credentials, request)


def _about_to_dial(calls: Sequence[VendorCall]) -> list[VendorCall]:
    """Marks the attempts and stores the bytes that may be sent again, before a byte is sent: in one statement.

    What died without the mark was surely not sent.
    """
    frozen = {id_: text for call in calls if call.request for id_, text in _frozen(call)}
    if not frozen:
        return list(calls)
    rows = fetch(ABOUT_TO_DIAL, {"id": list(frozen), "frozen": list(frozen.values())})
    ours = {row.id for row in rows}
    return [
        call if _is_ours(call, ours) else replace(call, request=None, results=_late(call)) for call in calls
    ]


def _frozen(call: VendorCall) -> Iterable[tuple[UUID, str]]:
    """Per attempt the bytes that may be sent again; none where a second time would not be recognised."""
    assert call.request and call.credentials and call.adapter
    may_be_resent = call.adapter.resend_window(call.credentials)
    for item in call.batch:
        if not may_be_resent:
            yield item.attempt_id, ""
            continue
        # Alone, even if it goes out in a batch: it may be sent again alone.
        alone = len(call.batch) == 1
        request = call.request if alone else call.adapter.build([item.outgoing], call.credentials)
        yield item.attempt_id, seal(json.dumps(exchanges.frozen(request)))


def _is_ours(call: VendorCall, ours: set[UUID]) -> bool:
    return call.request is None or all(item.attempt_id in ours for item in call.batch)


def _late(call: VendorCall) -> tuple[SendResult, ...]:
    return (LATE,) * len(call.batch)


def dial(call: VendorCall, *, deadline: float) -> Dialled:
    """Makes the call. Touches no database, raises nothing: whatever goes wrong is a result."""
    if call.adapter is None or call.request is None or call.credentials is None:
        return Dialled(call, call.results)
    claimed_at = min(item.claimed_at for item in call.batch)
    if time.monotonic() - claimed_at > settings.ROW_LEASE - deadline - settings.DIAL_MARGIN:
        # The lease may run out before the answer comes: somebody else would call it lost (architecture "Evidence").
        return Dialled(call, _late(call))
    answer = calls.call(call.adapter, call.credentials, call.request, deadline=deadline)
    outgoing = [item.outgoing for item in call.batch]
    results = answers.read_send(call.adapter, call.credentials, outgoing, answer)
    status = answer.status if isinstance(answer, HttpResponse) else 0
    return Dialled(call, results, _exchange(call, answer), status)


def _exchange(call: VendorCall, answer: HttpResponse | CallFailure) -> exchanges.RecordedExchange:
    assert call.request is not None and call.credentials is not None
    secrets = [str(secret) for secret in call.credentials.secrets.values()]
    owners = [item.attempt_id for item in call.batch]
    return exchanges.exchange(
        ExchangeKind.CALL, call.request, answer, secrets=secrets, account_id=call.account.pk, owners=owners
    )


def record(dialled: Sequence[Dialled]) -> None:
    """Writes what the calls said: raw, attempts, messages, events and queues, in one transaction."""
    late = [one for one in dialled if one.results[0].outcome is Outcome.NOT_DIALLED]
    said = [one for one in dialled if one.results[0].outcome is not Outcome.NOT_DIALLED]
    with transaction.atomic():
        exchanges.store([one.exchange for one in said if one.exchange])
        claims.hand_back([item for one in late for item in one.call.batch])
        # The late ones too: who was called lost meanwhile is known to be undialled.
        weighing.apply(
            [
                weighing.AnswerEvidence(item.message_id, item.attempt_id, result)
                for one in (*said, *late)
                for item, result in zip(one.call.batch, one.results, strict=True)
            ]
        )
        _note_queues(said)


def _note_queues(said: Sequence[Dialled]) -> None:
    notes: defaultdict[int, list[circuit.Note]] = defaultdict(list)
    for one in said:
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
