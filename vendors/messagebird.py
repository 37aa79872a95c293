"""Adapter of MessageBird (Bird): the classic REST API at rest.messagebird.com, `/messages` (SMS) and `/mms`."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import jwt

from outbound.values import HttpRequest, HttpResponse
from phone import segments
from vendors import meanings, reading, writing
from vendors.base import About, Adapter, BadPayload, BadSignature, Setting, api_address
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
DEFAULT_BASE_URL = "https://rest.messagebird.com"
PATHS: Mapping[Channel, str] = {Channel.SMS: "/messages", Channel.MMS: "/mms"}
SIGNATURE = "messagebird-signature-jwt"
ALGORITHMS = ["HS256", "HS384", "HS512"]
ISSUER = "MessageBird"
LEEWAY = 1.0  # seconds by which clocks may differ; a signature is good for about a minute

# `errors[].code`. Nothing says that an internal error (99) took nothing.
ERRORS: Mapping[str, Meaning] = {
    "2": meanings.CREDENTIALS_REFUSED,
    "9": meanings.INVALID_REQUEST,
    "10": meanings.INVALID_REQUEST,
    "20": meanings.REJECTED,
    "21": meanings.INVALID_REQUEST,
    "25": meanings.NO_CREDIT,
    "98": meanings.INVALID_REQUEST,
    "99": meanings.VENDOR_FAULT,
}
# `errors[].parameter`, which says what an invalid request is invalid for.
PARAMETERS: Mapping[str, Meaning] = {
    "recipients": meanings.INVALID_RECIPIENT,
    "originator": meanings.INVALID_SENDER,
    "mediaUrls": meanings.MEDIA_REFUSED,
}

# `status` of reports.
STATUSES: Mapping[str, Status] = {
    "scheduled": Status.SENT,
    "sent": Status.SENT,
    "buffered": Status.SENT,  # the network keeps trying
    "delivered": Status.DELIVERED,
    "expired": Status.EXPIRED,
    "delivery_failed": Status.UNDELIVERED,
}
# `statusErrorCode` of a failed one: what it comes to, our code. 1 to 34 are GSM's numbers; Bird lists 1 to 12 under
# "unknown subscriber".
ERROR_CODES: Mapping[str, tuple[Status, str]] = {
    **dict.fromkeys(("1", "2", "3", "5", "9", "10", "11", "12"), (Status.UNDELIVERED, "invalid_recipient")),
    **dict.fromkeys(("6", "27", "31", "32", "33"), (Status.UNDELIVERED, "unreachable")),
    "34": (Status.UNDELIVERED, "vendor_fault"),
    "103": (Status.REJECTED, "opted_out"),
}
# `statusReason` where no such number is given: words in it, what it comes to, our code.
REASONS: Mapping[str, tuple[Status, str]] = {
    "dlr not received": (Status.SENT, ""),  # the network took it and told no more
    "opted out": (Status.REJECTED, "opted_out"),
    "optedout": (Status.REJECTED, "opted_out"),
    "carrier rejected": (Status.REJECTED, "rejected_by_vendor"),
    "insufficient balance": (Status.REJECTED, "no_credit"),
    "incorrect number": (Status.UNDELIVERED, "invalid_recipient"),
    "unknown subscriber": (Status.UNDELIVERED, "invalid_recipient"),
    "unavailable subscriber": (Status.UNDELIVERED, "unreachable"),
    "received network error": (Status.UNDELIVERED, "vendor_fault"),
    "expired": (Status.EXPIRED, "expired"),
}

# Names of an inbound message's fields, in small letters: numbers, then short codes, whose own fields count more.
SHORT_CODE = "shortcode"
TEXTS, MEDIA = ("body", "message"), ("mediaurls", "mediaurls[]")
TIMES = ("createddatetime", "receive_datetime")
SHORT_CODE_TIME = "%Y%m%d%H%M%S"  # in UTC


class MessageBird(Adapter):
    key = "messagebird"
    label = "MessageBird (Bird)"
    settings = (
        Setting("access_key", "Access key", "Dashboard, Developers, API access: a live key.", secret=True),
        Setting(
            "signing_key",
            "Signing key",
            "Dashboard, Developers, API settings. Once filled in, every call to us must be signed with it.",
            secret=True,
            required=False,
        ),
        api_address(DEFAULT_BASE_URL),
    )
    channels = frozenset({Channel.SMS, Channel.MMS})
    proof_age = timedelta(minutes=1)  # Bird's own choice: each signature says until when it is good
    about = About(
        inbound=frozenset({Channel.SMS, Channel.MMS}),
        proof="JWT over address and body where a signing key is set, else the secret URL",
        fallback="connector",
        stop="the sender, unless a flow at the vendor does",
    )

    def wrong(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """A key is one word: with the scheme before it, it would be refused with every message."""
        text = "A key has no blanks: paste the key alone, without AccessKey before it"
        return {name: text for name in ("access_key", "signing_key") if " " in values[name]}

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        body = {
            "originator": writing.bare(message.sender),
            "recipients": [writing.bare(message.recipient)],
            "body": message.text,
            "reference": message.reference,  # without one no report ever comes
            **(_mms(message) if message.channel is Channel.MMS else _sms(message, credentials)),
        }
        return _request("POST", PATHS[message.channel], credentials, body)

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        answer = reading.json_object(response.body)
        if response.status >= 300:
            return (_refused(response, answer),)
        vendor_id = reading.text(answer, "id").lower()
        if not vendor_id:
            return (meanings.unreadable(response),)
        parts = reading.number(_recipient(answer), "messagePartCount")
        return (SendResult(Outcome.TAKEN, vendor_id=vendor_id, segments=parts),)

    def poll(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        if not sent.vendor_id:
            return None
        return _request("GET", f"{PATHS[sent.channel]}/{quote(sent.vendor_id, safe='')}", credentials)

    def parse_poll(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Report | None:
        answer = reading.json_object(response.body)
        recipient = _recipient(answer)
        vendor_id = reading.text(answer, "id").lower()
        if response.status != 200 or vendor_id != sent.vendor_id or not reading.text(recipient, "status"):
            return None
        return _report({**recipient, "id": vendor_id, "reference": reading.text(answer, "reference")})

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        return _request("GET", "/balance", credentials)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        key = credentials.secrets.get("signing_key", "")
        if not key:
            return  # the address is the proof
        claims = _claims(hook.headers.get(SIGNATURE, ""), key)
        since, until, now = claims.get("nbf"), claims.get("exp"), time.time()
        if not isinstance(since, int | float) or not isinstance(until, int | float):
            raise BadSignature("the signature does not say how long it is good")
        if not since - LEEWAY <= now <= until + LEEWAY:
            raise BadSignature("the signature is too old, or of a time to come")
        expected = {"iss": ISSUER, "url_hash": _sha256(hook.url.encode())}
        expected["payload_hash"] = _sha256(hook.body) if hook.body else ""
        for name, value in expected.items():
            if not hmac.compare_digest(str(claims.get(name) or "").encode(), value.encode()):
                raise BadSignature(f"the signature is of another {name}")

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Report | Inbound]:
        # Reports come as GET with all of it in the query; inbound messages as that, a form, or JSON.
        body = reading.json_object(hook.body) if hook.method == "POST" else {}
        fields = body or reading.form(hook)
        named = {name.lower(): value for name, value in fields.items()}
        if not reading.text(named, "id") and not reading.text(named, "mid"):
            raise BadPayload("a call without the id of a message")
        has_content = any(name in named for name in (*TEXTS, *MEDIA))
        word = reading.text(fields, "status")
        if word.lower() in STATUSES or (word and not has_content):
            return (_report(fields),)
        if has_content:
            return (_inbound(named, tuple(Media(url) for url in _urls(hook, body) if url)),)
        raise BadPayload("neither a report nor an inbound message")


def _request(method: str, path: str, credentials: Credentials, body: Any = None) -> HttpRequest:
    base = writing.base_url(credentials, DEFAULT_BASE_URL)
    headers = {"Authorization": f"AccessKey {credentials.secrets['access_key']}"}
    if body is not None:
        headers["Content-Type"] = "application/json; charset=UTF-8"
    return writing.json_request(method, f"{base}{path}", body, headers)


def _sms(message: Outgoing, credentials: Credentials) -> dict[str, Any]:
    needs_unicode = segments.count(message.text).encoding == "UCS2"
    return {
        "datacoding": "unicode" if needs_unicode else "plain",
        "reportUrl": credentials.hook_url,
        "validity": max(int(message.validity), 1),
    }


def _mms(message: Outgoing) -> dict[str, Any]:
    """An MMS has no address for its reports and no validity: they go to the account's address."""
    return {"subject": message.subject, "mediaUrls": [file.url for file in message.media]}


def _recipient(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one recipient of a message, as answers tell of it."""
    return next(iter(reading.items(reading.part(answer, "recipients"), "items")), {})


def _refused(response: HttpResponse, answer: Mapping[str, Any]) -> SendResult:
    errors = reading.items(answer, "errors")
    error = next((one for one in errors if reading.text(one, "code") in ERRORS), next(iter(errors), {}))
    code = reading.text(error, "code")
    meaning = ERRORS.get(code) or meanings.by_status(response.status)
    if meaning is meanings.INVALID_REQUEST:
        meaning = PARAMETERS.get(reading.text(error, "parameter"), meaning)
    text = reading.text(error, "description")
    return meanings.refused(meaning, response, vendor_code=code, text=text)


def _claims(token: str, key: str) -> Mapping[str, Any]:
    """What a call says of itself, once its signature is proved. Times are checked elsewhere."""
    options: Any = dict.fromkeys(
        ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_sub"), False
    )
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=ALGORITHMS, options=options)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadSignature("the signature is missing, or not of this account's signing key") from None
    return claims


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _report(fields: Mapping[str, Any]) -> Report:
    word, reason = reading.text(fields, "status"), reading.text(fields, "statusReason")
    number = reading.text(fields, "statusErrorCode")
    status, code = _said(STATUSES.get(word.lower(), Status.UNKNOWN), number, reason)
    return Report(
        status=status,
        vendor_status=word,
        vendor_id=reading.text(fields, "id").lower(),
        reference=reading.text(fields, "reference"),
        code=code,
        vendor_code=number,
        text=reason,
        segments=reading.number(fields, "messagePartCount"),
        occurred_at=reading.moment(reading.text(fields, "statusDatetime")),
    )


def _said(status: Status, number: str, reason: str) -> tuple[Status, str]:
    """What a failure comes to, and our code: by its number, else by the words. What expired stays expired."""
    if status not in (Status.UNDELIVERED, Status.EXPIRED):
        return status, ""
    words = reason.lower().replace("_", " ").replace("-", " ")
    known = ERROR_CODES.get(number.strip()) or next((REASONS[one] for one in REASONS if one in words), None)
    if known is None:
        return status, "expired" if status is Status.EXPIRED else ""
    told, code = known
    return (status if status is Status.EXPIRED and told.is_final else told), code


def _inbound(fields: Mapping[str, Any], media: tuple[Media, ...]) -> Inbound:
    """`fields` by names in small letters. A short code's call holds both kinds of names, and its own are right."""
    short_code = reading.text(fields, SHORT_CODE)
    texts = reversed(TEXTS) if short_code else TEXTS
    names = ("mid", "id") if short_code else ("id", "mid")
    return Inbound(
        vendor_id=_first(fields, names).lower(),
        sender=_first(fields, ("originator", "sender")),
        recipient=short_code or _first(fields, ("recipient", "receiver")),
        channel=Channel.MMS if media else Channel.SMS,
        text=_first(fields, texts),
        media=media,
        occurred_at=_moment(_first(fields, TIMES)),
    )


def _first(fields: Mapping[str, Any], names: Iterable[str]) -> str:
    """The first of those fields that says anything."""
    return next(filter(None, (reading.text(fields, name) for name in names)), "")


def _moment(written: str) -> datetime | None:
    """A short code's times are digits alone."""
    try:
        return datetime.strptime(written, SHORT_CODE_TIME).replace(tzinfo=UTC)
    except ValueError:
        return reading.moment(written)


def _urls(hook: HookRequest, body: Mapping[str, Any]) -> list[str]:
    """The files of an inbound message: a JSON list or text, or a form's field that may come several times."""
    if body:
        told = [value for name, value in body.items() if name.lower() in MEDIA]
        values = [one for value in told for one in (value if isinstance(value, list) else [value])]
        return [value for value in values if isinstance(value, str)]
    query = urlsplit(hook.url).query if hook.method == "GET" else hook.body.decode("utf-8", "replace")
    return [value for name, value in parse_qsl(query, errors="replace") if name.lower() in MEDIA]
