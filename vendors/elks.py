"""Adapter of 46elks: SMS API a1 (`POST /sms`, `GET /sms/{id}`), delivery reports, incoming SMS and MMS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count, takewhile

from outbound.values import HttpRequest, HttpResponse
from vendors import meanings, reading, writing
from vendors.base import About, Adapter, BadPayload, Setting, api_address
from vendors.values import (
    Channel,
    Credentials,
    HookReply,
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
DEFAULT_BASE_URL = "https://api.46elks.com"
OUT_OF_CREDIT = "credit"  # in the words of a refusal: there are no codes

STATUSES: Mapping[str, Status] = {
    "created": Status.SENT,  # 46elks has it
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "failed": Status.UNDELIVERED,
}


class Elks(Adapter):
    key = "elks"
    label = "46elks"
    settings = (
        Setting("api_username", "API username", "On the account's page at 46elks: u and 32 digits."),
        Setting("api_password", "API password", "Beside it.", secret=True),
        api_address(DEFAULT_BASE_URL),
    )
    about = About(
        inbound=frozenset({Channel.SMS, Channel.MMS}),
        proof="secret URL",
        unknown_outcome="report",
        stop="Bloomreach: the reply is passed on",
    )

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        fields = [
            ("from", message.sender),
            ("to", message.recipient),
            ("message", message.text),
            ("whendelivered", writing.with_query(credentials.hook_url, ref=message.reference)),
        ]
        return writing.form_request(_url(credentials, "/sms"), fields, _credentials(credentials))

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        if not 200 <= response.status < 300:
            return (_refused(response),)
        answer = reading.json_object(response.body)
        vendor_id = reading.text(answer, "id")
        if not vendor_id:
            return (meanings.unreadable(response),)
        return (SendResult(Outcome.TAKEN, vendor_id=vendor_id, segments=reading.number(answer, "parts")),)

    def poll(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        if not sent.vendor_id:
            return None
        url = _url(credentials, f"/sms/{sent.vendor_id}")
        return writing.json_request("GET", url, headers=_credentials(credentials))

    def parse_poll(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Report | None:
        answer = reading.json_object(response.body)
        word = reading.text(answer, "status")
        if response.status != 200 or reading.text(answer, "id") != sent.vendor_id or not word:
            return None
        return _report(sent.vendor_id, word, reading.text(answer, "delivered"), sent.reference)

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        return writing.json_request("GET", _url(credentials, "/me"), headers=_credentials(credentials))

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        """46elks signs nothing: the secret address is the proof."""

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Report | Inbound]:
        fields = reading.form(hook)
        vendor_id, word = fields.get("id", ""), fields.get("status", "")
        if vendor_id and fields.get("direction") == "incoming":
            return (_inbound(vendor_id, fields),)
        if not vendor_id or not word:
            raise BadPayload("neither a delivery report nor an incoming message")
        return (_report(vendor_id, word, fields.get("delivered", ""), hook.query.get("ref", "")),)

    def hook_reply(self, credentials: Credentials) -> HookReply:
        """Nothing: a text would go back to whoever wrote."""
        return HookReply(204)


def _url(credentials: Credentials, path: str) -> str:
    return f"{writing.base_url(credentials, DEFAULT_BASE_URL)}/a1{path}"


def _credentials(credentials: Credentials) -> dict[str, str]:
    return writing.basic(credentials.settings["api_username"], credentials.secrets["api_password"])


def _refused(response: HttpResponse) -> SendResult:
    """The status decides; the body is a sentence."""
    text = response.body[:300].decode("utf-8", "replace").strip()
    meaning = meanings.by_status(response.status)
    if meaning is meanings.CREDENTIALS_REFUSED and OUT_OF_CREDIT in text.lower():
        meaning = meanings.NO_CREDIT
    return meanings.refused(meaning, response, text=text)


def _report(vendor_id: str, word: str, delivered: str, reference: str) -> Report:
    return Report(
        status=STATUSES.get(word, Status.UNKNOWN),
        vendor_status=word,
        vendor_id=vendor_id,
        reference=reference,
        occurred_at=reading.moment(f"{delivered}+00:00"),  # documented as UTC, written without a zone
    )


def _inbound(vendor_id: str, fields: Mapping[str, str]) -> Inbound:
    """Pictures are `image`, `image2`, `image3`…"""
    names = ("image" if n == 1 else f"image{n}" for n in count(1))
    media = tuple(Media(fields[name]) for name in takewhile(fields.get, names))
    return Inbound(
        vendor_id=vendor_id,
        sender=fields.get("from", ""),
        recipient=fields.get("to", ""),
        channel=Channel.MMS if media or vendor_id.startswith("m") else Channel.SMS,
        text=fields.get("message", ""),
        media=media,
        occurred_at=reading.moment(f"{fields.get('created', '')}+00:00"),
    )
