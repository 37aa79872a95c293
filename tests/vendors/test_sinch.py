"""Sinch: the SMS REST API with `mt_media`, and the MMS JSON API."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from outbound.values import HttpRequest
from tests.vendorkit import (
    HOOK_URL,
    REFERENCE,
    Answer,
    Check,
    Hook,
    LookUp,
    Poll,
    Send,
    Vector,
    VendorKit,
    read,
    response,
)
from tests.vendors.specs import conforms, spec
from vendors import writing
from vendors.base import BadPayload, BadSignature, SettingsError
from vendors.sinch import Sinch, mms, xms
from vendors.sinch.adapter import signature
from vendors.values import (
    Channel,
    Credentials,
    Found,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Presence,
    Report,
    SendResult,
    Status,
)

NOW = 1768471200.0  # 2026-01-15T10:00:00Z
BATCH = "01FC66621VHDBN119Z8PMV1QPU"
SECRET = "a webhook secret of the tests"
PLAN = "0123456789abcdef0123456789abcdef"
PROJECT = {
    "credentials": "project",
    "project_id": "project-1",
    "key_id": "key-1",
    "key_secret": "the key's secret",
}
BY_MMS_API = {"mms": "json", "mms_api_key": "an MMS key of the tests", "mms_service_id": "campaign-7"}
BASIC = {"hook_secret": "", "hook_user": "sinch", "hook_password": "a password: of the tests"}

SMS = {
    "type": "mt_text",
    "from": "15550100",
    "to": ["421900000123"],
    "body": "Hello",
    "client_reference": REFERENCE,
    "delivery_report": "per_recipient",
    "callback_url": HOOK_URL,
    "expire_at": "2026-01-15T12:00:00.000Z",
    "max_number_of_message_parts": 255,
}
COMMON = {
    name: SMS[name]
    for name in ("from", "to", "client_reference", "delivery_report", "callback_url", "expire_at")
}
PICTURE = Media("https://media.example/a.jpg", "image/jpeg")
SENDMMS = {
    "action": "sendmms",
    "service-id": "campaign-7",
    "to": "421900000123",
    "from": "15550100",
    "message-subject": "New",
    "client-reference": REFERENCE,
    "disable-fallback-sms": True,
    "mms-expiry-timestamp": "2026-01-15T12:00:00Z",
    "slide": [{"image": {"url": PICTURE.url}}],
}
MMS = {"channel": Channel.MMS, "subject": "New", "media": (PICTURE,), "text": ""}
TAKEN = {
    "id": BATCH,
    "to": ["15550100123"],
    "from": "15550100100",
    "canceled": False,
    "body": "Hello",
    "type": "mt_text",
    "created_at": "2026-01-15T10:00:00.000Z",
    "modified_at": "2026-01-15T10:00:00.000Z",
    "delivery_report": "per_recipient",
    "client_reference": REFERENCE,
}
REPORT: dict[str, Any] = {
    "type": "recipient_delivery_report_sms",
    "batch_id": BATCH,
    "recipient": "15550100123",
    "code": 0,
    "status": "Delivered",
    "at": "2026-01-15T10:00:05.123Z",
    "operator_status_at": "2026-01-15T10:00:04.000Z",
    "client_reference": REFERENCE,
    "number_of_message_parts": 2,
    "encoding": "GSM",
    "operator": "310260",
}
DELIVERED = Report(
    Status.DELIVERED,
    "Delivered",
    vendor_id=BATCH,
    reference=REFERENCE,
    segments=2,
    occurred_at=datetime(2026, 1, 15, 10, 0, 5, 123000, tzinfo=UTC),
)
SUMMARY = {
    "type": "delivery_report_sms",
    "batch_id": BATCH,
    "total_message_count": 1,
    "client_reference": REFERENCE,
    "statuses": [{"code": 0, "status": "Delivered", "count": 1}],
}
SUMMED = Report(Status.DELIVERED, "Delivered", vendor_id=BATCH, reference=REFERENCE)
POSTBACK: dict[str, Any] = {
    "origin": "MMS_MT",
    "code": "N102",
    "status": "Message Sent/Delivered",
    "sent-as": "MMS",
    "mms-id": "35674",
    "from": "15550100100",
    "to": "15550100123",
    "tracking-id": "MMS_12345",
    "operator-id": "31062",
    "timestamp": "2026-01-15T05:00:05-05:00",
}
TEXTED = {
    "type": "mo_text",
    "id": "01FC66621XXXXX119Z8PMV1QPA",
    "from": "15550100123",
    "to": "15550100100",
    "body": "STOP",
    "received_at": "2026-01-15T10:00:00.000Z",
    "operator_id": "310260",
}
PICTURED = {
    **TEXTED,
    "type": "mo_media",
    "body": {
        "subject": "Hi",
        "message": "Look",
        "media": [
            {
                "url": "https://media.example/b.jpg",
                "content_type": "image/jpeg",
                "status": "Uploaded",
                "code": 0,
            },
            {"status": "Failed", "code": 1},
        ],
    },
}
WORKED_BODY = (
    b'{"at":"2026-01-15T10:00:00.000Z","batch_id":"01HBATCH000000000000000001","client_reference":"msg-0001","code":0,'
    b'"operator_status_at":"2026-01-15T09:59:00.000Z","recipient":"15551231234","status":"Delivered",'
    b'"type":"recipient_delivery_report_sms"}'
)


@pytest.fixture(autouse=True)
def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What adapters see of time stands still; tests ask the same clock."""
    monkeypatch.setattr(time, "time", lambda: NOW)


class TestSinch(VendorKit):
    adapter = Sinch()
    values: ClassVar = {
        "region": "eu",
        "service_plan_id": PLAN,
        "api_token": "a token of the tests",
        "hook_secret": SECRET,
    }
    proof_headers = (
        "x-sinch-webhook-signature",
        "x-sinch-webhook-signature-nonce",
        "x-sinch-webhook-signature-timestamp",
    )
    on_500 = Outcome.TEMPORARY  # documented: the request was not processed
    bad_values = (
        ({"region": "mars"}, "region"),
        ({"region": ""}, "region"),
        ({"service_plan_id": ""}, "service_plan_id"),
        ({"service_plan_id": "a/b"}, "service_plan_id"),
        ({"api_token": ""}, "api_token"),
        ({**PROJECT, "project_id": " "}, "project_id"),
        ({**PROJECT, "project_id": "https://x"}, "project_id"),
        ({**PROJECT, "key_id": ""}, "key_id"),
        ({**PROJECT, "key_id": "a:b"}, "key_id"),
        ({**PROJECT, "key_secret": ""}, "key_secret"),
        ({**BY_MMS_API, "mms_api_key": ""}, "mms_api_key"),
        ({**BY_MMS_API, "mms_service_id": ""}, "mms_service_id"),
        ({"hook_user": "sinch"}, "hook_password"),
        ({"hook_password": "x"}, "hook_user"),
        ({"auth_url": "nowhere"}, "auth_url"),
        ({"mms_url": "nowhere"}, "mms_url"),
    )
    sends = (
        Send(
            "an SMS",
            SMS,
            url=f"https://eu.sms.api.sinch.com/xms/v1/{PLAN}/batches",
            headers={"Authorization": "Bearer a token of the tests", "Content-Type": "application/json"},
        ),
        Send(
            "a region",
            SMS,
            values={"region": "br"},
            url=f"https://br.sms.api.sinch.com/xms/v1/{PLAN}/batches",
        ),
        Send(
            "a project",
            SMS,
            values=PROJECT,
            url="https://zt.eu.sms.api.sinch.com/xms/v1/project-1/batches",
            headers={"Authorization": None},  # type: ignore[dict-item]  # the token comes where the call is made
        ),
        Send(
            "a proxy",
            SMS,
            values={"base_url": "https://proxy.example/sinch/"},
            url=f"https://proxy.example/sinch/xms/v1/{PLAN}/batches",
        ),
        Send(
            "what looks like a placeholder",
            {
                **SMS,
                "body": "Cost: ${dollar}{price} $5 ${dollar}{${dollar}{x}}",
                "parameters": {"dollar": {"default": "$"}},
            },
            {"text": "Cost: ${price} $5 ${${x}}"},
        ),
        Send(
            "no longer than Sinch keeps it",
            {name: value for name, value in SMS.items() if name != "expire_at"},
            {"validity": 7 * 24 * 3600.0},
        ),
        Send(
            "an MMS",
            {
                **COMMON,
                "type": "mt_media",
                "body": {"subject": "New", "message": "Look", "url": "https://media.example/a.jpg"},
            },
            {**MMS, "text": "Look", "fallback_text": "the connector's business"},
            url=f"/xms/v1/{PLAN}/batches",
        ),
        Send(
            "an MMS of a picture alone",
            {**COMMON, "type": "mt_media", "body": {"url": "https://media.example/a.jpg"}},
            {**MMS, "subject": ""},
        ),
        Send(
            "an MMS through its own API",
            SENDMMS,
            MMS,
            values=BY_MMS_API,
            url="https://api.ci.mblox.com/ep/v2/",
            headers={
                "x-api-key": "an MMS key of the tests",
                "Content-Type": "application/json; charset=utf-8",
                "Authorization": None,  # type: ignore[dict-item]
            },
        ),
        Send(
            "an MMS with everything",
            {
                **SENDMMS,
                "message-subject": "MMS",
                "disable-fallback-sms": False,
                "fallback-sms-text": "Look: ${it}",
                "disable-fallback-sms-link": True,
                "slide": [
                    {"image": {"url": PICTURE.url}, "message-text": "For ${you}"},
                    {"video": {"url": "https://media.example/b.mp4"}},
                    {"vcard": {"url": "https://media.example/c"}},
                    {"image": {"url": "https://media.example/d"}},
                ],
            },
            {
                **MMS,
                "subject": "",
                "text": "For ${you}",
                "fallback_text": "Look: ${it}",
                "media": (
                    PICTURE,
                    Media("https://media.example/b.mp4"),
                    Media("https://media.example/c", "text/vcard; charset=utf-8"),
                    Media("https://media.example/d"),
                ),
            },
            values={**BY_MMS_API, "mms_url": "https://proxy.example/mms"},
            url="https://proxy.example/mms/ep/v2/",
        ),
        Send("an SMS beside the MMS API", SMS, values=BY_MMS_API, url=f"/xms/v1/{PLAN}/batches"),
    )
    answers = (
        Answer("taken", 201, TAKEN, Outcome.TAKEN, {"vendor_id": BATCH, "segments": None}),
        Answer("an MMS taken", 201, TAKEN, Outcome.TAKEN, {"vendor_id": BATCH}, message=MMS),
        Answer(
            "a wrong number",
            400,
            {"code": "syntax_invalid_parameter_format", "text": "Invalid MSISDN +15550100123 in to"},
            Outcome.PERMANENT,
            {
                "code": "invalid_request",
                "vendor_code": "syntax_invalid_parameter_format",
                "text": "Invalid MSISDN +15550100123 in to",
            },
        ),
        Answer("another 400", 400, {"code": "syntax_new", "text": "New"}, Outcome.PERMANENT, {"text": "New"}),
        Answer(
            "another 403 is about the message",
            403,
            {"code": "something_new", "text": "No"},
            Outcome.PERMANENT,
            {"code": "rejected_by_vendor", "vendor_code": "something_new"},
        ),
        Answer("403 without a code", 403, b"", Outcome.CONFIGURATION, {"code": "credentials_refused"}),
        Answer("401", 401, b"", Outcome.CONFIGURATION, {"code": "credentials_refused", "vendor_code": "401"}),
        Answer("no such plan", 404, b"", Outcome.CONFIGURATION, {"code": "credentials_refused"}),
        Answer("405", 405, b"", Outcome.PERMANENT, {"code": "rejected_by_vendor"}),
        Answer("415", 415, b"", Outcome.PERMANENT, {"code": "rejected_by_vendor"}),
        Answer("500 was not processed", 500, b"", Outcome.TEMPORARY, {"code": "vendor_unavailable"}),
        Answer("503 may have been", 503, b"", Outcome.UNKNOWN, {"code": "vendor_fault"}),
        Answer(
            "a yes without an id", 201, {"canceled": False}, Outcome.UNKNOWN, {"code": "unreadable_answer"}
        ),
        Answer(
            "the MMS API takes",
            200,
            {
                "status": "Success",
                "to": "15550100123",
                "mms-id": "35674",
                "tracking-id": "MMS_12345",
                "status-details": "MMS request accepted and queued for delivery",
            },
            Outcome.TAKEN,
            {"vendor_id": "MMS_12345"},
            message=MMS,
            values=BY_MMS_API,
        ),
        Answer(
            "the MMS API refuses",
            200,
            {
                "status": "Failure",
                "error-code": "E111",
                "to": "15550100123",
                "error-info": "Invalid shortcode",
            },
            Outcome.PERMANENT,
            {
                "code": "invalid_sender",
                "vendor_code": "E111",
                "text": "Invalid shortcode",
                "route_fault": True,
                "mms_unsupported": False,
            },
            message=MMS,
            values=BY_MMS_API,
        ),
        Answer(
            "the MMS API refuses with an unknown code",
            200,
            {"status": "Failure", "error-code": "E998"},
            Outcome.PERMANENT,
            {"code": "rejected_by_vendor", "vendor_code": "E998"},
            message=MMS,
            values=BY_MMS_API,
        ),
        *(
            Answer(id_, status, body, outcome, message=MMS, values=BY_MMS_API)
            for id_, status, body, outcome in (
                ("the MMS API says yes to nothing", 200, {"status": "Success"}, Outcome.UNKNOWN),
                ("the MMS API answers nothing", 200, b"", Outcome.UNKNOWN),
                ("the MMS API answers with a batch", 201, TAKEN, Outcome.UNKNOWN),
                ("the MMS API fails", 500, b"", Outcome.UNKNOWN),
                ("the MMS API fails and names a code", 500, {"error-code": "E111"}, Outcome.UNKNOWN),
                (
                    "a fault that says Success",
                    500,
                    {"status": "Success", "tracking-id": "MMS_1"},
                    Outcome.UNKNOWN,
                ),
                ("the MMS API is busy", 429, b"", Outcome.TEMPORARY),
                ("the MMS API refuses the key", 401, b"", Outcome.CONFIGURATION),
            )
        ),
    )
    hooks = (
        Hook("delivered", (DELIVERED,), REPORT),
        Hook("the code as text", (DELIVERED,), {**REPORT, "code": "0"}),
        Hook("capitals", (replace(DELIVERED, vendor_status="DELIVERED"),), {**REPORT, "status": "DELIVERED"}),
        Hook(
            "on its way",
            (Report(Status.SENT, "Dispatched", vendor_id=BATCH),),
            {"type": "recipient_delivery_report_sms", "batch_id": BATCH, "code": 401, "status": "Dispatched"},
        ),
        Hook(
            "the handset has no MMS",
            (
                replace(
                    DELIVERED,
                    status=Status.UNDELIVERED,
                    vendor_status="Failed",
                    code="mms_unsupported",
                    vendor_code="416",
                    text="Failed",
                    mms_unsupported=True,
                ),
            ),
            {**REPORT, "type": "recipient_delivery_report_mms", "code": 416, "status": "Failed"},
        ),
        Hook("a summary", (SUMMED,), SUMMARY),
        Hook("a full report on an MMS", (SUMMED,), {**SUMMARY, "type": "delivery_report_mms"}),
        Hook(
            "another program's batch",
            (),
            {**SUMMARY, "statuses": [{"code": 0, "status": "Delivered", "count": 2}]},
        ),
        Hook(
            "another program's batch of several fates",
            (),
            {**SUMMARY, "statuses": [{"status": "Delivered", "count": 1}, {"status": "Failed", "count": 1}]},
        ),
        Hook(
            "an inbound SMS",
            (
                Inbound(
                    "01FC66621XXXXX119Z8PMV1QPA",
                    "15550100123",
                    "15550100100",
                    text="STOP",
                    occurred_at=datetime(2026, 1, 15, 10, tzinfo=UTC),
                ),
            ),
            TEXTED,
        ),
        Hook(
            "an inbound MMS",
            (
                Inbound(
                    "01FC66621XXXXX119Z8PMV1QPA",
                    "15550100123",
                    "15550100100",
                    channel=Channel.MMS,
                    text="Look",
                    media=(Media("https://media.example/b.jpg", "image/jpeg"),),
                    occurred_at=datetime(2026, 1, 15, 10, tzinfo=UTC),
                ),
            ),
            PICTURED,
        ),
        Hook(
            "the MMS API delivered",
            (
                Report(
                    Status.DELIVERED,
                    "N102",
                    vendor_id="MMS_12345",
                    text="Message Sent/Delivered",
                    occurred_at=datetime(2026, 1, 15, 10, 0, 5, tzinfo=UTC),
                    sent_as=Channel.MMS,
                ),
            ),
            POSTBACK,
        ),
        Hook(
            "an inbound MMS of the MMS API",
            (
                Inbound(
                    "mo123x",
                    "15550100123",
                    "15550100100",
                    channel=Channel.MMS,
                    text="INFO please",
                    media=(Media("https://media.example/1.jpg"), Media("https://media.example/2.txt")),
                    occurred_at=datetime(2026, 1, 15, 10, tzinfo=UTC),
                ),
            ),
            {
                "origin": "MMS_MO",
                "code": "N401",
                "from": "15550100123",
                "to": "15550100100",
                "keyword": "INFO",
                "tracking-id": "mo123x",
                "operator-id": "31062",
                "timestamp": "2026-01-15T05:00:00-05:00",
                "message-subject": "INFO please",
                "content": [{"file": "https://media.example/1.jpg"}, {"file": "https://media.example/2.txt"}],
                "copy-to": [{"number": "15550100124"}],
            },
        ),
    )
    unknown_status = Hook("a new word", (), {**REPORT, "status": "Teleported"})
    look_ups = (
        LookUp("found", 200, {"count": 1, "page": 0, "batches": [TAKEN]}, Found(Presence.FOUND, BATCH)),
        LookUp("absent", 200, {"count": 0, "page": 0, "batches": []}, Found(Presence.ABSENT)),
        LookUp("a page beyond", 200, {"count": 3, "page": 9, "batches": []}, Found(Presence.CANNOT_TELL)),
        LookUp(
            "another batch",
            200,
            {"count": 1, "batches": [{**TAKEN, "client_reference": "x"}]},
            Found(Presence.CANNOT_TELL),
        ),
        LookUp("no count", 200, {"batches": []}, Found(Presence.CANNOT_TELL)),
        LookUp("refused", 401, {"count": 0, "batches": []}, Found(Presence.CANNOT_TELL)),
        LookUp("no such plan", 404, {"count": 0, "batches": []}, Found(Presence.CANNOT_TELL)),
    )
    polls = (
        Poll("delivered", 200, {**SUMMARY, "batch_id": "v-1"}, replace(SUMMED, vendor_id="v-1")),
        Poll(
            "on its way",
            200,
            {**SUMMARY, "batch_id": "v-1", "statuses": [{"code": 401, "status": "Dispatched", "count": 1}]},
            replace(SUMMED, vendor_id="v-1", status=Status.SENT, vendor_status="Dispatched"),
        ),
        Poll("another batch", 200, SUMMARY, None),
        Poll("no status yet", 200, {**SUMMARY, "batch_id": "v-1", "statuses": []}, None),
        Poll("unknown batch", 404, b"", None),
    )
    checks = (
        Check("good", 200, {"page": 0, "page_size": 1, "count": 0, "batches": []}, True),
        Check("bad token", 401, b"", False),
        Check("no such plan", 404, b"", False),
        Check("down", 503, b"", None),
    )
    vectors = (
        Vector(
            "Sinch's own functions",
            HookRequest(
                "POST",
                HOOK_URL,
                "",
                {},
                {
                    "x-sinch-webhook-signature": "FuY1our5QFb2tBBpp3fEzwLZdoobITPsQm6eHmJjn3I=",
                    "x-sinch-webhook-signature-nonce": "01HNONCE0000000000000000AA",
                    "x-sinch-webhook-signature-timestamp": "1768471200",
                },
                WORKED_BODY,
            ),
            {"hook_secret": "test-secret"},
            at=NOW + 299,
        ),
    )

    def number(self, msisdn: str) -> str:
        return msisdn.removeprefix("+")

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        body = read(request)
        (recipient,) = body["to"]
        return body["from"], recipient, rendered(body["body"], body.get("parameters", {}))

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        nonce, stamp = "01HNONCE", str(int(at))
        proof = signature(credentials.secrets["hook_secret"], nonce, stamp, hook.body).decode()
        named = dict(zip(self.proof_headers, (proof, nonce, stamp), strict=True))
        return replace(hook, headers={**hook.headers, **named})


def rendered(text: str, parameters: dict[str, dict[str, str]]) -> str:
    """What Sinch makes of a text: one pass, each placeholder by its default."""
    out, rest = "", text
    while "${" in rest:
        before, _, rest = rest.partition("${")
        name, closed, rest = rest.partition("}")
        assert closed
        out += before + parameters[name]["default"]
    return out + rest


ADAPTER = TestSinch.adapter


def credentials(**changed: str) -> Credentials:
    return TestSinch.credentials(**changed)


def parse_hook(body: Any, path: str = "", **changed: str) -> Any:
    hook = replace(TestSinch.hook_request(Hook("", (), body)), path=path)
    return ADAPTER.parse_hook(hook, replace(credentials(**changed), secrets={}))


def parsed(status: int, body: Any, message: dict[str, Any] | None = None, **changed: str) -> SendResult:
    sent = TestSinch.outgoing(**(message or {}))
    (result,) = ADAPTER.parse([sent], response(status, body), credentials(**changed))
    return result


# -- tables, row by row

REFUSALS = [
    ("syntax_invalid_json", 400, Outcome.PERMANENT, "invalid_request"),
    ("syntax_invalid_parameter_format", 400, Outcome.PERMANENT, "invalid_request"),
    ("syntax_constraint_violation", 400, Outcome.PERMANENT, "invalid_request"),
    ("unknown_group", 403, Outcome.PERMANENT, "invalid_recipient"),
    ("missing_callback_url", 403, Outcome.PERMANENT, "invalid_request"),
    ("illegal_number_type", 403, Outcome.PERMANENT, "invalid_request"),
    ("llegal_number_type", 403, Outcome.PERMANENT, "invalid_request"),
    ("blocked_account", 403, Outcome.CONFIGURATION, "account_blocked"),
]


@pytest.mark.parametrize(("code", "status", "outcome", "ours"), REFUSALS)
def test_refusals_of_the_sms_api(code: str, status: int, outcome: Outcome, ours: str) -> None:
    result = parsed(status, {"code": code, "text": "words"})
    assert (result.outcome, result.code, result.vendor_code, result.text) == (outcome, ours, code, "words")


MMS_REFUSALS = {
    "account_blocked": "E103",
    "credentials_refused": "E104 E105 E107 E112",
    "throttled": "E106 E113",
    "vendor_unavailable": "E503 E618 E626",
    "invalid_recipient": "E110",
    "invalid_sender": "E111",
    "recipient_blocked": "E114",
    "content_refused": "E228 E229 E334",
    "media_refused": "E331 E332 E333 E335 E336 E337 E338 E341 E351 E352 E353 E355 E356 E357 E358 E629",
    "no_route": "E619 E628",
    "invalid_request": "E100 E108 E212 E213 E214 E223 E224 E225 E226 E227 E230 E241 E311 E312 E313 E314 E620 E622 "
    "E627 E650 E651",
}
PAUSING, PASSING = ("account_blocked", "credentials_refused"), ("throttled", "vendor_unavailable")


@pytest.mark.parametrize(
    ("code", "ours"), [(code, ours) for ours, all_ in MMS_REFUSALS.items() for code in all_.split()]
)
def test_refusals_of_the_mms_api(code: str, ours: str) -> None:
    answer = {"status": "Failure", "error-code": code, "error-info": "words"}
    result = parsed(200, answer, MMS, **BY_MMS_API)
    expected = (
        Outcome.CONFIGURATION
        if ours in PAUSING
        else Outcome.TEMPORARY
        if ours in PASSING
        else Outcome.PERMANENT
    )
    assert (result.outcome, result.code, result.vendor_code) == (expected, ours, code)
    assert (result.text, result.mms_unsupported) == ("words", False)


def test_the_tables_have_no_row_without_a_test() -> None:
    assert {code for code, *_ in REFUSALS} == set(xms.ERRORS)
    assert {code for all_ in MMS_REFUSALS.values() for code in all_.split()} == set(mms.ERRORS)
    assert {word for word, *_ in STATUSES} >= set(xms.STATUSES)
    assert {code for all_ in REPORT_CODES.values() for code in all_.split()} == set(xms.REPORT_CODES)
    assert {row[0] for row in POSTBACKS} >= set(mms.STATUSES)


STATUSES = [
    ("queued", 400, Status.SENT, ""),
    ("dispatched", 401, Status.SENT, ""),
    ("delivered", 0, Status.DELIVERED, ""),
    ("failed", 150, Status.UNDELIVERED, "invalid_recipient"),
    ("deleted", 0, Status.UNDELIVERED, ""),
    ("aborted", 403, Status.UNDELIVERED, "vendor_fault"),
    ("aborted", 402, Status.REJECTED, "no_route"),
    ("aborted", 406, Status.EXPIRED, "expired"),
    ("aborted", 408, Status.REJECTED, "rejected_by_vendor"),
    ("aborted", 412, Status.REJECTED, "no_route"),
    ("cancelled", 407, Status.UNDELIVERED, "cancelled"),
    ("cancelled", 406, Status.EXPIRED, "expired"),
    ("rejected", 999, Status.REJECTED, ""),
    ("expired", 0, Status.EXPIRED, "expired"),
    ("expired", 153, Status.EXPIRED, "unreachable"),
    ("unknown", 404, Status.SENT, ""),
    ("delivered", 416, Status.DELIVERED, ""),
    ("dispatched", 418, Status.SENT, ""),
]


@pytest.mark.parametrize("written", [str.capitalize, str.upper])
@pytest.mark.parametrize(("word", "code", "status", "ours"), STATUSES)
def test_status_words(word: str, code: int, status: Status, ours: str, written: Any) -> None:
    (report,) = parse_hook({**REPORT, "status": written(word), "code": code})
    told = "" if code in (0, 400, 401) else str(code)
    assert (report.status, report.code, report.vendor_code) == (status, ours, told)
    assert report.vendor_status == written(word)
    assert report.mms_unsupported is False


REPORT_CODES = {
    "no_route": "402 412 12 13 17 152 154 204",
    "vendor_fault": "403 404 40 50 51 52 53 54 55 56",
    "invalid_request": "405 334",
    "expired": "406 339",
    "rejected_by_vendor": "408 415",
    "invalid_sender": "410 60 310 311 312",
    "content_refused": "411 15 62 343",
    "mms_unsupported": "416 418",
    "unreachable": "417 153 159 201 202",
    "invalid_recipient": "100 150 300 301 302",
    "recipient_blocked": "61 151 254 255 256 257",
    "cancelled": "407",
    "account_blocked": "413",
    "media_refused": "414",
}


@pytest.mark.parametrize(
    ("code", "ours"), [(code, ours) for ours, all_ in REPORT_CODES.items() for code in all_.split()]
)
@pytest.mark.parametrize("write", [int, str])
def test_codes_of_reports(code: str, ours: str, write: Any) -> None:
    (report,) = parse_hook({**REPORT, "status": "Failed", "code": write(code)})
    assert (report.status, report.code, report.vendor_code) == (Status.UNDELIVERED, ours, code)
    assert report.mms_unsupported is (ours == "mms_unsupported")


POSTBACKS = [
    ("N101", "Message Sent", "MMS", Status.SENT, "", Channel.MMS),
    ("N013", "", "", Status.SENT, "", None),
    ("N102", "Message Sent/Delivered", "MMS", Status.DELIVERED, "", Channel.MMS),
    ("N103", "Message Expired", "MMS", Status.EXPIRED, "expired", Channel.MMS),
    ("N202", "Message Delivered", "", Status.DELIVERED, "", Channel.SMS),
    ("E101", "Impossible to send", "", Status.UNDELIVERED, "vendor_fault", None),
    ("E011", "", "", Status.UNDELIVERED, "media_refused", None),
    ("E012", "", "", Status.UNDELIVERED, "media_refused", None),
    ("E013", "", "", Status.UNDELIVERED, "media_refused", None),
    ("E999", "", "", Status.UNDELIVERED, "vendor_fault", None),
    ("E102", "Message Expired", "MMS", Status.EXPIRED, "expired", Channel.MMS),
    ("E102", "Message Rejected", "MMS", Status.REJECTED, "rejected_by_vendor", Channel.MMS),
    ("E102", "Message Failed", "MMS", Status.UNDELIVERED, "", Channel.MMS),
    ("E102", "Message Not Supported", "MMS", Status.UNDELIVERED, "mms_unsupported", Channel.MMS),
    ("E202", "Message Failed", "MMS", Status.UNDELIVERED, "", Channel.SMS),
    ("N777", "Something new", "MMS", Status.UNKNOWN, "", Channel.MMS),
]


@pytest.mark.parametrize(("code", "words", "way", "status", "ours", "sent_as"), POSTBACKS)
def test_postbacks_of_the_mms_api(
    code: str, words: str, way: str, status: Status, ours: str, sent_as: Channel | None
) -> None:
    (report,) = parse_hook({**POSTBACK, "code": code, "status": words, "sent-as": way}, **BY_MMS_API)
    assert (report.status, report.vendor_status, report.code) == (status, code, ours)
    assert (report.text, report.sent_as, report.vendor_id) == (words, sent_as, "MMS_12345")
    assert report.vendor_code == (code if status.is_final and status is not Status.DELIVERED else "")
    assert report.mms_unsupported is False  # Sinch itself sends the fallback


def test_a_postback_with_our_reference_carries_it() -> None:
    (report,) = parse_hook({**POSTBACK, "client-reference": REFERENCE})
    assert report.reference == REFERENCE


# -- credentials


def test_a_project_fetches_a_token() -> None:
    request = ADAPTER.token_request(credentials(**PROJECT))
    assert request is not None
    assert (request.method, request.url) == ("POST", "https://auth.sinch.com/oauth2/token")
    assert read(request) == [("grant_type", "client_credentials")]
    assert request.headers["Authorization"] == "Basic a2V5LTE6dGhlIGtleSdzIHNlY3JldA=="
    proxied = ADAPTER.token_request(credentials(**PROJECT, auth_url="https://proxy.example/auth"))
    assert proxied is not None and proxied.url == "https://proxy.example/auth/oauth2/token"


def test_the_token_is_in_sinchs_answer() -> None:
    answer = response(200, {"access_token": "abc", "token_type": "bearer", "expires_in": 3600})
    token = ADAPTER.parse_token(answer)
    assert token is not None and (token.value, token.seconds) == ("abc", 3600.0)


def test_a_service_plan_needs_no_token() -> None:
    assert ADAPTER.token_request(credentials()) is None


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(SettingsError) as error:
        ADAPTER.clean(
            {"region": "mars", "credentials": "project", "mms": "json", "base_url": "x", "hook_user": "u"}
        )
    assert set(error.value.problems) == {
        *(
            "region",
            "project_id",
            "key_id",
            "key_secret",
            "mms_api_key",
            "mms_service_id",
            "base_url",
            "hook_password",
        ),
    }


# -- asking


def test_a_look_up_asks_for_our_reference_of_a_week() -> None:
    request = ADAPTER.look_up(TestSinch().unanswered(), credentials())
    assert request is not None
    address = urlsplit(request.url)
    assert (
        f"{address.scheme}://{address.netloc}{address.path}"
        == f"https://eu.sms.api.sinch.com/xms/v1/{PLAN}/batches"
    )
    assert parse_qs(address.query) == {
        "client_reference": [REFERENCE],
        "start_date": ["2026-01-08T10:00:00.000Z"],
        "page_size": ["10"],
    }
    assert (request.method, request.headers["Authorization"]) == ("GET", "Bearer a token of the tests")


def test_absence_is_no_proof() -> None:
    assert ADAPTER.absence_is_proof is False
    nothing = response(200, {"count": 0, "batches": []})
    assert ADAPTER.parse_look_up(TestSinch().unanswered(), nothing, credentials()).presence is Presence.ABSENT


def test_what_went_through_the_mms_api_cannot_be_asked_for() -> None:
    mms = replace(TestSinch().unanswered(), channel=Channel.MMS)
    assert ADAPTER.look_up(mms, credentials()) is not None
    assert ADAPTER.look_up(mms, credentials(**BY_MMS_API)) is None
    assert ADAPTER.look_up(TestSinch().unanswered(), credentials(**BY_MMS_API)) is not None


def test_a_poll_asks_for_the_batchs_report() -> None:
    kit = TestSinch()
    request = ADAPTER.poll(kit.sent(vendor_id="a/b"), credentials(**BY_MMS_API))
    assert request is not None
    assert request.url.endswith(f"/xms/v1/{PLAN}/batches/a%2Fb/delivery_report?type=summary")
    assert ADAPTER.poll(kit.sent(channel=Channel.MMS), credentials()) is not None
    assert ADAPTER.poll(kit.sent(channel=Channel.MMS), credentials(**BY_MMS_API)) is None
    assert ADAPTER.poll(kit.sent(vendor_id=""), credentials()) is None


def test_the_credential_check_can_show_no_message() -> None:
    request = ADAPTER.credential_check(credentials(**PROJECT))
    assert request is not None
    assert request.url == (
        "https://zt.eu.sms.api.sinch.com/xms/v1/project-1/batches?page_size=1&client_reference=credential-check"
    )


# -- media


@pytest.mark.parametrize("media", [(), (PICTURE, PICTURE)])
def test_mt_media_never_drops_a_file_in_silence(media: tuple[Media, ...]) -> None:
    with pytest.raises(ValueError, match="exactly one file"):
        ADAPTER.build([TestSinch.mms(media=media)], credentials())


@pytest.mark.parametrize(
    ("url", "content_type", "kind"),
    [
        ("https://media.example/a", "image/gif", "image"),
        ("https://media.example/a", "audio/mpeg", "audio"),
        ("https://media.example/a", "Video/MP4", "video"),
        ("https://media.example/a", "text/x-vcard", "vcard"),
        ("https://media.example/a", "text/calendar", "ical"),
        ("https://media.example/a", "application/pdf", "pdf"),
        ("https://media.example/a", "application/vnd.apple.pkpass", "passbook"),
        ("https://media.example/a.pdf?x=1", "", "pdf"),
        ("https://media.example/a.mp3", "", "audio"),
        ("https://media.example/", "", "image"),
    ],
)
def test_kinds_of_slides(url: str, content_type: str, kind: str) -> None:
    message = TestSinch.mms(media=(Media(url, content_type),), text="")
    assert read(ADAPTER.build([message], credentials(**BY_MMS_API)))["slide"] == [{kind: {"url": url}}]


def test_a_placeholder_in_a_media_text_is_kept_literal() -> None:
    body = read(ADAPTER.build([TestSinch.mms(text="Hi ${name}")], credentials()))
    assert rendered(body["body"]["message"], body["parameters"]) == "Hi ${name}"


@pytest.mark.parametrize("kind", ["mo_binary", "mo_rcs"])
def test_what_no_person_wrote_as_text_is_parked(kind: str) -> None:
    with pytest.raises(BadPayload):
        parse_hook({**TEXTED, "type": kind, "body": "AGYAbw==", "udh": "010203"})


# -- proofs


def test_a_signature_covers_nonce_and_time() -> None:
    kit = TestSinch()
    good = kit.signed_hook(NOW)
    for name, value in (("nonce", "01HOTHER"), ("timestamp", str(int(NOW) + 1))):
        forged = replace(good, headers={**good.headers, f"x-sinch-webhook-signature-{name}": value})
        with pytest.raises(BadSignature):
            ADAPTER.verify(forged, credentials())


def test_basic_credentials_are_required_once_they_are_set() -> None:
    hook = TestSinch.hook_request(TestSinch.hooks[0])
    known = credentials(**BASIC)
    good = writing.basic("sinch", "a password: of the tests")["Authorization"]
    ADAPTER.verify(replace(hook, headers={"authorization": good}), known)
    for wrong in ("", good[:-4], good + "=", "Bearer x", "ž", writing.basic("sinch", "x")["Authorization"]):
        with pytest.raises(BadSignature):
            ADAPTER.verify(replace(hook, headers={"authorization": wrong}), known)
    with pytest.raises(BadSignature):
        ADAPTER.verify(hook, known)


def test_without_either_the_address_is_the_proof() -> None:
    ADAPTER.verify(TestSinch.hook_request(TestSinch.hooks[0]), credentials(hook_secret=""))


def test_unsigned_postbacks_of_the_mms_api_have_an_address_of_their_own() -> None:
    hook = replace(TestSinch.hook_request(Hook("", (), POSTBACK)), path="mms")
    ADAPTER.verify(hook, credentials(**BY_MMS_API))
    with pytest.raises(BadSignature):
        ADAPTER.verify(hook, credentials())  # MMS does not go that way
    with pytest.raises(BadSignature):
        ADAPTER.verify(replace(hook, path=""), credentials(**BY_MMS_API))
    with pytest.raises(BadSignature):
        ADAPTER.verify(hook, credentials(**{**BY_MMS_API, **BASIC, "hook_secret": SECRET}))
    assert parse_hook(POSTBACK, path="mms", **BY_MMS_API)
    for signed in (REPORT, SUMMARY, TEXTED):
        with pytest.raises(BadPayload):
            parse_hook(signed, path="mms", **BY_MMS_API)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({**REPORT, "type": "price"}, id="another type"),
        pytest.param({"type": "recipient_delivery_report_sms", "status": "Delivered"}, id="about no batch"),
        pytest.param({**SUMMARY, "statuses": []}, id="a batch without a status"),
        pytest.param({**TEXTED, "id": ""}, id="an inbound message without an id"),
        pytest.param({**TEXTED, "from": ""}, id="an inbound message without a sender"),
        pytest.param({**POSTBACK, "tracking-id": ""}, id="a postback about no message"),
        pytest.param({**POSTBACK, "origin": "MMS"}, id="a postback of another origin"),
        pytest.param({**POSTBACK, "origin": "MMS_MO", "from": ""}, id="an inbound MMS without a sender"),
    ],
)
def test_calls_that_are_not_what_they_should_be(body: dict[str, Any]) -> None:
    with pytest.raises(BadPayload):
        parse_hook(body)


# -- Sinch's own description

API, WEBHOOKS = "sinch_sms.yml", "sinch_sms_webhooks_asyncapi.yml"


@pytest.mark.parametrize("text", ["Hello", "Hi ${name}"])
def test_requests_conform(text: str) -> None:
    body = read(ADAPTER.build([TestSinch.outgoing(text=text)], credentials()))
    conforms(API, "/components/schemas/SendBatchRequest", body)
    known = spec(API)["components"]["schemas"]["SendBatchRequest"]["properties"]
    # The description leaves out these two; the documentation and Sinch's own clients have them.
    assert set(body) - set(known) == {"client_reference", "max_number_of_message_parts"}
    assert all(
        isinstance(value, str) for group in body.get("parameters", {}).values() for value in group.values()
    )


def test_payloads_of_these_tests_conform() -> None:
    conforms(API, "/components/schemas/Batch", TAKEN)
    conforms(API, "/components/schemas/BatchList", {"count": 1, "page": 0, "batches": [TAKEN]})
    conforms(API, "/components/schemas/DeliveryReport", SUMMARY)
    conforms(WEBHOOKS, "/components/schemas/RecipientDeliveryReportPayload", REPORT)
    conforms(WEBHOOKS, "/components/schemas/DeliveryReportSmsPayload", SUMMARY)
    conforms(WEBHOOKS, "/components/schemas/IncomingSmsPayload", TEXTED)
    conforms(WEBHOOKS, "/components/schemas/IncomingMmsPayload", PICTURED)


def test_every_status_word_of_the_description_is_known() -> None:
    payload = spec(WEBHOOKS)["components"]["schemas"]["DeliveryReportSmsPayload"]
    words = payload["properties"]["statuses"]["items"]["properties"]["status"]["enum"]
    assert {word.lower() for word in words} <= set(xms.STATUSES)
    assert json.loads(WORKED_BODY)["status"] in words
