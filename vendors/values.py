"""What crosses the border between the house and an adapter, and the words for it. No Django, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Channel(StrEnum):
    """What Bloomreach asked for, or what really went out after a fallback."""

    SMS = "sms"
    MMS = "mms"


class Outcome(StrEnum):
    """What one call to a vendor says about one message."""

    TAKEN = "taken"  # the vendor has it
    TEMPORARY = "temporary"  # surely not taken, may work later
    PERMANENT = "permanent"  # surely not taken, never will be
    CONFIGURATION = "configuration"  # surely not taken: credentials or account; the queue is paused
    UNKNOWN = "unknown"  # may have been taken
    NOT_DIALLED = "not_dialled"  # claimed, but handed back before a byte was sent


class Status(StrEnum):
    """What a vendor's delivery report says, in our words."""

    SENT = "sent"  # on its way: not final
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNKNOWN = "unknown"  # a word that the adapter does not know: kept, counted, changes nothing

    @property
    def is_final(self) -> bool:
        return self not in (Status.SENT, Status.UNKNOWN)


class Presence(StrEnum):
    """Answer of a look-up by our reference."""

    FOUND = "found"
    ABSENT = "absent"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True)
class Media:
    """One file of an MMS."""

    url: str
    content_type: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an adapter may know of a provider account. Secrets never show in a repr."""

    public_id: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    hook_url: str = ""  # absolute, no trailing slash; an adapter may add a path or a query


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One attempt to send one message. `reference` is ours, new for each deliberate send."""

    reference: str
    message_id: str  # the same on every attempt
    channel: Channel  # as it goes out: an MMS that fell back is sms here
    sender: str  # "+421…" | short code | alphanumeric
    recipient: str  # "+421…"
    text: str = field(repr=False, default="")
    subject: str = field(repr=False, default="")
    fallback_text: str = field(repr=False, default="")
    media: tuple[Media, ...] = field(repr=False, default=())
    validity: float = 0.0  # seconds left
    metadata: Mapping[str, Any] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt that the vendor took, or may have taken."""

    reference: str
    vendor_id: str  # empty while the outcome is unknown, or when the vendor gives none
    channel: Channel
    recipient: str = field(repr=False)
    sent_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token for calls to a vendor."""

    value: str = field(repr=False)
    seconds: float  # how long it is valid from now; 0: unknown


@dataclass(frozen=True, slots=True)
class SendResult:
    """What a vendor's answer means for one message of the batch."""

    outcome: Outcome
    vendor_id: str = ""
    part_ids: tuple[str, ...] = ()  # all ids in order when the vendor gives one per part
    segments: int | None = None
    code: str = ""  # ours, e.g. invalid_recipient, opted_out, throttled
    vendor_code: str = ""
    text: str = ""  # the vendor's words, shown to operators and Bloomreach
    retry_after: float | None = None  # seconds
    mms_unsupported: bool = False  # the handset or country takes no MMS: fall back
    route_fault: bool = False  # another account may succeed


@dataclass(frozen=True, slots=True)
class Report:
    """One delivery report, translated. Found by our reference first, by the vendor's id second."""

    status: Status
    vendor_status: str
    vendor_id: str = ""
    reference: str = ""
    part: int = 1
    parts: int | None = None  # how many parts the vendor reports on, when it says so
    code: str = ""
    vendor_code: str = ""
    text: str = ""
    segments: int | None = None
    occurred_at: datetime | None = None  # UTC; None: use the time of receipt
    mms_unsupported: bool = False
    sent_as: Channel | None = None  # what went out after the vendor's own fallback, when it says so


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message from a handset (MO)."""

    vendor_id: str  # "": the vendor gives none, and the inbox tells repeats from new messages
    sender: str  # as the vendor wrote it
    recipient: str
    channel: Channel = Channel.SMS
    text: str = field(repr=False, default="")
    media: tuple[Media, ...] = field(repr=False, default=())
    part: int = 1
    occurred_at: datetime | None = None
    guessed: bool = (
        False  # the text has characters that could not be read for sure: alarmed, and told all the same
    )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One entry of a vendor's call that could not be read. What else is in the call counts."""

    reason: str  # for people, without the entry's content
    error: Exception = field(repr=False)


Said = Report | Inbound | Unreadable  # one thing that a vendor's call tells


@dataclass(frozen=True, slots=True)
class Found:
    """Result of a look-up by our reference."""

    presence: Presence
    vendor_id: str = ""
    report: Report | None = None


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """What the vendor thinks of our credentials. `ok` None: it could not be asked."""

    ok: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A vendor's call to us, as it came."""

    method: str
    url: str  # absolute, as the vendor was given it, with the query
    path: str  # what follows the account's public id, without slashes around it
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)  # names in lower case
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HookReply:
    """What the vendor wants to hear once its call is stored."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"
