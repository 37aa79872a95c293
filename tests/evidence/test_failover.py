"""Another account: after a fault of the route, or where a queue does not run; never while the first may arrive."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import transaction

from messaging.evidence import weighing
from messaging.evidence.weighing import AnswerEvidence
from messaging.models import Attempt, Message, ProviderAccount
from messaging.rules import backoff
from messaging.rules.values import Effect, MessageState
from tests import factories
from tests.stand_ins import (
    Vendor,
    account_at,
    claim,
    events_of,
    fresh,
    only_attempt,
    queue_of,
    seconds_until_due,
    send,
    two_accounts,
    way_of,
)
from vendors import meanings
from vendors.meanings import Meaning
from vendors.values import Channel, Outcome, SendResult, Status

pytestmark = pytest.mark.django_db

S = MessageState


def in_flight(account: ProviderAccount, **overrides: Any) -> tuple[Message, Attempt]:
    message = factories.make_message(account=account, state=S.SENDING, attempts=1, **overrides)
    return message, factories.make_attempt(message)


def result(meaning: Meaning) -> SendResult:
    return SendResult(
        meaning.outcome,
        code=meaning.code,
        route_fault=meaning.route_fault,
        mms_unsupported=meaning.mms_unsupported,
    )


def apply(attempt: Attempt, said: SendResult) -> Effect:
    with transaction.atomic():
        (effect,) = weighing.apply([AnswerEvidence(attempt.message_id, attempt.pk, said)])
    return effect


ROUTE_FAULTS = [
    meaning for meaning in vars(meanings).values() if isinstance(meaning, Meaning) and meaning.route_fault
]
OTHER_REFUSALS = [
    meaning
    for meaning in vars(meanings).values()
    if isinstance(meaning, Meaning) and not meaning.route_fault and meaning.outcome is Outcome.PERMANENT
]


@pytest.mark.parametrize("meaning", ROUTE_FAULTS, ids=lambda meaning: meaning.code)
def test_a_fault_of_the_route_takes_the_next_account_at_once(meaning: Meaning) -> None:
    first, second = two_accounts()
    message, attempt = in_flight(first)
    assert apply(attempt, result(meaning)) is Effect.APPLIED
    assert way_of(message) == (second.pk, second.queue_id, "", S.ACCEPTED)
    assert seconds_until_due(message) <= 0
    assert events_of(message) == []
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.code, attempt.account_id) == (meaning.outcome, meaning.code, first.pk)


@pytest.mark.parametrize("meaning", OTHER_REFUSALS, ids=lambda meaning: meaning.code)
def test_a_refusal_of_the_message_is_final_on_every_route(meaning: Meaning) -> None:
    first, _ = two_accounts()
    message, attempt = in_flight(first)
    apply(attempt, result(meaning))
    assert way_of(message) == (first.pk, first.queue_id, "", S.FAILED)
    assert [event.status for event in events_of(message)] == ["failed"]


def test_opted_out_is_never_failed_over_even_if_an_adapter_blames_the_route() -> None:
    first, _ = two_accounts()
    message, attempt = in_flight(first)
    apply(attempt, SendResult(Outcome.PERMANENT, code="opted_out", route_fault=True))
    assert way_of(message) == (first.pk, first.queue_id, "", S.FAILED)


@pytest.mark.parametrize("outcome", [Outcome.TEMPORARY, Outcome.UNKNOWN, Outcome.TAKEN, Outcome.NOT_DIALLED])
def test_other_outcomes_stay_with_their_account(outcome: Outcome) -> None:
    first, _ = two_accounts()
    message, attempt = in_flight(first)
    apply(attempt, SendResult(outcome, code="x", route_fault=True))
    assert (fresh(message).account_id, fresh(message).queue_id) == (first.pk, first.queue_id)


def earlier(message: Message, **fields: Any) -> None:
    Attempt.objects.filter(message=message).update(n=2)
    factories.make_attempt(message, n=1, **fields)
    Message.objects.filter(pk=message.pk).update(attempts=2)


@pytest.mark.parametrize(
    ("fields", "moves"),
    [
        pytest.param({"outcome": Outcome.UNKNOWN}, False, id="unknown"),
        pytest.param({"outcome": None}, False, id="never recorded"),
        pytest.param({"outcome": Outcome.UNKNOWN, "status": Status.SENT}, False, id="unknown, on its way"),
        pytest.param(
            {"outcome": Outcome.UNKNOWN, "status": Status.REJECTED}, True, id="unknown, then rejected"
        ),
        pytest.param({"outcome": Outcome.TEMPORARY}, True, id="surely not taken"),
        pytest.param({"outcome": Outcome.NOT_DIALLED}, True, id="not dialled"),
    ],
)
def test_never_while_an_earlier_attempt_may_have_been_taken(fields: dict[str, Any], moves: bool) -> None:
    first, second = two_accounts()
    message, attempt = in_flight(first)
    earlier(message, **fields)
    apply(attempt, result(meanings.NO_ROUTE))
    assert way_of(message)[0] == (second if moves else first).pk
    assert fresh(message).message_state is (S.ACCEPTED if moves else S.FAILED)


def test_a_call_whose_outcome_was_unknown_is_not_failed_over_by_a_refusal_of_its_repetition() -> None:
    first, _ = two_accounts()
    message = factories.make_message(account=first, state=S.UNKNOWN_OUTCOME, attempts=1)
    attempt = factories.make_attempt(message, outcome=Outcome.UNKNOWN)
    apply(attempt, result(meanings.INVALID_SENDER))
    assert way_of(message) == (first.pk, first.queue_id, "", S.FAILED)


def test_each_account_is_tried_once() -> None:
    first, second = two_accounts()
    message, attempt = in_flight(first)
    apply(attempt, result(meanings.INVALID_SENDER))
    Message.objects.filter(pk=message.pk).update(state=S.SENDING, attempts=2, lease=message.pk)
    apply(factories.make_attempt(fresh(message)), result(meanings.INVALID_SENDER))
    assert way_of(message) == (second.pk, second.queue_id, "", S.FAILED)
    assert [event.error and event.error["code"] for event in events_of(message)] == ["invalid_sender"]


@pytest.mark.parametrize(
    ("overrides", "state"),
    [
        pytest.param({"attempts": backoff.SEND_ATTEMPTS_MAX}, S.FAILED, id="attempts used up"),
        pytest.param({"expires_at": datetime(2024, 1, 1, tzinfo=UTC)}, S.FAILED, id="validity used up"),
    ],
)
def test_what_is_used_up_does_not_move(overrides: dict[str, Any], state: MessageState) -> None:
    first, _ = two_accounts()
    message = factories.make_message(account=first, state=S.SENDING, **{"attempts": 1, **overrides})
    apply(factories.make_attempt(message), result(meanings.NO_ROUTE))
    assert way_of(message) == (first.pk, first.queue_id, "", state)


def test_another_account_of_the_same_queue_is_no_way_round_refused_credentials() -> None:
    first = factories.make_account()
    factories.make_account(first.tenant, queue=first.queue)
    message, attempt = in_flight(first)
    apply(attempt, result(meanings.CREDENTIALS_REFUSED))
    assert way_of(message) == (first.pk, first.queue_id, "", S.RETRYING)


def test_another_tenants_account_is_no_way() -> None:
    first = factories.make_account()
    stranger = factories.make_account()
    factories.make_route(first)
    factories.make_route(stranger, tenant=first.tenant)  # a row that the desk refuses
    message, attempt = in_flight(first)
    apply(attempt, result(meanings.NO_ROUTE))
    assert way_of(message) == (first.pk, first.queue_id, "", S.FAILED)


def test_only_to_an_account_with_a_sender_for_that_country() -> None:
    first, _ = two_accounts(senders=["Demo"])
    third = factories.make_account(first.tenant, position=3, sender_map={"1": "+15550100", "421": "Brand"})
    message, attempt = in_flight(first)
    apply(attempt, result(meanings.NO_ROUTE))
    assert way_of(message) == (third.pk, third.queue_id, "Brand", S.ACCEPTED)
    (item,) = claim()
    assert (item.outgoing.sender, item.account_id) == ("Brand", third.pk)
    sent = Attempt.objects.get(pk=item.attempt_id)
    assert (sent.sender, sent.account_id, fresh(message).sender) == ("Brand", third.pk, factories.SENDER)


def test_routes_decide_where_it_goes() -> None:
    first, second = two_accounts()
    third = factories.make_account(first.tenant)
    for position, (account, prefixes) in enumerate([(first, []), (second, ["1"]), (third, ["421"])]):
        factories.make_route(account, position=position, prefixes=prefixes)
    message, attempt = in_flight(first)
    apply(attempt, result(meanings.NO_ROUTE))
    assert way_of(message)[0] == third.pk


def test_an_mms_goes_where_mms_are_carried() -> None:
    first, _ = two_accounts(channels=[Channel.SMS])
    third = factories.make_account(first.tenant, position=3)
    message, attempt = in_flight(first, channel=Channel.MMS)
    apply(attempt, result(meanings.NO_ROUTE))
    assert way_of(message)[0] == third.pk


def test_the_whole_path(vendor: Vendor) -> None:
    """401 from the first account: its queue is paused, and the second one sends; reports find their attempts."""
    first = account_at(vendor, position=1)
    second = account_at(vendor, position=2, tenant=first.tenant)
    message = factories.make_message(account=first)
    vendor.will(401, {"error": {"code": "4010", "message": "unknown key"}})
    send(claim())
    assert queue_of(first).paused_at is not None
    send(claim())
    tries = list(Attempt.objects.filter(message=message).order_by("n").values_list("account_id", "outcome"))
    assert tries == [(first.pk, "configuration"), (second.pk, "taken")]
    assert way_of(message) == (second.pk, second.queue_id, "", S.SENT)


def test_the_attempt_names_the_sender_that_went_out() -> None:
    message = factories.make_message()
    claim()
    assert only_attempt(message).sender == factories.SENDER
