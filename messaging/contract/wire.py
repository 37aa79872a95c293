"""The contract with Bloomreach: every name and shape, in both directions, in one module (contract 3-6).

What the public pages leave open is decided here; how a tenant's Bloomreach spells it otherwise is data, in
wire_profile.py. The rules of single fields are in fields.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from messaging.contract import fields
from messaging.contract.fields import FieldError, plain
from messaging.contract.media import parse_media
from phone.numbers import double_zero
from vendors.values import Channel, Media

# Field -> the key we speak, then the aliases that we accept too.
SMS_KEYS: dict[str, tuple[str, ...]] = {
    "from": ("from", "sender"),
    "to": ("to", "recipient"),
    "text": ("text", "content", "message", "body"),
    "request_id": ("request_id", "requestId", "id"),
    "custom_data": ("custom_data", "customData"),
    "callback_url": ("callback_url", "callbackUrl"),
    "metadata": ("metadata",),
}
MMS_KEYS: dict[str, tuple[str, ...]] = {
    **SMS_KEYS,
    "subject": ("subject",),
    "fallback_text": ("fallback_text", "fallback", "fallback_message", "fallbackText"),
    "media": ("media",),
}

# The keys of our events, in their order (contract 5, 7).
OUTBOUND_KEYS = (
    *("event_id", "channel", "status", "timestamp", "request_id", "message_id", "from", "to", "custom_data"),
    *("segments", "sent_as", "metadata", "error", "correction"),
)
INBOUND_KEYS = (*("event_id", "channel", "type", "timestamp", "from", "to", "text", "media", "message_id"),)

# error.code when this field alone is wrong; several wrong fields are invalid_request.
CODES = {
    **{name: f"invalid_{name}" for name in MMS_KEYS},
    "from": "invalid_sender",
    "to": "invalid_recipient",
}

Problems = dict[str, list[str]]
Keys = Mapping[str, tuple[str, ...]]


class InvalidRequest(Exception):
    """A body that can never be accepted: field -> what is wrong with it. No value is repeated."""

    def __init__(self, problems: Problems, *, request_id: str | None = None) -> None:
        self.fields = problems
        self.request_id = request_id
        super().__init__(self.message)

    @property
    def code(self) -> str:
        """The envelope's error code."""
        (first, *others) = self.fields
        return "invalid_request" if others else CODES.get(first, "invalid_request")

    @property
    def message(self) -> str:
        """One sentence for a person that names every field."""
        return "; ".join(f"{name} {' and '.join(words)}" for name, words in self.fields.items()) + "."


@dataclass(frozen=True, slots=True)
class SendRequest:
    """One send request, checked. Numbers are canonical (`+…`), `raw_from` and `raw_to` as they came."""

    channel: Channel
    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    raw_from: str = field(repr=False)
    raw_to: str = field(repr=False)
    text: str = field(repr=False)
    request_id: str | None  # None: a test message (contract 3)
    custom_data: str = field(repr=False)
    callback_url: str = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)
    extra: Mapping[str, Any] = field(repr=False)  # keys that we do not know
    subject: str = field(repr=False, default="")
    fallback_text: str = field(repr=False, default="")
    media: tuple[Media, ...] = field(repr=False, default=())


def parse_sms(
    body: Mapping[str, Any], *, callback_hosts: tuple[str, ...], demo: bool = False, keys: Keys = SMS_KEYS
) -> SendRequest:
    """The body of `POST /sms/send`; `keys` are the spellings of each field. Raises InvalidRequest."""
    form = _Form(body, keys)
    common = _common(form, callback_hosts, demo)
    text = form.take("text", fields.content)
    return form.finish(channel=Channel.SMS, text=text, **common)


def parse_mms(
    body: Mapping[str, Any], *, callback_hosts: tuple[str, ...], demo: bool = False, keys: Keys = MMS_KEYS
) -> SendRequest:
    """The body of `POST /mms/send`. The text may be empty, since there are media. Raises InvalidRequest."""
    form = _Form(body, keys)
    common = _common(form, callback_hosts, demo)
    return form.finish(
        channel=Channel.MMS,
        text=form.take("text", fields.text),
        subject=form.take("subject", fields.text),
        fallback_text=form.take("fallback_text", fields.text),
        media=form.take("media", parse_media),
        **common,
    )


def acceptance(*, message_id: UUID, request_id: str | None, duplicate: bool) -> dict[str, Any]:
    """The body of a 200 to a send (contract 4)."""
    return {
        "status": "accepted",
        "message_id": str(message_id),
        "request_id": request_id,
        "duplicate": duplicate,
    }


def outbound_event(
    *,
    event_id: UUID,
    channel: str,
    status: str,
    occurred_at: datetime,
    request_id: str | None,
    message_id: UUID,
    sender: str,
    recipient: str,
    custom_data: str,
    error: Mapping[str, Any] | None,
    segments: int | None,
    sent_as: str,
    metadata: Mapping[str, Any],
    correction: bool,
) -> dict[str, Any]:
    """One delivery event (contract 5). Sender and recipient as Bloomreach wrote them in its request."""
    event: dict[str, Any] = {
        "event_id": str(event_id),
        "channel": str(channel),
        "status": status,
        "timestamp": _unix(occurred_at),
        "request_id": request_id,
        "message_id": str(message_id),
        "from": sender,
        "to": recipient,
        "custom_data": custom_data,
        "segments": segments,
        "sent_as": str(sent_as),
        "metadata": dict(metadata),
    }
    if error:
        event["error"] = dict(error)
    if correction:
        event["correction"] = True
    return event


def inbound_event(
    *,
    event_id: UUID,
    channel: str,
    occurred_at: datetime,
    sender_msisdn: str,
    recipient: str,
    text: str,
    media: Sequence[Mapping[str, Any]],
    message_id: UUID,
) -> dict[str, Any]:
    """One inbound event (contract 6): its `from` is a legal `to` of an answer, its `to` a legal `from`."""
    return {
        "event_id": str(event_id),
        "channel": str(channel),
        "type": "incoming_message",
        "timestamp": _unix(occurred_at),
        "from": double_zero(sender_msisdn),
        "to": double_zero(recipient),
        "text": text,
        "media": [dict(item) for item in media],
        "message_id": str(message_id),
    }


def field_of(key: str) -> str:
    """Our field that a request's key means, in any case and with or without _ and -; "" for none."""
    return _LOOSE.get(plain(key), "")


def _loosely(keys: Keys) -> dict[str, str]:
    return {plain(key): name for name, spellings in keys.items() for key in spellings}


_LOOSE = _loosely(MMS_KEYS)


def _unix(moment: datetime) -> float:
    """Unix seconds with milliseconds."""
    return round(moment.timestamp(), 3)


class _Form:
    """A body taken apart field by field; what is wrong is gathered, so that the answer names all of it."""

    __slots__ = ("extra", "problems", "request_id", "values")

    def __init__(self, body: Mapping[str, Any], keys: Keys) -> None:
        self.problems: Problems = {}
        self.request_id: str | None = None
        self.values: dict[str, Any] = {}
        used = set()
        for name, spellings in keys.items():
            for key in spellings:
                # The first key that is there at all speaks for its field, even with null.
                if key in body:
                    self.values[name] = body[key]
                    used.add(key)
                    break
        self.extra = {key: value for key, value in body.items() if key not in used}
        if self.extra:
            self._read_loosely(keys)

    def _read_loosely(self, keys: Keys) -> None:
        """A field that is still missing is taken from a key that differs from one of its own in case, _ or - only."""
        means = _LOOSE if keys is SMS_KEYS or keys is MMS_KEYS else _loosely(keys)
        for key in tuple(self.extra):
            name = means.get(plain(key), "")
            if name in keys and name not in self.values:
                self.values[name] = self.extra.pop(key)

    def take(self, name: str, rule: Callable[..., Any], default: Any = None, **options: Any) -> Any:
        """The field's value by its rule; the default, with the problem noted, when it breaks the rule."""
        try:
            return rule(self.values.get(name), **options)
        except FieldError as error:
            self.problems[name] = error.words
            return default

    def finish(self, **values: Any) -> SendRequest:
        """The request. Raises InvalidRequest when anything was wrong."""
        if self.extra:
            self._check_extra()
        if self.problems:
            raise InvalidRequest(self.problems, request_id=self.request_id)
        return SendRequest(extra=self.extra, **values)

    def _check_extra(self) -> None:
        """Unknown keys are kept and ignored, but they must be fit to be kept."""
        for key, value in self.extra.items():
            try:
                fields.storable({key: value})
            except FieldError as error:
                name = key.encode("ascii", "backslashreplace").decode()
                self.problems[name.replace("\x00", "\\0")] = error.words


def _common(form: _Form, callback_hosts: tuple[str, ...], demo: bool) -> dict[str, Any]:
    """The fields that both channels share."""
    form.request_id = form.take("request_id", fields.request_id)
    # A request id that is there but wrong makes no test message: nothing becomes optional by it.
    is_test = form.request_id is None and not form.problems
    raw_from, sender = form.take("from", fields.sender, ("", ""))
    raw_to, recipient = form.take("to", fields.recipient, ("", ""))
    return {
        "request_id": form.request_id,
        "raw_from": raw_from,
        "sender": sender,
        "raw_to": raw_to,
        "recipient": recipient,
        "custom_data": form.take("custom_data", fields.custom_data, optional=is_test),
        "callback_url": form.take(
            "callback_url", fields.callback_url, optional=is_test, hosts=callback_hosts, demo=demo
        ),
        "metadata": form.take("metadata", fields.metadata),
    }
