"""Telnyx Messaging API v2 ("Send a message", "Receiving webhooks for messaging", "Messaging error code reference")."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from outbound import retry_after
from outbound.values import HttpRequest, HttpResponse
from phone import segments
from vendors import entries, meanings, reading, writing
from vendors.base import About, Adapter, BadPayload, BadSignature, Setting, api_address
from vendors.limits import NUMBERS, Limits
from vendors.meanings import Meaning
from vendors.values import (
    Channel,
    Credentials,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Outgoing,
    Report,
    Said,
    SendResult,
    Sent,
    Status,
)

# Facts.
DEFAULT_BASE_URL = "https://api.telnyx.com/v2"
REPEAT_WINDOW = timedelta(hours=24)  # an answer of success is replayed that long under its Idempotency-Key
SIGNATURE_AGE = 300.0  # seconds between signing and receipt, either way
MOST_FILES = 10
INBOUND = "message.received"
LINK_CLICK = "message.link_click"  # somebody opened a shortened address: nothing about delivery
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

# `to[].status` of reports and of the message itself.
STATUSES: Mapping[str, Status] = {
    "scheduled": Status.SENT,
    "queued": Status.SENT,
    "sending": Status.SENT,
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.DELIVERED,
    "sending_failed": Status.UNDELIVERED,  # REJECTED when Telnyx itself refused it: `_status`
    "delivery_failed": Status.UNDELIVERED,
    "expired": Status.EXPIRED,
    "cancelled": Status.REJECTED,
    "delivery_unconfirmed": Status.SENT,  # no receipt came: it says nothing either way
}

# Refusals by Telnyx, at once or in a report. The HTTP status that goes with a code is documented for few of them.
REFUSALS: Mapping[str, Meaning] = {
    "10001": meanings.INVALID_RECIPIENT,  # or the sender: the error's pointer tells
    "10002": meanings.INVALID_RECIPIENT,  # likewise
    "10005": meanings.INVALID_REQUEST,
    "10007": meanings.VENDOR_FAULT,
    "10008": meanings.VENDOR_FAULT,  # it took too long: it may have been taken
    "10009": meanings.CREDENTIALS_REFUSED,
    "10010": meanings.CREDENTIALS_REFUSED,
    "10011": meanings.THROTTLED,
    "10012": meanings.DUPLICATE,
    "10015": meanings.INVALID_REQUEST,
    "10016": meanings.INVALID_RECIPIENT,  # likewise
    "40100": meanings.INVALID_SENDER,  # not enabled for messaging
    "40300": meanings.OPTED_OUT,
    "40302": meanings.INVALID_REQUEST,
    "40303": meanings.INVALID_REQUEST,
    "40304": meanings.INVALID_REQUEST,
    "40305": meanings.INVALID_SENDER,
    "40306": meanings.INVALID_SENDER,
    "40307": meanings.INVALID_SENDER,
    "40308": meanings.MMS_UNSUPPORTED,  # by the sender
    "40309": meanings.NO_ROUTE,
    "40310": meanings.INVALID_RECIPIENT,
    "40312": meanings.ACCOUNT_BLOCKED,  # the messaging profile is disabled
    "40314": meanings.ACCOUNT_BLOCKED,
    "40315": meanings.INVALID_SENDER,  # blocked for too many failures or complaints
    "40316": meanings.INVALID_REQUEST,
    "40317": meanings.MEDIA_REFUSED,
    "40318": meanings.THROTTLED,  # the queue is full
    "40319": meanings.NO_ROUTE,  # not from this kind of sender to this kind of number
    "40320": meanings.UNAVAILABLE,  # the sender is being moved
    "40321": meanings.INVALID_SENDER,  # the number pool is empty
    "40322": meanings.CONTENT_REFUSED,
    "40325": meanings.REJECTED,
    "40329": meanings.SENDER_NOT_REGISTERED,  # toll-free number without verification
    "40330": meanings.SENDER_NOT_REGISTERED,
    "40331": meanings.NO_ROUTE,  # no country is allowed on the profile
    "40333": meanings.NO_CREDIT,  # the spending limit is reached
}

# Error codes of reports beside those above.
REPORT_CODES: Mapping[str, str] = {code: meaning.code for code, meaning in REFUSALS.items()} | {
    "40001": "no_route",  # a landline, mostly
    "40002": "content_refused",
    "40003": "content_refused",
    "40004": "rejected_by_vendor",  # by the carrier, which gave no reason
    "40005": "expired",
    "40006": "vendor_fault",  # the recipient's carrier is down
    "40008": "unreachable",
    "40009": "invalid_request",
    "40010": "sender_not_registered",
    "40011": "throttled",
    "40012": "invalid_recipient",
    "40013": "invalid_sender",
    "40014": "expired",  # in Telnyx's own queue, as `sending_failed`
    "40015": "content_refused",
    "40016": "throttled",
    "40017": "content_refused",
    "40018": "throttled",
    "40019": "invalid_request",
    "40020": "recipient_blocked",  # for 24 hours, against traffic inflation
}


class Telnyx(Adapter):
    key = "telnyx"
    label = "Telnyx"
    settings = (
        Setting("api_key", "API key", "Portal, API keys; begins with KEY.", secret=True),
        Setting("public_key", "Public key", "Portal, Keys & credentials; proves Telnyx's calls to us."),
        Setting(
            "messaging_profile_id",
            "Messaging profile ID",
            "Needed only to send from a name instead of a number.",
            required=False,
        ),
        api_address(DEFAULT_BASE_URL),
    )
    channels = frozenset({Channel.SMS, Channel.MMS})
    about = About(
        inbound=frozenset({Channel.SMS, Channel.MMS}),
        proof="Ed25519 and timestamp",
        unknown_outcome="the same call again, within 24 h",
        fallback="connector",
        stop="Telnyx, by the messaging profile's keywords",
    )

    def wrong(self, values: Mapping[str, str]) -> Mapping[str, str]:
        problems: dict[str, str] = {}
        if values["public_key"] and _public_key(values["public_key"]) is None:
            problems["public_key"] = "Public key must be the base64 text of 32 bytes; copy it from the portal"
        if values["messaging_profile_id"] and not UUID.fullmatch(values["messaging_profile_id"]):
            problems["messaging_profile_id"] = "Messaging profile ID must be a UUID; copy it from the portal"
        return problems

    def limits(self, channel: Channel, settings: Mapping[str, Any]) -> Limits:
        """A name sends SMS alone, and only with a messaging profile."""
        if channel is Channel.MMS:
            return Limits(files=MOST_FILES, senders=NUMBERS)
        return Limits() if settings.get("messaging_profile_id") else Limits(senders=NUMBERS)

    def repeat_window(self, credentials: Credentials) -> timedelta | None:
        return REPEAT_WINDOW

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        body: dict[str, Any] = {
            "from": message.sender,
            "to": message.recipient,
            "type": message.channel.value.upper(),
            "webhook_url": writing.with_query(credentials.hook_url, ref=message.reference),
            "use_profile_webhooks": False,  # else each report comes twice
        }
        if message.text:
            body["text"] = message.text
        if _is_name(message.sender) and credentials.settings.get("messaging_profile_id"):
            body["messaging_profile_id"] = credentials.settings["messaging_profile_id"]
        if message.channel is Channel.MMS:
            body |= _mms(message)
        elif segments.count(message.text).encoding == "UCS2":
            body["encoding"] = "ucs2"  # by default letters would be replaced by others that look alike
        return _request("POST", "/messages", credentials, body, {"Idempotency-Key": message.reference})

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        answer = reading.json_object(response.body)
        if 200 <= response.status < 300:
            return (_taken(reading.part(answer, "data"), response),)
        return (_refused(_first(answer), response),)

    def poll(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        """Telnyx knows a message for ten days."""
        return _request("GET", f"/messages/{quote(sent.vendor_id, safe='')}", credentials)

    def parse_poll(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Report | None:
        message = reading.part(reading.json_object(response.body), "data")
        if response.status != 200 or reading.text(message, "id") != sent.vendor_id:
            return None
        moment = reading.moment(reading.text(message, "completed_at"))
        reports = _reports(message, reference=sent.reference, moment=moment)
        return reports[0] if reports else None

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        return _request("GET", "/balance", credentials)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        stamp = hook.headers.get("telnyx-timestamp", "")
        if not stamp.isdecimal() or len(stamp) > 12 or abs(time.time() - int(stamp)) > SIGNATURE_AGE:
            raise BadSignature("the timestamp is missing or more than five minutes off")
        key = _public_key(str(credentials.settings.get("public_key") or ""))
        if key is None:
            raise BadSignature("the account has no public key to check the signature with")
        try:
            given = base64.b64decode(hook.headers.get("telnyx-signature-ed25519", ""), validate=True)
            key.verify(given, stamp.encode() + b"|" + hook.body)
        except (ValueError, InvalidSignature):
            raise BadSignature("the signature does not fit the body") from None

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Said]:
        event = reading.part(reading.json_object(hook.body), "data")
        kind, message = reading.text(event, "event_type"), reading.part(event, "payload")
        if kind.startswith(LINK_CLICK):
            return ()
        if not kind.startswith("message.") or not reading.text(message, "id"):
            raise BadPayload("not an event about a message")
        moment = reading.moment(reading.text(event, "occurred_at"))
        if kind == INBOUND:
            return (_inbound(message, moment),)
        told = entries.listed(message, "to")
        if not told:
            raise BadPayload("a report without a recipient")
        reference = hook.query.get("ref", "")
        return entries.read_each(told, lambda one: _report(one, message, reference=reference, moment=moment))


def _request(
    method: str,
    path: str,
    credentials: Credentials,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpRequest:
    base = writing.base_url(credentials, DEFAULT_BASE_URL)
    given = {**writing.bearer(credentials.secrets["api_key"]), **(headers or {})}
    return writing.json_request(method, f"{base}{path}", body, given)


def _mms(message: Outgoing) -> dict[str, Any]:
    parts: dict[str, Any] = {"media_urls": [file.url for file in message.media]}
    return parts | ({"subject": message.subject} if message.subject else {})


def _is_name(sender: str) -> bool:
    return not sender.removeprefix("+").isdecimal()


def _public_key(text: str) -> Ed25519PublicKey | None:
    """The account's key; None for a text that is none."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:
        return None


def _taken(message: Mapping[str, Any], response: HttpResponse) -> SendResult:
    vendor_id = reading.text(message, "id")
    if not vendor_id:
        return meanings.unreadable(response)
    return SendResult(Outcome.TAKEN, vendor_id=vendor_id, segments=reading.number(message, "parts") or None)


def _first(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first error of an answer or a message; empty when there is none."""
    return next(iter(reading.items(answer, "errors")), {})


def _refused(error: Mapping[str, Any], response: HttpResponse) -> SendResult:
    code = reading.text(error, "code")
    meaning = REFUSALS.get(code) or _by_status(response.status, code)
    if meaning is meanings.INVALID_RECIPIENT and "from" in reading.text(
        reading.part(error, "source"), "pointer"
    ):
        meaning = meanings.INVALID_SENDER
    # The title alone: the detail may name numbers.
    result = meanings.refused(meaning, response, vendor_code=code, text=reading.text(error, "title"))
    if response.status == 429 and result.retry_after is None:
        reset = retry_after.seconds_of(reading.header(response, "x-ratelimit-reset"), time.time())
        return replace(result, retry_after=reset)
    return result


def _by_status(status: int, code: str) -> Meaning:
    if status in (408, 409):
        return meanings.VENDOR_FAULT  # too late, or the same call is still at work: the same bytes will tell
    if status == 403 and code:
        return meanings.REJECTED  # about this one message
    return meanings.by_status(status)


def _status(word: str, code: str) -> Status:
    status = STATUSES.get(word, Status.UNKNOWN)
    if status is not Status.UNDELIVERED:
        return status
    if REPORT_CODES.get(code) == "expired":
        return Status.EXPIRED
    refused = word == "sending_failed" and code.startswith("403")
    return Status.REJECTED if refused else status


def _reports(message: Mapping[str, Any], *, reference: str, moment: datetime | None) -> tuple[Report, ...]:
    """One for each recipient; we send to one."""
    recipients = reading.items(message, "to")
    return tuple(_report(one, message, reference=reference, moment=moment) for one in recipients)


def _report(recipient: Any, message: Mapping[str, Any], *, reference: str, moment: datetime | None) -> Report:
    if not isinstance(recipient, dict):
        raise BadPayload("a recipient that is no JSON object")
    error = _first(message)
    word, code = reading.text(recipient, "status").lower(), reading.text(error, "code")
    kind = reading.text(message, "type").lower()
    return Report(
        status=_status(word, code),
        vendor_status=word,
        vendor_id=reading.text(message, "id"),
        reference=reference,
        code=REPORT_CODES.get(code, ""),
        vendor_code=code,
        text=reading.text(error, "title"),
        segments=reading.number(message, "parts") or None,
        occurred_at=moment,
        mms_unsupported=REFUSALS.get(code) is meanings.MMS_UNSUPPORTED,
        sent_as=Channel(kind) if kind in tuple(Channel) else None,
    )


def _inbound(message: Mapping[str, Any], moment: datetime | None) -> Inbound:
    recipient = next(iter(reading.items(message, "to")), {})
    media = tuple(
        Media(reading.text(file, "url"), reading.text(file, "content_type"))
        for file in reading.items(message, "media")
        if reading.text(file, "url")
    )
    is_mms = bool(media) or reading.text(message, "type").lower() == Channel.MMS
    return Inbound(
        vendor_id=reading.text(message, "id"),
        sender=reading.text(reading.part(message, "from"), "phone_number"),
        recipient=reading.text(recipient, "phone_number"),
        channel=Channel.MMS if is_mms else Channel.SMS,
        text=reading.text(message, "text"),
        media=media,
        occurred_at=reading.moment(reading.text(message, "received_at")) or moment,
    )
