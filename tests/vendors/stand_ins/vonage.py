"""Vonage's Messages API v1 and its signed webhooks, as strict as its documentation."""

from __future__ import annotations

import hashlib
import json
import re
import time
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors.values import Channel

APPLICATION = "aaaaaaaa-bbbb-4ccc-8ddd-000000000001"
API_KEY = "a1b2c3d4"
SIGNATURE_SECRET = "signature-secret-of-the-stand-in-00"
NUMBER = re.compile(r"[1-9][0-9]{6,14}")
TTL = {"sms": (20, 604_800), "mms": (300, 259_200)}
DEVICE_UNFIT = {
    "type": "https://developer.vonage.com/api-errors/messages#1310",
    "title": 1310,
    "detail": "Not suitable device",
    "instance": "bf0ca0bf927b3b52e3cb03217e1a1ddf",
}


class VonageStandIn(StandIn):
    """Every other MMS that has a failover cannot be shown: its SMS goes out, under an id of its own."""

    key = "vonage"

    def __init__(self) -> None:
        super().__init__()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def values(self) -> dict[str, str]:
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "auth": "jwt",
            "application_id": APPLICATION,
            "private_key": pem.decode(),
            "api_key": API_KEY,
            "signature_secret": SIGNATURE_SECRET,
            "base_url": self.url,
        }

    def new_id(self, n: int) -> str:
        return str(UUID(int=n))

    def answer(self, call: Call) -> Reply:
        if (call.method, call.path) != ("POST", "/v1/messages"):
            return self.refuse(404, problem("not-found"), f"{call.method} {call.path}")
        if wrong := self._distrusted(call):
            return self.refuse(401, problem("unauthorized"), wrong)
        body = json.loads(call.body)
        for message in (body, *body.get("failover", [])):
            if wrong := fault(message):
                return self.refuse(422, problem("1150", wrong), f"{wrong}: {message.get(wrong)}")
        return Reply(202, self._accepted(body))

    def _distrusted(self, call: Call) -> str:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        required = ["iat", "exp", "jti", "application_id"]
        try:
            claims = jwt.decode(
                token, self._key.public_key(), algorithms=["RS256"], options={"require": required}
            )
        except jwt.PyJWTError as error:
            return f"token: {error}"
        known = scheme == "Bearer" and claims["application_id"] == APPLICATION
        return "" if known else f"token of {claims['application_id']}"

    def _accepted(self, body: dict[str, Any]) -> dict[str, Any]:
        kind = body["message_type"]
        file = body["content"][0] if kind == "content" else body.get(kind)
        taken = self.take(
            sender=body["from"],
            recipient=body["to"],
            text=body["text"] if kind == "text" else file.get("caption", ""),
            channel=Channel(body["channel"]),
            reference=body["client_ref"],
            hook_url=body["webhook_url"],
        )
        answer = {"message_uuid": taken.vendor_id}
        return answer | {"workflow_id": str(uuid4())} if "failover" in body else answer

    def reports(self, taken: Taken) -> list[HookCall]:
        if taken.channel is Channel.SMS or int(taken.recipient) % 2:
            return [
                self.report(taken, "submitted"),
                self.report(taken, "delivered", sms={"count_total": "1"}),
            ]
        first, second = ({"id": "w", "item_number": n, "items_total": "2"} for n in ("1", "2"))
        other = {"message_uuid": str(uuid4()), "channel": "sms", "workflow": second}
        return [
            self.report(taken, "submitted", workflow=first),
            self.report(taken, "rejected", workflow=first, error=DEVICE_UNFIT),
            self.report(taken, "submitted", **other),
            self.report(taken, "delivered", **other),
        ]

    def report(self, taken: Taken, word: str, **changed: Any) -> HookCall:
        body = {
            "message_uuid": taken.vendor_id,
            "to": taken.recipient,
            "from": taken.sender,
            "timestamp": "2026-01-15T10:00:00.000Z",
            "status": word,
            "channel": str(taken.channel),
            "client_ref": taken.reference,
            **changed,
        }
        return signed(body, url=taken.hook_url)

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        return signed(
            {
                "channel": "sms",
                "message_type": "text",
                "message_uuid": str(UUID(int=2**100)),
                "to": recipient.removeprefix("+"),
                "from": sender.removeprefix("+"),
                "timestamp": "2026-01-15T10:00:00Z",
                "text": text,
                "sms": {"num_messages": "1", "total_count": "1", "keyword": text},
            }
        )


def fault(message: dict[str, Any]) -> str:
    """The field that Vonage would not take; "": none."""
    channel, kind = message.get("channel"), message.get("message_type")
    if channel not in TTL:
        return "channel"
    if kind not in (
        ("text",) if channel == "sms" else ("text", "image", "audio", "video", "vcard", "content")
    ):
        return "message_type"
    files = message.get("content") if kind == "content" else [message.get(kind)]
    usable = message.get("text") if kind == "text" else files and all(f and f.get("url") for f in files)
    least, most = TTL[channel]
    right = {
        kind: bool(usable),
        "to": bool(NUMBER.fullmatch(message.get("to", ""))),
        "from": bool(message.get("from")) and not message["from"].startswith("+"),
        "ttl": least <= message.get("ttl", 0) <= most,
        "client_ref": 0 < len(message.get("client_ref", "")) <= 100,
        "webhook_url": message.get("webhook_url", "").startswith("http"),
        "webhook_version": message.get("webhook_version") == "v1",
    }
    return next((name for name, is_right in right.items() if not is_right), "")


def problem(code: str, *names: str) -> dict[str, Any]:
    return {
        "type": f"https://developer.vonage.com/api-errors/messages#{code}",
        "title": "Invalid params",
        "detail": "The value of one or more parameters is invalid.",
        "instance": "bf0ca0bf927b3b52e3cb03217e1a1ddf",
        "invalid_parameters": [{"name": name, "reason": "invalid value"} for name in names],
    }


def signed(body: dict[str, Any], *, url: str = "") -> HookCall:
    """A call with its proof."""
    raw = json.dumps(body).encode()
    claims = {
        "iat": int(time.time()),
        "jti": str(uuid4()),
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(raw).hexdigest(),
        "api_key": API_KEY,
        "application_id": APPLICATION,
    }
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {jwt.encode(claims, SIGNATURE_SECRET, 'HS256')}",
    }
    return HookCall("POST", url, headers, raw)
