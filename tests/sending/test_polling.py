"""Reports that did not come: asked for where the account wants it, at growing distances, and believed like others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from messaging.dialling.work import run_once
from messaging.models import Attempt, Exchange, Message, ProviderAccount
from messaging.models.sql import change
from messaging.rules.values import EventKind, MessageState
from messaging.sending import polling
from simulator.adapter import Simulator
from tests import factories
from tests.stand_ins import (
    HANG_UP,
    Vendor,
    account_at,
    claim,
    events_of,
    fresh,
    only_attempt,
    send,
)

pytestmark = pytest.mark.django_db

S = MessageState
HOUR = timedelta(hours=1)


def sent(vendor: Vendor, **overrides: Any) -> Message:
    """A message that was sent for real, of an account that asks after an hour."""
    account = account_at(vendor, "look_up", **{"poll_after": HOUR, **overrides})
    message = factories.make_message(account=account)
    send(claim())
    return message


def due(message: Message) -> None:
    change(
        "UPDATE messaging_attempt SET poll_at = clock_timestamp(), created_at = created_at - interval '1 hour'"
        " WHERE message_id = %(id)s",
        {"id": message.pk},
    )


def pump() -> int:
    """One turn, as a pump takes it. How many attempts were claimed."""
    work = polling.Polling()
    run_once(work, free=10, deadline=2.0)
    return work.claimed


def said(message: Message, status: str) -> dict[str, Any]:
    return {
        "messages": [{"reference": str(only_attempt(message).pk), "id": "v-1", "parts": 1, "status": status}]
    }


def seconds_until_poll(message: Message) -> float | None:
    attempt = Attempt.objects.extra(
        select={"wait": "extract(epoch FROM poll_at - clock_timestamp())::float8"}
    ).get(message=message)
    wait: float | None = attempt.wait
    return wait


def test_only_accounts_that_want_it_ask(vendor: Vendor) -> None:
    assert seconds_until_poll(sent(vendor)) == pytest.approx(3600, abs=10)
    assert seconds_until_poll(sent(vendor, poll_after=None)) is None
    assert pump() == 0


def test_delivered_ends_it(vendor: Vendor) -> None:
    message = sent(vendor)
    due(message)
    vendor.will(200, said(message, "DELIVRD"))
    pump()
    assert fresh(message).message_state is S.DELIVERED
    assert [EventKind(event.kind) for event in events_of(message)] == [EventKind.FINAL]
    assert seconds_until_poll(message) is None
    assert Exchange.objects.filter(owner=only_attempt(message).pk, kind="lookup").count() == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("ENROUTE", id="still on its way"),
        pytest.param(None, id="unknown to the vendor"),
        pytest.param(500, id="fault"),
        pytest.param(HANG_UP, id="no answer"),
    ],
)
def test_it_asks_again_later(vendor: Vendor, answer: Any) -> None:
    message = sent(vendor)
    due(message)
    if isinstance(answer, int):
        vendor.will(answer)
    else:
        vendor.will(200, said(message, answer) if answer else {"messages": []})
    pump()
    assert fresh(message).message_state is S.SENT
    assert seconds_until_poll(message) == pytest.approx(3600, abs=30)  # as long again as it has waited
    assert pump() == 0


def test_a_message_that_is_over_is_asked_about_no_more(vendor: Vendor) -> None:
    message = sent(vendor)
    Message.objects.filter(pk=message.pk).update(state=S.DELIVERED, final_at=message.created_at)
    due(message)
    pump()
    assert (len(vendor.heard), seconds_until_poll(message)) == (1, None)


def test_a_vendor_that_cannot_be_asked_is_not(vendor: Vendor) -> None:
    account = account_at(vendor, "report", poll_after=HOUR)
    message = factories.make_message(account=account)
    send(claim())
    due(message)
    pump()
    assert (fresh(message).message_state, len(vendor.heard)) == (S.SENT, 1)


def test_two_pumps_ask_once(vendor: Vendor) -> None:
    message = sent(vendor)
    due(message)
    assert len(polling.Polling().claim(10)) == 1
    assert polling.Polling().claim(10) == []


def test_an_adapters_bug_leaves_it_for_later(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("status")

    message = sent(vendor)
    due(message)
    vendor.will(200, said(message, "DELIVRD"))
    monkeypatch.setattr(Simulator, "parse_poll", broken)
    pump()
    assert fresh(message).message_state is S.SENT
    assert seconds_until_poll(message) == pytest.approx(3600, abs=30)


def test_ask_now_takes_the_accounts_old_ones(vendor: Vendor) -> None:
    old, young = sent(vendor, poll_after=None), sent(vendor, poll_after=None)
    account = ProviderAccount.objects.get(pk=old.account_id)
    due(old)
    Attempt.objects.update(poll_at=None)
    assert polling.ask_now(account, older_than=timedelta(minutes=30)) == 1
    assert (seconds_until_poll(old) or 0) <= 0
    assert seconds_until_poll(young) is None
