"""LINK Mobility, platform "Common": SMS REST API, MT and Delivery Reports (manual v1.6; v2.4 in part)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from outbound.values import HttpRequest, HttpResponse
from vendors import meanings, reading, writing
from vendors.base import About, Adapter, BadPayload, Setting, api_address
from vendors.limits import Limits
from vendors.meanings import Meaning
from vendors.values import (
    Channel,
    Credentials,
    HookReply,
    HookRequest,
    Inbound,
    Outcome,
    Outgoing,
    Report,
    SendResult,
    Status,
)

# Facts.
HOSTS: Mapping[str, str] = {
    "n-eu": "https://n-eu.linkmobility.io/sms",
    "c-eu": "https://c-eu.linkmobility.io/sms",
    "s-eu": "https://s-eu.linkmobility.io/sms",
    "no": "https://no.linkmobility.io/sms",
    "deb": "https://deb.linkmobility.io/sms",
    "wsx": "https://wsx.sp247.net/sms",
}
LEAST_VALIDITY, MOST_VALIDITY = 15 * 60, 48 * 3600  # seconds
SHORT_NUMBER = re.compile(r"[0-9]{1,14}")
NAME = "[^0-9].{1,10}"
PART = re.compile(r"\A(?P<id>.+)\$(?P<n>[0-9]{1,3})")  # the id of one part of a long message, counted from 0

# `resultCode` of the answer to a send.
TAKEN = (1000, 1005, 1008, 1011, 1012)  # 1005 queued; the others say that it is further on its way
REFUSALS: Mapping[int, Meaning] = {
    106000: meanings.UNAVAILABLE,  # "unknown error"; in a 2xx or 5xx it may have been taken
    106100: meanings.CREDENTIALS_REFUSED,
    106101: meanings.CREDENTIALS_REFUSED,
    106200: meanings.CREDENTIALS_REFUSED,  # platform id: issued with the password, wrong for every message
    106201: meanings.CREDENTIALS_REFUSED,  # platform partner id, likewise
    106202: meanings.INVALID_REQUEST,  # currency of a premium message
    106300: meanings.CREDENTIALS_REFUSED,  # the account has no gate: wrong for every message
    106301: meanings.CREDENTIALS_REFUSED,  # that gate is not the account's
}

# `resultCode` of a report: what it means, our code for it, and the manual's meaning in short.
REPORTS: Mapping[int, tuple[Status, str, str]] = {
    0: (Status.UNDELIVERED, "vendor_fault", "unknown error"),
    1: (Status.UNDELIVERED, "no_route", "temporary routing error"),
    2: (Status.UNDELIVERED, "no_route", "permanent routing error"),
    3: (Status.UNDELIVERED, "throttled", "throttled"),
    4: (Status.SENT, "", "timeout"),  # says nothing either way, as do 5 and 1010
    5: (Status.SENT, "", "unknown error at the operator"),
    6: (Status.UNDELIVERED, "vendor_fault", "error at the operator"),
    104: (Status.UNDELIVERED, "vendor_fault", "configuration error"),
    105: (Status.UNDELIVERED, "vendor_fault", "internal error"),
    1000: (Status.SENT, "", "sent"),
    1001: (Status.DELIVERED, "", "delivered"),
    1002: (Status.EXPIRED, "expired", "expired"),
    1004: (Status.UNDELIVERED, "unreachable", "handset full"),
    1005: (Status.SENT, "", "queued"),
    1006: (Status.UNDELIVERED, "", "not delivered"),
    1007: (Status.DELIVERED, "", "delivered"),
    1008: (Status.SENT, "", "billed and sent"),
    1009: (Status.UNDELIVERED, "", "not delivered"),
    1010: (Status.SENT, "", "no receipt of the operator in time"),
    1011: (Status.SENT, "", "sent"),
    1012: (Status.SENT, "", "delayed"),
    2104: (Status.UNDELIVERED, "invalid_recipient", "unknown subscriber"),
    2105: (Status.UNDELIVERED, "recipient_blocked", "subscriber barred"),
    2106: (Status.UNDELIVERED, "invalid_recipient", "error in the number"),
    2107: (Status.UNDELIVERED, "recipient_blocked", "subscriber temporarily barred"),
}
# Ranges of codes that mean the same.
RANGES: Sequence[tuple[range, tuple[Status, str, str]]] = (
    (range(2200, 2300), (Status.REJECTED, "rejected_by_vendor", "charging refused")),
    (range(3000, 3003), (Status.REJECTED, "content_refused", "encoding not supported")),
    (range(4000, 4008), (Status.REJECTED, "content_refused", "content not supported")),
)


class LinkMobility(Adapter):
    key = "link_mobility"
    label = "LINK Mobility"
    settings = (
        Setting(
            "region",
            "Platform",
            "The host that LINK's support names for the account.",
            choices=tuple((name, url.split("/")[2]) for name, url in HOSTS.items()),
        ),
        Setting("username", "User name", "From LINK's support."),
        Setting("password", "Password", "From LINK's support.", secret=True),
        Setting("platform_id", "Platform ID", "From LINK's support (platformId)."),
        Setting("platform_partner_id", "Platform partner ID", "From LINK's support (platformPartnerId)."),
        Setting(
            "gate_id", "Gate ID", "The gate for delivery reports, to which support ties our hook address."
        ),
        Setting(
            "gate_reply",
            "Reply to reports",
            "Only if the gate is set up to expect certain words in our answer.",
            required=False,
        ),
        api_address(text="Only for a proxy or another platform; empty: the platform chosen above."),
    )
    about = About(stop="nobody; arranged with LINK's support")

    def limits(self, channel: Channel, settings: Mapping[str, Any]) -> Limits:
        return Limits(names=NAME)

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        base = writing.base_url(credentials, HOSTS[credentials.settings["region"]])
        seconds = min(max(message.validity, LEAST_VALIDITY), MOST_VALIDITY)
        body = {
            "source": message.sender,
            "sourceTON": _type_of(message.sender),
            "destination": message.recipient,
            "destinationTON": "MSISDN",
            "dcs": "TEXT",  # LINK chooses the alphabet and splits
            "userData": message.text,
            "refId": message.reference,
            "platformId": credentials.settings["platform_id"],
            "platformPartnerId": credentials.settings["platform_partner_id"],
            "useDeliveryReport": True,
            "deliveryReportGates": [credentials.settings["gate_id"]],
            "relativeValidityTime": int(seconds * 1000),
            "ignoreResponse": False,  # otherwise the answer may come without an id
            "customParameters": {"replySmsCount": "true"},
        }
        headers = writing.basic(credentials.settings["username"], credentials.secrets["password"])
        return writing.json_request("POST", f"{base}/send", body, headers)

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        answer = reading.json_object(response.body)
        code, vendor_id = reading.number(answer, "resultCode"), reading.text(answer, "messageId")
        if response.status < 300 and vendor_id and code in TAKEN:
            parts = reading.number(answer, "smsCount")
            return (SendResult(Outcome.TAKEN, vendor_id=vendor_id, segments=parts),)
        meaning = _meaning(response, code)
        if meaning is None:
            return (meanings.unreadable(response),)
        words = reading.text(answer, "description")
        return (meanings.refused(meaning, response, vendor_code=str(code or ""), text=words),)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        """LINK signs nothing: the secret address is the proof."""

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Report | Inbound]:
        body = reading.json_object(hook.body)
        known = reading.text(body, "id") or reading.text(body, "refId")
        if not known or not reading.text(body, "resultCode"):
            raise BadPayload("no delivery report in JSON")
        return (_report(body),)

    def hook_reply(self, credentials: Credentials) -> HookReply:
        return HookReply(body=str(credentials.settings.get("gate_reply") or "").encode())


def _type_of(sender: str) -> str:
    if sender.startswith("+"):
        return "MSISDN"
    return "SHORTNUMBER" if SHORT_NUMBER.fullmatch(sender) else "ALPHANUMERIC"


def _meaning(response: HttpResponse, code: int | None) -> Meaning | None:
    """None: a yes that is none. A refusal in a 5xx is not believed, nor is an unknown error in a yes."""
    refusal = REFUSALS.get(code or 0)
    if response.status < 300:
        return meanings.VENDOR_FAULT if refusal is meanings.UNAVAILABLE else refusal
    if refusal and 400 <= response.status < 500:
        return refusal
    return meanings.by_status(response.status)


def _report(body: Mapping[str, Any]) -> Report:
    word = reading.text(body, "resultCode")
    status, code, words = _said(reading.number(body, "resultCode"))
    vendor_id, segments = reading.text(body, "id"), reading.number(body, "segments")
    part, parts = 1, None
    if one := PART.fullmatch(vendor_id):
        vendor_id, part = one["id"], int(one["n"]) + 1
        # What `segments` counts in the report on one part is not documented: a number that can be the whole is it.
        parts, segments = (segments if segments and segments >= part else None), None
    return Report(
        status=status,
        vendor_status=word,
        vendor_id=vendor_id,
        reference=reading.text(body, "refId"),
        part=part,
        parts=parts,
        code=code,
        vendor_code=reading.text(body, "operatorResultCode"),
        text=words,
        segments=segments,
        occurred_at=reading.moment(reading.text(body, "timestamp")),
    )


def _said(code: int | None) -> tuple[Status, str, str]:
    if code is None:
        return Status.UNKNOWN, "", ""
    ranged = (meaning for codes, meaning in RANGES if code in codes)
    return REPORTS.get(code) or next(ranged, (Status.UNKNOWN, "", ""))
