"""A stand-in for 46elks' SMS resource, as strict as its documentation; it signs nothing."""

from __future__ import annotations

import base64
import re
from urllib.parse import parse_qsl, urlencode

from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors.values import Channel

USERNAME, PASSWORD = f"u{'0' * 31}1", "46elks-password-of-the-tests"
FORM = "application/x-www-form-urlencoded"
NUMBER = re.compile(r"\+[1-9]\d{6,14}")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,10}")
NOW = "2026-01-15T10:00:03.500000"


class ElksStandIn(StandIn):
    key = "elks"
    channels = frozenset({Channel.SMS})

    def values(self) -> dict[str, str]:
        return {"api_username": USERNAME, "api_password": PASSWORD, "base_url": self.url}

    def new_id(self, n: int) -> str:
        return f"s{n:032x}"

    def answer(self, call: Call) -> Reply:
        credentials = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        if call.headers.get("authorization") != f"Basic {credentials}":
            return self.refuse(401, {}, "credentials")
        if (call.method, call.path) != ("POST", "/a1/sms") or call.headers.get("content-type") != FORM:
            return self.refuse(404, {}, f"{call.method} {call.path}")
        form = dict(parse_qsl(call.body.decode(), keep_blank_values=True, strict_parsing=True))
        if why := self.wrong(form):
            return self.refuse(400, {}, why)
        taken = self.take(
            sender=form["from"], recipient=form["to"], text=form["message"], hook_url=form["whendelivered"]
        )
        answer = {"id": taken.vendor_id, "status": "created", "direction": "outgoing", "parts": 1}
        return Reply(200, answer | {"from": taken.sender, "to": taken.recipient, "created": NOW})

    def wrong(self, form: dict[str, str]) -> str:
        if set(form) != {"from", "to", "message", "whendelivered"}:
            return f"fields {sorted(form)}"
        if not NUMBER.fullmatch(form["to"]):
            return f"to {form['to']}"
        if not NUMBER.fullmatch(form["from"]) and not NAME.fullmatch(form["from"]):
            return f"from {form['from']}"
        hooked = form["whendelivered"].startswith(f"{self.hook_url}?")
        return "" if form["message"] and hooked else "message or hook"

    def reports(self, taken: Taken) -> list[HookCall]:
        sent = {"id": taken.vendor_id, "status": "sent"}
        delivered = {"id": taken.vendor_id, "status": "delivered", "delivered": NOW}
        return [call_with(fields, taken.hook_url) for fields in (sent, delivered)]

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        fields = {"direction": "incoming", "id": self.new_id(9_999), "from": sender, "to": recipient}
        return call_with(fields | {"created": NOW, "message": text})


def call_with(fields: dict[str, str], url: str = "") -> HookCall:
    return HookCall(url=url, headers={"Content-Type": FORM}, body=urlencode(fields).encode())
