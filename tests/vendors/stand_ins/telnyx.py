"""Telnyx's Messaging API v2 and its signed events, as strict as its documentation."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors.values import Channel

API_KEY = "KEY0190STANDINabcdefghij"
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(b"the stand-in for Telnyx signs it")
NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9_-]{1,255}")
ROUTING = ("messaging_profile_id", "webhook_url", "webhook_failover_url", "use_profile_webhooks", "send_at")
KNOWN = {*ROUTING, "from", "to", "text", "type", "encoding", "media_urls", "subject", "auto_detect"}


class TelnyxStandIn(StandIn):
    key = "telnyx"

    def __init__(self) -> None:
        super().__init__()
        self._answered: dict[str, tuple[bytes, dict[str, Any]]] = {}  # by Idempotency-Key

    def values(self) -> dict[str, str]:
        public = base64.b64encode(PRIVATE_KEY.public_key().public_bytes_raw()).decode()
        return {"api_key": API_KEY, "public_key": public, "base_url": self.url}

    def answer(self, call: Call) -> Reply:
        if call.headers.get("authorization") != f"Bearer {API_KEY}":
            return self.refuse(401, errors("10009", "Authentication failed"), "API key")
        if (call.method, call.path) == ("GET", "/balance"):
            return Reply(200, {"data": {"record_type": "balance", "balance": "5.00", "currency": "USD"}})
        if call.method == "GET":
            return self._shown(call.path)
        if (call.method, call.path) != ("POST", "/messages"):
            return self.refuse(404, errors("10005", "Resource not found"), f"{call.method} {call.path}")
        return self._sent(call)

    def _shown(self, path: str) -> Reply:
        for taken in self.taken:
            if path == f"/messages/{taken.vendor_id}":
                return Reply(200, {"data": message(taken, "delivered")})
        return Reply(404, errors("10005", "Resource not found"))

    def _sent(self, call: Call) -> Reply:
        key = call.headers.get("idempotency-key", "")
        if not IDEMPOTENCY_KEY.fullmatch(key):
            return self.refuse(400, errors("10015", "Bad Request"), "Idempotency-Key")
        if key in self._answered:
            body, answer = self._answered[key]
            if body != call.body:
                return self.refuse(422, errors("10015", "Bad Request"), "another body under the same key")
            return Reply(200, answer)
        body = json.loads(call.body)
        if wrong := fault(body, call):
            return self.refuse(422, errors(*wrong), wrong[1])
        taken = self.take(
            sender=body["from"],
            recipient=body["to"],
            text=body.get("text", ""),
            channel=Channel(body["type"].lower()),
            reference=key,
            hook_url=body["webhook_url"],
        )
        answer = {"data": message(taken, "queued")}
        self._answered[key] = (call.body, answer)
        return Reply(200, answer)

    def new_id(self, n: int) -> str:
        return str(UUID(int=n, version=4))

    def reports(self, taken: Taken) -> list[HookCall]:
        return [
            event("message.sent", message(taken, "sent"), taken.hook_url, n=1),
            event("message.finalized", message(taken, "delivered"), taken.hook_url, n=2),
        ]

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        payload = {
            "id": "84cca175-9755-4859-b67f-4730d7f58aa3",
            "type": "SMS",
            "direction": "inbound",
            "from": {"phone_number": sender, "carrier": "", "line_type": ""},
            "to": [{"phone_number": recipient, "status": "webhook_delivered"}],
            "text": text,
            "media": [],
            "parts": 1,
            "received_at": "2026-01-15T20:16:07.503+00:00",
        }
        return event("message.received", payload, "", n=3)


def fault(body: dict[str, Any], call: Call) -> tuple[str, str] | None:
    """Telnyx's code and what is wrong with a message; None: nothing."""
    if call.headers.get("content-type") != "application/json":
        return "10014", "content type"
    if unknown := set(body) - KNOWN:
        return "10015", f"unknown fields {sorted(unknown)}"
    if not NUMBER.fullmatch(body.get("to", "")):
        return "40310", f"to {body.get('to')}"
    if not NUMBER.fullmatch(body.get("from", "")):
        return "40305", f"from {body.get('from')}"
    if "ref" not in parse_qs(urlsplit(body.get("webhook_url", "")).query):
        return "10003", f"webhook_url {body.get('webhook_url')}"
    if body.get("type") == "SMS":
        return None if body.get("text") and "media_urls" not in body else ("40316", "no text")
    media = body.get("media_urls") or []
    good = body.get("type") == "MMS" and 1 <= len(media) <= 10 and "encoding" not in body
    return None if good else ("40317", f"media {media} of type {body.get('type')}")


def errors(code: str, title: str) -> dict[str, Any]:
    return {"errors": [{"code": code, "title": title, "detail": title}]}


def message(taken: Taken, status: str) -> dict[str, Any]:
    """An outbound message as answers and events show it."""
    return {
        "record_type": "message",
        "direction": "outbound",
        "id": taken.vendor_id,
        "type": taken.channel.value.upper(),
        "from": {"phone_number": taken.sender, "carrier": "Telnyx", "line_type": ""},
        "to": [{"phone_number": taken.recipient, "status": status, "carrier": "", "line_type": ""}],
        "text": taken.text,
        "parts": 1,
        "errors": [],
        "completed_at": "2026-01-15T21:32:14.148+00:00" if status == "delivered" else None,
    }


def event(kind: str, payload: dict[str, Any], url: str, *, n: int) -> HookCall:
    """One event, signed now: a stand-in repeats it within the five minutes that it is good for."""
    body = {
        "data": {
            "event_type": kind,
            "id": f"{payload['id'][:-1]}{n}",
            "occurred_at": f"2026-01-15T21:32:1{n}.148+00:00",
            "record_type": "event",
            "payload": payload,
        },
        "meta": {"attempt": 1, "delivered_to": url},
    }
    raw, stamp = json.dumps(body).encode(), str(int(time.time()))
    signed = base64.b64encode(PRIVATE_KEY.sign(stamp.encode() + b"|" + raw)).decode()
    headers = {
        "Content-Type": "application/json",
        "Telnyx-Timestamp": stamp,
        "Telnyx-Signature-Ed25519": signed,
    }
    return HookCall(url=url, headers=headers, body=raw)
