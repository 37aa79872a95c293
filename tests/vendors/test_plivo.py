"""Plivo's adapter, by its documentation and signatures that its own library worked out."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

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
from tests.vendors.stand_ins.plivo import FORM, NONCE, v2, v3
from vendors.base import BadPayload, BadSignature, SettingsError
from vendors.plivo import Plivo
from vendors.values import Channel, Credentials, HookRequest, Inbound, Media, Outcome, Report, Status

UUID = "db3ce55a-7f1d-11e1-8ea7-1231380bc196"
MAIN, SUB = "MA00000000000000TEST", "SA00000000000000TEST"
REF = f"ref={REFERENCE}"

VECTOR_TOKEN = "MTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3A"
VECTOR_FIELDS = [
    ("MessageUUID", UUID),
    ("From", "14152223333"),
    ("To", "14156667777"),
    ("Status", "delivered"),
    ("Units", "1"),
    ("Type", "sms"),
    ("ErrorCode", ""),
]
VECTOR_URL = "https://connector.example.com/plivo/dlr"


def sms(**changed: Any) -> dict[str, Any]:
    plain = {
        "src": "15550100",
        "dst": "421900000123",
        "type": "sms",
        "url": f"{HOOK_URL}?{REF}",
        "method": "POST",
        "log": "true",
        "text": "Hello",
    }
    return {name: value for name, value in (plain | changed).items() if value is not None}


def queued(**changed: Any) -> dict[str, Any]:
    plain = {"message": "message(s) queued", "message_uuid": [UUID], "api_id": UUID, "invalid_number": []}
    return plain | changed


def failed(text: str) -> dict[str, str]:
    return {"api_id": UUID, "error": text}


def status_form(word: str, code: str = "") -> list[tuple[str, str]]:
    pairs = [
        ("MessageUUID", UUID),
        ("From", "15550100"),
        ("To", "421900000123"),
        ("Type", "sms"),
        ("Status", word),
    ]
    pairs += [
        ("Units", "2"),
        ("MCC", "231"),
        ("Sequence", "2"),
        ("MessageTime", "2024-01-15 21:32:13.552000"),
    ]
    return [*pairs, ("ErrorCode", code), ("PowerpackUUID", ""), ("ParentMessageUUID", UUID)]


def received_form(**changed: str) -> list[tuple[str, str]]:
    plain = {"MessageUUID": UUID, "From": "15550100123", "To": "15550100", "Type": "sms", "Units": "1"}
    return list((plain | changed).items())


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def call(
    url: str, pairs: list[tuple[str, str]], headers: Mapping[str, str], method: str = "POST"
) -> HookRequest:
    query = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    body = urlencode(pairs).encode() if method == "POST" else b""
    return HookRequest(method, url, "", query, {"content-type": FORM, **lower(headers)}, body)


def vector(
    id: str, proof: str, url: str, method: str = "POST", header: str = "X-Plivo-Signature-V3"
) -> Vector:
    headers = {header: proof, "X-Plivo-Signature-V3-Nonce": NONCE}
    return Vector(id, call(url, VECTOR_FIELDS, headers, method), {"auth_token": VECTOR_TOKEN})


class TestPlivo(VendorKit):
    adapter = Plivo()
    values: ClassVar = {"auth_id": MAIN, "auth_token": "an auth token"}
    dated = False
    proof_headers = ("x-plivo-signature-v3", "x-plivo-signature-v3-nonce")
    bad_values = (
        ({"auth_id": "MA123"}, "auth_id"),
        ({"auth_id": "XX00000000000000TEST"}, "auth_id"),
        ({"log": "perhaps"}, "log"),
    )
    sends = (
        Send(
            "an SMS",
            sms(),
            url=f"https://api.plivo.com/v1/Account/{MAIN}/Message/",
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Authorization": "Basic TUEwMDAwMDAwMDAwMDAwMFRFU1Q6YW4gYXV0aCB0b2tlbg==",
            },
        ),
        Send("a name as sender", sms(src="Demo Shop"), {"sender": "Demo Shop"}),
        Send(
            "out of a Powerpack",
            sms(src=None, powerpack_uuid="86bbb125-97bb-4d72-89fd-81d5c515b015"),
            values={"powerpack_uuid": "86bbb125-97bb-4d72-89fd-81d5c515b015"},
        ),
        Send("masked in Plivo's logs", sms(log="false"), values={"log": "false"}),
        Send(
            "an MMS with two files; it has no subject",
            sms(
                type="mms",
                text="Look",
                media_urls=["https://media.example/a.jpg", "https://media.example/b.png"],
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
            sms(type="mms", text=None, media_urls=["https://media.example/a.jpg"]),
            {"channel": Channel.MMS, "text": "", "media": (Media("https://media.example/a.jpg"),)},
        ),
        Send(
            "another address",
            sms(),
            url=f"https://proxy.example/p/v1/Account/{MAIN}/Message/",
            values={"base_url": "https://proxy.example/p/"},
        ),
    )
    answers = (
        Answer("taken", 202, queued(), Outcome.TAKEN, {"vendor_id": UUID, "segments": None, "code": ""}),
        Answer(
            "taken, in capitals", 200, queued(message_uuid=[UUID.upper()]), Outcome.TAKEN, {"vendor_id": UUID}
        ),
        Answer(
            "no such number",
            202,
            queued(message_uuid=[], invalid_number=["421900000123"]),
            Outcome.PERMANENT,
            {"code": "invalid_recipient", "text": ""},
        ),
        Answer(
            "a yes without a name",
            202,
            queued(message_uuid=[]),
            Outcome.UNKNOWN,
            {"code": "unreadable_answer"},
        ),
        Answer(
            "a wrong parameter",
            400,
            failed("dst 15550100199 is invalid"),
            Outcome.PERMANENT,
            {"code": "invalid_request", "vendor_code": "400", "text": "dst 15550100199 is invalid"},
        ),
        Answer(
            "no credit",
            400,
            failed("Insufficient credit."),
            Outcome.CONFIGURATION,
            {"code": "no_credit", "route_fault": True},
        ),
        Answer("no credit as 402", 402, failed("top up"), Outcome.CONFIGURATION, {"code": "no_credit"}),
        Answer(
            "wrong credentials",
            401,
            b"Could not verify",
            Outcome.CONFIGURATION,
            {"code": "credentials_refused"},
        ),
        Answer(
            "403 is the recipient's country and pauses nobody",
            403,
            failed("geo permission"),
            Outcome.PERMANENT,
            {"code": "no_route", "route_fault": True, "mms_unsupported": False},
        ),
        Answer("not found", 404, failed("not found"), Outcome.PERMANENT, {"code": "rejected_by_vendor"}),
        Answer("not allowed", 405, b"", Outcome.PERMANENT, {"code": "rejected_by_vendor"}),
        Answer("a conflict", 409, b"", Outcome.PERMANENT, {"code": "invalid_request"}),
        Answer("unprocessable", 422, b"", Outcome.PERMANENT, {"code": "invalid_request"}),
        Answer(
            "throttled",
            429,
            failed("slow down"),
            Outcome.TEMPORARY,
            {"code": "throttled", "retry_after": None},
        ),
        Answer("an internal error", 500, failed("oops"), Outcome.UNKNOWN, {"code": "vendor_fault"}),
        Answer(
            "a sender without MMS",
            400,
            failed("src is not MMS enabled"),
            Outcome.PERMANENT,
            {"code": "mms_unsupported", "mms_unsupported": True},
            message={"channel": Channel.MMS},
        ),
        Answer(
            "a country without MMS",
            400,
            failed("MMS is not supported there"),
            Outcome.PERMANENT,
            {"code": "mms_unsupported", "mms_unsupported": True},
            message={"channel": Channel.MMS},
        ),
        Answer(
            "something else about an MMS",
            400,
            failed("media_urls of an MMS must not be empty"),
            Outcome.PERMANENT,
            {"code": "invalid_request", "mms_unsupported": False},
            message={"channel": Channel.MMS},
        ),
        Answer(
            "an SMS is never sent in place of itself",
            400,
            failed("src is not MMS enabled"),
            Outcome.PERMANENT,
            {"code": "invalid_request", "mms_unsupported": False},
        ),
    )
    polls = (
        Poll("another message", 200, {"message_uuid": UUID, "message_state": "delivered"}, None),
        Poll("no such message", 404, failed("not found"), None),
        Poll("a fault", 500, {"message_uuid": "v-1", "message_state": "failed"}, None),
        Poll("no state", 200, {"message_uuid": "v-1"}, None),
        Poll(
            "delivered",
            200,
            {"message_uuid": "V-1", "message_state": "delivered", "error_code": "000", "units": 3},
            Report(Status.DELIVERED, "delivered", "v-1", REFERENCE, segments=3),
        ),
        Poll(
            "failed",
            200,
            {"message_uuid": "v-1", "message_state": "failed", "error_code": "200"},
            Report(Status.REJECTED, "failed", "v-1", REFERENCE, code="opted_out", vendor_code="200"),
        ),
    )
    checks = (
        Check("right", 200, {"auth_id": MAIN}, True),
        Check("wrong", 401, b"Could not verify", False),
        Check("out of order", 500, b"", None),
    )
    hooks = (
        Hook(
            "delivered",
            (Report(Status.DELIVERED, "delivered", UUID, segments=2),),
            status_form("delivered"),
            query=REF,
        ),
        Hook(
            "failed",
            (Report(Status.REJECTED, "failed", UUID, code="opted_out", vendor_code="200", segments=2),),
            status_form("failed", "200"),
        ),
        Hook(
            "an id in capitals",
            (Report(Status.SENT, "sent", UUID),),
            [("MessageUUID", UUID.upper()), ("Status", "sent")],
        ),
        Hook(
            "by GET",
            (Report(Status.SENT, "sent", UUID, segments=2),),
            method="GET",
            query=f"{REF}&{urlencode(status_form('sent'))}",
        ),
        Hook(
            "an SMS from a handset",
            (Inbound(UUID, "15550100123", "15550100", text="STOP"),),
            received_form(Text="STOP", MessageIntent="optout"),
        ),
        Hook(
            "an SMS without a text",
            (Inbound(UUID, "15550100123", "15550100"),),
            received_form(Text="", ErrorCode=""),
        ),
        Hook(
            "an MMS from a handset",
            (
                Inbound(
                    UUID,
                    "15550100123",
                    "15550100",
                    Channel.MMS,
                    "Look",
                    tuple(Media(f"https://media.plivo.example/{n}") for n in (1, 2, 10)),
                ),
            ),
            received_form(
                Type="mms",
                Body="Look",
                MediaCount="3",
                Media10="https://media.plivo.example/10",
                Media2="https://media.plivo.example/2",
                Media1="https://media.plivo.example/1",
            ),
        ),
        Hook(
            "an older MMS, whose media are counted from 0",
            (
                Inbound(
                    UUID,
                    "15550100123",
                    "15550100",
                    Channel.MMS,
                    "",
                    (Media("https://media.plivo.example/0"),),
                ),
            ),
            received_form(Body="", MediaCount="1", Media0="https://media.plivo.example/0"),
        ),
        Hook(
            "an MMS whose media were lost",
            (Inbound(UUID, "15550100123", "15550100", Channel.MMS),),
            received_form(Type="mms", MediaCount="0", ErrorCode="300"),
        ),
    )
    unknown_status = Hook("a new word", (), status_form("teleported"))
    vectors = (
        vector("V3 of a POST", "MXiJGUxc2iy/pXYH50/mFyE/B+iDYSH0qrY60zytfLU=", VECTOR_URL),
        vector(
            "V3 of a POST with a query",
            "9WW5VWbDtN3pzOi+bUyWtJhCk2+mur9GYrzekl5vcfg=",
            f"{VECTOR_URL}/?t=acme&k=a%20b",
        ),
        vector(
            "V3 of a GET",
            "F0vqqVpzyZKR9Lj9NRUazQNp9MF04N9beOLUQblu5yI=",
            f"{VECTOR_URL}?{urlencode(VECTOR_FIELDS)}",
            "GET",
        ),
        vector(
            "Ma-V3 of the main account itself",
            "MXiJGUxc2iy/pXYH50/mFyE/B+iDYSH0qrY60zytfLU=",
            VECTOR_URL,
            header="X-Plivo-Signature-Ma-V3",
        ),
    )

    def number(self, msisdn: str) -> str:
        return msisdn[1:]

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        body = read(request)
        return body["src"], body["dst"], body["text"]

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        pairs = parse_qsl(hook.body.decode(), keep_blank_values=True)
        proof = v3(credentials.secrets["auth_token"], hook.url, pairs)
        return replace(hook, headers={**hook.headers, **lower(proof)})

    # -- the tables, row by row

    @pytest.mark.parametrize(
        ("word", "status"),
        [
            ("queued", Status.SENT),
            ("sent", Status.SENT),
            ("delivered", Status.DELIVERED),
            ("read", Status.DELIVERED),
            ("undelivered", Status.UNDELIVERED),
            ("failed", Status.UNDELIVERED),
            ("rejected", Status.REJECTED),
        ],
    )
    def test_status_words(self, word: str, status: Status) -> None:
        report = self.report(word)
        assert (report.status, report.vendor_status, report.vendor_id, report.code) == (
            status,
            word,
            UUID,
            "",
        )

    @pytest.mark.parametrize(
        ("codes", "status", "word"),
        [
            ("10", Status.REJECTED, "invalid_request"),
            ("20 1000", Status.UNDELIVERED, "vendor_fault"),
            ("30", Status.UNDELIVERED, "content_refused"),
            ("40", Status.REJECTED, "invalid_sender"),
            ("50", Status.REJECTED, "invalid_recipient"),
            ("60 100", Status.UNDELIVERED, "rejected_by_vendor"),
            ("70", Status.UNDELIVERED, "invalid_recipient"),
            ("80", Status.UNDELIVERED, "unreachable"),
            ("90", Status.UNDELIVERED, "no_route"),
            ("110", Status.REJECTED, "content_refused"),
            ("200", Status.REJECTED, "opted_out"),
            ("201", Status.REJECTED, "no_route"),
            ("420", Status.EXPIRED, "expired"),
            ("900", Status.REJECTED, "no_credit"),
            ("300 450 9999", Status.UNDELIVERED, ""),
        ],
    )
    @pytest.mark.parametrize("said", ["failed", "undelivered"])
    def test_codes_of_reports(self, codes: str, status: Status, word: str, said: str) -> None:
        for code in codes.split():
            report = self.report(said, code)
            assert (report.status, report.code, report.vendor_code) == (status, word, code)

    def test_an_error_code_beside_a_good_word_says_nothing(self) -> None:
        report = self.report("delivered", "80")
        assert (report.status, report.code, report.vendor_code) == (Status.DELIVERED, "", "")

    def report(self, word: str, code: str = "", **headers: str) -> Report:
        hook = self.hook_request(Hook("", (), status_form(word, code), query=REF))
        stored = replace(hook, headers={**hook.headers, **headers})
        (report,) = self.adapter.parse_hook(stored, replace(self.credentials(), secrets={}))
        assert isinstance(report, Report)
        return report

    # -- what is special

    def test_every_wrong_setting_is_named_at_once(self) -> None:
        with pytest.raises(SettingsError) as caught:
            self.adapter.clean({"auth_id": "MA", "log": "x"})
        assert set(caught.value.problems) == {"auth_id", "auth_token", "log"}

    def test_an_attempt_cannot_be_looked_up_but_a_sent_message_can_be_asked_for(self) -> None:
        credentials = self.credentials()
        assert self.adapter.look_up(self.unanswered(), credentials) is None
        assert self.adapter.poll(self.sent(vendor_id=""), credentials) is None
        request = self.adapter.poll(self.sent(vendor_id=UUID), credentials)
        assert request is not None
        assert (request.method, request.body) == ("GET", b"")
        assert request.url == f"https://api.plivo.com/v1/Account/{MAIN}/Message/{UUID}/"

    def test_the_account_itself_proves_the_credentials(self) -> None:
        request = self.adapter.credential_check(self.credentials())
        assert request is not None
        assert (request.method, request.url) == ("GET", f"https://api.plivo.com/v1/Account/{MAIN}/")

    def test_what_says_nothing_of_a_message_is_parked(self) -> None:
        for pairs in ([("MessageUUID", UUID)], [("Status", "sent")], [("Text", "Hello")]):
            with pytest.raises(BadPayload):
                self.adapter.parse_hook(self.hook_request(Hook("", (), pairs)), self.credentials())

    # -- signatures

    @pytest.mark.parametrize("header", ["x-plivo-signature-v3", "x-plivo-signature-ma-v3"])
    def test_our_reference_is_believed_under_v3(self, header: str) -> None:
        assert self.report("delivered", **{header: "***"}).reference == REFERENCE

    @pytest.mark.parametrize("header", ["x-plivo-signature-v2", "x-plivo-signature-ma-v2"])
    def test_our_reference_is_not_believed_under_v2(self, header: str) -> None:
        report = self.report("delivered", **{header: "***"})
        assert (report.reference, report.vendor_id) == ("", UUID)

    def test_the_reference_is_under_v3(self) -> None:
        good = self.signed_hook(0.0)
        assert REF in good.url
        with pytest.raises(BadSignature):
            self.adapter.verify(replace(good, url=good.url.replace(REFERENCE, "another")), self.credentials())

    @pytest.mark.parametrize("header", ["X-Plivo-Signature-V2", "X-Plivo-Signature-Ma-V2"])
    def test_v2(self, header: str) -> None:
        """Worked out by Plivo's library; it covers scheme, host and path."""
        proof = {header: "pF+0dJiUmudtZ6p9ZG63a52mu/TBTsl+f2IsflYqApA=", "X-Plivo-Signature-V2-Nonce": NONCE}
        credentials = self.credentials(auth_token=VECTOR_TOKEN)
        self.adapter.verify(call(f"{VECTOR_URL}/?t=acme", VECTOR_FIELDS, proof), credentials)
        for url in (
            f"{VECTOR_URL}?t=acme",
            f"{VECTOR_URL}/x?t=acme",
            f"{VECTOR_URL}/".replace("https", "http"),
        ):
            with pytest.raises(BadSignature):
                self.adapter.verify(call(url, VECTOR_FIELDS, proof), credentials)

    @pytest.mark.parametrize("name", ["x-plivo-signature-v2", "x-plivo-signature-v2-nonce"])
    @pytest.mark.parametrize("value", [None, "", "ž", "AAAA"])
    def test_each_part_of_v2_is_needed(self, name: str, value: str | None) -> None:
        good = call(HOOK_URL, status_form("sent"), v2("an auth token", HOOK_URL))
        self.adapter.verify(good, self.credentials())
        headers = {key: text for key, text in good.headers.items() if key != name}
        headers |= {} if value is None else {name: value}
        with pytest.raises(BadSignature):
            self.adapter.verify(replace(good, headers=headers), self.credentials())

    def test_v2_without_a_nonce_proves_nothing(self) -> None:
        digest = hmac.digest(b"an auth token", HOOK_URL.encode(), hashlib.sha256)
        proof = {"x-plivo-signature-v2": base64.b64encode(digest).decode()}
        with pytest.raises(BadSignature):
            self.adapter.verify(call(HOOK_URL, status_form("sent"), proof), self.credentials())

    @pytest.mark.parametrize("header", ["X-Plivo-Signature-V3", "X-Plivo-Signature-Ma-V3"])
    @pytest.mark.parametrize("value", ["", "AAAA"])
    def test_a_good_v2_does_not_heal_a_bad_v3(self, header: str, value: str) -> None:
        headers = {**v2("an auth token", HOOK_URL), header: value, "X-Plivo-Signature-V3-Nonce": NONCE}
        with pytest.raises(BadSignature):
            self.adapter.verify(call(HOOK_URL, status_form("sent"), headers), self.credentials())

    def test_one_of_several_signatures_is_enough(self) -> None:
        pairs = status_form("sent")
        good = v3("an auth token", HOOK_URL, pairs)
        several = {**good, "X-Plivo-Signature-V3": f"AAAA,{good['X-Plivo-Signature-V3']}"}
        self.adapter.verify(call(HOOK_URL, pairs, several), self.credentials())

    def test_a_subaccount_has_two_tokens(self) -> None:
        pairs = status_form("sent")
        credentials = self.credentials(auth_id=SUB, main_auth_token="the main token")
        alone = self.credentials(auth_id=SUB)
        own = call(HOOK_URL, pairs, v3("an auth token", HOOK_URL, pairs))
        main = call(HOOK_URL, pairs, v3("the main token", HOOK_URL, pairs, name="Ma-V3"))
        swapped = call(HOOK_URL, pairs, v3("an auth token", HOOK_URL, pairs, name="Ma-V3"))
        self.adapter.verify(own, credentials)
        self.adapter.verify(own, alone)
        self.adapter.verify(main, credentials)
        for hook, whose in ((main, alone), (swapped, credentials), (swapped, alone)):
            with pytest.raises(BadSignature):
                self.adapter.verify(hook, whose)

    def test_no_token_proves_nothing(self) -> None:
        empty = replace(self.credentials(), secrets={})
        with pytest.raises(BadSignature):
            self.adapter.verify(call(HOOK_URL, status_form("sent"), v2("", HOOK_URL)), empty)

    def test_names_that_come_twice_and_blanks_are_signed_sorted(self) -> None:
        pairs = [("b", "2"), ("a", "ž y"), ("b", "1"), ("c", "")]
        text = f"{HOOK_URL}?k=1&k=2&z=.až yb1b2c.{NONCE}"
        digest = hmac.digest(b"an auth token", text.encode(), hashlib.sha256)
        headers = {
            "X-Plivo-Signature-V3": base64.b64encode(digest).decode(),
            "X-Plivo-Signature-V3-Nonce": NONCE,
        }
        self.adapter.verify(call(f"{HOOK_URL}?z=&k=2&k=1", pairs, headers), self.credentials())

    def test_the_forms_answer_to_a_send_is_read_leniently(self) -> None:
        for odd in (
            {"message_uuid": UUID},
            {"message_uuid": [7]},
            {"message_uuid": [None]},
            {"message_uuid": {}},
        ):
            assert self.parse(response(202, odd)).outcome is Outcome.UNKNOWN
