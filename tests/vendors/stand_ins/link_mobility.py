"""LINK Mobility's platform "Common" and its delivery reports, as strict as its manual."""

from __future__ import annotations

import json
from typing import Any

from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors import writing
from vendors.values import Channel

USER, PASSWORD = "acme", "a password of the stand-in"
PLATFORM, PARTNER, GATE = "0", "77", "BVldZyQt"


class LinkMobilityStandIn(StandIn):
    key = "link_mobility"
    channels = frozenset({Channel.SMS})
    has_inbound = False  # its payload is in a document of its own

    def values(self) -> dict[str, str]:
        return {
            "region": "n-eu",
            "username": USER,
            "password": PASSWORD,
            "platform_id": PLATFORM,
            "platform_partner_id": PARTNER,
            "gate_id": GATE,
            "base_url": f"{self.url}/sms",
        }

    def new_id(self, n: int) -> str:
        """With the characters that make such an id awkward."""
        return f"Dcshuhod0PMAAAFQ+/{n:06d}"

    def answer(self, call: Call) -> Reply:
        if call.headers.get("authorization") != writing.basic(USER, PASSWORD)["Authorization"]:
            return self.refuse(401, said(106100, "Invalid authentication"), "credentials")
        if (call.method, call.path) != ("POST", "/sms/send"):
            return self.refuse(404, b"", f"{call.method} {call.path}")
        message = json.loads(call.body)
        if wrong := fault(message):
            code, why = wrong
            return self.refuse(400, said(code, why), why)
        taken = self.take(
            sender=message["source"],
            recipient=message["destination"],
            text=message["userData"],
            reference=message["refId"],
        )
        if message.get("ignoreResponse", True):
            return Reply(204, b"")
        return Reply(200, {"messageId": taken.vendor_id, **said(1005, "Queued"), "smsCount": 1})

    def reports(self, taken: Taken) -> list[HookCall]:
        return [self.report(taken, code) for code in (1000, 1001)]

    def report(self, taken: Taken, code: int) -> HookCall:
        body = {
            "refId": taken.reference,
            "id": taken.vendor_id,
            "operator": None,
            "sentTimestamp": "2026-01-15T10:00:00Z",
            "timestamp": "2026-01-15T10:00:03Z",
            "resultCode": code,
            "operatorResultCode": None,
            "segments": 1,
            "gateCustomParameters": {},
            "customParameters": {},
        }
        return HookCall(headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())


def fault(message: dict[str, Any]) -> tuple[int, str] | None:
    """LINK's code and what is wrong with a message; None: nothing."""
    if message.get("platformId") != PLATFORM:
        return 106200, "platformId"
    if message.get("platformPartnerId") != PARTNER:
        return 106201, "platformPartnerId"
    if message.get("useDeliveryReport", True) and message.get("deliveryReportGates") != [GATE]:
        return 106301, "deliveryReportGates"
    source, kind = message["source"], message.get("sourceTON", "ALPHANUMERIC")
    fits = {
        "MSISDN": source.startswith("+") and source[1:].isdecimal(),
        "SHORTNUMBER": source.isdecimal() and len(source) <= 14,
        "ALPHANUMERIC": 2 <= len(source) <= 11 and not source[0].isdecimal(),
    }
    if not fits[kind]:
        return 106000, f"{kind} source"
    if not (message["destination"].startswith("+") and message["destination"][1:].isdecimal()):
        return 106000, "destination"
    if not message["userData"] or any(ord(character) > 0xFFFF for character in message["userData"]):
        return 106000, "userData"
    if not 0 < message["relativeValidityTime"] <= 48 * 3600 * 1000:
        return 106000, "relativeValidityTime"
    return None


def said(code: int, description: str) -> dict[str, Any]:
    return {"resultCode": code, "description": description}
