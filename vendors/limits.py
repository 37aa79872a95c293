"""What an account can never carry, known before anything is sent: adapters declare it, routing and dispatch ask."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from phone import segments
from phone.numbers import NumberError, parse_sender

NUMBERS = frozenset({"numeric", "short"})  # kinds of senders
ANY_SENDER = NUMBERS | {"alpha"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a vendor documents of one message on one channel. None: it documents nothing, and nothing is refused."""

    files: int | None = None
    text: int | None = None  # characters
    ucs2_text: int | None = None  # characters of a text that GSM-7 cannot hold
    parts: int | None = None  # of an SMS
    senders: frozenset[str] = ANY_SENDER
    names: str = ""  # a regular expression that sender names must match


@dataclass(frozen=True, slots=True)
class Payload:
    """What limits are about, beside the sender: the text that would go out, and how many files."""

    text: str = field(repr=False, default="")
    files: int = 0


NOTHING = Payload()


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a message cannot go: the field of the request (contract 3), and words that follow its name."""

    field: str
    words: str

    def __str__(self) -> str:
        return f"{self.field} {self.words}"


def objection(limits: Limits, *, sender: str, content: Payload) -> Objection | None:
    """The first limit that the message breaks; None: it keeps all. An empty sender is not judged."""
    if limits.files is not None and content.files > limits.files:
        files = "one file" if limits.files == 1 else f"{limits.files} files"
        return Objection("media", f"must not name more than {files}: this account carries no more")
    if words := _text(limits, content.text):
        return Objection("text", words)
    if words := _sender(limits, sender) if sender else "":
        return Objection("from", words)
    return None


def _text(limits: Limits, text: str) -> str:
    if limits.text is None and limits.parts is None:
        return ""
    if limits.parts is None and len(text) <= min(limits.text or 0, limits.ucs2_text or limits.text or 0):
        return ""
    counted = segments.count(text)
    most = limits.text
    if counted.encoding == "UCS2" and limits.ucs2_text is not None:
        most = limits.ucs2_text
    if most is not None and len(text) > most:
        return f"must not be longer than {most} characters: this account carries no more"
    if limits.parts is not None and counted.parts > limits.parts:
        return f"must not take more than {limits.parts} parts: this account carries no more"
    return ""


def _sender(limits: Limits, sender: str) -> str:
    try:
        kind = parse_sender(sender).kind
    except NumberError:
        return ""  # taken when the account was set up; whether it is right is the vendor's to say
    if kind not in limits.senders:
        return "must be a number or short code: this account sends such messages from no name"
    if kind == "alpha" and limits.names and not re.fullmatch(limits.names, sender):
        return "is a name with a character or a form that this account does not carry"
    return ""
