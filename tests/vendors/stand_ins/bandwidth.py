"""Bandwidth's Messaging API v2 with OAuth 2.0, and its callbacks, as strict as its documentation."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors import writing
from vendors.values import Channel

ACCOUNT_ID = "9900000"
APPLICATION = "93de2206-9669-4e07-948d-329f4b722ee2"
CLIENT = ("client-of-the-stand-in", "secret-of-the-stand-in")
CALLBACK_USER = ("bw", "password-of-the-callbacks")
TOKEN_USES = 30  # calls after which a token is refused, long before its time
NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
MESSAGES = f"/api/v2/users/{ACCOUNT_ID}/messages"
KNOWN = {"applicationId", "from", "to", "text", "media", "tag", "priority", "expiration"}


class BandwidthStandIn(StandIn):
    key = "bandwidth"

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._uses: dict[str, int] = {}  # of each token

    def values(self) -> dict[str, str]:
        return {
            "account_id": ACCOUNT_ID,
            "application_id": APPLICATION,
            "client_id": CLIENT[0],
            "client_secret": CLIENT[1],
            "hook_user": CALLBACK_USER[0],
            "hook_password": CALLBACK_USER[1],
            "base_url": f"{self.url}/api/v2",
            "token_url": f"{self.url}/api/v1/oauth2/token",
        }

    def answer(self, call: Call) -> Reply:
        if (call.method, call.path) == ("POST", "/api/v1/oauth2/token"):
            return self._token(call)
        if not self._admits(call.headers.get("authorization", "")):
            # Not noted as a fault: the caller is to fetch another token.
            return Reply(401, {"type": "unauthorized", "description": "Authentication Failed"})
        if (call.method, call.path) == ("GET", MESSAGES):
            return self._found(call.query.get("messageId", ""))
        if (call.method, call.path) != ("POST", MESSAGES):
            return self.refuse(404, {"status": 404, "error": "Not Found"}, f"{call.method} {call.path}")
        return self._sent(call)

    def _token(self, call: Call) -> Reply:
        if call.headers.get("authorization") != writing.basic(*CLIENT)["Authorization"]:
            return self.refuse(401, {"error": "invalid_client"}, "client")
        if parse_qsl(call.body.decode()) != [("grant_type", "client_credentials")]:
            return self.refuse(400, {"error": "unsupported_grant_type"}, "grant type")
        with self._guard:
            token = f"token-{len(self._uses) + 1}"
            self._uses[token] = 0
            return Reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    def _admits(self, header: str) -> bool:
        """Each process has a token of its own, and none is good for ever."""
        token = header.removeprefix("Bearer ")
        with self._guard:
            if token not in self._uses:
                return False
            self._uses[token] += 1
            return self._uses[token] <= TOKEN_USES

    def _found(self, vendor_id: str) -> Reply:
        found = [found_message(taken) for taken in self.taken if taken.vendor_id == vendor_id]
        return Reply(200, {"totalCount": len(found), "pageInfo": {}, "messages": found})

    def _sent(self, call: Call) -> Reply:
        if call.headers.get("content-type") != "application/json; charset=utf-8":
            answer = {"type": "unsupported-content-type", "description": "Content type not supported"}
            return self.refuse(415, answer, "content type")
        body = json.loads(call.body)
        if name := fault(body):
            answer = {
                "type": "request-validation",
                "description": "Your request could not be accepted",
                "fieldErrors": [{"fieldName": name, "description": "wrong"}],
            }
            return self.refuse(400, answer, f"{name}: {body.get(name)}")
        taken = self.take(
            sender=body["from"],
            recipient=body["to"][0],
            text=body.get("text", ""),
            channel=Channel.MMS if "media" in body else Channel.SMS,
            reference=body["tag"],
        )
        shown = {**message(taken, "out"), "text": taken.text, "priority": "default"}
        return Reply(202, shown)

    def new_id(self, n: int) -> str:
        return f"{1476207046829 + n}kw2fuqty55yp2b2"

    def reports(self, taken: Taken) -> list[HookCall]:
        kinds = ["message-sending"] if taken.channel is Channel.MMS else []
        return [
            callback(kind, taken.recipient, "ok", message(taken, "out"))
            for kind in (*kinds, "message-delivered")
        ]

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        taken = Taken("1476207046000kw2fuqty55yp2b3", sender, recipient, text)
        body = {**message(taken, "in"), "text": text}
        return callback("message-received", recipient, "Incoming message received", body)


def fault(body: dict[str, Any]) -> str:
    """The first field that is missing or wrong; "": none."""
    to, media, tag = body.get("to"), body.get("media"), body.get("tag")
    wrong = {
        "unknown": not set(body) <= KNOWN,
        "applicationId": body.get("applicationId") != APPLICATION,
        "from": not NUMBER.fullmatch(body.get("from", "")),
        "to": not (isinstance(to, list) and len(to) == 1 and NUMBER.fullmatch(to[0])),
        "text": len(body.get("text", "")) > 2048 or not (body.get("text") or media),
        "media": "media" in body and not (isinstance(media, list) and media),
        "tag": not (isinstance(tag, str) and 0 < len(tag) <= 1024),
        "expiration": "expiration" in body and ("media" in body or not is_ahead(body["expiration"])),
    }
    return next((name for name, is_wrong in wrong.items() if is_wrong), "")


def is_ahead(moment: str) -> bool:
    return moment.endswith("Z") and datetime.fromisoformat(moment) > datetime.now(UTC)


def message(taken: Taken, direction: str) -> dict[str, Any]:
    """A message as callbacks show it: Bandwidth keeps no text of those that it sent."""
    picture = {"media": ["https://media.example/a.jpg"]} if taken.channel is Channel.MMS else {}
    tag = {"tag": taken.reference} if taken.reference else {}
    return {
        "id": taken.vendor_id,
        "time": "2026-01-15T10:00:00.000Z",
        "to": [taken.recipient],
        "from": taken.sender,
        "owner": taken.sender if direction == "out" else taken.recipient,
        "text": "",
        "applicationId": APPLICATION,
        "direction": direction,
        "segmentCount": 1,
        **picture,
        **tag,
    }


def found_message(taken: Taken) -> dict[str, Any]:
    return {
        "messageId": taken.vendor_id,
        "messageStatus": "DELIVERED",
        "messageDirection": "OUTBOUND",
        "segmentCount": 1,
        "receiveTime": "2026-01-15T10:00:00.000Z",
    }


def callback(kind: str, to: str, description: str, body: dict[str, Any]) -> HookCall:
    event = {
        "type": kind,
        "time": "2026-01-15T10:00:01.000Z",
        "description": description,
        "to": to,
        "message": body,
    }
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "BandwidthAPI/v2",
        **writing.basic(*CALLBACK_USER),
    }
    return HookCall(headers=headers, body=json.dumps([event]).encode())
