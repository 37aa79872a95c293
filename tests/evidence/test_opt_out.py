"""An opt-out at the vendor: final, told with its own word, and as an inbound STOP where the tenant wants that."""

from __future__ import annotations

from typing import Any

import pytest

from messaging.models import Event, InboundMessage, Message
from messaging.rules.values import EventKind, MessageState
from tests import factories
from tests.evidence.test_weighing import answer, apply, make_sending, make_sent, word
from tests.stand_ins import events_of, fresh
from vendors import meanings
from vendors.values import Channel, Outcome, SendResult, Status

pytestmark = pytest.mark.django_db

INBOUND_URL = "https://bloomreach.example/inbound"
REFUSED = SendResult(Outcome.PERMANENT, code=meanings.OPTED_OUT.code, vendor_code="21610", text="STOP")


def tenant(**wishes: Any) -> Any:
    return factories.make_account(
        factories.make_tenant(inbound_url_sms=INBOUND_URL, inbound_url_mms=INBOUND_URL, **wishes)
    )


def stops(message: Message) -> list[tuple[str, str, str]]:
    return [
        (one.sender, one.recipient, one.text)
        for one in InboundMessage.objects.filter(tenant=message.tenant, account=message.account)
    ]


def test_it_fails_with_its_own_word_and_nothing_more_by_default() -> None:
    message, attempt = make_sending(account=tenant())
    apply(answer(attempt, REFUSED))
    (event,) = events_of(message)
    assert (fresh(message).message_state, event.status, event.error["code"]) == (
        MessageState.FAILED,
        "failed",
        "opted_out",
    )
    assert stops(message) == []


@pytest.mark.parametrize(
    "refused_at_once", [pytest.param(True, id="answer"), pytest.param(False, id="report")]
)
def test_the_tenant_hears_a_stop_from_the_recipient(refused_at_once: bool) -> None:
    account = tenant(opt_out_as_inbound=True)
    if refused_at_once:
        message, attempt = make_sending(account=account)
        apply(answer(attempt, REFUSED))
    else:
        message, attempt = make_sent(account=account)
        apply(word(attempt, Status.REJECTED, code="opted_out"))
    assert stops(message) == [(message.recipient, message.sender, "STOP")]
    inbound = Event.objects.get(inbound__isnull=False)
    assert (inbound.kind, inbound.url) == (EventKind.INBOUND, INBOUND_URL)
    assert len(events_of(message)) == 1


def test_said_twice_it_is_one_stop() -> None:
    message, attempt = make_sent(account=tenant(opt_out_as_inbound=True))
    for _ in range(2):
        apply(word(attempt, Status.REJECTED, code="opted_out"))
    assert len(stops(message)) == 1


def test_another_refusal_is_no_stop() -> None:
    message, attempt = make_sending(account=tenant(opt_out_as_inbound=True))
    apply(answer(attempt, SendResult(Outcome.PERMANENT, code="invalid_recipient")))
    assert stops(message) == []


def test_an_mms_goes_to_the_inbound_url_of_its_channel() -> None:
    _, attempt = make_sending(account=tenant(opt_out_as_inbound=True), channel=Channel.MMS, send_as="mms")
    apply(answer(attempt, REFUSED))
    assert InboundMessage.objects.get().channel == "mms"
