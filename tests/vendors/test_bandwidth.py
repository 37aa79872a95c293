"""Bandwidth Messaging API v2: sending with OAuth 2.0, refusals, callbacks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from outbound.values import HttpRequest
from tests.vendorkit import REFERENCE, Answer, Check, Hook, Poll, Send, VendorKit, read, response
from tests.vendors.specs import conforms
from vendors.bandwidth import ERRORS, REFUSALS, SEARCHED, SEARCHED_FAILED, TYPES, Bandwidth
from vendors.base import BadPayload, BadSignature
from vendors.values import (
    Channel,
    Credentials,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Report,
    Status,
    Token,
    Unreadable,
)

SPEC = "bandwidth_messaging.yml"
ACCOUNT_ID = "9900000"
APPLICATION = "93de2206-9669-4e07-948d-329f4b722ee2"
MESSAGES = f"https://messaging.bandwidth.com/api/v2/users/{ACCOUNT_ID}/messages"
ID = "14762070468292kw2fuqty55yp2b2"
NOW = datetime(2026, 1, 15, 10, tzinfo=UTC)
MOMENT = datetime(2016, 9, 14, 18, 20, 16, tzinfo=UTC)
PICTURE = "https://media.example/a.jpg"

SMS = {
    "applicationId": APPLICATION,
    "from": "+15550100",
    "to": ["+421900000123"],
    "text": "Hello",
    "tag": REFERENCE,
    "expiration": "2026-01-15T12:00:00Z",
}
MMS = {name: value for name, value in SMS.items() if name != "expiration"} | {"media": [PICTURE]}
JSON = {"Content-Type": "application/json; charset=utf-8"}


def accepted(**changed: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "owner": "+15550100123",
        "applicationId": APPLICATION,
        "time": "2021-07-21T21:00:45.179Z",
        "segmentCount": 1,
        "direction": "out",
        "to": ["+15550100124"],
        "from": "+15550100123",
        "text": "Hello",
        "tag": REFERENCE,
        "priority": "default",
        **changed,
    }


def refusal(kind: str, *fields: str) -> dict[str, Any]:
    body: dict[str, Any] = {"type": kind, "description": "Your request could not be accepted"}
    wrong = [{"fieldName": name, "description": "'+15550100124' must be replaced"} for name in fields]
    return body | ({"fieldErrors": wrong} if wrong else {})


def callback(kind: str, code: int | None = None, media: bool = False, **changed: Any) -> dict[str, Any]:
    event: dict[str, Any] = {
        "type": kind,
        "time": "2016-09-14T18:20:16Z",
        "description": "ok" if code is None else "forbidden to country",
        "to": "+15550100124",
        "message": {
            "id": ID,
            "time": "2016-09-14T18:20:16Z",
            "tag": REFERENCE,
            "to": ["+15550100124"],
            "from": "+15550100123",
            "owner": "+15550100123",
            "text": "",
            "applicationId": APPLICATION,
            "direction": "out",
            "segmentCount": 1,
            **({"media": [PICTURE]} if media else {}),
        },
    }
    return event | ({} if code is None else {"errorCode": code}) | changed


def inbound(**changed: Any) -> dict[str, Any]:
    return {
        "type": "message-received",
        "time": "2016-09-14T18:20:16Z",
        "description": "Incoming message received",
        "to": "+15550100124",
        "message": {
            "id": ID,
            "time": "2016-09-14T18:20:16Z",
            "from": "+15550100123",
            "to": ["+15550100124"],
            "owner": "+15550100124",
            "text": "Hi",
            "applicationId": APPLICATION,
            "direction": "in",
            "segmentCount": 1,
            **changed,
        },
    }


def found(status: str, code: int = 0, **changed: Any) -> dict[str, Any]:
    one = {
        "messageId": "v-1",
        "accountId": ACCOUNT_ID,
        "sourceTn": "+15550100123",
        "destinationTn": "+15550100124",
        "messageStatus": status,
        "messageDirection": "OUTBOUND",
        "messageType": "sms",
        "segmentCount": 2,
        "errorCode": code,
        "receiveTime": "2020-04-07T14:03:07.000Z",
        **changed,
    }
    return {"totalCount": 1, "pageInfo": {}, "messages": [one]}


REPORT = Report(
    Status.DELIVERED,
    "message-delivered",
    vendor_id=ID,
    reference=REFERENCE,
    segments=1,
    occurred_at=MOMENT,
)
FAILED = replace(
    REPORT,
    status=Status.REJECTED,
    vendor_status="message-failed",
    code="no_route",
    vendor_code="4432",
    text="forbidden to country",
)
NO_MMS = replace(FAILED, code="mms_unsupported", mms_unsupported=True)
POLLED = Report(Status.DELIVERED, "DELIVERED", vendor_id="v-1", reference=REFERENCE, segments=2)
MO = Inbound(ID, sender="+15550100123", recipient="+15550100124", text="Hi", occurred_at=MOMENT)
FILE = f"https://messaging.bandwidth.com/api/v2/users/{ACCOUNT_ID}/media/{ID}/0/bw.png"

EXPIRED, REJECTED, UNDELIVERED = Status.EXPIRED, Status.REJECTED, Status.UNDELIVERED
CODES: list[tuple[Status, str, str]] = [
    (EXPIRED, "expired", "4360"),
    (REJECTED, "rejected_by_vendor", "4001 4499"),
    (REJECTED, "invalid_request", "4301 4399 4435"),
    (REJECTED, "invalid_sender", "4302 4403 4405 4407 4481"),
    (REJECTED, "invalid_recipient", "4303 4350 4404 4406 4408 4434 4492"),
    (REJECTED, "no_route", "4401 4420 4421 4432"),
    (REJECTED, "media_refused", "4410 4411 4412 4711 4712"),
    (REJECTED, "mms_unsupported", "4409"),
    (REJECTED, "sender_not_registered", "4431 4433 4773 4774 4790 4791 4792 4793 4795"),
    (REJECTED, "credentials_refused", "4451 4452 4493"),
    (REJECTED, "content_refused", "4470 4770 4771"),
    (REJECTED, "recipient_blocked", "4482 4772"),
    (REJECTED, "opted_out", "4775"),
    (UNDELIVERED, "rejected_by_vendor", "4750 4751 4752 4769"),
    (UNDELIVERED, "recipient_blocked", "4753"),
    (UNDELIVERED, "unreachable", "4701 4702"),
    (UNDELIVERED, "invalid_recipient", "4700 4720 4721"),
    (UNDELIVERED, "no_route", "4730"),
    (UNDELIVERED, "invalid_sender", "4740"),
    (UNDELIVERED, "throttled", "4780 4781 4785"),
    (UNDELIVERED, "vendor_fault", "5100 5106 5201 5231 5500 5501 5600 5610 5620 5630 5650 5999"),
    (UNDELIVERED, "", "8123"),
    (Status.SENT, "", "9902 9999"),
]
ROWS = [(code, status, ours) for status, ours, codes in CODES for code in codes.split()]


class TestBandwidth(VendorKit):
    adapter = Bandwidth()
    values: ClassVar[Mapping[str, str]] = {
        "account_id": ACCOUNT_ID,
        "application_id": APPLICATION,
        "client_id": "client-of-the-tests",
        "client_secret": "a secret of the tests",
        "hook_user": "bw",
        "hook_password": "s3cret",
    }
    dated = False
    covers_body = False
    proof_headers = ("authorization",)
    sends = (
        Send("an SMS", SMS, url=MESSAGES, headers=JSON),
        Send("too late to expire", {**SMS, "expiration": "2026-01-15T10:00:01Z"}, {"validity": 1.9}),
        Send(
            "no time left",
            {name: value for name, value in SMS.items() if name != "expiration"},
            {"validity": 0.0},
        ),
        Send(
            "an API user",
            SMS,
            values={"auth": "basic"},
            headers={"Authorization": "Basic Y2xpZW50LW9mLXRoZS10ZXN0czphIHNlY3JldCBvZiB0aGUgdGVzdHM="},
        ),
        Send(
            "an MMS, which has no subject, fallback or end",
            MMS,
            {
                "channel": Channel.MMS,
                "subject": "New",
                "fallback_text": "Look",
                "media": (Media(PICTURE, "image/jpeg"),),
            },
        ),
        Send(
            "an MMS without words",
            {name: value for name, value in MMS.items() if name != "text"},
            {"channel": Channel.MMS, "text": "", "media": (Media(PICTURE),)},
        ),
    )
    answers = (
        Answer("taken", 202, accepted(segmentCount=2), Outcome.TAKEN, {"vendor_id": ID, "segments": 2}),
        Answer("a yes without an id", 202, {"time": "now"}, Outcome.UNKNOWN, {"code": "unreadable_answer"}),
        Answer(
            "the fields and no numbers",
            400,
            refusal("request-validation", "text", "to"),
            Outcome.PERMANENT,
            {
                "code": "invalid_recipient",
                "vendor_code": "request-validation",
                "text": "Your request could not be accepted (text, to)",
            },
        ),
        Answer(
            "sender",
            400,
            refusal("request-validation", "from"),
            Outcome.PERMANENT,
            {"code": "invalid_sender", "route_fault": True},
        ),
        Answer(
            "media", 400, refusal("request-validation", "media"), Outcome.PERMANENT, {"code": "media_refused"}
        ),
        Answer(
            "a wrong setting pauses",
            400,
            refusal("request-validation", "applicationId"),
            Outcome.CONFIGURATION,
            {"code": "credentials_refused"},
        ),
        Answer(
            "no token", 401, {"error": "invalid_client"}, Outcome.CONFIGURATION, {"text": "invalid_client"}
        ),
        Answer(
            "a wrong path",
            404,
            {"timestamp": "2019-09-09T19:02:19Z", "status": 404, "error": "Not Found", "path": "/api/v2/x"},
            Outcome.PERMANENT,
            {"code": "rejected_by_vendor", "vendor_code": "404", "text": "Not Found"},
        ),
        Answer("not acceptable", 406, b"", Outcome.PERMANENT),
        Answer(
            "a fault in its own words",
            500,
            refusal("internal-server-error"),
            Outcome.TEMPORARY,
            {"code": "vendor_unavailable"},
        ),
        Answer("a fault in its own words, 503", 503, refusal("unavailable"), Outcome.TEMPORARY),
        Answer("a fault of a gateway", 504, b"<html>", Outcome.UNKNOWN, {"code": "vendor_fault"}),
        Answer("too slow", 408, b"", Outcome.UNKNOWN),
    )
    polls = (
        Poll("delivered", 200, found("DELIVERED"), POLLED),
        Poll("under way", 200, found("SENT"), replace(POLLED, status=Status.SENT, vendor_status="SENT")),
        Poll(
            "failed",
            200,
            found("FAILED", 4775),
            replace(POLLED, status=REJECTED, vendor_status="FAILED", code="opted_out", vendor_code="4775"),
        ),
        Poll(
            "undelivered",
            200,
            found("UNDELIVERED"),
            replace(POLLED, status=UNDELIVERED, vendor_status="UNDELIVERED"),
        ),
        Poll(
            "no receipt",
            200,
            found("UNDELIVERED", 9902),
            replace(POLLED, status=Status.SENT, vendor_status="UNDELIVERED", vendor_code="9902"),
        ),
        Poll("a new word", 200, found("LOST"), replace(POLLED, status=Status.UNKNOWN, vendor_status="LOST")),
        Poll("another message", 200, found("DELIVERED", messageId="v-2"), None),
        Poll("none", 200, {"totalCount": 0, "messages": []}, None),
        Poll("refused", 403, found("DELIVERED"), None),
    )
    checks = (
        Check("right", 200, {"totalCount": 0, "messages": []}, True),
        Check("wrong", 401, refusal("unauthorized"), False),
        Check("not for messaging", 403, refusal("forbidden"), False),
        Check("the filter is not liked", 400, refusal("request-validation"), None),
    )
    hooks = (
        Hook("delivered", (REPORT,), [callback("message-delivered")]),
        Hook("failed", (FAILED,), [callback("message-failed", 4432)]),
        Hook("a country without MMS", (NO_MMS,), [callback("message-failed", 4432, media=True)]),
        Hook(
            "a number without MMS",
            (replace(NO_MMS, vendor_code="4409"),),
            [callback("message-failed", 4409)],
        ),
        Hook(
            "a handset without MMS",
            (replace(NO_MMS, status=UNDELIVERED, vendor_code="4700"),),
            [callback("message-failed", 4700, media=True)],
        ),
        Hook(
            "an MMS that failed otherwise",
            (replace(FAILED, code="opted_out", vendor_code="4775"),),
            [callback("message-failed", 4775, media=True)],
        ),
        Hook(
            "read, with a time of its own",
            (
                replace(
                    REPORT, vendor_status="message-read", occurred_at=datetime(2016, 9, 14, 19, tzinfo=UTC)
                ),
            ),
            [callback("message-read", eventTime="2016-09-14T19:00:00Z")],
        ),
        Hook(
            "several at once",
            (replace(REPORT, status=Status.SENT, vendor_status="message-sending"), FAILED, MO),
            [callback("message-sending"), callback("message-failed", 4432), inbound()],
        ),
        Hook("an inbound SMS", (MO,), [inbound()]),
        Hook(
            "an inbound MMS",
            (replace(MO, channel=Channel.MMS, text="", media=(Media(FILE),)),),
            [inbound(text="", media=[FILE])],
        ),
        Hook("told by its direction", (MO,), [{**inbound(), "type": "suggestion-response"}]),
        Hook("one of a group's recipients", (MO,), [inbound(owner="+15550100199")]),
        Hook("the owner for want of a recipient", (MO,), [{**inbound(), "to": None}]),
        Hook("a list of nothing", (), []),
    )
    unknown_status = Hook("teleported", (), [callback("message-teleported")])
    bad_values = (
        ({"account_id": "u-abc123"}, "account_id"),
        ({"application_id": "my app"}, "application_id"),
        ({"auth": "hope"}, "auth"),
        ({"hook_user": ""}, "hook_user"),
        ({"hook_password": ""}, "hook_password"),
        ({"token_url": "somewhere"}, "token_url"),
        ({"client_id": "", "account_id": "u-abc123"}, "client_id"),
        ({"client_id": "", "account_id": "u-abc123"}, "account_id"),
    )

    @pytest.fixture(autouse=True)
    def at_ten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Expirations and searches name a moment."""
        monkeypatch.setattr(time, "time", NOW.timestamp)

    def number(self, msisdn: str) -> str:
        return msisdn

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        body = read(request)
        (recipient,) = body["to"]
        return body["from"], recipient, body["text"]

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        return replace(hook, headers={**hook.headers, "authorization": "Basic Ync6czNjcmV0"})

    # -- tokens

    def test_a_token_is_asked_for_with_the_credentials(self) -> None:
        request = self.adapter.token_request(self.credentials())
        assert request is not None
        assert (request.method, request.url) == ("POST", "https://api.bandwidth.com/api/v1/oauth2/token")
        assert read(request) == [("grant_type", "client_credentials")]
        expected = "Basic Y2xpZW50LW9mLXRoZS10ZXN0czphIHNlY3JldCBvZiB0aGUgdGVzdHM="
        assert request.headers["Authorization"] == expected
        answer = {"access_token": "t-1", "token_type": "Bearer", "expires_in": 3600}
        assert self.adapter.parse_token(response(200, answer)) == Token("t-1", 3600.0)

    def test_a_call_leaves_the_header_to_the_token(self) -> None:
        credentials = self.credentials()
        calls = [
            self.adapter.build([self.outgoing()], credentials),
            self.adapter.poll(self.sent(), credentials),
            self.adapter.credential_check(credentials),
        ]
        assert [one and one.headers.get("Authorization") for one in calls] == [None, None, None]

    def test_an_api_user_needs_no_token(self) -> None:
        credentials = self.credentials(auth="basic")
        assert self.adapter.token_request(credentials) is None
        check = self.adapter.credential_check(credentials)
        assert check is not None
        assert check.headers["Authorization"].startswith("Basic ")

    def test_the_help_says_when_api_users_end(self) -> None:
        texts = {one.name: one.help for one in self.adapter.settings}
        assert "2 December 2026" in texts["auth"]

    # -- questions

    def test_a_poll_asks_by_the_vendors_id(self) -> None:
        request = self.adapter.poll(self.sent(vendor_id="a+b&c"), self.credentials())
        assert request is not None
        assert (request.method, request.url) == ("GET", f"{MESSAGES}?messageId=a%2Bb%26c")

    def test_the_credential_check_searches_the_last_minute(self) -> None:
        request = self.adapter.credential_check(self.credentials())
        assert request is not None
        assert request.url == f"{MESSAGES}?limit=1&fromDateTime=2026-01-15T09%3A59%3A00Z"

    @pytest.mark.parametrize("code", [pytest.param(4409, id="4409"), pytest.param(4700, id="4700")])
    def test_a_polled_mms_that_nobody_can_take(self, code: int) -> None:
        answer = response(200, found("FAILED", code))
        mms = self.adapter.parse_poll(self.sent(channel=Channel.MMS), answer, self.credentials())
        assert mms is not None
        assert (mms.mms_unsupported, mms.code) == (True, "mms_unsupported")
        sms = self.adapter.parse_poll(self.sent(), answer, self.credentials())
        assert sms is not None
        assert sms.mms_unsupported is False

    # -- proof

    def test_without_a_user_the_address_is_the_proof(self) -> None:
        credentials = self.credentials(hook_user="", hook_password="")
        self.adapter.verify(self.hook_request(self.hooks[0]), credentials)

    @pytest.mark.parametrize(
        "given",
        [
            pytest.param("Basic Ync6czNjcmV1", id="another password"),
            pytest.param("Bearer Ync6czNjcmV0", id="another scheme"),
            pytest.param("Ync6czNjcmV0", id="no scheme"),
        ],
    )
    def test_another_proof_is_refused(self, given: str) -> None:
        hook = replace(self.hook_request(self.hooks[0]), headers={"authorization": given})
        with pytest.raises(BadSignature):
            self.adapter.verify(hook, self.credentials())

    def test_the_scheme_may_be_written_in_any_case(self) -> None:
        hook = replace(self.hook_request(self.hooks[0]), headers={"authorization": "basic Ync6czNjcmV0"})
        self.adapter.verify(hook, self.credentials())

    def test_a_user_whose_password_is_lost_proves_nothing(self) -> None:
        hook = replace(self.hook_request(self.hooks[0]), headers={"authorization": "Basic Ync6"})
        with pytest.raises(BadSignature):
            self.adapter.verify(hook, replace(self.credentials(), secrets={}))

    # -- tables

    def test_no_row_is_forgotten(self) -> None:
        tried = {code for code, _, _ in ROWS}
        assert [start for start in ERRORS if not any(code.startswith(start) for code in tried)] == []
        assert {start for start in ERRORS if len(start) == 4} <= tried

    @pytest.mark.parametrize(("code", "status", "ours"), ROWS)
    def test_error_codes(self, code: str, status: Status, ours: str) -> None:
        hook = self.hook_request(Hook("", (), [callback("message-failed", int(code))]))
        (report,) = self.adapter.parse_hook(hook, self.credentials())
        assert isinstance(report, Report)
        assert (report.status, report.code, report.vendor_code) == (status, ours, code)
        assert report.mms_unsupported is (code == "4409")

    @pytest.mark.parametrize(
        ("kind", "status"),
        [
            pytest.param("message-sending", Status.SENT, id="sending"),
            pytest.param("message-sent", Status.SENT, id="sent"),
            pytest.param("message-delivered", Status.DELIVERED, id="delivered"),
            pytest.param("message-read", Status.DELIVERED, id="read"),
        ],
    )
    def test_callback_types(self, kind: str, status: Status) -> None:
        hook = self.hook_request(Hook("", (), [callback(kind)]))
        (report,) = self.adapter.parse_hook(hook, self.credentials())
        assert isinstance(report, Report)
        assert (report.status, report.vendor_status) == (status, kind)
        assert len(TYPES) == 4

    @pytest.mark.parametrize("word", ["RECEIVED", "QUEUED", "SENDING", "SENT", "ACCEPTED"])
    def test_searched_words_on_the_way(self, word: str) -> None:
        report = self.adapter.parse_poll(self.sent(), response(200, found(word)), self.credentials())
        assert report is not None
        assert report.status is Status.SENT
        assert {*SEARCHED, *SEARCHED_FAILED} - {"DELIVERED", "FAILED", "UNDELIVERED"} == {
            *("RECEIVED", "QUEUED", "SENDING", "SENT", "ACCEPTED")
        }

    @pytest.mark.parametrize(
        ("status", "kind", "outcome", "ours"),
        [
            pytest.param(400, "request-validation", Outcome.PERMANENT, "invalid_request", id="400"),
            pytest.param(401, "unauthorized", Outcome.CONFIGURATION, "credentials_refused", id="401"),
            pytest.param(403, "forbidden", Outcome.CONFIGURATION, "credentials_refused", id="403"),
            pytest.param(415, "unsupported-content-type", Outcome.PERMANENT, "invalid_request", id="415"),
            pytest.param(429, "max-message-queue-size-exceeded", Outcome.TEMPORARY, "throttled", id="429"),
        ],
    )
    def test_refusals(self, status: int, kind: str, outcome: Outcome, ours: str) -> None:
        result = self.parse(response(status, refusal(kind)))
        assert (result.outcome, result.code, result.vendor_code) == (outcome, ours, kind)
        assert len(REFUSALS) == 5

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param([{**callback("x"), "type": None}], id="no type"),
            pytest.param([inbound(id="")], id="inbound without an id"),
        ],
    )
    def test_what_names_no_message_is_parked(self, body: object) -> None:
        with pytest.raises(BadPayload):
            self.adapter.parse_hook(self.hook_request(Hook("", (), body)), self.credentials())

    def test_one_event_of_no_message_costs_the_others_nothing(self) -> None:
        body = [callback("message-delivered"), {"type": "message-delivered"}, 7]
        said = self.adapter.parse_hook(self.hook_request(Hook("", (), body)), self.credentials())
        assert [type(one) for one in said] == [Report, Unreadable, Unreadable]

    # -- Bandwidth's own description of its API

    def test_requests_conform(self, send: Send) -> None:
        request = self.adapter.build([self.outgoing(**send.message)], self.credentials(**send.values))
        conforms(SPEC, "/components/schemas/messageRequest", read(request))

    def test_payloads_of_these_tests_conform(self) -> None:
        schemas = "/components/schemas/"
        conforms(SPEC, schemas + "message", accepted())
        conforms(SPEC, schemas + "createMessageRequestError", refusal("request-validation", "to"))
        conforms(SPEC, schemas + "messagesList", found("DELIVERED"))
        conforms(SPEC, schemas + "inboundMessageCallback", inbound(media=[FILE]))
        conforms(SPEC, schemas + "messageDeliveredCallback", callback("message-delivered"))
        # The description wants a priority and media in these two, which Bandwidth's pages do not show.
        failed, sending = callback("message-failed", 4432), callback("message-sending", media=True)
        failed["message"]["priority"] = sending["message"]["priority"] = "default"
        conforms(SPEC, schemas + "messageFailedCallback", failed)
        conforms(SPEC, schemas + "messageSendingCallback", sending)
