"""Inbound messages: kept once, told to the URL of their channel, whatever the handset or the vendor wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Tenant
from messaging.callbacks import posting
from messaging.models import Event, Exchange, InboundMessage, Inbox, ProviderAccount, Queue
from messaging.reports import inbox
from messaging.rules.ids import uuid7
from messaging.rules.values import EventKind
from tests import factories

pytestmark = pytest.mark.django_db

SMS_URL = "https://cloud-api.bloomreach.co/channels/hook/sms/in?project=p"
MMS_URL = "https://cloud-api.bloomreach.co/channels/hook/mms/in?project=p"


def two_way() -> Tenant:
    return factories.make_tenant(inbound_url_sms=SMS_URL, inbound_url_mms=MMS_URL)


def receive(account: ProviderAccount, **said: Any) -> None:
    """A vendor's call, from the hook's rows to the event."""
    body = {"type": "inbound", "channel": "sms", "id": "mo-1", "from": "+421900000123", "to": "1234"} | said
    request = {"method": "POST", "url": "", "path": "", "query": {}, "headers": {}, "body": json.dumps(body)}
    exchange = Exchange.objects.create(
        at=timezone.now(), kind="hook", account=account, request=json.dumps(request)
    )
    Inbox.objects.create(exchange_id=exchange.id, exchange_at=exchange.at, account=account)
    inbox.read()


@pytest.mark.parametrize(("channel", "url"), [("sms", SMS_URL), ("mms", MMS_URL)])
def test_an_event_for_the_url_of_its_channel(channel: str, url: str) -> None:
    tenant = two_way()
    account = factories.make_account(tenant)
    receive(account, channel=channel, text="STOP", occurred_at="2026-01-02T03:04:05Z")

    row = InboundMessage.objects.get()
    event = Event.objects.get()
    assert (row.tenant_id, row.account_id, row.channel, row.text) == (
        tenant.id,
        account.id,
        channel,
        "STOP",
    )
    assert (event.inbound_id, event.message_id, event.kind, event.url) == (
        row.id,
        None,
        EventKind.INBOUND,
        url,
    )
    assert event.occurred_at == row.occurred_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (event.queue.kind, event.queue.key) == (1, str(tenant.id))
    assert not Inbox.objects.exists()


def test_without_the_vendors_time_the_time_of_receipt_is_told() -> None:
    receive(factories.make_account(two_way()))

    assert (
        Event.objects.get().occurred_at
        == InboundMessage.objects.get().received_at
        == Exchange.objects.get().at
    )


@pytest.mark.parametrize("missing", ["inbound_url_sms", "both"])
def test_without_a_url_it_is_kept_and_nothing_is_owed(missing: str) -> None:
    tenant = factories.make_tenant(inbound_url_mms="" if missing == "both" else MMS_URL)
    receive(factories.make_account(tenant))

    assert InboundMessage.objects.count() == 1
    assert not Event.objects.exists()


def test_the_same_message_twice_is_kept_and_told_once() -> None:
    account = factories.make_account(two_way())
    for _ in range(2):
        receive(account)

    assert (InboundMessage.objects.count(), Event.objects.count(), Inbox.objects.count()) == (1, 1, 0)


def test_the_same_id_at_another_account_is_another_message() -> None:
    for _ in range(2):
        receive(factories.make_account(two_way()))

    assert (InboundMessage.objects.count(), Event.objects.count()) == (2, 2)
    assert Queue.objects.filter(kind=1).count() == 2


@pytest.mark.parametrize(
    ("written", "kept", "told"),
    [
        pytest.param("+421900000123", "+421900000123", "00421900000123", id="plus"),
        pytest.param("00421900000123", "+421900000123", "00421900000123", id="two zeros"),
        pytest.param("421900000123", "+421900000123", "00421900000123", id="digits"),
        pytest.param("1234", "1234", "1234", id="short code"),
        pytest.param("Acme", "Acme", "Acme", id="name"),
        pytest.param("anonymous@ims.invalid", "anonymous@ims.invali", "anonymous@ims.invali", id="overlong"),
        pytest.param("\x00\ud83d", "?", "?", id="odd bytes"),
    ],
)
def test_odd_senders(written: str, kept: str, told: str) -> None:
    receive(factories.make_account(two_way()), **{"from": written})

    assert InboundMessage.objects.get().sender == kept
    (post,) = posting.claim(leases=[uuid7()])
    (event,) = json.loads(post.body)["events"]
    assert (event["from"], event["to"]) == (told, "1234")


@pytest.mark.parametrize("written", ["", "   ", "\t\n", "\x00", "\u00a0"])
def test_one_without_a_sender_is_parked_once_and_told_nobody(written: str) -> None:
    receive(factories.make_account(two_way()), **{"from": written})

    assert (InboundMessage.objects.count(), Event.objects.count()) == (0, 0)
    assert Inbox.objects.get().parked_why == "an inbound message without a sender"
    assert inbox.read() == 0


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("a\x00b", "ab", id="NUL"),
        pytest.param("broken \ud83d emoji", "broken ? emoji", id="half a surrogate pair"),
        pytest.param("žluťoučký 🐎", "žluťoučký 🐎", id="unicode"),
        pytest.param("x" * 200_000, "x" * 100_000, id="endless"),
    ],
)
def test_odd_texts(text: str, kept: str) -> None:
    receive(factories.make_account(two_way()), text=text)

    assert InboundMessage.objects.get().text == kept
    assert Event.objects.count() == 1
