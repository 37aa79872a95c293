"""One real message to a vendor, without a row, a queue or a hook; then its status is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from messaging.models import ProviderAccount
from messaging.rules.ids import uuid7
from messaging.sending.conversation import CannotBuild, CannotOpen, Conversation
from vendors.values import Channel, Outcome, Outgoing, Report, Sent

LOOK_EVERY = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class TryStep:
    """One thing that became known. `good` ends it well or badly; None: it goes on."""

    text: str
    good: bool | None = None


def send(
    account: ProviderAccount,
    *,
    sender: str,
    recipient: str,
    text: str,
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[TryStep]:
    """Sends one SMS through an account and follows it for so many seconds. `sender` and `recipient` are canonical."""
    message = Outgoing(
        reference=str(uuid7()),
        message_id=str(uuid7()),
        channel=Channel.SMS,
        sender=sender,
        recipient=recipient,
        text=text,
        validity=account.validity.total_seconds(),
    )
    try:
        talk = Conversation.open(account)
        call = talk.send([message])
    except CannotOpen as error:
        yield TryStep(f"nothing was sent: {error}", good=False)
        return
    except CannotBuild as error:
        yield TryStep(f"nothing was sent: the request could not be built ({error})", good=False)
        return
    (result,) = call.dial(deadline=settings.CALL_DEADLINE).result
    label = talk.adapter.label
    if result.outcome is not Outcome.TAKEN:
        words = " ".join(word for word in (result.code, result.vendor_code, result.text) if word)
        yield TryStep(f"{label} did not take it ({result.outcome}): {words}", good=False)
        return
    yield TryStep(f"{label} took it as {result.vendor_id or message.reference}")
    sent = Sent(message.reference, result.vendor_id, Channel.SMS, recipient, timezone.now())
    yield from _follow(talk, sent, seconds=seconds, sleep=sleep)


def _follow(
    talk: Conversation, sent: Sent, *, seconds: float, sleep: Callable[[float], None]
) -> Iterator[TryStep]:
    try:
        call = talk.poll(sent)
    except CannotBuild as error:
        yield TryStep(f"the question for its status could not be built ({error})", good=False)
        return
    if call is None:
        text = f"{talk.adapter.label} cannot be asked for its status: the report comes by hook only"
        yield TryStep(text, good=True)
        return
    until, told = time.monotonic() + seconds, ""
    while time.monotonic() < until:
        report = call.dial(deadline=settings.CALL_DEADLINE).result
        if report and report.vendor_status != told:
            told = report.vendor_status
            yield _step(report)
            if report.status.is_final:
                return
        sleep(LOOK_EVERY)
    yield TryStep(f"no final status within {seconds:g} s; the last: {told or 'none'}", good=False)


def _step(report: Report) -> TryStep:
    words = " ".join(word for word in (report.vendor_status, report.vendor_code, report.text) if word)
    good = report.status == "delivered" if report.status.is_final else None
    return TryStep(f"{report.status}: {words}", good=good)
