"""46elks: SMS API a1, its delivery reports and incoming messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from outbound.values import HttpRequest
from tests.vendorkit import HOOK_URL, REFERENCE, Answer, Check, Hook, Poll, Send, VendorKit, read
from vendors.base import BadPayload
from vendors.elks import STATUSES, Elks
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

USERNAME = f"u{'0' * 31}1"
SMS_ID, MMS_ID = f"s{'a' * 32}", f"m{'b' * 32}"
CALLBACK = f"{HOOK_URL}?ref={REFERENCE}"
REF = f"ref={REFERENCE}"
DELIVERED = "2026-01-15T10:00:03.500000"
MOMENT = datetime(2026, 1, 15, 10, 0, 3, 500_000, tzinfo=UTC)


def sent_form(**changed: str) -> list[tuple[str, str]]:
    plain = {"from": "+15550100", "to": "+421900000123", "message": "Hello", "whendelivered": CALLBACK}
    return list((plain | changed).items())


def taken(**changed: Any) -> dict[str, Any]:
    return {
        "status": "created",
        "direction": "outgoing",
        "from": "+15550100",
        "created": "2026-01-15T10:00:00.000000",
        "parts": 1,
        "to": "+421900000123",
        "cost": 3500,
        "message": "Hello",
        "id": SMS_ID,
        **changed,
    }


def reported(word: str, **more: str) -> list[tuple[str, str]]:
    return [("id", SMS_ID), ("status", word), *more.items()]


def incoming(**changed: str) -> list[tuple[str, str]]:
    plain = {"direction": "incoming", "id": SMS_ID, "from": "+421900000150", "to": "+15550100"}
    plain |= {"created": DELIVERED, "message": "STOP"}
    return list((plain | changed).items())


def report(status: Status, word: str, **more: Any) -> Report:
    return Report(status, word, vendor_id=SMS_ID, reference=REFERENCE, **more)


def inbound(**more: Any) -> Inbound:
    plain = {"vendor_id": SMS_ID, "sender": "+421900000150", "recipient": "+15550100", "text": "STOP"}
    return Inbound(**(plain | {"occurred_at": MOMENT} | more))


class TestElks(VendorKit):
    adapter = Elks()
    values: ClassVar[Mapping[str, str]] = {"api_username": USERNAME, "api_password": "an api password"}
    signed = False
    sent_id = SMS_ID

    sends = (
        Send(
            "an SMS",
            sent_form(),
            url="https://api.46elks.com/a1/sms",
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Authorization": "Basic dTAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAxOmFuIGFwaSBwYXNzd29yZA==",
            },
        ),
        Send("a name", sent_form(**{"from": "Acme"}), message={"sender": "Acme"}),
        Send(
            "a proxy",
            sent_form(),
            url="https://proxy.example/elks/a1/sms",
            values={"base_url": "https://proxy.example/elks/"},
        ),
    )
    answers = (
        Answer("taken", 200, taken(parts=3), Outcome.TAKEN, {"vendor_id": SMS_ID, "segments": 3}),
        Answer("taken, uncounted", 200, {"id": SMS_ID}, Outcome.TAKEN, {"segments": None}),
        Answer("a yes without an id", 200, taken(id=""), Outcome.UNKNOWN, {"code": "unreadable_answer"}),
        Answer(
            "a refusal is a sentence",
            400,
            b"Invalid to number\n",
            Outcome.PERMANENT,
            {"code": "rejected_by_vendor", "vendor_code": "400", "text": "Invalid to number"},
        ),
        Answer(
            "wrong credentials",
            401,
            b"API access requires Basic HTTP authentication.",
            Outcome.CONFIGURATION,
            {"code": "credentials_refused", "route_fault": True},
        ),
        Answer("no credit", 403, b"Not enough credits", Outcome.CONFIGURATION, {"code": "no_credit"}),
        Answer("no credit, by its status", 402, b"", Outcome.CONFIGURATION, {"code": "no_credit"}),
        Answer("another 403", 403, b"Account closed", Outcome.CONFIGURATION, {"code": "credentials_refused"}),
        Answer("a fault with a good body", 500, taken(), Outcome.UNKNOWN, {"code": "vendor_fault"}),
    )
    polls = (
        Poll("on its way", 200, taken(), report(Status.SENT, "created")),
        Poll("delivered", 200, taken(status="delivered", delivered=DELIVERED),
             report(Status.DELIVERED, "delivered", occurred_at=MOMENT)),
        Poll("failed", 200, taken(status="failed"), report(Status.UNDELIVERED, "failed")),
        Poll("of another message", 200, taken(id="s0"), None),
        Poll("not found", 404, b"Not found", None),
    )  # fmt: skip
    checks = (
        Check("the account", 200, {"id": USERNAME, "balance": 1}, True),
        Check("wrong", 401, b"API access requires Basic HTTP authentication.", False),
        Check("out of order", 503, b"", None),
    )
    hooks = (
        Hook("sent", (report(Status.SENT, "sent"),), reported("sent"), query=REF),
        Hook("delivered", (report(Status.DELIVERED, "delivered", occurred_at=MOMENT),),
             reported("delivered", delivered=DELIVERED), query=REF),
        Hook("failed", (report(Status.UNDELIVERED, "failed"),), reported("failed"), query=REF),
        Hook("an SMS comes in", (inbound(),), incoming()),
        Hook("pictures come in",
             (inbound(vendor_id=MMS_ID, channel=Channel.MMS, text="",
                      media=(Media("https://media.example/1"), Media("https://media.example/2"))),),
             incoming(id=MMS_ID, message="", image="https://media.example/1", image2="https://media.example/2")),
        Hook("an MMS without a picture", (inbound(vendor_id=MMS_ID, channel=Channel.MMS),), incoming(id=MMS_ID)),
    )  # fmt: skip
    unknown_status = Hook("a word of tomorrow", (), reported("chewed"), query=REF)

    def number(self, msisdn: str) -> str:
        return msisdn

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        form = dict(read(request))
        return form["from"], form["to"], form["message"]

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        return hook

    def test_every_documented_status(self) -> None:
        assert set(STATUSES) == {"created", "sent", "delivered", "failed"}

    def test_our_answer_to_a_hook_is_not_sent_to_the_handset(self) -> None:
        assert self.adapter.hook_reply(self.credentials()) == HookReply(204)

    def test_it_carries_no_mms(self) -> None:
        assert self.adapter.channels == {Channel.SMS}

    def test_nothing_to_ask_about_without_an_id(self) -> None:
        assert self.adapter.poll(self.sent(vendor_id=""), self.credentials()) is None

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param([("id", SMS_ID)], id="no status"),
            pytest.param([("status", "delivered")], id="no id"),
            pytest.param([("direction", "incoming"), ("message", "STOP")], id="incoming without an id"),
        ],
    )
    def test_what_is_parked(self, body: list[tuple[str, str]]) -> None:
        with pytest.raises(BadPayload):
            self.adapter.parse_hook(self.hook_request(Hook("", (), body)), self.credentials())
