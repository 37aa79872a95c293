"""Infobip's SMS and MMS API and its calls to us, as strict as its documentation. Many messages come in one call."""

from __future__ import annotations

import json
from typing import Any

from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors.values import Channel

API_KEY = "a key of the stand-in"
SEND = {"/sms/3/messages": Channel.SMS, "/mms/2/messages": Channel.MMS}
PENDING = {
    "groupId": 1,
    "groupName": "PENDING",
    "id": 26,
    "name": "PENDING_ACCEPTED",
    "description": "Sent on",
}
TO_OPERATOR = {"groupId": 3, "groupName": "DELIVERED", "id": 2, "name": "DELIVERED_TO_OPERATOR"}
TO_HANDSET = {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"}
MOST_VALIDITY = 48 * 3600


class InfobipStandIn(StandIn):
    key = "infobip"

    def values(self) -> dict[str, str]:
        return {"api_key": API_KEY, "base_url": self.url}

    def answer(self, call: Call) -> Reply:
        if call.headers.get("authorization") != f"App {API_KEY}":
            return self.refuse(401, error("E401", "The request lacks valid credentials."), "API key")
        channel = SEND.get(call.path)
        if call.method != "POST" or channel is None:
            return self.refuse(404, error("E404", "Not found."), f"{call.method} {call.path}")
        messages = json.loads(call.body)["messages"]
        for n, message in enumerate(messages):
            if wrong := fault(message, channel):
                place = f"messages[{n}].{wrong}"
                return self.refuse(400, error("E400", "Request cannot be processed.", place), place)
        return Reply(
            200, {"bulkId": "2034072219640523072", "messages": [self.taken_one(m, channel) for m in messages]}
        )

    def taken_one(self, message: dict[str, Any], channel: Channel) -> dict[str, Any]:
        (to,) = message["destinations"]
        taken = self.take(
            vendor_id=to["messageId"],
            sender=message["sender"],
            recipient=to["to"],
            text=text_of(message["content"], channel),
            channel=channel,
            reference=message["webhooks"]["callbackData"],
            hook_url=message["webhooks"]["delivery"]["url"],
        )
        counted = {"details": {"messageCount": 1}} if channel is Channel.SMS else {}
        return {"messageId": taken.vendor_id, "destination": taken.recipient, "status": PENDING, **counted}

    def reports(self, taken: Taken) -> list[HookCall]:
        """The one about an MMS names less, as in Infobip's example."""
        about: dict[str, Any] = {
            "bulkId": "2034072219640523072",
            "messageId": taken.vendor_id,
            "sender": taken.sender,
            "sentAt": "2026-01-15T10:00:00.000+0000",
            "doneAt": "2026-01-15T10:00:03.000+0000",
            "messageCount": 1,
        }
        if taken.channel is Channel.SMS:
            about |= {"to": taken.recipient, "callbackData": taken.reference}
        both = [{**about, "status": TO_OPERATOR}, {**about, "status": TO_HANDSET}]
        return [call_with({"results": both}, taken.hook_url)]

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        message = {
            "messageId": "817790313235066447",
            "from": sender.removeprefix("+"),
            "to": recipient.removeprefix("+"),
            "text": text,
            "cleanText": "",
            "keyword": text,
            "receivedAt": "2026-01-15T10:00:00.000+0000",
            "smsCount": 1,
        }
        return call_with({"results": [message], "messageCount": 1, "pendingMessageCount": 0})


def fault(message: dict[str, Any], channel: Channel) -> str:
    """The property that Infobip would complain about; "": none."""
    (to,) = message["destinations"]
    if not (to["to"].isdecimal() and not to["to"].startswith("0")):
        return "destinations[0].to"
    if not to.get("messageId"):
        return "destinations[0].messageId"
    if message["sender"].startswith(("+", "00")):
        return "sender"
    validity = message["options"]["validityPeriod"]
    if validity["timeUnit"] != "SECONDS" or not 0 < validity["amount"] <= MOST_VALIDITY:
        return "options.validityPeriod"
    if message["webhooks"]["contentType"] != "application/json":
        return "webhooks.contentType"
    content = message["content"]
    if channel is Channel.MMS:
        kinds = [segment["type"] for segment in content["messageSegments"]]
        return "" if "LINK" in kinds and set(kinds) <= {"TEXT", "LINK"} else "content.messageSegments"
    return "" if content.get("text") else "content.text"


def text_of(content: dict[str, Any], channel: Channel) -> str:
    if channel is Channel.SMS:
        return str(content["text"])
    return "".join(segment["text"] for segment in content["messageSegments"] if segment["type"] == "TEXT")


def error(code: str, description: str, *places: str) -> dict[str, Any]:
    violations = [{"property": place, "violation": "is not valid"} for place in places]
    return {
        "errorCode": code,
        "description": description,
        "action": "",
        "violations": violations,
        "resources": [],
    }


def call_with(body: dict[str, Any], url: str = "") -> HookCall:
    return HookCall(url=url, headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())
