"""Sinch's SMS REST API in the project model and its MMS JSON API, with signed webhooks, as strict as documented."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors.values import Channel

PROJECT, KEY_ID, KEY_SECRET = "project-1", "key-1", "the secret of an access key"
TOKEN = "an access token of the stand-in"
MMS_KEY, SERVICE = "an MMS key of the stand-in", "campaign-7"
WEBHOOK_SECRET = "a webhook secret of the stand-in"
BATCHES = f"/xms/v1/{PROJECT}/batches"
DIGITS, SENDER = re.compile(r"\d{7,15}"), re.compile(r"\d{3,15}|(?!\d)[ -~]{1,11}")
PLACEHOLDER = re.compile(r"\$\{([A-Za-z0-9._-]{1,16})\}")
KINDS = {"image", "audio", "video", "vcard", "ical", "pdf", "passbook"}
SLIDES, SUBJECT, SLIDE_TEXT, TEXT = 8, 80, 5000, 2000


class SinchStandIn(StandIn):
    key = "sinch"
    mms = "json"  # the way of MMS; the other one is xms

    def values(self) -> dict[str, str]:
        return {
            "region": "eu",
            "credentials": "project",
            "project_id": PROJECT,
            "key_id": KEY_ID,
            "key_secret": KEY_SECRET,
            "mms": self.mms,
            "mms_api_key": MMS_KEY,
            "mms_service_id": SERVICE,
            "hook_secret": WEBHOOK_SECRET,
            "base_url": self.url,
            "auth_url": self.url,
            "mms_url": self.url,
        }

    def answer(self, call: Call) -> Reply:
        if (call.method, call.path) == ("POST", "/oauth2/token"):
            return self.token(call)
        if (call.method, call.path) == ("POST", "/ep/v2"):
            return self.sendmms(call)
        if call.path != BATCHES:
            return self.refuse(404, b"", f"{call.method} {call.path}")
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return self.refuse(401, b"", "the token")
        if call.method == "GET":
            return self.search(call.query.get("client_reference", ""))
        return self.send(call)

    def token(self, call: Call) -> Reply:
        user = base64.b64encode(f"{KEY_ID}:{KEY_SECRET}".encode()).decode()
        if call.headers.get("authorization") != f"Basic {user}":
            return self.refuse(401, {"error": "invalid_client"}, "the access key")
        if parse_qs(call.body.decode()) != {"grant_type": ["client_credentials"]}:
            return self.refuse(400, {"error": "unsupported_grant_type"}, "grant_type")
        return Reply(200, {"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600})

    def search(self, reference: str) -> Reply:
        found = [{"id": one.vendor_id, "client_reference": reference} for one in self.batches(reference)]
        return Reply(200, {"page": 0, "page_size": 30, "count": len(found), "batches": found})

    def batches(self, reference: str) -> list[Taken]:
        return [
            one for one in self.taken if one.reference == reference and not one.vendor_id.startswith("MMS_")
        ]

    def send(self, call: Call) -> Reply:
        if call.headers.get("content-type") != "application/json":
            return self.refuse(415, b"", "Content-Type")
        body = json.loads(call.body)
        if wrong := fault(body):
            return self.refuse(400, {"code": "syntax_constraint_violation", "text": wrong}, wrong)
        is_media = body["type"] == "mt_media"
        taken = self.take(
            sender=body["from"],
            recipient=body["to"][0],
            text=rendered(body["body"].get("message", "") if is_media else body["body"], body),
            channel=Channel.MMS if is_media else Channel.SMS,
            reference=body["client_reference"],
            hook_url=body["callback_url"],
        )
        return Reply(
            201, {**body, "id": taken.vendor_id, "canceled": False, "created_at": now(), "modified_at": now()}
        )

    def sendmms(self, call: Call) -> Reply:
        """HTTP 200 says everything."""
        body = json.loads(call.body)
        if call.headers.get("x-api-key") != MMS_KEY:
            return self.failure("E104", "Authentication failed, invalid API key")
        if wrong := mms_fault(body):
            return self.failure(*wrong)
        taken = self.take(
            vendor_id=f"MMS_{len(self.taken) + 1}_{body['client-reference']}",
            sender=body["from"],
            recipient=body["to"],
            text=body["slide"][0].get("message-text", ""),
            channel=Channel.MMS,
            reference=body["client-reference"],
        )
        answer = {"status": "Success", "to": taken.recipient, "mms-id": "1", "tracking-id": taken.vendor_id}
        return Reply(200, {**answer, "status-details": "MMS request accepted and queued for delivery"})

    def failure(self, code: str, words: str) -> Reply:
        return self.refuse(
            200, {"status": "Failure", "error-code": code, "error-info": words}, f"{code}: {words}"
        )

    def new_id(self, n: int) -> str:
        return f"01FC66621VHDBN119Z8P{n:06d}"

    def reports(self, taken: Taken) -> list[HookCall]:
        if taken.vendor_id.startswith("MMS_"):
            return [
                self.postback(taken, "N101", "Message Sent"),
                self.postback(taken, "N102", "Message Delivered"),
            ]
        return [
            self.report(taken, "Queued", 400),
            self.report(taken, "Dispatched", 401),
            self.report(taken, "Delivered", 0),
        ]

    def report(self, taken: Taken, status: str, code: int) -> HookCall:
        kind = "mms" if taken.channel is Channel.MMS else "sms"
        return signed(
            {
                "type": f"recipient_delivery_report_{kind}",
                "batch_id": taken.vendor_id,
                "recipient": taken.recipient,
                "code": code,
                "status": status,
                "at": now(),
                "client_reference": taken.reference,
                "number_of_message_parts": 1,
            },
            taken.hook_url,
        )

    def postback(self, taken: Taken, code: str, words: str) -> HookCall:
        """Not signed, without our reference, to the address that the account manager entered."""
        body = {
            "origin": "MMS_MT",
            "code": code,
            "status": words,
            "sent-as": "MMS",
            "from": taken.sender,
            "to": taken.recipient,
            "tracking-id": taken.vendor_id,
            "timestamp": now(),
        }
        return HookCall(url=f"{self.hook_url}/mms", headers=JSON, body=json.dumps(body).encode())

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        return signed(
            {
                "type": "mo_text",
                "id": "01FC66621XXXXX119Z8PMV1QPA",
                "from": sender.removeprefix("+"),
                "to": recipient.removeprefix("+"),
                "body": text,
                "received_at": now(),
            }
        )


JSON = {"Content-Type": "application/json"}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def signed(body: dict[str, Any], url: str = "") -> HookCall:
    raw, nonce, stamp = json.dumps(body).encode(), "01HNONCE", str(int(time.time()))
    proof = hmac.digest(WEBHOOK_SECRET.encode(), raw + f".{nonce}.{stamp}".encode(), hashlib.sha256)
    headers = {
        **JSON,
        "X-Sinch-Webhook-Signature": base64.b64encode(proof).decode(),
        "X-Sinch-Webhook-Signature-Nonce": nonce,
        "X-Sinch-Webhook-Signature-Timestamp": stamp,
    }
    return HookCall(url=url, headers=headers, body=raw)


def rendered(text: str, body: dict[str, Any]) -> str:
    """The text with its placeholders filled in. Raises KeyError for one without a value."""
    return PLACEHOLDER.sub(lambda found: str(body["parameters"][found[1]]["default"]), text)


def fault(body: dict[str, Any]) -> str:
    """What is wrong with a batch; "": nothing."""
    if len(body["to"]) != 1 or not DIGITS.fullmatch(body["to"][0]):
        return f"to: {body['to']}"
    if not SENDER.fullmatch(body["from"]):
        return f"from: {body['from']}"
    if body["delivery_report"] != "per_recipient" or not body["callback_url"].startswith("http"):
        return "delivery_report or callback_url"
    if not 0 < len(body["client_reference"]) <= 128:
        return "client_reference"
    if "expire_at" in body and not is_soon(body["expire_at"], timedelta(days=3)):
        return f"expire_at: {body['expire_at']}"
    content = body["body"]
    if body["type"] == "mt_media":
        return (
            ""
            if isinstance(content, dict) and content.get("url", "").startswith("http")
            else "body without url"
        )
    is_text = body["type"] == "mt_text" and isinstance(content, str) and 0 < len(content) <= TEXT
    return "" if is_text and body.get("max_number_of_message_parts", 1) >= 1 else "type or body"


def mms_fault(body: dict[str, Any]) -> tuple[str, str] | None:
    """Code and words of what is wrong with an MMS; None: nothing."""
    if body.get("action") != "sendmms":
        return "E107", "action"
    if body.get("service-id") != SERVICE:
        return "E627", "service-id"
    if not DIGITS.fullmatch(body["to"]):
        return "E110", f"to {body['to']}"
    if not body["from"].isdecimal():
        return "E111", f"from {body['from']}"
    if not 0 < len(body["message-subject"]) <= SUBJECT:
        return "E314", "message-subject"
    if not body.get("disable-fallback-sms") and not body.get("fallback-sms-text"):
        return "E622", "fallback-sms-text"
    if not 0 < len(body["slide"]) <= SLIDES:
        return "E312", "slide"
    if any(
        len(slide.keys() & KINDS) != 1 or len(slide.get("message-text", "")) > SLIDE_TEXT
        for slide in body["slide"]
    ):
        return "E313", "a slide"
    if not is_soon(body["mms-expiry-timestamp"], timedelta(days=30)):
        return "E100", "mms-expiry-timestamp"
    return None


def is_soon(written: str, most: timedelta) -> bool:
    """Whether a time lies between now and that long from now."""
    left = datetime.fromisoformat(written).timestamp() - time.time()
    return written.endswith("Z") and 0 < left <= most.total_seconds()
