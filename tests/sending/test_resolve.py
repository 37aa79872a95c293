"""Unknown outcomes: what is asked, what is believed, and when we give up (ADR 6)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from messaging.dialling.work import run_once
from messaging.evidence import weighing
from messaging.models import Attempt, Event, Exchange, Message, ProviderAccount, Queue
from messaging.models.sql import change
from messaging.queues import circuit
from messaging.rules.states import EXPIRED_HERE, UNKNOWN_OUTCOME
from messaging.rules.values import MessageState, UnknownPolicy
from messaging.sending import resolve
from messaging.worker import sweep
from simulator.adapter import Simulator
from tests import factories
from tests.stand_ins import (
    API_KEY,
    HANG_UP,
    Strange,
    Vendor,
    account_at,
    claim,
    due_now,
    events_of,
    fresh,
    only_attempt,
    seconds_until_due,
    send,
    together,
)
from vendors import registry
from vendors.values import Channel, Outcome, Report, Sent, Status

pytestmark = pytest.mark.django_db

S = MessageState
DAY = timedelta(days=1)
THEN, FAR = datetime(2024, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
TAKEN = {"ids": ["v-9"]}


def with_unknown_outcome(vendor: Vendor, capability: str, **overrides: Any) -> Message:
    """A message that was sent for real, and whose answer never came."""
    message = factories.make_message(account=account_at(vendor, capability, **overrides))
    vendor.will(HANG_UP)
    send(claim())
    assert fresh(message).message_state is S.UNKNOWN_OUTCOME
    due_now(message)
    return message


def pump() -> None:
    """One turn, as a pump takes it."""
    run_once(resolve.Resolving(), free=10, deadline=2.0)


def age(message: Message, by: timedelta) -> None:
    """As if the attempts were that much older, by the database's clock."""
    change(
        "UPDATE messaging_attempt SET created_at = created_at - %(by)s WHERE message_id = %(id)s",
        {"by": by, "id": message.pk},
    )


def said(message: Message, status: str = "DELIVRD", **overrides: Any) -> dict[str, Any]:
    """What the carrier answers to a look-up."""
    fields = {"reference": str(only_attempt(message).pk), "id": "v-9", "parts": 1, "status": status}
    return {"messages": [fields | overrides]}


ABSENT: dict[str, Any] = {"messages": []}


def test_nothing_is_asked_before_the_wait_is_over(vendor: Vendor, settings: Any) -> None:
    message = factories.make_message(account=account_at(vendor, "look_up"))
    vendor.will(HANG_UP)
    send(claim())
    assert resolve.claim(free=10) == []
    assert settings.UNKNOWN_OUTCOME_WAIT - 2 < seconds_until_due(message) <= settings.UNKNOWN_OUTCOME_WAIT


@pytest.mark.parametrize("state", [state for state in S if state is not S.UNKNOWN_OUTCOME])
def test_only_unknown_outcomes_are_claimed(state: MessageState) -> None:
    message = factories.make_message(state=state, attempts=1, due_at=datetime.now(UTC) - DAY)
    factories.make_attempt(message)
    assert resolve.claim(free=10) == []


# What was never sent.


def lost(vendor: Vendor, capability: str, *, changed: bool = False, **overrides: Any) -> Message:
    """A message whose worker died, as the sweep of any version left it."""
    account = account_at(vendor, capability)
    message = factories.make_message(account=account, state=S.UNKNOWN_OUTCOME, attempts=1)
    factories.make_attempt(message, **{"outcome": Outcome.UNKNOWN, "code": "worker_lost"} | overrides)
    if changed:
        account.save()
    return message


@pytest.mark.parametrize("capability", ["report", "look_up", "repeat"])
def test_a_claim_without_a_mark_was_never_sent(vendor: Vendor, capability: str) -> None:
    message = lost(vendor, capability, dialled=False)
    pump()
    assert (fresh(message).message_state, only_attempt(message).outcome) == (S.RETRYING, "not_dialled")
    assert 0 < seconds_until_due(message) < 10
    due_now(message)
    send(claim())
    assert (fresh(message).message_state, len(vendor.posts)) == (S.SENT, 1)
    assert events_of(message) == []


def test_a_claim_without_a_mark_waits_for_nobody(vendor: Vendor) -> None:
    """It needs no question, so it need not wait until the queue runs again."""
    message = lost(vendor, "report", dialled=False)
    Queue.objects.filter(pk=message.queue_id).update(paused_at=datetime.now(UTC))
    pump()
    assert fresh(message).message_state is S.RETRYING


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        pytest.param({"capability": "repeat"}, S.RETRYING, id="an older version stores before it sends"),
        pytest.param({"capability": "report"}, S.UNKNOWN_OUTCOME, id="this account stores nothing"),
        pytest.param({"capability": "repeat", "dialled": True}, S.UNKNOWN_OUTCOME, id="marked"),
        pytest.param(
            {"capability": "repeat", "changed": True}, S.UNKNOWN_OUTCOME, id="the account was another then"
        ),
        pytest.param(
            {"capability": "repeat", "code": "timeout"}, S.UNKNOWN_OUTCOME, id="dialled and recorded"
        ),
    ],
)
def test_stored_nothing(vendor: Vendor, facts: dict[str, Any], state: MessageState) -> None:
    message = lost(vendor, **facts)
    pump()
    assert (fresh(message).message_state, vendor.heard) == (state, [])


# Sending the same bytes again.


def test_inside_the_window_the_same_bytes_are_sent_again(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "repeat")
    vendor.will(202, TAKEN)
    pump()
    first, second = vendor.posts
    assert (second.body, second.path) == (first.body, first.path)
    assert {**second.headers} == {**first.headers}
    attempt = only_attempt(message)
    assert (fresh(message).message_state, attempt.outcome, attempt.vendor_id) == (S.SENT, "taken", "v-9")
    assert set(Exchange.objects.filter(owner=attempt.pk).values_list("kind", flat=True)) == {"call"}


def test_outside_the_window_nothing_is_sent_again(vendor: Vendor, settings: Any) -> None:
    message = with_unknown_outcome(vendor, "repeat")
    age(message, DAY - timedelta(seconds=2 * settings.CALL_DEADLINE))
    pump()
    assert (len(vendor.posts), fresh(message).message_state) == (1, S.UNKNOWN_OUTCOME)


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        pytest.param(HANG_UP, b"", S.UNKNOWN_OUTCOME, id="unknown again"),
        pytest.param(500, b"", S.UNKNOWN_OUTCOME, id="5xx"),
        pytest.param(429, b"", S.UNKNOWN_OUTCOME, id="refused for now says nothing about the first time"),
        pytest.param(401, b"", S.UNKNOWN_OUTCOME, id="credentials say nothing about the first time"),
        pytest.param(202, b"{", S.UNKNOWN_OUTCOME, id="unreadable"),
        pytest.param(400, {"error": {"code": "4001"}}, S.FAILED, id="refused for good"),
    ],
)
def test_what_a_second_sending_says(
    vendor: Vendor, settings: Any, status: int, body: Any, state: MessageState
) -> None:
    message = with_unknown_outcome(vendor, "repeat")
    vendor.will(status, body)
    pump()
    assert (fresh(message).message_state, len(vendor.posts)) == (state, 2)
    if state is S.UNKNOWN_OUTCOME:
        assert settings.UNKNOWN_OUTCOME_WAIT - 2 < seconds_until_due(message) <= settings.UNKNOWN_OUTCOME_WAIT
        assert only_attempt(message).outcome == "unknown"


def test_a_vendor_that_is_away_is_asked_again(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "repeat")
    for status in (HANG_UP, 429):
        vendor.will(status)
        pump()
        due_now(message)
    vendor.will(202, TAKEN)
    pump()
    assert (fresh(message).message_state, len({heard.body for heard in vendor.posts})) == (S.SENT, 1)


# Looking it up.


def test_found(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "look_up")
    vendor.will(200, said(message, "ENROUTE", parts=3))
    pump()
    attempt = only_attempt(message)
    assert (fresh(message).message_state, attempt.outcome, attempt.vendor_id) == (S.SENT, "taken", "v-9")
    asked = vendor.heard[-1]
    assert (asked.method, asked.path) == ("GET", f"/messages?reference={attempt.pk}")
    assert Exchange.objects.get(owner=attempt.pk, kind="lookup").response
    assert API_KEY not in Exchange.objects.get(owner=attempt.pk, kind="lookup").request


@pytest.mark.parametrize(
    ("word", "state", "told"),
    [
        pytest.param("DELIVRD", S.DELIVERED, ["delivered"], id="delivered"),
        pytest.param("UNDELIV", S.UNDELIVERED, ["failed"], id="undelivered"),
        pytest.param("ENROUTE", S.SENT, [], id="on its way"),
        pytest.param("WHATEVER", S.SENT, [], id="a word that nobody knows"),
    ],
)
def test_found_with_a_report(vendor: Vendor, word: str, state: MessageState, told: list[str]) -> None:
    message = with_unknown_outcome(vendor, "look_up")
    vendor.will(200, said(message, word))
    pump()
    assert (fresh(message).message_state, [event.status for event in events_of(message)]) == (state, told)


def test_absent_once_proves_nothing(vendor: Vendor, settings: Any) -> None:
    message = with_unknown_outcome(vendor, "look_up")
    vendor.will(200, ABSENT)
    pump()
    assert (fresh(message).message_state, only_attempt(message).absences) == (S.UNKNOWN_OUTCOME, 1)
    assert settings.LOOKUP_GAP - 2 < seconds_until_due(message) <= settings.LOOKUP_GAP


def test_absent_twice_is_sent_again_as_a_new_attempt(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "look_up")
    for _ in range(2):
        vendor.will(200, ABSENT)
        pump()
        due_now(message)
    first = only_attempt(message)
    assert (fresh(message).message_state, first.outcome, first.code) == (
        S.RETRYING,
        "temporary",
        "proved_absent",
    )
    send(claim())
    assert fresh(message).message_state is S.SENT
    references = [json.loads(heard.body)["reference"] for heard in vendor.posts]
    assert len(set(references)) == 2


def test_absent_then_found(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "look_up")
    vendor.will(200, ABSENT)
    pump()
    due_now(message)
    vendor.will(200, said(message))
    pump()
    assert (fresh(message).message_state, len(vendor.posts)) == (S.DELIVERED, 1)


def with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor that can be asked, whose answer proves no absence, and that recognises the same bytes."""
    monkeypatch.setattr(Simulator, "repeat_window", lambda self, account: DAY)
    monkeypatch.setattr(Simulator, "absence_is_proof", False)


def test_a_vendor_that_can_be_asked_is_asked_before_the_bytes_go_again(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_both(monkeypatch)
    message = with_unknown_outcome(vendor, "look_up")
    for _ in range(2):
        vendor.will(200, ABSENT)
        pump()
        due_now(message)
    assert [heard.method for heard in vendor.heard] == ["POST", "GET", "GET"]
    vendor.will(202, TAKEN)
    pump()
    assert fresh(message).message_state is S.SENT
    assert vendor.posts[0].body == vendor.posts[1].body


def test_answers_that_never_tell_do_not_use_up_the_window(
    vendor: Vendor, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_both(monkeypatch)
    message = with_unknown_outcome(vendor, "look_up")
    age(message, timedelta(seconds=resolve.ASK_FIRST * settings.LOOKUP_GAP + 1))
    vendor.will(202, TAKEN)
    pump()
    assert (fresh(message).message_state, [heard.method for heard in vendor.heard]) == (
        S.SENT,
        ["POST", "POST"],
    )


def test_absence_that_is_no_proof_leaves_it_to_the_policy(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Simulator, "absence_is_proof", False)
    message = with_unknown_outcome(vendor, "look_up")
    for _ in range(2):
        vendor.will(200, ABSENT)
        pump()
        due_now(message)
    pump()
    assert (fresh(message).message_state, len(vendor.heard)) == (S.UNKNOWN_OUTCOME, 3)
    assert seconds_until_due(message) == pytest.approx(72 * 3600, abs=60)


NO_ANSWER = [
    pytest.param(HANG_UP, b"", id="failure"),
    pytest.param(401, b"", id="401"),
    pytest.param(500, b"", id="500"),
    pytest.param(200, b"<html>", id="garbage"),
    pytest.param(200, {"messages": [{"reference": "another"}]}, id="about another one"),
]


@pytest.mark.parametrize(("status", "body"), NO_ANSWER)
def test_who_cannot_tell_is_asked_again(vendor: Vendor, settings: Any, status: int, body: Any) -> None:
    message = with_unknown_outcome(vendor, "look_up")
    vendor.will(status, body)
    pump()
    assert (fresh(message).message_state, only_attempt(message).absences) == (S.UNKNOWN_OUTCOME, 0)
    assert settings.LOOKUP_GAP - 2 < seconds_until_due(message) <= settings.LOOKUP_GAP


@pytest.mark.parametrize(("status", "body"), NO_ANSWER)
def test_who_can_never_tell_is_asked_until_the_deadline_and_once_after_it(
    vendor: Vendor, status: int, body: Any
) -> None:
    message = with_unknown_outcome(vendor, "look_up")
    age(message, 3 * DAY)
    vendor.will(status, body)
    pump()
    assert len(vendor.heard) == 2
    assert (fresh(message).message_state, fresh(message).error_code) == (S.FAILED, UNKNOWN_OUTCOME)
    assert [event.status for event in events_of(message)] == ["failed"]


def test_the_last_question_may_still_be_answered(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "look_up")
    age(message, 3 * DAY)
    vendor.will(200, said(message))
    pump()
    assert [event.status for event in events_of(message)] == ["delivered"]


def test_absent_after_the_deadline_is_asked_a_second_time(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "look_up")
    age(message, 3 * DAY)
    for state in (S.UNKNOWN_OUTCOME, S.RETRYING):
        vendor.will(200, ABSENT)
        pump()
        assert fresh(message).message_state is state
        due_now(message)


# What the operator can repair, and adapters that misbehave.


def break_secrets(account: ProviderAccount) -> None:
    change("UPDATE messaging_provideraccount SET secrets = 'gAAAA' WHERE id = %(id)s", {"id": account.pk})


def rename_vendor(account: ProviderAccount) -> None:
    ProviderAccount.objects.filter(pk=account.pk).update(vendor="acme")


@pytest.mark.parametrize("damage", [break_secrets, rename_vendor])
@pytest.mark.parametrize("policy", list(UnknownPolicy))
def test_what_cannot_be_asked_now_waits_a_little_and_holds_up_nobody(
    vendor: Vendor, settings: Any, damage: Any, policy: UnknownPolicy
) -> None:
    broken = with_unknown_outcome(vendor, "look_up", unknown_policy=policy)
    other = with_unknown_outcome(vendor, "look_up")
    kept = ProviderAccount.objects.get(pk=broken.account_id)
    damage(kept)
    vendor.will(200, said(other))
    pump()
    assert (fresh(broken).message_state, fresh(other).message_state) == (S.UNKNOWN_OUTCOME, S.DELIVERED)
    assert settings.LOOKUP_GAP - 2 < seconds_until_due(broken) <= settings.LOOKUP_GAP
    kept.save()
    due_now(broken)
    vendor.will(200, said(broken))
    pump()
    assert fresh(broken).message_state is S.DELIVERED


@pytest.mark.parametrize("how", [{"paused_at": THEN}, {"open_until": FAR}], ids=["paused", "circuit open"])
@pytest.mark.parametrize("capability", ["look_up", "repeat"])
def test_nobody_calls_a_vendor_whose_queue_stands_still(
    vendor: Vendor, settings: Any, how: dict[str, Any], capability: str
) -> None:
    message = with_unknown_outcome(vendor, capability)
    calls = len(vendor.heard)
    Queue.objects.filter(pk=message.queue_id).update(**how)
    pump()
    assert (len(vendor.heard), fresh(message).message_state) == (calls, S.UNKNOWN_OUTCOME)
    assert settings.LOOKUP_GAP - 2 < seconds_until_due(message) <= settings.LOOKUP_GAP
    circuit.resume([message.queue_id])
    due_now(message)
    pump()
    assert len(vendor.heard) == calls + 1


def test_what_could_never_be_asked_ends_at_the_deadline(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "look_up")
    break_secrets(message.account)
    age(message, 3 * DAY)
    pump()
    assert (fresh(message).message_state, fresh(message).error_code) == (S.FAILED, UNKNOWN_OUTCOME)


def test_a_question_that_cannot_be_built_holds_up_nobody(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Strange):
        def look_up(self, sent: Sent, account: Any) -> Any:
            raise KeyError("reference")

    monkeypatch.setitem(registry.ADAPTERS, "strange", Broken(url=vendor.url))
    account = factories.make_account(vendor="strange")
    broken = factories.make_message(account=account, state=S.UNKNOWN_OUTCOME, attempts=1)
    factories.make_attempt(broken, outcome=Outcome.UNKNOWN)
    other = with_unknown_outcome(vendor, "look_up")
    due_now(broken)
    vendor.will(200, said(other))
    pump()
    assert (fresh(broken).message_state, fresh(other).message_state) == (S.UNKNOWN_OUTCOME, S.DELIVERED)


@pytest.mark.parametrize("channel", list(Channel))
def test_the_vendor_is_asked_about_the_attempt_as_it_was_sent(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, channel: Channel
) -> None:
    asked: list[Sent] = []

    class Curious(Strange):
        def look_up(self, sent: Sent, account: Any) -> Any:
            asked.append(sent)

    monkeypatch.setitem(registry.ADAPTERS, "strange", Curious(url=vendor.url))
    account = factories.make_account(vendor="strange")
    message = factories.make_message(
        account=account, state=S.UNKNOWN_OUTCOME, attempts=1, channel=channel, send_as=channel
    )
    attempt = factories.make_attempt(message, outcome=Outcome.UNKNOWN, send_as=channel)
    due_now(message)
    pump()
    assert asked == [Sent(str(attempt.id), "", channel, message.recipient, only_attempt(message).created_at)]


def test_an_exception_while_reading_a_look_up_cannot_tell(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise KeyError("messages")

    monkeypatch.setattr(Simulator, "parse_look_up", broken)
    message = with_unknown_outcome(vendor, "look_up")
    pump()
    assert (fresh(message).message_state, only_attempt(message).absences) == (S.UNKNOWN_OUTCOME, 0)


# Only a report tells: the policy.


def test_at_most_once_waits_for_a_report_until_the_deadline(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "report", report_deadline=timedelta(hours=6))
    pump()
    assert (fresh(message).message_state, len(vendor.heard)) == (S.UNKNOWN_OUTCOME, 1)
    assert seconds_until_due(message) == pytest.approx(6 * 3600, abs=60)
    age(message, timedelta(hours=6))
    due_now(message)
    pump()
    assert (fresh(message).message_state, fresh(message).error_code) == (S.FAILED, UNKNOWN_OUTCOME)
    (event,) = events_of(message)
    assert (event.status, event.error and event.error["code"]) == ("failed", UNKNOWN_OUTCOME)
    assert len(vendor.heard) == 1


def test_at_least_once_sends_exactly_once_more(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "report", unknown_policy=UnknownPolicy.AT_LEAST_ONCE)
    pump()
    assert fresh(message).message_state is S.RETRYING
    vendor.will(HANG_UP)
    send(claim())
    for _ in range(3):
        due_now(message)
        pump()
        assert (fresh(message).message_state, claim()) == (S.UNKNOWN_OUTCOME, [])
    assert len(vendor.posts) == 2
    assert len({json.loads(heard.body)["reference"] for heard in vendor.posts}) == 2
    age(message, 3 * DAY)
    due_now(message)
    pump()
    assert fresh(message).error_code == UNKNOWN_OUTCOME


def test_at_least_once_asks_first_where_it_can(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "look_up", unknown_policy=UnknownPolicy.AT_LEAST_ONCE)
    vendor.will(200, said(message))
    pump()
    assert (fresh(message).message_state, len(vendor.posts)) == (S.DELIVERED, 1)


def test_sent_once_more_too_late_is_not_sent(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "report", unknown_policy=UnknownPolicy.AT_LEAST_ONCE)
    Message.objects.filter(pk=message.pk).update(expires_at=datetime.now(UTC) - DAY)
    pump()
    sweep.used_up()
    assert (fresh(message).message_state, fresh(message).error_code) == (S.EXPIRED, EXPIRED_HERE)
    assert len(vendor.posts) == 1


@pytest.mark.parametrize("policy", list(UnknownPolicy))
def test_a_report_between_claim_and_decision_is_not_overridden(vendor: Vendor, policy: UnknownPolicy) -> None:
    message = with_unknown_outcome(vendor, "report", unknown_policy=policy)
    age(message, 3 * DAY)
    unknowns = resolve.claim(free=10)
    change("UPDATE messaging_message SET state = 4")
    Attempt.objects.update(status=Status.SENT)
    resolve.follow_policy(unknowns)
    assert (fresh(message).message_state, events_of(message)) == (S.SENT, [])


def test_a_late_answer_while_we_look_up_is_not_overridden(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "look_up")
    age(message, 3 * DAY)
    (unknown,) = resolve.claim(free=10)
    vendor.will(500)
    asked = resolve.Resolving().dial(unknown, deadline=2.0)
    change("UPDATE messaging_message SET state = 4, due_at = clock_timestamp() + interval '1 hour'")
    Attempt.objects.update(outcome=Outcome.TAKEN)
    resolve.Resolving().record([asked])
    assert fresh(message).message_state is S.SENT
    assert seconds_until_due(message) > 3000


# Two pumps.


@pytest.mark.django_db(transaction=True)
def test_two_pumps_never_ask_the_same_message_at_once(vendor: Vendor) -> None:
    account = account_at(vendor, "look_up")
    messages = [
        factories.make_message(account=account, state=S.UNKNOWN_OUTCOME, attempts=1) for _ in range(30)
    ]
    for message in messages:
        factories.make_attempt(message, outcome=Outcome.UNKNOWN)
    due_now(*messages)
    claimed = together(*(lambda: resolve.claim(free=10) for _ in range(4)))
    ids = [unknown.row.message_id for part in claimed for unknown in part]
    assert len(ids) == len(set(ids)) == 30
    assert resolve.claim(free=10) == []


@pytest.mark.django_db(transaction=True)
def test_policy_and_report_at_the_same_moment_end_it_once(vendor: Vendor) -> None:
    message = with_unknown_outcome(vendor, "report")
    age(message, 3 * DAY)
    unknowns = resolve.claim(free=10)
    word = weighing.ReportEvidence(
        message.pk, only_attempt(message).pk, Report(Status.DELIVERED, "DELIVRD"), None
    )

    def report() -> None:
        with transaction.atomic():
            weighing.apply([word])

    together(report, lambda: resolve.follow_policy(unknowns))
    assert fresh(message).message_state is S.DELIVERED
    kinds = list(Event.objects.order_by("generation").values_list("generation", "status"))
    assert kinds in ([(0, "delivered")], [(0, "failed"), (1, "delivered")])
