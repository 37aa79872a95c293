"""Adapter of the built-in stand-in carrier (`manage.py carrier`); docs/simulator.md describes its API."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from outbound.values import HttpRequest, HttpResponse
from vendors import meanings, reading, writing
from vendors.base import About, Adapter, BadPayload, BadSignature, Setting, api_address
from vendors.meanings import Meaning
from vendors.values import (
    Channel,
    Credentials,
    Found,
    HookRequest,
    Inbound,
    Outcome,
    Outgoing,
    Presence,
    Report,
    SendResult,
    Sent,
    Status,
)

# Facts.
DEFAULT_BASE_URL = "http://127.0.0.1:8001/accounts/demo"
REPEAT, LOOK_UP, REPORT = "repeat", "look_up", "report"
CAPABILITIES = (
    (REPEAT, "the same message may be sent again within 24 hours"),
    (LOOK_UP, "messages can be looked up by our reference"),
    (REPORT, "only a report tells"),
)
REPEAT_WINDOW = timedelta(hours=24)
SIGNATURE_AGE = 300.0  # seconds between signing and receipt, either way

# Status words of reports and look-ups (the carrier writes them as SMPP does).
STATUSES: Mapping[str, Status] = {
    "ACCEPTD": Status.SENT,
    "ENROUTE": Status.SENT,
    "DELIVRD": Status.DELIVERED,
    "UNDELIV": Status.UNDELIVERED,
    "EXPIRED": Status.EXPIRED,
    "REJECTD": Status.REJECTED,
}

# Refusals of a send. All of them mean that nothing was taken, 5001 included (documented so).
NOT_TAKEN = "5001"
MMS_UNSUPPORTED = "4003"
REFUSALS: Mapping[str, Meaning] = {
    "4000": meanings.INVALID_REQUEST,
    "4001": meanings.INVALID_RECIPIENT,
    "4002": meanings.OPTED_OUT,
    MMS_UNSUPPORTED: meanings.MMS_UNSUPPORTED,
    "4010": meanings.CREDENTIALS_REFUSED,
    "4290": meanings.THROTTLED,
    NOT_TAKEN: meanings.UNAVAILABLE,
}

# Error codes of reports that mean more than the status word beside them; others are passed on as they are.
REPORT_CODES: Mapping[str, str] = {MMS_UNSUPPORTED: "mms_unsupported"}


class Simulator(Adapter):
    key = "simulator"
    label = "Simulator"
    settings = (
        api_address(DEFAULT_BASE_URL, "The account's, at the carrier."),
        Setting("api_key", "API key", "A bearer token; signs the carrier's calls to us.", secret=True),
        Setting(
            "capability",
            "When the outcome of a call is unknown",
            "What the carrier lets us do about it.",
            choices=CAPABILITIES,
            default=LOOK_UP,
        ),
    )
    channels = frozenset({Channel.SMS, Channel.MMS})
    demo_only = True
    reports_per_part = True
    absence_is_proof = True  # asked only where the capability is look_up
    about = About(
        inbound=frozenset({Channel.SMS}),
        proof="HMAC-SHA256 and timestamp",
        unknown_outcome="as its setting says",
        fallback="connector",
        stop="the carrier's scenario for numbers ending in 13",
    )

    def repeat_window(self, credentials: Credentials) -> timedelta | None:
        return REPEAT_WINDOW if _capability(credentials) == REPEAT else None

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        body: dict[str, Any] = {
            "reference": message.reference,
            "idempotent": _capability(credentials) == REPEAT,
            "channel": message.channel.value,
            "from": message.sender,
            "to": message.recipient,
            "text": message.text,
            "validity": int(message.validity),
            "hook": credentials.hook_url,
            "client_message": message.message_id,
        }
        if message.channel is Channel.MMS:
            body["subject"] = message.subject
            body["media"] = [{"url": file.url, "type": file.content_type} for file in message.media]
        return _request("POST", "/messages", credentials, body=body)

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        answer = reading.json_object(response.body)
        if response.status < 300:
            return (_taken(answer, response),)
        return (_refused(response, reading.part(answer, "error")),)

    def look_up(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        if _capability(credentials) != LOOK_UP:
            return None
        return _request("GET", f"/messages?reference={quote(sent.reference, safe='')}", credentials)

    def parse_look_up(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Found:
        found = reading.json_object(response.body).get("messages")
        if response.status != 200 or not isinstance(found, list):
            return Found(Presence.CANNOT_TELL)
        if not found:
            return Found(Presence.ABSENT)
        message = found[0] if isinstance(found[0], dict) else {}
        if message.get("reference") != sent.reference:
            return Found(Presence.CANNOT_TELL)
        # The parts of a long message differ, and only their reports tell them apart.
        report = _report(message) if message.get("parts") == 1 else None
        return Found(Presence.FOUND, reading.text(message, "id"), report)

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        return _request("GET", "", credentials)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        stamp = hook.headers.get("x-carrier-timestamp", "")
        given = hook.headers.get("x-carrier-signature", "")
        if not stamp.isdecimal() or len(stamp) > 12 or abs(time.time() - int(stamp)) > SIGNATURE_AGE:
            raise BadSignature("the timestamp is missing or more than five minutes off")
        expected = signature(credentials.secrets.get("api_key", ""), stamp, hook.body)
        if not hmac.compare_digest(expected, given.encode()):
            raise BadSignature("the signature does not fit the body")

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Report | Inbound]:
        body = reading.json_object(hook.body)
        if body.get("type") == "report":
            return (_report(body),)
        if body.get("type") == "inbound":
            return (_inbound(body),)
        raise BadPayload("neither a report nor an inbound message")


def signature(api_key: str, timestamp: str, body: bytes) -> bytes:
    """HMAC-SHA256 over `<timestamp>.<body>` with the account's API key, in hexadecimal."""
    return hmac.new(api_key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest().encode()


def _capability(credentials: Credentials) -> str:
    return str(credentials.settings.get("capability") or LOOK_UP)


def _request(
    method: str, path: str, credentials: Credentials, *, body: Mapping[str, Any] | None = None
) -> HttpRequest:
    base = writing.base_url(credentials, DEFAULT_BASE_URL)
    return writing.json_request(method, f"{base}{path}", body, writing.bearer(credentials.secrets["api_key"]))


def _taken(answer: Mapping[str, Any], response: HttpResponse) -> SendResult:
    ids = answer.get("ids")
    if not isinstance(ids, list) or not ids:
        return meanings.unreadable(response)
    names = tuple(str(name) for name in ids)
    return SendResult(Outcome.TAKEN, vendor_id=names[0], part_ids=names, segments=len(names))


def _refused(response: HttpResponse, error: Mapping[str, Any]) -> SendResult:
    code = reading.text(error, "code")
    meaning = REFUSALS.get(code) or meanings.by_status(response.status)
    return meanings.refused(meaning, response, vendor_code=code, text=reading.text(error, "message"))


def _report(body: Mapping[str, Any]) -> Report:
    word = reading.text(body, "status").upper()
    error = reading.text(body, "error")
    return Report(
        status=STATUSES.get(word, Status.UNKNOWN),
        vendor_status=word,
        vendor_id=reading.text(body, "id"),
        reference=reading.text(body, "reference"),
        part=reading.number(body, "part") or 1,
        parts=reading.number(body, "parts") or None,
        code=REPORT_CODES.get(error, ""),
        vendor_code=error,
        text=reading.text(body, "text"),
        occurred_at=reading.moment(reading.text(body, "occurred_at")),
        mms_unsupported=error == MMS_UNSUPPORTED,
    )


def _inbound(body: Mapping[str, Any]) -> Inbound:
    channel = reading.text(body, "channel")
    if channel not in tuple(Channel) or not reading.text(body, "id"):
        raise BadPayload("an inbound message without an id or of an unknown channel")
    return Inbound(
        vendor_id=reading.text(body, "id"),
        sender=reading.text(body, "from"),
        recipient=reading.text(body, "to"),
        channel=Channel(channel),
        text=reading.text(body, "text"),
        occurred_at=reading.moment(reading.text(body, "occurred_at")),
    )
