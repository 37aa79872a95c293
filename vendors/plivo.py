"""Adapter of Plivo: Message API v1; message status callbacks and incoming messages of a Plivo application."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from outbound.values import HttpRequest, HttpResponse
from vendors import meanings, reading, writing
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
    SendResult,
    Sent,
    Status,
)

# Facts.
DEFAULT_BASE_URL = "https://api.plivo.com"
LOGS = (("true", "keeps text and numbers"), ("false", "masks them"))
MOST_TEXT, MOST_UCS2_TEXT = 1600, 737  # characters
SUBACCOUNT = "SA"
FORM = "application/x-www-form-urlencoded"

# Headers of a version's signature: the account's own, the main account's, and the nonce of both.
V3 = ("x-plivo-signature-v3", "x-plivo-signature-ma-v3", "x-plivo-signature-v3-nonce")
V2 = ("x-plivo-signature-v2", "x-plivo-signature-ma-v2", "x-plivo-signature-v2-nonce")

# Plivo refuses by HTTP status alone; 5xx are not documented as "not taken".
REFUSALS: Mapping[int, Meaning] = {
    400: meanings.INVALID_REQUEST,
    401: meanings.CREDENTIALS_REFUSED,
    403: meanings.NO_ROUTE,  # the recipient's country is switched off in the account
    409: meanings.INVALID_REQUEST,
    422: meanings.INVALID_REQUEST,
}
# Words of a refusal that say more than its status. Their letter is not documented: what they miss is INVALID_REQUEST.
_NO_CREDIT = re.compile(r"insufficient\W+(credit|balance|fund)", re.I)
_NO_MMS = re.compile(
    r"\A(?=.*\bmms\b).*\b(unsupported|not (\w+[ -])?(enabled|supported|capable|available))\b", re.I | re.S
)

# Status words, of callbacks and of a message that is asked for.
STATUSES: Mapping[str, Status] = {
    "queued": Status.SENT,
    "sent": Status.SENT,  # the last word of carriers without receipts
    "delivered": Status.DELIVERED,
    "read": Status.DELIVERED,
    "undelivered": Status.UNDELIVERED,
    "failed": Status.UNDELIVERED,
    "rejected": Status.REJECTED,
}

# Error codes of callbacks: our word, and the status where it says more than "failed" or "undelivered".
REPORT_CODES: Mapping[str, tuple[str, Status | None]] = {
    "10": ("invalid_request", Status.REJECTED),
    "20": ("vendor_fault", None),  # a fault in the carrier's network
    "30": ("content_refused", None),  # taken for spam
    "40": ("invalid_sender", Status.REJECTED),
    "50": ("invalid_recipient", Status.REJECTED),
    "60": ("rejected_by_vendor", None),  # a loop
    "70": ("invalid_recipient", None),  # out of reach for good
    "80": ("unreachable", None),
    "90": ("no_route", None),
    "100": ("rejected_by_vendor", None),  # prohibited by the carrier
    "110": ("content_refused", Status.REJECTED),  # too long
    "200": ("opted_out", Status.REJECTED),
    "201": ("no_route", Status.REJECTED),  # from a US toll-free number to Canada
    "420": ("expired", Status.EXPIRED),  # not confirmed
    "900": ("no_credit", Status.REJECTED),
    "1000": ("vendor_fault", None),  # no reason given
}
# `PartInfo` of a report on one part of a message that the carrier takes in parts only. `ParentMessageUUID` is the id of
# the first part, which the answer gave for the whole.
_PART = re.compile(r"\A\s*(?P<n>[0-9]{1,3}) of (?P<all>[0-9]{1,3})\s*", re.I)
_MEDIA = re.compile(r"Media(\d{1,3})")

Pairs = Sequence[tuple[str, str]]


class Plivo(Adapter):
    key = "plivo"
    label = "Plivo"
    settings = (
        Setting("auth_id", "Auth ID", "MA… (main account) or SA… (subaccount), in Plivo's console."),
        Setting("auth_token", "Auth Token", "Of the same account. It also signs Plivo's calls.", secret=True),
        Setting(
            "main_auth_token",
            "Auth Token of the main account",
            "Only for a subaccount: Plivo may sign its calls with this one.",
            secret=True,
            required=False,
        ),
        Setting(
            "powerpack_uuid",
            "Powerpack UUID",
            "A pool of numbers that picks the sender; empty: the message's own sender is used.",
            required=False,
        ),
        Setting("log", "Plivo's logs", "What they show.", choices=LOGS, default="true"),
        api_address(DEFAULT_BASE_URL),
    )
    channels = frozenset({Channel.SMS, Channel.MMS})
    about = About(
        inbound=frozenset({Channel.SMS, Channel.MMS}),
        proof="HMAC-SHA256 and nonce; V3 over address and form, V2 over the address alone",
        unknown_outcome="report, where it is signed by V3",
        fallback="connector",
        stop="Plivo refuses later messages (opted_out); the reply is passed on as well",
    )

    def wrong(self, values: Mapping[str, str]) -> Mapping[str, str]:
        if not values["auth_id"] or re.fullmatch(r"(MA|SA)[0-9A-Za-z]{18}", values["auth_id"]):
            return {}
        return {"auth_id": "an Auth ID is MA or SA and 18 letters and digits: copy it from Plivo's console"}

    def limits(self, channel: Channel, settings: Mapping[str, Any]) -> Limits:
        """MMS go from numbers; those of a pool pick themselves."""
        if channel is Channel.SMS:
            return Limits(text=MOST_TEXT, ucs2_text=MOST_UCS2_TEXT)
        return Limits() if settings.get("powerpack_uuid") else Limits(senders=NUMBERS)

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        pool = credentials.settings.get("powerpack_uuid")
        body: dict[str, Any] = {
            **({"powerpack_uuid": pool} if pool else {"src": writing.bare(message.sender)}),
            "dst": writing.bare(message.recipient),
            "type": message.channel.value,
            "url": writing.with_query(credentials.hook_url, ref=message.reference),
            "method": "POST",
            "log": credentials.settings.get("log") or "true",
        }
        if message.text or message.channel is Channel.SMS:
            body["text"] = message.text
        if message.channel is Channel.MMS:
            body["media_urls"] = [file.url for file in message.media]
        return _request("POST", "Message/", credentials, body)

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        (message,) = batch
        answer = reading.json_object(response.body)
        if not 200 <= response.status < 300:
            return (_refused(message.channel, answer, response),)
        uuid = _first(answer.get("message_uuid"))
        if uuid:
            return (SendResult(Outcome.TAKEN, vendor_id=uuid.lower()),)
        if _first(answer.get("invalid_number")):
            return (meanings.refused(meanings.INVALID_RECIPIENT, response),)
        return (meanings.unreadable(response),)

    def poll(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        return _request("GET", f"Message/{sent.vendor_id}/", credentials) if sent.vendor_id else None

    def parse_poll(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Report | None:
        answer = reading.json_object(response.body)
        word = reading.text(answer, "message_state")
        if response.status != 200 or not word or _uuid(answer, "message_uuid") != sent.vendor_id:
            return None
        units = reading.number(answer, "units")
        return _report(sent.vendor_id, word, reading.text(answer, "error_code"), units, sent.reference)

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        return _request("GET", "", credentials)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        if _is_v3(hook.headers):
            names, text = V3, _signed_v3(hook)
        else:
            names, text = V2, _address(hook.url)
        own, main, nonce = (hook.headers.get(name, "") for name in names)
        text += f".{nonce}" if names is V3 else nonce
        fits = [_fits(given, key, text) for given, key in _claims(own, main, credentials)]
        if not nonce or not any(fits):
            raise BadSignature("no signature fits the call")

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Report | Inbound]:
        fields = dict(_fields(hook))
        uuid = _uuid(fields, "MessageUUID")
        if not uuid:
            raise BadPayload("neither a status callback nor an incoming message")
        if word := fields.get("Status"):
            # The query holds our reference, and V2 does not sign it.
            reference = hook.query.get("ref", "") if _is_v3(hook.headers) else ""
            units = reading.number(fields, "Units")
            report = _report(uuid, word, fields.get("ErrorCode", ""), units, reference)
            return (_of_part(report, fields),)
        if "Text" in fields or "Body" in fields or "MediaCount" in fields:
            return (_inbound(uuid, fields),)
        raise BadPayload("a call about a message that says nothing of it")


def _request(method: str, path: str, credentials: Credentials, body: Any = None) -> HttpRequest:
    auth_id = str(credentials.settings["auth_id"])
    base = writing.base_url(credentials, DEFAULT_BASE_URL)
    headers = writing.basic(auth_id, credentials.secrets["auth_token"])
    return writing.json_request(method, f"{base}/v1/Account/{auth_id}/{path}", body, headers)


def _first(value: Any) -> str:
    """The first text of a list."""
    first = value[0] if isinstance(value, list) and value else ""
    return first if isinstance(first, str) else ""


def _uuid(value: Any, name: str) -> str:
    return reading.text(value, name).lower()


def _refused(channel: Channel, answer: Mapping[str, Any], response: HttpResponse) -> SendResult:
    text = reading.text(answer, "error")
    meaning = REFUSALS.get(response.status) or meanings.by_status(response.status)
    if meaning is meanings.INVALID_REQUEST and _NO_CREDIT.search(text):
        meaning = meanings.NO_CREDIT
    if meaning is meanings.INVALID_REQUEST and channel is Channel.MMS and _NO_MMS.search(text):
        meaning = meanings.MMS_UNSUPPORTED
    return meanings.refused(meaning, response, text=text)


def _is_v3(headers: Mapping[str, str]) -> bool:
    """Whether the call claims to be signed by V3: then nothing less will do."""
    return V3[0] in headers or V3[1] in headers


def _claims(own: str, main: str, credentials: Credentials) -> Iterable[tuple[str, str]]:
    """Each signature with the token that must have made it. A main account has one token for both."""
    token = credentials.secrets.get("auth_token", "")
    is_main = not str(credentials.settings.get("auth_id", "")).startswith(SUBACCOUNT)
    main_token = token if is_main else credentials.secrets.get("main_auth_token", "")
    return [(given, key) for given, key in ((own, token), (main, main_token)) if key]


def _fits(given: str, key: str, text: str) -> bool:
    """Whether one of the signatures, with commas between them, is that of the text."""
    digest = hmac.digest(key.encode(), text.encode("utf-8", "replace"), "sha256")
    expected = base64.b64encode(digest)
    offered = [one.strip().encode("utf-8", "replace") for one in given.split(",")]
    return any([hmac.compare_digest(expected, one) for one in offered])


def _address(url: str) -> str:
    """Scheme, host and path: what V2 covers."""
    return urlunsplit(urlsplit(url)._replace(query="", fragment=""))


def _signed_v3(hook: HookRequest) -> str:
    """The address; its query as sorted `name=value`; the form's names and values, sorted. (The nonce follows.)"""
    query = parse_qsl(urlsplit(hook.url).query, keep_blank_values=True, errors="replace")
    asked = "&".join(f"{name}={value}" for name, value in sorted(query))
    if hook.method == "POST" and (form := _fields(hook)):
        posted = "".join(name + value for name, value in sorted(form))
        return f"{_address(hook.url)}?{asked}{'.' if asked else ''}{posted}"
    return f"{_address(hook.url)}?{asked}" if asked else _address(hook.url)


def _fields(hook: HookRequest) -> Pairs:
    """The pairs of a form; of a GET those of the query; of anything else none."""
    if hook.method == "GET":
        return list(hook.query.items())
    if not hook.headers.get("content-type", FORM).lower().startswith(FORM):
        return []
    return parse_qsl(hook.body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace")


def _report(uuid: str, word: str, error: str, units: int | None, reference: str) -> Report:
    """`error` has a meaning only where the message failed. Plivo's times have no zone, so none is given."""
    status = STATUSES.get(word.lower(), Status.UNKNOWN)
    error = error if status in (Status.UNDELIVERED, Status.REJECTED) else ""
    code, more = REPORT_CODES.get(error, ("", None))
    return Report(
        status=more or status,
        vendor_status=word,
        vendor_id=uuid,
        reference=reference,
        code=code,
        vendor_code=error,
        segments=units or None,
    )


def _of_part(report: Report, fields: Mapping[str, str]) -> Report:
    """The report as one on a part, where it is; found by the id of the whole."""
    report = replace(report, vendor_id=_uuid(fields, "ParentMessageUUID") or report.vendor_id)
    told = _PART.fullmatch(fields.get("PartInfo", ""))
    if told is None or not int(told["all"]) > 1 or not 1 <= int(told["n"]) <= int(told["all"]):
        return report
    return replace(report, part=int(told["n"]), parts=int(told["all"]), segments=None)


def _inbound(uuid: str, fields: Mapping[str, str]) -> Inbound:
    """An MMS has `Body` where an SMS has `Text`; its media are counted from 1, from 0 in older calls."""
    numbered = sorted((int(found[1]), name) for name in fields if (found := _MEDIA.fullmatch(name)))
    media = tuple(Media(fields[name]) for _, name in numbered if fields[name])
    is_mms = bool(media) or fields.get("Type", "").lower() == "mms"
    return Inbound(
        vendor_id=uuid,
        sender=fields.get("From", ""),
        recipient=fields.get("To", ""),
        channel=Channel.MMS if is_mms else Channel.SMS,
        text=fields.get("Text") or fields.get("Body") or "",
        media=media,
    )
