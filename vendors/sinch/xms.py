"""The SMS REST API: what a batch looks like, what refusals, reports and inbound messages mean."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from outbound.values import HttpResponse
from vendors import meanings, reading, writing
from vendors.base import BadPayload
from vendors.limits import Limits
from vendors.meanings import Meaning
from vendors.values import Channel, Credentials, Inbound, Media, Outgoing, Report, SendResult, Status

# Facts.
MOST_VALIDITY = 3 * 24 * 3600.0  # seconds; the longest that a batch can wait, and what it waits when not told
MOST_TEXT = 2000  # characters
MEDIA_LIMITS = Limits(files=1, text=MOST_TEXT)
MOST_PARTS = 255  # of one SMS; any limit makes reports tell the number of parts

# `code` of XMS refusals (400 and 403); other statuses have none.
ERRORS: Mapping[str, Meaning] = {
    "syntax_invalid_json": meanings.INVALID_REQUEST,
    "syntax_invalid_parameter_format": meanings.INVALID_REQUEST,
    "syntax_constraint_violation": meanings.INVALID_REQUEST,
    "unknown_group": meanings.INVALID_RECIPIENT,  # a recipient that is no number is taken for a group
    "missing_callback_url": meanings.INVALID_REQUEST,
    "illegal_number_type": meanings.INVALID_REQUEST,  # not said whether of the sender or the recipient
    "llegal_number_type": meanings.INVALID_REQUEST,  # as Sinch once documented it
    "blocked_account": meanings.ACCOUNT_BLOCKED,
}

ERRORS_BY_STATUS: Mapping[int, Meaning] = {
    404: meanings.CREDENTIALS_REFUSED,  # nothing but the plan and the region are in that address
    500: meanings.UNAVAILABLE,  # documented: not processed; no other 5xx is
}

# `status` of delivery reports, and codes that say more than Aborted or Cancelled.
STATUSES: Mapping[str, Status] = {
    "queued": Status.SENT,
    "dispatched": Status.SENT,
    "delivered": Status.DELIVERED,
    "failed": Status.UNDELIVERED,
    "deleted": Status.UNDELIVERED,
    "aborted": Status.UNDELIVERED,
    "cancelled": Status.UNDELIVERED,
    "rejected": Status.REJECTED,
    "expired": Status.EXPIRED,
    "unknown": Status.SENT,  # final at Sinch, but says nothing
}

WITHDRAWN = ("aborted", "cancelled")

STATUS_OF_WITHDRAWN: Mapping[str, Status] = {
    "402": Status.REJECTED,
    "406": Status.EXPIRED,
    "408": Status.REJECTED,
    "412": Status.REJECTED,
}

# `code` of delivery reports: 4xx are Sinch's own (no HTTP statuses), the others those of its SMPP networks.
REPORT_CODES: Mapping[str, str] = {
    **dict.fromkeys(("402", "412", "12", "13", "17", "152", "154", "204"), "no_route"),
    **dict.fromkeys(("403", "404", "40", "50", "51", "52", "53", "54", "55", "56"), "vendor_fault"),
    **dict.fromkeys(("405", "334"), "invalid_request"),
    **dict.fromkeys(("406", "339"), "expired"),
    **dict.fromkeys(("408", "415"), "rejected_by_vendor"),
    **dict.fromkeys(("410", "60", "310", "311", "312"), "invalid_sender"),
    **dict.fromkeys(("411", "15", "62", "343"), "content_refused"),
    **dict.fromkeys(("416", "418"), "mms_unsupported"),
    **dict.fromkeys(("417", "153", "159", "201", "202"), "unreachable"),
    **dict.fromkeys(("100", "150", "300", "301", "302"), "invalid_recipient"),
    **dict.fromkeys(("61", "151", "254", "255", "256", "257"), "recipient_blocked"),
    "407": "cancelled",
    "413": "account_blocked",
    "414": "media_refused",
}

NO_ERROR = ("0", "400", "401")


def batch(message: Outgoing, credentials: Credentials) -> dict[str, Any]:
    """One recipient in one batch: only so the id and the reference are those of a message."""
    body: dict[str, Any] = {
        "from": writing.bare(message.sender),
        "to": [writing.bare(message.recipient)],
        "client_reference": message.reference,
        "delivery_report": "per_recipient",
    }
    if credentials.hook_url:
        body["callback_url"] = credentials.hook_url
    if 0 < message.validity < MOST_VALIDITY:
        body["expire_at"] = instant(time.time() + message.validity)
    text, parameters = _literally(message.text)
    if parameters:
        body["parameters"] = parameters
    if message.channel is Channel.MMS:
        return {**body, "type": "mt_media", "body": _media_body(message, text)}
    return {**body, "type": "mt_text", "body": text, "max_number_of_message_parts": MOST_PARTS}


def refused(answer: Mapping[str, Any], response: HttpResponse) -> SendResult:
    """What an answer to a batch means that is not a yes."""
    code = reading.text(answer, "code")
    meaning = ERRORS.get(code) or ERRORS_BY_STATUS.get(response.status)
    if meaning is None and response.status == 403 and code:
        meaning = meanings.REJECTED  # a code we do not know is about this message, not about the account
    meaning = meaning or meanings.by_status(response.status)
    return meanings.refused(meaning, response, vendor_code=code, text=reading.text(answer, "text"))


def batch_reports(body: Mapping[str, Any]) -> tuple[Report, ...]:
    """Our batches have one recipient; one of several recipients is another program's, and nothing to us."""
    statuses = reading.items(body, "statuses")
    if not statuses:
        raise BadPayload("a report on a batch without a status")
    if len(statuses) > 1 or (reading.number(statuses[0], "count") or 1) > 1:
        return ()
    return (report(body, statuses[0]),)


def report(body: Mapping[str, Any], told: Mapping[str, Any]) -> Report:
    """`told` holds status and code: the body itself, or the one status of a batch."""
    vendor_id, reference = reading.text(body, "batch_id"), reading.text(body, "client_reference")
    if not vendor_id and not reference:
        raise BadPayload("a report about no batch")
    written, code = reading.text(told, "status"), reading.text(told, "code").strip()
    word = written.lower()
    status = STATUSES.get(word, Status.UNKNOWN)
    if word in WITHDRAWN:
        status = STATUS_OF_WITHDRAWN.get(code, status)
    ours = REPORT_CODES.get(code, "expired" if status is Status.EXPIRED else "")
    failed = status.is_final and status is not Status.DELIVERED
    return Report(
        status,
        written or "none",
        vendor_id=vendor_id,
        reference=reference,
        code=ours if failed else "",
        vendor_code="" if code in NO_ERROR else code,
        text=written if failed else "",
        segments=reading.number(body, "number_of_message_parts"),
        occurred_at=reading.moment(reading.text(body, "at")),
        mms_unsupported=failed and ours == "mms_unsupported",
    )


def inbound(body: Mapping[str, Any]) -> Inbound:
    """Texts and media. The bytes of `mo_binary` are no text that a person wrote: parked, for a person to read."""
    kind, content = reading.text(body, "type"), reading.part(body, "body")
    vendor_id, sender = reading.text(body, "id"), reading.text(body, "from")
    if not vendor_id or not sender:
        raise BadPayload("an inbound message without an id or a sender")
    if kind not in ("mo_text", "mo_media"):
        raise BadPayload("a binary message, or one of an unknown kind")
    files = [file for file in reading.items(content, "media") if reading.text(file, "url")]
    written = {"mo_text": reading.text(body, "body"), "mo_media": reading.text(content, "message")}
    return Inbound(
        vendor_id=vendor_id,
        sender=sender,
        recipient=reading.text(body, "to"),
        channel=Channel.MMS if kind == "mo_media" else Channel.SMS,
        text=written.get(kind, ""),
        media=tuple(Media(reading.text(file, "url"), reading.text(file, "content_type")) for file in files),
        occurred_at=reading.moment(reading.text(body, "received_at")),
    )


def _literally(text: str) -> tuple[str, dict[str, Any]]:
    """A `${` in a text would begin a placeholder, and there is no way to escape it: its `$` becomes a parameter."""
    if "${" not in text:
        return text, {}
    return text.replace("${", "${dollar}{"), {"dollar": {"default": "$"}}


def _media_body(message: Outgoing, text: str) -> dict[str, str]:
    if len(message.media) != 1:
        raise ValueError(f"mt_media carries exactly one file, not {len(message.media)}")
    body = {"subject": message.subject, "message": text, "url": message.media[0].url}
    return {name: value for name, value in body.items() if value}


def instant(moment: float) -> str:
    """Unix time as Sinch writes times."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
