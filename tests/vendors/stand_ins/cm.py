"""CM.com's JSON gateway and its webhooks, without signatures, as strict as its documentation."""

from __future__ import annotations

import json
from typing import Any

from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors.values import Channel

TOKEN = "00000000-0000-4000-8000-000000000001"


class CmStandIn(StandIn):
    key = "cm"
    channels = frozenset({Channel.SMS})

    def values(self) -> dict[str, str]:
        return {"product_token": TOKEN, "base_url": self.url}

    def answer(self, call: Call) -> Reply:
        if (call.method, call.path) != ("POST", "/v1.0/message"):
            return self.refuse(404, {}, f"{call.method} {call.path}")
        body = json.loads(call.body)["messages"]
        if body["authentication"] != {"productToken": TOKEN}:
            return self.refuse(401, answered(101, "Authentication failed"), "product token")
        if len(body["msg"]) != 1 or len(body["msg"][0]["to"]) != 1:
            return self.refuse(400, answered(203, "Messages are incorrect"), "one message to one number")
        (message,) = body["msg"]
        number = message["to"][0]["number"]
        if wrong := fault(message, number):
            code, why = wrong
            entry = {"to": number, "status": "Rejected", "messageErrorCode": code, "messageDetails": why}
            return self.refuse(400, answered(201, "Created 0 message(s)", entry), why)
        taken = self.take(
            vendor_id="",
            sender=message["from"],
            recipient=number,
            text=message["body"]["content"],
            reference=message["reference"],
        )
        return Reply(200, answered(0, "Created 1 message(s)", accepted(taken)))

    def reports(self, taken: Taken) -> list[HookCall]:
        return [self.report(taken, "0", "Accepted by operator"), self.report(taken, "2", "Delivered")]

    def report(self, taken: Taken, code: str, text: str) -> HookCall:
        entry = {
            "received": "2026-01-15T21:32:14",
            "to": taken.recipient,
            "reference": taken.reference,
            "status": {"code": code, "errorCode": "", "errorDescription": text},
            "operator": "23101",
        }
        return call_with({"messages": {"msg": entry}})

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        return call_with(
            {
                "from": {"number": f"00{sender[1:]}", "name": ""},
                "to": {"number": f"00{recipient[1:]}", "name": ""},
                "message": {"text": text, "media": {"mediaUri": "", "contentType": "", "title": ""}},
                "reference": "",
                "groupings": ["", "", ""],
                "timeUtc": "2026-01-15T20:16:07",
                "channel": "SMS",
                "messageContext": "",
            }
        )


def fault(message: dict[str, Any], number: str) -> tuple[int, str] | None:
    """CM.com's code and what is wrong with a message; None: nothing."""
    if not message["from"].startswith("00") and len(message["from"]) > 11:
        return 301, "from"
    if not (number.startswith("00") and number.isdecimal()):
        return 303, f"number {number}"
    if message["body"].get("type") != "auto" or not message["body"].get("content"):
        return 304, "body"
    reference = message.get("reference", "")
    if not (reference.isalnum() and len(reference) <= 32):
        return 305, f"reference {reference}"
    if message.get("allowedChannels") != ["SMS"] or message.get("validity", "")[-1:] not in ("h", "m"):
        return 305, "allowedChannels or validity"
    return None


def accepted(taken: Taken) -> dict[str, Any]:
    return {
        "to": taken.recipient,
        "status": "Accepted",
        "reference": taken.reference,
        "parts": 1,
        "messageDetails": None,
        "messageErrorCode": 0,
    }


def answered(code: int, details: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"details": details, "errorCode": code, "messages": list(entries)}


def call_with(body: dict[str, Any]) -> HookCall:
    return HookCall(headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())
