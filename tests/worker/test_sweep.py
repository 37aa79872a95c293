"""Sweeps: leases that ran out, deadlines that passed, and two sweepers at once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from accounts.models import TenantStatus
from messaging.evidence import weighing
from messaging.evidence.weighing import AnswerEvidence
from messaging.models import Event, Message, Queue
from messaging.rules import backoff
from messaging.rules.ids import uuid7
from messaging.rules.states import EXPIRED_HERE, GAVE_UP, UNCONFIRMED
from messaging.rules.values import EventState, MessageState
from messaging.worker import sweep
from tests import factories
from tests.stand_ins import events_of, fetch, fresh, only_attempt, seconds_until_due, together
from vendors.values import Outcome, SendResult

pytestmark = pytest.mark.django_db

S = MessageState
AGO = timedelta(minutes=5)


def past() -> datetime:
    return datetime.now(UTC) - AGO


def future() -> datetime:
    return datetime.now(UTC) + AGO


def make_sending(**overrides: Any) -> Message:
    message = factories.make_message(state=S.SENDING, attempts=1, **overrides)
    factories.make_attempt(message)
    return message


def test_a_lost_call_becomes_an_unknown_outcome(settings: Any) -> None:
    lost, flying = make_sending(due_at=past()), make_sending(due_at=future())
    assert sweep.lost_calls() == 1
    assert (fresh(lost).message_state, fresh(lost).lease) == (S.UNKNOWN_OUTCOME, None)
    assert (only_attempt(lost).outcome, only_attempt(lost).code) == ("unknown", "worker_lost")
    assert settings.UNKNOWN_OUTCOME_WAIT - 2 < seconds_until_due(lost) <= settings.UNKNOWN_OUTCOME_WAIT
    assert (fresh(flying).message_state, fresh(flying).lease) == (S.SENDING, flying.lease)
    assert sweep.lost_calls() == 0
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("dialled", "state", "outcome", "line"),
    [
        pytest.param(False, S.RETRYING, "not_dialled", "claims lost", id="claimed and not dialled"),
        pytest.param(True, S.UNKNOWN_OUTCOME, "unknown", "calls lost", id="about to be dialled"),
        pytest.param(None, S.UNKNOWN_OUTCOME, "unknown", "calls lost", id="claimed by an older version"),
    ],
)
def test_only_what_was_about_to_be_dialled_is_unknown(
    caplog: pytest.LogCaptureFixture, dialled: bool | None, state: MessageState, outcome: str, line: str
) -> None:
    message = factories.make_message(state=S.SENDING, attempts=1, due_at=past())
    factories.make_attempt(message, dialled=dialled)
    assert sweep.lost_calls() == 1
    assert (fresh(message).message_state, fresh(message).lease) == (state, None)
    assert (only_attempt(message).outcome, only_attempt(message).code) == (outcome, "worker_lost")
    assert [record.message for record in caplog.records] == [line]
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("result", "state"),
    [
        pytest.param(SendResult(Outcome.TAKEN), S.SENT, id="taken"),
        pytest.param(SendResult(Outcome.PERMANENT, code="no"), S.FAILED, id="refused for good"),
        pytest.param(SendResult(Outcome.TEMPORARY, code="busy"), S.RETRYING, id="refused for now"),
        pytest.param(SendResult(Outcome.UNKNOWN), S.UNKNOWN_OUTCOME, id="unknown"),
    ],
)
def test_the_late_answer_to_a_lost_call_still_counts(result: SendResult, state: MessageState) -> None:
    lost = make_sending(due_at=past())
    sweep.lost_calls()
    with transaction.atomic():
        weighing.apply([AnswerEvidence(lost.pk, only_attempt(lost).pk, result)])
    assert (fresh(lost).message_state, only_attempt(lost).outcome) == (state, result.outcome)


@pytest.mark.parametrize(
    ("fail_unconfirmed", "told"),
    [pytest.param(False, [], id="nothing is told"), pytest.param(True, ["failed"], id="failed is told")],
)
def test_overdue(fail_unconfirmed: bool, told: list[str]) -> None:
    account = factories.make_account(fail_unconfirmed=fail_unconfirmed)
    overdue = factories.make_message(account=account, state=S.SENT, due_at=past())
    waiting = factories.make_message(account=account, state=S.SENT, due_at=future())
    assert sweep.overdue_reports() == 1
    assert (fresh(overdue).message_state, fresh(overdue).error_code) == (S.UNCONFIRMED, UNCONFIRMED)
    assert [event.status for event in events_of(overdue)] == told
    assert fresh(waiting).message_state is S.SENT
    assert sweep.overdue_reports() == 0


@pytest.mark.parametrize("state", [S.ACCEPTED, S.RETRYING])
@pytest.mark.parametrize(
    ("queue", "tenant"),
    [
        pytest.param({}, {}, id="in a backlog"),
        pytest.param({"paused_at": datetime(2024, 1, 1, tzinfo=UTC)}, {}, id="behind a paused queue"),
        pytest.param({"open_until": datetime(2100, 1, 1, tzinfo=UTC)}, {}, id="behind an open circuit"),
        pytest.param({}, {"status": TenantStatus.PAUSED}, id="behind a paused tenant"),
    ],
)
def test_validity_ends_waiting(state: MessageState, queue: dict[str, Any], tenant: dict[str, Any]) -> None:
    account = factories.make_account(factories.make_tenant(**tenant))
    Queue.objects.filter(pk=account.queue_id).update(**queue)
    stale = factories.make_message(account=account, state=state, due_at=past() - AGO, expires_at=past())
    good = factories.make_message(account=account, state=state, due_at=past())
    assert sweep.used_up() == 1
    assert (fresh(stale).message_state, fresh(stale).error_code) == (S.EXPIRED, EXPIRED_HERE)
    assert [event.status for event in events_of(stale)] == ["failed"]
    assert fresh(good).message_state is state
    assert sweep.used_up() == 0


@pytest.mark.parametrize("state", [S.SENDING, S.UNKNOWN_OUTCOME, S.SENT])
def test_what_may_have_been_sent_does_not_expire(state: MessageState) -> None:
    message = factories.make_message(state=state, due_at=future(), expires_at=past())
    assert (sweep.used_up(), fresh(message).message_state) == (0, state)


def test_what_makes_its_worker_crash_ends_after_twenty_attempts() -> None:
    crashing = factories.make_message(state=S.RETRYING, attempts=backoff.SEND_ATTEMPTS_MAX)
    other = factories.make_message(state=S.RETRYING, attempts=backoff.SEND_ATTEMPTS_MAX - 1)
    assert sweep.used_up() == 1
    assert (fresh(crashing).message_state, fresh(crashing).error_code) == (S.FAILED, GAVE_UP)
    assert fresh(other).message_state is S.RETRYING


def test_a_long_backlog_is_swept_bit_by_bit() -> None:
    account = factories.make_account()
    for _ in range(120):
        factories.make_message(account=account, due_at=past() - AGO, expires_at=past())
    assert [sweep.used_up() for _ in range(4)] == [50, 50, 20, 0]
    assert Event.objects.count() == 120


def test_posts_whose_lease_ran_out_are_told_again_with_the_same_id() -> None:
    lost = factories.make_event(state=EventState.LEASED, lease_until=past(), lease=uuid7(), tries=1)
    flying = factories.make_event(state=EventState.LEASED)
    assert sweep.lost_posts() == 1
    after = {event.pk: event for event in Event.objects.all()}
    assert (after[lost.pk].state, after[lost.pk].lease, after[lost.pk].tries) == (EventState.DUE, None, 1)
    assert after[flying.pk].state == EventState.LEASED


def test_partitions_of_the_coming_weeks_are_made_once() -> None:
    day = date(2031, 3, 5)
    sweep.prepare_partitions(day)
    sweep.prepare_partitions(day)
    names = {
        row.relname for row in fetch("SELECT relname FROM pg_class WHERE relname LIKE 'messaging_%%2031%%'")
    }
    assert {"messaging_content_2031_03_03", "messaging_exchange_2031_03_03"} <= names


@pytest.mark.django_db
def test_a_late_partition_takes_the_rows_that_came_before_it() -> None:
    message = factories.make_message(created_at=datetime(2032, 3, 2, 12, tzinfo=UTC))
    where = "SELECT tableoid::regclass::text AS name FROM messaging_content WHERE message_id = %(id)s"
    assert fetch(where, {"id": message.pk})[0].name == "messaging_content_default"
    sweep.prepare_partitions(date(2032, 3, 5))
    assert fetch(where, {"id": message.pk})[0].name == "messaging_content_2032_03_01"
    sweep.prepare_partitions(date(2032, 3, 5))
    assert Message.objects.get(pk=message.pk).content.text == factories.TEXT


@pytest.mark.django_db(transaction=True)
def test_two_sweepers_at_once_are_harmless() -> None:
    account = factories.make_account(fail_unconfirmed=True)
    for _ in range(25):
        make_sending(account=account, due_at=past())
        factories.make_message(account=account, state=S.SENT, due_at=past())
        factories.make_message(account=account, due_at=past() - AGO, expires_at=past())

    def sweep_all() -> int:
        return sweep.lost_calls() + sweep.overdue_reports() + sweep.used_up()

    assert sum(together(*(sweep_all for _ in range(3)))) == 75
    assert sorted(set(Message.objects.values_list("state", flat=True))) == [
        S.UNKNOWN_OUTCOME, S.EXPIRED, S.UNCONFIRMED,
    ]  # fmt: skip
    assert Event.objects.count() == 50


@pytest.mark.django_db(transaction=True)
def test_sweeper_and_answer_at_the_same_moment() -> None:
    for _ in range(5):
        message = make_sending(due_at=past())
        taken = [AnswerEvidence(message.pk, only_attempt(message).pk, SendResult(Outcome.TAKEN))]

        def record(answers: list[AnswerEvidence] = taken) -> None:
            with transaction.atomic():
                weighing.apply(answers)

        together(record, sweep.lost_calls)
        assert (fresh(message).message_state, only_attempt(message).outcome) == (S.SENT, "taken")
