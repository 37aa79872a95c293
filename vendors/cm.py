"""Adapter of CM.com: Business Messaging API, JSON gateway v1.0; status report and incoming message webhooks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from outbound.values import HttpRequest, HttpResponse
from phone import segments
from vendors import entries, meanings, reading, writing
from vendors.base import About, Adapter, BadPayload, Setting, api_address
from vendors.meanings import Meaning
from vendors.values import (
    Channel,
    Credentials,
    HookRequest,
    Inbound,
    Outcome,
    Outgoing,
    Report,
    Said,
    SendResult,
    Status,
)

# Facts.
REGIONS: Mapping[str, tuple[str, str]] = {
    "global": ("Global", "https://gw.messaging.cm.com"),
    "uk": ("United Kingdom", "https://gw-uk.cmtelecom.com"),
    "china": ("China", "https://gw-cn.cmtelecom.com"),
    "hong_kong": ("Hong Kong", "https://gw-hk.cmtelecom.com"),
    "south_africa": ("South Africa", "https://gw.cmtelecom.co.za"),
}
GLOBAL = "global"
PATH = "/v1.0/message"
MOST_PARTS = 8  # what CM's own clients ask for; a longer text is cut there unless more are asked for
ACCEPTED, REJECTED = "accepted", "rejected"  # words of a message's `status`

# `errorCode` of the request and `messageErrorCode` of a message. Nothing says that 500 and 999 took nothing.
OK, SEE_MESSAGES = "0", "201"
ERRORS: Mapping[str, Meaning] = {
    "101": meanings.CREDENTIALS_REFUSED,
    "102": meanings.NO_CREDIT,
    "103": meanings.CREDENTIALS_REFUSED,
    SEE_MESSAGES: meanings.REJECTED,  # we send one message a call: the error is about it
    "202": meanings.INVALID_REQUEST,
    "203": meanings.INVALID_REQUEST,
    "301": meanings.INVALID_SENDER,
    "302": meanings.INVALID_RECIPIENT,
    "303": meanings.INVALID_RECIPIENT,
    "304": meanings.INVALID_REQUEST,
    "305": meanings.INVALID_REQUEST,
    "401": meanings.CONTENT_REFUSED,
    "402": meanings.RECIPIENT_BLOCKED,
    "403": meanings.REJECTED,
    "500": meanings.VENDOR_FAULT,
    "999": meanings.VENDOR_FAULT,
}

# `status.code` of status reports.
STATUSES: Mapping[str, Status] = {
    "0": Status.SENT,
    "1": Status.REJECTED,
    "2": Status.DELIVERED,
    "3": Status.UNDELIVERED,
    "4": Status.DELIVERED,  # read; other channels than SMS
}
# In the description of a failed message: CM.com documents no number for it, and says so in these words alone.
_EXPIRED = re.compile(
    r"\b(message|sms|validity|validity period|ttl)( has| was| is)? expired\b|^\W*expired\b"
    r"|\bvalidity( period)?( has| was| is)? (over|passed|exceeded)\b|\bwithin (its|the) validity\b",
    re.I,
)
_FORM = "it looks like 00000000-0000-0000-0000-000000000000: copy the product token from CM.com's app"


class Cm(Adapter):
    key = "cm"
    label = "CM.com"
    settings = (
        Setting(
            "product_token",
            "Product token",
            "In CM.com's Gateway or Channels app. It travels in the body of every call.",
            secret=True,
        ),
        Setting(
            "region",
            "Gateway",
            "Which of CM.com's gateways takes the messages.",
            choices=tuple((name, label) for name, (label, _) in REGIONS.items()),
            default=GLOBAL,
        ),
        api_address(text="Only for a proxy or another gateway; empty: the gateway chosen above."),
    )
    about = About(
        inbound=frozenset({Channel.SMS}),
        proof="secret URL",
        unknown_outcome="report",
        stop="Bloomreach: the reply is passed on",
    )

    def wrong(self, values: Mapping[str, str]) -> Mapping[str, str]:
        token = values["product_token"]
        return {"product_token": _FORM} if token and not _is_guid(token) else {}

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        envelope = {
            "authentication": {"productToken": credentials.secrets["product_token"]},
            "msg": [_message(message)],
        }
        return writing.json_request("POST", f"{_base_url(credentials)}{PATH}", {"messages": envelope})

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        answer = reading.json_object(response.body)
        entry = next(iter(reading.items(answer, "messages")), {})
        code = _code(answer, entry)
        if code != OK:
            return (_refused(code, answer, entry, response),)
        return (_by_word(entry, response),)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        """CM.com signs nothing: the secret address is the proof."""

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Said]:
        body = reading.json_object(hook.body)
        if "messages" in body:
            return entries.read_each(_reported(body), _report)
        if "message" in body or "body" in body:
            return (_inbound(body),)
        raise BadPayload("neither a status report nor an incoming message")


def _is_guid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _base_url(credentials: Credentials) -> str:
    region = str(credentials.settings.get("region") or GLOBAL)
    return writing.base_url(credentials, REGIONS[region][1])


def _message(message: Outgoing) -> dict[str, Any]:
    return {
        "from": _number(message.sender),
        "to": [{"number": _number(message.recipient)}],
        "body": {"type": "auto", "content": message.text},
        "allowedChannels": ["SMS"],
        "reference": UUID(message.reference).hex,  # at most 32 letters and digits
        "minimumNumberOfMessageParts": 1,
        "maximumNumberOfMessageParts": max(MOST_PARTS, segments.count(message.text).parts),
        "validity": f"{max(1, int(message.validity // 60))}m",
    }


def _number(written: str) -> str:
    """`+` as `00`; names and short codes as they are."""
    return f"00{written[1:]}" if written.startswith("+") else written


def _code(answer: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """The code that decides: that of the message, unless the whole request was refused. "": none was given."""
    code = reading.text(answer, "errorCode")
    if code in (OK, SEE_MESSAGES, ""):
        return reading.text(entry, "messageErrorCode") or code
    return code


def _by_word(entry: Mapping[str, Any], response: HttpResponse) -> SendResult:
    """Code 0: the word beside it must say the same. CM.com gives no id; reports come under our reference."""
    word = reading.text(entry, "status").lower()
    if word == REJECTED:
        text = reading.text(entry, "messageDetails")
        return meanings.refused(meanings.REJECTED, response, vendor_code=OK, text=text)
    if word != ACCEPTED or response.status >= 300:
        return meanings.unreadable(response)
    return SendResult(Outcome.TAKEN, segments=reading.number(entry, "parts"))


def _refused(
    code: str, answer: Mapping[str, Any], entry: Mapping[str, Any], response: HttpResponse
) -> SendResult:
    if not code and response.status < 300:
        return meanings.unreadable(response)
    meaning = ERRORS.get(code) or meanings.by_status(response.status)
    text = reading.text(entry, "messageDetails") or reading.text(answer, "details")
    return meanings.refused(meaning, response, vendor_code=code, text=text)


def _reported(body: Mapping[str, Any]) -> Sequence[Any]:
    """`msg` is one object; a list is taken as well."""
    reported = entries.listed(reading.part(body, "messages"), "msg")
    if not reported:
        raise BadPayload("a status report about no message")
    return reported


def _report(entry: Mapping[str, Any]) -> Report:
    reference = reading.text(entry, "reference")
    if not reference:
        raise BadPayload("a status report without our reference (demo accounts send none)")
    told = reading.part(entry, "status")
    word = reading.text(told, "code")
    text = reading.text(told, "errorDescription")
    status = STATUSES.get(word, Status.UNKNOWN)
    if status is Status.UNDELIVERED and _EXPIRED.search(text):
        status = Status.EXPIRED
    return Report(
        status=status,
        vendor_status=word or "none",
        reference=reference,
        code="expired" if status is Status.EXPIRED else "",
        vendor_code=reading.text(told, "errorCode"),
        text=text,
    )  # `received` has no zone: the time of receipt is better


def _inbound(body: Mapping[str, Any]) -> Inbound:
    """Newer webhooks have objects, older ones plain strings in `from`, `to` and `body`."""
    sender, recipient = _party(body, "from"), _party(body, "to")
    channel = reading.text(body, "channel") or "SMS"
    if not sender or channel.upper() != "SMS":
        raise BadPayload("an incoming message without a sender, or of another channel than SMS")
    text = reading.text(reading.part(body, "message"), "text")
    text = text or reading.text(body, "message") or reading.text(body, "body")
    written = reading.text(body, "timeUtc")
    return Inbound(
        vendor_id="",  # CM.com gives none
        sender=sender,
        recipient=recipient,
        text=text,
        occurred_at=reading.moment(f"{written.removesuffix('Z')}+00:00"),
    )


def _party(body: Mapping[str, Any], name: str) -> str:
    return reading.text(reading.part(body, name), "number") or reading.text(body, name)
