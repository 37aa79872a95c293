"""Telnyx Messaging API v2: sending, refusals, signed events."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from outbound.values import HttpRequest
from tests.vendorkit import (
    HOOK_URL,
    REFERENCE,
    Answer,
    Check,
    Hook,
    Poll,
    Send,
    Vector,
    VendorKit,
    read,
    response,
)
from vendors.base import BadPayload, BadSignature
from vendors.telnyx import REFUSALS, REPORT_CODES, STATUSES, Telnyx
from vendors.values import Channel, Credentials, HookRequest, Inbound, Media, Outcome, Report, Status

SEED = bytes(range(32))
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(SEED)
PUBLIC_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
OTHER_KEY = base64.b64encode(
    Ed25519PrivateKey.from_private_bytes(SEED[::-1]).public_key().public_bytes_raw()
).decode()
PROFILE = "83d2343b-553f-4c5f-b8c8-fd27004f94bf"
ID = "ac012cbf-5e09-46af-a69a-7c0e2d90993c"
WEBHOOK = f"{HOOK_URL}?ref={REFERENCE}"
QUERY = f"ref={REFERENCE}"


def rows(codes: dict[str, str]) -> dict[str, str]:
    return {code: ours for ours, several in codes.items() for code in several.split()}


REFUSED = rows(
    {
        "credentials_refused": "10009 10010",
        "account_blocked": "40312 40314",
        "no_credit": "40333",
        "throttled": "10011 40318",
        "vendor_unavailable": "40320",
        "vendor_fault": "10007 10008",
        "opted_out": "40300",
        "invalid_recipient": "10001 10002 10016 40310",
        "invalid_sender": "40100 40305 40306 40307 40315 40321",
        "invalid_request": "10005 10015 40302 40303 40304 40316",
        "content_refused": "40322",
        "media_refused": "40317",
        "mms_unsupported": "40308",
        "no_route": "40309 40319 40331",
        "sender_not_registered": "40329 40330",
        "duplicate": "10012",
        "rejected_by_vendor": "40325",
    }
)
REPORTED = rows(
    {
        "no_route": "40001",
        "content_refused": "40002 40003 40015 40017",
        "rejected_by_vendor": "40004",
        "expired": "40005 40014",
        "vendor_fault": "40006",
        "unreachable": "40008",
        "invalid_request": "40009 40019",
        "sender_not_registered": "40010",
        "throttled": "40011 40016 40018",
        "invalid_recipient": "40012",
        "invalid_sender": "40013",
        "recipient_blocked": "40020",
    }
)
OUTCOMES = {
    "credentials_refused": Outcome.CONFIGURATION,
    "account_blocked": Outcome.CONFIGURATION,
    "no_credit": Outcome.CONFIGURATION,
    "throttled": Outcome.TEMPORARY,
    "vendor_unavailable": Outcome.TEMPORARY,
    "vendor_fault": Outcome.UNKNOWN,
}
WORDS = {
    "scheduled": Status.SENT,
    "queued": Status.SENT,
    "sending": Status.SENT,
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.DELIVERED,
    "sending_failed": Status.UNDELIVERED,
    "delivery_failed": Status.UNDELIVERED,
    "expired": Status.EXPIRED,
    "cancelled": Status.REJECTED,
    "delivery_unconfirmed": Status.SENT,
}
SMS = {
    "from": "+15550100",
    "to": "+421900000123",
    "type": "SMS",
    "text": "Hello",
    "webhook_url": WEBHOOK,
    "use_profile_webhooks": False,
}


def message(status: str = "queued", **changed: Any) -> dict[str, Any]:
    """An outbound message as answers and reports show it."""
    return {
        "record_type": "message",
        "direction": "outbound",
        "id": ID,
        "type": "SMS",
        "messaging_profile_id": PROFILE,
        "from": {"phone_number": "+15550100123", "carrier": "Telnyx", "line_type": "Wireless"},
        "to": [
            {"phone_number": "+15550100124", "status": status, "carrier": "T-MOBILE", "line_type": "Wireless"}
        ],
        "text": "Hello",
        "media": [],
        "encoding": "GSM-7",
        "parts": 1,
        "errors": [],
        "cost": {"amount": "0.0051", "currency": "USD"},
        "tags": [],
        "received_at": "2024-01-15T21:32:13.552+00:00",
        "sent_at": None,
        "completed_at": None,
        "valid_until": "2024-01-15T22:32:13.552+00:00",
        "wait_seconds": 0.0,
        "webhook_url": WEBHOOK,
        **changed,
    }


def event(payload: dict[str, Any], kind: str = "message.finalized") -> dict[str, Any]:
    return {
        "data": {
            "event_type": kind,
            "id": "4ee8c3a6-4995-4309-a3c6-38e3db9ea4be",
            "occurred_at": "2024-01-15T21:32:14.148+00:00",
            "record_type": "event",
            "payload": payload,
        },
        "meta": {"attempt": 1, "delivered_to": WEBHOOK},
    }


def error(code: str, title: str = "What is wrong", pointer: str = "/to") -> dict[str, Any]:
    detail = "Something about +15550100124."
    return {"code": code, "title": title, "detail": detail, "meta": {}, "source": {"pointer": pointer}}


def refusal(code: str, **words: str) -> dict[str, Any]:
    return {"errors": [error(code, **words)]}


def inbound(**changed: Any) -> dict[str, Any]:
    payload = {
        "id": "84cca175-9755-4859-b67f-4730d7f58aa3",
        "type": "MMS",
        "direction": "inbound",
        "from": {"phone_number": "+15550100123", "carrier": "T-Mobile USA", "line_type": "long_code"},
        "to": [{"phone_number": "+15550100124", "status": "webhook_delivered"}],
        "text": "STOP",
        "subject": None,
        "autoresponse_type": "STOP",
        "parts": 1,
        "media": [
            {
                "url": "https://media.telnyx.com/x.png",
                "content_type": "image/png",
                "sha256": "ab1c",
                "size": 102400,
            }
        ],
        "received_at": "2024-01-15T20:16:07.503+00:00",
        **changed,
    }
    return event(payload, "message.received")


REPORT = Report(
    Status.DELIVERED,
    "delivered",
    vendor_id=ID,
    reference=REFERENCE,
    segments=1,
    occurred_at=datetime(2024, 1, 15, 21, 32, 14, 148000, tzinfo=UTC),
    sent_as=Channel.SMS,
)
MO = Inbound(
    "84cca175-9755-4859-b67f-4730d7f58aa3",
    sender="+15550100123",
    recipient="+15550100124",
    channel=Channel.MMS,
    text="STOP",
    media=(Media("https://media.telnyx.com/x.png", "image/png"),),
    occurred_at=datetime(2024, 1, 15, 20, 16, 7, 503000, tzinfo=UTC),
)
PICTURES = (Media("https://media.example/a.jpg", "image/jpeg"), Media("https://media.example/b.png"))

# Worked out with another Ed25519 implementation than the adapter's.
VECTOR_BODY = (
    b'{"data":{"event_type":"message.finalized","id":"4ee8c3a6-4995-4309-a3c6-38e3db9ea4be",'
    b'"occurred_at":"2024-01-15T21:32:14.148+00:00","payload":{"id":"ac012cbf-5e09-46af-a69a-7c0e2d90993c",'
    b'"to":[{"phone_number":"+13125550002","status":"delivered"}]},"record_type":"event"},'
    b'"meta":{"attempt":1,"delivered_to":"https://example.com/webhooks"}}'
)
VECTOR = HookRequest(
    "POST",
    HOOK_URL,
    "",
    {},
    {
        "content-type": "application/json",
        "telnyx-timestamp": "1705354334",
        "telnyx-signature-ed25519": (
            "aQc4nn6fojalcuPF2Dvso52gjAPh7FnBPfN49e61NqT8T1HrCYT1XaZxoPdOUw+d/nglS2yRb9YT4KuYDURFAw=="
        ),
    },
    VECTOR_BODY,
)


class TestTelnyx(VendorKit):
    adapter = Telnyx()
    values: ClassVar[dict[str, str]] = {"api_key": "KEY0190TESTSabcdef", "public_key": PUBLIC_KEY}
    proof_headers = ("telnyx-timestamp", "telnyx-signature-ed25519")
    sends = (
        Send(
            "an SMS",
            SMS,
            url="https://api.telnyx.com/v2/messages",
            headers={
                "Authorization": "Bearer KEY0190TESTSabcdef",
                "Content-Type": "application/json",
                "Idempotency-Key": REFERENCE,
            },
        ),
        Send("letters outside GSM-7", SMS | {"text": "„Hi“", "encoding": "ucs2"}, {"text": "„Hi“"}),
        Send("letters of its extension", SMS | {"text": "€ [5]"}, {"text": "€ [5]"}),
        Send(
            "a name needs the profile",
            SMS | {"from": "ACME", "messaging_profile_id": PROFILE},
            {"sender": "ACME"},
            values={"messaging_profile_id": PROFILE},
        ),
        Send("a number needs none", SMS, values={"messaging_profile_id": PROFILE}),
        Send(
            "an MMS",
            SMS
            | {
                "type": "MMS",
                "text": "Grüße",
                "subject": "New",
                "media_urls": [file.url for file in PICTURES],
            },
            {"channel": Channel.MMS, "text": "Grüße", "subject": "New", "media": PICTURES},
        ),
        Send(
            "an MMS without words",
            {name: value for name, value in SMS.items() if name != "text"}
            | {"type": "MMS", "media_urls": ["https://media.example/a.jpg"]},
            {"channel": Channel.MMS, "text": "", "fallback_text": "no field for it", "media": PICTURES[:1]},
        ),
    )
    answers = (
        Answer("taken", 200, {"data": message(parts=2)}, Outcome.TAKEN, {"vendor_id": ID, "segments": 2}),
        Answer("taken without a price", 202, {"data": message(cost=None)}, Outcome.TAKEN, {"vendor_id": ID}),
        Answer("a yes without an id", 200, {"data": {}}, Outcome.UNKNOWN, {"code": "unreadable_answer"}),
        Answer(
            "the words without numbers",
            422,
            refusal("40310", title="Invalid 'to' address"),
            Outcome.PERMANENT,
            {"code": "invalid_recipient", "vendor_code": "40310", "text": "Invalid 'to' address"},
        ),
        Answer("opted out", 400, refusal("40300"), Outcome.PERMANENT, {"code": "opted_out"}),
        Answer(
            "a sender without MMS",
            422,
            refusal("40308"),
            Outcome.PERMANENT,
            {"code": "mms_unsupported", "mms_unsupported": True},
        ),
        Answer("wrong key", 401, refusal("10009"), Outcome.CONFIGURATION, {"code": "credentials_refused"}),
        Answer("no right", 403, refusal("10010"), Outcome.CONFIGURATION, {"code": "credentials_refused"}),
        Answer("no credit", 402, {"errors": []}, Outcome.CONFIGURATION, {"code": "no_credit"}),
        Answer(
            "a code goes before the status", 403, refusal("40305"), Outcome.PERMANENT, {"route_fault": True}
        ),
        Answer(
            "403 with a new code", 403, refusal("49999"), Outcome.PERMANENT, {"code": "rejected_by_vendor"}
        ),
        Answer(
            "a number that is the sender's",
            422,
            refusal("10016", pointer="/from"),
            Outcome.PERMANENT,
            {"code": "invalid_sender", "route_fault": True},
        ),
        Answer(
            "the same call is at work",
            409,
            b"",
            Outcome.UNKNOWN,
            {"code": "vendor_fault", "vendor_code": "409"},
        ),
        Answer("too slow", 408, b"", Outcome.UNKNOWN),
        Answer(
            "throttled",
            429,
            refusal("10011"),
            Outcome.TEMPORARY,
            {"code": "throttled", "retry_after": 12.0},
            headers={"x-ratelimit-limit": "50", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "12"},
        ),
        Answer("throttled without a hint", 429, b"", Outcome.TEMPORARY, {"retry_after": None}),
        Answer("a fault", 500, refusal("10007"), Outcome.UNKNOWN, {"vendor_code": "10007"}),
    )
    polls = (
        Poll(
            "delivered",
            200,
            {"data": message("delivered", id="v-1", completed_at="2024-01-15T21:32:14.148+00:00")},
            replace(REPORT, vendor_id="v-1"),
        ),
        Poll(
            "under way",
            200,
            {"data": message("sent", id="v-1")},
            replace(REPORT, status=Status.SENT, vendor_status="sent", vendor_id="v-1", occurred_at=None),
        ),
        Poll("another message", 200, {"data": message("delivered")}, None),
        Poll("too old", 404, refusal("10005"), None),
    )
    checks = (
        Check("right", 200, {"data": {"record_type": "balance", "balance": "5.00", "currency": "USD"}}, True),
        Check("wrong", 401, refusal("10009"), False),
        Check("fault", 503, b"", None),
    )
    hooks = (
        Hook("delivered", (REPORT,), event(message("delivered")), query=QUERY),
        Hook("an event without our query", (replace(REPORT, reference=""),), event(message("delivered"))),
        Hook(
            "sent",
            (replace(REPORT, status=Status.SENT, vendor_status="sent"),),
            event(message("sent"), "message.sent"),
            query=QUERY,
        ),
        Hook(
            "a code",
            (
                replace(
                    REPORT,
                    status=Status.UNDELIVERED,
                    vendor_status="delivery_failed",
                    code="unreachable",
                    vendor_code="40008",
                    text="Undeliverable",
                    segments=3,
                    sent_as=Channel.MMS,
                ),
            ),
            event(message("delivery_failed", type="MMS", parts=3, errors=[error("40008", "Undeliverable")])),
            query=QUERY,
        ),
        Hook(
            "a sender without MMS",
            (
                replace(
                    REPORT,
                    status=Status.REJECTED,
                    vendor_status="sending_failed",
                    code="mms_unsupported",
                    vendor_code="40308",
                    text="What is wrong",
                    mms_unsupported=True,
                    sent_as=Channel.MMS,
                ),
            ),
            event(message("sending_failed", type="MMS", errors=[error("40308")])),
            query=QUERY,
        ),
        Hook("an inbound MMS", (MO,), inbound()),
        Hook(
            "an inbound SMS",
            (replace(MO, channel=Channel.SMS, media=()),),
            inbound(type="SMS", media=[]),
        ),
        Hook("an inbound MMS without words", (replace(MO, text=""),), inbound(text=None)),
    )
    unknown_status = Hook("teleported", (), event(message("teleported")))
    vectors = (Vector("another implementation's", VECTOR, {}, at=1705354334.0),)
    bad_values = (
        ({"public_key": "no key"}, "public_key"),
        ({"public_key": "AAAA"}, "public_key"),
        ({"messaging_profile_id": "default"}, "messaging_profile_id"),
        ({"messaging_profile_id": "default", "api_key": ""}, "api_key"),
        ({"messaging_profile_id": "default", "api_key": ""}, "messaging_profile_id"),
    )

    def number(self, msisdn: str) -> str:
        return msisdn

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        body = read(request)
        return body["from"], body["to"], body["text"]

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        stamp = str(int(at))
        proof = PRIVATE_KEY.sign(stamp.encode() + b"|" + hook.body)
        signed = {
            "telnyx-timestamp": stamp,
            "telnyx-signature-ed25519": base64.b64encode(proof).decode(),
        }
        return replace(hook, headers={**hook.headers, **signed})

    def other_credentials(self) -> Credentials:
        return self.credentials(public_key=OTHER_KEY)

    def test_the_same_bytes_may_be_sent_again_for_a_day(self) -> None:
        credentials = self.credentials()
        assert self.adapter.repeat_window(credentials) == timedelta(hours=24)
        once, again = (self.adapter.build([self.outgoing(text="ž")], credentials) for _ in range(2))
        assert (once.url, once.headers, once.body) == (again.url, again.headers, again.body)
        other = self.adapter.build([self.outgoing(reference="another")], credentials)
        assert other.headers["Idempotency-Key"] == "another"

    def test_the_public_key_is_no_secret(self) -> None:
        assert self.credentials().settings["public_key"] == PUBLIC_KEY
        assert set(self.credentials().secrets) == {"api_key"}

    def test_an_account_without_a_key_trusts_nobody(self) -> None:
        credentials = replace(self.credentials(), settings={})
        with pytest.raises(BadSignature):
            self.adapter.verify(self.signed_hook(time.time()), credentials)

    def test_a_stamp_belongs_to_its_signature(self) -> None:
        good = self.signed_hook(time.time())
        later = {**good.headers, "telnyx-timestamp": str(int(time.time()) + 5)}
        with pytest.raises(BadSignature):
            self.adapter.verify(replace(good, headers=later), self.credentials())

    def test_a_poll_asks_by_the_vendors_id(self) -> None:
        request = self.adapter.poll(self.sent(vendor_id="a/b"), self.credentials())
        assert request is not None
        assert (request.method, request.url) == ("GET", "https://api.telnyx.com/v2/messages/a%2Fb")

    def test_the_credential_check_shows_no_secret(self) -> None:
        request = self.adapter.credential_check(self.credentials())
        assert request is not None
        assert (request.method, request.url) == ("GET", "https://api.telnyx.com/v2/balance")

    def test_no_code_is_forgotten(self) -> None:
        assert set(REFUSED) == set(REFUSALS)
        assert set(REFUSED) | set(REPORTED) == set(REPORT_CODES)
        assert set(WORDS) == set(STATUSES)

    @pytest.mark.parametrize(("code", "ours"), REFUSED.items())
    def test_refusals(self, code: str, ours: str) -> None:
        result = self.parse(response(422, refusal(code)))
        assert (result.code, result.vendor_code) == (ours, code)
        assert result.outcome is OUTCOMES.get(ours, Outcome.PERMANENT)
        assert result.mms_unsupported is (code == "40308")

    def read(self, body: object) -> Report:
        hook = self.hook_request(Hook("", (), body, query=QUERY))
        (report,) = self.adapter.parse_hook(hook, replace(self.credentials(), secrets={}))
        assert isinstance(report, Report)
        return report

    @pytest.mark.parametrize(("word", "status"), WORDS.items())
    def test_status_words(self, word: str, status: Status) -> None:
        report = self.read(event(message(word.upper())))
        assert (report.status, report.vendor_status, report.reference) == (status, word, REFERENCE)

    @pytest.mark.parametrize(("code", "ours"), {**REFUSED, **REPORTED}.items())
    def test_report_codes(self, code: str, ours: str) -> None:
        report = self.read(event(message("delivery_failed", errors=[error(code)])))
        assert report.status is (Status.EXPIRED if ours == "expired" else Status.UNDELIVERED)
        assert (report.code, report.vendor_code) == (ours, code)
        assert "+1555" not in report.text

    @pytest.mark.parametrize(
        ("code", "status"),
        [
            pytest.param("40300", Status.REJECTED, id="STOP"),
            pytest.param("40333", Status.REJECTED, id="spending limit"),
            pytest.param("40014", Status.EXPIRED, id="too long in the queue"),
            pytest.param("40011", Status.UNDELIVERED, id="carrier's limit"),
            pytest.param("", Status.UNDELIVERED, id="no code"),
        ],
    )
    def test_what_telnyx_itself_refused_is_rejected(self, code: str, status: Status) -> None:
        errors = [error(code)] if code else []
        assert self.read(event(message("sending_failed", errors=errors))).status is status

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(event(message(), "call.initiated"), id="about a call"),
            pytest.param(event(message(id="")), id="no id"),
            pytest.param(event(message(to=[])), id="no recipient"),
        ],
    )
    def test_what_is_not_about_a_message_is_parked(self, body: object) -> None:
        with pytest.raises(BadPayload):
            self.read(body)

    def test_the_signature_covers_the_bytes_and_not_the_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: 1705354334.0)
        self.adapter.verify(VECTOR, self.credentials())
        spaced = json.dumps(json.loads(VECTOR.body)).encode()
        with pytest.raises(BadSignature):
            self.adapter.verify(replace(VECTOR, body=spaced), self.credentials())
