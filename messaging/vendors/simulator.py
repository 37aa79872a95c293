"""Adapter of the built-in stand-in carrier (`manage.py carrier`); docs/simulator.md describes its API."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from messaging.backoff import parse_retry_after
from messaging.types import (
    Account,
    Channel,
    Found,
    HookRequest,
    HttpRequest,
    HttpResponse,
    Inbound,
    Outcome,
    Outgoing,
    Presence,
    Report,
    SendResult,
    Status,
)
from messaging.vendors.base import Adapter, BadPayload, BadSignature, Setting, SettingsError

# Facts.
DEFAULT_BASE_URL = "http://127.0.0.1:8001/accounts/demo"
RESEND, LOOK_UP, REPORT = "resend", "look_up", "report"
CAPABILITIES = (
    (RESEND, "the same message may be sent again within 24 hours"),
    (LOOK_UP, "messages can be looked up by our reference"),
    (REPORT, "only a report tells"),
)
RESEND_WINDOW = timedelta(hours=24)
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
REFUSALS: Mapping[str, tuple[Outcome, str]] = {
    "4000": (Outcome.PERMANENT, "invalid_request"),
    "4001": (Outcome.PERMANENT, "invalid_recipient"),
    "4002": (Outcome.PERMANENT, "opted_out"),
    MMS_UNSUPPORTED: (Outcome.PERMANENT, "mms_unsupported"),
    "4010": (Outcome.CONFIGURATION, "credentials_refused"),
    "4290": (Outcome.TEMPORARY, "throttled"),
    NOT_TAKEN: (Outcome.TEMPORARY, "vendor_unavailable"),
}

# Error codes of reports that mean more than the status word beside them; others are passed on as they are.
REPORT_CODES: Mapping[str, str] = {MMS_UNSUPPORTED: "mms_unsupported"}


class Simulator(Adapter):
    key = "simulator"
    label = "Simulator"
    settings = (
        Setting("base_url", "Address of the carrier", default=DEFAULT_BASE_URL),
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

    def clean(self, values: Mapping[str, Any]) -> dict[str, str]:
        cleaned = super().clean(values)
        cleaned["base_url"] = cleaned["base_url"].rstrip("/")
        if not _is_web_address(cleaned["base_url"]):
            raise SettingsError({"base_url": "Address of the carrier must be an http or https URL"})
        return cleaned

    def resend_window(self, account: Account) -> timedelta | None:
        return RESEND_WINDOW if _capability(account) == RESEND else None

    def build(self, batch: Sequence[Outgoing], account: Account) -> HttpRequest:
        (message,) = batch
        body: dict[str, Any] = {
            "reference": message.reference,
            "idempotent": _capability(account) == RESEND,
            "channel": message.channel.value,
            "from": message.sender,
            "to": message.recipient,
            "text": message.text,
            "validity": int(message.validity),
            "hook": account.hook_url,
            "client_message": message.message_id,
        }
        if message.channel is Channel.MMS:
            body["subject"] = message.subject
            body["media"] = [{"url": file.url, "type": file.content_type} for file in message.media]
        return _request("POST", "/messages", account, body=json.dumps(body).encode())

    def parse(self, batch: Sequence[Outgoing], response: HttpResponse) -> tuple[SendResult, ...]:
        answer = _object(response.body)
        if response.status < 300:
            return (_taken(answer),)
        return (_refused(response, _part(answer, "error")),)

    def look_up(self, reference: str, account: Account) -> HttpRequest | None:
        if _capability(account) != LOOK_UP:
            return None
        return _request("GET", f"/messages?reference={quote(reference, safe='')}", account)

    def parse_look_up(self, reference: str, response: HttpResponse) -> Found:
        found = _object(response.body).get("messages")
        if response.status != 200 or not isinstance(found, list):
            return Found(Presence.CANNOT_TELL)
        if not found:
            return Found(Presence.ABSENT)
        message = found[0] if isinstance(found[0], dict) else {}
        if message.get("reference") != reference:
            return Found(Presence.CANNOT_TELL)
        # The parts of a long message differ, and only their reports tell them apart.
        report = _report(message) if message.get("parts") == 1 else None
        return Found(Presence.FOUND, _text(message, "id"), report)

    def credential_check(self, account: Account) -> HttpRequest | None:
        return _request("GET", "", account)

    def verify(self, hook: HookRequest, account: Account) -> None:
        stamp = hook.headers.get("x-carrier-timestamp", "")
        given = hook.headers.get("x-carrier-signature", "")
        if not stamp.isdecimal() or len(stamp) > 12 or abs(time.time() - int(stamp)) > SIGNATURE_AGE:
            raise BadSignature("the timestamp is missing or more than five minutes off")
        expected = signature(account.secrets.get("api_key", ""), stamp, hook.body)
        if not hmac.compare_digest(expected, given.encode()):
            raise BadSignature("the signature does not fit the body")

    def parse_hook(self, hook: HookRequest) -> Sequence[Report | Inbound]:
        body = _object(hook.body)
        if body.get("type") == "report":
            return (_report(body),)
        if body.get("type") == "inbound":
            return (_inbound(body),)
        raise BadPayload("neither a report nor an inbound message")


def signature(api_key: str, timestamp: str, body: bytes) -> bytes:
    """HMAC-SHA256 over `<timestamp>.<body>` with the account's API key, in hexadecimal."""
    return hmac.new(api_key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest().encode()


def _is_web_address(text: str) -> bool:
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname)


def _capability(account: Account) -> str:
    return str(account.settings.get("capability") or LOOK_UP)


def _request(method: str, path: str, account: Account, *, body: bytes = b"") -> HttpRequest:
    base = str(account.settings.get("base_url") or DEFAULT_BASE_URL)
    headers = {"Authorization": f"Bearer {account.secrets['api_key']}", "Accept": "application/json"}
    if body:
        headers["Content-Type"] = "application/json"
    return HttpRequest(method, f"{base}{path}", headers, body)


def _taken(answer: Mapping[str, Any]) -> SendResult:
    ids = answer.get("ids")
    if not isinstance(ids, list) or not ids:
        return SendResult(Outcome.UNKNOWN, code="unreadable_answer", text="the answer names no message")
    names = tuple(str(name) for name in ids)
    return SendResult(Outcome.TAKEN, vendor_id=names[0], part_ids=names, segments=len(names))


def _refused(response: HttpResponse, error: Mapping[str, Any]) -> SendResult:
    code = _text(error, "code")
    if code in REFUSALS:
        outcome, ours = REFUSALS[code]
    else:
        outcome, ours = _by_status(response.status)
    headers = {name.lower(): value for name, value in response.headers.items()}
    return SendResult(
        outcome,
        code=ours,
        vendor_code=code or str(response.status),
        text=_text(error, "message"),
        retry_after=parse_retry_after(headers.get("retry-after"), time.time()),
        mms_unsupported=code == MMS_UNSUPPORTED,
    )


def _by_status(status: int) -> tuple[Outcome, str]:
    """An answer without a known code: 4xx are refusals, the rest may have been taken (architecture 4)."""
    if status in (401, 403):
        return Outcome.CONFIGURATION, "credentials_refused"
    if status == 429:
        return Outcome.TEMPORARY, "throttled"
    if 400 <= status < 500:
        return Outcome.PERMANENT, "rejected_by_vendor"
    return Outcome.UNKNOWN, "vendor_fault"


def _report(body: Mapping[str, Any]) -> Report:
    word = _text(body, "status").upper()
    error = _text(body, "error")
    parts = body.get("parts")
    return Report(
        status=STATUSES.get(word, Status.UNKNOWN),
        vendor_status=word,
        vendor_id=_text(body, "id"),
        reference=_text(body, "reference"),
        part=_number(body, "part", 1),
        parts=parts if isinstance(parts, int) and parts > 0 else None,
        code=REPORT_CODES.get(error, ""),
        vendor_code=error,
        text=_text(body, "text"),
        occurred_at=_moment(body),
        mms_unsupported=error == MMS_UNSUPPORTED,
    )


def _inbound(body: Mapping[str, Any]) -> Inbound:
    channel = _text(body, "channel")
    if channel not in tuple(Channel) or not _text(body, "id"):
        raise BadPayload("an inbound message without an id or of an unknown channel")
    return Inbound(
        vendor_id=_text(body, "id"),
        sender=_text(body, "from"),
        recipient=_text(body, "to"),
        channel=Channel(channel),
        text=_text(body, "text"),
        occurred_at=_moment(body),
    )


def _object(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a body; empty when it is anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = value.get(name)
    return part if isinstance(part, dict) else {}


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    return str(text) if isinstance(text, str | int) else ""


def _number(value: Mapping[str, Any], name: str, default: int) -> int:
    number = value.get(name)
    return number if isinstance(number, int) and number > 0 else default


def _moment(value: Mapping[str, Any]) -> datetime | None:
    """The time as UTC; None for one that cannot be read or has no zone."""
    try:
        moment = datetime.fromisoformat(_text(value, "occurred_at"))
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
