"""Senders' own limits: kept exactly, in segments, while the others of the queue go on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import Sum

from messaging.models import Attempt, Message, ProviderAccount, Queue, SenderRate
from messaging.models.sql import change
from messaging.queues import circuit
from messaging.rules.values import MessageState
from messaging.sending import claims, sender_rates
from messaging.sending.claims import Claimed
from tests import factories
from tests.stand_ins import claim, fetch, together

pytestmark = pytest.mark.django_db

S = MessageState
SLOW, QUICK = "+421900000007", factories.SENDER

FILL = """
INSERT INTO messaging_message (id, tenant_id, channel, request_id, account_id, queue_id, sender, recipient, send_as,
  segments, state, due_at, attempts, expires_at, created_at)
SELECT gen_random_uuid(), %(tenant)s, 'sms', '', %(account)s, %(queue)s, %(sender)s, '+421900000123', 'sms',
  %(segments)s, 0, t.at, 0, clock_timestamp() + interval '4 hours', t.at
FROM generate_series(1, %(count)s) n, LATERAL (
  SELECT clock_timestamp() - interval '1 hour' + n * interval '1 ms' AS at) t
"""
FILL_CONTENT = """
INSERT INTO messaging_content (message_id, created_at, text)
SELECT m.id, m.created_at, 'x' FROM messaging_message m
WHERE NOT EXISTS (SELECT 1 FROM messaging_content c WHERE c.message_id = m.id AND c.created_at = m.created_at)
"""
# As if time had passed: whatever has waited, and the buckets, lie so much further back.
LATER = """
WITH m AS (UPDATE messaging_message SET due_at = due_at - %(by)s WHERE state IN (0, 2) AND due_at > created_at)
UPDATE messaging_senderrate SET refilled_at = refilled_at - %(by)s, booked_until = booked_until - %(by)s
"""


def account(*, limits: dict[str, float], **queue: Any) -> ProviderAccount:
    made = factories.make_account()
    Queue.objects.filter(pk=made.queue_id).update(**({"cap": 1000} | queue))
    now = datetime.now(UTC)
    for sender, rate in limits.items():
        SenderRate.objects.create(
            queue_id=made.queue_id, sender=sender, rate=rate, tokens=rate, refilled_at=now
        )
    return made


def fill(made: ProviderAccount, count: int, *, sender: str = SLOW, segments: int = 1) -> None:
    params = {"tenant": made.tenant_id, "account": made.pk, "queue": made.queue_id, "count": count}
    change(FILL, params | {"sender": sender, "segments": segments})
    change(FILL_CONTENT)


@dataclass
class Clock:
    """Time passes when a test says so, and not while a busy machine runs it."""

    at: datetime | None = None  # of the last claim; before it, the buckets' own

    def claim(self, *, free: int, after: float = 0) -> list[Claimed]:
        """Claims so many seconds after the last claim: what has passed by itself is taken back."""
        since, self.at = self.at or SenderRate.objects.latest("refilled_at").refilled_at, datetime.now(UTC)
        change(LATER, {"by": timedelta(seconds=after) + since - self.at})
        return claim(free=free)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def end(claimed: list[Claimed]) -> None:
    ids = [item.message_id for item in claimed]
    Message.objects.filter(pk__in=ids).update(state=S.DELIVERED, lease=None, final_at=datetime.now(UTC))


def by_sender(claimed: list[Claimed]) -> Counter[str]:
    return Counter(item.outgoing.sender for item in claimed)


def test_a_sender_over_its_limit_does_not_keep_the_others(clock: Clock) -> None:
    made = account(limits={SLOW: 3})
    fill(made, 40)
    fill(made, 25, sender=QUICK)
    assert by_sender(clock.claim(free=100)) == {SLOW: 3, QUICK: 25}
    assert clock.claim(free=100) == []


def test_a_flood_of_one_sender_stands_in_nobodys_way(clock: Clock) -> None:
    made = account(limits={SLOW: 3})
    fill(made, 3 * sender_rates.WINDOW)
    fill(made, 5, sender=QUICK)
    got: Counter[str] = Counter()
    for _ in range(5):
        got += by_sender(clock.claim(free=8))
    assert got == {QUICK: 5, SLOW: 3}


def test_what_is_put_off_is_put_off_once_and_in_order(clock: Clock) -> None:
    made = account(limits={SLOW: 2})
    fill(made, 60)
    order = list(Message.objects.order_by("due_at").values_list("pk", flat=True))
    assert len(clock.claim(free=10)) == 2
    waiting = Message.objects.filter(state=S.ACCEPTED).order_by("due_at")
    assert list(waiting.values_list("pk", flat=True)) == order[2:]
    claimed_at = SenderRate.objects.get().refilled_at
    waits = [(at - claimed_at).total_seconds() for at in waiting.values_list("due_at", flat=True)]
    assert waits == pytest.approx([(n + 1) / 2 for n in range(58)], abs=0.01)
    before = list(waiting.values_list("due_at", flat=True))
    claim(free=10)
    assert [at for at in waiting.values_list("due_at", flat=True)] == before[-waiting.count() :]


@pytest.mark.parametrize(
    ("rate", "segments", "step", "steps"),
    [
        pytest.param(10, 1, 0.5, 30, id="one segment each"),
        pytest.param(10, 3, 0.5, 30, id="three segments each"),
        pytest.param(0.5, 1, 1.0, 60, id="one in two seconds"),
    ],
)
def test_the_rate_is_kept_in_segments(
    clock: Clock, rate: float, segments: int, step: float, steps: int
) -> None:
    made = account(limits={SLOW: rate})
    SenderRate.objects.update(tokens=0)
    fill(made, 400, segments=segments)
    total = 0
    for _ in range(steps):
        claimed = clock.claim(free=100, after=step)
        ids = [item.message_id for item in claimed]
        total += Message.objects.filter(pk__in=ids).aggregate(sum=Sum("segments"))["sum"] or 0
        end(claimed)
    # 8 %: a pause of the machine just before a claim overflows a bucket, or fills it.
    assert total == pytest.approx(rate * steps * step, rel=0.08, abs=segments)


def test_who_has_waited_goes_before_who_has_just_come(clock: Clock) -> None:
    made = account(limits={SLOW: 1})
    fill(made, 10)
    (first,) = clock.claim(free=10)
    end([first])
    fresh = factories.make_message(account=made, sender=SLOW)
    old = set(Message.objects.filter(state=S.ACCEPTED).exclude(pk=fresh.pk).values_list("pk", flat=True))
    taken = []
    for _ in range(9):
        claimed = clock.claim(free=10, after=1.02)
        taken += [item.message_id for item in claimed]
        end(claimed)
    assert set(taken) == old


def test_the_limit_is_for_what_goes_out_in_any_case_of_letters() -> None:
    made = account(limits={"Demo": 1})
    for _ in range(4):
        factories.make_message(account=made, sender=QUICK, send_from="DEMO")
    assert len(claim(free=10)) == 1


def test_each_queue_has_its_own_limits() -> None:
    limited, free = account(limits={SLOW: 2}), account(limits={})
    fill(limited, 10)
    fill(free, 10)
    assert Counter(item.queue_id for item in claim(free=100)) == {limited.queue_id: 2, free.queue_id: 10}


def test_accounts_that_share_a_queue_share_the_limit() -> None:
    made = account(limits={SLOW: 3})
    other = factories.make_account(made.tenant, queue_id=made.queue_id)
    fill(made, 10)
    fill(other, 10)
    assert len(claim(free=100)) == 3


def test_the_queues_own_limits_hold_as_well() -> None:
    made = account(limits={SLOW: 50}, cap=4)
    fill(made, 10)
    fill(made, 10, sender=QUICK)
    assert len(claim(free=100)) == 4
    rated = account(limits={SLOW: 50}, rate=5, tokens=5, refilled_at=datetime.now(UTC))
    fill(rated, 10)
    fill(rated, 10, sender=QUICK)
    assert len(claim(free=100)) in (5, 6)


def test_only_what_was_taken_is_debited() -> None:
    made = account(limits={SLOW: 10}, cap=2)
    fill(made, 10, segments=2)
    assert len(claim(free=100)) == 2
    assert SenderRate.objects.get().tokens == pytest.approx(6, abs=1)


def test_nothing_is_put_off_past_its_validity_or_the_horizon() -> None:
    made = account(limits={SLOW: 0.01})
    fill(made, 30)
    soon = datetime.now(UTC) + timedelta(minutes=5)
    Message.objects.update(expires_at=soon)
    claim(free=10)
    assert {at for at in Message.objects.filter(state=S.ACCEPTED).values_list("due_at", flat=True)} <= {
        soon
    } | {at for at in Message.objects.filter(due_at__lt=soon).values_list("due_at", flat=True)}
    booked = SenderRate.objects.get().booked_until
    assert booked <= datetime.now(UTC) + timedelta(seconds=sender_rates.HORIZON + 1)


@pytest.mark.django_db(transaction=True)
def test_two_claim_at_once_and_the_limit_holds() -> None:
    made = account(limits={SLOW: 5, QUICK: 7})
    fill(made, 100)
    fill(made, 100, sender=QUICK)

    def take() -> list[Claimed]:
        return [item for _ in range(4) for item in claims.claim(free=4, lease=uuid4())]

    started = datetime.now(UTC)
    taken = [item for part in together(take, take) for item in part]
    seconds = (datetime.now(UTC) - started).total_seconds()
    assert len({item.message_id for item in taken}) == len(taken) == Attempt.objects.count()
    got = by_sender(taken)
    assert got[SLOW] <= 5 + 5 * (seconds + 0.5) + 1
    assert got[QUICK] <= 7 + 7 * (seconds + 0.5) + 1
    (left,) = fetch("SELECT sum(tokens) AS tokens FROM messaging_senderrate")
    assert left.tokens <= 12


def test_queues_without_limits_run_the_plain_statement() -> None:
    fill(account(limits={}), 1)
    asked = {"queues": 8, "trip": circuit.TRIP}
    assert [row.is_metered for row in fetch(claims.PICK_QUEUES, asked)] == [False]
    fill(account(limits={SLOW: 1}), 1)
    assert sorted(
        row.is_metered for row in fetch(claims.PICK_QUEUES, {"queues": 8, "trip": circuit.TRIP})
    ) == [
        False,
        True,
    ]
