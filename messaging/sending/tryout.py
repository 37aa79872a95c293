"""One real message to a vendor, outside the pipeline: no row, no queue, no hook; followed by asking for its status."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from messaging.models import ProviderAccount
from messaging.rules.ids import uuid7
from messaging.sending import answers, calls
from outbound.values import HttpResponse
from vendors import registry
from vendors.base import Adapter
from vendors.values import Channel, Credentials, Outcome, Outgoing, Report, Sent

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
    adapter, credentials = registry.adapter(account.vendor), account.credentials()
    message = Outgoing(
        reference=str(uuid7()),
        message_id=str(uuid7()),
        channel=Channel.SMS,
        sender=sender,
        recipient=recipient,
        text=text,
        validity=account.validity.total_seconds(),
    )
    request = adapter.build([message], credentials)
    answer = calls.call(adapter, credentials, request, deadline=settings.CALL_DEADLINE)
    (result,) = answers.read_send(adapter, credentials, [message], answer)
    if result.outcome is not Outcome.TAKEN:
        words = " ".join(word for word in (result.code, result.vendor_code, result.text) if word)
        yield TryStep(f"{adapter.label} did not take it ({result.outcome}): {words}", good=False)
        return
    yield TryStep(f"{adapter.label} took it as {result.vendor_id or message.reference}")
    sent = Sent(message.reference, result.vendor_id, Channel.SMS, recipient, timezone.now())
    yield from _follow(adapter, credentials, sent, seconds=seconds, sleep=sleep)


def _follow(
    adapter: Adapter, credentials: Credentials, sent: Sent, *, seconds: float, sleep: Callable[[float], None]
) -> Iterator[TryStep]:
    request = adapter.poll(sent, credentials)
    if request is None:
        yield TryStep(
            f"{adapter.label} cannot be asked for its status: the report comes by hook only", good=True
        )
        return
    until, told = time.monotonic() + seconds, ""
    while time.monotonic() < until:
        answer = calls.call(adapter, credentials, request, deadline=settings.CALL_DEADLINE)
        report = adapter.parse_poll(sent, answer, credentials) if isinstance(answer, HttpResponse) else None
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
