"""Twilio's adapter, by its documentation, its description of the API and signatures that its own library worked out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlencode

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
    read,
    response,
)
from tests.vendors.specs import conforms, resolve, spec
from tests.vendors.stand_ins.twilio import FORM, signature
from vendors import meanings
from vendors.base import BadPayload, BadSignature, SettingsError
from vendors.meanings import Meaning
from vendors.twilio import Twilio
from vendors.values import (
    Channel,
    Credentials,
    HookReply,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Report,
    Status,
)

SPEC = "twilio_messages.json"
CREATE = "/paths/~12010-04-01~1Accounts~1{AccountSid}~1Messages.json/post"
MESSAGE = "/components/schemas/api.v2010.account.message"

SID = f"SM{'a' * 32}"
MMS_SID = f"MM{'b' * 32}"
ACCOUNT_SID = f"AC{'0' * 31}1"
KEY_SID = f"SK{'0' * 31}2"
SERVICE = f"MG{'0' * 31}3"
CALLBACK = f"{HOOK_URL}?ref={REFERENCE}#rc=5&rp=all"
FROM, TO = "+15550100", "+421900000123"
REF = f"ref={REFERENCE}"

VECTOR_TOKEN = "test-auth-token-0123456789abcdef"
VECTOR_URL = "https://connector.example.com/hooks/twilio/status?t=acme&k=1"
VECTOR_FIELDS = [
    ("MessageSid", "SM00000000000000000000000000000001"),
    ("SmsSid", "SM00000000000000000000000000000001"),
    ("AccountSid", "AC00000000000000000000000000000001"),
    ("MessageStatus", "delivered"),
    ("SmsStatus", "delivered"),
    ("To", "+15551230001"),
    ("From", "+15551230002"),
    ("ApiVersion", "2010-04-01"),
    ("RawDlrDoneDate", "2601151000"),
]
JSON_SHA256 = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
JSON_URL = f"https://connector.example.com/hooks/twilio/json?bodySHA256={JSON_SHA256}"
SHA256 = {"x-twilio-webhooks-signature-settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}


def sent_form(*pairs: tuple[str, str], body: str | None = "Hello") -> list[tuple[str, str]]:
    text = [] if body is None else [("Body", body)]
    return [
        ("To", TO),
        *pairs[:1],
        *text,
        *pairs[1:],
        ("ValidityPeriod", "7200"),
        ("StatusCallback", CALLBACK),
    ]


def taken(**changed: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "sid": SID,
        "account_sid": ACCOUNT_SID,
        "status": "queued",
        "num_segments": "1",
        "num_media": "0",
        "from": FROM,
        "to": TO,
        "messaging_service_sid": None,
        "body": "Hello",
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "date_created": "Thu, 15 Jan 2026 10:00:00 +0000",
        "date_sent": None,
        "date_updated": "Thu, 15 Jan 2026 10:00:00 +0000",
    }
    return plain | changed


def error(code: int, status: int = 400, text: str = "words") -> dict[str, Any]:
    return {
        "code": code,
        "message": text,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }


def status_form(word: str, code: str = "", sid: str = SID) -> list[tuple[str, str]]:
    pairs = [("MessageSid", sid), ("SmsSid", sid), ("AccountSid", ACCOUNT_SID), ("From", FROM), ("To", TO)]
    pairs += [("MessageStatus", word), ("SmsStatus", word), ("ApiVersion", "2010-04-01")]
    return [*pairs, ("ErrorCode", code), ("RawDlrDoneDate", "2601151000")] if code else pairs


def received_form(**changed: str) -> list[tuple[str, str]]:
    plain = {"MessageSid": SID, "SmsSid": SID, "SmsMessageSid": SID, "AccountSid": ACCOUNT_SID}
    plain |= {"From": "+15550100123", "To": FROM, "Body": "STOP", "NumMedia": "0", "NumSegments": "1"}
    plain |= {
        "SmsStatus": "received",
        "ApiVersion": "2010-04-01",
        "FromCountry": "US",
        "FromCity": "",
        "FromZip": "",
    }
    return list((plain | changed).items())


def vector(id: str, proof: str, url: str = VECTOR_URL, setting: str = "auth_token", **headers: str) -> Vector:
    given = {"content-type": FORM, "x-twilio-signature": proof, **headers}
    hook = HookRequest(
        "POST", url, "", dict(parse_qsl(url.partition("?")[2])), given, urlencode(VECTOR_FIELDS).encode()
    )
    return Vector(id, hook, {setting: VECTOR_TOKEN})


class TestTwilio(VendorKit):
    adapter = Twilio()
    values: ClassVar = {
        "account_sid": ACCOUNT_SID,
        "auth_token": "an auth token",
        "webhook_secret": "a shared key",
    }
    dated = False
    proof_headers = ("x-twilio-signature",)
    bad_values = (
        ({"account_sid": "AC123"}, "account_sid"),
        ({"account_sid": SERVICE}, "account_sid"),
        ({"api_key_sid": ACCOUNT_SID, "api_key_secret": "s"}, "api_key_sid"),
        ({"api_key_sid": KEY_SID}, "api_key_secret"),
        ({"api_key_secret": "s"}, "api_key_sid"),
        ({"messaging_service_sid": "MG"}, "messaging_service_sid"),
        ({"sender_choice": "service"}, "messaging_service_sid"),
        ({"sender_choice": "nobody"}, "sender_choice"),
        ({"region": "moon"}, "region"),
    )
    sends = (
        Send(
            "an SMS",
            sent_form(("From", FROM)),
            url=f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json",
            headers={
                "Content-Type": FORM,
                "Accept": "application/json",
                "Authorization": "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTphbiBhdXRoIHRva2Vu",
            },
        ),
        Send(
            "with an API key",
            sent_form(("From", FROM)),
            headers={"Authorization": "Basic U0swMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMjprZXkgc2VjcmV0"},
            values={"api_key_sid": KEY_SID, "api_key_secret": "key secret"},
            url=f"/Accounts/{ACCOUNT_SID}/Messages.json",
        ),
        Send(
            "a sender out of a service's pool",
            [("To", TO), ("From", FROM), ("MessagingServiceSid", SERVICE), *sent_form(("", ""))[2:]],
            values={"messaging_service_sid": SERVICE},
        ),
        Send(
            "the service picks the sender",
            sent_form(("MessagingServiceSid", SERVICE)),
            values={"messaging_service_sid": SERVICE, "sender_choice": "service"},
        ),
        Send(
            "an MMS with two files; it has no subject",
            sent_form(
                ("From", FROM),
                ("MediaUrl", "https://media.example/a.jpg"),
                ("MediaUrl", "https://media.example/b.png"),
                body="Look",
            ),
            {
                "channel": Channel.MMS,
                "text": "Look",
                "subject": "New",
                "fallback_text": "Look there",
                "media": (
                    Media("https://media.example/a.jpg"),
                    Media("https://media.example/b.png", "image/png"),
                ),
            },
        ),
        Send(
            "an MMS without a text",
            sent_form(("From", FROM), ("MediaUrl", "https://media.example/a.jpg"), body=None),
            {"channel": Channel.MMS, "text": "", "media": (Media("https://media.example/a.jpg"),)},
        ),
        Send(
            "another region",
            sent_form(("From", FROM)),
            url=f"https://api.dublin.ie1.twilio.com/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json",
            values={"region": "ie1"},
        ),
        Send(
            "an address of its own beats the region",
            sent_form(("From", FROM)),
            url=f"https://proxy.example/t/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json",
            values={"region": "ie1", "base_url": "https://proxy.example/t/"},
        ),
    )
    answers = (
        Answer(
            "taken",
            201,
            taken(num_segments="3"),
            Outcome.TAKEN,
            {"vendor_id": SID, "segments": 3, "part_ids": (), "code": ""},
        ),
        Answer(
            "taken by a service, which counts later",
            201,
            taken(status="accepted", num_segments="0", messaging_service_sid=SERVICE, **{"from": None}),
            Outcome.TAKEN,
            {"vendor_id": SID, "segments": None},
        ),
        Answer(
            "a refusal in Twilio's words",
            400,
            error(21211, text="The 'To' number +15550100199 is not a valid phone number."),
            Outcome.PERMANENT,
            {
                "code": "invalid_recipient",
                "vendor_code": "21211",
                "text": "The 'To' number +15550100199 is not a valid phone number.",
            },
        ),
        Answer(
            "a refusal by RFC 9457",
            400,
            {
                "type": "https://www.twilio.com/docs/errors/21610",
                "title": "Unsubscribed",
                "status": 400,
                "code": 21610,
            },
            Outcome.PERMANENT,
            {"code": "opted_out", "vendor_code": "21610", "text": "Unsubscribed", "route_fault": False},
        ),
        Answer(
            "the sender's queue is full",
            429,
            error(21611, 429),
            Outcome.TEMPORARY,
            {"code": "throttled", "retry_after": 300.0},
        ),
        Answer(
            "the sender's queue is full, as 400, and Twilio says for how long",
            400,
            error(21611),
            Outcome.TEMPORARY,
            {"code": "throttled", "retry_after": 60.0},
            headers={"Retry-After": "60"},
        ),
        Answer(
            "too many calls at once",
            429,
            error(20429, 429),
            Outcome.TEMPORARY,
            {"code": "throttled", "vendor_code": "20429", "retry_after": None},
        ),
        Answer(
            "wrong credentials",
            401,
            error(20003, 401, "Authenticate"),
            Outcome.CONFIGURATION,
            {"code": "credentials_refused", "route_fault": True},
        ),
        Answer(
            "403 about one message pauses nobody",
            403,
            error(21999, 403),
            Outcome.PERMANENT,
            {"code": "rejected_by_vendor", "vendor_code": "21999"},
        ),
        Answer(
            "403 about the account",
            403,
            error(20403, 403),
            Outcome.CONFIGURATION,
            {"code": "credentials_refused"},
        ),
        Answer("maintenance as 503", 503, error(21730, 503), Outcome.UNKNOWN, {"code": "vendor_fault"}),
        Answer("an internal error", 500, error(20500, 500), Outcome.UNKNOWN, {"vendor_code": "20500"}),
        Answer(
            "no way for an MMS",
            400,
            error(21612),
            Outcome.PERMANENT,
            {"code": "mms_unsupported", "mms_unsupported": True},
            message={"channel": Channel.MMS},
        ),
        Answer(
            "no way for an SMS",
            400,
            error(21612),
            Outcome.PERMANENT,
            {"code": "no_route", "mms_unsupported": False, "route_fault": True},
        ),
    )
    polls = (
        Poll("of another message", 200, taken(sid=SID, status="delivered"), None),
        Poll("not found", 404, error(20404, 404), None),
        Poll(
            "delivered",
            200,
            taken(sid="v-1", status="delivered", num_segments="2"),
            Report(
                Status.DELIVERED,
                "delivered",
                "v-1",
                REFERENCE,
                segments=2,
                occurred_at=datetime(2026, 1, 15, 10, tzinfo=UTC),
            ),
        ),
        Poll(
            "undelivered",
            200,
            taken(
                sid="v-1",
                status="undelivered",
                error_code=30003,
                error_message="Unreachable +15550100199",
                date_updated=None,
            ),
            Report(
                Status.UNDELIVERED,
                "undelivered",
                "v-1",
                REFERENCE,
                code="unreachable",
                vendor_code="30003",
                text="Unreachable +15550100199",
                segments=1,
            ),
        ),
    )
    checks = (
        Check("right", 200, {"balance": "1.00", "currency": "USD", "account_sid": ACCOUNT_SID}, True),
        Check("wrong", 401, error(20003, 401), False),
        Check("a subaccount has no balance", 404, error(20404, 404), None),
        Check("a restricted key", 403, error(20403, 403), None),
        Check("out of order", 503, error(20503, 503), None),
    )
    hooks = (
        Hook(
            "delivered",
            (Report(Status.DELIVERED, "delivered", SID, REFERENCE),),
            status_form("delivered"),
            query=REF,
        ),
        Hook(
            "undelivered",
            (
                Report(
                    Status.UNDELIVERED, "undelivered", SID, REFERENCE, code="unreachable", vendor_code="30003"
                ),
            ),
            status_form("undelivered", "30003"),
            query=REF,
        ),
        Hook(
            "by the service's own address, without our reference",
            (Report(Status.DELIVERED, "delivered", SID),),
            status_form("delivered"),
        ),
        Hook(
            "an MMS where there are none",
            (
                Report(
                    Status.UNDELIVERED,
                    "undelivered",
                    MMS_SID,
                    REFERENCE,
                    code="mms_unsupported",
                    vendor_code="30011",
                    mms_unsupported=True,
                ),
            ),
            status_form("undelivered", "30011", MMS_SID),
            query=REF,
        ),
        Hook(
            "no way for an MMS that a service sends",
            (
                Report(
                    Status.UNDELIVERED,
                    "failed",
                    MMS_SID,
                    REFERENCE,
                    code="mms_unsupported",
                    vendor_code="21612",
                    mms_unsupported=True,
                ),
            ),
            status_form("failed", "21612", MMS_SID),
            query=REF,
        ),
        Hook(
            "an older call with the older words only",
            (Report(Status.SENT, "sent", SID, REFERENCE),),
            [("SmsSid", SID), ("SmsStatus", "sent")],
            query=REF,
        ),
        Hook(
            "by GET",
            (Report(Status.SENT, "sent", SID, REFERENCE),),
            method="GET",
            query=f"{REF}&{urlencode(status_form('sent'))}",
        ),
        Hook(
            "an MMS of a text alone",
            (Inbound(MMS_SID, "+15550100123", FROM, Channel.MMS, "STOP"),),
            received_form(MessageSid=MMS_SID),
        ),
        Hook("an SMS from a handset", (Inbound(SID, "+15550100123", FROM, text="STOP"),), received_form()),
        Hook(
            "an MMS from a handset",
            (
                Inbound(
                    MMS_SID,
                    "+15550100123",
                    FROM,
                    Channel.MMS,
                    "Look",
                    (
                        Media("https://api.twilio.com/m/0", "image/jpeg"),
                        Media("https://api.twilio.com/m/1", "image/png"),
                    ),
                ),
            ),
            received_form(
                MessageSid=MMS_SID,
                Body="Look",
                NumMedia="2",
                MediaUrl0="https://api.twilio.com/m/0",
                MediaContentType0="image/jpeg",
                MediaUrl1="https://api.twilio.com/m/1",
                MediaContentType1="image/png",
            ),
        ),
    )
    unknown_status = Hook("a new word", (), status_form("teleported"))
    vectors = (
        vector("SHA-1", "/QW7Yn2Q+c6mNoAC9jh/kA0/gcA="),
        vector("SHA-256", "1xkf4Pp5hJHD4gzo/192SbGFww1LQCY7sCRyX5po7NQ=", setting="webhook_secret", **SHA256),
        vector(
            "signed without the port that we know",
            "/QW7Yn2Q+c6mNoAC9jh/kA0/gcA=",
            url=VECTOR_URL.replace(".com/", ".com:443/"),
        ),
        Vector(
            "JSON",
            HookRequest(
                "POST",
                JSON_URL,
                "",
                {"bodySHA256": JSON_SHA256},
                {"content-type": "application/json", "x-twilio-signature": "OLGvqfJeZWxkw1xtR/bnwR+lzVg="},
                b'{"a":1}',
            ),
            {"auth_token": VECTOR_TOKEN},
        ),
    )

    def number(self, msisdn: str) -> str:
        return msisdn

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        form = dict(read(request))
        return form["From"], form["To"], form["Body"]

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        pairs = parse_qsl(hook.body.decode(), keep_blank_values=True)
        proof = signature(credentials.secrets["auth_token"], hook.url, pairs)
        return replace(hook, headers={**hook.headers, "x-twilio-signature": proof})

    # -- the tables, row by row

    @pytest.mark.parametrize(
        ("codes", "meaning"),
        [
            ("20003 20008 20404", meanings.CREDENTIALS_REFUSED),
            ("20429 14107 21611", meanings.THROTTLED),
            ("21730", meanings.UNAVAILABLE),
            ("21211 21217 21604 21614", meanings.INVALID_RECIPIENT),
            ("21610", meanings.OPTED_OUT),
            ("21408 21608 21612", meanings.NO_ROUTE),
            ("21212 21603 21606 21616 21703 21704 21705", meanings.INVALID_SENDER),
            ("21602 21609 21619 21624", meanings.INVALID_REQUEST),
            ("21617 21618", meanings.CONTENT_REFUSED),
            ("21620 21623", meanings.MEDIA_REFUSED),
            ("21621 21622", meanings.MMS_UNSUPPORTED),
            ("21998", meanings.REJECTED),
        ],
    )
    def test_codes_of_refusals(self, codes: str, meaning: Meaning) -> None:
        for code in codes.split():
            result = self.parse(response(400, error(int(code))))
            assert (result.outcome, result.code, result.vendor_code) == (meaning.outcome, meaning.code, code)
            assert (result.route_fault, result.mms_unsupported) == (
                meaning.route_fault,
                meaning.mms_unsupported,
            )

    @pytest.mark.parametrize(
        ("words", "status"),
        [
            ("accepted scheduled queued sending sent", Status.SENT),
            ("partially_delivered receiving received", Status.SENT),
            ("delivered read", Status.DELIVERED),
            ("undelivered failed canceled", Status.UNDELIVERED),
        ],
    )
    def test_status_words(self, words: str, status: Status) -> None:
        for word in words.split():
            report = self.report(word)
            assert (report.status, report.vendor_status, report.vendor_id) == (status, word, SID)
            assert report.code == ("cancelled" if word == "canceled" else "")

    @pytest.mark.parametrize(
        ("codes", "status", "word"),
        [
            ("21610", Status.REJECTED, "opted_out"),
            ("30004 30450", Status.REJECTED, "recipient_blocked"),
            ("30007", Status.REJECTED, "content_refused"),
            ("30034", Status.REJECTED, "sender_not_registered"),
            ("30018 30024 30032 30035", Status.UNDELIVERED, "sender_not_registered"),
            ("30036", Status.EXPIRED, "expired"),
            ("30001 30017 30022 30023 30025 30026 30027", Status.UNDELIVERED, "throttled"),
            ("63017 63018 63038 63039", Status.UNDELIVERED, "throttled"),
            ("30009 30020 30021 30500 63009 63010 63012 63023", Status.UNDELIVERED, "vendor_fault"),
            ("30010 63098 63999", Status.UNDELIVERED, "rejected_by_vendor"),
            ("30012 30013 30400 63006 63030 90007", Status.UNDELIVERED, "invalid_request"),
            ("30440 30441 30443 30445 30449 30033", Status.UNDELIVERED, "sender_not_registered"),
            ("63002 63007 63008 21657", Status.UNDELIVERED, "invalid_sender"),
            ("63003 63024 30014", Status.UNDELIVERED, "invalid_recipient"),
            ("63014 63033", Status.UNDELIVERED, "recipient_blocked"),
            ("63005 63013 63016 63021", Status.UNDELIVERED, "content_refused"),
            ("63019 63034", Status.UNDELIVERED, "media_refused"),
            ("63020 63051", Status.UNDELIVERED, "account_blocked"),
            ("63036", Status.UNDELIVERED, "unreachable"),
            ("30002", Status.UNDELIVERED, "account_blocked"),
            ("30003", Status.UNDELIVERED, "unreachable"),
            ("30005 30006", Status.UNDELIVERED, "invalid_recipient"),
            ("30008 30410", Status.UNDELIVERED, "vendor_fault"),
            ("30011", Status.UNDELIVERED, "mms_unsupported"),
            ("30019", Status.UNDELIVERED, "media_refused"),
            ("21612", Status.UNDELIVERED, "no_route"),
            ("39999 639", Status.UNDELIVERED, ""),
        ],
    )
    @pytest.mark.parametrize("said", ["failed", "undelivered"])
    def test_codes_of_reports(self, codes: str, status: Status, word: str, said: str) -> None:
        for code in codes.split():
            report = self.report(said, code)
            assert (report.status, report.code, report.vendor_code) == (status, word, code)
            assert report.mms_unsupported is (code == "30011")

    def test_a_form_with_a_status_and_a_text_is_a_status(self) -> None:
        report = self.report_of([*status_form("undelivered", "30003"), ("Body", "Hello"), ("NumMedia", "0")])
        assert (report.status, report.code, report.vendor_id) == (Status.UNDELIVERED, "unreachable", SID)

    def test_so_is_one_with_the_older_name_alone(self) -> None:
        form = [("SmsSid", SID), ("SmsStatus", "delivered"), ("Body", "Hello")]
        assert self.report_of(form).status is Status.DELIVERED

    def test_a_message_that_was_received_is_no_status(self) -> None:
        form = [("MessageSid", SID), ("MessageStatus", "received"), ("From", "+15550100123"), ("To", "51515")]
        found = self.adapter.parse_hook(
            self.hook_request(Hook("", (), [*form, ("Body", "STOP"), ("SmsStatus", "received")])),
            self.credentials(),
        )
        assert found == (Inbound(SID, "+15550100123", "51515", Channel.SMS, "STOP"),)

    def report_of(self, form: list[tuple[str, str]]) -> Report:
        (report,) = self.adapter.parse_hook(self.hook_request(Hook("", (), form)), self.credentials())
        assert isinstance(report, Report)
        return report

    def test_an_error_code_beside_a_good_word_says_nothing(self) -> None:
        report = self.report("delivered", "30003")
        assert (report.status, report.code, report.vendor_code) == (Status.DELIVERED, "", "")

    def report(self, word: str, code: str = "") -> Report:
        (report,) = self.adapter.parse_hook(
            self.hook_request(Hook("", (), status_form(word, code))), self.credentials()
        )
        assert isinstance(report, Report)
        return report

    # -- what is special

    def test_every_wrong_setting_is_named_at_once(self) -> None:
        with pytest.raises(SettingsError) as caught:
            self.adapter.clean({"account_sid": "AC", "auth_token": "", "api_key_sid": "SK", "region": "x"})
        assert set(caught.value.problems) == {
            "account_sid",
            "auth_token",
            "api_key_sid",
            "api_key_secret",
            "region",
        }

    @pytest.mark.parametrize(
        ("validity", "written"), [(0.4, "1"), (59.9, "59"), (36_000.0, "36000"), (1e6, "36000")]
    )
    def test_the_validity_keeps_to_twilios_range(self, validity: float, written: str) -> None:
        request = self.adapter.build([self.outgoing(validity=validity)], self.credentials())
        assert dict(read(request))["ValidityPeriod"] == written

    def test_an_attempt_cannot_be_looked_up_but_a_sent_message_can_be_asked_for(self) -> None:
        credentials = self.credentials()
        assert self.adapter.look_up(self.unanswered(), credentials) is None
        assert self.adapter.poll(self.sent(vendor_id=""), credentials) is None
        request = self.adapter.poll(self.sent(vendor_id=SID), credentials)
        assert request is not None
        assert (request.method, request.url) == (
            "GET",
            f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{SID}.json",
        )

    def test_the_credential_check_asks_for_nothing_secret(self) -> None:
        request = self.adapter.credential_check(self.credentials())
        assert request is not None
        assert request.url.endswith(f"/Accounts/{ACCOUNT_SID}/Balance.json")

    def test_nothing_goes_back_to_who_wrote(self) -> None:
        assert self.adapter.hook_reply(self.credentials()) == HookReply(204)

    def test_json_is_no_status_callback(self) -> None:
        with pytest.raises(BadPayload):
            self.adapter.parse_hook(
                self.hook_request(Hook("", (), {"MessageSid": SID}, query=REF)), self.credentials()
            )

    # -- signatures

    def hook_of(self, url: str, pairs: list[tuple[str, str]], **headers: str) -> HookRequest:
        query = dict(parse_qsl(url.partition("?")[2]))
        return HookRequest(
            "POST", url, "", query, {"content-type": FORM, **headers}, urlencode(pairs).encode()
        )

    def test_the_reference_is_under_the_signature(self) -> None:
        good = self.signed_hook(0.0)
        assert REF in good.url
        with pytest.raises(BadSignature):
            self.adapter.verify(replace(good, url=good.url.replace(REFERENCE, "another")), self.credentials())

    @pytest.mark.parametrize(
        ("ours", "twilios"),
        [
            ("https://c.example/h?a=1", "https://c.example:443/h?a=1"),
            ("http://c.example/h?a=1", "http://c.example:80/h?a=1"),
            ("https://c.example:443/h?a=1", "https://c.example/h?a=1"),
            ("https://c.example:8443/h?a=1", "https://c.example:8443/h?a=1"),
            ("https://c.example:8443/h?a=1", "https://c.example/h?a=1"),
        ],
    )
    def test_twilio_signs_with_or_without_the_port(self, ours: str, twilios: str) -> None:
        credentials = self.credentials()
        proof = signature(credentials.secrets["auth_token"], twilios, status_form("sent"))
        self.adapter.verify(
            self.hook_of(ours, status_form("sent"), **{"x-twilio-signature": proof}), credentials
        )
        other = ours.replace("c.example", "d.example")
        with pytest.raises(BadSignature):
            self.adapter.verify(
                self.hook_of(other, status_form("sent"), **{"x-twilio-signature": proof}), credentials
            )

    def test_a_name_that_comes_twice_is_signed_with_each_of_its_values(self) -> None:
        credentials = self.credentials()
        pairs = [("b", "2"), ("a", "ž y"), ("b", "1"), ("b", "2"), ("c", "")]
        # Worked out by hand: distinct values, sorted, an empty one too.
        proof = signature(credentials.secrets["auth_token"], f"{HOOK_URL}až yb1b2c", [])
        self.adapter.verify(self.hook_of(HOOK_URL, pairs, **{"x-twilio-signature": proof}), credentials)

    def test_a_query_is_signed_as_it_is_written(self) -> None:
        credentials = self.credentials()
        url = f"{HOOK_URL}?name={quote('a b/ž', safe='')}"
        proof = signature(credentials.secrets["auth_token"], url, [])
        self.adapter.verify(self.hook_of(url, [], **{"x-twilio-signature": proof}), credentials)

    def test_a_shared_key_needs_its_secret_among_the_settings(self) -> None:
        pairs = status_form("sent")
        good = self.hook_of(
            HOOK_URL,
            pairs,
            **SHA256,
            **{"x-twilio-signature": signature("a shared key", HOOK_URL, pairs, "sha256")},
        )
        self.adapter.verify(good, self.credentials())
        with pytest.raises(BadSignature, match="shared key"):
            self.adapter.verify(good, self.credentials(webhook_secret=""))

    def test_the_auth_token_is_no_shared_key(self) -> None:
        credentials, pairs = self.credentials(), status_form("sent")
        for digest in ("sha1", "sha256"):
            proof = signature(credentials.secrets["auth_token"], HOOK_URL, pairs, digest)
            with pytest.raises(BadSignature):
                self.adapter.verify(
                    self.hook_of(HOOK_URL, pairs, **SHA256, **{"x-twilio-signature": proof}), credentials
                )

    def test_an_unknown_algorithm_proves_nothing(self) -> None:
        settings = {"x-twilio-webhooks-signature-settings": "key=k,algorithm=HMAC_MD5"}
        with pytest.raises(BadSignature, match="algorithm"):
            self.adapter.verify(replace(self.signed_hook(0.0), headers=settings), self.credentials())

    @pytest.mark.parametrize("query", ["", "?bodySHA256=", f"?bodySHA256={JSON_SHA256}"])
    def test_another_body_than_a_form_needs_its_digest(self, query: str) -> None:
        credentials = self.credentials()
        url = HOOK_URL + query
        headers = {"content-type": "application/json", "x-twilio-signature": ""}
        hook = HookRequest(
            "POST", url, "", dict(parse_qsl(query[1:], keep_blank_values=True)), headers, b'{"a":2}'
        )
        headers["x-twilio-signature"] = signature(credentials.secrets["auth_token"], url, [])
        with pytest.raises(BadSignature, match="body"):
            self.adapter.verify(hook, credentials)

    def test_a_get_is_proved_by_its_address(self) -> None:
        credentials = self.credentials()
        url = f"{HOOK_URL}?{urlencode(status_form('sent'))}"
        proof = signature(credentials.secrets["auth_token"], url, [])
        hook = HookRequest("GET", url, "", dict(status_form("sent")), {"x-twilio-signature": proof}, b"")
        self.adapter.verify(hook, credentials)
        with pytest.raises(BadSignature):
            self.adapter.verify(replace(hook, url=url.replace("sent", "delivered")), credentials)

    # -- Twilio's description of its API

    def as_json(self, request: HttpRequest) -> dict[str, Any]:
        """The form as JSON Schema sees it: names that may repeat are lists, numbers are numbers."""
        form: dict[str, Any] = {}
        for name, value in read(request):
            if name == "MediaUrl":
                form.setdefault(name, []).append(value)
            else:
                form[name] = int(value) if name == "ValidityPeriod" else value
        return form

    def test_requests_fit_the_description(self, send: Send) -> None:
        body = f"{CREATE}/requestBody/content/application~1x-www-form-urlencoded/schema"
        form = self.as_json(
            self.adapter.build([self.outgoing(**send.message)], self.credentials(**send.values))
        )
        conforms(SPEC, body, form)
        assert set(form) <= set(resolve(spec(SPEC), f"{body}/properties"))

    def test_the_descriptions_answers_are_read(self) -> None:
        examples: Mapping[str, Any] = resolve(
            spec(SPEC), f"{CREATE}/responses/201/content/application~1json/examples"
        )
        for name, example in examples.items():
            result = self.parse(response(201, example["value"]))
            assert (result.outcome, result.vendor_id) == (Outcome.TAKEN, example["value"]["sid"]), name

    def test_every_status_of_the_description_is_known(self) -> None:
        for word in resolve(spec(SPEC), "/components/schemas/message_enum_status/enum"):
            assert self.report(word).status is not Status.UNKNOWN, word

    def test_answers_of_these_tests_fit_the_description(self) -> None:
        conforms(SPEC, MESSAGE, taken())
