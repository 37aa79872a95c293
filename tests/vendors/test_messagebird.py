"""MessageBird (Bird): the classic REST API, its reports by GET and its signed calls."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest

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
    path_of,
    read,
    response,
)
from vendors.base import BadPayload, BadSignature, SettingsError
from vendors.messagebird import ERRORS, REASONS, STATUSES, MessageBird
from vendors.values import Channel, Credentials, HookRequest, Inbound, Media, Outcome, Report, Status

ADAPTER = MessageBird()
SIGNATURE = "messagebird-signature-jwt"
SIGNING_KEY = "signing-key-of-the-tests-0123456789abcdef"
VALUES = {"access_key": "live_key-of-the-tests", "signing_key": SIGNING_KEY, "base_url": ""}
ID = "e8077d803532c0b5937c639b60216938"
AT = datetime(2016, 5, 3, 8, 58, 10, tzinfo=UTC)


def body(**changed: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"originator": "15550100", "recipients": ["421900000123"], "body": "Hello"}
    return {**plain, "reference": REFERENCE, **changed}


def sms(**changed: Any) -> dict[str, Any]:
    return body(**{"datacoding": "plain", "reportUrl": HOOK_URL, "validity": 7200, **changed})


def message(**recipient: Any) -> dict[str, Any]:
    """A message as the vendor's answers show it."""
    item = {
        "recipient": 421900000123,
        "status": "sent",
        "statusDatetime": "2016-05-03T08:58:10+00:00",
        "messagePartCount": 1,
        **recipient,
    }
    return {
        "id": ID,
        "href": f"https://rest.messagebird.com/messages/{ID}",
        "direction": "mt",
        "type": "sms",
        "originator": "ACME",
        "body": "Hello",
        "reference": REFERENCE,
        "validity": None,
        "gateway": 239,
        "typeDetails": {},
        "datacoding": "plain",
        "mclass": 1,
        "scheduledDatetime": None,
        "createdDatetime": "2016-05-03T08:58:00+00:00",
        "recipients": {
            "totalCount": 1,
            "totalSentCount": 1,
            "totalDeliveredCount": 0,
            "totalDeliveryFailedCount": 0,
            "items": [item],
        },
    }


def errors(code: int, description: str = "no", parameter: str | None = None) -> dict[str, Any]:
    return {"errors": [{"code": code, "description": description, "parameter": parameter}]}


def told(status: str, **changed: str) -> str:
    """The query of a report."""
    fields = {
        "id": ID,
        "reference": REFERENCE,
        "recipient": "421900000123",
        "status": status,
        "statusDatetime": "2016-05-03T08:58:10+00:00",
        **changed,
    }
    return urlencode(fields)


def reported(status: Status, word: str, **changed: Any) -> Report:
    return replace(Report(status, word, vendor_id=ID, reference=REFERENCE, occurred_at=AT), **changed)


def token(
    url: str, raw: bytes, *, at: float, key: str = SIGNING_KEY, algorithm: str = "HS256", **changed: Any
) -> str:
    claims = {
        "iss": "MessageBird",
        "nbf": int(at),
        "exp": int(at) + 60,
        "jti": "6a8e1f0a-0000-4000-8000-000000000001",
        "url_hash": hashlib.sha256(url.encode()).hexdigest(),
        "payload_hash": hashlib.sha256(raw).hexdigest() if raw else None,
        **changed,
    }
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm)


def call(method: str, url: str, raw: bytes = b"", kind: str = "", proof: str = "") -> HookRequest:
    headers = {"content-type": kind} if kind else {}
    headers |= {SIGNATURE: proof} if proof else {}
    return HookRequest(method, url, "", dict(parse_qsl(urlsplit(url).query)), headers, raw)


VENDORS_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTYyNTQ3OTIwMCwiZXhwIjoxNjI1NDc5MjYwLCJqdGkiOiI1OWEyNDRkYy1lOWFkLTRlMjMtOTc3"
    "OC0zNzFmYWEyMzhmNzIiLCJ1cmxfaGFzaCI6IjBmMTE1ZGIwNjJiN2MwZGQwMzBiMTY4NzhjOTlkZWE1YzM1NGI0OWRjMzdiMzhlYjg4NDYxNzlj"
    "Nzc4M2U5ZDcifQ."
    "6Fp0rVOsRr1fj9S2GidXAfkmPVofKr8_RTffC6G6r2E"
)
REPORT_URL = (
    "https://connector.example.com/mb/dlr?id=e8077d803532c0b5937c639b60216938&recipient=31612345678"
    "&reference=YouReference123&status=delivered&statusDatetime=2016-05-03T08%3A58%3A10%2B00%3A00"
)
REPORT_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTcwMDAwMDAwMCwiZXhwIjo0MTAyNDQ0ODAwLCJqdGkiOiI2YThlMWYwYS0wMDAwLTQwMDAtODAw"
    "MC0wMDAwMDAwMDAwMDEiLCJ1cmxfaGFzaCI6ImFiZDJmZmFmZmU3NzIyZDUyNWUyNjI1NzczZGQ5ZjRiMjYxZTQwOWJhMTM0MTM2NDFhNTM3ZTE4"
    "ZTdlNTdhZjgifQ."
    "LymKBW6-mE5QC6RecXW5PHj83Wp2r06KHQWeVBaSuZ4"
)


class TestMessageBird(VendorKit):
    adapter = ADAPTER
    values = VALUES
    proof_headers = (SIGNATURE,)

    sends = (
        Send(
            "sms",
            sms(),
            url="https://rest.messagebird.com/messages",
            headers={
                "Authorization": "AccessKey live_key-of-the-tests",
                "Accept": "application/json",
                "Content-Type": "application/json; charset=UTF-8",
            },
        ),
        Send("unicode", sms(body="Привет", datacoding="unicode"), {"text": "Привет"}),
        Send("GSM letters stay plain", sms(body="Grüße €5 [x]"), {"text": "Grüße €5 [x]"}),
        Send("hardly any life left", sms(validity=1), {"validity": 0.4}),
        Send(
            "mms",
            body(subject="New", mediaUrls=["https://media.example/a.jpg", "https://media.example/b.mp4"]),
            {
                "channel": Channel.MMS,
                "subject": "New",
                "media": (
                    Media("https://media.example/a.jpg", "image/jpeg"),
                    Media("https://media.example/b.mp4"),
                ),
                "fallback_text": "See https://ex.example",
            },
            url="https://rest.messagebird.com/mms",
        ),
    )
    answers = (
        Answer("taken", 201, message(), Outcome.TAKEN, {"vendor_id": ID, "segments": 1}),
        Answer("taken in parts", 200, message(messagePartCount=3), Outcome.TAKEN, {"segments": 3}),
        Answer(
            "an mms, whose parts nobody counts",
            201,
            {"id": ID.upper(), "recipients": {"items": [{"recipient": 421900000123, "status": "sent"}]}},
            Outcome.TAKEN,
            {"vendor_id": ID, "segments": None},
        ),
        Answer(
            "no recipient",
            422,
            errors(9, "no (correct) recipients found", "recipients"),
            Outcome.PERMANENT,
            {"code": "invalid_recipient", "vendor_code": "9", "text": "no (correct) recipients found"},
        ),
        Answer(
            "a wrong sender",
            422,
            errors(10, "originator is invalid", "originator"),
            Outcome.PERMANENT,
            {"code": "invalid_sender", "route_fault": True},
        ),
        Answer(
            "wrong media",
            422,
            errors(10, "invalid", "mediaUrls"),
            Outcome.PERMANENT,
            {"code": "media_refused"},
        ),
        Answer(
            "key",
            401,
            errors(2, "Request not allowed"),
            Outcome.CONFIGURATION,
            {"code": "credentials_refused"},
        ),
        Answer("balance, whatever the status", 400, errors(25), Outcome.CONFIGURATION, {"code": "no_credit"}),
        Answer("405", 405, b"", Outcome.PERMANENT, {"code": "rejected_by_vendor", "vendor_code": "405"}),
        Answer(
            "the known one of several",
            422,
            {"errors": [{"code": 777, "description": "x"}, *errors(25)["errors"]]},
            Outcome.CONFIGURATION,
            {"vendor_code": "25"},
        ),
        Answer(
            "an unknown code", 422, errors(777, "x"), Outcome.PERMANENT, {"vendor_code": "777", "text": "x"}
        ),
        Answer("internal", 500, errors(99), Outcome.UNKNOWN, {"code": "vendor_fault"}),
    )
    polls = (
        Poll(
            "delivered",
            200,
            {**message(status="delivered"), "id": "v-1"},
            reported(Status.DELIVERED, "delivered", vendor_id="v-1", segments=1),
        ),
        Poll("another message", 200, message(status="delivered"), None),
        Poll("gone", 404, errors(20, "message not found"), None),
    )
    checks = (
        Check("right", 200, {"payment": "prepaid", "type": "euros", "amount": 9.2}, True),
        Check("wrong", 401, errors(2, "Request not allowed (incorrect access_key)"), False),
        Check("down", 503, b"", None),
    )
    hooks = (
        Hook("delivered", (reported(Status.DELIVERED, "delivered"),), method="GET", query=told("delivered")),
        Hook(
            "with all that may be there",
            (
                reported(
                    Status.UNDELIVERED,
                    "delivery_failed",
                    code="invalid_recipient",
                    vendor_code="1",
                    text="unknown subscriber",
                ),
            ),
            method="GET",
            query=told(
                "delivery_failed",
                statusReason="unknown subscriber",
                statusErrorCode="1",
                mccmnc="20408",
                ported="0",
                originator="ACME",
            ),
        ),
        Hook("as a form", (reported(Status.SENT, "buffered"),), list(parse_qsl(told("buffered")))),
        Hook("as JSON", (reported(Status.SENT, "sent"),), dict(parse_qsl(told("sent")))),
        Hook(
            "an SMS",
            (Inbound(ID, "15550100123", "15550100124", Channel.SMS, "STOP", occurred_at=AT),),
            method="GET",
            query=urlencode(
                {
                    "id": ID,
                    "originator": "15550100123",
                    "recipient": "15550100124",
                    "body": "STOP",
                    "createdDatetime": "2016-05-03T08:58:10+00:00",
                }
            ),
        ),
        Hook(
            "an opt-out by its number",
            (
                reported(
                    Status.REJECTED,
                    "delivery_failed",
                    code="opted_out",
                    vendor_code="103",
                    text="EC_SUBSCRIBER_OPTEDOUT",
                ),
            ),
            method="GET",
            query=told("delivery_failed", statusReason="EC_SUBSCRIBER_OPTEDOUT", statusErrorCode="103"),
        ),
        Hook(
            "an MMS in the query",
            (
                Inbound(
                    ID,
                    "15550100123",
                    "15550100124",
                    Channel.MMS,
                    "Look",
                    (Media("https://media.example/a.jpg"), Media("https://media.example/b.jpg")),
                    occurred_at=AT,
                ),
            ),
            method="GET",
            query=urlencode(
                [
                    ("id", ID),
                    ("originator", "15550100123"),
                    ("recipient", "15550100124"),
                    ("body", "Look"),
                    ("mediaUrls", "https://media.example/a.jpg"),
                    ("mediaUrls", "https://media.example/b.jpg"),
                    ("CreatedDatetime", "2016-05-03T08:58:10+00:00"),
                ]
            ),
        ),
        Hook(
            "an MMS as JSON",
            (
                Inbound(
                    ID,
                    "15550100123",
                    "15550100124",
                    Channel.MMS,
                    "",
                    (Media("https://media.example/a.jpg"), Media("https://media.example/b.jpg")),
                ),
            ),
            {
                "id": ID,
                "originator": "15550100123",
                "recipient": "15550100124",
                "body": "",
                "mediaUrls": ["https://media.example/a.jpg", "https://media.example/b.jpg"],
            },
        ),
        Hook(
            "an MMS with the other names",
            (
                Inbound(
                    ID,
                    "15550100123",
                    "15550100124",
                    Channel.MMS,
                    "Look",
                    (Media("https://media.example/a.jpg"),),
                    occurred_at=AT,
                ),
            ),
            [
                ("receiver", "15550100124"),
                ("sender", "15550100123"),
                ("message", "Look"),
                ("id", ID),
                ("recipient", "15550100124"),
                ("originator", "15550100123"),
                ("mediaURLs", "https://media.example/a.jpg"),
                ("receive_datetime", "2016-05-03T08:58:10+00:00"),
                ("mms", "true"),
            ],
        ),
        Hook(
            "an SMS to a short code",
            (Inbound("m-2", "15550100123", "51515", Channel.SMS, "STOP", occurred_at=AT),),
            [
                ("shortcode", "51515"),
                ("message", "STOP"),
                ("id", ID),
                ("mid", "M-2"),
                ("recipient", "15550100124"),
                ("originator", "15550100123"),
                ("body", "another"),
                ("receive_datetime", "20160503085810"),
            ],
        ),
        Hook(
            "an SMS to a short code, in its own names alone",
            (Inbound("m-2", "15550100123", "51515", Channel.SMS, "STOP", occurred_at=AT),),
            {
                "shortcode": "51515",
                "mid": "m-2",
                "originator": "15550100123",
                "message": "STOP",
                "receive_datetime": "20160503085810",
            },
        ),
        Hook(
            "a report that quotes its message",
            (reported(Status.DELIVERED, "delivered"),),
            method="GET",
            query=told("delivered", body="Hello"),
        ),
        Hook(
            "an SMS as JSON, without a text",
            (Inbound(ID, "15550100123", "12345", Channel.SMS, ""),),
            {"id": ID, "originator": 15550100123, "recipient": "12345", "body": "", "reference": None},
        ),
    )
    unknown_status = Hook("unknown", (), method="GET", query=told("teleported"))
    vectors = (
        Vector(
            "the vendor's own",
            call("GET", "https://example.com/", proof=VENDORS_TOKEN),
            {"signing_key": "36efdd1aace2e26cd490f0d951138253bef2f7c6d34d18981da781555cc4cebb"},
            at=1625479200.0,
        ),
        Vector(
            "a report",
            call("GET", REPORT_URL, proof=REPORT_TOKEN),
            {"signing_key": "my-signing-key-0123456789abcdef0123456789"},
        ),
    )
    bad_values: ClassVar[Any] = (
        ({"access_key": "AccessKey live_x"}, "access_key"),
        ({"signing_key": "two words"}, "signing_key"),
        ({"base_url": "rest.messagebird.com"}, "base_url"),
    )

    def number(self, msisdn: str) -> str:
        return msisdn[1:]

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        built = read(request)
        (recipient,) = built["recipients"]
        return built["originator"], recipient, built["body"]

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        proof = token(hook.url, hook.body, at=at, key=credentials.secrets["signing_key"])
        return replace(hook, headers={**hook.headers, SIGNATURE: proof})


# -- settings and requests


def test_every_wrong_field_is_named_with_what_to_do() -> None:
    with pytest.raises(SettingsError) as error:
        ADAPTER.clean({"signing_key": "a b", "base_url": "x"})
    assert set(error.value.problems) == {"access_key", "signing_key", "base_url"}
    assert "paste the key alone" in error.value.problems["signing_key"]


def test_a_status_is_asked_for_where_the_message_was_sent() -> None:
    kit, credentials = TestMessageBird(), TestMessageBird.credentials()
    polled = ADAPTER.poll(kit.sent(), credentials)
    mms = ADAPTER.poll(kit.sent(channel=Channel.MMS, vendor_id="a/b"), credentials)
    assert polled and mms
    assert (polled.method, path_of(polled.url), polled.body) == ("GET", "/messages/v-1", b"")
    assert path_of(mms.url) == "/mms/a%2Fb"
    assert polled.headers["Authorization"] == "AccessKey live_key-of-the-tests"
    assert ADAPTER.poll(kit.sent(vendor_id=""), credentials) is None


def test_the_balance_is_asked_for() -> None:
    check = ADAPTER.credential_check(TestMessageBird.credentials())
    assert check and (check.method, check.url) == ("GET", "https://rest.messagebird.com/balance")


# -- tables

CODES = {
    "2": (Outcome.CONFIGURATION, "credentials_refused"),
    "9": (Outcome.PERMANENT, "invalid_request"),
    "10": (Outcome.PERMANENT, "invalid_request"),
    "20": (Outcome.PERMANENT, "rejected_by_vendor"),
    "21": (Outcome.PERMANENT, "invalid_request"),
    "25": (Outcome.CONFIGURATION, "no_credit"),
    "98": (Outcome.PERMANENT, "invalid_request"),
    "99": (Outcome.UNKNOWN, "vendor_fault"),
}
WORDS = {
    "scheduled": Status.SENT,
    "sent": Status.SENT,
    "buffered": Status.SENT,
    "delivered": Status.DELIVERED,
    "expired": Status.EXPIRED,
    "delivery_failed": Status.UNDELIVERED,
}
WHY = {
    "DLR not received": (Status.SENT, ""),
    "expired": (Status.EXPIRED, "expired"),
    "Opted out": (Status.REJECTED, "opted_out"),
    "carrier_rejected": (Status.REJECTED, "rejected_by_vendor"),
    "insufficient balance": (Status.REJECTED, "no_credit"),
    "unknown subscriber": (Status.UNDELIVERED, "invalid_recipient"),
    "unavailable subscriber": (Status.UNDELIVERED, "unreachable"),
    "received network error": (Status.UNDELIVERED, "vendor_fault"),
    "incorrect number": (Status.UNDELIVERED, "invalid_recipient"),
    "EC_SUBSCRIBER_OPTEDOUT": (Status.REJECTED, "opted_out"),
    "opted-out": (Status.REJECTED, "opted_out"),
}


def plain(reason: str) -> str:
    return reason.lower().replace("_", " ").replace("-", " ")


def test_the_tables_are_whole() -> None:
    assert set(ERRORS) == set(CODES)
    assert set(STATUSES) == set(WORDS)
    assert {words for words in REASONS if any(words in plain(reason) for reason in WHY)} == set(REASONS)


@pytest.mark.parametrize("code", sorted(CODES))
def test_codes_of_refusals(code: str) -> None:
    answer = response(422, errors(int(code)))
    (result,) = ADAPTER.parse([TestMessageBird.outgoing()], answer, TestMessageBird.credentials())
    assert (result.outcome, result.code, result.vendor_code) == (*CODES[code], code)


def report(query: str) -> Report:
    (found,) = ADAPTER.parse_hook(call("GET", f"{HOOK_URL}?{query}"), TestMessageBird.credentials())
    assert isinstance(found, Report)
    return found


@pytest.mark.parametrize("word", sorted(WORDS))
def test_status_words(word: str) -> None:
    found = report(told(word))
    code = "expired" if word == "expired" else ""
    assert (found.status, found.vendor_status, found.code) == (WORDS[word], word, code)


@pytest.mark.parametrize("reason", sorted(WHY))
def test_reasons_of_a_failure(reason: str) -> None:
    found = report(told("delivery_failed", statusReason=reason))
    assert (found.status, found.code, found.text) == (*WHY[reason], reason)


@pytest.mark.parametrize(
    ("word", "reason", "number", "expected"),
    [
        pytest.param("delivery_failed", "", "103", (Status.REJECTED, "opted_out"), id="an opt-out"),
        pytest.param(
            "delivery_failed", "carrier rejected", "103", (Status.REJECTED, "opted_out"), id="the number counts"
        ),
        pytest.param(
            "delivery_failed", "expired", "1", (Status.UNDELIVERED, "invalid_recipient"), id="over the words"
        ),
        pytest.param("delivery_failed", "", "31", (Status.UNDELIVERED, "unreachable"), id="busy"),
        pytest.param("delivery_failed", "", "34", (Status.UNDELIVERED, "vendor_fault"), id="a network's fault"),
        pytest.param("delivery_failed", "unknown subscriber", "0", (Status.UNDELIVERED, "invalid_recipient"),
                     id="a number that says nothing"),
        pytest.param("expired", "unavailable subscriber", "", (Status.EXPIRED, "unreachable"), id="stays expired"),
        pytest.param("expired", "", "27", (Status.EXPIRED, "unreachable"), id="stays expired, by number"),
        pytest.param("expired", "carrier rejected", "", (Status.EXPIRED, "rejected_by_vendor"), id="and here"),
        pytest.param("expired", "", "103", (Status.EXPIRED, "opted_out"), id="expired, and opted out"),
        pytest.param("expired", "DLR not received", "", (Status.SENT, ""), id="nobody knows"),
        pytest.param("delivered", "", "103", (Status.DELIVERED, ""), id="beside a success"),
    ],
)  # fmt: skip
def test_numbers_and_words_of_a_failure(
    word: str, reason: str, number: str, expected: tuple[Status, str]
) -> None:
    found = report(told(word, statusReason=reason, statusErrorCode=number))
    assert (found.status, found.code, found.vendor_code) == (*expected, number)


def test_a_reason_says_nothing_beside_a_success() -> None:
    assert report(told("delivered", statusReason="expired")).status is Status.DELIVERED


def test_an_unheard_reason_changes_nothing() -> None:
    found = report(told("delivery_failed", statusReason="the dog ate it", statusErrorCode="104"))
    assert (found.status, found.code, found.vendor_code) == (Status.UNDELIVERED, "", "104")


# -- hooks


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("status=delivered&recipient=421900000123", id="a status of nothing"),
        pytest.param("body=STOP&originator=15550100123", id="an inbound message without an id"),
        pytest.param(f"id={ID}", id="an id alone"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_is_no_payload(query: str) -> None:
    with pytest.raises(BadPayload):
        ADAPTER.parse_hook(call("GET", f"{HOOK_URL}?{query}"), TestMessageBird.credentials())


def test_without_a_signing_key_the_address_is_the_proof() -> None:
    credentials = TestMessageBird.credentials(signing_key="")
    ADAPTER.verify(call("GET", f"{HOOK_URL}?{told('delivered')}"), credentials)
    ADAPTER.verify(call("GET", HOOK_URL, proof="nonsense"), credentials)


URL = f"{HOOK_URL}?{told('delivered')}"
RAW = json.dumps({"id": ID, "body": "STOP"}).encode()


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_call_with_a_body_is_proved_too(algorithm: str) -> None:
    key = SIGNING_KEY * 2
    proof = token(HOOK_URL, RAW, at=time.time(), key=key, algorithm=algorithm)
    credentials = TestMessageBird.credentials(signing_key=key)
    ADAPTER.verify(call("POST", HOOK_URL, RAW, "application/json", proof), credentials)
    with pytest.raises(BadSignature):
        ADAPTER.verify(call("POST", HOOK_URL, RAW + b" ", "application/json", proof), credentials)
    with pytest.raises(BadSignature):
        ADAPTER.verify(call("POST", HOOK_URL, b"", "application/json", proof), credentials)


DEEP = "W1tb" * 30_000


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda: token(URL, b"", at=time.time(), key=SIGNING_KEY[::-1]), id="another key"),
        pytest.param(lambda: token(URL, b"", at=time.time(), iss="Bird"), id="another issuer"),
        pytest.param(lambda: token(URL, b"", at=time.time(), iss=None), id="no issuer"),
        pytest.param(lambda: token(URL + "&x=1", b"", at=time.time()), id="another address"),
        pytest.param(lambda: token(URL, b"", at=time.time(), url_hash=None), id="no address"),
        pytest.param(lambda: token(URL, b"x", at=time.time()), id="a body that is not there"),
        pytest.param(lambda: token(URL, b"", at=time.time() - 62), id="too old"),
        pytest.param(lambda: token(URL, b"", at=time.time() + 5), id="from the future"),
        pytest.param(lambda: token(URL, b"", at=time.time(), exp=None), id="no end"),
        pytest.param(lambda: token(URL, b"", at=time.time(), nbf=None), id="no beginning"),
        pytest.param(lambda: jwt.encode({"iss": "MessageBird"}, None, "none"), id="unsigned token"),
        pytest.param(lambda: f"{DEEP}.{DEEP}.AAAA", id="deep"),
        pytest.param(lambda: "", id="missing"),
    ],
)
def test_a_wrong_signature_is_refused(wrong: Any) -> None:
    ADAPTER.verify(call("GET", URL, proof=token(URL, b"", at=time.time())), TestMessageBird.credentials())
    with pytest.raises(BadSignature):
        ADAPTER.verify(call("GET", URL, proof=wrong()), TestMessageBird.credentials())
