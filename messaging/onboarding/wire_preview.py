"""What a wire profile looks like: a request, its answer and both kinds of callback, with made-up values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from messaging.contract import wire, wire_profile
from messaging.contract.wire_profile import WireProfile

_MESSAGE, _EVENT = UUID(int=0x0199A2B46C1E7A308F003B1F5D0C9E11), UUID(int=0x0199A2B47F007C119D2E000000000001)
_WHEN = datetime(2026, 1, 2, 3, 4, 5, 123000, tzinfo=UTC)
_REQUEST = {
    "from": "Acme",
    "to": "00421900000100",
    "text": "Your order is on its way.",
    "request_id": "r-1",
    "custom_data": "eyJjYW1wYWlnbiI6NDJ9",
    "callback_url": "https://instance.bloomreach.co/channels/hook/sms",
    "metadata": {},
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One exchange, as a text to read."""

    title: str
    text: str


def samples(profile: WireProfile) -> list[Sample]:
    """A request and its answer, a delivery callback and an inbound one."""
    authorization = "Authorization: Bearer <token>" if profile.bearer else "Authorization: <token>"
    send = next((path for path, action in profile.paths.items() if action == "sms_send"), "/sms/send")
    request = {profile.spelled_in(key): value for key, value in _REQUEST.items()}
    accepted = wire.acceptance(message_id=_MESSAGE, request_id="r-1", duplicate=False)
    answer = (
        f"accepted {_MESSAGE}" if profile.success == "text" else _json(wire_profile.answer(accepted, profile))
    )
    return [
        Sample("A request, as it is expected", f"POST {send}\nChan-Token: <token>\n\n{_json(request)}"),
        Sample("Its answer", f"200\n\n{answer}"),
        Sample(
            "A callback about two messages",
            f"POST <callback_url>\n{authorization}\n\n"
            + _enclosed([outbound("delivered"), outbound("failed")], profile.outbound, profile),
        ),
        Sample(
            "An inbound message",
            f"POST <inbound URL>\n{authorization}\n\n" + _enclosed([inbound()], profile.inbound, profile),
        ),
    ]


def outbound(status: str, *, event_id: UUID = _EVENT, at: datetime = _WHEN) -> dict[str, Any]:
    """A delivery event of a message that never was."""
    failed = status == "failed"
    return wire.outbound_event(
        event_id=event_id,
        channel="sms",
        status=status,
        occurred_at=at,
        request_id="r-1",
        message_id=_MESSAGE,
        sender="Acme",
        recipient="00421900000100",
        custom_data="eyJjYW1wYWlnbiI6NDJ9",
        error={"code": "undelivered", "message": "Absent subscriber", "vendor_code": "27"}
        if failed
        else None,
        segments=1,
        sent_as="sms",
        metadata={},
        correction=False,
    )


def inbound(*, event_id: UUID = _EVENT, at: datetime = _WHEN) -> dict[str, Any]:
    """An inbound message that nobody wrote."""
    return wire.inbound_event(
        event_id=event_id,
        channel="sms",
        occurred_at=at,
        sender_msisdn="+421900000150",
        recipient="+447700900100",
        text="Yes",
        media=[],
        message_id=_MESSAGE,
    )


def _enclosed(events: list[Mapping[str, Any]], key: str, profile: WireProfile) -> str:
    written = [json.dumps(wire_profile.dress(event, profile)).encode() for event in events]
    return _json(json.loads(wire_profile.enclose(written, key)))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
