"""A stand-in for Plivo's Message API; of two messages it signs the calls about one by V3 and about the other by V2."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors.values import Channel

AUTH_ID = "MA00000000000000TEST"
TOKEN = "plivo-token-of-the-tests"
NONCE = "05429567804466091622"
NUMBER = re.compile(r"[1-9]\d{6,13}")
SENDER = re.compile(r"[1-9]\d{6,13}|\d{3,8}|[\w -]{1,11}")
KNOWN = {"src", "dst", "text", "type", "url", "method", "log", "media_urls"}
FORM = "application/x-www-form-urlencoded"


def _mac(token: str, text: str) -> str:
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha256).digest()).decode()


def v2(token: str, url: str) -> dict[str, str]:
    """Headers of a call signed by V2: scheme, host and path, then the nonce."""
    proof = _mac(token, url.partition("?")[0] + NONCE)
    return {"X-Plivo-Signature-V2": proof, "X-Plivo-Signature-V2-Nonce": NONCE}


def v3(token: str, url: str, pairs: Iterable[tuple[str, str]], *, name: str = "V3") -> dict[str, str]:
    """Headers of a POST signed by V3: the address, the sorted query, the sorted form, the nonce."""
    address, _, query = url.partition("?")
    asked = "&".join(sorted(f"{key}={value}" for key, value in parse_qsl(query, keep_blank_values=True)))
    posted = "".join(key + value for key, value in sorted(pairs))
    text = f"{address}?{asked}.{posted}" if asked else f"{address}?{posted}"
    return {f"X-Plivo-Signature-{name}": _mac(token, f"{text}.{NONCE}"), "X-Plivo-Signature-V3-Nonce": NONCE}


class PlivoStandIn(StandIn):
    key = "plivo"

    def values(self) -> dict[str, str]:
        return {"auth_id": AUTH_ID, "auth_token": TOKEN, "base_url": self.url}

    def new_id(self, n: int) -> str:
        return f"{n:08x}-7f1d-11e1-8ea7-1231380bc196"

    def answer(self, call: Call) -> Reply:
        credentials = base64.b64encode(f"{AUTH_ID}:{TOKEN}".encode()).decode()
        if call.headers.get("authorization") != f"Basic {credentials}":
            return self._error(401, "Could not verify your access level for that URL.")
        if (call.method, call.path) != ("POST", f"/v1/Account/{AUTH_ID}/Message"):
            return self._error(404, f"not found: {call.path}")
        if call.headers.get("content-type") != "application/json":
            return self._error(400, "not JSON")
        body = json.loads(call.body)
        if why := self._wrong(body):
            return self._error(400, why)
        return self._take(body)

    def _wrong(self, body: dict[str, Any]) -> str:
        if surplus := set(body) - KNOWN:
            return f"unknown parameters: {sorted(surplus)}"
        if not NUMBER.fullmatch(body["dst"]):
            return "dst is not a number"
        if not SENDER.fullmatch(body["src"]) or body["src"] == body["dst"]:
            return "src is not a sender"
        if body["type"] not in ("sms", "mms") or (body["type"] == "mms") is not bool(body.get("media_urls")):
            return "type does not fit the media"
        if body["type"] == "sms" and not body.get("text"):
            return "no text"
        if body["method"] != "POST" or not body["url"].startswith(f"{self.hook_url}?"):
            return "no callback url"
        return "" if body.get("log") in ("true", "false") else "log is a word"

    def _take(self, body: dict[str, Any]) -> Reply:
        taken = self.take(
            sender=body["src"],
            recipient=body["dst"],
            text=body.get("text", ""),
            channel=Channel(body["type"]),
            reference=parse_qs(urlsplit(body["url"]).query)["ref"][0],
            hook_url=body["url"],
        )
        answer = {"message": "message(s) queued", "message_uuid": [taken.vendor_id], "api_id": self.new_id(0)}
        return Reply(202, {**answer, "invalid_number": []})

    def _error(self, status: int, text: str) -> Reply:
        return self.refuse(status, {"api_id": self.new_id(0), "error": text}, f"{status} {text}")

    def reports(self, taken: Taken) -> list[HookCall]:
        return [self._report(taken, n, word) for n, word in enumerate(("queued", "sent", "delivered"))]

    def _report(self, taken: Taken, n: int, word: str) -> HookCall:
        fields = {
            "MessageUUID": taken.vendor_id,
            "From": taken.sender,
            "To": taken.recipient,
            "Type": taken.channel,
        }
        fields |= {
            "Status": word,
            "Units": "1",
            "TotalRate": "0.00350",
            "MCC": "310",
            "MNC": "410",
            "ErrorCode": "",
        }
        fields |= {"Sequence": str(n), "MessageTime": "2024-01-15 21:32:13.552000", "PowerpackUUID": ""}
        body = urlencode(fields)
        by_v3 = int(taken.vendor_id.partition("-")[0], 16) % 2
        pairs = parse_qsl(body, keep_blank_values=True)
        proof = v3(TOKEN, taken.hook_url, pairs, name="Ma-V3") if by_v3 else v2(TOKEN, taken.hook_url)
        return HookCall("POST", taken.hook_url, {"Content-Type": FORM, **proof}, body.encode())

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        uuid = self.new_id(0xFFFFFFFF)
        fields = {"MessageUUID": uuid, "From": sender.removeprefix("+"), "To": recipient.removeprefix("+")}
        fields |= {"Type": "sms", "Text": text, "Units": "1", "MessageIntent": "optout", "PowerpackUUID": ""}
        body = urlencode(fields)
        proof = v3(TOKEN, self.hook_url, fields.items())
        return HookCall("POST", self.hook_url, {"Content-Type": FORM, **proof}, body.encode())
