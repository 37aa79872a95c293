"""Gateways that are described by settings: one of our own making, Kannel and Jasmin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

import pytest

from outbound.values import HttpRequest
from tests.vendorkit import (
    HOOK_URL,
    RECIPIENT,
    REFERENCE,
    Answer,
    Check,
    Hook,
    LookUp,
    Poll,
    Send,
    Vector,
    VendorKit,
)
from vendors.base import BadPayload, BadSignature, SettingsError
from vendors.http_generic import HttpGeneric, signature
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
    Status,
)

HEX = REFERENCE.replace("-", "")
AN_MMS: Mapping[str, Any] = {
    "channel": Channel.MMS,
    "media": (
        Media("https://media.example/a.jpg?x=1&y=2", "image/jpeg"),
        Media("https://media.example/b", name="b"),
    ),
}
MMS_START = '{"ref": {{ reference | json }}, "to": {{ recipient | json }}, "text": {{ text | json }}, "m": '
ID = "07033084-5cfd-4812-90a4-e4d24ffb6e3d"


class TestHomeGrown(VendorKit):
    """JSON both ways, errors in words, calls signed over their bodies."""

    adapter = HttpGeneric()
    values: ClassVar[Mapping[str, str]] = {
        "preset": "none",
        "base_url": "https://sms.example/api/",
        "username": "shop",
        "api_key": "the key of the tests",
        "url": "{{ base_url }}/v2/messages",
        "headers": "Authorization: Bearer {{ api_key }}\nIdempotency-Key: {{ reference }}",
        "body": """{"ref": {{ reference | json }}, "from": {{ sender | remove_first: "+" | json }},
            "to": {{ recipient | remove_first: "+" | json }}, "text": {{ text | json }}, "ttl": {{ validity }},
            "segment": {{ metadata.segment | default: "none" | json }}, "user": {{ username | json }},
            "hook": {{ report_url | json }}}""",
        "mms_url": "{{ base_url }}/v2/mms",
        "mms_body": """{"ref": {{ reference | json }}, "from": {{ sender | remove_first: "+" | json }},
            "to": {{ recipient | remove_first: "+" | json }}, "text": {{ text | json }},
            "subject": {{ subject | json }}, "instead": {{ fallback_text | json }}, "files": {{ media | json }}}""",
        "success_status": "200-202",
        "success_when": "result.ok=true",
        "id_place": "result.messages.0.id",
        "error_place": "error.code",
        "text_place": "error.text",
        "parts_place": "result.parts",
        "errors": "E17 = opted_out\nE2* = invalid_recipient\nBUSY=throttled\nNOMMS = mms_unsupported\n"
        "* = rejected_by_vendor",
        "http_errors": "418 = account_blocked\n52* = vendor_unavailable",
        "unknown_outcome": "look_up",
        "look_up_url": "{{ base_url }}/v2/messages?ref={{ reference | url_quote }}",
        "found_when": "message.id",
        "absent_when": "found=false",
        "look_up_id": "message.id",
        "look_up_status": "message.state",
        "check_url": "{{ base_url }}/v2/whoami",
        "hook_items": "events",
        "report_status": "state",
        "report_reference": "ref",
        "report_id": "id",
        "report_error": "reason.code",
        "report_text": "reason.text",
        "report_time": "at",
        "statuses": "sent = sent\nOK = delivered\nfailed = undelivered\nlate = expired\nno* = rejected",
        "report_errors": "404 = unreachable\nS* = opted_out\nP9 = mms_unsupported",
        "inbound_when": "kind=reply",
        "inbound_from": "sender",
        "inbound_to": "shortcode",
        "inbound_text": "body.text",
        "inbound_media": "body.files",
        "inbound_time": "at",
        "proof": "hmac",
        "proof_name": "X-Gateway-Proof",
        "hook_secret": "another secret of the tests",
    }
    dated = False
    proof_headers = ("x-gateway-proof",)

    sends = (
        Send(
            "an SMS",
            {
                "ref": REFERENCE,
                "from": "15550100",
                "to": "421900000123",
                "text": "Hello",
                "ttl": 7200,
                "segment": "none",
                "user": "shop",
                "hook": f"{HOOK_URL}?ref={REFERENCE}",
            },
            url="https://sms.example/api/v2/messages",
            headers={
                "Authorization": "Bearer the key of the tests",
                "Idempotency-Key": REFERENCE,
                "Content-Type": "application/json",
            },
        ),
        Send(
            "an MMS",
            {
                "ref": REFERENCE,
                "from": "15550100",
                "to": "421900000123",
                "text": 'say "hi"',
                "subject": "New",
                "instead": "Look",
                "files": [
                    {"url": "https://media.example/a.jpg?x=1&y=2", "content_type": "image/jpeg", "name": ""},
                    {"url": "https://media.example/b", "content_type": "", "name": "b"},
                ],
            },
            url="https://sms.example/api/v2/mms",
            headers={"Authorization": "Bearer the key of the tests", "Content-Type": "application/json"},
            message={**AN_MMS, "text": 'say "hi"', "subject": "New", "fallback_text": "Look"},
        ),
        Send(
            "an MMS at the address of SMS, file by file",
            {
                "to": RECIPIENT,
                "text": "Hello",
                "files": ["https://media.example/a.jpg?x=1&y=2", "https://media.example/b"],
            },
            url="https://sms.example/api/v2/messages",
            message=AN_MMS,
            values={
                "mms_url": "",
                "mms_body": """{"to": {{ recipient | json }}, "text": {{ text | json }}, "files": [
                    {% for file in media %}{{ file.url | json }}{% unless forloop.last %},{% endunless %}
                    {% endfor %}]}""",
            },
        ),
        Send(
            "an MMS in the address alone",
            b"",
            url=f"/mms?to=%2B421900000123&t=Hello&ref={REFERENCE}&m=https%3A%2F%2Fmedia.example%2Fa.jpg%3Fx%3D1%26y%3D2",
            message=AN_MMS,
            values={
                "method": "GET",
                "body": "",
                "url": "{{ base_url }}/sms?to={{ recipient | url_quote }}&t={{ text | url_quote }}&ref={{ reference }}",
                "mms_url": """{{ base_url }}/mms?to={{ recipient | url_quote }}&t={{ text | url_quote }}
                    &ref={{ reference }}&m={{ media[0].url | url_quote }}""",
                "mms_body": "",
            },
        ),
        Send(
            "with data of the campaign, by PUT, in another form",
            {"text": 'say "hi"\n', "who": "421900000123", "vip": "gold", "n": 1, "gsm": "GSM7", "h": HEX},
            message={"text": 'say "hi"\n', "metadata": {"segment": "gold"}},
            url="/api/421900000123",
            values={
                "method": "PUT",
                "url": '{{ base_url }}/{{ recipient\n | replace: "+", "" | url_quote }}',
                "body": '{"text": {{ text | json }}, "who": {{ recipient | slice: 1, 20 | json }},'
                ' "vip": {{ metadata.segment | default: "" | json }}, "n": {{ parts }},'
                ' "gsm": "{{ encoding }}", "h": "{{ reference_hex }}"}',
            },
        ),
    )
    answers = (
        Answer(
            "taken",
            202,
            {"result": {"ok": True, "messages": [{"id": "m-1"}], "parts": 2}},
            Outcome.TAKEN,
            {"vendor_id": "m-1", "segments": 2},
        ),
        Answer("a number as id", 200, {"result": {"ok": True, "messages": [{"id": 7}]}}, Outcome.TAKEN,
               {"vendor_id": "7", "segments": None}),
        Answer("a yes without an id", 200, {"result": {"ok": True, "messages": []}}, Outcome.UNKNOWN,
               {"code": "unreadable_answer"}),
        Answer("a yes that says no", 200, {"result": {"ok": False}}, Outcome.UNKNOWN),
        Answer("a yes of another status", 204, {"result": {"ok": True, "messages": [{"id": "m"}]}}, Outcome.UNKNOWN),
        Answer(
            "a code",
            400,
            {"error": {"code": "E17", "text": "+421900000123 wrote STOP"}},
            Outcome.PERMANENT,
            {"code": "opted_out", "vendor_code": "E17", "text": "+421900000123 wrote STOP"},
        ),
        Answer("no MMS there", 400, {"error": {"code": "NOMMS"}}, Outcome.PERMANENT,
               {"code": "mms_unsupported", "mms_unsupported": True}, message=AN_MMS),
        Answer("a code in a yes", 200, {"error": {"code": "e17"}}, Outcome.PERMANENT, {"code": "opted_out"}),
        Answer("a code that begins so", 400, {"error": {"code": "E205"}}, Outcome.PERMANENT,
               {"code": "invalid_recipient"}),
        Answer("a code beats the status", 418, {"error": {"code": "BUSY"}}, Outcome.TEMPORARY, {"code": "throttled"}),
        Answer("the status beats the star", 418, {"error": {"code": "X"}}, Outcome.CONFIGURATION,
               {"code": "account_blocked"}),
        Answer("any other code", 401, {"error": {"code": "X"}}, Outcome.PERMANENT, {"code": "rejected_by_vendor"}),
        Answer("the star never judges a fault", 500, {"error": {"code": "X"}}, Outcome.UNKNOWN,
               {"code": "vendor_fault"}),
        Answer("no code at all", 401, {}, Outcome.CONFIGURATION, {"code": "credentials_refused"}),
        Answer("a fault that the operator knows", 521, b"", Outcome.TEMPORARY, {"code": "vendor_unavailable"}),
    )  # fmt: skip
    look_ups = (
        LookUp(
            "found",
            200,
            {"message": {"id": "m-1", "state": "ok"}},
            Found(
                Presence.FOUND, "m-1", Report(Status.DELIVERED, "ok", vendor_id="m-1", reference=REFERENCE)
            ),
        ),
        LookUp("found, no status", 200, {"message": {"id": "m-1"}}, Found(Presence.FOUND, "m-1")),
        LookUp("absent", 404, {"found": False}, Found(Presence.ABSENT)),
        LookUp("both", 200, {"found": False, "message": {"id": "m-1"}}, Found(Presence.CANNOT_TELL)),
        LookUp("a fault that says so", 500, {"found": False}, Found(Presence.CANNOT_TELL)),
    )
    polls = (
        Poll(
            "final",
            200,
            {"message": {"id": "m-1", "state": "late"}},
            Report(Status.EXPIRED, "late", vendor_id="m-1", reference=REFERENCE),
        ),
        Poll("no state", 200, {"message": {"id": "m-1"}}, None),
    )
    checks = (Check("yes", 200, {}, True), Check("no", 401, {}, False), Check("a fault", 500, {}, None))
    hooks = (
        Hook(
            "two reports",
            (
                Report(
                    Status.UNDELIVERED,
                    "failed",
                    vendor_id="m-1",
                    reference=REFERENCE,
                    code="unreachable",
                    vendor_code="404",
                    text="absent",
                    occurred_at=datetime(2026, 1, 15, 10, tzinfo=UTC),
                ),
                Report(
                    Status.DELIVERED,
                    "ok",
                    reference="other",
                    occurred_at=datetime(2026, 1, 15, 10, tzinfo=UTC),
                ),
            ),
            {
                "events": [
                    {
                        "state": "failed",
                        "ref": REFERENCE,
                        "id": "m-1",
                        "reason": {"code": 404, "text": "absent"},
                        "at": "2026-01-15T11:00:00+01:00",
                    },
                    {"state": "ok", "ref": "other", "at": 1768471200000},
                ]
            },
        ),
        Hook(
            "our reference in the query of the address",
            (Report(Status.REJECTED, "nope", reference=REFERENCE, code="opted_out", vendor_code="STOP"),),
            {"events": {"state": "nope", "reason": {"code": "STOP"}}},
            query=f"ref={REFERENCE}",
        ),
        Hook(
            "the handset takes no MMS",
            (
                Report(
                    Status.UNDELIVERED,
                    "failed",
                    reference=REFERENCE,
                    code="mms_unsupported",
                    vendor_code="P9",
                    mms_unsupported=True,
                ),
            ),
            {"events": [{"state": "failed", "ref": REFERENCE, "reason": {"code": "P9"}}]},
        ),
    )
    unknown_status = Hook("a word of tomorrow", (), {"events": [{"state": "pondering", "id": "m-1"}]})
    vectors = (
        Vector(  # RFC 4231, test case 2
            "HMAC-SHA256 of the RFC",
            HookRequest(
                "POST",
                HOOK_URL,
                "",
                {},
                {
                    "x-gateway-proof": "sha256=5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843"
                },
                b"what do ya want for nothing?",
            ),
            {"hook_secret": "Jefe"},
        ),
        Vector(
            "the same in base64",
            HookRequest(
                "POST",
                HOOK_URL,
                "",
                {},
                {"x-gateway-proof": "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="},
                b"what do ya want for nothing?",
            ),
            {"hook_secret": "Jefe", "proof_encoding": "base64"},
        ),
    )
    bad_values = (
        ({"url": "{{ base_url }}/{{ colour }}"}, "url"),
        ({"url": "{{ base_url }}/x?t={{ text }}"}, "url"),
        ({"url": "{{ base_url }}/{{ text | url_encode }}/%2F{{ sender }}"}, "url"),
        ({"url": "https://{{ text | url_quote }}.example/x"}, "url"),
        ({"url": "ftp://gateway.example/x"}, "url"),
        ({"url": "{{ base_url "}, "url"),
        ({"url": "{% include 'x' %}{{ base_url }}"}, "url"),
        ({"headers": "no colon"}, "headers"),
        ({"headers": "X Y: 1"}, "headers"),
        ({"headers": "X-Y: {{ colour }}"}, "headers"),
        ({"headers": "X-Y: {{ metadata.tier }}"}, "headers"),
        ({"body": '{"t": "{{ text }}", "to": {{ recipient | json }}}'}, "body"),
        ({"body": '{"t": {{ text | json }}}'}, "body"),
        ({"body": "{% if parts == 7 %}{{ colour }}{% endif %}{{ text | json }}{{ recipient }}"}, "body"),
        ({"body": "{% for i in (1..2000) %}{{ text }}{{ recipient }}{% endfor %}"}, "body"),
        ({"body": "{{ text | json }}{{ recipient | json }}{{ reference | shout }}"}, "body"),
        (
            {
                "content_type": "application/x-www-form-urlencoded",
                "body": "t={{ text }}&to={{ recipient | url_quote }}",
            },
            "body",
        ),
        (
            {
                "content_type": "application/x-www-form-urlencoded",
                "body": "t={{ text | slice: 0, 5 }}&to={{ recipient | url_quote }}",
            },
            "body",
        ),
        ({"content_type": "text/xml", "body": "<t>{{ text }}</t><to>{{ recipient | escape }}</to>"}, "body"),
        ({"method": "GET"}, "body"),
        ({"method": "GET"}, "mms_body"),
        ({"method": "GET", "body": "", "mms_body": ""}, "mms_url"),
        ({"body": "{{ text | json }}{{ recipient | json }}{{ media | json }}"}, "body"),
        ({"url": "{{ base_url }}/{{ subject | url_quote }}"}, "url"),
        ({"headers": "X-Y: {{ subject }}"}, "headers"),
        ({"mms_url": "{{ base_url }}/{{ colour }}"}, "mms_url"),
        ({"mms_url": "{{ media[0].url }}"}, "mms_url"),
        ({"mms_url": "{{ base_url }}?m={{ media[0].url }}"}, "mms_url"),
        ({"mms_body": MMS_START + "{{ colour | json }}}"}, "mms_body"),
        ({"mms_body": MMS_START + "1}"}, "mms_body"),
        ({"mms_body": MMS_START + "{{ media.size }}}"}, "mms_body"),
        ({"mms_body": MMS_START + '"{{ media[0].url }}"}'}, "mms_body"),
        ({"mms_body": MMS_START + "[{% for m in media %}{{ m.url | json }},{% endfor %}]}"}, "mms_body"),
        ({"mms_body": MMS_START + "[{% for m in media %}{{ m.url | json }}{% endfor %}]}"}, "mms_body"),
        ({"mms_body": MMS_START + "{{ media[2].url | json }}}"}, "mms_body"),
        ({"mms_body": MMS_START + "{{ media[0].size | json }}}"}, "mms_body"),
        ({"mms_body": MMS_START.replace("recipient", "sender") + "{{ media | json }}}"}, "mms_body"),
        ({"mms_body": MMS_START.replace("text", "subject") + "{{ media | json }}}"}, "mms_body"),
        (
            {"mms_body": MMS_START.replace("reference", "sender") + "{{ media | json }}}", "headers": ""},
            "mms_body",
        ),
        ({"inbound_media": "re:x"}, "inbound_media"),
        ({"method": "DELETE"}, "method"),
        ({"api_key": ""}, "api_key"),
        ({"success_status": "2xx"}, "success_status"),
        ({"success_status": "299-200"}, "success_status"),
        ({"success_when": "re:("}, "success_when"),
        ({"success_when": "=true"}, "success_when"),
        ({"id_place": r"re:(a)\1"}, "id_place"),
        ({"id_place": "two words"}, "id_place"),
        ({"errors": "E17"}, "errors"),
        ({"errors": "E17 = gone_fishing"}, "errors"),
        ({"errors": "E17 = throttled\ne17 = opted_out"}, "errors"),
        ({"http_errors": "* = throttled"}, "http_errors"),
        ({"statuses": "ok = fine"}, "statuses"),
        ({"statuses": "* = delivered"}, "statuses"),
        ({"report_errors": "1 = whatever"}, "report_errors"),
        ({"report_status": "re:x"}, "report_status"),
        ({"report_reference": "", "report_id": ""}, "report_reference"),
        (
            {"body": "{{ text | json }}", "url": "{{ base_url }}/{{ recipient | url_quote }}", "headers": ""},
            "report_reference",
        ),
        ({"inbound_from": ""}, "inbound_from"),
        (
            {"headers": "", "body": '[{{ text | json }}, {{ recipient | json }}, "{{ report_url }}"]'},
            "unknown_outcome",
        ),
        ({"unknown_outcome": "repeat"}, "repeat_hours"),
        ({"unknown_outcome": "repeat", "repeat_hours": "1000"}, "repeat_hours"),
        ({"look_up_url": "{{ base_url }}/all"}, "look_up_url"),
        ({"look_up_url": "{{ base_url }}/{{ reference }}?t={{ text | url_quote }}"}, "look_up_url"),
        ({"found_when": ""}, "found_when"),
        ({"check_url": "{{ base_url }}/{{ reference }}"}, "check_url"),
        ({"proof_name": ""}, "proof_name"),
        ({"hook_secret": ""}, "hook_secret"),
    )

    def number(self, msisdn: str) -> str:
        return msisdn[1:]

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        body = json.loads(request.body)
        return body["from"], body["to"], body["text"]

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        proof = signature(credentials.secrets["hook_secret"], hook.body, "hex")
        return replace(hook, headers={**hook.headers, "x-gateway-proof": proof})

    def test_a_secret_in_a_header_proves_a_call(self) -> None:
        credentials = self.credentials(proof="header")
        hook = self.hook_request(self.hooks[0])
        self.adapter.verify(
            replace(hook, headers={"x-gateway-proof": "another secret of the tests"}), credentials
        )
        for given in ("", "another secret", "ž"):
            with pytest.raises(BadSignature):
                self.adapter.verify(replace(hook, headers={"x-gateway-proof": given}), credentials)

    def test_a_secret_in_the_query_travels_in_the_report_url(self) -> None:
        credentials = self.credentials(proof="query", proof_name="key")
        request = self.adapter.build([self.outgoing()], credentials)
        url = json.loads(request.body)["hook"]
        assert url == f"{HOOK_URL}?ref={REFERENCE}&key=another%20secret%20of%20the%20tests"
        hook = self.hook_request(Hook("", (), b"{}", query=urlsplit(url).query))
        self.adapter.verify(hook, credentials)
        with pytest.raises(BadSignature):
            self.adapter.verify(replace(hook, query={"key": "guess"}), credentials)

    def test_a_signed_call_without_a_body_proves_nothing(self) -> None:
        credentials = self.credentials()
        hook = HookRequest("GET", f"{HOOK_URL}?state=ok", "", {"state": "ok", "id": "m-1"}, {}, b"")
        with pytest.raises(BadSignature):
            self.adapter.verify(self.sign(hook, credentials, at=0), credentials)

    def test_inbound(self) -> None:
        said = {
            "kind": "reply",
            "sender": "421900000150",
            "shortcode": "555",
            "body": {"text": "STOP"},
            "at": 1768471200,
        }
        hook = self.hook_request(Hook("", (), {"events": [said, {**said, "at": 1768471201}]}))
        first, second = self.adapter.parse_hook(hook, replace(self.credentials(), secrets={}))
        assert isinstance(first, Inbound) and isinstance(second, Inbound)
        assert first == Inbound(
            "", "421900000150", "555", text="STOP", occurred_at=datetime(2026, 1, 15, 10, tzinfo=UTC)
        )
        assert second.vendor_id == ""
        with pytest.raises(BadPayload):
            self.adapter.parse_hook(
                self.hook_request(Hook("", (), {"events": [{"kind": "reply"}]})), self.credentials()
            )

    @pytest.mark.parametrize(
        ("said", "media"),
        [
            pytest.param("https://m.example/1", (Media("https://m.example/1"),), id="an address"),
            pytest.param(
                ["https://m.example/1", "https://m.example/2"],
                (Media("https://m.example/1"), Media("https://m.example/2")),
                id="addresses",
            ),
            pytest.param(
                [{"url": "https://m.example/1", "content_type": "image/png"}, {"url": "https://m.example/2"}],
                (Media("https://m.example/1", "image/png"), Media("https://m.example/2")),
                id="objects",
            ),
            pytest.param({"url": "https://m.example/1"}, (Media("https://m.example/1"),), id="an object"),
            pytest.param([7, None, {}, "", {"url": ["x"]}], (), id="oddities"),
            pytest.param(None, (), id="nothing"),
        ],
    )
    def test_files_make_an_inbound_message_an_mms(self, said: Any, media: tuple[Media, ...]) -> None:
        entry = {"kind": "reply", "sender": "421900000150", "body": {"text": "Hi", "files": said}}
        hook = self.hook_request(Hook("", (), {"events": [entry]}))
        for place, expected in (("body.files", media), ("", ())):
            (inbound,) = self.adapter.parse_hook(hook, self.credentials(inbound_media=place))
            assert isinstance(inbound, Inbound)
            assert (inbound.media, inbound.text) == (expected, "Hi")
            assert inbound.channel is (Channel.MMS if expected else Channel.SMS)

    def test_mms_needs_a_template(self) -> None:
        for changed in ({"mms_body": ""}, {"mms_url": ""}):
            assert self.adapter.carries({**self.values, **changed}) == {Channel.SMS, Channel.MMS}
        credentials = self.credentials(mms_url="", mms_body="")
        older = {name: value for name, value in credentials.settings.items() if not name.startswith("mms_")}
        for settings in (credentials.settings, older):
            assert self.adapter.carries(settings) == {Channel.SMS}
            with pytest.raises(ValueError, match="no template for an MMS"):
                self.adapter.build([self.mms()], replace(credentials, settings=settings))
        assert self.adapter.build([self.outgoing()], replace(credentials, settings=older)).body

    def test_an_account_older_than_files_hears_replies(self) -> None:
        credentials = self.credentials()
        older = {name: value for name, value in credentials.settings.items() if name != "inbound_media"}
        hook = self.hook_request(Hook("", (), {"events": [{"kind": "reply", "sender": "421900000150"}]}))
        (inbound,) = self.adapter.parse_hook(hook, replace(credentials, settings=older))
        assert isinstance(inbound, Inbound) and inbound.channel is Channel.SMS

    def test_an_mms_in_a_form(self) -> None:
        credentials = self.credentials(
            content_type="application/x-www-form-urlencoded",
            body="to={{ recipient | url_quote }}&text={{ text | url_quote }}",
            mms_body="""to={{ recipient | url_quote }}&text={{ text | url_quote }}&s={{ subject | url_quote }}
                {% for file in media %}&file={{ file.url | url_quote }}{% endfor %}""",
        )
        request = self.adapter.build([self.outgoing(**AN_MMS, subject="a&b")], credentials)
        assert parse_qsl(request.body.decode()) == [
            ("to", RECIPIENT),
            ("text", "Hello"),
            ("s", "a&b"),
            ("file", "https://media.example/a.jpg?x=1&y=2"),
            ("file", "https://media.example/b"),
        ]

    def test_what_a_look_up_asks(self) -> None:
        request = self.adapter.look_up(self.unanswered(), self.credentials())
        assert request is not None
        assert (request.method, request.url) == (
            "GET",
            f"https://sms.example/api/v2/messages?ref={REFERENCE}",
        )
        assert request.headers["Authorization"] == "Bearer the key of the tests"
        assert self.adapter.look_up(self.unanswered(), self.credentials(unknown_outcome="report")) is None

    def test_a_header_about_a_message_is_left_out_of_the_credential_check(self) -> None:
        request = self.adapter.credential_check(self.credentials())
        assert request is not None
        assert request.headers == {"Authorization": "Bearer the key of the tests"}
        assert self.adapter.credential_check(self.credentials(check_url="")) is None

    def test_a_gateway_that_deduplicates_hears_the_same_again(self) -> None:
        assert self.adapter.repeat_window(self.credentials()) is None
        credentials = self.credentials(unknown_outcome="repeat", repeat_hours="24")
        assert self.adapter.repeat_window(credentials) == timedelta(hours=24)
        without = {
            "headers": "",
            "mms_url": "",
            "mms_body": "",
            "body": '{"t": {{ text | json }}, "to": {{ recipient | json }}}',
        }
        with pytest.raises(SettingsError) as error:
            self.credentials(unknown_outcome="repeat", repeat_hours="24", **without)
        assert {"unknown_outcome", "report_reference"} <= set(error.value.problems)

    def test_a_value_that_would_break_a_header_fails_the_message(self) -> None:
        credentials = self.credentials(headers="X-Text: {{ text }}\nAuthorization: {{ api_key }}")
        with pytest.raises(ValueError, match="does not fit into a header"):
            self.adapter.build([self.outgoing(text="a\r\nX-Admin: 1")], credentials)

    def test_every_wrong_setting_is_named_at_once(self) -> None:
        wrong = {"base_url": "x", "url": "{{ nothing }}", "errors": "?", "hook_secret": "", "colour": "red"}
        with pytest.raises(SettingsError) as error:
            self.credentials(**wrong)
        assert set(error.value.problems) == set(wrong)

    def test_xml(self) -> None:
        body = "<sms to='{{ recipient | escape }}' id='{{ reference }}'>{{ text | escape }}</sms>"
        mms = "<mms to='{{ recipient | escape }}' id='{{ reference }}'>{% for file in media %}"
        mms += "<file>{{ file.url | escape }}</file>{% endfor %}{{ text | escape }}</mms>"
        credentials = self.credentials(content_type="text/xml; charset=utf-8", body=body, mms_body=mms)
        request = self.adapter.build([self.outgoing(text="<3 & více")], credentials)
        expected = f"<sms to='{RECIPIENT}' id='{REFERENCE}'>&lt;3 &amp; více</sms>"
        assert request.body.decode() == expected
        assert request.headers["Content-Type"] == "text/xml; charset=utf-8"
        request = self.adapter.build([self.outgoing(**AN_MMS)], credentials)
        files = "<file>https://media.example/a.jpg?x=1&amp;y=2</file><file>https://media.example/b</file>"
        assert request.body.decode() == f"<mms to='{RECIPIENT}' id='{REFERENCE}'>{files}Hello</mms>"

    def test_least_settings(self) -> None:
        body = '{"to": {{ recipient | json }}, "text": {{ text | json }}}'
        cleaned = self.adapter.clean({"base_url": "https://sms.example/send", "body": body})
        chosen = {
            "preset": "none",
            "method": "POST",
            "url": "{{ base_url }}",
            "content_type": "application/json",
        }
        assert {name: cleaned[name] for name in chosen} == chosen
        assert (cleaned["success_status"], cleaned["unknown_outcome"], cleaned["proof"]) == (
            "200-299",
            "report",
            "url",
        )


class TestKannel(VendorKit):
    adapter = HttpGeneric()
    values: ClassVar[Mapping[str, str]] = {
        "preset": "kannel",
        "base_url": "http://kannel.example:13013",
        "username": "shop",
        "password": "a&b c",
    }
    signed = False
    answers = (
        Answer("accepted", 202, b"0: Accepted for delivery", Outcome.TAKEN, {"vendor_id": "", "segments": None}),
        Answer("queued", 202, b"3: Queued for later delivery", Outcome.TAKEN),
        Answer("something else in a 202", 202, b"Sent.", Outcome.UNKNOWN),
        Answer("wrong password", 403, b"Authorization failed for sendsms", Outcome.CONFIGURATION,
               {"code": "credentials_refused", "vendor_code": "Authorization failed for sendsms"}),
        Answer("not routable", 403, b"Not routable. Do not try again.", Outcome.PERMANENT,
               {"code": "no_route", "route_fault": True, "text": "Not routable. Do not try again."}),
        Answer("another 403", 403, b"Number not in white-list", Outcome.PERMANENT, {"code": "rejected_by_vendor"}),
        Answer("a missing field", 400, b"Empty receiver number not allowed, rejected", Outcome.PERMANENT,
               {"code": "rejected_by_vendor"}),
        Answer("no bearerbox", 503, b"Temporal failure, try again later.", Outcome.TEMPORARY,
               {"code": "vendor_unavailable"}),
        Answer("a proxy's 503", 503, b"Service Unavailable", Outcome.UNKNOWN, {"code": "vendor_fault"}),
    )  # fmt: skip
    hooks = (
        *(
            Hook(
                f"type {word}",
                (Report(status, word, reference=REFERENCE),),
                method="GET",
                query=f"ref={REFERENCE}&status={word}",
            )
            for word, status in (
                ("1", Status.DELIVERED),
                ("2", Status.UNDELIVERED),
                ("4", Status.SENT),
                ("8", Status.SENT),
                ("16", Status.REJECTED),
            )
        ),
        Hook(
            "a reply",
            (
                Inbound(
                    "3f0e5d1c-1111-4222-8333-944455556666",
                    "+421900000150",
                    "555",
                    text="Prečo? STOP",
                    occurred_at=datetime(2026, 1, 15, 10, tzinfo=UTC),
                ),
            ),
            method="GET",
            query="type=mo&id=3f0e5d1c-1111-4222-8333-944455556666&from=%2B421900000150&to=555"
            "&text=Pre%C4%8Do%3F+STOP&time=1768471200",
        ),
    )
    unknown_status = Hook("a type of tomorrow", (), method="GET", query=f"ref={REFERENCE}&status=64")
    bad_values = (({"password": ""}, "password"), ({"url": "{{ base_url }}"}, "url"))

    sends = (
        Send(
            "GSM-7",
            b"",
            url="http://kannel.example:13013/cgi-bin/sendsms?username=shop&password=a%26b%20c&from=%2B15550100"
            "&to=%2B421900000123&text=Hello%20%26%20%C3%A9&charset=UTF-8&coding=0&validity=120&dlr-mask=31&dlr-url="
            + quote(f"{HOOK_URL}?ref={REFERENCE}&status=%d", safe=""),
            message={"text": "Hello & é"},
        ),
        Send(
            "outside GSM-7, from a name, in its last seconds",
            b"",
            url="&from=Demo%20Shop&to=%2B421900000123&text=%C5%BElu%C5%A5&charset=UTF-8&coding=2&validity=1"
            "&dlr-mask=31&dlr-url=" + quote(f"{HOOK_URL}?ref={REFERENCE}&status=%d", safe=""),
            message={"text": "žluť", "sender": "Demo Shop", "validity": 9.0},
        ),
    )

    def number(self, msisdn: str) -> str:
        return msisdn

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        query = dict(parse_qsl(urlsplit(request.url).query))
        return query["from"], query["to"], query["text"]

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        return hook

    def test_what_is_filled_in_oneself_stays(self) -> None:
        own = {"statuses": "1 = delivered", "success_status": "200"}
        cleaned = self.adapter.clean({**self.values, **own})
        assert {name: cleaned[name] for name in own} == own
        assert cleaned["report_reference"] == "ref"

    def test_a_preset_carries_no_mms(self) -> None:
        assert self.adapter.carries(self.credentials().settings) == {Channel.SMS}

    def test_kannel_hears_nothing_that_it_would_send_on_as_an_sms(self) -> None:
        assert self.adapter.hook_reply(self.credentials()).body == b""


class TestJasmin(VendorKit):
    adapter = HttpGeneric()
    values: ClassVar[Mapping[str, str]] = {
        "preset": "jasmin",
        "base_url": "http://jasmin.example:1401",
        "username": "shop",
        "password": "secret of the tests",
    }
    signed = False
    sends = (
        Send(
            "GSM-7",
            [
                ("username", "shop"),
                ("password", "secret of the tests"),
                ("from", "+15550100"),
                ("to", "+421900000123"),
                ("coding", "0"),
                ("content", "Hello"),
                ("validity-period", "120"),
                ("dlr", "yes"),
                ("dlr-level", "3"),
                ("dlr-method", "POST"),
                ("dlr-url", f"{HOOK_URL}?ref={REFERENCE}"),
            ],
            url="http://jasmin.example:1401/send",
        ),
    )
    answers = (
        Answer("taken", 200, f'Success "{ID}"', Outcome.TAKEN, {"vendor_id": ID}),
        Answer("taken without an id", 200, 'Success ""', Outcome.UNKNOWN),
        Answer("no route", 412, 'Error "No route found"', Outcome.PERMANENT,
               {"code": "no_route", "vendor_code": "No route found", "text": "No route found"}),
        Answer("wrong password", 403, 'Error "Authentication failure for username:shop"', Outcome.CONFIGURATION,
               {"code": "credentials_refused"}),
        Answer("not allowed", 403, 'Error "Authorization failed for username:shop"', Outcome.CONFIGURATION),
        Answer("no credit", 403, 'Error "Cannot charge submit_sm, check RouterPB log file for details"',
               Outcome.CONFIGURATION, {"code": "no_credit"}),
        Answer("an argument", 400, 'Error "Argument [to] has an invalid value: [421900000123]."', Outcome.PERMANENT,
               {"code": "invalid_request", "vendor_code": "Argument [to] has an invalid value",
                "text": "Argument [to] has an invalid value: [421900000123]."}),
        Answer("a missing argument", 400, 'Error "Mandatory argument [to] is not found."', Outcome.PERMANENT,
               {"code": "invalid_request"}),
        Answer("another error", 400, 'Error "Value filter failed"', Outcome.PERMANENT, {"code": "rejected_by_vendor"}),
        Answer("a fault", 500, 'Error "Cannot send submit_sm, check SMPPClientManagerPB log file for details"',
               Outcome.UNKNOWN, {"code": "vendor_fault"}),
    )  # fmt: skip
    checks = (
        Check("the balance", 200, {"balance": 100.0, "sms_count": "ND"}, True),
        Check("wrong", 403, b'Error "Authentication failure for username:shop"', False),
    )
    hooks = (
        Hook(
            "the SMSC took it (level 1)",
            (Report(Status.SENT, "ESME_ROK", vendor_id=ID, reference=REFERENCE),),
            [("id", ID), ("message_status", "ESME_ROK"), ("level", "1"), ("connector", "smpp")],
            query=f"ref={REFERENCE}",
        ),
        Hook(
            "delivered (level 2)",
            (Report(Status.DELIVERED, "DELIVRD", vendor_id=ID, reference=REFERENCE, vendor_code="000"),),
            [
                *[
                    ("id", ID),
                    ("id_smsc", "2567"),
                    ("message_status", "DELIVRD"),
                    ("level", "2"),
                    ("sub", "001"),
                ],
                *[("dlvrd", "001"), ("subdate", "2601151100"), ("donedate", "2601151101"), ("err", "000")],
                *[("connector", "smpp"), ("text", "Hello")],
            ],
            query=f"ref={REFERENCE}",
        ),
        Hook(
            "by GET",
            (Report(Status.UNDELIVERED, "UNDELIV", vendor_id=ID, vendor_code="069"),),
            method="GET",
            query=f"id={ID}&message_status=UNDELIV&level=2&err=069",
        ),
        Hook(
            "a reply",
            (Inbound(ID, "+421900000150", "555", text="STOP"),),
            [
                *[("id", ID), ("from", "+421900000150"), ("to", "555"), ("origin-connector", "smpp")],
                *[("coding", "0"), ("content", "STOP"), ("binary", "53544F50")],
            ],
        ),
        Hook(
            "a reply outside GSM-7",
            (Inbound(ID, "+421900000150", "555", text="Prečo?"),),
            [
                *[("id", ID), ("from", "+421900000150"), ("to", "555"), ("origin-connector", "smpp")],
                *[("coding", "8"), ("content", "?P?r"), ("binary", "005000720065010D006F003F")],
            ],
        ),
    )
    unknown_status = Hook("a word of tomorrow", (), [("id", ID), ("message_status", "PONDER")])

    def number(self, msisdn: str) -> str:
        return msisdn

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        form = {name: value for name, (value,) in parse_qs(request.body.decode()).items()}
        text = bytes.fromhex(form.get("hex-content", "")).decode("utf-16-be") or form["content"]
        assert form["coding"] == ("8" if "hex-content" in form else "0")
        return form["from"], form["to"], text

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        return hook

    @pytest.mark.parametrize(
        ("word", "status"),
        [
            ("ESME_RTHROTTLED", Status.SENT),
            ("ESME_RMSGQFUL", Status.SENT),
            ("ESME_RINVDSTADR", Status.REJECTED),
            ("ACCEPTD", Status.SENT),
            ("ENROUTE", Status.SENT),
            ("UNKNOWN", Status.SENT),
            ("DELETED", Status.UNDELIVERED),
            ("EXPIRED", Status.EXPIRED),
            ("REJECTD", Status.REJECTED),
        ],
    )
    def test_every_status(self, word: str, status: Status) -> None:
        hook = self.hook_request(Hook("", (), [("id", ID), ("message_status", word)]))
        (report,) = self.adapter.parse_hook(hook, self.credentials())
        assert isinstance(report, Report)
        assert (report.status, report.vendor_status) == (status, word)

    def test_jasmin_hears_its_word(self) -> None:
        reply = self.adapter.hook_reply(self.credentials())
        assert (reply.status, reply.body) == (200, b"ACK/Jasmin")

    def test_the_credential_check_asks_for_the_balance(self) -> None:
        request = self.adapter.credential_check(self.credentials())
        assert request is not None
        assert (
            request.url
            == "http://jasmin.example:1401/balance?username=shop&password=secret%20of%20the%20tests"
        )
