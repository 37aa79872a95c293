"""Bandwidth Messaging API v2 ("Create Message", "List Messages", "Messaging Webhooks", "Messaging Errors")."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from outbound.values import HttpRequest, HttpResponse
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
DEFAULT_BASE_URL = "https://messaging.bandwidth.com/api/v2"
DEFAULT_TOKEN_URL = "https://api.bandwidth.com/api/v1/oauth2/token"  # noqa: S105 - an address
OAUTH, BASIC = "oauth", "basic"
AUTHS = (
    (OAUTH, "OAuth 2.0 client credentials"),
    (BASIC, "API user and password (until 2 December 2026)"),
)
CONTENT_TYPE = {"Content-Type": "application/json; charset=utf-8"}  # any other is refused with 415
CHECKED = timedelta(minutes=1)  # how far back the search of the credential check goes
MOST_TEXT = 2048  # characters
NAME = "[A-Za-z0-9 _&+-]{1,11}"
FAILED = "message-failed"
RECEIVED = "message-received"
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

# `type` of callbacks about messages that we sent; `message-failed` goes by its error code.
TYPES: Mapping[str, Status] = {
    "message-sending": Status.SENT,
    "message-sent": Status.SENT,
    "message-delivered": Status.DELIVERED,  # an MMS without receipts: handed to the MMS centre
    "message-read": Status.DELIVERED,
}

# `messageStatus` of a search; FAILED and UNDELIVERED go by their error code.
SEARCHED: Mapping[str, Status] = {
    "RECEIVED": Status.SENT,
    "QUEUED": Status.SENT,
    "SENDING": Status.SENT,
    "SENT": Status.SENT,
    "ACCEPTED": Status.SENT,
    "DELIVERED": Status.DELIVERED,
}
SEARCHED_FAILED = frozenset({"FAILED", "UNDELIVERED"})

# Error codes of failed messages, the longest beginning that is listed: status, and our code.
ERRORS: Mapping[str, tuple[Status, str]] = {
    "4001": (Status.REJECTED, "rejected_by_vendor"),
    "43": (Status.REJECTED, "invalid_request"),
    "4302": (Status.REJECTED, "invalid_sender"),
    "4303": (Status.REJECTED, "invalid_recipient"),
    "4350": (Status.REJECTED, "invalid_recipient"),
    "4360": (Status.EXPIRED, "expired"),
    "44": (Status.REJECTED, "rejected_by_vendor"),
    "4401": (Status.REJECTED, "no_route"),
    "4403": (Status.REJECTED, "invalid_sender"),
    "4404": (Status.REJECTED, "invalid_recipient"),
    "4405": (Status.REJECTED, "invalid_sender"),
    "4406": (Status.REJECTED, "invalid_recipient"),
    "4407": (Status.REJECTED, "invalid_sender"),
    "4408": (Status.REJECTED, "invalid_recipient"),
    "4409": (Status.REJECTED, "mms_unsupported"),  # by the recipient's number, most often
    "4410": (Status.REJECTED, "media_refused"),
    "4411": (Status.REJECTED, "media_refused"),
    "4412": (Status.REJECTED, "media_refused"),
    "4420": (Status.REJECTED, "no_route"),
    "4421": (Status.REJECTED, "no_route"),
    "4431": (Status.REJECTED, "sender_not_registered"),
    "4432": (Status.REJECTED, "no_route"),
    "4433": (Status.REJECTED, "sender_not_registered"),
    "4434": (Status.REJECTED, "invalid_recipient"),
    "4435": (Status.REJECTED, "invalid_request"),
    "4451": (Status.REJECTED, "credentials_refused"),
    "4452": (Status.REJECTED, "credentials_refused"),  # the application ID
    "4470": (Status.REJECTED, "content_refused"),
    "4481": (Status.REJECTED, "invalid_sender"),
    "4482": (Status.REJECTED, "recipient_blocked"),
    "4492": (Status.REJECTED, "invalid_recipient"),  # an emergency number
    "4493": (Status.REJECTED, "credentials_refused"),
    "47": (Status.UNDELIVERED, "rejected_by_vendor"),  # the carrier's refusals
    "4700": (Status.UNDELIVERED, "invalid_recipient"),  # no messaging there at all; for an MMS: `NO_MMS`
    "4701": (Status.UNDELIVERED, "unreachable"),
    "4702": (Status.UNDELIVERED, "unreachable"),
    "4711": (Status.REJECTED, "media_refused"),
    "4712": (Status.REJECTED, "media_refused"),
    "4720": (Status.UNDELIVERED, "invalid_recipient"),
    "4721": (Status.UNDELIVERED, "invalid_recipient"),
    "4730": (Status.UNDELIVERED, "no_route"),
    "4740": (Status.UNDELIVERED, "invalid_sender"),
    "4753": (Status.UNDELIVERED, "recipient_blocked"),  # by the handset
    "4770": (Status.REJECTED, "content_refused"),
    "4771": (Status.REJECTED, "content_refused"),
    "4772": (Status.REJECTED, "recipient_blocked"),  # or the sender: it does not say
    "4773": (Status.REJECTED, "sender_not_registered"),
    "4774": (Status.REJECTED, "sender_not_registered"),
    "4775": (Status.REJECTED, "opted_out"),
    "478": (Status.UNDELIVERED, "throttled"),  # a carrier's volume limit
    "479": (Status.REJECTED, "sender_not_registered"),
    "5": (Status.UNDELIVERED, "vendor_fault"),  # of Bandwidth (51, 52, 55) or of the carrier (56)
    "9902": (Status.SENT, ""),  # no receipt in about two hours: it may have arrived
    "9999": (Status.SENT, ""),  # the carrier said something that Bandwidth cannot read
}
# What these say of an MMS: the handset, its carrier or the country takes none.
NO_MMS_NUMBER = "4409"  # never about an SMS
NO_MMS = frozenset({NO_MMS_NUMBER, "4432", "4700"})

# `type` of refusals of a send. Bandwidth promises that nothing was sent with any of them, a 5xx included.
REFUSALS: Mapping[str, Meaning] = {
    "request-validation": meanings.INVALID_REQUEST,  # or by field: `FIELDS`
    "unauthorized": meanings.CREDENTIALS_REFUSED,
    "forbidden": meanings.CREDENTIALS_REFUSED,  # the user may not use the messaging API
    "unsupported-content-type": meanings.INVALID_REQUEST,
    "max-message-queue-size-exceeded": meanings.THROTTLED,
}
FIELDS: Mapping[str, Meaning] = {
    "applicationId": meanings.CREDENTIALS_REFUSED,  # the same for every message of the account
    "to": meanings.INVALID_RECIPIENT,
    "from": meanings.INVALID_SENDER,
    "media": meanings.MEDIA_REFUSED,
}


class Bandwidth(Adapter):
    key = "bandwidth"
    label = "Bandwidth"
    settings = (
        Setting("account_id", "Account ID", "The account's number: seven digits, not the old u-… form."),
        Setting(
            "application_id", "Application ID", "Of the messaging application that has the senders: a UUID."
        ),
        Setting(
            "auth",
            "Credentials",
            "Bandwidth ends API users with passwords on 2 December 2026; use OAuth 2.0.",
            choices=AUTHS,
            default=OAUTH,
        ),
        Setting(
            "client_id", "Client ID", "Of the API credentials; or the API user's name, until 2 December 2026."
        ),
        Setting("client_secret", "Client secret", "Or the API user's password.", secret=True),
        Setting(
            "hook_user",
            "Callback user",
            "The user that the messaging application's callback settings name; empty for none.",
            required=False,
        ),
        Setting("hook_password", "Callback password", "Of that user.", secret=True, required=False),
        api_address(DEFAULT_BASE_URL),
        Setting(
            "token_url",
            "Token URL",
            "Where OAuth 2.0 tokens come from; leave as it is unless a proxy stands between.",
            required=False,
            default=DEFAULT_TOKEN_URL,
            url=True,
        ),
    )
    channels = frozenset({Channel.SMS, Channel.MMS})
    about = About(
        inbound=frozenset({Channel.SMS, Channel.MMS}),
        proof="HTTP Basic, or secret URL",
        unknown_outcome="report",
        fallback="connector",
        stop="not Bandwidth: the reply is passed on",
    )

    def wrong(self, values: Mapping[str, str]) -> Mapping[str, str]:
        problems: dict[str, str] = {}
        if values["account_id"] and not values["account_id"].isdecimal():
            problems["account_id"] = "Account ID must be digits only; the u-… form does not work any more"
        if values["application_id"] and not UUID.fullmatch(values["application_id"]):
            problems["application_id"] = "Application ID must be a UUID; copy it from the application's page"
        if bool(values["hook_user"]) is not bool(values["hook_password"]):
            missing = "hook_password" if values["hook_user"] else "hook_user"
            problems[missing] = "Callback user and callback password go together: enter both, or neither"
        return problems

    def limits(self, channel: Channel, settings: Mapping[str, Any]) -> Limits:
        """A name sends no MMS, and has letters, digits, blanks and `-+_&` alone."""
        if channel is Channel.MMS:
            return Limits(text=MOST_TEXT, senders=NUMBERS)
        return Limits(text=MOST_TEXT, names=NAME)

    def token_request(self, credentials: Credentials) -> HttpRequest | None:
        if credentials.settings.get("auth") == BASIC:
            return None
        url = str(credentials.settings.get("token_url") or DEFAULT_TOKEN_URL)
        return writing.form_request(url, [("grant_type", "client_credentials")], _basic(credentials))

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        body: dict[str, Any] = {
            "applicationId": credentials.settings["application_id"],
            "from": message.sender,
            "to": [message.recipient],  # a second one would make it a group conversation
            "tag": message.reference,
        }
        if message.text:
            body["text"] = message.text
        if message.channel is Channel.MMS:
            body["media"] = [file.url for file in message.media]
        elif message.validity >= 1:  # MMS do not expire
            body["expiration"] = _stamp(message.validity)
        return _request("POST", "", credentials, body)

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        answer = reading.json_object(response.body)
        if not 200 <= response.status < 300:
            return (_refused(answer, response),)
        vendor_id = reading.text(answer, "id")
        if not vendor_id:
            return (meanings.unreadable(response),)
        parts = reading.number(answer, "segmentCount") or None
        return (SendResult(Outcome.TAKEN, vendor_id=vendor_id, segments=parts),)

    def poll(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        return _request("GET", f"?messageId={quote(sent.vendor_id, safe='')}", credentials)

    def parse_poll(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Report | None:
        found = reading.items(reading.json_object(response.body), "messages")
        mine = [one for one in found if reading.text(one, "messageId") == sent.vendor_id]
        return _searched(mine[0], sent) if response.status == 200 and mine else None

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        since = _stamp(
            -CHECKED.total_seconds()
        )  # whether a search without a filter is taken is not documented
        return _request("GET", "?" + urlencode({"limit": 1, "fromDateTime": since}), credentials)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        user = str(credentials.settings.get("hook_user") or "")
        password = credentials.secrets.get("hook_password", "")
        if not user and not password:
            return
        expected = writing.basic(user, password)["Authorization"].encode()
        scheme, _, proof = hook.headers.get("authorization", "").partition(" ")
        given = f"{scheme.capitalize()} {proof.strip()}".encode()
        if not password or not hmac.compare_digest(expected, given):
            raise BadSignature("the callback user or password is missing or wrong")

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Said]:
        body = reading.json_value(hook.body)
        return entries.read_each(body if isinstance(body, list) else [body], _read)


def _basic(credentials: Credentials) -> dict[str, str]:
    return writing.basic(str(credentials.settings["client_id"]), credentials.secrets["client_secret"])


def _request(
    method: str, query: str, credentials: Credentials, body: Mapping[str, Any] | None = None
) -> HttpRequest:
    """A call to the account's messages; the token of OAuth 2.0 is added by whoever makes it."""
    base = writing.base_url(credentials, DEFAULT_BASE_URL)
    url = f"{base}/users/{credentials.settings['account_id']}/messages{query}"
    headers = _basic(credentials) if credentials.settings.get("auth") == BASIC else {}
    return writing.json_request(method, url, body, headers | (CONTENT_TYPE if body else {}))


def _stamp(seconds: float) -> str:
    """The time so many seconds from now (RFC 3339)."""
    return datetime.fromtimestamp(int(time.time() + seconds), UTC).isoformat().replace("+00:00", "Z")


def _refused(answer: Mapping[str, Any], response: HttpResponse) -> SendResult:
    kind = reading.text(answer, "type")
    fields = [reading.text(one, "fieldName") for one in reading.items(answer, "fieldErrors")]
    words = reading.text(answer, "description") or reading.text(answer, "error")
    if any(fields):  # their own descriptions may name numbers
        words = f"{words} ({', '.join(filter(None, fields))})".strip()
    return meanings.refused(_meaning(kind, fields, response.status), response, vendor_code=kind, text=words)


def _meaning(kind: str, fields: Sequence[str], status: int) -> Meaning:
    if (
        status >= 500 or status == 408
    ):  # in Bandwidth's own words it was not taken; a gateway may say so of anything
        return meanings.UNAVAILABLE if kind else meanings.VENDOR_FAULT
    by_field = [meaning for name, meaning in FIELDS.items() if name in fields]
    return by_field[0] if by_field else REFUSALS.get(kind) or meanings.by_status(status)


def _error(code: str) -> tuple[Status, str]:
    """What an error code says; one that is not documented says only that it failed."""
    begins = (code[:length] for length in (4, 3, 2, 1))
    return next((ERRORS[start] for start in begins if start in ERRORS), (Status.UNDELIVERED, ""))


def _searched(message: Mapping[str, Any], sent: Sent) -> Report:
    word = reading.text(message, "messageStatus").upper()
    code = str(reading.number(message, "errorCode") or "")
    known = (SEARCHED.get(word, Status.UNKNOWN), "")
    status, ours = _error(code) if word in SEARCHED_FAILED else known
    report = Report(
        status=status,
        vendor_status=word,
        vendor_id=sent.vendor_id,
        reference=sent.reference,
        code=ours,
        vendor_code=code,
        segments=reading.number(message, "segmentCount") or None,
    )
    return _without_mms(report) if sent.channel is Channel.MMS else report


def _without_mms(report: Report) -> Report:
    """The report of an MMS: some codes say that there are none at the other end."""
    if not (report.status.is_final and report.vendor_code in NO_MMS):
        return report
    return replace(report, code=meanings.MMS_UNSUPPORTED.code, mms_unsupported=True)


def _read(event: Any) -> Report | Inbound:
    kind, message = reading.text(event, "type"), reading.part(event, "message")
    if not kind or not (reading.text(message, "id") or reading.text(message, "tag")):
        raise BadPayload("not a list of events about messages")
    if kind == RECEIVED or reading.text(message, "direction") == "in":
        return _inbound(event, message)
    return _report(event, message)


def _report(event: Mapping[str, Any], message: Mapping[str, Any]) -> Report:
    kind, failed = reading.text(event, "type"), reading.text(event, "type") == FAILED
    code = reading.text(event, "errorCode")
    status, ours = _error(code) if failed else (TYPES.get(kind, Status.UNKNOWN), "")
    report = Report(
        status=status,
        vendor_status=kind,
        vendor_id=reading.text(message, "id"),
        reference=reading.text(message, "tag"),
        code=ours,
        vendor_code=code,
        text=reading.text(event, "description") if failed else "",
        segments=reading.number(message, "segmentCount") or None,
        occurred_at=reading.moment(reading.text(event, "eventTime") or reading.text(event, "time")),
    )
    return _without_mms(report) if message.get("media") or code == NO_MMS_NUMBER else report


def _inbound(event: Mapping[str, Any], message: Mapping[str, Any]) -> Inbound:
    if not reading.text(message, "id"):
        raise BadPayload("an inbound message without an id")
    listed = message.get("media")
    urls = [url for url in listed if isinstance(url, str) and url] if isinstance(listed, list) else []
    return Inbound(
        vendor_id=reading.text(message, "id"),
        sender=reading.text(message, "from"),
        recipient=reading.text(event, "to") or reading.text(message, "owner"),
        channel=Channel.MMS if urls else Channel.SMS,
        text=reading.text(message, "text"),
        media=tuple(Media(url) for url in urls),
        occurred_at=reading.moment(reading.text(event, "time")),
    )
