"""Evidence: one final event whatever comes in whatever order, from however many sides."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from messaging.evidence import weighing
from messaging.evidence.weighing import AnswerEvidence, Decision, ReportEvidence
from messaging.models import Attempt, AttemptPart, DeliveryReport, Event, Message, ProviderAccount
from messaging.rules import states
from messaging.rules.ids import uuid7
from messaging.rules.states import EXPIRED_HERE, GAVE_UP, UNCONFIRMED, UNKNOWN_OUTCOME
from messaging.rules.values import Effect, EventKind, EventState, MessageState
from tests import factories
from tests.stand_ins import events_of, fresh, only_attempt, seconds_until_due, together
from vendors.values import Channel, Outcome, SendResult, Status
from vendors.values import Report as Said

pytestmark = pytest.mark.django_db

S = MessageState
THEN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
TAKEN = SendResult(Outcome.TAKEN, vendor_id="v-1", segments=2)
UNKNOWN = SendResult(Outcome.UNKNOWN, code="timeout", text="no complete answer within 2 s")
THROTTLED = SendResult(Outcome.TEMPORARY, code="throttled", vendor_code="4290", text="slow down")
PROVED_ABSENT = SendResult(Outcome.TEMPORARY, code=states.PROVED_ABSENT, text="looked up twice")
REFUSED = SendResult(Outcome.PERMANENT, code="invalid_recipient", vendor_code="4001", text="no such number")


def apply(*items: weighing.Evidence) -> list[Effect]:
    with transaction.atomic():
        return weighing.apply(items)


def make_sending(**overrides: Any) -> tuple[Message, Attempt]:
    message = factories.make_message(**({"state": S.SENDING, "attempts": 1} | overrides))
    return message, factories.make_attempt(message)


def make_sent(**overrides: Any) -> tuple[Message, Attempt]:
    message = factories.make_message(**({"state": S.SENT, "attempts": 1} | overrides))
    return message, factories.make_attempt(message, outcome=Outcome.TAKEN, vendor_id="v-1")


def answer(attempt: Attempt, result: SendResult) -> AnswerEvidence:
    return AnswerEvidence(attempt.message_id, attempt.pk, result)


def word(attempt: Attempt, status: Status, **overrides: Any) -> ReportEvidence:
    fields = {"status": status, "vendor_status": status.upper(), "occurred_at": THEN} | overrides
    return ReportEvidence(attempt.message_id, attempt.pk, Said(**fields), None)


def told(message: Message) -> list[tuple[EventKind, int, str]]:
    return [(EventKind(event.kind), event.generation, event.status) for event in events_of(message)]


def test_a_taken_message_waits_for_its_report() -> None:
    account = factories.make_account(report_deadline=timedelta(hours=5))
    message, attempt = make_sending(account=account)

    assert apply(answer(attempt, TAKEN)) == [Effect.APPLIED]

    after = fresh(message)
    assert (after.message_state, after.lease, after.final_at, after.error_code) == (S.SENT, None, None, "")
    assert seconds_until_due(message) == pytest.approx(5 * 3600, abs=30)
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.vendor_id, attempt.segments) == ("taken", "v-1", 2)
    assert attempt.ended_at is not None
    assert told(message) == []


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(UNKNOWN, id="unknown"),
        pytest.param(THROTTLED, id="temporary"),
        pytest.param(REFUSED, id="permanent"),
        pytest.param(SendResult(Outcome.CONFIGURATION, code="credentials_refused"), id="configuration"),
        pytest.param(TAKEN, id="taken"),
    ],
)
def test_the_first_answer_is_written_whatever_it_says(result: SendResult) -> None:
    _, attempt = make_sending()
    apply(answer(attempt, result))
    attempt.refresh_from_db()
    said = (attempt.outcome, attempt.code, attempt.vendor_code, attempt.text, attempt.vendor_id)
    assert said == (result.outcome, result.code, result.vendor_code, result.text, result.vendor_id)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param(TAKEN, UNKNOWN, "taken", id="taken, then unknown"),
        pytest.param(TAKEN, REFUSED, "taken", id="taken, then refused"),
        pytest.param(REFUSED, UNKNOWN, "permanent", id="refused, then unknown"),
        pytest.param(UNKNOWN, REFUSED, "permanent", id="unknown, then refused"),
        pytest.param(UNKNOWN, TAKEN, "taken", id="unknown, then taken"),
        pytest.param(THROTTLED, TAKEN, "taken", id="refused, then proved taken"),
    ],
)
@pytest.mark.parametrize("at_once", [False, True], ids=["apart", "in one batch"])
def test_an_answer_is_never_replaced_by_one_that_says_less(
    first: SendResult, second: SendResult, kept: str, at_once: bool
) -> None:
    _, attempt = make_sending()
    if at_once:
        apply(answer(attempt, first), answer(attempt, second))
    else:
        apply(answer(attempt, first))
        apply(answer(attempt, second))
    attempt.refresh_from_db()
    assert attempt.outcome == kept


def test_a_permanent_refusal_ends_it_and_says_why() -> None:
    message, attempt = make_sending()
    apply(answer(attempt, REFUSED))
    after = fresh(message)
    assert (after.message_state, after.error_code) == (S.FAILED, "invalid_recipient")
    (event,) = events_of(message)
    assert (event.kind, event.status, event.url) == (EventKind.FINAL, "failed", factories.CALLBACK_URL)
    assert event.error == {"code": "invalid_recipient", "message": "no such number", "vendor_code": "4001"}
    assert (event.state, event.queue_id) == (EventState.DUE, factories.callback_queue(message.tenant).pk)


def test_a_temporary_refusal_waits_by_backoff() -> None:
    message, attempt = make_sending()
    apply(answer(attempt, THROTTLED))
    after = fresh(message)
    assert (after.message_state, after.error_code, after.lease) == (S.RETRYING, "throttled", None)
    assert 3 <= seconds_until_due(message) <= 6
    assert told(message) == []


@pytest.mark.parametrize(
    ("before", "now", "wait"),
    [
        pytest.param([], THROTTLED, 5, id="the first refusal"),
        pytest.param([("temporary", "throttled")], THROTTLED, 30, id="the second"),
        pytest.param([("not_dialled", "too_late")], THROTTLED, 5, id="after one that nobody dialled"),
        pytest.param([("temporary", "proved_absent")], THROTTLED, 5, id="after one that never arrived"),
        pytest.param(
            [("temporary", "throttled")], PROVED_ABSENT, 0, id="one that never arrived goes at once"
        ),
    ],
)
def test_only_the_vendors_refusals_lengthen_the_wait(
    before: list[tuple[str, str]], now: SendResult, wait: float
) -> None:
    message = factories.make_message(state=S.SENDING, attempts=len(before) + 1)
    for n, (outcome, code) in enumerate(before, 1):
        factories.make_attempt(message, n=n, outcome=outcome, code=code)
    apply(answer(factories.make_attempt(message, n=len(before) + 1), now))
    assert fresh(message).message_state is S.RETRYING
    assert seconds_until_due(message) == pytest.approx(wait, abs=max(0.2 * wait, 1) + 0.5)


def test_delivered_is_told_with_the_vendors_time() -> None:
    message, attempt = make_sent()
    assert apply(word(attempt, Status.DELIVERED, segments=3)) == [Effect.APPLIED]
    after = fresh(message)
    assert (after.message_state, after.segments) == (S.DELIVERED, 3)
    (event,) = events_of(message)
    assert (event.status, event.occurred_at, event.error) == ("delivered", THEN, None)
    assert (event.segments, event.sent_as) == (3, "sms")


@pytest.mark.parametrize(
    ("report_sent", "kinds"),
    [
        pytest.param(False, ["delivered"], id="not asked for"),
        pytest.param(True, ["sent", "delivered"], id="asked for"),
    ],
)
@pytest.mark.parametrize("at_once", [False, True], ids=["apart", "in one batch"])
def test_sent_is_told_only_to_a_tenant_that_asks(report_sent: bool, kinds: list[str], at_once: bool) -> None:
    account = factories.make_account(factories.make_tenant(report_sent=report_sent))
    message, attempt = make_sending(account=account)
    pieces = [answer(attempt, TAKEN), word(attempt, Status.SENT), word(attempt, Status.DELIVERED)]
    for batch in [pieces] if at_once else [[piece] for piece in pieces]:
        apply(*batch)
    assert [event.status for event in events_of(message)] == kinds


def test_the_report_may_come_before_the_answer() -> None:
    message, attempt = make_sending()
    assert apply(word(attempt, Status.DELIVERED)) == [Effect.APPLIED]
    assert fresh(message).lease is None
    assert apply(answer(attempt, TAKEN)) == [Effect.STORED]
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.vendor_id, attempt.status) == ("taken", "v-1", "delivered")
    assert fresh(message).message_state is S.DELIVERED
    assert told(message) == [(EventKind.FINAL, 0, "delivered")]


def test_a_test_message_without_callback_url_is_owed_nothing() -> None:
    message, attempt = make_sending(request_id="", content={"callback_url": ""})
    apply(answer(attempt, REFUSED))
    assert fresh(message).message_state is S.FAILED
    assert told(message) == []


@pytest.mark.parametrize(
    ("fail_unconfirmed", "expected"),
    [
        pytest.param(False, [], id="by default nothing"),
        pytest.param(True, [(EventKind.FINAL, 0, "failed")], id="failed if the account says so"),
    ],
)
def test_unconfirmed(fail_unconfirmed: bool, expected: list[Any]) -> None:
    account = factories.make_account(fail_unconfirmed=fail_unconfirmed)
    message, _ = make_sent(account=account)
    apply(Decision(message.pk, S.UNCONFIRMED, UNCONFIRMED, "no delivery report by the deadline"))
    assert (fresh(message).message_state, fresh(message).error_code) == (S.UNCONFIRMED, UNCONFIRMED)
    assert told(message) == expected


OURS = [
    pytest.param(S.FAILED, UNKNOWN_OUTCOME, [(0, "failed"), (1, "delivered")], id="given up, then delivered"),
    pytest.param(S.EXPIRED, EXPIRED_HERE, [(0, "failed"), (1, "delivered")], id="used up, then delivered"),
    pytest.param(S.UNCONFIRMED, UNCONFIRMED, [(0, "delivered")], id="untold, then delivered"),
]


@pytest.mark.parametrize(("state", "code", "generations"), OURS)
def test_a_vendors_final_after_our_own_is_told_too(
    state: MessageState, code: str, generations: list[tuple[int, str]]
) -> None:
    message, attempt = make_sent()
    apply(Decision(message.pk, state, code, "given up here"))
    assert apply(word(attempt, Status.DELIVERED)) == [Effect.APPLIED]
    assert fresh(message).message_state is S.DELIVERED
    assert [(event.generation, event.status) for event in events_of(message)] == generations
    assert apply(word(attempt, Status.UNDELIVERED)) == [Effect.CONTRADICTION]
    assert len(events_of(message)) == len(generations)


def test_a_contradiction_changes_nothing() -> None:
    message, attempt = make_sent()
    apply(word(attempt, Status.UNDELIVERED))
    before = fresh(message)
    assert apply(word(attempt, Status.DELIVERED)) == [Effect.CONTRADICTION]
    after, attempt = fresh(message), only_attempt(message)
    assert (after.state, after.final_at, attempt.status) == (before.state, before.final_at, "undelivered")
    assert told(message) == [(EventKind.FINAL, 0, "failed")]


def test_an_unknown_word_changes_nothing() -> None:
    message, attempt = make_sent()
    assert apply(word(attempt, Status.UNKNOWN)) == [Effect.UNKNOWN_STATUS]
    assert (fresh(message).message_state, only_attempt(message).status) == (S.SENT, None)


def test_our_decision_never_overrides_an_end() -> None:
    message, attempt = make_sent()
    apply(word(attempt, Status.DELIVERED))
    decision = Decision(message.pk, S.UNCONFIRMED, UNCONFIRMED, "no report")
    assert apply(decision) == [Effect.STORED]
    assert (fresh(message).message_state, len(events_of(message))) == (S.DELIVERED, 1)


@pytest.mark.parametrize(
    ("state", "attempts"),
    [
        pytest.param(S.SENT, 1, id="it was resolved: taken"),
        pytest.param(S.RETRYING, 1, id="it was resolved: refused"),
        pytest.param(S.SENDING, 2, id="another attempt is in flight"),
        pytest.param(S.UNKNOWN_OUTCOME, 2, id="another attempt is unknown"),
    ],
)
@pytest.mark.parametrize(
    ("ruled", "code"),
    [
        pytest.param(S.RETRYING, "sent_once_more", id="once more"),
        pytest.param(S.FAILED, UNKNOWN_OUTCOME, id="over"),
    ],
)
def test_a_decision_on_an_unknown_outcome_is_void_once_it_is_resolved(
    state: MessageState, attempts: int, ruled: MessageState, code: str
) -> None:
    message = factories.make_message(state=state, attempts=attempts)
    first, *_ = [factories.make_attempt(message) for _ in range(attempts)]
    assert apply(Decision(message.pk, ruled, code, "", about=first.pk)) == [Effect.SUPERSEDED]
    assert (fresh(message).message_state, told(message)) == (state, [])


@pytest.mark.parametrize("state", [S.SENDING, S.UNKNOWN_OUTCOME])
def test_a_decision_on_an_unknown_outcome_counts_while_it_lasts(state: MessageState) -> None:
    message = factories.make_message(state=state, attempts=1)
    attempt = factories.make_attempt(message, outcome=Outcome.UNKNOWN)
    assert apply(Decision(message.pk, S.RETRYING, "sent_once_more", "", about=attempt.pk)) == [Effect.APPLIED]
    assert (fresh(message).message_state, seconds_until_due(message) <= 0) == (S.RETRYING, True)


def test_delivered_of_an_older_attempt_ends_it_and_cancels_the_retry() -> None:
    message = factories.make_message(state=S.RETRYING, attempts=2)
    first = factories.make_attempt(message, outcome=Outcome.UNKNOWN)
    factories.make_attempt(message, outcome=Outcome.TEMPORARY)
    assert apply(word(first, Status.DELIVERED)) == [Effect.APPLIED]
    assert fresh(message).message_state is S.DELIVERED
    assert told(message) == [(EventKind.FINAL, 0, "delivered")]


def test_failure_of_an_older_attempt_is_kept_and_decides_nothing() -> None:
    message = factories.make_message(state=S.SENT, attempts=2)
    first = factories.make_attempt(message, outcome=Outcome.UNKNOWN)
    factories.make_attempt(message, outcome=Outcome.TAKEN)
    assert apply(word(first, Status.UNDELIVERED)) == [Effect.SUPERSEDED]
    first.refresh_from_db()
    assert (first.status, fresh(message).message_state, told(message)) == ("undelivered", S.SENT, [])


def make_mms(**overrides: Any) -> tuple[Message, Attempt]:
    content = {"fallback_text": "x" * 200, "media": [{"url": "https://example.com/a.png"}]}
    return make_sending(**({"channel": Channel.MMS, "content": content} | overrides))


NO_MMS = SendResult(Outcome.PERMANENT, code="mms_unsupported", mms_unsupported=True)


def test_an_unsupported_mms_falls_back_to_sms_at_once() -> None:
    message, attempt = make_mms()
    apply(answer(attempt, NO_MMS))
    after = fresh(message)
    assert (after.message_state, after.send_as, after.segments, after.channel) == (
        S.ACCEPTED,
        "sms",
        2,
        "mms",
    )
    assert (seconds_until_due(message) <= 0, told(message)) == (True, [])


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param({"content": {"fallback_text": ""}}, id="no fallback text"),
        pytest.param({"expires_at": THEN}, id="validity used up"),
        pytest.param({"send_as": "sms"}, id="fell back before"),
    ],
)
def test_no_second_way_of_sending(overrides: dict[str, Any]) -> None:
    message, attempt = make_mms(**overrides)
    apply(answer(attempt, NO_MMS))
    assert (fresh(message).message_state, fresh(message).error_code) == (S.FAILED, "mms_unsupported")


def test_a_picture_that_arrives_after_all_is_told_as_a_picture() -> None:
    message, attempt = make_mms()
    apply(answer(attempt, NO_MMS))
    apply(word(attempt, Status.DELIVERED))
    (event,) = events_of(message)
    assert (event.sent_as, fresh(message).send_as, fresh(message).message_state) == (
        "mms",
        "mms",
        S.DELIVERED,
    )


def test_validity_ends_a_retry_that_would_come_too_late() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=3)
    message, attempt = make_sending(expires_at=soon)
    apply(answer(attempt, THROTTLED))
    after = fresh(message)
    assert (after.message_state, after.error_code) == (S.EXPIRED, EXPIRED_HERE)
    assert told(message) == [(EventKind.FINAL, 0, "failed")]
    assert only_attempt(message).outcome == "temporary"


@pytest.mark.parametrize(
    ("attempts", "state"), [pytest.param(19, S.RETRYING, id="19"), pytest.param(20, S.FAILED, id="20")]
)
def test_the_twentieth_attempt_is_the_last(attempts: int, state: MessageState) -> None:
    message, attempt = make_sending(attempts=attempts, expires_at=datetime.now(UTC) + timedelta(days=9))
    apply(answer(attempt, THROTTLED))
    assert fresh(message).message_state is state
    assert (fresh(message).error_code == GAVE_UP) is (state is S.FAILED)


def test_retry_after_is_respected() -> None:
    message, attempt = make_sending()
    apply(answer(attempt, SendResult(Outcome.TEMPORARY, code="throttled", retry_after=600.0)))
    assert 599 <= seconds_until_due(message) <= 721


def test_parts_are_stored_and_wake_reports_that_came_first() -> None:
    message, attempt = make_sending()
    waiting = DeliveryReport.objects.create(
        exchange_id=uuid7(),
        exchange_at=THEN,
        account=message.account,
        vendor_id="p-2",
        status=Status.DELIVERED,
        received_at=THEN,
        effect=Effect.UNMATCHED,
        due_at=datetime.now(UTC) + timedelta(hours=1),
        digest=b"x" * 32,
    )
    apply(answer(attempt, SendResult(Outcome.TAKEN, vendor_id="p-1", part_ids=("p-1", "p-2", "p-3"))))
    attempt.refresh_from_db()
    assert (attempt.vendor_id, attempt.parts) == ("p-1", 3)
    parts = AttemptPart.objects.filter(attempt=attempt).order_by("part").values_list("vendor_id", "part")
    assert list(parts) == [("p-2", 2), ("p-3", 3)]
    waiting.refresh_from_db()
    assert waiting.due_at is not None
    assert waiting.due_at <= datetime.now(UTC)


def test_a_vendor_that_gives_an_id_twice_does_not_fail_the_record() -> None:
    account = factories.make_account()
    (one, first), (two, second) = make_sending(account=account), make_sending(account=account)
    result = SendResult(Outcome.TAKEN, vendor_id="p-1", part_ids=("p-1", "p-2"))
    apply(answer(first, result), answer(second, result))
    assert (fresh(one).message_state, fresh(two).message_state) == (S.SENT, S.SENT)
    assert AttemptPart.objects.get().vendor_id == "p-2"


@pytest.mark.parametrize("outcome", [Outcome.TEMPORARY, Outcome.PERMANENT, Outcome.TAKEN])
@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param("\x00" + "x" * 400, id="NUL and too long"),
        pytest.param("\ud800" + "é" * 400, id="half a surrogate pair"),
    ],
)
def test_garbage_from_a_vendor_never_fails_the_record(outcome: Outcome, garbage: str) -> None:
    fine, other = make_sending()
    message, attempt = make_sending()
    wild = SendResult(
        outcome, vendor_id=garbage, part_ids=("1", garbage), segments=99_999, code=garbage,
        vendor_code=garbage, text=garbage,
    )  # fmt: skip
    apply(answer(other, TAKEN), answer(attempt, wild))
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.segments) == (outcome, 32_767)
    assert (len(attempt.text), len(attempt.code)) == (300, 60)
    assert fresh(fine).message_state is S.SENT
    assert fresh(message).message_state in (S.SENT, S.RETRYING, S.FAILED)


def test_garbage_in_a_look_ups_report_never_fails_the_record() -> None:
    message, attempt = make_sent()
    apply(word(attempt, Status.REJECTED, text="\x00\ud800", code="\x00" * 99, segments=10**6))
    (event,) = events_of(message)
    assert event.error == {"code": "", "message": "?", "vendor_code": ""}
    assert (fresh(message).message_state, event.segments) == (S.REJECTED, 32_767)


def test_a_message_that_is_gone_is_harmless() -> None:
    message, attempt = make_sending()
    gone = AnswerEvidence(uuid7(), uuid7(), TAKEN)
    stranger = AnswerEvidence(message.pk, uuid7(), TAKEN)
    decision = Decision(uuid7(), S.FAILED, UNKNOWN_OUTCOME, "")
    effects = apply(gone, stranger, decision, answer(attempt, TAKEN))
    assert effects == [Effect.STORED, Effect.STORED, Effect.STORED, Effect.APPLIED]
    assert apply() == []


@pytest.mark.parametrize("state", list(S))
def test_no_end_is_left_for_another_state(state: MessageState) -> None:
    message = factories.make_message(state=state, attempts=1)
    attempt = factories.make_attempt(message)
    for piece in (answer(attempt, UNKNOWN), answer(attempt, THROTTLED), answer(attempt, TAKEN)):
        apply(piece)
        if state.is_final:
            assert fresh(message).message_state is state


# Several accounts at once.


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("round_", range(5))
def test_two_witnesses_make_one_final_event(round_: int) -> None:
    message, attempt = make_sent()
    effects = together(
        lambda: apply(word(attempt, Status.DELIVERED)),
        lambda: apply(word(attempt, Status.DELIVERED)),
        lambda: apply(Decision(message.pk, S.EXPIRED, EXPIRED_HERE, "used up")),
    )
    assert effects[:2].count([Effect.APPLIED]) == 1
    assert fresh(message).message_state is S.DELIVERED
    ours_first = effects[2] == [Effect.APPLIED]
    expected = [(0, "failed"), (1, "delivered")] if ours_first else [(0, "delivered")]
    assert [(event.generation, event.status) for event in events_of(message)] == expected


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("round_", range(3))
def test_answer_and_report_at_the_same_moment(round_: int) -> None:
    message, attempt = make_sending()
    together(
        lambda: apply(answer(attempt, UNKNOWN)),
        lambda: apply(word(attempt, Status.SENT)),
        lambda: apply(answer(attempt, TAKEN)),
    )
    attempt.refresh_from_db()
    assert (fresh(message).message_state, attempt.outcome, attempt.status) == (S.SENT, "taken", "sent")


@pytest.mark.django_db(transaction=True)
def test_overlapping_batches_in_any_order_never_deadlock() -> None:
    accounts = [factories.make_account() for _ in range(4)]
    pairs = [make_sent(account=accounts[n % 4]) for n in range(40)]

    def batches(order: random.Random) -> None:
        for _ in range(15):
            chosen = order.sample(pairs, 20)
            status = order.choice([Status.SENT, Status.DELIVERED, Status.UNDELIVERED])
            apply(*(word(attempt, status) for _, attempt in chosen))

    orders = [random.Random(seed) for seed in range(6)]  # noqa: S311 — repeatable shuffles
    together(*(lambda order=order: batches(order) for order in orders))
    finals = {message.pk for message, _ in pairs if fresh(message).message_state.is_final}
    assert len(finals) > 30
    assert sorted(Event.objects.values_list("message_id", flat=True)) == sorted(finals)


@pytest.mark.django_db(transaction=True)
def test_first_events_of_several_tenants_at_once() -> None:
    accounts = [factories.make_account() for _ in range(6)]

    def one_each() -> list[Attempt]:
        return [make_sent(account=account)[1] for account in accounts]

    halves = [one_each(), one_each()[::-1]]
    together(*(lambda half=half: apply(*(word(one, Status.DELIVERED) for one in half)) for half in halves))
    assert Event.objects.count() == 12
    assert {event.queue.key for event in Event.objects.select_related("queue")} == {
        str(account.tenant_id) for account in ProviderAccount.objects.all()
    }
