"""The body of one POST: events that were claimed, written as JSON in the spelling of the tenant's profile."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from messaging.contract import wire, wire_profile
from messaging.contract.wire_profile import WireProfile
from messaging.rules.values import EventKind

log = logging.getLogger(__name__)

BODY_CAP: Final = 256 * 1024  # bytes of one POST


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """An event that was claimed (a row of claims.CLAIM), with the message or the inbound message that it is about."""

    id: UUID
    lease: UUID
    destination_id: int
    queue_key: str  # the tenant's id
    url: str
    kind: int
    generation: int
    status: str
    occurred_at: datetime
    error: Mapping[str, Any] | None
    segments: int | None
    sent_as: str
    tries: int
    batch_cap: int
    # Of the message. All of these are null for an event about an inbound message, and what the content holds is null
    # where that is gone: an event that lacks what it needs cannot be written.
    message_id: UUID
    channel: str
    request_id: str
    custom_data: str = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)
    extra: Mapping[str, Any] = field(repr=False)
    # Of the inbound message. All are null for an event about a message.
    inbound_id: UUID | None
    inbound_channel: str
    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    text: str = field(repr=False)
    media: Sequence[Mapping[str, Any]] = field(repr=False)

    @property
    def is_inbound(self) -> bool:
        """Whether it is about a message from a handset."""
        return self.inbound_id is not None


@dataclass(frozen=True, slots=True)
class Unwritable:
    """An event that is no valid JSON, and why."""

    event: ClaimedEvent
    why: str


@dataclass(frozen=True, slots=True)
class CallbackBody:
    """What one POST says, and what became of the events that were claimed for it."""

    content: bytes = field(repr=False)
    events: tuple[ClaimedEvent, ...]
    left_out: tuple[ClaimedEvent, ...]  # no room, or another envelope: for another POST
    unwritable: tuple[Unwritable, ...]


def write(events: Sequence[ClaimedEvent], profile: WireProfile) -> CallbackBody:
    """Writes the events in order, up to BODY_CAP; the first one always fits.

    Events about messages and events about inbound messages have each an envelope of their own, also where both go to
    one URL: the first event decides which of them are written.
    """
    key = profile.inbound if events[0].is_inbound else profile.outbound
    pieces: list[bytes] = []
    written: list[ClaimedEvent] = []
    left_out: list[ClaimedEvent] = []
    unwritable: list[Unwritable] = []
    size = len(wire_profile.enclose([], key))
    for place, event in enumerate(events):
        if event.is_inbound != events[0].is_inbound:
            left_out.append(event)
            continue
        try:
            piece = orjson.dumps(wire_profile.dress(_event(event), profile))
        except Exception as error:  # one broken row must not hold up everybody's callbacks
            log.exception("callback could not be written", extra={"event": str(event.id)})
            why = f"the event could not be written ({type(error).__name__})"
            unwritable.append(Unwritable(event, why))
            continue
        size += len(piece) + 1
        if pieces and size - 1 > BODY_CAP:
            left_out += events[place:]
            break
        written.append(event)
        pieces.append(piece)
    content = wire_profile.enclose(pieces, key)
    return CallbackBody(content, tuple(written), tuple(left_out), tuple(unwritable))


def _event(event: ClaimedEvent) -> dict[str, Any]:
    if event.inbound_id is not None:
        return wire.inbound_event(
            event_id=event.id,
            channel=event.inbound_channel,
            occurred_at=event.occurred_at,
            sender_msisdn=event.sender,
            recipient=event.recipient,
            text=event.text,
            media=event.media,
            message_id=event.inbound_id,
        )
    return wire.outbound_event(
        event_id=event.id,
        channel=event.channel,
        status=event.status,
        occurred_at=event.occurred_at,
        request_id=event.request_id,
        message_id=event.message_id,
        sender=event.extra.get("from", ""),
        recipient=event.extra.get("to", ""),
        custom_data=event.custom_data,
        error=event.error,
        segments=event.segments,
        sent_as=event.sent_as,
        metadata=event.metadata,
        correction=event.kind == EventKind.CORRECTION,
    )
