"""Vonage: Messages API v1, its status and inbound webhooks."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from outbound.values import HttpRequest
from tests.vendorkit import HOOK_URL, REFERENCE, Answer, Check, Hook, Send, Vector, VendorKit, read, response
from tests.vendors.specs import conforms, spec
from vendors.base import BadPayload, BadSignature, SettingsError
from vendors.values import (
    Channel,
    Credentials,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Report,
    Status,
    Unreadable,
)
from vendors.vonage import Vonage
from vendors.vonage.codes import ERRORS, REPORT_CODES, STATUSES

SPEC = "vonage_messages.yml"
ADAPTER = Vonage()
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    raw = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return raw.decode()


APPLICATION = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
API_KEY = "a1b2c3d4"
SIGNATURE_SECRET = "0123456789abcdef0123456789abcdef"
VALUES = {
    "auth": "jwt",
    "application_id": APPLICATION,
    "private_key": pem(KEY),
    "api_key": API_KEY,
    "api_secret": "secret-of-the-tests",
    "signature_secret": SIGNATURE_SECRET,
    "base_url": "",
}
BASIC = {"auth": "basic", "application_id": "", "private_key": ""}
UUID = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"
AT = datetime(2026, 1, 15, 10, tzinfo=UTC)
ECHOED = {"client_ref": REFERENCE, "webhook_url": HOOK_URL, "webhook_version": "v1"}
JPG, MP4 = "https://media.example/a.jpg", "https://media.example/b.mp4"


def sms(**changed: Any) -> dict[str, Any]:
    plain = {"channel": "sms", "message_type": "text", "to": "421900000123", "from": "15550100", "ttl": 7200}
    return {**plain, "text": "Hello", **ECHOED, **changed}


def mms(kind: str, **changed: Any) -> dict[str, Any]:
    plain = {"channel": "mms", "message_type": kind, "to": "421900000123", "from": "15550100", "ttl": 7200}
    return {**plain, **ECHOED, **changed}


def picture(**changed: Any) -> dict[str, Any]:
    return {"channel": Channel.MMS, "subject": "New", "media": (Media(JPG, "image/jpeg"),), **changed}


def problem(code: str, title: str = "Invalid params", *names: str) -> dict[str, Any]:
    return {
        "type": f"https://developer.vonage.com/api-errors/messages#{code}",
        "title": title,
        "detail": "The value of one or more parameters is invalid.",
        "instance": "bf0ca0bf927b3b52e3cb03217e1a1ddf",
        "invalid_parameters": [{"name": name, "reason": "invalid value"} for name in names],
    }


def status(word: str, **changed: Any) -> dict[str, Any]:
    return {
        "message_uuid": UUID,
        "to": "15550100123",
        "from": "15550100124",
        "timestamp": "2026-01-15T10:00:00.000Z",
        "status": word,
        "channel": "sms",
        "client_ref": REFERENCE,
        **changed,
    }


def fault(code: str | int, detail: str = "Destination unreachable") -> dict[str, Any]:
    kind = f"https://developer.nexmo.com/api-errors/messages-olympus#{code}"
    return {"type": kind, "title": code, "detail": detail, "instance": "bf0ca0bf927b3b52e3cb03217e1a1ddf"}


def reported(found: Status, word: str, **changed: Any) -> Report:
    plain = Report(found, word, vendor_id=UUID, reference=REFERENCE, occurred_at=AT, sent_as=Channel.SMS)
    return replace(plain, **changed)


def received(**changed: Any) -> dict[str, Any]:
    return {
        "channel": "sms",
        "message_type": "text",
        "message_uuid": UUID,
        "to": "15550100124",
        "from": "15550100123",
        "timestamp": "2026-01-15T10:00:00Z",
        "text": "STOP",
        "sms": {"num_messages": "1", "total_count": "1", "keyword": "STOP"},
        "usage": {"currency": "EUR", "price": "0.0333"},
        "origin": {"network_code": "310260"},
        **changed,
    }


def token(body: bytes, *, at: float, secret: str = SIGNATURE_SECRET, **changed: Any) -> str:
    claims = {
        "iat": int(at),
        "jti": "c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5",
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(body).hexdigest(),
        "api_key": API_KEY,
        "application_id": APPLICATION,
        **changed,
    }
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, "HS256")


VECTOR_BODY = (
    b'{"message_uuid":"aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab","to":"15551230001","from":"15551230002",'
    b'"timestamp":"2026-01-15T10:00:00.000Z","status":"delivered","channel":"sms","client_ref":"msg-0001",'
    b'"sms":{"count_total":"2"}}'
)
VECTOR_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJpYXQiOjE3Njg0NzEyMDAsImp0aSI6ImM1YmE4ZjI0LTFhMTQtNGMxMC1iZmRmLTNmYmU4Y2U1MTFiNSIsImlzcyI6IlZvbmFnZSIsInBh"
    "eWxvYWRfaGFzaCI6IjA3NDliNjgyODQ3MTNkYWUwMTQ2OWU2MjdmMzM3M2NmNWJhYTVlNjBlNjM5OGMxOWU2NTEyMTQ3ZjUwN2QwNzgiLCJh"
    "cGlfa2V5IjoiYTFiMmMzZDQiLCJhcHBsaWNhdGlvbl9pZCI6ImFhYWFhYWFhLWJiYmItY2NjYy1kZGRkLTAxMjM0NTY3ODlhYiJ9."
    "7-lm6gtIT-Gk4IAMtIpkQKiIsnE4hj8Wq7wv5zFEZfo"
)


class TestVonage(VendorKit):
    adapter = ADAPTER
    values = VALUES
    alphanumeric = "Demo Shop"
    proof_headers = ("authorization",)

    sends = (
        Send("sms", sms(), url="https://api.nexmo.com/v1/messages"),
        Send("a short life is the least that Vonage takes", sms(ttl=20), {"validity": 3.0}),
        Send("a long life is the most", sms(ttl=604_800), {"validity": 9e6}),
        Send(
            "basic",
            sms(),
            headers={"Authorization": "Basic YTFiMmMzZDQ6c2VjcmV0LW9mLXRoZS10ZXN0cw=="},
            values=BASIC,
        ),
        Send(
            "mms with a picture",
            mms("image", image={"url": JPG, "caption": "Hello"}),
            picture(),
            url="/v1/messages",
        ),
        Send("mms without a text", mms("image", image={"url": JPG}), picture(text="")),
        Send(
            "mms with several files and a fallback",
            mms(
                "content",
                content=[
                    {"type": "image", "url": JPG, "caption": "Hello"},
                    {"type": "video", "url": MP4},
                ],
                failover=[sms(text="See https://ex.example")],
            ),
            picture(media=(Media(JPG), Media(MP4, "video/mp4")), fallback_text="See https://ex.example"),
        ),
        Send(
            "the times of an mms and of its fallback differ",
            mms("image", image={"url": JPG, "caption": "Hello"}, ttl=300, failover=[sms(text="x", ttl=60)]),
            picture(validity=60.0, fallback_text="x"),
        ),
    )
    answers = (
        Answer("taken", 202, {"message_uuid": UUID.upper()}, Outcome.TAKEN, {"vendor_id": UUID}),
        Answer(
            "taken with a failover",
            202,
            {"message_uuid": UUID, "workflow_id": "3TcNjguHxr2vcCZ9Ddsnq6tw8yQUpZ9rMHv9QXSxLan5ibMxqSzLdx9"},
            Outcome.TAKEN,
            {"vendor_id": UUID},
        ),
        Answer(
            "a wrong recipient by its name",
            422,
            problem("1150", "Invalid params", "to"),
            Outcome.PERMANENT,
            {"code": "invalid_recipient", "vendor_code": "1150", "text": "Invalid params (to)"},
        ),
        Answer(
            "a wrong sender by its name",
            422,
            problem("1010", "Invalid params", "text", "from"),
            Outcome.PERMANENT,
            {"code": "invalid_sender", "route_fault": True},
        ),
        Answer(
            "a number that is none", 422, problem("1170"), Outcome.PERMANENT, {"code": "invalid_recipient"}
        ),
        Answer(
            "bad token",
            401,
            problem("unauthorized", "Unauthorized"),
            Outcome.CONFIGURATION,
            {"code": "credentials_refused", "vendor_code": "unauthorized"},
        ),
        Answer("low balance", 402, problem("1070"), Outcome.CONFIGURATION, {"code": "no_credit"}),
        Answer(
            "low balance as 403", 403, problem("low-balance"), Outcome.CONFIGURATION, {"code": "no_credit"}
        ),
        Answer("barred", 403, problem("1060"), Outcome.CONFIGURATION, {"code": "account_blocked"}),
        Answer(
            "not provisioned",
            403,
            problem("unprovisioned"),
            Outcome.CONFIGURATION,
            {"code": "account_blocked"},
        ),
        Answer(
            "a 403 about one message",
            403,
            problem("forbidden", "Forbidden"),
            Outcome.PERMANENT,
            {"code": "rejected_by_vendor", "text": "Forbidden"},
        ),
        Answer("opted out", 422, problem("1240"), Outcome.PERMANENT, {"code": "opted_out"}),
        Answer("a number of the account is not enough", 422, problem("1060"), Outcome.PERMANENT),
        Answer("404", 404, problem("not-found"), Outcome.PERMANENT, {"code": "rejected_by_vendor"}),
        Answer("429 with an unfit code", 429, problem("1010"), Outcome.TEMPORARY, {"code": "throttled"}),
        Answer("500", 500, problem("1030"), Outcome.UNKNOWN, {"code": "vendor_fault"}),
    )
    checks = (
        Check("right", 200, {"id": APPLICATION, "name": "Demo"}, True),
        Check("wrong", 401, {"type": "https://developer.nexmo.com/api-errors#unauthorized"}, False),
        Check("no such application", 404, {}, False),
        Check("down", 503, b"", None),
    )
    hooks = (
        Hook(
            "delivered",
            (reported(Status.DELIVERED, "delivered", segments=2),),
            status("delivered", sms={"count_total": "2"}),
        ),
        Hook(
            "counted as a number",
            (reported(Status.SENT, "submitted", segments=3),),
            status("submitted", sms={"count_total": 3}),
        ),
        Hook(
            "undeliverable",
            (
                reported(
                    Status.UNDELIVERED,
                    "undeliverable",
                    code="unreachable",
                    vendor_code="1260",
                    text="Destination unreachable",
                ),
            ),
            status("undeliverable", error=fault("1260"), usage={"currency": "EUR", "price": "0.0333"}),
        ),
        Hook(
            "a code as a number",
            (
                reported(
                    Status.REJECTED, "rejected", code="opted_out", vendor_code="1240", text="Illegal Number"
                ),
            ),
            status("rejected", error=fault(1240, "Illegal Number")),
        ),
        Hook(
            "the first of two failed: the fallback goes out",
            (
                reported(
                    Status.SENT,
                    "rejected",
                    code="mms_unsupported",
                    vendor_code="1310",
                    text="x",
                    sent_as=None,
                ),
            ),
            status(
                "rejected",
                channel="mms",
                error=fault("1310", "x"),
                workflow={"id": "w", "item_number": "1", "items_total": "2"},
            ),
        ),
        Hook(
            "the fallback failed too",
            (reported(Status.UNDELIVERED, "undeliverable"),),
            status("undeliverable", workflow={"id": "w", "item_number": 2, "total_items": 2}),
        ),
        Hook(
            "the fallback arrived, under an id of its own",
            (reported(Status.DELIVERED, "delivered", vendor_id="bbbbbbbb-bbbb-4ccc-8ddd-0123456789ab"),),
            status(
                "delivered",
                message_uuid="bbbbbbbb-bbbb-4ccc-8ddd-0123456789ab",
                workflow={"id": "w", "item_number": "2", "items_total": "2"},
            ),
        ),
        Hook(
            "several",
            (reported(Status.SENT, "submitted"), reported(Status.DELIVERED, "read", sent_as=None)),
            [status("submitted"), status("read", channel="whatsapp")],
        ),
        Hook(
            "an SMS",
            (Inbound(UUID, "15550100123", "15550100124", Channel.SMS, "STOP", occurred_at=AT),),
            received(),
        ),
        Hook(
            "an MMS",
            (
                Inbound(
                    UUID,
                    "15550100123",
                    "15550100124",
                    Channel.MMS,
                    "Look",
                    (Media(JPG, name="a.jpg"), Media(MP4)),
                    occurred_at=AT,
                ),
            ),
            {
                **received(channel="mms", message_type="image", text=None),
                "image": {"url": JPG, "caption": "Look", "name": "a.jpg"},
                "content": [{"type": "image", "url": JPG}, {"type": "video", "url": MP4}],
            },
        ),
    )
    unknown_status = Hook("unknown", (), status("teleported"))
    vectors = (
        Vector(
            "worked example",
            HookRequest("POST", HOOK_URL, "", {}, {"authorization": f"Bearer {VECTOR_TOKEN}"}, VECTOR_BODY),
            {},
            at=1768471200.0,
        ),
    )
    bad_values: ClassVar[Any] = (
        ({"application_id": ""}, "application_id"),
        ({"application_id": "my application"}, "application_id"),
        ({"application_id": APPLICATION.upper()}, "application_id"),  # signed calls name it in small letters
        ({"private_key": ""}, "private_key"),
        ({"private_key": "private.key"}, "private_key"),
        ({"private_key": pem(ec.generate_private_key(ec.SECP256R1()))}, "private_key"),
        ({**BASIC, "api_secret": ""}, "api_secret"),
        ({"auth": "digest"}, "auth"),
        ({"base_url": "api.nexmo.com"}, "base_url"),
    )

    def number(self, msisdn: str) -> str:
        return msisdn[1:]

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        body = read(request)
        return body["from"], body["to"], body["text"]

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        secret = credentials.secrets["signature_secret"]
        return replace(
            hook,
            headers={**hook.headers, "authorization": f"Bearer {token(hook.body, at=at, secret=secret)}"},
        )


# -- settings


def test_every_wrong_field_is_named_with_what_to_do() -> None:
    with pytest.raises(SettingsError) as error:
        ADAPTER.clean({"private_key": "-----BEGIN PRIVATE KEY-----", "base_url": "x", "application_id": "y"})
    problems = error.value.problems
    assert set(problems) == {"application_id", "private_key", "api_key", "signature_secret", "base_url"}
    assert "paste the whole file private.key" in problems["private_key"]
    assert "copy it" in problems["application_id"]


def test_a_key_from_a_form_has_other_line_ends() -> None:
    values = {**VALUES, "private_key": pem(KEY).replace("\n", "\r\n")}
    cleaned = ADAPTER.clean(values)
    assert cleaned["base_url"] == "https://api.nexmo.com"
    credentials = replace(
        TestVonage.credentials(),
        secrets={**TestVonage.credentials().secrets, **{"private_key": cleaned["private_key"]}},
    )
    assert bearer(credentials)["application_id"] == APPLICATION


def test_basic_needs_neither_application_nor_key() -> None:
    assert ADAPTER.clean({**VALUES, **BASIC})["private_key"] == ""


# -- requests


def bearer(credentials: Credentials) -> dict[str, Any]:
    """The claims of a request's token, proved with the application's public key."""
    request = ADAPTER.build([TestVonage.outgoing()], credentials)
    scheme, _, value = request.headers["Authorization"].partition(" ")
    assert scheme == "Bearer"
    assert jwt.get_unverified_header(value) == {"alg": "RS256", "typ": "JWT"}
    claims: dict[str, Any] = jwt.decode(value, KEY.public_key(), algorithms=["RS256"])
    return claims


def test_each_request_has_a_token_of_its_own() -> None:
    one, two = bearer(TestVonage.credentials()), bearer(TestVonage.credentials())
    assert set(one) == {"application_id", "iat", "exp", "jti"}
    assert one["application_id"] == APPLICATION
    assert abs(one["iat"] - time.time()) < 5
    assert one["exp"] - one["iat"] == 900
    assert one["jti"] != two["jti"]


@pytest.mark.parametrize(
    ("media", "kind"),
    [
        pytest.param(Media("https://m.example/x", "image/png"), "image", id="image"),
        pytest.param(Media("https://m.example/x", "Audio/MPEG; q=1"), "audio", id="audio"),
        pytest.param(Media("https://m.example/x", "text/x-vcard"), "vcard", id="vcard"),
        pytest.param(Media("https://m.example/x.jpg", "application/pdf"), "file", id="another type"),
        pytest.param(Media("https://m.example/x.PNG?w=1"), "image", id="by its ending"),
        pytest.param(Media("https://m.example/x.vcf"), "vcard", id="vcard by its ending"),
        pytest.param(Media("https://m.example/x"), "file", id="no hint"),
    ],
)
def test_kinds_of_media(media: Media, kind: str) -> None:
    body = read(ADAPTER.build([TestVonage.mms(media=(media,))], TestVonage.credentials()))
    assert (body["message_type"], body[kind]["url"]) == (kind, media.url)


def test_credentials_are_checked_without_sending() -> None:
    application = ADAPTER.credential_check(TestVonage.credentials())
    balance = ADAPTER.credential_check(TestVonage.credentials(**BASIC))
    proxied = ADAPTER.credential_check(TestVonage.credentials(**BASIC, base_url="https://proxy.example/v"))
    assert application and balance and proxied
    assert (application.method, application.url) == (
        "GET",
        f"https://api.nexmo.com/v2/applications/{APPLICATION}",
    )
    assert (balance.method, balance.url) == ("GET", "https://rest.nexmo.com/account/get-balance")
    assert proxied.url == "https://proxy.example/v/account/get-balance"
    assert ADAPTER.credential_check(TestVonage.credentials(api_secret="")) is None


def test_a_balance_is_a_yes_and_404_is_none() -> None:
    credentials = TestVonage.credentials(**BASIC)
    yes = ADAPTER.parse_credential_check(response(200, {"value": 10.28, "autoReload": False}), credentials)
    assert yes.ok is True
    assert ADAPTER.parse_credential_check(response(404, {}), credentials).ok is None


# -- tables

CODES: Mapping[str, str] = {
    **dict.fromkeys(
        ["1010", "1020", "1021", "1022", "1040", "1090", "1130", "1140", "1150", "1340"], "invalid_request"
    ),
    **dict.fromkeys(["1170", "1190", "1300"], "invalid_recipient"),
    **dict.fromkeys(["1050", "1160", "1280", "1290"], "recipient_blocked"),
    "1240": "opted_out",
    "1120": "invalid_sender",
    **dict.fromkeys(["1200", "1250"], "no_route"),
    **dict.fromkeys(["1210", "1270"], "content_refused"),
    **dict.fromkeys(["1380", "1381", "1382"], "media_refused"),
    "1320": "duplicate",
    "1330": "rejected_by_vendor",
    **dict.fromkeys(["1000", "1241"], "throttled"),
    **dict.fromkeys(["1030", "1100", "1230", "1331"], "vendor_fault"),
    **dict.fromkeys(["1060", "1080", "unprovisioned"], "account_blocked"),
    **dict.fromkeys(["1070", "low-balance"], "no_credit"),
    "unauthorized": "credentials_refused",
}
ONLY_IN_REPORTS = {
    "1180": "unreachable",
    "1220": "unreachable",
    "1260": "unreachable",
    "1310": "mms_unsupported",
    "1360": "expired",
}
NOT_ABOUT_THE_MESSAGE = {"throttled", "vendor_fault", "account_blocked", "no_credit", "credentials_refused"}


def test_the_tables_are_whole() -> None:
    assert set(ERRORS) == set(CODES)
    assert set(REPORT_CODES) == set(CODES) | set(ONLY_IN_REPORTS)


@pytest.mark.parametrize("code", sorted(CODES))
def test_codes_of_refusals(code: str) -> None:
    (result,) = ADAPTER.parse([TestVonage.outgoing()], response(422, problem(code)), TestVonage.credentials())
    # What does not fit a 422 is a wrong number in the vendor's answer: the status decides.
    expected = "invalid_request" if CODES[code] in NOT_ABOUT_THE_MESSAGE else CODES[code]
    assert (result.outcome, result.code, result.vendor_code) == (Outcome.PERMANENT, expected, code)
    assert not result.mms_unsupported


@pytest.mark.parametrize("code", sorted(CODES | ONLY_IN_REPORTS))
@pytest.mark.parametrize("word", ["rejected", "undeliverable"])
def test_codes_of_reports(word: str, code: str) -> None:
    (report,) = reports(status(word, error=fault(code)))
    expected = Status.REJECTED if word == "rejected" else Status.UNDELIVERED
    if code in ("1000", "1030", "1100", "1230", "1331"):
        expected = Status.UNDELIVERED
    elif code == "1360":
        expected = Status.EXPIRED
    assert (report.status, report.code) == (expected, (CODES | ONLY_IN_REPORTS)[code])
    assert (report.vendor_code, report.mms_unsupported) == (code, False)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        pytest.param("submitted", Status.SENT, id="submitted"),
        pytest.param("delivered", Status.DELIVERED, id="delivered"),
        pytest.param("read", Status.DELIVERED, id="read"),
        pytest.param("undeliverable", Status.UNDELIVERED, id="undeliverable"),
        pytest.param("rejected", Status.REJECTED, id="rejected"),
        pytest.param("expired", Status.UNKNOWN, id="not a word of Vonage"),
    ],
)
def test_status_words(word: str, expected: Status) -> None:
    (report,) = reports(status(word))
    assert (report.status, report.vendor_status) == (expected, word)


# -- hooks


def hook(body: Any, **headers: str) -> HookRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HookRequest("POST", HOOK_URL, "", {}, {"content-type": "application/json", **headers}, raw)


def reports(body: Any) -> list[Report]:
    found = ADAPTER.parse_hook(hook(body), replace(TestVonage.credentials(), secrets={}))
    assert all(isinstance(item, Report) for item in found)
    return [item for item in found if isinstance(item, Report)]


def test_a_code_may_be_in_the_type_alone() -> None:
    (report,) = reports(status("rejected", error={**fault("1240"), "title": "Illegal Number"}))
    assert (report.vendor_code, report.code) == ("1240", "opted_out")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"status": "delivered"}, id="a status of nothing"),
        pytest.param(received(message_uuid=""), id="an inbound message without an id"),
        pytest.param(received(channel="whatsapp"), id="an inbound message of another channel"),
        pytest.param([7, {"status": "delivered"}], id="a list of oddities"),
        pytest.param(received(message_type="unsupported", text=""), id="a kind without text and files"),
    ],
)
def test_what_is_no_payload(body: Any) -> None:
    with pytest.raises(BadPayload):
        ADAPTER.parse_hook(hook(body), TestVonage.credentials())


def test_an_oddity_in_a_list_costs_the_others_nothing() -> None:
    said = ADAPTER.parse_hook(hook([status("delivered"), 7]), TestVonage.credentials())
    assert [type(one) for one in said] == [Report, Unreadable]


@pytest.mark.parametrize("headers", [{}, {"authorization": ""}, {"authorization": "Basic eDp5"}])
def test_an_unsigned_call_is_asked_for_again(headers: Mapping[str, str]) -> None:
    with pytest.raises(BadSignature) as error:
        ADAPTER.verify(hook(status("delivered"), **headers), TestVonage.credentials())
    assert error.value.again


BODY = json.dumps(status("delivered")).encode()
DEEP = "W1tb" * 30_000


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda: token(BODY, at=time.time(), secret="another" * 8), id="another secret"),
        pytest.param(lambda: token(BODY, at=time.time(), iss="Nexmo"), id="another issuer"),
        pytest.param(lambda: token(BODY, at=time.time(), iss=None), id="no issuer"),
        pytest.param(lambda: token(BODY, at=time.time(), api_key="d4c3b2a1"), id="another account"),
        pytest.param(lambda: token(BODY, at=time.time(), application_id="x"), id="another application"),
        pytest.param(lambda: token(BODY + b" ", at=time.time()), id="another body"),
        pytest.param(lambda: token(BODY, at=time.time(), payload_hash=None), id="no hash"),
        pytest.param(lambda: token(BODY, at=time.time(), iat=None), id="no time"),
        pytest.param(lambda: token(BODY, at=time.time(), iat="now"), id="no number as time"),
        pytest.param(lambda: token(BODY, at=time.time() - 25 * 3600), id="older than its last repeat"),
        pytest.param(lambda: token(BODY, at=time.time() + 25 * 3600), id="from the future"),
        pytest.param(lambda: jwt.encode({"iss": "Vonage"}, None, "none"), id="unsigned token"),
        pytest.param(lambda: jwt.encode({"iss": "Vonage"}, KEY, "RS256"), id="another algorithm"),
        pytest.param(lambda: f"{DEEP}.{DEEP}.AAAA", id="deep"),
    ],
)
def test_a_wrong_signature_is_refused_for_good(wrong: Any) -> None:
    with pytest.raises(BadSignature) as error:
        ADAPTER.verify(hook(BODY, authorization=f"Bearer {wrong()}"), TestVonage.credentials())
    assert not error.value.again


@pytest.mark.parametrize("hours", [0.2, 23.9, -0.5])
def test_a_right_signature_that_is_merely_old_is_taken(hours: float) -> None:
    """Vonage repeats a call for 24 hours, perhaps under its first signature; and clocks may be wrong, ours too."""
    signed_at = time.time() - hours * 3600
    proof = token(BODY, at=signed_at, exp=int(signed_at) + 60, nbf=int(signed_at))
    ADAPTER.verify(hook(BODY, authorization=f"Bearer {proof}"), TestVonage.credentials())


def test_an_unsigned_get_is_refused_for_good() -> None:
    """Only the old SMS API calls so, and never signs: to ask for a repeat would be answered for a day."""
    call = HookRequest("GET", HOOK_URL, "", {"status": "delivered"}, {}, b"")
    with pytest.raises(BadSignature) as error:
        ADAPTER.verify(call, TestVonage.credentials())
    assert not error.value.again


def test_the_application_is_optional_in_a_signature() -> None:
    call = hook(BODY, authorization=f"Bearer {token(BODY, at=time.time(), application_id=None)}")
    ADAPTER.verify(call, TestVonage.credentials())
    other = hook(BODY, authorization=f"Bearer {token(BODY, at=time.time(), application_id='any')}")
    ADAPTER.verify(other, TestVonage.credentials(**BASIC))


# -- the vendor's own description: of version 0.1, whose messages have another shape (nested `to` and `from`), so only
# the words that both versions share are compared.


def test_every_documented_error_has_a_meaning() -> None:
    facebook_only = {"1350", "1370"}
    assert set(spec(SPEC)["x-errors"]) - facebook_only <= set(REPORT_CODES)


def test_every_documented_status_is_known() -> None:
    words = spec(SPEC)["components"]["schemas"]["MessageStatus"]["properties"]["status"]["enum"]
    assert set(words) == set(STATUSES)


def test_answers_are_as_described() -> None:
    conforms(SPEC, "/components/schemas/Response", {"message_uuid": UUID})
    conforms(SPEC, "/components/schemas/Error", problem("1150"))
