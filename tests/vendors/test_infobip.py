"""Infobip's SMS API v3 and MMS API v2, by its documentation and its API description."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

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
    VendorKit,
    read,
    response,
)
from tests.vendors.specs import conforms, resolve, spec
from vendors import writing
from vendors.base import BadPayload, BadSignature, SettingsError
from vendors.infobip import ERRORS, REFUSALS, STATUSES, Infobip
from vendors.values import (
    Channel,
    Credentials,
    Found,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Outgoing,
    Presence,
    Report,
    SendResult,
    Status,
)

SECRET = "a hook secret of the tests"
BASIC = "infobip:a hook password"
DONE = datetime(2026, 1, 15, 10, 0, 3, tzinfo=UTC)
UNAUTHORIZED = {
    "errorCode": "E401",
    "description": "The request lacks valid authentication credentials.",
    "action": "Check the resources.",
    "violations": [],
    "resources": [],
}


def status(group: int, number: int, name: str = "", **more: Any) -> dict[str, Any]:
    groups = {0: "ACCEPTED", 1: "PENDING", 2: "UNDELIVERABLE", 3: "DELIVERED", 4: "EXPIRED", 5: "REJECTED"}
    words = {"name": name or f"NAME_{number}", "description": f"words of {number}"}
    return {"groupId": group, "groupName": groups.get(group, "LOST"), "id": number, **words, **more}


PENDING = status(1, 26, "PENDING_ACCEPTED")
NO_ERROR = {"groupId": 0, "groupName": "OK", "id": 0, "name": "NO_ERROR", "description": "No Error"}


def answered(said: dict[str, Any], **more: Any) -> dict[str, Any]:
    message = {"messageId": REFERENCE, "destination": "421900000123", "status": said, **more}
    return {"bulkId": "2034072219640523072", "messages": [message]}


def reported(said: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "results": [
            {
                "bulkId": "2034072219640523072",
                "messageId": REFERENCE,
                "to": "421900000123",
                "sender": "15550100",
                "sentAt": "2026-01-15T11:00:00.000+0100",
                "doneAt": "2026-01-15T11:00:03.000+0100",
                "messageCount": 1,
                "price": {"pricePerMessage": 0.01, "currency": "EUR"},
                "callbackData": REFERENCE,
                "status": said,
                "error": NO_ERROR,
                **more,
            }
        ]
    }


def report(of: Status, name: str, **more: Any) -> Report:
    plain = Report(
        of,
        name,
        vendor_id=REFERENCE,
        reference=REFERENCE,
        segments=1,
        occurred_at=DONE,
        text="No Error",
    )
    return replace(plain, **more)


def built(content: dict[str, Any], delivery: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {
        "sender": "15550100",
        "destinations": [{"to": "421900000123", "messageId": REFERENCE}],
        "content": content,
        "options": {"validityPeriod": {"amount": 7200, "timeUnit": "SECONDS"}, **options},
        "webhooks": {
            "delivery": {**delivery, "intermediateReport": False},
            "contentType": "application/json",
            "callbackData": REFERENCE,
        },
    }


OURS = {"url": HOOK_URL}
COUNTED = {"options": {"includeSmsCountInResponse": True}}
PICTURE = {"type": "LINK", "contentUrl": "https://media.example/a.jpg", "contentType": "image/jpeg"}
MMS: dict[str, Any] = {
    "channel": Channel.MMS,
    "subject": "New",
    "text": "Look",
    "media": (Media("https://media.example/a.jpg", "image/jpeg"), Media("https://media.example/b")),
}
SEGMENTS = [
    {"type": "TEXT", "text": "Look"},
    PICTURE,
    {"type": "LINK", "contentUrl": "https://media.example/b"},
]
FOUND = report(Status.DELIVERED, "NAME_5", text="words of 5")


class TestInfobip(VendorKit):
    adapter = Infobip()
    values: ClassVar = {"base_url": "", "api_key": "a key of the tests", "hook_secret": SECRET}
    sends = (
        Send(
            "an SMS of a proved account: its subscription takes the report",
            request={"messages": [built({"text": "Hello"}, {"notify": True})], **COUNTED},
            url="https://api.infobip.com/sms/3/messages",
            headers={"Authorization": "App a key of the tests", "Accept": "application/json"},
        ),
        Send(
            "an SMS that names our address",
            request={"messages": [built({"text": "Hello"}, OURS)], **COUNTED},
            values={"hook_secret": ""},
        ),
        Send(
            "an MMS with its own SMS",
            message={**MMS, "fallback_text": "Look: https://ex.example"},
            request={
                "messages": [
                    built(
                        {"title": "New", "messageSegments": SEGMENTS},
                        OURS,
                        smsFailover={"sender": "15550100", "text": "Look: https://ex.example"},
                    )
                ]
            },
            url="/mms/2/messages",
            values={"hook_secret": ""},
        ),
        Send(
            "an MMS of one picture",
            message={**MMS, "subject": "", "text": "", "media": MMS["media"][:1]},
            request={"messages": [built({"messageSegments": [PICTURE]}, {"notify": True})]},
        ),
    )
    answers = (
        Answer(
            "taken",
            200,
            answered(PENDING, details={"messageCount": 2}),
            Outcome.TAKEN,
            {"vendor_id": REFERENCE, "segments": 2},
        ),
        Answer("accepted", 200, answered(status(0, 0)), Outcome.TAKEN, {"segments": None}),
        Answer("delivered already", 200, answered(status(3, 5)), Outcome.TAKEN),
        Answer("expired already", 200, answered(status(4, 15)), Outcome.TAKEN),
        Answer(
            "sent before", 200, answered(status(5, 23)), Outcome.TAKEN, {"vendor_id": REFERENCE, "code": ""}
        ),
        Answer(
            "refused by its status",
            200,
            answered(status(5, 12, "REJECTED_NOT_ENOUGH_CREDITS")),
            Outcome.CONFIGURATION,
            {"code": "no_credit", "vendor_code": "12", "text": "words of 12", "route_fault": True},
        ),
        Answer(
            "an unknown refusal",
            200,
            answered(status(2, 999)),
            Outcome.PERMANENT,
            {"code": "rejected_by_vendor"},
        ),
        Answer(
            "an unknown group", 200, answered(status(8, 999)), Outcome.UNKNOWN, {"code": "unreadable_answer"}
        ),
        Answer(
            "another message",
            200,
            {"messages": [{"messageId": "another", "status": PENDING}]},
            Outcome.UNKNOWN,
        ),
        Answer(
            "credentials",
            401,
            UNAUTHORIZED,
            Outcome.CONFIGURATION,
            {
                "code": "credentials_refused",
                "vendor_code": "E401",
                "text": "The request lacks valid authentication credentials.",
            },
        ),
        Answer("scope", 403, {"errorCode": "E403"}, Outcome.CONFIGURATION, {"code": "credentials_refused"}),
        Answer(
            "in the older form",
            401,
            {"requestError": {"serviceException": {"messageId": "UNAUTHORIZED", "text": "Invalid login"}}},
            Outcome.CONFIGURATION,
            {"vendor_code": "UNAUTHORIZED", "text": "Invalid login"},
        ),
        Answer("not found", 404, {"errorCode": "E404"}, Outcome.PERMANENT, {"code": "rejected_by_vendor"}),
        Answer(
            "throttled",
            429,
            {"errorCode": "E429", "description": "Too many requests sent."},
            Outcome.TEMPORARY,
            {"code": "throttled", "vendor_code": "E429", "retry_after": 9.0},
            headers={"retry-after": "9"},
        ),
        Answer("their fault", 500, {"errorCode": "E500"}, Outcome.UNKNOWN, {"code": "vendor_fault"}),
        Answer(
            "what a violation quotes is left out",
            400,
            {
                "errorCode": "E400",
                "description": "Request cannot be processed.",
                "violations": [
                    {"property": "messages[0].destinations[0].to", "violation": "+421900000123 is bad"}
                ],
            },
            Outcome.PERMANENT,
            {
                "code": "invalid_recipient",
                "text": "Request cannot be processed. (messages[0].destinations[0].to)",
            },
        ),
    )
    look_ups = (
        LookUp(
            "found",
            200,
            reported(status(3, 5), callbackData=None, error=None),
            Found(Presence.FOUND, REFERENCE, FOUND),
        ),
        LookUp("absent", 200, {"results": []}, Found(Presence.ABSENT)),
        LookUp(
            "another", 200, {"results": [{"messageId": "x", "status": PENDING}]}, Found(Presence.CANNOT_TELL)
        ),
        LookUp("throttled", 429, {"results": []}, Found(Presence.CANNOT_TELL)),
    )
    polls = (
        Poll(
            "delivered",
            200,
            reported(status(3, 5), messageId="v-1"),
            replace(FOUND, vendor_id="v-1", text="words of 5"),
        ),
        Poll("not yet in the logs", 200, {"results": []}, None),
        Poll("no scope", 403, {"errorCode": "E403"}, None),
    )
    checks = (
        Check(
            "no such bulk",
            404,
            {"requestError": {"serviceException": {"messageId": "NOT_FOUND", "text": "Bulk not found"}}},
            True,
        ),
        Check("a bulk", 200, {"bulkId": "x", "status": "PENDING"}, True),
        Check("wrong key", 401, UNAUTHORIZED, False),
        Check("no scope", 403, {"errorCode": "E403"}, False),
        Check("somebody else's 404", 404, b"<html>", None),
        Check("their fault", 500, b"", None),
    )
    hooks = (
        Hook(
            "delivered",
            body=reported(status(3, 5, "DELIVERED_TO_HANDSET")),
            expected=(report(Status.DELIVERED, "DELIVERED_TO_HANDSET", text="words of 5"),),
        ),
        Hook(
            "several, one of them in the older form",
            body={
                "results": [
                    *reported(status(1, 7, "PENDING_ENROUTE"))["results"],
                    {
                        "messageId": "B",
                        "smsCount": 3,
                        "from": "15550100",
                        "status": status(4, 15, "EXPIRED_EXPIRED"),
                    },
                ]
            },
            expected=(
                report(Status.SENT, "PENDING_ENROUTE", text="words of 7"),
                Report(
                    Status.EXPIRED,
                    "EXPIRED_EXPIRED",
                    vendor_id="b",
                    reference="b",
                    code="expired",
                    text="words of 15",
                    segments=3,
                ),
            ),
        ),
        Hook(
            "undelivered, with a reason",
            body=reported(
                status(2, 9, "UNDELIVERABLE_NOT_DELIVERED"),
                error={
                    "groupId": 1,
                    "id": 27,
                    "name": "EC_ABSENT_SUBSCRIBER",
                    "description": "Absent Subscriber",
                },
            ),
            expected=(
                report(
                    Status.UNDELIVERED,
                    "UNDELIVERABLE_NOT_DELIVERED",
                    code="unreachable",
                    vendor_code="27",
                    text="Absent Subscriber",
                ),
            ),
        ),
        Hook(
            "an inbound SMS",
            body={
                "results": [
                    {
                        "messageId": "817790313235066447",
                        "from": "421900000123",
                        "to": "15550100",
                        "text": "STOP please",
                        "cleanText": "please",
                        "keyword": "STOP",
                        "receivedAt": "2026-01-15T10:00:03.000+0000",
                        "smsCount": 1,
                        "price": {"pricePerMessage": 0, "currency": "EUR"},
                        "callbackData": "callbackData",
                    }
                ],
                "messageCount": 1,
                "pendingMessageCount": 0,
            },
            expected=(
                Inbound(
                    "817790313235066447",
                    sender="421900000123",
                    recipient="15550100",
                    text="STOP please",
                    occurred_at=DONE,
                ),
            ),
        ),
        Hook(
            "an inbound MMS",
            body={
                "results": [
                    {
                        "from": "421900000123",
                        "to": "25256",
                        "receivedAt": "2026-01-15T10:00:03.000+0000",
                        "messageId": "817790313235066448",
                        "userAgent": "a phone",
                        "message": [
                            {"contentType": "image/jpeg", "url": "https://media.example/123"},
                            {"contentType": "text/plain", "value": "This is"},
                            {"contentType": "text/plain", "value": "a text"},
                        ],
                        "group": [{"to": "25256"}],
                    }
                ]
            },
            expected=(
                Inbound(
                    "817790313235066448",
                    sender="421900000123",
                    recipient="25256",
                    channel=Channel.MMS,
                    text="This is\na text",
                    media=(Media("https://media.example/123", "image/jpeg"),),
                    occurred_at=DONE,
                ),
            ),
        ),
        Hook("nothing in it", body={"results": [], "messageCount": 0}, expected=()),
        Hook("a click", body={"notificationType": "CLICKED", "messageId": "x"}, expected=()),
    )
    unknown_status = Hook("unknown", body=reported(status(9, 999, "LOST_IN_SPACE")), expected=())
    bad_values = (
        ({"repeat_hours": "soon"}, "repeat_hours"),
        ({"repeat_hours": "49"}, "repeat_hours"),
        ({"hook_basic": "no colon"}, "hook_basic"),
        ({"hook_basic": ":no user"}, "hook_basic"),
    )
    proof_headers = ("x-hook-secret",)
    dated = False
    covers_body = False

    def number(self, msisdn: str) -> str:
        return msisdn.removeprefix("+")

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        (message,) = read(request)["messages"]
        (destination,) = message["destinations"]
        return message["sender"], destination["to"], message["content"]["text"]

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        return replace(hook, headers={**hook.headers, "x-hook-secret": credentials.secrets["hook_secret"]})


ADAPTER = TestInfobip.adapter
OTHERS = [f"0190a5d0-c3e7-7f3a-9d5b-8e2f4c6a1b{n:02d}" for n in range(3)]


def batch(size: int = 3) -> list[Outgoing]:
    return [TestInfobip.outgoing(reference=one, text=f"Message {one}") for one in OTHERS[:size]]


def parsed(code: int, body: Any, size: int = 3) -> tuple[SendResult, ...]:
    return ADAPTER.parse(batch(size), response(code, body), TestInfobip.credentials())


def only_report(body: dict[str, Any]) -> Report:
    (found,) = ADAPTER.parse_hook(
        TestInfobip.hook_request(Hook("", expected=(), body=body)), TestInfobip.credentials()
    )
    assert isinstance(found, Report)
    return found


# -- many messages in one call


def test_one_call_carries_many_texts() -> None:
    sent = read(ADAPTER.build(batch(), TestInfobip.credentials()))["messages"]
    assert [one["destinations"][0]["messageId"] for one in sent] == OTHERS
    assert [one["content"]["text"] for one in sent] == [f"Message {one}" for one in OTHERS]


def test_results_go_by_our_id_whatever_the_order() -> None:
    said = [
        {"messageId": OTHERS[2].upper(), "status": PENDING},
        {"messageId": OTHERS[0], "status": status(5, 52)},
    ]
    results = parsed(200, {"messages": said})
    assert [one.outcome for one in results] == [Outcome.PERMANENT, Outcome.UNKNOWN, Outcome.TAKEN]
    assert (results[0].code, results[2].vendor_id) == ("invalid_recipient", OTHERS[2])


def test_a_call_refused_for_one_message_fails_that_one_only() -> None:
    wrong = {"property": "messages[1].content.text", "violation": "must not be blank"}
    results = parsed(400, {"errorCode": "E400", "violations": [wrong]})
    assert [one.outcome for one in results] == [Outcome.TEMPORARY, Outcome.PERMANENT, Outcome.TEMPORARY]
    assert [one.code for one in results] == ["call_refused", "content_refused", "call_refused"]


@pytest.mark.parametrize("place", ["messages[7].sender", "options", ""])
def test_a_call_refused_for_nobody_by_name_goes_out_one_by_one(place: str) -> None:
    results = parsed(400, {"errorCode": "E400", "violations": [{"property": place}]})
    assert {one.outcome for one in results} == {Outcome.TEMPORARY}
    assert [one.retry_after for one in results] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("messages[0].sender", "invalid_sender"),
        ("messages[0].content.text", "content_refused"),
        ("messages[0].content.messageSegments[1].contentUrl", "media_refused"),
        ("messages[0].options.validityPeriod", "invalid_request"),
        ("sender", "invalid_sender"),
        ("messages[9].destinations[0].to", "invalid_recipient"),
    ],
)
def test_what_a_400_about_one_message_means(place: str, code: str) -> None:
    (result,) = parsed(400, {"errorCode": "E400", "violations": [{"property": place}]}, size=1)
    assert (result.outcome, result.code) == (Outcome.PERMANENT, code)


@pytest.mark.parametrize(
    ("code", "outcome"), [(401, Outcome.CONFIGURATION), (429, Outcome.TEMPORARY), (500, Outcome.UNKNOWN)]
)
def test_what_is_not_about_a_message_is_about_all(code: int, outcome: Outcome) -> None:
    assert [one.outcome for one in parsed(code, {})] == [outcome] * 3


# -- tables

REFUSED = {
    "no_route": (6, 18, 19),
    "invalid_recipient": (8, 51, 52),
    "recipient_blocked": (10, 14),
    "sender_not_registered": (11,),
    "no_credit": (12, 17),
    "invalid_sender": (13,),
    "throttled": (20,),
    "vendor_unavailable": (21, 100),
    "invalid_request": (24, 56),
    "content_refused": (25, 77),
    "rejected_by_vendor": (87, 99),
}
BY_ID = {number: code for code, numbers in REFUSED.items() for number in numbers}


def test_each_refusal_is_tested() -> None:
    assert set(REFUSALS) == set(BY_ID) - {99}


@pytest.mark.parametrize(("number", "code"), BY_ID.items())
def test_refusals(number: int, code: str) -> None:
    outcomes = {"no_credit": Outcome.CONFIGURATION, "throttled": Outcome.TEMPORARY}
    outcomes |= {"vendor_unavailable": Outcome.TEMPORARY}
    (result,) = ADAPTER.parse(
        [TestInfobip.outgoing()], response(200, answered(status(5, number))), TestInfobip.credentials()
    )
    assert (result.outcome, result.code) == (outcomes.get(code, Outcome.PERMANENT), code)
    assert not result.mms_unsupported
    told = only_report(reported(status(5, number)))
    assert (told.status, told.code, told.vendor_code) == (Status.REJECTED, code if number != 99 else "", "")


@pytest.mark.parametrize(
    ("group", "number", "expected"),
    [
        pytest.param(0, 0, Status.SENT, id="accepted"),
        pytest.param(1, 3, Status.SENT, id="waiting"),
        pytest.param(1, 7, Status.SENT, id="en route"),
        pytest.param(1, 26, Status.SENT, id="accepted by the platform"),
        pytest.param(2, 4, Status.UNDELIVERED, id="rejected by the operator"),
        pytest.param(2, 9, Status.UNDELIVERED, id="not delivered"),
        pytest.param(2, 31, Status.UNDELIVERED, id="not sent"),
        pytest.param(3, 2, Status.SENT, id="with the operator: not final"),
        pytest.param(3, 5, Status.DELIVERED, id="on the handset"),
        pytest.param(3, 998, Status.DELIVERED, id="another delivered"),
        pytest.param(4, 15, Status.EXPIRED, id="expired"),
        pytest.param(4, 29, Status.SENT, id="no receipt says nothing"),
        pytest.param(4, 87, Status.REJECTED, id="fraud, in the group expired"),
        pytest.param(5, 87, Status.REJECTED, id="fraud"),
        pytest.param(5, 23, Status.SENT, id="a duplicate says nothing of the first"),
        pytest.param(5, 21, Status.REJECTED, id="system error"),
        pytest.param(7, 5, Status.UNKNOWN, id="an unknown group, whatever the id"),
    ],
)
def test_statuses(group: int, number: int, expected: Status) -> None:
    assert only_report(reported(status(group, number))).status is expected


def test_each_group_is_tested_by_name_too() -> None:
    for name, expected in STATUSES.items():
        body = reported({"groupName": name.lower(), "id": 0})
        assert only_report(body).status is expected


CODES = [(number, code) for code, numbers in ERRORS.items() for number in numbers]


@pytest.mark.parametrize(("number", "code"), CODES)
def test_error_codes(number: int, code: str) -> None:
    error = {"id": number, "name": "EC", "description": "words"}
    told = only_report(reported(status(2, 9), error=error))
    assert (told.code, told.vendor_code, told.text) == (code, str(number), "words")
    assert not told.mms_unsupported  # Infobip sends the SMS itself


def test_opt_outs_are_opt_outs() -> None:
    assert set(ERRORS["opted_out"]) == {573, 603, 15015}
    assert len({number for number, _ in CODES}) == len(CODES)


def test_a_delivered_message_has_no_error_code() -> None:
    told = only_report(reported(status(3, 5), error={"id": 27, "description": "x"}))
    assert (told.status, told.code) == (Status.DELIVERED, "")


def test_a_report_is_found_by_either_id() -> None:
    by_ours = only_report({"results": [{"callbackData": REFERENCE, "status": PENDING}]})
    assert (by_ours.reference, by_ours.vendor_id) == (REFERENCE, "")
    by_theirs = only_report({"results": [{"messageId": REFERENCE, "status": PENDING}]})
    assert (by_theirs.reference, by_theirs.vendor_id) == (REFERENCE, REFERENCE)


@pytest.mark.parametrize(
    "item", [{"status": PENDING}, {"messageId": "x"}, {"from": "421900000123", "text": "Hi"}, {}]
)
def test_what_cannot_be_told_apart_is_parked(item: dict[str, Any]) -> None:
    with pytest.raises(BadPayload):
        only_report({"results": [item]})


# -- settings, proofs and questions


def test_sending_again_is_for_those_who_ask_for_it() -> None:
    assert ADAPTER.repeat_window(TestInfobip.credentials()) is None
    assert ADAPTER.repeat_window(TestInfobip.credentials(repeat_hours="24")) == timedelta(hours=24)


def test_validity_and_subject_are_cut_to_what_infobip_takes() -> None:
    long = TestInfobip.mms(validity=10**6, subject="s" * 67)
    (message,) = read(ADAPTER.build([long], TestInfobip.credentials()))["messages"]
    assert message["options"]["validityPeriod"] == {"amount": 172_800, "timeUnit": "SECONDS"}
    assert message["content"]["title"] == "s" * 66


def test_every_wrong_setting_is_named() -> None:
    with pytest.raises(SettingsError) as error:
        ADAPTER.clean({"base_url": "x", "repeat_hours": "0", "hook_basic": "x"})
    assert set(error.value.problems) == {"base_url", "api_key", "repeat_hours", "hook_basic"}


@pytest.mark.parametrize("channel", list(Channel))
def test_the_status_is_asked_of_the_channels_own_logs(channel: Channel) -> None:
    logs = f"https://api.infobip.com/{channel}/{3 if channel == 'sms' else 2}/logs"
    taken = TestInfobip().sent(channel=channel)
    polled = ADAPTER.poll(taken, TestInfobip.credentials())
    asked = ADAPTER.look_up(replace(taken, vendor_id=""), TestInfobip.credentials())
    assert polled is not None and asked is not None
    assert (polled.url, asked.url) == (f"{logs}?messageId=v-1", f"{logs}?messageId={REFERENCE}")


def test_without_a_proof_the_secret_address_is_the_proof() -> None:
    hook = TestInfobip.hook_request(TestInfobip.hooks[0])
    ADAPTER.verify(hook, TestInfobip.credentials(hook_secret=""))


@pytest.mark.parametrize(
    "given", ["", "Basic", "Basic AAAA", "Bearer x", "ž", writing.basic("infobip", "x")["Authorization"]]
)
def test_basic_authentication(given: str) -> None:
    credentials = TestInfobip.credentials(hook_secret="", hook_basic=BASIC)
    hook = TestInfobip.hook_request(TestInfobip.hooks[0])
    user, _, password = BASIC.partition(":")
    ADAPTER.verify(
        replace(hook, headers={"authorization": writing.basic(user, password)["Authorization"]}), credentials
    )
    with pytest.raises(BadSignature):
        ADAPTER.verify(replace(hook, headers={"authorization": given}), credentials)


# -- the vendor's own description

SMS_SPEC, MMS_SPEC = "infobip_sms.json", "infobip_mms.json"


def post(path: str) -> str:
    return f"/paths/{path.replace('/', '~1')}/post"


@pytest.mark.parametrize("proof", ["", SECRET])
def test_requests_fit_the_description(proof: str) -> None:
    credentials = TestInfobip.credentials(hook_secret=proof)
    body = "/requestBody/content/application~1json/schema"
    # A schema with a discriminator describes only what its kinds share; the kinds are checked one by one.
    sms = json.loads(ADAPTER.build(batch(), credentials).body)
    conforms(SMS_SPEC, post("/sms/3/messages") + body, sms)
    mms = json.loads(ADAPTER.build([TestInfobip.mms(text="Look", fallback_text="x")], credentials).body)
    conforms(MMS_SPEC, post("/mms/2/messages") + body, mms)
    names = {"TEXT": "MmsOutboundTextSegment", "LINK": "MmsOutboundLinkSegment"}
    schemas = {name.rpartition(".")[2]: name for name in spec(MMS_SPEC)["components"]["schemas"]}
    for segment in mms["messages"][0]["content"]["messageSegments"]:
        conforms(MMS_SPEC, f"/components/schemas/{schemas[names[segment['type']]]}", segment)


@pytest.mark.parametrize(("name", "path"), [(SMS_SPEC, "/sms/3/messages"), (MMS_SPEC, "/mms/2/messages")])
def test_the_described_answers_are_read(name: str, path: str) -> None:
    examples = resolve(spec(name), post(path) + "/responses/200/content/application~1json/examples")
    for example in examples.values():
        ids = [one["messageId"] for one in example["value"]["messages"]]
        sent = [TestInfobip.outgoing(reference=one) for one in ids]
        results = ADAPTER.parse(sent, response(200, example["value"]), TestInfobip.credentials())
        assert [(one.outcome, one.vendor_id) for one in results] == [(Outcome.TAKEN, one) for one in ids]


@pytest.mark.parametrize("name", [SMS_SPEC, MMS_SPEC])
def test_the_described_calls_to_us_are_read(name: str) -> None:
    read_examples = 0
    for webhook in spec(name)["webhooks"].values():
        for example in webhook["post"]["requestBody"]["content"]["application/json"]["examples"].values():
            hook = TestInfobip.hook_request(Hook("", expected=(), body=example["value"]))
            found = ADAPTER.parse_hook(hook, TestInfobip.credentials())
            assert len(found) == len(example["value"].get("results", []))
            assert all(isinstance(one, Inbound) or one.status is Status.DELIVERED for one in found)
            read_examples += 1
    assert read_examples >= 4
