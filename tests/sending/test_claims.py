"""Claims: the cap is exact, every queue gets its share, and nothing is claimed that should wait."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection as database
from django.db import transaction

from accounts.models import TenantStatus
from messaging.models import Attempt, Message, ProviderAccount, Queue
from messaging.models.sql import change
from messaging.queues import circuit
from messaging.rules import backoff
from messaging.rules.ids import uuid7
from messaging.rules.values import MessageState
from messaging.sending import claims
from messaging.sending.claims import Claimed
from tests import factories
from tests.stand_ins import claim, fetch, fresh, only_attempt, queue_of, seconds_until_due, together
from vendors.values import Channel, Outcome

pytestmark = pytest.mark.django_db

S = MessageState
HOUR = timedelta(hours=1)

FILL = """
INSERT INTO messaging_message (id, tenant_id, channel, request_id, account_id, queue_id, sender, recipient, send_as,
  segments, state, due_at, attempts, expires_at, created_at)
SELECT gen_random_uuid(), %(tenant)s, 'sms', '', %(account)s, %(queue)s, '+421900000001', '+421900000123', 'sms',
  %(segments)s, %(state)s, clock_timestamp() - interval '1 hour' + n * interval '1 ms', 0,
  clock_timestamp() + interval '4 hours', clock_timestamp() FROM generate_series(1, %(count)s) n
"""
FILL_CONTENT = """
INSERT INTO messaging_content (message_id, created_at, text)
SELECT m.id, m.created_at, 'x' FROM messaging_message m
WHERE NOT EXISTS (SELECT 1 FROM messaging_content c WHERE c.message_id = m.id AND c.created_at = m.created_at)
"""


def account(**queue: Any) -> ProviderAccount:
    """An account whose queue has these limits."""
    made = factories.make_account()
    Queue.objects.filter(pk=made.queue_id).update(**({"cap": 1000} | queue))
    return made


def fill(
    account: ProviderAccount, count: int, *, segments: int = 1, state: MessageState = S.ACCEPTED
) -> None:
    """That many due messages, in one statement."""
    params = {"tenant": account.tenant_id, "account": account.pk, "queue": account.queue_id}
    change(FILL, params | {"count": count, "segments": segments, "state": int(state)})
    change(FILL_CONTENT)


def shares(claimed: list[Claimed]) -> Counter[int]:
    return Counter(item.queue_id for item in claimed)


def give_back(claimed: list[Claimed]) -> None:
    claims.give_back(claimed)


def end(claimed: list[Claimed]) -> None:
    """The calls are over: they are in flight no more."""
    ids = [item.message_id for item in claimed]
    Message.objects.filter(pk__in=ids).update(state=S.DELIVERED, lease=None, final_at=datetime.now(UTC))


def test_a_claimed_message_has_a_lease_and_an_attempt(settings: Any) -> None:
    made = account()
    content = {"text": "Ahoj", "metadata": {"a": 1}}
    message = factories.make_message(account=made, content=content)
    lease = uuid4()

    (item,) = claims.claim(free=5, lease=lease)

    after, attempt = fresh(message), only_attempt(message)
    assert (after.message_state, after.lease, after.attempts) == (S.SENDING, lease, 1)
    assert settings.ROW_LEASE - 1 < seconds_until_due(message) <= settings.ROW_LEASE
    assert (attempt.pk, attempt.n, attempt.outcome, attempt.send_as) == (item.attempt_id, 1, None, "sms")
    assert (item.message_id, item.queue_id, item.account_id) == (message.pk, made.queue_id, made.pk)
    out = item.outgoing
    assert (out.reference, out.message_id) == (str(attempt.pk), str(message.pk))
    assert (out.sender, out.recipient, out.text) == (factories.SENDER, factories.RECIPIENT, "Ahoj")
    assert (out.channel, out.metadata) == (Channel.SMS, {"a": 1})
    assert out.validity == pytest.approx(4 * 3600, abs=30)


def test_after_a_fallback_the_fallback_text_goes_out_alone() -> None:
    content = {"text": "Look", "fallback_text": "Look at our site", "media": [{"url": "https://e.com/a"}]}
    factories.make_message(channel=Channel.MMS, send_as="sms", content=content)
    (item,) = claim()
    out = item.outgoing
    assert (out.channel, out.text, out.media, out.fallback_text) == (Channel.SMS, "Look at our site", (), "")


def past(**overrides: Any) -> dict[str, Any]:
    return {"due_at": datetime.now(UTC) - HOUR} | overrides


@pytest.mark.parametrize(
    ("queue", "tenant", "message"),
    [
        pytest.param({"paused_at": datetime(2024, 1, 1, tzinfo=UTC)}, {}, {}, id="queue paused"),
        pytest.param({"open_until": datetime(2100, 1, 1, tzinfo=UTC)}, {}, {}, id="circuit open"),
        pytest.param({}, {"status": TenantStatus.PAUSED}, {}, id="tenant paused"),
        pytest.param({}, {"status": TenantStatus.SUSPENDED}, {}, id="tenant suspended"),
        pytest.param({}, {}, {"due_at": datetime(2100, 1, 1, tzinfo=UTC)}, id="not due"),
        pytest.param({}, {}, {"expires_at": datetime(2024, 1, 1, tzinfo=UTC)}, id="validity used up"),
        pytest.param({}, {}, {"attempts": backoff.SEND_ATTEMPTS_MAX}, id="attempts used up"),
        *[
            pytest.param({}, {}, {"state": state}, id=state.name.lower())
            for state in S
            if state not in (S.ACCEPTED, S.RETRYING)
        ],
    ],
)
def test_what_is_left_alone(queue: dict[str, Any], tenant: dict[str, Any], message: dict[str, Any]) -> None:
    made = factories.make_account(factories.make_tenant(**tenant))
    Queue.objects.filter(pk=made.queue_id).update(**queue)
    waiting = factories.make_message(account=made, **past(**message))
    assert claim() == []
    assert fresh(waiting).state == waiting.state
    assert not Attempt.objects.exists()


@pytest.mark.parametrize("state", [S.ACCEPTED, S.RETRYING])
def test_what_is_claimed(state: MessageState) -> None:
    factories.make_message(state=state, **past(attempts=backoff.SEND_ATTEMPTS_MAX - 1))
    assert len(claim()) == 1


def test_a_paused_tenant_does_not_hold_up_the_others_on_a_shared_queue() -> None:
    made = account()
    paused = factories.make_account(factories.make_tenant(status=TenantStatus.PAUSED), queue_id=made.queue_id)
    fill(paused, 50)
    mine = factories.make_message(account=made, **past())
    assert [item.message_id for item in claim(free=10)] == [mine.pk]


def test_oldest_first() -> None:
    made = account()
    times = [datetime.now(UTC) - timedelta(minutes=minutes) for minutes in (5, 90, 30)]
    messages = [factories.make_message(account=made, due_at=at) for at in times]
    order = [claim(free=1)[0].message_id for _ in range(3)]
    assert order == [messages[1].pk, messages[2].pk, messages[0].pk]


@pytest.mark.django_db(transaction=True)
def test_the_cap_is_exact_with_eight_claiming_at_once() -> None:
    made = account(cap=13)
    fill(made, 200)
    for _ in range(3):
        taken = [item for part in together(*(lambda: claim(free=8) for _ in range(8))) for item in part]
        taken += claim(
            free=100
        )  # who found the queue locked got nothing; the room that was left is still there
        assert len(taken) == len({item.message_id for item in taken}) == 13
        assert Message.objects.filter(state=S.SENDING).count() == 13
        end(taken)


@pytest.mark.django_db(transaction=True)
def test_no_message_is_claimed_twice() -> None:
    made = [account(cap=50) for _ in range(6)]
    for one in made:
        fill(one, 40)

    def take() -> list[UUID]:
        mine: list[UUID] = []
        while claims.oldest_due() is not None:
            mine += [item.message_id for item in claim(free=10)]
        return mine

    taken = [id_ for part in together(*(take for _ in range(4))) for id_ in part]
    assert len(taken) == len(set(taken)) == Attempt.objects.count() == 240


def test_calls_in_flight_count_against_the_cap() -> None:
    made = account(cap=3)
    fill(made, 2, state=S.ACCEPTED)
    factories.make_message(account=made, state=S.SENDING)
    factories.make_message(account=made, state=S.SENDING)
    factories.make_message(account=made, state=S.UNKNOWN_OUTCOME)  # no call is in flight for it
    assert len(claim()) == 1
    assert claim() == []


def test_a_flood_leaves_the_other_queues_their_share() -> None:
    flood, *others = [account() for _ in range(6)]
    fill(flood, 1_000)
    for one in others:
        fill(one, 9)
    assert shares(claim(free=24)) == {made.queue_id: 4 for made in (flood, *others)}
    assert shares(claim(free=36)) == {flood.queue_id: 11} | {made.queue_id: 5 for made in others}


@pytest.mark.parametrize("free", [1, 2, 3])
def test_few_idle_threads_still_go_round(free: int) -> None:
    queues = [account() for _ in range(5)]
    fill(queues[0], 100)
    for one in queues[1:]:
        fill(one, 10)
    got: Counter[int] = Counter()
    for _ in range(30 // free):
        got += shares(claim(free=free))
    assert got.total() == 30
    assert {got[made.queue_id] for made in queues} == {6}


def test_more_queues_than_one_claim_looks_at() -> None:
    queues = [account() for _ in range(3 * claims.QUEUES_AT_ONCE)]
    for one in queues:
        fill(one, 2)
    got: Counter[int] = Counter()
    for _ in range(6):
        got += shares(claim(free=claims.QUEUES_AT_ONCE))
    assert got == {made.queue_id: 2 for made in queues}


def test_the_least_recently_served_queues_come_first() -> None:
    queues = [account() for _ in range(claims.QUEUES_AT_ONCE + 1)]
    for age, one in enumerate(queues):
        fill(one, 3)
        Queue.objects.filter(pk=one.queue_id).update(served_at=datetime.now(UTC) - age * HOUR)
    first, second = shares(claim(free=claims.QUEUES_AT_ONCE)), shares(claim(free=1))
    assert first == {made.queue_id: 1 for made in queues[1:]}
    assert second == {queues[0].queue_id: 1}


def test_full_queues_do_not_stand_in_the_way_of_one_with_room() -> None:
    for _ in range(2 * claims.QUEUES_AT_ONCE):
        full = account(cap=1)
        factories.make_message(account=full, state=S.SENDING)
        fill(full, 1)
    fill(account(), 1)
    claimed = [item for _ in range(3) for item in claim()]
    assert len(claimed) == 1


BUCKET = "UPDATE messaging_queue SET refilled_at = clock_timestamp() - make_interval(secs => %(ago)s) WHERE id = %(id)s"


def let_pass(made: ProviderAccount, seconds: float) -> None:
    """As if so much time had passed since the bucket was filled last."""
    change(BUCKET, {"id": made.queue_id, "ago": seconds})


def sent_in(made: ProviderAccount, *, steps: int, step: float, free: int) -> int:
    """Segments claimed over simulated time, each call over before the next claim."""
    total = 0
    for _ in range(steps):
        let_pass(made, step)
        claimed = claim(free=free)
        ids = [item.message_id for item in claimed]
        total += sum(Message.objects.filter(pk__in=ids).values_list("segments", flat=True))
        end(claimed)
    return total


@pytest.mark.parametrize(
    ("rate", "segments", "step", "steps"),
    [
        pytest.param(40, 1, 0.5, 40, id="one segment each"),
        pytest.param(40, 3, 0.5, 40, id="three segments each"),
        pytest.param(4, 7, 0.9, 100, id="longer than the bucket"),
        pytest.param(0.5, 1, 1.5, 60, id="one in two seconds"),
    ],
)
def test_the_rate_is_kept_in_segments(rate: float, segments: int, step: float, steps: int) -> None:
    made = account(rate=rate, tokens=0, refilled_at=datetime.now(UTC))
    fill(made, 1000, segments=segments)
    assert sent_in(made, steps=steps, step=step, free=100) == pytest.approx(rate * steps * step, rel=0.05)


def test_claims_that_follow_closely_lose_no_time_of_the_bucket() -> None:
    """Time between reading the clock and writing it would be lost at every claim."""
    rate = 200.0
    made = account(rate=rate, tokens=0)
    fill(made, 3000)
    (start,) = fetch(
        "UPDATE messaging_queue SET refilled_at = clock_timestamp(), tokens = 0 WHERE id = %(id)s "
        "RETURNING refilled_at",
        {"id": made.queue_id},
    )
    count, earned, before = 0, 0.0, start.refilled_at
    for _ in range(20):
        claimed = claim(free=1000)  # all that the bucket holds
        count += len(claimed)
        end(claimed)
        now = queue_of(made).refilled_at
        earned += min((now - before).total_seconds(), 1.0) * rate  # a bucket holds one second's worth
        before = now
    assert count + queue_of(made).tokens == pytest.approx(earned, abs=0.5)


def test_a_burst_is_one_second_at_most() -> None:
    made = account(rate=20)
    fill(made, 500)
    let_pass(made, 3600)
    assert len(claim(free=100)) == 20


def test_the_last_message_may_put_the_bucket_into_debt_and_the_debt_is_paid() -> None:
    made = account(rate=10)
    fill(made, 50, segments=4)
    let_pass(made, 3600)
    assert len(claim(free=100)) == 3  # 12 segments for 10 tokens
    assert queue_of(made).tokens == pytest.approx(-2, abs=0.01)
    let_pass(made, 0.15)
    assert claim(free=100) == []
    let_pass(made, 0.15)
    assert len(claim(free=100)) == 1


def test_without_a_rate_only_the_cap_counts() -> None:
    made = account()
    fill(made, 300, segments=9)
    assert len(claim(free=250)) == 250


def test_one_probe_after_an_opening() -> None:
    made = account(faults=circuit.TRIP, open_until=datetime.now(UTC) - HOUR)
    fill(made, 20)
    probe = claim()
    assert len(probe) == 1
    assert claim() == []
    circuit.note({made.queue_id: [circuit.Note(ok=True)]})
    end(probe)
    assert len(claim()) == 19


@pytest.mark.django_db(transaction=True)
def test_a_queue_into_which_messages_are_being_inserted_is_not_skipped() -> None:
    made = account()
    waiting = factories.make_message(account=made, **past())
    inserted, may_commit = threading.Event(), threading.Event()

    def insert() -> None:
        with transaction.atomic():
            factories.make_message(account=made, **past())
            change("SET CONSTRAINTS ALL IMMEDIATE")  # the foreign keys' share locks, else taken at the commit
            inserted.set()
            assert may_commit.wait(30)

    def take() -> list[UUID]:
        assert inserted.wait(30)
        try:
            return [item.message_id for item in claim()]
        finally:
            may_commit.set()

    _, taken = together(insert, take)
    assert taken == [waiting.pk]


@pytest.mark.django_db(transaction=True)
def test_closing_a_circuit_does_not_wait_for_inserts() -> None:
    made = account(faults=circuit.TRIP)
    inserted, closed = threading.Event(), threading.Event()

    def insert() -> bool:
        with transaction.atomic():
            factories.make_message(account=made, **past())
            change("SET CONSTRAINTS ALL IMMEDIATE")  # the foreign keys' share locks, else taken at the commit
            inserted.set()
            return closed.wait(5)

    def close() -> None:
        assert inserted.wait(30)
        with transaction.atomic():
            circuit.note({made.queue_id: [circuit.Note(ok=True)]})
        closed.set()

    assert together(insert, close)[0] is True
    assert queue_of(made).faults == 0


def test_hand_back_by_message() -> None:
    made = account()
    fill(made, 3)
    claimed = claim()
    assert claims.give_back(claimed[:1]) == 1
    back = Message.objects.get(pk=claimed[0].message_id)
    assert (back.message_state, back.lease, seconds_until_due(back) <= 0) == (S.RETRYING, None, True)
    assert only_attempt(back).outcome == Outcome.NOT_DIALLED
    assert Message.objects.filter(state=S.SENDING).count() == 2
    assert claims.give_back(claimed[:1]) == 0
    (again,) = claim()
    assert (again.message_id, again.attempt_id != claimed[0].attempt_id) == (back.pk, True)


def test_a_claim_of_which_nothing_was_heard_goes_back_whole() -> None:
    made = account()
    fill(made, 4)
    others = claim(free=1)
    lease = uuid4()
    assert len(claims.claim(free=3, lease=lease)) == 3  # and this answer got lost
    assert claims.give_back_lease(lease) == 3
    assert claims.give_back_lease(lease) == 0
    assert claims.give_back_lease(uuid4()) == 0
    assert list(Message.objects.filter(state=S.SENDING).values_list("pk", flat=True)) == [
        others[0].message_id
    ]
    assert Attempt.objects.filter(outcome="not_dialled").count() == 3


def test_who_lost_the_lease_hands_nothing_back() -> None:
    factories.make_message(**past())
    (first,) = claim()
    claims.give_back([first])
    (second,) = claim()
    assert claims.give_back([first]) == 0
    message = Message.objects.get(pk=second.message_id)
    assert (message.lease, message.message_state) == (second.lease, S.SENDING)


def test_claim_one_takes_a_message_before_its_time_and_only_once() -> None:
    message = factories.make_message(due_at=datetime.now(UTC) + HOUR)
    (item,) = claims.claim_one(message.pk, lease=uuid4())
    assert (item.message_id, fresh(message).message_state) == (message.pk, S.SENDING)
    assert claims.claim_one(message.pk, lease=uuid4()) == []
    assert claims.claim_one(uuid7(), lease=uuid4()) == []


@pytest.mark.django_db(transaction=True)
def test_claim_one_and_a_pump_at_once() -> None:
    for _ in range(5):
        message = factories.make_message(**past())
        one, pump = together(lambda: claims.claim_one(message.pk, lease=uuid4()), claim)  # noqa: B023
        assert len(one) + len(pump) == 1
        assert Attempt.objects.filter(message=message).count() == 1


def test_oldest_due() -> None:
    assert claims.oldest_due() is None
    made, paused = account(), account(paused_at=datetime.now(UTC))
    old = datetime.now(UTC) - HOUR
    factories.make_message(account=paused, due_at=old - HOUR)
    factories.make_message(account=made, due_at=old)
    factories.make_message(account=made, due_at=old + timedelta(minutes=1))
    assert claims.oldest_due() == old


def nodes_of(statement: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """All nodes of a statement's plan."""
    with database.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", params)
        (answer,) = cursor.fetchone()
    plan = answer if isinstance(answer, list) else json.loads(answer)
    found, left = [], [plan[0]["Plan"]]
    while left:
        node = left.pop()
        found.append(node)
        left += node.get("Plans", [])
    return found


FOREIGN_KEYS = """
SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'messaging_message'::regclass
"""
READ = """
SELECT seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'messaging_message'
"""
HISTORY = """
INSERT INTO messaging_message (id, tenant_id, channel, request_id, account_id, queue_id, sender, recipient, send_as,
  state, due_at, final_at, expires_at, created_at)
SELECT gen_random_uuid(), tenant_id, channel, '', account_id, queue_id, sender, recipient, send_as, 10,
  due_at, due_at, expires_at, created_at FROM messaging_message, generate_series(1, 49)
"""


def test_claims_read_little_more_than_they_take() -> None:
    """100,000 messages on four queues, 1,000 of them due: the index of due messages finds them."""
    for row in fetch(FOREIGN_KEYS):  # until the rollback: so many checks at the end would take half a minute
        change(f"ALTER TABLE messaging_message DROP CONSTRAINT {row.conname}")
    crowd = [account() for _ in range(4)]
    for one in crowd:
        fill(one, 250)
        fill(one, 250, state=S.UNKNOWN_OUTCOME)
    change(HISTORY)
    for table in ("message", "queue", "content"):
        change(f"ANALYZE messaging_{table}")
    assert Message.objects.count() == 100_000
    params = {
        "lease": uuid4(),
        "row_lease": 60.0,
        "ids": [uuid7() for _ in range(30)],
        "queues": [one.queue_id for one in crowd],
        "free": 30,
        "trip": circuit.TRIP,
        "most": backoff.SEND_ATTEMPTS_MAX,
    }
    for statement, given in (
        (claims.PICK_QUEUES, {"queues": 8, "trip": circuit.TRIP}),
        (claims.CLAIM, params),
    ):
        nodes = nodes_of(statement, given)
        on_messages = {
            node["Node Type"] for node in nodes if node.get("Relation Name") == "messaging_message"
        }
        assert on_messages
        assert "Seq Scan" not in on_messages
        assert "message_due" in {node.get("Index Name") for node in nodes}
    for mode in ("force_custom_plan", "force_generic_plan"):  # as a prepared statement ends up with
        change(f"SET LOCAL plan_cache_mode = {mode}")
        (before,) = fetch(READ)
        for _ in range(4):
            assert len(claim(free=30)) == 30
        (after,) = fetch(READ)
        assert after.seq_scan == before.seq_scan
        assert after.idx_tup_fetch - before.idx_tup_fetch < 4 * 1_000
