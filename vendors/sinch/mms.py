"""The MMS JSON API: one call to one recipient, answers and postbacks with hyphens in their names."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from outbound.values import HttpResponse
from vendors import meanings, reading, writing
from vendors.base import BadPayload
from vendors.meanings import Meaning
from vendors.sinch.xms import instant
from vendors.values import Channel, Credentials, Inbound, Media, Outcome, Outgoing, Report, SendResult, Status

# Facts.
BASE_URL = "https://api.ci.mblox.com"
MOST_FILES = 8  # one on each slide
NO_SUBJECT = "MMS"  # the MMS API wants a subject
SLIDE_KINDS: Mapping[str, str] = {
    "text/vcard": "vcard",
    "text/x-vcard": "vcard",
    "text/calendar": "ical",
    "application/pdf": "pdf",
    "application/vnd.apple.pkpass": "passbook",
}

# `error-code` of the MMS API. No code tells a STOP from another block.
ERRORS: Mapping[str, Meaning] = {
    "E103": meanings.ACCOUNT_BLOCKED,
    **dict.fromkeys(("E104", "E105", "E107", "E112"), meanings.CREDENTIALS_REFUSED),
    **dict.fromkeys(("E106", "E113"), meanings.THROTTLED),
    **dict.fromkeys(("E503", "E618", "E626"), meanings.UNAVAILABLE),
    "E110": meanings.INVALID_RECIPIENT,
    "E111": meanings.INVALID_SENDER,
    "E114": meanings.RECIPIENT_BLOCKED,
    **dict.fromkeys(("E228", "E229", "E334"), meanings.CONTENT_REFUSED),
    **dict.fromkeys(("E331", "E332", "E333", "E335", "E336", "E337", "E338", "E341"), meanings.MEDIA_REFUSED),
    # Could not be copied. It may work later, but a whole campaign of it must not open the circuit for SMS.
    **dict.fromkeys(("E351", "E352", "E353", "E355", "E356", "E357", "E358"), meanings.MEDIA_REFUSED),
    **dict.fromkeys(("E619", "E628"), meanings.NO_ROUTE),
    "E629": meanings.MEDIA_REFUSED,
    **dict.fromkeys(("E100", "E108", "E212", "E213", "E214", "E223", "E224"), meanings.INVALID_REQUEST),
    **dict.fromkeys(("E225", "E226", "E227", "E230", "E241", "E311", "E312"), meanings.INVALID_REQUEST),
    **dict.fromkeys(("E313", "E314", "E620", "E622", "E627", "E650", "E651"), meanings.INVALID_REQUEST),
}

# `code` of the MMS API's postbacks; E102 says in its status why, those of FALLBACK_CODES are about the SMS.
STATUSES: Mapping[str, Status] = {
    "N101": Status.SENT,
    "N013": Status.SENT,
    "N102": Status.DELIVERED,
    "N103": Status.EXPIRED,
    "N202": Status.DELIVERED,
    **dict.fromkeys(("E101", "E011", "E012", "E013", "E999", "E102", "E202"), Status.UNDELIVERED),
}

REPORT_CODES: Mapping[str, str] = {
    **dict.fromkeys(("E101", "E999"), "vendor_fault"),
    **dict.fromkeys(("E011", "E012", "E013"), "media_refused"),
    "N103": "expired",
}

FALLBACK_CODES = ("N202", "E202")

UNSENT_WORDS: Sequence[tuple[str, Status, str]] = (
    ("expired", Status.EXPIRED, "expired"),
    ("rejected", Status.REJECTED, "rejected_by_vendor"),
    ("not supported", Status.UNDELIVERED, "mms_unsupported"),  # Sinch has sent the fallback, where it has one
)


def request(message: Outgoing, credentials: Credentials) -> dict[str, Any]:
    """The body of `sendmms`: one slide for each file, the text on the first."""
    slides: list[dict[str, Any]] = [{_kind(file): {"url": file.url}} for file in message.media] or [{}]
    if message.text:
        slides[0]["message-text"] = message.text
    body: dict[str, Any] = {
        "action": "sendmms",
        "service-id": credentials.settings["mms_service_id"],
        "to": writing.bare(message.recipient),
        "from": writing.bare(message.sender),
        "message-subject": message.subject or NO_SUBJECT,
        "client-reference": message.reference,
        "disable-fallback-sms": not message.fallback_text,
        "slide": slides,
    }
    if message.fallback_text:  # to the letter: no link behind it
        body |= {"fallback-sms-text": message.fallback_text, "disable-fallback-sms-link": True}
    if message.validity > 0:
        body["mms-expiry-timestamp"] = f"{instant(time.time() + message.validity)[:19]}Z"
    return body


def result(answer: Mapping[str, Any], response: HttpResponse) -> SendResult:
    """HTTP 200 says yes and no. That JSON has these names, those of the XML twin, is not documented."""
    status, vendor_id = reading.text(answer, "status").lower(), reading.text(answer, "tracking-id")
    code = reading.text(answer, "error-code")
    if response.status == 200 and status == "success" and vendor_id:
        return SendResult(Outcome.TAKEN, vendor_id)
    if response.status < 500 and (code or status == "failure"):
        meaning = ERRORS.get(code, meanings.REJECTED)
        text = reading.text(answer, "error-info")
        return meanings.refused(meaning, response, vendor_code=code, text=text)
    if response.status < 300:
        return meanings.unreadable(response)
    return meanings.refused(meanings.by_status(response.status), response)


def report(body: Mapping[str, Any]) -> Report:
    """A postback on a message; its client reference is not documented, the tracking ID is."""
    code, written = reading.text(body, "code").upper(), reading.text(body, "status")
    vendor_id, reference = reading.text(body, "tracking-id"), reading.text(body, "client-reference")
    if not vendor_id and not reference:
        raise BadPayload("a postback about no message")
    status, ours = STATUSES.get(code, Status.UNKNOWN), REPORT_CODES.get(code, "")
    if code == "E102":
        said = [(status, ours) for word, status, ours in UNSENT_WORDS if word in written.lower()]
        status, ours = said[0] if said else (status, ours)
    way = "SMS" if code in FALLBACK_CODES else reading.text(body, "sent-as").upper()
    return Report(
        status,
        code or "none",
        vendor_id=vendor_id,
        reference=reference,
        code=ours,
        vendor_code=code if status.is_final and status is not Status.DELIVERED else "",
        text=written,
        occurred_at=reading.moment(reading.text(body, "timestamp")),
        sent_as=Channel(way.lower()) if way in ("SMS", "MMS") else None,
    )


def inbound(body: Mapping[str, Any]) -> Inbound:
    """Its text is one of the files."""
    vendor_id, sender = reading.text(body, "tracking-id"), reading.text(body, "from")
    if not vendor_id or not sender:
        raise BadPayload("an inbound MMS without an id or a sender")
    files = [reading.text(file, "file") for file in reading.items(body, "content")]
    return Inbound(
        vendor_id=vendor_id,
        sender=sender,
        recipient=reading.text(body, "to"),
        channel=Channel.MMS,
        text=reading.text(body, "message-subject"),
        media=tuple(Media(url) for url in files if url),
        occurred_at=reading.moment(reading.text(body, "timestamp")),
    )


def _kind(file: Media) -> str:
    """What a slide calls a file of that type; image when nothing tells."""
    kind = file.content_type or mimetypes.guess_type(urlsplit(file.url).path)[0] or ""
    kind = kind.partition(";")[0].strip().lower()
    major = kind.partition("/")[0]
    return SLIDE_KINDS.get(kind) or (major if major in ("audio", "video") else "image")
