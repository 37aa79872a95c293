"""Infobip: SMS API v3 ("Send SMS messages"), MMS API v2 ("Send MMS messages"), logs, and the calls of both to us."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from outbound.values import HttpRequest, HttpResponse
from vendors import entries, meanings, reading, writing
from vendors.base import About, Adapter, BadPayload, BadSignature, Setting, api_address
from vendors.limits import Limits
from vendors.meanings import Meaning
from vendors.values import (
    Channel,
    CredentialCheck,
    Credentials,
    Found,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Outgoing,
    Presence,
    Report,
    Said,
    SendResult,
    Sent,
    Status,
)

# Facts.
DEFAULT_BASE_URL = "https://api.infobip.com"  # shared; each account's own address is better
SEND = {Channel.SMS: "/sms/3/messages", Channel.MMS: "/mms/2/messages"}
LOGS = {Channel.SMS: "/sms/3/logs", Channel.MMS: "/mms/2/logs"}  # of 48 hours; asking uses nothing up
CHECK = "/sms/1/bulks/status?bulkId=connector-credential-check"  # a bulk that does not exist
MOST_VALIDITY = 48 * 3600  # seconds; more is cut to it
MOST_PARTS, MOST_MMS_TEXT = 25, 1600  # parts of an SMS, characters of an MMS
MOST_TITLE = 66  # characters of an MMS's subject
MOST_RESEND = 48  # hours
SPREAD = 1.0  # seconds between the retries of messages that were refused together
PROOF_HEADER = "x-hook-secret"

HELP = {
    "base_url": "The account's own address, shown in the portal: https://<subdomain>.api.infobip.com",
    "api_key": "Portal, Developer tools, API keys; scopes message:send, sms:logs:read and mms:logs:read.",
    "repeat_hours": "After an unknown outcome the same message is sent again this long, under the same id. Leave it"
    " empty unless Infobip has confirmed how long it refuses an id that it has seen.",
    "hook_basic": "HTTP Basic of Infobip's calls to us, written user:password; a notification profile adds it.",
    "hook_secret": "Value of a header X-Hook-Secret that a notification profile adds to Infobip's calls to us.",
}

BY_PROFILE = (
    "with a hook secret or password no message names our address: without a notification profile at Infobip no delivery"
    " reports will come"
)

# `status.groupId`; the number of ACCEPTED is not documented, so a number that is not here goes by its `groupName`.
GROUPS = {1: "PENDING", 2: "UNDELIVERABLE", 3: "DELIVERED", 4: "EXPIRED", 5: "REJECTED"}
STATUSES: Mapping[str, Status] = {
    "ACCEPTED": Status.SENT,
    "PENDING": Status.SENT,
    "UNDELIVERABLE": Status.UNDELIVERED,
    "DELIVERED": Status.DELIVERED,
    "EXPIRED": Status.EXPIRED,
    "REJECTED": Status.REJECTED,
}
REFUSED = ("UNDELIVERABLE", "REJECTED")  # the groups that mean "not taken" in the answer to a send

# `status.id`, where it says more than its group.
DUPLICATE = 23  # an earlier call with this id was taken: that one's reports count
ID_STATUSES: Mapping[int, Status] = {
    2: Status.SENT,  # DELIVERED_TO_OPERATOR: not final, in spite of its group
    DUPLICATE: Status.SENT,
    29: Status.SENT,  # EXPIRED_DLR_UNKNOWN: no receipt came, which says nothing either way
    87: Status.REJECTED,  # SIGNALS_BLOCKED, written in the groups EXPIRED and REJECTED
}

# `status.id` of a refusal.
REFUSALS: Mapping[int, Meaning] = {
    6: meanings.NO_ROUTE,  # the network is not covered, or not set up on the account
    8: meanings.INVALID_RECIPIENT,
    10: meanings.RECIPIENT_BLOCKED,  # on a do-not-disturb register, not a STOP to this sender
    11: meanings.SENDER_NOT_REGISTERED,
    12: meanings.NO_CREDIT,
    13: meanings.INVALID_SENDER,  # blocklisted
    14: meanings.RECIPIENT_BLOCKED,
    17: meanings.NO_CREDIT,  # the prepaid package has expired
    18: meanings.NO_ROUTE,  # a test account sends to its own number only
    19: meanings.NO_ROUTE,
    20: meanings.THROTTLED,  # flooding filter: 20 messages, or 6 of the same text, per number and hour
    21: meanings.UNAVAILABLE,  # Infobip's own failure, as is 100
    24: meanings.INVALID_REQUEST,
    25: meanings.CONTENT_REFUSED,  # more than 25 parts or 4000 bytes
    51: meanings.INVALID_RECIPIENT,  # missing
    52: meanings.INVALID_RECIPIENT,
    56: meanings.INVALID_REQUEST,  # the hook address
    77: meanings.CONTENT_REFUSED,  # an MMS with more than 1600 characters
    87: meanings.REJECTED,  # anti-fraud
    100: meanings.UNAVAILABLE,
}

# What a 400 complains about, by the last name of `violations[].property`.
PROPERTIES: Mapping[str, Meaning] = {
    "to": meanings.INVALID_RECIPIENT,
    "sender": meanings.INVALID_SENDER,
    "text": meanings.CONTENT_REFUSED,
    "contentUrl": meanings.MEDIA_REFUSED,
}
MESSAGE_INDEX = re.compile(r"\bmessages\[(\d{1,6})\]")

# `error.id` of a report, by our word; a status of its own (`REFUSALS`) speaks where the error does not.
ERRORS: Mapping[str, Sequence[int]] = {
    "opted_out": (573, 603, 15015),  # blocked by the person: 603 after STOP to a North American number
    "invalid_recipient": (1, 5, 351, 352, 568, 3041, 15009, 15017, 15201),
    "recipient_blocked": (9, 13, 560, 566, 569, 604, 2049, 2050, 2052, 15011, 15018),
    "unreachable": (6, 27, 31, 32, 33, 256, 581, 628),  # 256: its memory is full; 581: no prepaid credit left
    "expired": (811, 4098, 4100, 4101, 15006),
    "content_refused": (355, 561, 607, 2051, 15013, 15014, 15203),
    "media_refused": (15007, 15012, 15022, 15024, 15025, 15026),
    "mms_unsupported": (15019,),
    "invalid_sender": (368, 375, 2053, 15202),
    "sender_not_registered": (488, 562, 563, 572, 594, 15003, 15010, 15021),
    "no_route": (345, 592, 597, 15016, 15023),
    "throttled": (541, 542, 4103, 4104, 4202),
    "no_credit": (4099,),
    "vendor_fault": (51, 15000, 15002, 15008),
    "duplicate": (5492,),
}
REPORT_CODES = {error: code for code, errors in ERRORS.items() for error in errors}


class Infobip(Adapter):
    key = "infobip"
    label = "Infobip"
    settings = (
        api_address(DEFAULT_BASE_URL, HELP["base_url"]),
        Setting("api_key", "API key", HELP["api_key"], secret=True),
        Setting("repeat_hours", "Send again for (hours)", HELP["repeat_hours"], required=False),
        Setting("hook_basic", "Hook user:password", HELP["hook_basic"], secret=True, required=False),
        Setting("hook_secret", "Hook secret", HELP["hook_secret"], secret=True, required=False),
    )
    channels = frozenset({Channel.SMS, Channel.MMS})
    batch_size = 100
    about = About(
        inbound=frozenset({Channel.SMS, Channel.MMS}),
        proof="secret URL; HTTP Basic or a secret header, if set",
        unknown_outcome="look-up, report; sending again, if set",
        fallback="vendor",
        stop="Infobip's blocklist, if the account has that service",
    )

    def wrong(self, values: Mapping[str, str]) -> Mapping[str, str]:
        problems: dict[str, str] = {}
        hours, basic = values["repeat_hours"], values["hook_basic"]
        if hours and not (re.fullmatch(r"[0-9]{1,2}", hours) and 1 <= int(hours) <= MOST_RESEND):
            problems["repeat_hours"] = f"must be empty or whole hours from 1 to {MOST_RESEND}"
        if basic and not all(basic.partition(":")):
            problems["hook_basic"] = "must be a user and a password with a colon between them"
        return problems

    def caution(self, credentials: Credentials) -> str:
        return BY_PROFILE if _has_proof(credentials) else ""

    def limits(self, channel: Channel, settings: Mapping[str, Any]) -> Limits:
        return Limits(text=MOST_MMS_TEXT) if channel is Channel.MMS else Limits(parts=MOST_PARTS)

    def repeat_window(self, credentials: Credentials) -> timedelta | None:
        hours = reading.number(credentials.settings, "repeat_hours")
        return timedelta(hours=hours) if hours else None

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        channel = batch[0].channel
        body: dict[str, Any] = {"messages": [_message(message, credentials) for message in batch]}
        if channel is Channel.SMS:
            body["options"] = {"includeSmsCountInResponse": True}
        return _request("POST", SEND[channel], credentials, body)

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        answer = reading.json_object(response.body)
        if response.status >= 300:
            return _refused_together(batch, answer, response)
        told = {_id(item): item for item in reading.items(answer, "messages")}
        return tuple(_result(told.get(message.reference.lower(), {}), response) for message in batch)

    def look_up(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        message_id = quote(sent.vendor_id or sent.reference, safe="")
        return _request("GET", f"{LOGS[sent.channel]}?messageId={message_id}", credentials)

    def parse_look_up(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Found:
        answer = reading.json_object(response.body)
        results = reading.items(answer, "results")
        if response.status != 200 or not isinstance(answer.get("results"), list):
            return Found(Presence.CANNOT_TELL)
        if not answer["results"]:
            return Found(Presence.ABSENT)  # no proof: how soon a message is in the logs is not documented
        message_id = (sent.vendor_id or sent.reference).lower()
        entry = next((one for one in results if _id(one) == message_id and one.get("status")), None)
        if entry is None:
            return Found(Presence.CANNOT_TELL)
        return Found(Presence.FOUND, _id(entry), replace(_report(entry), reference=sent.reference))

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        """Asks for a bulk that does not exist: the API needs the scope of sending for that, and sends nothing."""
        return _request("GET", CHECK, credentials)

    def parse_credential_check(self, response: HttpResponse, credentials: Credentials) -> CredentialCheck:
        if response.status == 403:
            return CredentialCheck(False, "The API key may not send: it lacks the scope sms:message:send")
        no_such_bulk, _ = _fault(reading.json_object(response.body))
        if response.status == 404 and no_such_bulk:
            return CredentialCheck(True, "Infobip accepts the API key")
        return super().parse_credential_check(response, credentials)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        """Infobip signs nothing in a documented way: what the notification profile adds is compared."""
        proofs = {PROOF_HEADER: credentials.secrets.get("hook_secret", "")}
        if basic := credentials.secrets.get("hook_basic"):
            proofs["authorization"] = writing.basic(*basic.split(":", 1))["Authorization"]
        for name, expected in proofs.items():
            if expected and not hmac.compare_digest(expected.encode(), hook.headers.get(name, "").encode()):
                raise BadSignature(f"the header {name} is missing or wrong")

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Said]:
        body = reading.json_object(hook.body)
        results = entries.listed(body, "results")
        told = [item for item in results if not _is_seen(item)]
        found = entries.read_each(told, _said)
        # A `notificationType` tells of a click on an address.
        empty = body.get("results") == [] or "notificationType" in body or bool(results and not told)
        if not found and not empty:
            raise BadPayload("neither reports nor inbound messages")
        return found


def _request(method: str, path: str, credentials: Credentials, body: Any = None) -> HttpRequest:
    base = writing.base_url(credentials, DEFAULT_BASE_URL)
    headers = {"Authorization": f"App {credentials.secrets['api_key']}"}
    return writing.json_request(method, f"{base}{path}", body, headers)


def _message(message: Outgoing, credentials: Credentials) -> dict[str, Any]:
    seconds = min(max(int(message.validity), 1), MOST_VALIDITY)
    options: dict[str, Any] = {"validityPeriod": {"amount": seconds, "timeUnit": "SECONDS"}}
    if message.channel is Channel.MMS and message.fallback_text:
        options["smsFailover"] = {"sender": writing.bare(message.sender), "text": message.fallback_text}
    return {
        "sender": writing.bare(message.sender),
        "destinations": [{"to": writing.bare(message.recipient), "messageId": message.reference}],
        "content": _mms(message) if message.channel is Channel.MMS else {"text": message.text},
        "options": options,
        "webhooks": _webhooks(message, credentials),
    }


def _mms(message: Outgoing) -> dict[str, Any]:
    segments = [{"type": "TEXT", "text": message.text}] if message.text else []
    for file in message.media:
        typed = {"contentType": file.content_type} if file.content_type else {}
        segments.append({"type": "LINK", "contentUrl": file.url, **typed})
    title = {"title": message.subject[:MOST_TITLE]} if message.subject else {}
    return {**title, "messageSegments": segments}


def _has_proof(credentials: Credentials) -> bool:
    return bool(credentials.secrets.get("hook_secret") or credentials.secrets.get("hook_basic"))


def _webhooks(message: Outgoing, credentials: Credentials) -> dict[str, Any]:
    """A proof comes with the account's subscription only: with one, no address of our own is named."""
    where = {"notify": True} if _has_proof(credentials) else {"url": credentials.hook_url}
    return {
        "delivery": {**where, "intermediateReport": False},
        "contentType": "application/json",
        "callbackData": message.reference,
    }


def _result(item: Mapping[str, Any], response: HttpResponse) -> SendResult:
    status = reading.part(item, "status")
    group, number = _group(status), reading.number(status, "id")
    if group not in STATUSES:
        return meanings.unreadable(response)
    if group not in REFUSED or number == DUPLICATE:
        parts = reading.number(reading.part(item, "details"), "messageCount")
        return SendResult(Outcome.TAKEN, vendor_id=_id(item), segments=parts)
    meaning = REFUSALS.get(number or 0, meanings.REJECTED)
    return meanings.refused(
        meaning, response, vendor_code=reading.text(status, "id"), text=reading.text(status, "description")
    )


def _refused_together(
    batch: Sequence[Outgoing], answer: Mapping[str, Any], response: HttpResponse
) -> tuple[SendResult, ...]:
    """One wrong message makes Infobip refuse a call whole. The others go out again, one after the other if none is
    named: so the wrong one ends up alone and takes nobody along."""
    code, text = _fault(answer)
    found = [meanings.by_status(response.status)] * len(batch)
    if response.status == 400:
        guilty = _guilty(answer, len(batch))
        found = [guilty.get(n, meanings.CALL_REFUSED) for n in range(len(batch))]
    results = [meanings.refused(meaning, response, vendor_code=code, text=text) for meaning in found]
    if set(found) == {meanings.CALL_REFUSED}:
        results = [replace(result, retry_after=n * SPREAD) for n, result in enumerate(results)]
    return tuple(results)


def _guilty(answer: Mapping[str, Any], size: int) -> dict[int, Meaning]:
    """The messages that a 400 is about, by their place in the call; one that is alone is guilty anyhow."""
    guilty: dict[int, Meaning] = {}
    for one in reading.items(answer, "violations"):
        place = reading.text(one, "property")
        index = MESSAGE_INDEX.search(place)
        meaning = PROPERTIES.get(place.rpartition(".")[2], meanings.INVALID_REQUEST)
        if index or size == 1:
            guilty.setdefault(int(index[1]) if index and size > 1 else 0, meaning)
    return guilty or ({0: meanings.INVALID_REQUEST} if size == 1 else {})


def _fault(answer: Mapping[str, Any]) -> tuple[str, str]:
    """Code and words of an error in either of Infobip's forms; what violations quote (numbers, texts) is left out."""
    older = reading.part(reading.part(answer, "requestError"), "serviceException")
    if older:
        return reading.text(older, "messageId"), reading.text(older, "text")
    places = [reading.text(one, "property") for one in reading.items(answer, "violations")]
    about = f" ({', '.join(places[:5])})" if any(places) else ""
    return reading.text(answer, "errorCode"), reading.text(answer, "description") + about


def _id(item: Mapping[str, Any]) -> str:
    return reading.text(item, "messageId").lower()


def _group(status: Mapping[str, Any]) -> str:
    number = reading.number(status, "groupId")
    return GROUPS.get(number if number is not None else -1) or reading.text(status, "groupName").upper()


def _said(item: Mapping[str, Any]) -> Report | Inbound:
    if reading.part(item, "status"):
        if not (_id(item) or reading.text(item, "callbackData")):
            raise BadPayload("a report without messageId and callbackData")
        return _report(item)
    has_content = "text" in item or "message" in item
    if not (has_content and _id(item) and reading.text(item, "from")):
        raise BadPayload("neither a report nor an inbound message with messageId and from")
    return _inbound(item)


def _is_seen(item: Any) -> bool:
    """Whether it says that somebody has seen our message: no status of ours, and no message of theirs."""
    return isinstance(item, dict) and bool(reading.text(item, "seenAt")) and not reading.part(item, "status")


def _report(item: Mapping[str, Any]) -> Report:
    said, error = reading.part(item, "status"), reading.part(item, "error")
    group, number = _group(said), reading.number(said, "id")
    status = ID_STATUSES.get(number or 0, STATUSES[group]) if group in STATUSES else Status.UNKNOWN
    detail = reading.number(error, "id") or 0
    return Report(
        status=status,
        vendor_status=reading.text(said, "name") or group or f"group {reading.text(said, 'groupId')}",
        vendor_id=_id(item),
        reference=reading.text(item, "callbackData") or _id(item),
        code=_code(status, number or 0, detail),
        vendor_code=str(detail) if detail else "",
        text=reading.text(error if detail else said, "description"),
        segments=reading.number(item, "messageCount") or reading.number(item, "smsCount"),
        occurred_at=reading.moment(reading.text(item, "doneAt") or reading.text(item, "sentAt")),
    )


def _code(status: Status, number: int, detail: int) -> str:
    if not status.is_final or status is Status.DELIVERED:
        return ""
    own = REFUSALS[number].code if number in REFUSALS else ""
    return REPORT_CODES.get(detail, own) or ("expired" if status is Status.EXPIRED else "")


def _inbound(item: Mapping[str, Any]) -> Inbound:
    pieces = [(reading.text(one, "url"), one) for one in reading.items(item, "message")]
    texts = [reading.text(one, "value") for url, one in pieces if not url]
    return Inbound(
        vendor_id=_id(item),
        sender=reading.text(item, "from"),
        recipient=reading.text(item, "to"),
        channel=Channel.MMS if "message" in item else Channel.SMS,
        text=reading.text(item, "text") or "\n".join(filter(None, texts)),
        media=tuple(Media(url, reading.text(one, "contentType")) for url, one in pieces if url),
        occurred_at=reading.moment(reading.text(item, "receivedAt")),
    )
