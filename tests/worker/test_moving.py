"""What waits moves from a queue that does not run to another account; never while it may arrive, never twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messaging.models import ProviderAccount
from messaging.rules.values import MessageState
from messaging.worker import moving
from tests import factories
from tests.stand_ins import (
    OPEN,
    PAUSED,
    claim,
    fresh,
    hold,
    seconds_until_due,
    together,
    two_accounts,
    way_of,
)
from vendors.values import Outcome, Status

pytestmark = pytest.mark.django_db

S = MessageState


@pytest.fixture(autouse=True)
def _from_the_beginning() -> None:
    moving._seen.clear()


@pytest.mark.parametrize("how", [PAUSED, OPEN], ids=["paused", "circuit open"])
@pytest.mark.parametrize("state", [S.ACCEPTED, S.RETRYING])
def test_what_waits_in_a_queue_that_stands_still_moves(how: dict[str, Any], state: MessageState) -> None:
    first, second = two_accounts(sender_map={"*": "Brand"})
    message = factories.make_message(
        account=first, state=state, due_at=datetime.now(UTC) + timedelta(minutes=20)
    )
    hold(first, how)
    assert moving.move_waiting() == 1
    assert way_of(message) == (second.pk, second.queue_id, "Brand", S.ACCEPTED)
    assert seconds_until_due(message) <= 0
    assert moving.move_waiting() == 0


@pytest.mark.parametrize(
    "state", [state for state in S if state not in (S.ACCEPTED, S.RETRYING)], ids=lambda state: state.name
)
def test_nothing_else_moves(state: MessageState) -> None:
    first, _ = two_accounts()
    message = factories.make_message(account=first, state=state)
    hold(first, PAUSED)
    assert moving.move_waiting() == 0
    assert way_of(message) == (first.pk, first.queue_id, "", state)


@pytest.mark.parametrize(
    ("attempt", "moves"),
    [
        pytest.param({"outcome": Outcome.UNKNOWN}, False, id="unknown"),
        pytest.param({"outcome": None}, False, id="never recorded"),
        pytest.param({"outcome": Outcome.TAKEN}, False, id="taken"),
        pytest.param({"outcome": Outcome.UNKNOWN, "status": Status.SENT}, False, id="on its way"),
        pytest.param(
            {"outcome": Outcome.TAKEN, "status": Status.UNDELIVERED}, True, id="surely not delivered"
        ),
        pytest.param({"outcome": Outcome.TEMPORARY, "code": "throttled"}, True, id="throttled"),
        pytest.param({"outcome": Outcome.CONFIGURATION}, True, id="refused account"),
        pytest.param({"outcome": Outcome.NOT_DIALLED}, True, id="not dialled"),
    ],
)
def test_what_may_have_been_taken_waits(attempt: dict[str, Any], moves: bool) -> None:
    first, second = two_accounts()
    message = factories.make_message(account=first, state=S.RETRYING, attempts=1)
    factories.make_attempt(message, **attempt)
    hold(first, OPEN)
    assert moving.move_waiting() == int(moves)
    assert fresh(message).account_id == (second if moves else first).pk


def no_second(first: ProviderAccount, second: ProviderAccount) -> None:
    second.delete()


@pytest.mark.parametrize(
    "because",
    [
        pytest.param(no_second, id="there is none"),
        pytest.param(lambda first, second: hold(second, OPEN), id="it stands still too"),
        pytest.param(
            lambda first, second: ProviderAccount.objects.filter(pk=second.pk).update(is_active=False),
            id="off",
        ),
        pytest.param(
            lambda first, second: ProviderAccount.objects.filter(pk=second.pk).update(queue=first.queue),
            id="same",
        ),
        pytest.param(
            lambda first, second: ProviderAccount.objects.filter(pk=second.pk).update(senders=["Demo"]),
            id="no sender",
        ),
        pytest.param(lambda first, second: factories.make_route(first), id="no route to it"),
    ],
)
def test_without_another_account_it_waits(because: Callable[[ProviderAccount, ProviderAccount], Any]) -> None:
    first, second = two_accounts()
    message = factories.make_message(account=first)
    hold(first, PAUSED)
    because(first, second)
    assert moving.move_waiting() == 0
    assert way_of(message) == (first.pk, first.queue_id, "", S.ACCEPTED)


def test_an_account_that_refused_it_does_not_get_it_again() -> None:
    first, second = two_accounts()
    message = factories.make_message(account=second, state=S.RETRYING, attempts=1)
    factories.make_attempt(message, account=first, outcome=Outcome.CONFIGURATION)
    hold(second, OPEN)
    assert moving.move_waiting() == 0


def test_those_that_cannot_move_do_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "BATCH", 3)
    monkeypatch.setattr(moving, "BATCHES", 1)
    first, second = two_accounts(senders=["Demo"])
    start = datetime.now(UTC) - timedelta(hours=1)
    for n in range(7):
        factories.make_message(account=first, due_at=start + timedelta(seconds=n))
    last = factories.make_message(account=first, sender="Demo")
    hold(first, PAUSED)
    assert [moving.move_waiting() for _ in range(3)] == [0, 0, 1]
    assert fresh(last).account_id == second.pk


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_and_a_claim_at_once_send_nothing_twice() -> None:
    first, second = two_accounts()
    for _ in range(60):
        factories.make_message(account=first)
    hold(first, OPEN)
    moved, again, claimed = together(moving.move_waiting, moving.move_waiting, lambda: claim(free=20))
    assert moved + again == 60
    rest = claim(free=100)
    assert len({item.message_id for item in (*claimed, *rest)}) == len(claimed) + len(rest)
    assert {item.account_id for item in (*claimed, *rest)} == {second.pk}


def test_a_message_left_in_a_queue_without_accounts_follows_its_account() -> None:
    first, second = two_accounts()
    message = factories.make_message(account=first)
    settled = factories.make_message(account=second, queue=first.queue)
    ProviderAccount.objects.filter(pk=first.pk).update(queue=second.queue)
    assert moving.follow_accounts() == 2
    assert {fresh(one).queue_id for one in (message, settled)} == {second.queue_id}
    assert moving.follow_accounts() == 0
