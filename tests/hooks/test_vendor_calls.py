"""What vendors really call, from the hook's address to the row: genuine calls that were once refused or misread."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client

from messaging.contract import wire
from messaging.models import Attempt, DeliveryReport, Event, InboundMessage, Inbox, Message, ProviderAccount
from messaging.reports import hook_intake, inbox, matching
from messaging.rules.values import Effect, MessageState
from messaging.watch import counters
from tests import factories
from vendors import registry
from vendors.sinch.adapter import signature
from vendors.values import Outcome

pytestmark = pytest.mark.django_db

SECRET = "0123456789abcdef0123456789abcdef"
TELNYX_KEY = Ed25519PrivateKey.generate()
VALUES: Mapping[str, Mapping[str, str]] = {
    "vonage": {
        "auth": "basic",
        "api_key": "a1b2c3d4",
        "api_secret": "secret-of-the-tests",
        "signature_secret": SECRET,
    },
    "sinch": {
        "region": "eu",
        "service_plan_id": "plan",
        "api_token": "token-of-the-tests",
        "hook_secret": SECRET,
    },
    "messagebird": {"access_key": "live_key-of-the-tests"},
    "cm": {"product_token": "00000000-0000-0000-0000-000000000000"},
    "plivo": {"auth_id": "MA" + "0" * 18, "auth_token": SECRET},
    "twilio": {"account_sid": "AC" + "0" * 32, "auth_token": SECRET},
    "telnyx": {
        "api_key": "KEY-of-the-tests",
        "public_key": base64.b64encode(TELNYX_KEY.public_key().public_bytes_raw()).decode(),
    },
    "infobip": {"base_url": "https://api.infobip.com", "api_key": "key-of-the-tests"},
}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    hook_intake.forget_receivers()


def account_of(vendor: str, **overrides: Any) -> ProviderAccount:
    """A provider account of that vendor, as saving its form makes it."""
    adapter = registry.adapter(vendor)
    cleaned = adapter.clean(VALUES[vendor])
    secret = {setting.name for setting in adapter.settings if setting.secret}
    return factories.make_account(
        vendor=vendor,
        settings={name: value for name, value in cleaned.items() if name not in secret},
        secrets={name: value for name, value in cleaned.items() if name in secret and value},
        **overrides,
    )


def hook_path(account: ProviderAccount) -> str:
    return f"/hooks/{account.vendor}/{account.public_id}"


def vonage_proof(body: bytes, *, at: float) -> dict[str, str]:
    claims = {
        "iat": int(at),
        "iss": "Vonage",
        "api_key": "a1b2c3d4",
        "payload_hash": hashlib.sha256(body).hexdigest(),
    }
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


def sinch_proof(body: bytes, *, at: float) -> dict[str, str]:
    stamp = str(int(at))
    proof = signature(SECRET, "01HNONCE", stamp, body).decode()
    name = "X-Sinch-Webhook-Signature"
    return {name: proof, f"{name}-Nonce": "01HNONCE", f"{name}-Timestamp": stamp}


def telnyx_proof(body: bytes, *, at: float) -> dict[str, str]:
    stamp = str(int(at))
    proof = base64.b64encode(TELNYX_KEY.sign(stamp.encode() + b"|" + body)).decode()
    return {"Telnyx-Signature-Ed25519": proof, "Telnyx-Timestamp": stamp}


PROOFS = {"vonage": vonage_proof, "sinch": sinch_proof, "telnyx": telnyx_proof}


# -- a genuine call that comes late


@pytest.mark.parametrize(
    ("vendor", "age", "status"),
    [
        pytest.param("vonage", 600, 200, id="Vonage, ten minutes"),
        pytest.param("vonage", 24 * 3600 - 60, 200, id="Vonage, its last repeat"),
        pytest.param("vonage", 25 * 3600, 401, id="Vonage, after its last repeat"),
        pytest.param("sinch", 600, 200, id="Sinch, ten minutes"),
        pytest.param("sinch", 22 * 3600 + 44 * 60, 200, id="Sinch, its last repeat"),
        pytest.param("sinch", 23 * 3600, 401, id="Sinch, after its last repeat"),
    ],
)
def test_a_right_signature_is_good_as_long_as_the_vendor_repeats(
    client: Client, vendor: str, age: float, status: int
) -> None:
    account = account_of(vendor)
    body = json.dumps({"status": "delivered", "message_uuid": "m-1", "client_ref": "r-1"}).encode()
    headers = PROOFS[vendor](body, at=time.time() - age)
    path = hook_path(account)
    forged = client.post(path, body + b" ", content_type="application/json", headers=headers)
    assert (forged.status_code, Inbox.objects.count()) == (401, 0)
    answer = client.post(path, body, content_type="application/json", headers=headers)
    assert (answer.status_code, Inbox.objects.count()) == (status, int(status == 200))


def test_an_old_report_that_was_taken_already_changes_nothing(client: Client) -> None:
    account = account_of("vonage")
    body = json.dumps({"status": "delivered", "message_uuid": "m-1", "client_ref": "r-1"}).encode()
    headers = vonage_proof(body, at=time.time() - 600)
    for _ in range(2):
        client.post(hook_path(account), body, content_type="application/json", headers=headers)
    inbox.read()
    assert account.deliveryreport_set.count() == 1


def test_a_get_that_can_never_be_signed_is_refused_for_good(client: Client) -> None:
    answer = client.get(f"{hook_path(account_of('vonage'))}?status=delivered&messageId=0A")
    assert (answer.status_code, Inbox.objects.count()) == (401, 0)


def test_an_unsigned_post_is_asked_for_again(client: Client) -> None:
    answer = client.post(hook_path(account_of("vonage")), b"{}", content_type="application/json")
    assert (answer.status_code, answer["Retry-After"], Inbox.objects.count()) == (503, "30", 0)


# -- what reports say


def sent_message(account: ProviderAccount, **overrides: Any) -> tuple[Message, Attempt]:
    """A message that the vendor took, and its attempt."""
    message = factories.make_message(account=account, state=MessageState.SENT, attempts=1)
    return message, factories.make_attempt(message, outcome=Outcome.TAKEN, vendor_id="v-1", **overrides)


def tell(client: Client, account: ProviderAccount, fields: Mapping[str, str]) -> None:
    """A call by GET whose proof is the address, read and applied."""
    assert client.get(hook_path(account), fields).status_code == 200
    inbox.read()
    matching.apply()


@pytest.mark.parametrize(
    ("told", "state", "code"),
    [
        pytest.param(
            {"status": "delivery_failed", "statusReason": "EC_SUBSCRIBER_OPTEDOUT", "statusErrorCode": "103"},
            MessageState.REJECTED,
            "opted_out",
            id="opted out",
        ),
        pytest.param(
            {"status": "delivery_failed", "statusReason": "incorrect number"},
            MessageState.UNDELIVERED,
            "invalid_recipient",
            id="a wrong number",
        ),
        pytest.param(
            {"status": "expired", "statusReason": "unavailable subscriber"},
            MessageState.EXPIRED,
            "unreachable",
            id="expired while out of reach",
        ),
    ],
)
def test_what_messagebird_says_of_a_failure(
    client: Client, told: Mapping[str, str], state: MessageState, code: str
) -> None:
    account = account_of("messagebird")
    message, attempt = sent_message(account)
    tell(client, account, {"id": "v-1", "reference": str(attempt.pk), **told})
    message.refresh_from_db()
    event = Event.objects.get(message=message)
    assert (message.message_state, message.error_code) == (state, code)
    assert event.error is not None and (event.status, event.error["code"]) == ("failed", code)


def test_an_opt_out_at_messagebird_is_told_as_a_stop(client: Client) -> None:
    tenant = factories.make_tenant(
        inbound_url_sms="https://cloud-api.bloomreach.co/channels/hook/sms/in", opt_out_as_inbound=True
    )
    account = account_of("messagebird", tenant=tenant)
    _, attempt = sent_message(account)
    told = {"status": "delivery_failed", "statusErrorCode": "103"}
    tell(client, account, {"id": "v-1", "reference": str(attempt.pk), **told})
    assert InboundMessage.objects.get().text == "STOP"


@pytest.mark.parametrize(
    ("said", "channel", "text", "recipient", "media"),
    [
        pytest.param(
            {
                "id": "m-1",
                "originator": "15550100123",
                "recipient": "15550100124",
                "body": "Look",
                "mediaUrls": ["https://media.example/a.jpg", "https://media.example/b.jpg"],
            },
            "mms",
            "Look",
            "+15550100124",
            ["https://media.example/a.jpg", "https://media.example/b.jpg"],
            id="an MMS",
        ),
        pytest.param(
            {"id": "m-1", "originator": "15550100123", "recipient": "15550100124", "message": "Look",
             "mediaURLs": "https://media.example/a.jpg"},
            "mms", "Look", "+15550100124", ["https://media.example/a.jpg"],
            id="an MMS in the other names",
        ),
        pytest.param(
            {"shortcode": "51515", "mid": "m-1", "originator": "15550100123", "message": "STOP",
             "receive_datetime": "20260115100000"},
            "sms", "STOP", "51515", [],
            id="a short code",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [True, False], ids=["JSON", "a form"])
def test_messagebirds_inbound_messages(
    client: Client,
    said: Mapping[str, Any],
    channel: str,
    text: str,
    recipient: str,
    media: list[str],
    as_json: bool,
) -> None:
    account = account_of("messagebird")
    if as_json:
        client.post(hook_path(account), json.dumps(said), content_type="application/json")
    else:
        form = urlencode(said, doseq=True)
        client.post(hook_path(account), form, content_type="application/x-www-form-urlencoded")
    inbox.read()
    row = InboundMessage.objects.get()
    assert (row.channel, row.text, row.sender, row.recipient) == (channel, text, "+15550100123", recipient)
    assert [file["url"] for file in row.media] == media


# -- reports on parts


def plivo_v2(path: str, body: bytes) -> dict[str, str]:
    """Covers address and nonce, not the query."""
    address = f"https://connector.example{path.partition('?')[0]}"
    proof = hmac.digest(SECRET.encode(), f"{address}n-1".encode(), "sha256")
    name = "X-Plivo-Signature"
    return {f"{name}-V2": base64.b64encode(proof).decode(), f"{name}-V2-Nonce": "n-1"}


def plivo_v3(path: str, body: bytes) -> dict[str, str]:
    """Covers the form too."""
    posted = "".join(name + value for name, value in sorted(parse_qsl(body.decode(), keep_blank_values=True)))
    address, _, query = f"https://connector.example{path}".partition("?")
    text = f"{address}?{query}{'.' if query else ''}{posted}.n-1"
    proof = base64.b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha256")).decode()
    return {"X-Plivo-Signature-V3": proof, "X-Plivo-Signature-V3-Nonce": "n-1"}


def part(n: int, status: str, error: str = "") -> dict[str, str]:
    """What Plivo tells of one of two parts; the first one's id is that of the message."""
    return {
        "MessageUUID": f"v-{n}",
        "ParentMessageUUID": "v-1",
        "PartInfo": f"{n} of 2",
        "Status": status,
        "ErrorCode": error,
        "Units": "1",
    }


@pytest.mark.parametrize(
    ("told", "state", "code"),
    [
        pytest.param([part(1, "delivered")], MessageState.SENT, "", id="one is not all"),
        pytest.param([part(2, "delivered")], MessageState.SENT, "", id="nor is the second"),
        pytest.param([part(1, "delivered")] * 2, MessageState.SENT, "", id="nor one of them twice"),
        pytest.param([part(1, "delivered"), part(2, "delivered")], MessageState.DELIVERED, "", id="both"),
        pytest.param(
            [part(2, "delivered"), part(1, "delivered")], MessageState.DELIVERED, "", id="in any order"
        ),
        pytest.param(
            [part(1, "delivered"), part(2, "undelivered", "80")],
            MessageState.UNDELIVERED,
            "unreachable",
            id="the worst part wins",
        ),
        pytest.param(
            [part(2, "undelivered", "80"), part(1, "delivered")],
            MessageState.UNDELIVERED,
            "unreachable",
            id="in any order, too",
        ),
        pytest.param(
            [{"MessageUUID": "v-1", "ParentMessageUUID": "v-1", "PartInfo": "", "Status": "delivered"}],
            MessageState.DELIVERED,
            "",
            id="a message that was not split",
        ),
    ],
)
@pytest.mark.parametrize("signed", [plivo_v2, plivo_v3], ids=["V2", "V3"])
def test_a_message_is_delivered_when_all_its_parts_are(
    client: Client,
    told: list[dict[str, str]],
    state: MessageState,
    code: str,
    signed: Callable[[str, bytes], dict[str, str]],
) -> None:
    account = account_of("plivo")
    message, attempt = sent_message(account)
    path = f"{hook_path(account)}?ref={attempt.pk}"
    for fields in told:
        body = urlencode(fields).encode()
        kind = "application/x-www-form-urlencoded"
        assert client.post(path, body, content_type=kind, headers=signed(path, body)).status_code == 200
        inbox.read()
        matching.apply()
    message.refresh_from_db()
    assert (message.message_state, message.error_code) == (state, code)
    assert Event.objects.filter(message=message).count() == int(state.is_final)
    assert not DeliveryReport.objects.filter(effect=Effect.CONTRADICTION).exists()


# -- what is no message of a person, and the numbers of those that are


INFOBIP_SMS = {"messageId": "m-1", "from": "15550100123", "to": "51515", "text": "STOP"}
INFOBIP_SEEN = {
    "messageId": "m-2",
    "from": "51515",
    "to": "15550100123",
    "seenAt": "2026-01-15T10:00:00.000+0000",
}
TELNYX_CLICK = {
    "data": {
        "event_type": "message.link_click",
        "payload": {"id": "m-1", "url": "https://ex.example", "to": "+15550100123"},
    }
}


@pytest.mark.parametrize(
    ("vendor", "body", "heard", "parked"),
    [
        pytest.param(
            "infobip", {"results": [INFOBIP_SEEN]}, [], "", id="Infobip: somebody has seen a message"
        ),
        pytest.param(
            "infobip", {"results": [INFOBIP_SEEN, INFOBIP_SMS]}, ["STOP"], "", id="Infobip: beside a reply"
        ),
        pytest.param(
            "infobip",
            {"results": [{"messageId": "m-3", "from": "15550100123", "to": "51515"}]},
            [],
            "neither",
            id="Infobip: neither status nor text",
        ),
        pytest.param(
            "sinch",
            {
                "type": "mo_binary",
                "id": "m-1",
                "from": "15550100123",
                "to": "51515",
                "body": "AGYAbw==",
                "udh": "",
            },
            [],
            "binary",
            id="Sinch: bytes",
        ),
        pytest.param("telnyx", TELNYX_CLICK, [], "", id="Telnyx: a click on a link"),
    ],
)
def test_no_empty_message_and_no_drift_is_told(
    client: Client, vendor: str, body: Any, heard: list[str], parked: str
) -> None:
    account = account_of(vendor)
    before = drift(vendor)
    exchange = json.dumps(body).encode()
    headers = PROOFS[vendor](exchange, at=time.time()) if vendor in PROOFS else {}
    answer = client.post(hook_path(account), exchange, content_type="application/json", headers=headers)
    assert answer.status_code == 200
    inbox.read()
    matching.apply()
    assert [row.text for row in InboundMessage.objects.all()] == heard
    assert not DeliveryReport.objects.exists()
    assert drift(vendor) == before
    why = Inbox.objects.get().parked_why if parked else ""
    assert parked in why
    assert Inbox.objects.exists() is bool(parked)


def drift(vendor: str) -> float:
    """How many unknown words that vendor has said so far."""
    samples = [one for family in counters.contract_drift.collect() for one in family.samples]
    return sum(
        one.value for one in samples if one.labels.get("vendor") == vendor and one.name.endswith("_total")
    )


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        pytest.param("+22395", "22395", id="a short code with a plus"),
        pytest.param("0022395", "22395", id="with two zeros"),
        pytest.param("22395", "22395", id="bare"),
        pytest.param("+123", "123", id="the shortest"),
        pytest.param("+123456", "123456", id="the longest"),
        pytest.param("+15550100124", "+15550100124", id="a number"),
        pytest.param("15550100124", "+15550100124", id="a number without a plus"),
        pytest.param("Demo Shop", "Demo Shop", id="a name"),
    ],
)
@pytest.mark.parametrize("field", ["originator", "recipient"])
def test_a_short_code_is_no_international_number(client: Client, written: str, kept: str, field: str) -> None:
    account = account_of("messagebird")
    said = {
        "id": "m-1",
        "originator": "15550100123",
        "recipient": "15550100124",
        "body": "STOP",
        field: written,
    }
    client.post(hook_path(account), json.dumps(said), content_type="application/json")
    inbox.read()
    row = InboundMessage.objects.get()
    assert (row.sender if field == "originator" else row.recipient) == kept
    event = wire.inbound_event(
        event_id=row.id, channel="sms", occurred_at=row.received_at, sender_msisdn=row.sender,
        recipient=row.recipient, text="", media=(), message_id=row.id,
    )  # fmt: skip
    told = event["from" if field == "originator" else "to"]
    assert told == (f"00{kept[1:]}" if kept.startswith("+") else kept)
