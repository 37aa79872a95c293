"""Replay orders: what they take, what they refuse, and that each row is handled once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection as database
from django.db import connections, transaction

from messaging.models import Content, DeliveryReport, Event, Exchange, Inbox, Message, ProviderAccount, Replay
from messaging.replay import orders
from messaging.replay.orders import ReplayError, ReplayFilter
from messaging.rules.ids import uuid7
from messaging.rules.values import Effect, EventKind, EventState, MessageState
from tests import factories
from vendors.values import Channel, Outcome, Status

pytestmark = pytest.mark.django_db

S = MessageState
MINUTE = timedelta(minutes=1)


def order(kind: str, asked: ReplayFilter | None = None, **options: Any) -> Replay:
    return orders.create(
        kind=kind, filter=asked or ReplayFilter(), requested_by="ann", reason="ticket 7", **options
    )


def carry_out(kind: str, asked: ReplayFilter | None = None, **options: Any) -> Replay:
    ordered = order(kind, asked, **options)
    while orders.advance():
        pass
    ordered.refresh_from_db()
    assert ordered.state == "done"
    return ordered


def counts(ordered: Replay) -> tuple[int, int, int]:
    return ordered.total, ordered.done, ordered.skipped


def refused(seen: orders.Preview) -> dict[str, int]:
    return {one.reason: one.count for one in seen.refused}


def make_failed(*outcomes: Outcome | None, status: Status | None = None, **overrides: Any) -> Message:
    """A message that failed, with an attempt per outcome; `status` is what was reported on the last."""
    overrides = {"state": S.FAILED, "error_code": "failed", "attempts": len(outcomes)} | overrides
    message = factories.make_message(**overrides)
    for n, outcome in enumerate(outcomes, start=1):
        factories.make_attempt(message, outcome=outcome, status=status if n == len(outcomes) else None)
    return message


def make_undeliverable(message: Message | None = None, **overrides: Any) -> Event:
    worn = {"tries": 11, "batch_cap": 1, "first_try_at": datetime.now(UTC), "last_error": "HTTP 500"}
    return factories.make_event(message, **({"state": EventState.UNDELIVERABLE} | worn | overrides))


def make_exchange(
    by: ProviderAccount, /, *, parked: bool = False, kind: str = "hook", **overrides: Any
) -> Exchange:
    exchange = Exchange.objects.create(**({"at": datetime.now(UTC), "kind": kind, "account": by} | overrides))
    if parked:
        now = datetime.now(UTC)
        fields = {
            "exchange_at": exchange.at,
            "account": by,
            "tries": 3,
            "parked_at": now,
            "parked_why": "not JSON",
        }
        Inbox.objects.create(exchange_id=exchange.id, **fields)
    return exchange


def make_report(message: Message, status: Status, **overrides: Any) -> DeliveryReport:
    attempt = message.tries.order_by("-n").first() or factories.make_attempt(message, outcome=Outcome.TAKEN)
    now = datetime.now(UTC)
    fields = {
        "exchange_id": uuid7(),
        "exchange_at": now,
        "account": message.account,
        "attempt": attempt,
        "status": status,
        "received_at": now,
        "effect": Effect.CONTRADICTION,
        "digest": os.urandom(32),
    }
    return DeliveryReport.objects.create(**(fields | overrides))


# ---- orders


@pytest.mark.parametrize(
    ("kind", "asked", "options", "words"),
    [
        pytest.param("sms", ReplayFilter(), {}, "Unknown kind 'sms'", id="kind"),
        pytest.param("messages", ReplayFilter(tenant="nobody"), {}, "Unknown tenant 'nobody'", id="tenant"),
        pytest.param("messages", ReplayFilter(account="x"), {}, "Unknown provider account", id="account"),
        pytest.param("messages", ReplayFilter(status="dead"), {}, "Unknown status 'dead'", id="status"),
        pytest.param("messages", ReplayFilter(status="sent"), {}, "Unknown status 'sent'", id="open status"),
        pytest.param(
            "events", ReplayFilter(status="due"), {}, "choose undeliverable, acked", id="event status"
        ),
        pytest.param("messages", ReplayFilter(since=datetime(2026, 1, 1)), {}, "time zone", id="naive"),
        pytest.param(
            "messages",
            ReplayFilter(since=datetime(2026, 1, 2, tzinfo=UTC), until=datetime(2026, 1, 1, tzinfo=UTC)),
            {},
            "since must lie before until",
            id="backwards",
        ),
        pytest.param("messages", ReplayFilter(ids=(uuid7(),) * 10_001), {}, "At most 10000", id="ids"),
        pytest.param("events", ReplayFilter(), {"may_duplicate": True}, "Only messages", id="duplicate flag"),
        pytest.param("messages", ReplayFilter(), {"corrections": True}, "from reports", id="corrections"),
        pytest.param(
            "reports",
            ReplayFilter(status="parked"),
            {"corrections": True},
            "no status",
            id="corrections status",
        ),
        pytest.param("messages", ReplayFilter(), {"rate": 0.0}, "rate must be", id="rate zero"),
        pytest.param("messages", ReplayFilter(), {"rate": float("nan")}, "rate must be", id="rate nan"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    kind: str, asked: ReplayFilter, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ReplayError, match=words):
        order(kind, asked, **options)
    if "rate" not in options:
        with pytest.raises(ReplayError, match=words):
            orders.preview(kind=kind, filter=asked, **options)
    assert not Replay.objects.exists()


def test_an_account_name_of_several_tenants_needs_the_tenant() -> None:
    one, two = factories.make_account(name="main"), factories.make_account(name="main")
    with pytest.raises(ReplayError, match="Several tenants"):
        order("messages", ReplayFilter(account="main"))
    for account in (one, two):
        asked = ReplayFilter(account="main", tenant=account.tenant.slug)
        assert order("messages", asked).filter["account_id"] == account.pk
        assert order("messages", ReplayFilter(account=account.public_id)).filter["account_id"] == account.pk
    with pytest.raises(ReplayError, match="Unknown provider account"):
        order("messages", ReplayFilter(account=one.public_id, tenant=two.tenant.slug))


def test_an_order_says_who_why_and_how_many() -> None:
    make_failed(), make_failed(error_code="opted_out")
    ordered = order("messages", rate=2.5)
    assert (ordered.kind, ordered.state, ordered.total, ordered.rate) == ("messages", "running", 2, 2.5)
    assert (ordered.requested_by, ordered.reason, ordered.cursor) == ("ann", "ticket 7", "")
    assert ordered.filter["until"] is not None


def test_an_order_outlives_a_renamed_tenant() -> None:
    dead = make_undeliverable()
    tenant = dead.message.tenant
    ordered = order("events", ReplayFilter(tenant=tenant.slug))
    tenant.slug = "renamed"
    tenant.save()
    orders.advance()
    ordered.refresh_from_db()
    assert counts(ordered) == (1, 1, 0)


@pytest.mark.parametrize("kind", ["events", "messages", "reports"])
def test_the_filter_chooses(kind: str) -> None:
    """Two tenants, two moments: each condition leaves the rows of the other out."""
    now = datetime.now(UTC)
    made: dict[str, Any] = {}
    accounts = [factories.make_account(), factories.make_account()]
    for account in accounts:
        for age in (timedelta(hours=3), timedelta(hours=1)):
            at = now - age
            message = make_failed(account=account, created_at=at)
            event = make_undeliverable(message, created_at=at)
            exchange = make_exchange(account, at=at)
            chosen = {"events": event, "messages": message, "reports": exchange}[kind]
            made[f"{accounts.index(account)} {age.seconds // 3600}"] = chosen.pk
    mine = accounts[0]

    def found(**asked: Any) -> set[str]:
        sample = orders.preview(kind=kind, filter=ReplayFilter(**asked)).sample
        return {name for name, key in made.items() if key in sample}

    assert found() == {"0 3", "0 1", "1 3", "1 1"}
    assert found(tenant=mine.tenant.slug) == {"0 3", "0 1"}
    assert found(account=mine.public_id) == {"0 3", "0 1"}
    assert found(since=now - timedelta(hours=2)) == {"0 1", "1 1"}
    assert found(until=now - timedelta(hours=2)) == {"0 3", "1 3"}
    assert found(tenant=mine.tenant.slug, since=now - timedelta(hours=2)) == {"0 1"}
    assert found(ids=(made["0 3"], made["1 1"])) == {"0 3", "1 1"}
    assert found(ids=(made["0 3"], made["1 1"]), tenant=mine.tenant.slug) == {"0 3"}
    ordered = carry_out(kind, ReplayFilter(tenant=mine.tenant.slug, since=now - timedelta(hours=2)))
    assert counts(ordered) == (1, 1, 0)


# ---- callbacks


def test_dead_events_are_armed_again_under_the_same_id() -> None:
    event = make_undeliverable()
    others = [
        factories.make_event(state=state, due_at=datetime(2030, 1, 1, tzinfo=UTC))
        for state in (EventState.DUE, EventState.LEASED, EventState.ACKED)
    ]
    before = {one.pk: (one.state, one.due_at, one.lease) for one in others}
    assert counts(carry_out("events")) == (1, 1, 0)
    armed = Event.objects.get(pk=event.pk)
    assert (armed.state, armed.tries, armed.batch_cap, armed.first_try_at) == (EventState.DUE, 0, 500, None)
    assert armed.due_at <= datetime.now(UTC)
    assert {
        one.pk: (one.state, one.due_at, one.lease) for one in Event.objects.exclude(pk=event.pk)
    } == before


def test_acknowledged_events_are_told_again_when_asked_for() -> None:
    event = factories.make_event(state=EventState.ACKED, acked_at=datetime.now(UTC), tries=2)
    asked = ReplayFilter(ids=(event.pk,))
    assert refused(orders.preview(kind="events", filter=asked)) == {"acked": 1}
    assert counts(carry_out("events", asked)) == (1, 0, 1)
    assert Event.objects.get().state == EventState.ACKED
    assert counts(carry_out("events", ReplayFilter(status="acked"))) == (1, 1, 0)
    armed = Event.objects.get()
    assert (armed.pk, armed.state, armed.acked_at, armed.tries) == (event.pk, EventState.DUE, None, 0)


def test_undeliverable_events_can_be_named() -> None:
    event = make_undeliverable()
    factories.make_event(state=EventState.ACKED, acked_at=datetime.now(UTC))
    assert orders.preview(kind="events", filter=ReplayFilter(status="undeliverable")).sample == (event.pk,)


@pytest.mark.parametrize(
    ("kind", "status"), [(kind, status) for kind, offered in orders.STATUSES.items() for status in offered]
)
def test_every_status_that_is_offered_can_be_asked_for(kind: str, status: str) -> None:
    assert orders.preview(kind=kind, filter=ReplayFilter(status=status)).total == 0


@pytest.mark.parametrize("state", [EventState.DUE, EventState.LEASED])
def test_events_still_being_tried_are_left_alone(state: EventState) -> None:
    event = factories.make_event(state=state, tries=4)
    asked = ReplayFilter(ids=(event.pk,))
    assert refused(orders.preview(kind="events", filter=asked)) == {"pending": 1}
    assert counts(carry_out("events", asked)) == (1, 0, 1)
    assert Event.objects.get().tries == 4


def test_events_of_inbound_messages_are_callbacks_too() -> None:
    inbound = factories.make_inbound()
    Event.objects.create(
        queue=factories.callback_queue(inbound.tenant),
        inbound=inbound,
        kind=EventKind.INBOUND,
        url=factories.CALLBACK_URL,
        status="incoming_message",
        occurred_at=inbound.received_at,
        state=EventState.UNDELIVERABLE,
    )
    asked = ReplayFilter(tenant=inbound.tenant.slug, account=inbound.account.public_id)
    assert counts(carry_out("events", asked)) == (1, 1, 0)
    assert Event.objects.get().state == EventState.DUE


# ---- messages

SAFE, RISKY = "", "may_have_been_sent"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda: make_failed(), SAFE, id="never dialled"),
        pytest.param(lambda: make_failed(state=S.EXPIRED), SAFE, id="expired before a call"),
        pytest.param(lambda: make_failed(state=S.CANCELLED), SAFE, id="cancelled"),
        pytest.param(lambda: make_failed(Outcome.PERMANENT), SAFE, id="refused"),
        pytest.param(
            lambda: make_failed(Outcome.NOT_DIALLED, Outcome.TEMPORARY, Outcome.CONFIGURATION),
            SAFE,
            id="not taken",
        ),
        pytest.param(
            lambda: make_failed(Outcome.TAKEN, status=Status.REJECTED, state=S.REJECTED),
            SAFE,
            id="rejected whole",
        ),
        pytest.param(
            lambda: make_failed(Outcome.UNKNOWN, error_code="unknown_outcome"), RISKY, id="unknown outcome"
        ),
        pytest.param(
            lambda: make_failed(Outcome.UNKNOWN, Outcome.PERMANENT), RISKY, id="unknown, then refused"
        ),
        pytest.param(lambda: make_failed(None), RISKY, id="never recorded"),
        pytest.param(lambda: make_failed(Outcome.TAKEN, state=S.UNCONFIRMED), RISKY, id="unconfirmed"),
        pytest.param(
            lambda: make_failed(Outcome.TAKEN, status=Status.UNDELIVERED, state=S.UNDELIVERED),
            RISKY,
            id="undelivered",
        ),
        pytest.param(
            lambda: make_failed(Outcome.PERMANENT, status=Status.SENT), RISKY, id="refused, yet on its way"
        ),
        pytest.param(lambda: make_failed(error_code="opted_out"), "opted_out", id="opted out"),
        pytest.param(lambda: make_failed(request_id="", is_test=True), "test", id="test"),
        pytest.param(
            lambda: make_failed(Outcome.TAKEN, state=S.SENT, error_code=""), "in_progress", id="sent"
        ),
        pytest.param(
            lambda: make_failed(Outcome.UNKNOWN, state=S.UNKNOWN_OUTCOME), "in_progress", id="unknown_outcome"
        ),
        pytest.param(lambda: make_failed(state=S.ACCEPTED), "in_progress", id="accepted"),
        pytest.param(lambda: make_failed(None, state=S.SENDING), "in_progress", id="sending"),
        pytest.param(lambda: make_failed(Outcome.TEMPORARY, state=S.RETRYING), "in_progress", id="retrying"),
        pytest.param(lambda: make_failed(Outcome.TAKEN, state=S.DELIVERED), "delivered", id="delivered"),
    ],
)
def test_what_may_be_resent(make: Callable[[], Message], why: str) -> None:
    message = make()
    asked = ReplayFilter(ids=(message.pk,))
    plain = orders.preview(kind="messages", filter=asked)
    assert (refused(plain), plain.would_do) == ({why: 1} if why else {}, 0 if why else 1)
    flagged = orders.preview(kind="messages", filter=asked, may_duplicate=True)
    assert flagged.would_do == (why in (SAFE, RISKY))
    assert flagged.risky == (why == RISKY)
    carry_out("messages", asked)
    assert Message.objects.filter(replay_of=message.pk).count() == (why == SAFE)
    carry_out("messages", asked, may_duplicate=True)
    assert Message.objects.filter(replay_of=message.pk).count() == (why in (SAFE, RISKY))


def test_an_attempt_that_said_opted_out_is_enough() -> None:
    message = make_failed(Outcome.PERMANENT)
    message.tries.update(code="opted_out")
    assert refused(orders.preview(kind="messages", filter=ReplayFilter(), may_duplicate=True)) == {
        "opted_out": 1
    }


@pytest.mark.parametrize(
    ("parts", "delivered_too"), [pytest.param(2, False, id="parts"), pytest.param(1, True, id="contradicted")]
)
def test_a_rejection_that_is_not_the_whole_story_is_a_risk(parts: int, delivered_too: bool) -> None:
    message = make_failed(Outcome.TAKEN, status=Status.REJECTED, state=S.REJECTED)
    message.tries.update(parts=parts)
    if delivered_too:
        make_report(message, Status.DELIVERED)
    assert refused(orders.preview(kind="messages", filter=ReplayFilter())) == {RISKY: 1}


def test_delivered_messages_need_the_status_and_the_flag() -> None:
    make_failed(Outcome.TAKEN, status=Status.DELIVERED, state=S.DELIVERED)
    asked = ReplayFilter(status="delivered")
    assert refused(orders.preview(kind="messages", filter=asked)) == {"delivered": 1}
    assert orders.preview(kind="messages", filter=ReplayFilter(), may_duplicate=True).total == 0
    seen = orders.preview(kind="messages", filter=asked, may_duplicate=True)
    assert (seen.would_do, seen.risky) == (1, 1)


def test_without_status_or_ids_only_what_went_wrong_is_meant() -> None:
    wrong = [make_failed(state=s).pk for s in S if S.UNDELIVERED <= s <= S.CANCELLED]
    for state in (S.ACCEPTED, S.RETRYING, S.SENT, S.DELIVERED):
        factories.make_message(state=state)
    factories.make_message(state=S.REFUSED, request_id="")
    seen = orders.preview(kind="messages", filter=ReplayFilter())
    assert (seen.total, set(seen.sample)) == (6, set(wrong))
    assert set(orders.preview(kind="messages", filter=ReplayFilter(status="expired")).sample) == {wrong[1]}


def test_a_copy_is_a_new_message_with_the_same_words() -> None:
    content = {
        "text": "žluť",
        "subject": "s",
        "fallback_text": "f",
        "custom_data": "c-1",
        "media": [{"url": "https://media.example/a.png"}],
        "metadata": {"a": [1]},
        "extra": {"from": "Shop", "to": "00421900000123", "x": None},
    }
    account = factories.make_account(validity=timedelta(minutes=7))
    long_ago = datetime.now(UTC) - timedelta(days=9)
    original = make_failed(
        Outcome.PERMANENT,
        account=account,
        channel=Channel.MMS,
        send_as=Channel.SMS,
        content=content,
        created_at=long_ago,
        segments=3,
        sender="Shop",
    )
    before = datetime.now(UTC)
    carry_out("messages")
    copy = Message.objects.get(replay_of=original.pk)
    now = datetime.now(UTC)
    same = ("tenant_id", "channel", "account_id", "queue_id", "sender", "recipient", "segments", "country")
    assert [getattr(copy, name) for name in (*same, "request_id")] == [
        getattr(original, name) for name in (*same, "request_id")
    ]
    assert (copy.state, copy.attempts, copy.lease, copy.final_at, copy.error_code) == (
        S.ACCEPTED,
        0,
        None,
        None,
        "",
    )
    assert (copy.dedupe_key, copy.is_test, copy.send_as) == (None, False, "mms")
    assert before <= copy.created_at == copy.due_at <= now
    assert copy.expires_at == copy.due_at + 7 * MINUTE
    kept = Content.objects.get(message_id=copy.pk)
    assert {name: getattr(kept, name) for name in content} == content
    assert (kept.callback_url, kept.created_at) == (factories.CALLBACK_URL, copy.created_at)
    assert Message.objects.get(pk=original.pk).state == S.FAILED


@pytest.mark.parametrize("stays", [True, False], ids=["same account", "another account"])
def test_a_copy_goes_out_from_the_sender_of_its_account(stays: bool) -> None:
    account = factories.make_account(senders=["Other"], sender_map={"*": "Brand"})
    factories.make_account(account.tenant, position=9)
    original = factories.make_message(account=account, state=S.EXPIRED, send_from="Brand")
    if not stays:
        ProviderAccount.objects.filter(pk=account.pk).update(is_active=False)
    order = orders.create(
        kind="messages", filter=ReplayFilter(ids=(original.pk,)), requested_by="me", reason="test"
    )
    orders.advance()
    copy = Message.objects.get(replay_of=original.pk)
    assert (copy.account_id == account.pk, copy.sender, copy.send_from) == (
        stays,
        original.sender,
        "Brand" if stays else "",
    )
    assert Replay.objects.get(pk=order.pk).done == 1


def test_a_message_is_resent_once_and_then_its_copy_is() -> None:
    original = make_failed()
    carry_out("messages")
    copy = Message.objects.get(replay_of=original.pk)
    asked = ReplayFilter(ids=(original.pk, copy.pk))
    assert refused(orders.preview(kind="messages", filter=asked)) == {"resent": 1, "in_progress": 1}
    Message.objects.filter(pk=copy.pk).update(state=S.FAILED, final_at=datetime.now(UTC))
    assert counts(carry_out("messages", asked)) == (2, 1, 1)
    assert Message.objects.filter(replay_of=copy.pk).count() == 1
    assert Message.objects.count() == 3


def test_a_copy_of_an_unknown_outcome_is_no_safer() -> None:
    original = make_failed(Outcome.UNKNOWN, error_code="unknown_outcome")
    carry_out("messages", may_duplicate=True)
    copy = Message.objects.get(replay_of=original.pk)
    Message.objects.filter(pk=copy.pk).update(state=S.FAILED, final_at=datetime.now(UTC))
    assert refused(orders.preview(kind="messages", filter=ReplayFilter(ids=(copy.pk,)))) == {RISKY: 1}


@pytest.mark.parametrize(
    ("senders", "expected"),
    [
        pytest.param([], "spare", id="any sender"),
        pytest.param([factories.SENDER], "spare", id="owns the sender"),
        pytest.param(["+421900000999"], None, id="another sender"),
    ],
)
def test_a_copy_goes_through_a_serving_account(senders: list[str], expected: str | None) -> None:
    first = factories.make_account(position=5)
    spare = factories.make_account(first.tenant, name="spare", senders=senders)
    factories.make_account(first.tenant, channels=["mms"])
    message = make_failed(account=first)
    asked = ReplayFilter(ids=(message.pk,))
    with transaction.atomic():
        carry_out("messages", asked)
        assert Message.objects.get(replay_of=message.pk).account == first
        transaction.set_rollback(True)
    ProviderAccount.objects.filter(pk=first.pk).update(is_active=False)
    carry_out("messages", asked)
    copy = Message.objects.filter(replay_of=message.pk).first()
    if expected is None:
        assert copy is None
        assert refused(orders.preview(kind="messages", filter=asked)) == {"no_account": 1}
    else:
        assert copy is not None
        assert (copy.account.name, copy.queue_id) == (expected, spare.queue_id)


def test_suspended_tenants_and_lost_contents_are_refused() -> None:
    tenant = factories.make_tenant(status="suspended")
    make_failed(account=factories.make_account(tenant))
    Content.objects.filter(message_id=make_failed().pk).delete()
    assert refused(orders.preview(kind="messages", filter=ReplayFilter())) == {
        "suspended": 1,
        "no_content": 1,
    }
    assert counts(carry_out("messages")) == (2, 0, 2)
    assert Message.objects.count() == 2


# ---- reports


def test_raw_calls_go_back_into_the_inbox() -> None:
    account = factories.make_account()
    fresh, parked = make_exchange(account), make_exchange(account, parked=True)
    make_exchange(account, kind="call"), make_exchange(account, kind="post")
    assert counts(carry_out("reports")) == (2, 2, 0)
    rows = {row.exchange_id: row for row in Inbox.objects.all()}
    assert set(rows) == {fresh.id, parked.id}
    for exchange in (fresh, parked):
        row = rows[exchange.id]
        assert (row.exchange_at, row.account_id, row.tries) == (exchange.at, account.pk, 0)
        assert (row.parked_at, row.parked_why) == (None, "")
        assert row.due_at <= datetime.now(UTC)


def test_only_parked_calls_when_asked() -> None:
    account = factories.make_account()
    make_exchange(account)
    parked = make_exchange(account, parked=True)
    assert counts(carry_out("reports", ReplayFilter(status="parked"))) == (1, 1, 0)
    assert [(row.exchange_id, row.parked_at) for row in Inbox.objects.all()] == [(parked.id, None)]


def test_calls_that_wait_or_have_lost_their_account_are_refused() -> None:
    account = factories.make_account()
    waiting = make_exchange(account)
    later = datetime.now(UTC) + timedelta(hours=1)
    Inbox.objects.create(
        exchange_id=waiting.id, exchange_at=waiting.at, account=account, due_at=later, tries=2
    )
    make_exchange(account, account=None)
    seen = orders.preview(kind="reports", filter=ReplayFilter())
    assert refused(seen) == {"waiting": 1, "account_gone": 1}
    assert counts(carry_out("reports")) == (2, 0, 2)
    row = Inbox.objects.get()
    assert (row.exchange_id, row.due_at, row.tries) == (waiting.id, later, 2)


# ---- corrections


def corrections() -> list[tuple[str, int, Any]]:
    events = Event.objects.filter(kind=EventKind.CORRECTION).order_by("generation")
    return [(event.status, event.generation, event.error) for event in events]


def test_a_contradiction_becomes_a_correction_once() -> None:
    message = make_failed(Outcome.TAKEN, status=Status.DELIVERED, state=S.DELIVERED)
    told = factories.make_event(
        message, state=EventState.ACKED, url="https://x.bloomreach.co/hook", segments=2
    )
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    make_report(message, Status.UNDELIVERED, vendor_code="30003", text="Absent", occurred_at=at)
    assert counts(carry_out("reports", corrections=True)) == (1, 1, 0)
    event = Event.objects.get(kind=EventKind.CORRECTION)
    assert (event.message_id, event.queue_id, event.url) == (message.pk, told.queue_id, told.url)
    assert (event.status, event.state, event.generation) == ("failed", EventState.DUE, 0)
    assert event.error == {"code": "undelivered", "message": "Absent", "vendor_code": "30003"}
    assert (event.occurred_at, event.segments, event.sent_as) == (at, 2, "sms")
    assert counts(carry_out("reports", corrections=True)) == (1, 0, 1)
    assert len(corrections()) == 1
    assert refused(orders.preview(kind="reports", filter=ReplayFilter(), corrections=True)) == {
        "already_told": 1
    }


def test_the_vendors_last_word_decides() -> None:
    message = make_failed(Outcome.TAKEN, status=Status.DELIVERED, state=S.DELIVERED)
    factories.make_event(message, state=EventState.ACKED)
    make_report(message, Status.UNDELIVERED, code="absent")
    carry_out("reports", corrections=True)
    make_report(message, Status.DELIVERED)
    seen = orders.preview(kind="reports", filter=ReplayFilter(ids=(message.pk,)), corrections=True)
    assert (seen.would_do, refused(seen)) == (1, {"outdated": 1})
    assert counts(carry_out("reports", corrections=True)) == (2, 1, 1)
    assert counts(carry_out("reports", corrections=True)) == (2, 0, 2)
    error = {"code": "absent", "message": "", "vendor_code": ""}
    assert corrections() == [("failed", 0, error), ("delivered", 1, None)]


@pytest.mark.parametrize(
    ("later", "why"),
    [
        pytest.param({"effect": Effect.STORED}, {"outdated": 1}, id="the first final again"),
        pytest.param({"effect": Effect.STORED, "part": 2}, {}, id="another part"),
        pytest.param({"effect": Effect.SUPERSEDED}, {}, id="an attempt that does not decide"),
    ],
)
def test_only_later_words_that_count_outdate_a_contradiction(
    later: dict[str, Any], why: dict[str, int]
) -> None:
    message = make_failed(Outcome.TAKEN, status=Status.DELIVERED, state=S.DELIVERED)
    factories.make_event(message, state=EventState.ACKED)
    make_report(message, Status.UNDELIVERED)
    make_report(message, Status.DELIVERED, **later)
    seen = orders.preview(kind="reports", filter=ReplayFilter(), corrections=True)
    assert (refused(seen), seen.would_do) == (why, 0 if why else 1)


def test_what_was_never_told_is_not_corrected() -> None:
    message = make_failed(Outcome.TAKEN, state=S.DELIVERED, content={"callback_url": ""})
    make_report(message, Status.UNDELIVERED)
    make_report(make_failed(Outcome.TAKEN, state=S.DELIVERED), Status.DELIVERED, effect=Effect.STORED)
    assert refused(orders.preview(kind="reports", filter=ReplayFilter(), corrections=True)) == {"not_told": 1}
    assert counts(carry_out("reports", corrections=True)) == (1, 0, 1)
    assert not Event.objects.exists()


# ---- carrying out


def test_pages_follow_the_cursor() -> None:
    events = [make_undeliverable() for _ in range(5)]
    ordered = order("events")
    seen = []
    for _ in range(4):
        looked_at = orders.advance(limit=2)
        ordered.refresh_from_db()
        seen.append((looked_at, ordered.done, ordered.state, ordered.cursor))
    ids = [str(event.pk) for event in sorted(events, key=lambda event: event.pk)]
    assert seen == [
        (2, 2, "running", ids[1]),
        (2, 4, "running", ids[3]),
        (1, 5, "done", ids[4]),
        (0, 5, "done", ids[4]),
    ]
    assert ordered.finished_at is not None


def test_an_empty_order_is_over_at_once() -> None:
    ordered = order("messages")
    assert orders.advance() == 0
    ordered.refresh_from_db()
    assert (ordered.state, counts(ordered)) == ("done", (0, 0, 0))


def test_rows_that_come_later_are_not_meant() -> None:
    make_undeliverable()
    ordered = order("events")
    late = make_undeliverable()
    while orders.advance():
        pass
    ordered.refresh_from_db()
    assert counts(ordered) == (1, 1, 0)
    assert Event.objects.get(pk=late.pk).state == EventState.UNDELIVERABLE


def test_a_row_that_changed_since_the_order_is_skipped() -> None:
    event, message = make_undeliverable(), make_failed()
    both = [order("events"), order("messages")]
    Event.objects.filter(pk=event.pk).update(state=EventState.ACKED)
    Message.objects.filter(pk=message.pk).update(error_code="opted_out")
    until_done()
    for ordered in both:
        ordered.refresh_from_db()
    assert [counts(ordered) for ordered in both] == [(1, 0, 0), (1, 0, 1)]
    assert Event.objects.get(pk=event.pk).state == EventState.ACKED


@pytest.mark.parametrize("kind", ["events", "messages", "reports"])
def test_a_rate_spreads_the_due_times(kind: str) -> None:
    account = factories.make_account()
    for _ in range(20):
        make_undeliverable(make_failed(account=account))
        make_exchange(account)
    ordered = order(kind, rate=2.0)
    assert [orders.advance(), orders.advance()] == [10, 0]  # five seconds' worth, then not due
    due = list(
        {
            "events": Event.objects.filter(state=EventState.DUE),
            "messages": Message.objects.filter(state=S.ACCEPTED),
            "reports": Inbox.objects.all(),
        }[kind]
        .order_by("due_at")
        .values_list("due_at", flat=True)
    )
    gaps = [round((later - due[0]).total_seconds(), 1) for later in due]
    assert gaps == [n * 0.5 for n in range(10)]
    ordered.refresh_from_db()
    assert ordered.due_at >= due[-1] + timedelta(seconds=0.5)
    assert ordered.due_at <= due[-1] + timedelta(seconds=1)
    Replay.objects.update(due_at=datetime.now(UTC))
    assert orders.advance() == 10
    ordered.refresh_from_db()
    assert (ordered.done, ordered.state) == (20, "running")


def test_copies_of_a_rated_order_expire_after_they_are_due() -> None:
    account = factories.make_account(validity=timedelta(seconds=3))
    for _ in range(4):
        make_failed(account=account)
    order("messages", rate=1.0)
    orders.advance()
    copies = Message.objects.filter(state=S.ACCEPTED)
    assert [copy.expires_at - copy.due_at for copy in copies] == [timedelta(seconds=3)] * 4
    assert max(copy.due_at for copy in copies) >= max(copy.created_at for copy in copies) + timedelta(
        seconds=3
    )


def test_a_stopped_order_goes_no_further() -> None:
    for _ in range(4):
        make_undeliverable()
    ordered = order("events")
    assert orders.advance(limit=2) == 2
    assert orders.stop(ordered) is True
    assert (ordered.state, ordered.done) == ("stopped", 2)
    assert ordered.finished_at is not None
    assert orders.advance() == 0
    assert Event.objects.filter(state=EventState.UNDELIVERABLE).count() == 2
    assert orders.stop(ordered) is False


def test_orders_take_turns() -> None:
    for _ in range(4):
        make_undeliverable(make_failed())
    both = [order("events"), order("messages")]
    for _ in range(4):
        orders.advance(limit=2)
    for ordered in both:
        ordered.refresh_from_db()
    assert [ordered.done for ordered in both] == [4, 4]


# ---- at once, and killed


def in_threads(work: Callable[[], Any], n: int) -> list[Any]:
    results: list[Any] = []
    gate = threading.Barrier(n)

    def run() -> None:
        try:
            gate.wait()
            results.append(work())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def until_done() -> int:
    looked_at = 0
    while Replay.objects.filter(state="running").exists():
        looked_at += orders.advance(limit=3)
    return looked_at


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "orders", [pytest.param(1, id="one order"), pytest.param(3, id="three for the same rows")]
)
def test_pumps_at_once_copy_each_message_once(orders: int) -> None:
    account = factories.make_account()
    originals = {make_failed(account=account).pk for _ in range(40)}
    ordered = [order("messages") for _ in range(orders)]
    looked_at = in_threads(until_done, 4)
    assert len(looked_at) == 4
    assert sum(looked_at) == 40 * orders
    copies = list(Message.objects.filter(replay_of__isnull=False).values_list("replay_of", flat=True))
    assert sorted(copies) == sorted(originals)
    for one in ordered:
        one.refresh_from_db()
    assert [one.done + one.skipped for one in ordered] == [40] * orders
    assert sum(one.done for one in ordered) == 40


@pytest.mark.django_db(transaction=True)
def test_a_held_order_is_passed_over() -> None:
    make_undeliverable()
    order("events")
    with transaction.atomic():
        held = Replay.objects.select_for_update().get()
        assert held.state == "running"
        assert in_threads(orders.advance, 1) == [0]
    assert in_threads(orders.advance, 1) == [1]


WORKER = """
import django
django.setup()
from messaging.replay import orders
print("ready", flush=True)
while True:
    if orders.advance(limit=1):
        print("page", flush=True)
"""


def killed_after(pages: int) -> None:
    """A process that advances page by page, until SIGKILL hits it somewhere after so many pages."""
    settings = database.settings_dict
    url = (
        f"postgresql://{settings['USER']}:{settings['PASSWORD']}@/{settings['NAME']}?host={settings['HOST']}"
    )
    url += f"&port={settings['PORT']}" if settings["PORT"] else ""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        stdout=subprocess.PIPE,
        env={**os.environ, "DATABASE_URL": url},
        text=True,
    )
    with process:
        assert process.stdout is not None
        for _ in range(pages + 1):
            process.stdout.readline()
        process.kill()
    assert process.returncode == -9


@pytest.mark.process
@pytest.mark.django_db(transaction=True)
def test_a_kill_neither_loses_nor_repeats_a_row() -> None:
    account = factories.make_account()
    originals = {make_failed(account=account).pk for _ in range(600)}
    ordered = order("messages")
    done = [0]
    for _ in range(3):
        killed_after(20)
        ordered.refresh_from_db()
        done.append(ordered.done)
        assert Message.objects.filter(replay_of__isnull=False).count() == ordered.done
    assert done == sorted(set(done))  # each process got somewhere
    assert done[-1] < 600
    until_done()
    ordered.refresh_from_db()
    assert (ordered.state, counts(ordered)) == ("done", (600, 600, 0))
    copies = Message.objects.filter(replay_of__isnull=False).values_list("replay_of", flat=True)
    assert sorted(copies) == sorted(originals)


def test_ids_are_kept_as_they_were_asked() -> None:
    event = make_undeliverable()
    ordered = order("events", ReplayFilter(ids=(event.pk,)))
    assert [UUID(one) for one in ordered.filter["ids"]] == [event.pk]
