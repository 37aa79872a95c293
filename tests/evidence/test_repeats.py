"""Inbound messages without an id: a vendor's repeat counts once, whatever a person writes again counts again."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction

from accounts.crypto import Sealed
from messaging.evidence.repeats import WINDOW
from messaging.models import Event, Exchange, InboundMessage, Inbox, ProviderAccount
from messaging.replay import orders
from messaging.reports import inbox, stored_calls
from tests import factories
from vendors import registry
from vendors.values import HookRequest

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 15, 20, 0, tzinfo=UTC)
BEYOND = WINDOW.total_seconds()
SENDER = "00421900000150"


def cm() -> ProviderAccount:
    tenant = factories.make_tenant(inbound_url_sms="https://cloud-api.bloomreach.co/in?p=1")
    return factories.make_account(tenant, vendor="cm", settings={"region": "global"})


def said(text: str, sender: str = SENDER, **more: Any) -> dict[str, Any]:
    """CM.com's older form: no id, and no time."""
    return {"from": sender, "to": "0015550100", "message": text, **more}


def heard(account: ProviderAccount, at: float, body: Any) -> Inbox:
    """A call that came so many seconds after the start, and waits."""
    hook = HookRequest("POST", "https://c.example/h", "", {}, {"date": str(at)}, json.dumps(body).encode())
    moment = START + timedelta(seconds=at)
    call = Sealed(stored_calls.sealed(hook))
    exchange = Exchange.objects.create(at=moment, kind="hook", account=account, call=call)
    return Inbox.objects.create(
        exchange_id=exchange.id, exchange_at=exchange.at, account=account, due_at=moment
    )


def kept() -> list[str]:
    return list(InboundMessage.objects.order_by("received_at", "vendor_id").values_list("text", flat=True))


CASES = [
    pytest.param([(0, "YES"), (5, "YES")], ["YES"], id="a repeat"),
    pytest.param([(0, "YES"), (BEYOND - 1, "YES")], ["YES"], id="a late repeat"),
    pytest.param([(0, "YES"), (BEYOND, "YES")], ["YES"] * 2, id="later: said again"),
    pytest.param([(0, "YES"), (86_400, "YES")], ["YES"] * 2, id="the next day"),
    pytest.param([(0, "STOP"), (5, "START"), (10, "STOP")], ["STOP", "START", "STOP"], id="STOP START STOP"),
    pytest.param(
        [(0, "STOP"), (2, "STOP"), (5, "START"), (6, "START"), (10, "STOP"), (11, "STOP")],
        ["STOP", "START", "STOP"],
        id="each of them repeated",
    ),
    pytest.param([(0, "YES"), (60, "YES"), (120, "YES")], ["YES"] * 2, id="the window does not move"),
]


@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
@pytest.mark.parametrize(("calls", "expected"), CASES)
def test_repeats(calls: list[tuple[float, str]], expected: list[str], at_once: bool) -> None:
    account = cm()
    for at, text in calls:
        heard(account, at, said(text))
        if not at_once:
            inbox.read()
    inbox.read()
    assert kept() == expected
    assert Event.objects.count() == len(expected)
    assert not Inbox.objects.exists()


def test_the_same_words_of_two_handsets_or_accounts_are_two_messages() -> None:
    account, other = cm(), cm()
    for one, sender in ((account, SENDER), (account, "00421900000151"), (other, SENDER)):
        heard(one, 1, said("YES", sender))
    inbox.read()
    assert kept() == ["YES"] * 3


def test_two_in_one_call_are_two() -> None:
    values = {
        "base_url": "http://127.0.0.1:1",
        "method": "GET",
        "url": "{{ base_url }}/{{ recipient | url_quote }}?t={{ text | url_quote }}",
        "inbound_when": "t",
        "inbound_from": "f",
        "inbound_text": "t",
    }
    settings = registry.adapter("http_generic").clean(values)
    account = factories.make_account(vendor="http_generic", settings=settings)
    for at in (0, 5):
        heard(account, at, [{"f": SENDER, "t": "YES"}, {"f": SENDER, "t": "YES"}, {"f": SENDER, "t": "NO"}])
        inbox.read()
    assert sorted(kept()) == ["NO", "YES", "YES"]


def test_a_call_between_that_nobody_has_read_yet_may_be_another_message() -> None:
    """STOP, START, STOP, where another pump is still at the START."""
    account = cm()
    heard(account, 0, said("STOP"))
    inbox.read()
    between = heard(account, 5, said("START"))
    Inbox.objects.filter(pk=between.pk).update(due_at=datetime(2999, 1, 1, tzinfo=UTC))
    heard(account, 10, said("STOP"))
    inbox.read()
    Inbox.objects.filter(pk=between.pk).update(due_at=START)
    inbox.read()
    assert kept() == ["STOP", "START", "STOP"]


def test_a_replay_stores_nothing_twice() -> None:
    account = cm()
    for at, text in ((0, "STOP"), (5, "START"), (10, "STOP"), (12, "STOP")):
        heard(account, at, said(text))
    inbox.read()
    for _ in range(2):
        orders.create(kind="reports", filter=orders.ReplayFilter(), requested_by="somebody", reason="a test")
        orders.advance()
        inbox.read()
    assert kept() == ["STOP", "START", "STOP"]


def test_a_replay_knows_messages_that_were_stored_under_a_digest_of_their_content() -> None:
    account = cm()
    call = heard(account, 0, said("STOP"))
    factories.make_inbound(
        account,
        vendor_id="7a2ee6b2",
        sender="+421900000150",
        exchange_id=call.exchange_id,
        received_at=START,
        exchange_at=START,
    )
    inbox.read()
    assert kept() == ["STOP"]


@pytest.mark.django_db(transaction=True)
def test_two_pumps_do_not_both_take_a_repeat_for_new() -> None:
    account = cm()
    heard(account, 0, said("YES"))
    other = heard(account, 5, said("YES"))
    Inbox.objects.filter(pk=other.pk).update(due_at=datetime(2999, 1, 1, tzinfo=UTC))

    def second() -> None:
        try:
            Inbox.objects.filter(pk=other.pk).update(due_at=START)
            inbox.read()
        finally:
            database.close()

    with transaction.atomic():
        inbox.read()
        pump = threading.Thread(target=second)
        pump.start()
        pump.join(0.5)
        assert pump.is_alive()  # it waits for the first one's word
    pump.join(20)
    assert kept() == ["YES"]
