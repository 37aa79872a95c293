"""One POST's body: what is written, what is left for another POST, and what cannot be written. No database."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from messaging.callbacks import body
from messaging.callbacks.body import BODY_CAP, ClaimedEvent
from messaging.contract import wire_profile
from messaging.rules.ids import uuid7
from messaging.rules.values import EventKind

PROFILE = wire_profile.stored({})
DUE = ClaimedEvent(
    id=uuid7(),
    lease=uuid7(),
    destination_id=1,
    queue_key="1",
    url="https://acme.example/hook",
    kind=EventKind.FINAL,
    generation=0,
    status="delivered",
    occurred_at=datetime(2026, 1, 2, tzinfo=UTC),
    error=None,
    segments=1,
    sent_as="sms",
    tries=0,
    batch_cap=500,
    message_id=uuid7(),
    channel="sms",
    request_id="r1",
    custom_data="",
    metadata={},
    extra={"from": "1", "to": "2"},
    inbound_id=None,
    inbound_channel="sms",
    sender="421900000001",
    recipient="1234",
    text="YES",
    media=[],
)


def event(**changes: Any) -> ClaimedEvent:
    return replace(DUE, id=uuid7(), **changes)


def ids_in(written: body.CallbackBody) -> list[UUID]:
    (events,) = json.loads(written.content).values()
    return [UUID(one["event_id"]) for one in events]


def test_all_that_fits_is_written_in_order() -> None:
    events = [event(), event()]
    written = body.write(events, PROFILE)
    assert ids_in(written) == [one.id for one in events]
    assert (written.events, written.left_out, written.unwritable) == (tuple(events), (), ())


def test_what_has_no_room_is_left_for_another_post() -> None:
    large = [event(custom_data="x" * (BODY_CAP // 2)) for _ in range(3)]
    written = body.write(large, PROFILE)
    assert (written.events, written.left_out) == ((large[0],), (large[1], large[2]))
    assert len(written.content) <= BODY_CAP


def test_one_event_is_written_however_large_it_is() -> None:
    large = event(custom_data="x" * BODY_CAP)
    written = body.write([large, event()], PROFILE)
    assert written.events == (large,)
    assert len(written.content) > BODY_CAP


def test_the_first_event_chooses_the_envelope() -> None:
    about_message, about_inbound = event(), event(inbound_id=uuid7(), kind=EventKind.INBOUND)
    assert body.write([about_message, about_inbound], PROFILE).left_out == (about_inbound,)
    assert body.write([about_inbound, about_message], PROFILE).left_out == (about_message,)


def test_an_event_that_cannot_be_written_does_not_hold_up_the_others() -> None:
    broken, whole = event(extra=None), event()
    written = body.write([broken, whole], PROFILE)
    assert ids_in(written) == [whole.id]
    (one,) = written.unwritable
    assert (one.event, one.why) == (broken, "the event could not be written (AttributeError)")
