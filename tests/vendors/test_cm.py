"""CM.com: JSON gateway v1.0, status reports and incoming messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from outbound.values import HttpRequest
from tests.vendorkit import REFERENCE, Answer, Hook, Send, VendorKit, response
from vendors.base import BadPayload
from vendors.cm import ERRORS, REGIONS, STATUSES, Cm
from vendors.values import Channel, Credentials, HookRequest, Inbound, Outcome, Report, Status

TOKEN = "6f1c1a34-9a55-4a9c-8f1e-0123456789ab"
HEX = REFERENCE.replace("-", "")


def msg(**changed: Any) -> dict[str, Any]:
    return {
        "messages": {
            "authentication": {"productToken": TOKEN},
            "msg": [
                {
                    "from": "0015550100",
                    "to": [{"number": "00421900000123"}],
                    "body": {"type": "auto", "content": "Hello"},
                    "allowedChannels": ["SMS"],
                    "reference": HEX,
                    "minimumNumberOfMessageParts": 1,
                    "maximumNumberOfMessageParts": 8,
                    "validity": "120m",
                    **changed,
                }
            ],
        }
    }


def answered(code: int = 0, message_code: int = 0, status: str = "Accepted", **entry: Any) -> dict[str, Any]:
    return {
        "details": "Created 1 message(s)",
        "errorCode": code,
        "messages": [
            {
                "to": "00421900000123",
                "status": status,
                "reference": HEX,
                "parts": 1,
                "messageDetails": None,
                "messageErrorCode": message_code,
                **entry,
            }
        ],
    }


def reported(code: str, *, error: str = "", text: str = "", **changed: Any) -> dict[str, Any]:
    entry = {
        "received": "2026-01-15T21:32:14",
        "to": "00421900000123",
        "reference": HEX,
        "status": {"code": code, "errorCode": error, "errorDescription": text},
        "operator": "23101",
        **changed,
    }
    return {"messages": {"msg": entry}}


def incoming(**changed: Any) -> dict[str, Any]:
    return {
        "from": {"number": "00421900000150", "name": ""},
        "to": {"number": "0015550100"},
        "message": {"text": "STOP", "media": {"mediaUri": "", "contentType": "", "title": ""}},
        "reference": HEX,
        "groupings": ["", "", ""],
        "timeUtc": "2026-01-15T20:16:07",
        "channel": "SMS",
        "messageContext": "",
        **changed,
    }


REPLY = Inbound(
    vendor_id="",
    sender="00421900000150",
    recipient="0015550100",
    text="STOP",
    occurred_at=datetime(2026, 1, 15, 20, 16, 7, tzinfo=UTC),
)


CODES = [
    (101, Outcome.CONFIGURATION, "credentials_refused"),
    (102, Outcome.CONFIGURATION, "no_credit"),
    (103, Outcome.CONFIGURATION, "credentials_refused"),
    (201, Outcome.PERMANENT, "rejected_by_vendor"),
    (202, Outcome.PERMANENT, "invalid_request"),
    (203, Outcome.PERMANENT, "invalid_request"),
    (301, Outcome.PERMANENT, "invalid_sender"),
    (302, Outcome.PERMANENT, "invalid_recipient"),
    (303, Outcome.PERMANENT, "invalid_recipient"),
    (304, Outcome.PERMANENT, "invalid_request"),
    (305, Outcome.PERMANENT, "invalid_request"),
    (401, Outcome.PERMANENT, "content_refused"),
    (402, Outcome.PERMANENT, "recipient_blocked"),
    (403, Outcome.PERMANENT, "rejected_by_vendor"),
    (500, Outcome.UNKNOWN, "vendor_fault"),
    (999, Outcome.UNKNOWN, "vendor_fault"),
]
WORDS = [
    ("0", Status.SENT),
    ("1", Status.REJECTED),
    ("2", Status.DELIVERED),
    ("3", Status.UNDELIVERED),
    ("4", Status.DELIVERED),
]


class TestCm(VendorKit):
    adapter = Cm()
    values: ClassVar[Mapping[str, str]] = {"product_token": TOKEN}
    signed = False
    alphanumeric = "Demo Shop"

    sends = (
        Send("an SMS", msg(), url="https://gw.messaging.cm.com/v1.0/message"),
        Send(
            "a name and a text of two parts",
            msg(**{"from": "Acme", "body": {"type": "auto", "content": "ž" * 71}}),
            message={"sender": "Acme", "text": "ž" * 71},
        ),
        Send(
            "a text that would be cut at eight parts",
            msg(body={"type": "auto", "content": "a" * 1300}, maximumNumberOfMessageParts=9),
            message={"text": "a" * 1300},
        ),
        Send("seconds left", msg(validity="1m"), message={"validity": 5.0}),
        Send(
            "another gateway",
            msg(),
            url="https://gw-uk.cmtelecom.com/v1.0/message",
            values={"region": "uk"},
        ),
    )
    answers = (
        Answer("taken", 200, answered(parts=3), Outcome.TAKEN, {"vendor_id": "", "segments": 3}),
        Answer("taken, the status is not shouted", 200, answered(status="accepted"), Outcome.TAKEN),
        Answer("a word that is no yes", 200, answered(status="Held"), Outcome.UNKNOWN),
        Answer("a yes without an entry", 200, {"errorCode": 0, "messages": []}, Outcome.UNKNOWN),
        Answer(
            "rejected without a code",
            200,
            answered(status="Rejected"),
            Outcome.PERMANENT,
            {"code": "rejected_by_vendor"},
        ),
        Answer(
            "one message has errors: its own code decides",
            200,
            answered(201, 303, "Rejected", messageDetails="Invalid number 00421900000123"),
            Outcome.PERMANENT,
            {"code": "invalid_recipient", "vendor_code": "303", "text": "Invalid number 00421900000123"},
        ),
        Answer(
            "errors, and no entry to say which",
            400,
            {"errorCode": 201, "messages": None, "details": "1 message has errors"},
            Outcome.PERMANENT,
            {"code": "rejected_by_vendor", "text": "1 message has errors"},
        ),
        Answer(
            "a wrong token, whatever the status",
            200,
            {"details": "Authentication failed", "errorCode": 101, "messages": []},
            Outcome.CONFIGURATION,
            {"code": "credentials_refused", "vendor_code": "101", "route_fault": True},
        ),
        Answer(
            "the request's own fault beats the message's",
            200,
            answered(102),
            Outcome.CONFIGURATION,
            {"code": "no_credit"},
        ),
        Answer(
            "a code that is not documented",
            400,
            {"errorCode": 777, "messages": []},
            Outcome.PERMANENT,
            {"code": "rejected_by_vendor", "vendor_code": "777"},
        ),
        Answer("such a code in a 200", 200, {"errorCode": 777, "messages": []}, Outcome.UNKNOWN),
        Answer("a fault with a good body", 500, answered(), Outcome.UNKNOWN),
    )
    hooks = (
        Hook("delivered", (Report(Status.DELIVERED, "2", reference=HEX, text="Delivered"),),
             reported("2", text="Delivered")),
        Hook("a list in the object's place", (Report(Status.SENT, "0", reference=HEX),),
             {"messages": {"msg": [reported("0")["messages"]["msg"]]}}),
        Hook("failed", (Report(Status.UNDELIVERED, "3", reference=HEX, vendor_code="8", text="Absent subscriber"),),
             reported("3", error="8", text="Absent subscriber")),
        Hook("something else expired",
             (Report(Status.UNDELIVERED, "3", reference=HEX, text="Subscription of the receiver expired"),),
             reported("3", text="Subscription of the receiver expired")),
        Hook("a wrong validity", (Report(Status.UNDELIVERED, "3", reference=HEX, text="Invalid validity"),),
             reported("3", text="Invalid validity")),
        Hook("its validity passed",
             (Report(Status.EXPIRED, "3", reference=HEX, code="expired", text="Validity period has passed"),),
             reported("3", text="Validity period has passed")),
        Hook("refused, in words of expiry", (Report(Status.REJECTED, "1", reference=HEX, text="Expired"),),
             reported("1", text="Expired")),
        Hook("expired", (Report(Status.EXPIRED, "3", reference=HEX, code="expired", text="Message expired"),),
             reported("3", text="Message expired")),
    )  # fmt: skip
    unknown_status = Hook("a code of tomorrow", (), reported("17"))
    bad_values = (
        ({"product_token": "my token"}, "product_token"),
        ({"region": "mars"}, "region"),
    )

    def number(self, msisdn: str) -> str:
        return f"00{msisdn[1:]}"

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        (message,) = json.loads(request.body)["messages"]["msg"]
        return message["from"], message["to"][0]["number"], message["body"]["content"]

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        return hook

    @pytest.mark.parametrize(("code", "outcome", "ours"), CODES)
    @pytest.mark.parametrize("status", [200, 400])
    def test_every_code(self, code: int, outcome: Outcome, ours: str, status: int) -> None:
        of_message = self.parse(response(status, answered(201, code, "Rejected")))
        of_request = self.parse(response(status, {"errorCode": code, "messages": []}))
        for result in (of_message, of_request):
            assert (result.outcome, result.code, result.vendor_code) == (outcome, ours, str(code))

    def test_the_tables_are_whole(self) -> None:
        assert {str(code) for code, _, _ in CODES} == set(ERRORS)
        assert {word for word, _ in WORDS} == set(STATUSES)

    @pytest.mark.parametrize(("word", "status"), WORDS)
    def test_every_status(self, word: str, status: Status) -> None:
        (report,) = self.heard(reported(word))
        assert isinstance(report, Report)
        assert (report.status, report.vendor_status, report.reference) == (status, word, HEX)

    @pytest.mark.parametrize("region", sorted(REGIONS))
    def test_every_region(self, region: str) -> None:
        request = self.adapter.build([self.outgoing()], self.credentials(region=region))
        assert request.url == f"{REGIONS[region][1]}/v1.0/message"

    def test_an_address_beats_the_region(self) -> None:
        credentials = self.credentials(region="uk", base_url="https://proxy.example/cm")
        assert (
            self.adapter.build([self.outgoing()], credentials).url == "https://proxy.example/cm/v1.0/message"
        )

    def test_every_wrong_setting_is_named_at_once(self) -> None:
        with pytest.raises(ValueError) as error:
            self.adapter.clean({"product_token": "x", "region": "mars", "base_url": "y"})
        assert set(error.value.problems) == {"product_token", "region", "base_url"}  # type: ignore[attr-defined]

    def test_it_carries_no_mms(self) -> None:
        assert self.adapter.channels == {Channel.SMS}

    # -- incoming messages

    def heard(self, body: Any) -> tuple[Report | Inbound, ...]:
        hook = self.hook_request(Hook("", (), body))
        return tuple(self.adapter.parse_hook(hook, replace(self.credentials(), secrets={})))

    def reply(self, **changed: Any) -> Inbound:
        (inbound,) = self.heard(incoming(**changed))
        assert isinstance(inbound, Inbound)
        return inbound

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param({}, id="objects"),
            pytest.param({"from": "00421900000150", "to": "0015550100", "message": "STOP"}, id="strings"),
            pytest.param({"message": None, "body": "STOP"}, id="the older name"),
            pytest.param({"timeUtc": "2026-01-15T20:16:07Z", "channel": "sms"}, id="Z and small letters"),
        ],
    )
    def test_incoming(self, changed: dict[str, Any]) -> None:
        assert self.reply(**changed) == REPLY

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(incoming(**{"from": {}}), id="no sender"),
            pytest.param(incoming(channel="WhatsApp"), id="another channel"),
            pytest.param(reported("2", reference=""), id="a report without a reference"),
            pytest.param({"messages": {"msg": []}}, id="a report about nothing"),
            pytest.param({"event": "opened"}, id="something else"),
        ],
    )
    def test_what_is_parked(self, body: Any) -> None:
        with pytest.raises(BadPayload):
            self.heard(body)
