"""The proof that nothing is forgotten: each check is shown to find the row that somebody broke."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection as database

from messaging.books import reconcile as module
from messaging.books.reconcile import WHY, reconcile
from messaging.models import Attempt, Content, DeliveryReport, Event, Inbox, Message, ProviderAccount
from messaging.rules.ids import uuid7
from messaging.rules.values import Effect, EventKind, EventState, MessageState
from tests import factories
from vendors.values import Outcome, Status

pytestmark = pytest.mark.django_db

S = MessageState
NOW = datetime.now(UTC)
OUTCOMES: dict[MessageState, Outcome | None] = {
    S.SENDING: None,
    S.RETRYING: Outcome.TEMPORARY,
    S.UNKNOWN_OUTCOME: Outcome.UNKNOWN,
    S.FAILED: Outcome.PERMANENT,
    S.REFUSED: Outcome.PERMANENT,
}


def sound(state: MessageState, **overrides: Any) -> Message:
    """A message as the pipeline leaves it in that state, with its attempt and the event that it owes."""
    called = state not in (S.ACCEPTED, S.CANCELLED)
    later = {"due_at": datetime.now(UTC) + timedelta(seconds=60)}
    message = factories.make_message(state=state, **(later | {"attempts": int(called)} | overrides))
    if called:
        factories.make_attempt(message, outcome=OUTCOMES.get(state, Outcome.TAKEN))
    if state.is_final and state not in (S.REFUSED, S.UNCONFIRMED):
        factories.make_event(message, state=EventState.ACKED)
    return message


def break_rows(statement: str, *, without: str = "", **params: Any) -> None:
    """Writes what the constraints named in `without` (table.constraint) would refuse."""
    with database.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name in without.split():
            table, constraint = name.split(".")
            cursor.execute(f"ALTER TABLE messaging_{table} DROP CONSTRAINT {constraint}")
        cursor.execute(statement, params)
        assert cursor.rowcount == 1


def found() -> list[tuple[str, UUID, str]]:
    books = reconcile()
    assert books.unaccounted == len(books.findings)
    assert all(finding.text == WHY[finding.why] for finding in books.findings)
    return [(finding.what, finding.id, finding.why) for finding in books.findings]


def test_an_empty_system_is_accounted_for() -> None:
    books = reconcile()
    assert (books.accepted, books.unaccounted, books.findings, books.stalled) == (0, 0, (), 0)
    assert sum(books.final.values()) + sum(books.in_progress.values()) == 0


def test_every_sound_state_is_accounted_for() -> None:
    for state in S:
        sound(state)
    for state in EventState:
        factories.make_event(sound_without_event(), state=state, acked_at=NOW)
    books = reconcile()
    assert (books.unaccounted, books.stalled, books.maybe_twice, books.resent) == (0, 0, 0, 0)
    assert books.accepted == len(S) + len(EventState)
    assert books.accepted == sum(books.final.values()) + sum(books.in_progress.values())
    assert books.in_progress == {"accepted": 1, "sending": 1, "retrying": 1, "unknown_outcome": 1, "sent": 1}
    assert books.final == {
        "delivered": 1 + len(EventState),
        **dict.fromkeys(
            ["undelivered", "expired", "rejected", "failed", "unconfirmed", "cancelled", "refused"], 1
        ),
    }
    assert books.events == {"due": 1, "leased": 1, "acked": 1 + 6, "undeliverable": 1}


def sound_without_event() -> Message:
    message = factories.make_message(state=S.DELIVERED, attempts=1)
    factories.make_attempt(message, outcome=Outcome.TAKEN)
    return message


def lose_content(message: Message) -> None:
    Content.objects.filter(message_id=message.pk).delete()


def lose_attempts(message: Message) -> None:
    Attempt.objects.filter(message=message).delete()


def lose_attempts_and_count(message: Message) -> None:
    lose_attempts(message)
    Message.objects.filter(pk=message.pk).update(attempts=0)


def lose_events(message: Message) -> None:
    Event.objects.filter(message=message).delete()


def count_one_more(message: Message) -> None:
    Message.objects.filter(pk=message.pk).update(attempts=2)


def end_the_call(message: Message) -> None:
    message.tries.update(outcome=Outcome.NOT_DIALLED, ended_at=NOW)


def tell(message: Message) -> None:
    factories.make_event(message)


def tell_later_only(message: Message) -> None:
    Event.objects.filter(message=message).update(generation=1)


def correct_only(message: Message) -> None:
    Event.objects.filter(message=message).update(kind=EventKind.CORRECTION)


def take_the_lease(message: Message) -> None:
    break_rows(
        "UPDATE messaging_message SET lease = NULL WHERE id = %(id)s",
        without="message.message_lease_iff_sending",
        id=message.pk,
    )


def forget_the_state(message: Message) -> None:
    break_rows(
        "UPDATE messaging_message SET state = 99 WHERE id = %(id)s",
        without="message.message_state_known",
        id=message.pk,
    )


def tell_twice(message: Message) -> None:
    break_rows(
        "INSERT INTO messaging_event (id, queue_id, message_id, kind, generation, url, status, occurred_at)"
        " SELECT %(new)s, queue_id, message_id, kind, generation, url, status, occurred_at FROM messaging_event"
        " WHERE message_id = %(id)s",
        without="event.event_once",
        id=message.pk,
        new=uuid7(),
    )


@pytest.mark.parametrize(
    ("state", "damage", "why"),
    [
        pytest.param(S.ACCEPTED, lose_content, "no_content", id="open without content"),
        pytest.param(S.DELIVERED, lose_content, "no_content", id="final without content"),
        pytest.param(S.SENT, lose_attempts, "attempts_differ", id="attempt lost"),
        pytest.param(S.RETRYING, count_one_more, "attempts_differ", id="attempt not counted"),
        pytest.param(S.SENDING, end_the_call, "not_in_flight", id="sending without a call"),
        *(
            pytest.param(state, lose_attempts_and_count, "never_dialled", id=f"{state.name} without a call")
            for state in (S.UNKNOWN_OUTCOME, S.SENT, S.DELIVERED, S.UNDELIVERED, S.REJECTED, S.UNCONFIRMED)
        ),
        pytest.param(S.SENT, end_the_call, "never_dialled", id="sent, yet not dialled"),
        *(
            pytest.param(state, lose_events, "final_not_told", id=f"{state.name} not told")
            for state in (S.DELIVERED, S.UNDELIVERED, S.EXPIRED, S.REJECTED, S.FAILED, S.CANCELLED)
        ),
        pytest.param(S.DELIVERED, tell_later_only, "final_not_told", id="only a later generation"),
        pytest.param(S.DELIVERED, correct_only, "final_not_told", id="only a correction"),
        *(
            pytest.param(state, tell, "told_too_early", id=f"{state.name} told as final")
            for state in S
            if not state.is_final
        ),
        pytest.param(S.SENDING, take_the_lease, "no_owner", id="sending without a lease"),
        pytest.param(S.DELIVERED, forget_the_state, "unknown_state", id="unknown state"),
        pytest.param(S.DELIVERED, tell_twice, "told_twice", id="two first finals"),
    ],
)
def test_a_broken_message_is_found(state: MessageState, damage: Callable[[Message], None], why: str) -> None:
    bystander, message = sound(state), sound(state)
    assert found() == []
    damage(message)
    assert found() == [("message", message.pk, why)]
    assert reconcile().accepted == 2
    assert bystander.pk != message.pk


def test_owing_follows_the_contract() -> None:
    """No event is owed without a callback URL, by a refused test, or by an unconfirmed end that stays inside."""
    silent = sound(S.FAILED, content={"callback_url": ""}, request_id="")
    lose_events(silent)
    sound(S.REFUSED, request_id="")
    sound(S.UNCONFIRMED)
    assert found() == []
    loud = factories.make_account(fail_unconfirmed=True)
    message = sound(S.UNCONFIRMED, account=loud, created_at=datetime.now(UTC))
    assert found() == [("message", message.pk, "final_not_told")]
    factories.make_event(message, status="failed")
    assert found() == []


def test_a_setting_that_changed_since_says_nothing_about_the_past() -> None:
    message = sound(S.UNCONFIRMED)
    books = ProviderAccount.objects.get(pk=message.account_id)
    books.fail_unconfirmed = True
    books.save()
    assert found() == []


@pytest.mark.parametrize(
    ("statement", "without", "why"),
    [
        pytest.param("UPDATE messaging_event SET state = 9", "", "unknown_state", id="unknown state"),
        pytest.param(
            "UPDATE messaging_event SET state = 1", "event.event_lease_iff_leased", "no_owner", id="no lease"
        ),
        pytest.param(
            "UPDATE messaging_event SET message_id = NULL",
            "event.event_about_one_thing",
            "about_nothing",
            id="about nothing",
        ),
    ],
)
def test_a_broken_event_is_found(statement: str, without: str, why: str) -> None:
    event = Event.objects.get(message=sound(S.DELIVERED))
    break_rows(statement, without=without)
    expected = [("event", event.pk, why)]
    if why == "about_nothing":
        expected.insert(0, ("message", event.message_id, "final_not_told"))
    assert found() == expected


def test_leases_that_nobody_sweeps_are_stalled_but_owned() -> None:
    message = sound(S.SENDING)
    event = Event.objects.get(message=sound(S.DELIVERED))
    for seconds, stalled in ((30, 0), (90, 2)):
        past = datetime.now(UTC) - timedelta(seconds=seconds)
        Message.objects.filter(pk=message.pk).update(due_at=past)
        Event.objects.filter(pk=event.pk).update(state=EventState.LEASED, lease=uuid7(), lease_until=past)
        books = reconcile()
        assert (books.stalled, books.unaccounted) == (stalled, 0)
    rows = [(row.what, row.id, row.why) for row in books.stalled_rows]
    assert rows == [("message", message.pk, "stalled"), ("event", event.pk, "stalled")]


def test_overdue_rows_are_information() -> None:
    past = datetime.now(UTC) - timedelta(seconds=90)
    for state in (S.ACCEPTED, S.RETRYING, S.UNKNOWN_OUTCOME, S.SENT, S.DELIVERED):
        sound(state, due_at=past)
    sound(S.ACCEPTED, due_at=datetime.now(UTC) - timedelta(seconds=30))
    Event.objects.update(state=EventState.DUE, due_at=past)
    books = reconcile()
    assert books.overdue == {"messages": 4, "events": 1}
    assert (books.unaccounted, books.stalled) == (0, 0)


@pytest.mark.parametrize(
    ("outcomes", "statuses", "twice"),
    [
        pytest.param((Outcome.TAKEN, Outcome.TAKEN), (None, None), 1, id="taken twice"),
        pytest.param((Outcome.UNKNOWN, Outcome.TAKEN), (None, None), 1, id="unknown, then taken"),
        pytest.param((Outcome.UNKNOWN, Outcome.UNKNOWN), (None, None), 1, id="unknown twice"),
        pytest.param(
            (Outcome.TEMPORARY, Outcome.TAKEN), (Status.DELIVERED, None), 1, id="refused, yet delivered"
        ),
        pytest.param((Outcome.TEMPORARY, Outcome.TAKEN), (None, None), 0, id="refused, then taken"),
        pytest.param((Outcome.NOT_DIALLED, Outcome.UNKNOWN), (None, None), 0, id="handed back"),
        pytest.param((Outcome.TAKEN,), (None,), 0, id="once"),
    ],
)
def test_what_may_have_been_sent_twice(
    outcomes: tuple[Outcome, ...], statuses: tuple[Status | None, ...], twice: int
) -> None:
    message = factories.make_message(state=S.DELIVERED, attempts=len(outcomes))
    for outcome, status in zip(outcomes, statuses, strict=True):
        factories.make_attempt(message, outcome=outcome, status=status)
    factories.make_event(message)
    books = reconcile()
    assert (books.maybe_twice, books.unaccounted) == (twice, 0)


def test_the_rest_is_counted() -> None:
    message = sound(S.DELIVERED)
    sound(S.ACCEPTED, replay_of=message.pk)
    common = {"exchange_at": NOW, "account": message.account}
    Inbox.objects.create(exchange_id=uuid7(), **common)
    Inbox.objects.create(exchange_id=uuid7(), parked_at=NOW, **common)
    Inbox.objects.create(exchange_id=uuid7(), parked_at=NOW, **common)
    for n, effect in enumerate(Effect):
        fields = {"status": Status.DELIVERED, "received_at": NOW, "effect": effect, "digest": bytes([n]) * 32}
        DeliveryReport.objects.create(exchange_id=uuid7(), **common, **fields)
    books = reconcile()
    assert books.inbox == {"waiting": 1, "parked": 2}
    assert books.reports == {"contradiction": 1, "orphan": 1, "unknown_status": 1, "unmatched": 1}
    assert (books.resent, books.unaccounted) == (1, 0)


def test_one_tenant_and_one_period() -> None:
    old, new = datetime.now(UTC) - timedelta(days=2), datetime.now(UTC)
    mine = factories.make_account()
    for books in (mine, factories.make_account()):
        for at in (old, new):
            message = sound(S.DELIVERED, account=books, created_at=at)
            Event.objects.filter(message=message).update(created_at=at)
            lose_content(message)
            Inbox.objects.create(exchange_id=uuid7(), exchange_at=at, account=books)
            fields = {"received_at": at, "effect": Effect.ORPHAN, "digest": message.pk.bytes * 2}
            DeliveryReport.objects.create(
                exchange_id=uuid7(), exchange_at=at, account=books, status=Status.SENT, **fields
            )
    for scope, n in (({}, 4), ({"tenant": mine.tenant}, 2), ({"since": new}, 2)):
        seen = reconcile(**scope)  # type: ignore[arg-type]
        assert (seen.accepted, seen.unaccounted, len(seen.findings)) == (n, n, n)
        assert (seen.events["acked"], seen.inbox["waiting"], seen.reports["orphan"]) == (n, n, n)


def test_pages_miss_nothing_and_count_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [sound(S.DELIVERED) for _ in range(7)]
    for message in messages[2:]:
        lose_events(message)
    expected = sorted(("message", message.pk, "final_not_told") for message in messages[2:])
    for size in (1, 2, 3, 7, 100):
        monkeypatch.setattr(module, "PAGE", size)
        assert reconcile().accepted == 7
        assert sorted(found()) == expected


def test_only_the_first_findings_are_named() -> None:
    for _ in range(25):
        lose_content(sound(S.ACCEPTED))
    books = reconcile()
    assert (books.unaccounted, len(books.findings)) == (25, 20)


def test_it_reads_only() -> None:
    sound(S.DELIVERED)
    with database.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET TRANSACTION READ ONLY")
    assert reconcile().accepted == 1
