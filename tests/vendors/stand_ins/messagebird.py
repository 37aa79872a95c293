"""MessageBird's classic REST API, its reports by GET and its signatures, as strict as its documentation."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import jwt

from phone import segments
from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors.values import Channel

ACCESS_KEY = "live_key-of-the-stand-in"
SIGNING_KEY = "signing-key-of-the-stand-in-0123456789"
PATHS = {"/messages": Channel.SMS, "/mms": Channel.MMS}
SMS_FIELDS = {"originator", "recipients", "body", "reference", "reportUrl", "datacoding", "validity"}
MMS_FIELDS = {"originator", "recipients", "body", "reference", "subject", "mediaUrls"}


class MessageBirdStandIn(StandIn):
    key = "messagebird"

    def values(self) -> dict[str, str]:
        return {"access_key": ACCESS_KEY, "signing_key": SIGNING_KEY, "base_url": self.url}

    def new_id(self, n: int) -> str:
        return UUID(int=n).hex

    def answer(self, call: Call) -> Reply:
        if call.headers.get("authorization") != f"AccessKey {ACCESS_KEY}":
            return self.refuse(401, errors(2, "Request not allowed (incorrect access_key)"), "access key")
        channel = PATHS.get(call.path)
        if call.method != "POST" or channel is None:
            return self.refuse(404, errors(98, "API not found"), f"{call.method} {call.path}")
        if not call.headers.get("content-type", "").startswith("application/json"):
            return self.refuse(422, errors(10, "no JSON"), "content type")
        body = json.loads(call.body)
        if wrong := fault(body, channel):
            return self.refuse(
                422, errors(9, f"no (correct) {wrong} found", wrong), f"{wrong}: {body.get(wrong)}"
            )
        taken = self.take(
            sender=body["originator"],
            recipient=body["recipients"][0],
            text=body["body"],
            channel=channel,
            reference=body["reference"],
            hook_url=body.get("reportUrl", ""),
        )
        return Reply(201, accepted(taken))

    def reports(self, taken: Taken) -> list[HookCall]:
        return [self.report(taken, "sent"), self.report(taken, "delivered")]

    def report(self, taken: Taken, word: str) -> HookCall:
        return self.told(
            taken.hook_url,
            id=taken.vendor_id,
            reference=taken.reference,
            recipient=taken.recipient,
            status=word,
            statusDatetime="2026-01-15T10:00:00+00:00",
            statusReason="successfully delivered" if word == "delivered" else "",
        )

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        return self.told(
            "",
            id=UUID(int=2**100).hex,
            originator=sender.removeprefix("+"),
            recipient=recipient.removeprefix("+"),
            body=text,
            createdDatetime="2026-01-15T10:00:00+00:00",
        )

    def told(self, url: str, **fields: str) -> HookCall:
        """A GET with all of it in the query, proved. `url` "": the account's address."""
        address = f"{url or self.hook_url}?{urlencode(fields)}"
        now = int(time.time())
        claims = {
            "iss": "MessageBird",
            "nbf": now,
            "exp": now + 60,
            "jti": str(uuid4()),
            "url_hash": hashlib.sha256(address.encode()).hexdigest(),
        }
        proof = jwt.encode(claims, SIGNING_KEY, "HS256")
        return HookCall("GET", address, {"MessageBird-Signature-JWT": proof})


def fault(body: dict[str, Any], channel: Channel) -> str:
    """The parameter that the vendor would not take; "": none."""
    fields = MMS_FIELDS if channel is Channel.MMS else SMS_FIELDS
    if set(body) != fields:
        return ", ".join(sorted(set(body) ^ fields))
    recipients = body["recipients"]
    needs_unicode = segments.count(body["body"]).encoding == "UCS2"
    right = {
        "originator": body["originator"].isdecimal() or 0 < len(body["originator"]) <= 11,
        "recipients": len(recipients) == 1
        and recipients[0].isdecimal()
        and not recipients[0].startswith("0"),
        "body": bool(body["body"]),
        "reference": 0 < len(body["reference"]) <= 128,
    }
    if channel is Channel.MMS:
        right["mediaUrls"] = bool(body["mediaUrls"]) and all(
            url.startswith("http") for url in body["mediaUrls"]
        )
    else:
        right["datacoding"] = body["datacoding"] == ("unicode" if needs_unicode else "plain")
        right["reportUrl"] = body["reportUrl"].startswith("http")
        right["validity"] = isinstance(body["validity"], int) and body["validity"] > 0
    return next((name for name, is_right in right.items() if not is_right), "")


def accepted(taken: Taken) -> dict[str, Any]:
    recipient = {
        "recipient": int(taken.recipient),
        "status": "sent",
        "statusDatetime": "2026-01-15T10:00:00+00:00",
    }
    if taken.channel is Channel.SMS:
        recipient["messagePartCount"] = segments.count(taken.text).parts
    return {
        "id": taken.vendor_id,
        "direction": "mt",
        "originator": taken.sender,
        "body": taken.text,
        "reference": taken.reference,
        "recipients": {"totalCount": 1, "totalSentCount": 1, "items": [recipient]},
    }


def errors(code: int, description: str, parameter: str | None = None) -> dict[str, Any]:
    return {"errors": [{"code": code, "description": description, "parameter": parameter}]}
