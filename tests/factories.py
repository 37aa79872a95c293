"""Rows for tests: plain functions with working defaults and any field overridden. Only reserved numbers."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from accounts.models import ApiToken, Tenant
from messaging.models import Attempt, Content, Event, InboundMessage, Message, ProviderAccount, Queue, Route
from messaging.models.queue import DEFAULT_CALLBACK_CAP
from messaging.queues import destinations
from messaging.rules.ids import uuid7
from messaging.rules.values import EventKind, EventState, MessageState, QueueKind
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


def make_account(tenant: Tenant | None = None, **overrides: Any) -> ProviderAccount:
    """An active simulator account for both channels, on a queue of its own."""
    fields = {
        "tenant": tenant or make_tenant(),
        "name": f"account {next(_numbers)}",
        "vendor": "simulator",
        "channels": [Channel.SMS, Channel.MMS],
        "secrets": {"api_key": "simulator-api-key"},
    }
    return ProviderAccount.objects.create(**{**fields, **overrides})


def make_route(account: ProviderAccount, **overrides: Any) -> Route:
    """A route of its own tenant to that account, without conditions."""
    return Route.objects.create(**{"tenant": account.tenant, "account": account, **overrides})


def make_message(
    *,
    account: ProviderAccount | None = None,
    state: MessageState = MessageState.ACCEPTED,
    content: dict[str, Any] | None = None,
    **overrides: Any,
) -> Message:
    """A message with its content, as intake leaves it; lease and final time follow the state."""
    account = account or make_account(overrides.get("tenant"))
    now = overrides.pop("created_at", None) or datetime.now(UTC)
    request_id = overrides.pop("request_id", f"request-{next(_numbers)}")
    fields: dict[str, Any] = {
        "tenant": account.tenant,
        "account": account,
        "queue": account.queue,
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
        "expires_at": now + account.validity,
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
        "account": message.account,
        "send_as": message.send_as,
        "created_at": datetime.now(UTC),
    }
    return Attempt.objects.create(**{**fields, **overrides})


def make_event(message: Message | None = None, **overrides: Any) -> Event:
    """A final "delivered" that is due, about a delivered message unless another one is given."""
    message = message or make_message(state=MessageState.DELIVERED)
    fields: dict[str, Any] = {
        "queue": callback_queue(message.tenant),
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


def make_inbound(account: ProviderAccount | None = None, **overrides: Any) -> InboundMessage:
    """An inbound message from a handset to one of the tenant's numbers."""
    account = account or make_account()
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "tenant": account.tenant,
        "account": account,
        "channel": Channel.SMS,
        "vendor_id": f"mo-{next(_numbers)}",
        "sender": RECIPIENT,
        "recipient": SENDER,
        "text": "STOP",
        "received_at": now,
        "exchange_id": UUID(int=next(_numbers)),
        "exchange_at": now,
    }
    return InboundMessage.objects.create(**{**fields, **overrides})


def callback_queue(tenant: Tenant) -> Queue:
    """The queue of a tenant's callbacks."""
    return Queue.objects.towards(QueueKind.CALLBACKS, str(tenant.pk), cap=DEFAULT_CALLBACK_CAP)
