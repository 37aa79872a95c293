"""Calls that tell of several things: what can be read counts at once, the rest is parked and alarmed, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from prometheus_client import REGISTRY

from messaging.models import DeliveryReport, InboundMessage, Inbox, ProviderAccount
from messaging.replay import orders
from messaging.reports import hook_intake, inbox
from messaging.watch import seldom
from tests.factories import make_account
from vendors import registry
from vendors.base import Adapter
from vendors.values import Credentials, HookRequest

pytestmark = pytest.mark.django_db

BANDWIDTH = {"type": "message-delivered", "to": "+15550100124", "message": {"id": "good", "direction": "out"}}
VONAGE = {"message_uuid": "good", "status": "delivered"}
INFOBIP = {"messageId": "good", "status": {"groupId": 3, "id": 5, "name": "DELIVERED_TO_HANDSET"}}
CM = {"reference": "good", "status": {"code": "2"}}
TELNYX = {"phone_number": "+15550100124", "status": "delivered"}
GENERIC = {"id": "good", "status": "DELIVRD"}


def telnyx(*recipients: Any) -> dict[str, Any]:
    message = {"id": "good", "type": "SMS", "to": recipients}
    return {"data": {"event_type": "message.finalized", "payload": message}}


CALLS = [
    pytest.param(
        "bandwidth", [BANDWIDTH, {"type": "x"}], "not a list of events about messages", id="bandwidth"
    ),
    pytest.param(
        "bandwidth", [7, BANDWIDTH], "not a list of events about messages", id="bandwidth, a number"
    ),
    pytest.param(
        "vonage",
        [{"status": "delivered"}, VONAGE],
        "a status without message_uuid and client_ref",
        id="vonage",
    ),
    pytest.param("vonage", [None, VONAGE], "neither a status nor an inbound message", id="vonage, null"),
    pytest.param(
        "infobip",
        {"results": [INFOBIP, {"text": "hello", "from": "421900000787"}]},
        "neither a report nor an inbound message with messageId and from",
        id="infobip, inbound without an id",
    ),
    pytest.param(
        "infobip",
        {"results": [{"status": {"groupId": 3}}, INFOBIP]},
        "a report without messageId and callbackData",
        id="infobip, a report on nothing",
    ),
    pytest.param(
        "infobip",
        {"results": ["x", INFOBIP]},
        "neither a report nor an inbound message with messageId and from",
        id="infobip, a string",
    ),
    pytest.param(
        "cm",
        {"messages": {"msg": [{"status": {"code": "2"}}, CM]}},
        "a status report without our reference (demo accounts send none)",
        id="cm",
    ),
    pytest.param(
        "cm",
        {"messages": {"msg": [CM, "x"]}},
        "a status report without our reference (demo accounts send none)",
        id="cm, a string",
    ),
    pytest.param("telnyx", telnyx("x", TELNYX), "a recipient that is no JSON object", id="telnyx"),
    pytest.param("http_generic", [GENERIC, "x"], "an entry that is no JSON object", id="generic, a string"),
    pytest.param(
        "http_generic",
        [{"status": "DELIVRD"}, GENERIC],
        "neither an inbound message nor a report with a status and a reference or id",
        id="generic, a report on nothing",
    ),
    pytest.param(
        "http_generic",
        [{"text": "x", "mo": 1}, GENERIC],
        "an inbound message without a sender",
        id="generic, no sender",
    ),
]

SETTINGS = {
    "base_url": "http://127.0.0.1:1",
    "url": "{{ base_url }}/{{ recipient | url_quote }}?t={{ text | url_quote }}",
    "method": "GET",
    "id_place": "id",
    "report_id": "id",
    "report_status": "status",
    "statuses": "DELIVRD = delivered",
    "inbound_when": "mo",
    "inbound_from": "from",
    "inbound_text": "text",
}


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs are the matter of other tests."""

    def believe(self: Adapter, hook: HookRequest, credentials: Credentials) -> None:
        return None

    for adapter in registry.ADAPTERS.values():
        monkeypatch.setattr(type(adapter), "verify", believe)
    hook_intake.forget_receivers()


def account_of(vendor: str) -> ProviderAccount:
    settings = registry.adapter(vendor).clean(SETTINGS) if vendor == "http_generic" else {}
    return make_account(vendor=vendor, settings=settings)


def call(account: ProviderAccount, body: Any) -> None:
    path = f"/hooks/{account.vendor}/{account.public_id}"
    answer = Client().post(path, json.dumps(body), content_type="application/json")
    assert 200 <= answer.status_code < 300


def parked(vendor: str) -> float:
    return REGISTRY.get_sample_value("connector_inbox_parked_total", {"vendor": vendor}) or 0.0


@pytest.mark.parametrize(("vendor", "body", "why"), CALLS)
def test_what_can_be_read_counts_and_the_rest_is_parked_once(vendor: str, body: Any, why: str) -> None:
    before = parked(vendor)
    call(account_of(vendor), body)
    assert inbox.read() == 1
    report = DeliveryReport.objects.get()
    assert (report.status, "good" in (report.vendor_id, report.reference)) == ("delivered", True)
    assert Inbox.objects.get().parked_why == f"1 of 2 entries: {why}"
    assert parked(vendor) - before == 1
    assert inbox.read() == 0


def test_a_replay_of_such_a_call_repeats_nothing() -> None:
    call(account_of("vonage"), [VONAGE, 7])
    inbox.read()
    for _ in range(2):
        orders.create(
            kind="reports",
            filter=orders.ReplayFilter(status="parked"),
            requested_by="somebody",
            reason="an adapter was mended",
        )
        orders.advance()
        inbox.read()
    assert (DeliveryReport.objects.count(), Inbox.objects.filter(parked_at__isnull=False).count()) == (1, 1)


def test_a_call_of_which_nothing_can_be_read_is_parked_with_its_reason() -> None:
    call(account_of("vonage"), [7, {"status": "delivered"}])
    inbox.read()
    assert Inbox.objects.get().parked_why == "neither a status nor an inbound message"
    assert not DeliveryReport.objects.exists()


FORM = "application/x-www-form-urlencoded"
FORMS = {
    "twilio": {"MessageSid": "SM1", "Body": "hi", "From": "", "To": "+15550100"},
    "plivo": {"MessageUUID": "u1", "Text": "hi", "From": " ", "To": "15550100"},
    "elks": {"id": "s1", "direction": "incoming", "message": "hi", "from": "", "to": "+15550100"},
    "messagebird": {"id": "m1", "body": "hi", "originator": "", "recipient": "15550100"},
}
JSONS = {
    "telnyx": {"data": {"event_type": "message.received", "payload": {"id": "t1", "text": "hi"}}},
    "bandwidth": [{"type": "message-received", "message": {"id": "b1", "direction": "in", "text": "hi"}}],
    "vonage": {"message_uuid": "v1", "message_type": "text", "channel": "sms", "text": "hi", "from": ""},
    "infobip": {"results": [{"messageId": "i1", "from": " ", "text": "hi"}]},
    "cm": {"message": {"text": "hi"}, "from": {"number": " "}},
    "http_generic": {"mo": 1, "text": "hi", "from": " "},
    "simulator": {"type": "inbound", "channel": "sms", "id": "s1", "text": "hi", "from": ""},
    "sinch": {"type": "mo_text", "id": "x1", "from": " ", "to": "1", "body": "hi"},
}


@pytest.mark.parametrize("vendor", [*FORMS, *JSONS])
def test_an_inbound_message_without_a_sender_is_parked_and_told_nobody(vendor: str) -> None:
    account = account_of(vendor)
    if vendor in FORMS:
        path = f"/hooks/{vendor}/{account.public_id}"
        assert Client().post(path, urlencode(FORMS[vendor]), content_type=FORM).status_code < 300
    else:
        call(account, JSONS[vendor])
    inbox.read()
    assert not InboundMessage.objects.exists()
    assert "sender" in Inbox.objects.get().parked_why


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(lambda n: f"nothing {n}", "vendor call parked", id="parked"),
        pytest.param(lambda n: [VONAGE, *[7] * n], "vendor call parked", id="parked for a share"),
        pytest.param(lambda n: VONAGE | {"status": f"new {n}"}, "unknown status word", id="new words"),
    ],
)
def test_calls_of_one_address_leave_one_line_a_minute(
    caplog: pytest.LogCaptureFixture, body: Callable[[int], Any], message: str
) -> None:
    """An address may be called thousands of times; what is called is counted, kept and not told each time."""
    seldom.forget()
    one, other = make_account(vendor="vonage"), make_account(vendor="vonage")
    for n in range(1, 8):
        call(one, body(n))
    call(other, body(1))
    inbox.read()
    lines = [record for record in caplog.records if record.getMessage() == message]
    assert [record.levelname for record in lines] == ["WARNING" if "word" in message else "ERROR"] * 2
