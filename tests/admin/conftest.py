"""A desk with one row of every kind, and the secrets that must never be seen there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import ApiToken, Tenant
from messaging.models import (
    Attempt,
    AttemptPart,
    DeliveryReport,
    Event,
    Exchange,
    InboundMessage,
    Inbox,
    Message,
    ProviderAccount,
    RecordedRequest,
    Replay,
    Slot,
)
from messaging.rules.ids import uuid7
from messaging.rules.values import Effect, EventState, ExchangeKind, MessageState
from tests.factories import (
    make_account,
    make_attempt,
    make_event,
    make_inbound,
    make_message,
    make_tenant,
    make_token,
)
from vendors.values import Outcome, Status

SECRETS = ("callback-secret", "older-callback-secret", "key-of-the-carrier", "frozen-call-bytes")


@dataclass(frozen=True)
class Desk:
    tenant: Tenant
    token: ApiToken
    token_secret: str
    account: ProviderAccount
    message: Message
    attempt: Attempt
    report: DeliveryReport
    event: Event
    dead: Event
    inbound: InboundMessage
    inbox: Inbox
    exchange: Exchange
    replay: Replay
    slot: Slot
    shape: RecordedRequest


@pytest.fixture
def desk(db: None) -> Desk:
    tenant = make_tenant(slug="acme", name="Acme", callback_secret_previous="older-callback-secret")
    token, token_secret = make_token(tenant)
    account = make_account(tenant, name="main", secrets={"api_key": "key-of-the-carrier"})
    start = datetime.now(UTC) - timedelta(minutes=10)

    def at(seconds: float) -> datetime:
        return start + timedelta(seconds=seconds)

    message = make_message(
        account=account,
        state=MessageState.DELIVERED,
        created_at=start,
        final_at=at(6),
        request_id="campaign-1:42",
        attempts=1,
    )
    attempt = make_attempt(
        message,
        created_at=at(1),
        ended_at=at(2.5),
        outcome=Outcome.TAKEN,
        vendor_id="vendor-7",
        parts=2,
        frozen="frozen-call-bytes",
    )
    AttemptPart.objects.create(account=account, vendor_id="vendor-8", attempt=attempt, part=2)
    call = {"request": '{"method": "POST"}', "response": '{"status": 202}'}
    Exchange.objects.create(at=at(2.5), kind=ExchangeKind.CALL, account=account, owner=attempt.pk, **call)
    hook = Exchange.objects.create(
        at=at(5), kind=ExchangeKind.HOOK, account=account, request='{"said": "DELIVRD"}'
    )
    report = DeliveryReport.objects.create(
        exchange_id=hook.pk,
        exchange_at=hook.at,
        account=account,
        attempt=attempt,
        status=Status.DELIVERED,
        vendor_status="DELIVRD",
        received_at=at(5),
        effect=Effect.APPLIED,
        digest=b"d" * 32,
    )
    post = Exchange.objects.create(
        at=at(7), kind=ExchangeKind.POST, request="{}", response=json.dumps({"status": 200})
    )
    told = {"created_at": at(6), "acked_at": at(7), "last_post": post.pk, "tries": 1}
    event = make_event(message, state=EventState.ACKED, **told)
    gone = make_message(account=account, state=MessageState.UNDELIVERED, request_id="campaign-1:43")
    dead = make_event(gone, state=EventState.UNDELIVERABLE, status="failed", tries=12, last_error="HTTP 404")
    inbox = Inbox.objects.create(
        exchange_id=hook.pk, exchange_at=hook.at, account=account, parked_at=at(8), parked_why="no JSON"
    )
    return Desk(
        tenant=tenant,
        token=token,
        token_secret=token_secret,
        account=account,
        message=message,
        attempt=attempt,
        report=report,
        event=event,
        dead=dead,
        inbound=make_inbound(account, received_at=at(20)),
        inbox=inbox,
        exchange=hook,
        replay=Replay.objects.create(kind="callbacks", filter={"tenant": "acme"}, reason="a test", total=3),
        slot=Slot.objects.create(worker="w-1", n=0, token=uuid7()),
        shape=RecordedRequest.objects.create(
            tenant=tenant, action="sms_send", digest=b"d" * 32, keys={"msg": "string"}, headers=["Chan-Token"]
        ),
    )
