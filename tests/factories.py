"""Rows for tests: plain functions with working defaults and any field overridden. Only reserved numbers."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from accounts.models import ApiToken, Tenant
from messaging.models import Attempt, Connection, Content, Event, InboundMessage, Lane, Message, Route
from messaging.models.lane import DEFAULT_CALLBACK_CAP
from messaging.queues import destinations
from messaging.rules.ids import uuid7
from messaging.rules.values import EventKind, EventState, LaneKind, MessageState
from vendors.values import Channel

SENDER = "+421900000001"
RECIPIENT = "+421900000123"
CALLBACK_URL = "https://cloud-api.bloomreach.co/channels/hook/sms/demo"
TEXT = "Hello from the tests"

_numbers = itertools.count(1)


def make_tenant(**overrides: Any) -> Tenant:
    """An active tenant whose callbacks are signed with "callback-secret"."""
    n = next(_numbers)
    fields = {"slug": f"tenant-{n}", "name": f"Tenant {n}", "callback_secret": "callback-secret"}
    return Tenant.objects.create(**{**fields, **overrides})


def make_token(tenant: Tenant | None = None, **overrides: Any) -> tuple[ApiToken, str]:
    """A live token and the secret that Bloomreach would send."""
    return ApiToken.issue(tenant or make_tenant(), **overrides)


def make_connection(tenant: Tenant | None = None, **overrides: Any) -> Connection:
    """An active simulator account for both channels, on a lane of its own."""
    fields = {
        "tenant": tenant or make_tenant(),
        "name": f"account {next(_numbers)}",
        "vendor": "simulator",
        "channels": [Channel.SMS, Channel.MMS],
        "secrets": {"api_key": "simulator-api-key"},
    }
    return Connection.objects.create(**{**fields, **overrides})


def make_route(connection: Connection, **overrides: Any) -> Route:
    """A route of its own tenant to that account, without conditions."""
    return Route.objects.create(**{"tenant": connection.tenant, "connection": connection, **overrides})


def make_message(
    *,
    connection: Connection | None = None,
    state: MessageState = MessageState.ACCEPTED,
    content: dict[str, Any] | None = None,
    **overrides: Any,
) -> Message:
    """A message with its content, as intake leaves it; lease and final time follow the state."""
    connection = connection or make_connection(overrides.get("tenant"))
    now = overrides.pop("created_at", None) or datetime.now(UTC)
    request_id = overrides.pop("request_id", f"request-{next(_numbers)}")
    fields: dict[str, Any] = {
        "tenant": connection.tenant,
        "connection": connection,
        "lane": connection.lane,
        "channel": Channel.SMS,
        "request_id": request_id,
        "dedupe_key": request_id or None,
        "sender": SENDER,
        "recipient": RECIPIENT,
        "send_as": overrides.get("channel", Channel.SMS),
        "is_test": not request_id,
        "country": "SK",
        "state": state,
        "due_at": now,
        "lease": uuid7() if state is MessageState.SENDING else None,
        "expires_at": now + connection.validity,
        "created_at": now,
        "final_at": now if state.is_final else None,
    }
    message = Message.objects.create(**{**fields, **overrides})
    _make_content(message, content or {})
    return message


def _make_content(message: Message, overrides: dict[str, Any]) -> Content:
    fields: dict[str, Any] = {
        "message": message,
        "created_at": message.created_at,
        "text": TEXT,
        "custom_data": f"custom-{message.pk}",
        "callback_url": CALLBACK_URL,
        "extra": {"from": message.sender, "to": f"00{message.recipient[1:]}"},
    }
    return Content.objects.create(**{**fields, **overrides})


def make_attempt(message: Message | None = None, **overrides: Any) -> Attempt:
    """The next attempt of a message, still without an outcome."""
    message = message or make_message(state=MessageState.SENDING, attempts=1)
    fields: dict[str, Any] = {
        "message": message,
        "n": Attempt.objects.filter(message=message).count() + 1,
        "connection": message.connection,
        "send_as": message.send_as,
        "created_at": datetime.now(UTC),
    }
    return Attempt.objects.create(**{**fields, **overrides})


def make_event(message: Message | None = None, **overrides: Any) -> Event:
    """A final "delivered" that is due, about a delivered message unless another one is given."""
    message = message or make_message(state=MessageState.DELIVERED)
    fields: dict[str, Any] = {
        "lane": callback_lane(message.tenant),
        "message": message,
        "kind": EventKind.FINAL,
        "url": CALLBACK_URL,
        "status": "delivered",
        "occurred_at": message.final_at or datetime.now(UTC),
        "segments": 1,
        "sent_as": message.send_as,
    }
    fields |= overrides
    if fields.get("state") == EventState.LEASED and "lease" not in fields:
        fields |= {"lease": uuid7(), "lease_until": datetime.now(UTC) + timedelta(seconds=60)}
    return _placed(Event.objects.create(**fields))


def _placed(event: Event) -> Event:
    """With its address, as events are inserted."""
    destinations.place()
    event.refresh_from_db(fields=["destination"])
    return event


def make_inbound(connection: Connection | None = None, **overrides: Any) -> InboundMessage:
    """An inbound message from a handset to one of the tenant's numbers."""
    connection = connection or make_connection()
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "tenant": connection.tenant,
        "connection": connection,
        "channel": Channel.SMS,
        "vendor_id": f"mo-{next(_numbers)}",
        "sender": RECIPIENT,
        "recipient": SENDER,
        "text": "STOP",
        "received_at": now,
        "raw_id": UUID(int=next(_numbers)),
        "raw_at": now,
    }
    return InboundMessage.objects.create(**{**fields, **overrides})


def callback_lane(tenant: Tenant) -> Lane:
    """The lane of a tenant's callbacks."""
    return Lane.objects.towards(LaneKind.CALLBACKS, str(tenant.pk), cap=DEFAULT_CALLBACK_CAP)
