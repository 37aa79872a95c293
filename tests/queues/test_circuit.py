"""A queue's circuit: ten faults in a row open it, one probe closes it, and only what waited for it is woken."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from messaging.models import Destination, Event, Message, ProviderAccount, Queue
from messaging.models.queue import LONG_AGO
from messaging.queues import circuit
from messaging.queues.circuit import Blame, Note, Of
from messaging.rules.values import EventState, MessageState, QueueKind
from messaging.sending import claims
from tests import factories

pytestmark = pytest.mark.django_db

OK, FAULT = Note(ok=True), Note(ok=False)


def make_queue(kind: QueueKind = QueueKind.DISPATCH, **overrides: object) -> Queue:
    queue = Queue.objects.towards(kind, f"destination {uuid4()}", cap=4)
    Queue.objects.filter(pk=queue.pk).update(**overrides)
    queue.refresh_from_db()
    return queue


def say(queue: Queue, *notes: Note) -> Queue:
    circuit.note({queue.pk: notes})
    queue.refresh_from_db()
    return queue


def open_seconds(queue: Queue) -> float:
    return (queue.open_until - timezone.now()).total_seconds()


def half_open(queue: Queue) -> None:
    """As if the opening were over."""
    Queue.objects.filter(pk=queue.pk).update(open_until=LONG_AGO)


def test_nine_faults_leave_it_closed_and_the_tenth_opens_it() -> None:
    queue = say(make_queue(), *[FAULT] * 9)
    assert (queue.faults, queue.open_until) == (9, LONG_AGO)
    say(queue, FAULT)
    assert (queue.faults, queue.open_for) == (10, 10)
    assert 9 < open_seconds(queue) <= 10


def test_each_failed_probe_doubles_up_to_a_minute() -> None:
    queue = say(make_queue(), *[FAULT] * 10)
    seen = [queue.open_for]
    for _ in range(4):
        half_open(queue)
        seen.append(say(queue, FAULT).open_for)
        assert queue.open_for - 1 < open_seconds(queue) <= queue.open_for
    assert seen == [10, 20, 40, 60, 60]


def test_what_comes_back_while_it_is_open_changes_nothing() -> None:
    """Calls that were in flight when it opened are no probes."""
    queue = say(make_queue(), *[FAULT] * 10)
    before = queue.open_until
    say(queue, FAULT, FAULT)
    assert (queue.faults, queue.open_until, queue.open_for) == (10, before, 10)


def test_a_fault_may_ask_for_longer() -> None:
    queue = say(make_queue(), *[FAULT] * 9, Note(ok=False, open_for=300))
    assert queue.open_for == 300
    assert 299 < open_seconds(queue) <= 300


@pytest.mark.parametrize(
    ("notes", "faults"),
    [
        pytest.param([OK], 0, id="ok"),
        pytest.param([FAULT, FAULT, OK], 0, id="ok last"),
        pytest.param([OK, FAULT, FAULT], 2, id="faults after the last ok"),
        pytest.param([FAULT] * 9 + [OK, FAULT], 1, id="a full row, broken"),
        pytest.param([FAULT, FAULT], 7, id="on top of five"),
    ],
)
def test_mixed_batches_count_what_follows_the_last_ok(notes: list[Note], faults: int) -> None:
    queue = say(make_queue(faults=5), *notes)
    assert queue.faults == faults
    assert (queue.ok_at is not None) == (OK in notes)


def test_ten_faults_after_an_ok_open_it_at_once() -> None:
    queue = say(make_queue(faults=4), OK, *[FAULT] * 10)
    assert (queue.faults, queue.open_for) == (10, 10)


def test_good_news_of_a_healthy_queue_is_written_once_a_second() -> None:
    queue = say(make_queue(), OK)
    first = queue.ok_at
    assert say(queue, OK).ok_at == first
    Queue.objects.update(ok_at=timezone.now() - timedelta(seconds=2))
    assert say(queue, OK).ok_at > first


def test_queues_are_independent() -> None:
    sick, well = make_queue(), make_queue(faults=3)
    circuit.note({sick.pk: [FAULT] * 12, well.pk: [OK]})
    sick.refresh_from_db()
    well.refresh_from_db()
    assert (sick.faults, sick.open_for, well.faults, well.open_for) == (12, 10, 0, 0)


def test_one_probe_is_in_flight_after_an_opening() -> None:
    account = factories.make_account()
    for _ in range(3):
        factories.make_message(account=account)
    say(account.queue, *[FAULT] * 10)
    assert claims.claim(free=8, lease=uuid4()) == []
    half_open(account.queue)
    assert len(claims.claim(free=8, lease=uuid4())) == 1
    assert claims.claim(free=8, lease=uuid4()) == []


def waiting(account: ProviderAccount, code: str, state: MessageState = MessageState.RETRYING) -> Message:
    later = timezone.now() + timedelta(hours=1)
    return factories.make_message(account=account, state=state, error_code=code, due_at=later)


def test_closing_wakes_messages_that_waited_for_the_destination_and_nothing_else() -> None:
    account, other = factories.make_account(), factories.make_account()
    woken = [waiting(account, code) for code in circuit.QUEUE_WIDE]
    left = [
        waiting(account, "sent_once_more"),
        waiting(account, ""),
        waiting(account, "throttled", MessageState.UNKNOWN_OUTCOME),
        waiting(account, "throttled", MessageState.ACCEPTED),
        waiting(other, "throttled"),
    ]
    say(account.queue, *[FAULT] * 10)
    half_open(account.queue)
    queue = say(account.queue, OK)

    due = set(Message.objects.filter(due_at__lte=timezone.now()).values_list("pk", flat=True))
    assert due == {message.pk for message in woken}
    assert due.isdisjoint(message.pk for message in left)
    assert (queue.faults, queue.open_for) == (0, 0)


def test_closing_wakes_the_events_of_its_address_and_gives_their_try_back() -> None:
    queue = factories.callback_queue(factories.make_tenant())
    later = timezone.now() + timedelta(hours=1)
    mine = [factories.make_event(queue=queue, due_at=later, tries=tries) for tries in (0, 1, 7)]
    beside = factories.make_event(queue=queue, due_at=later, tries=7, url="https://other.bloomreach.com/hook")
    other = factories.make_event(due_at=later, tries=7)
    dead = factories.make_event(queue=queue, due_at=later, tries=12, state=EventState.UNDELIVERABLE)
    address = mine[0].destination_id
    circuit.note({address: [FAULT] * 10}, of=Of.DESTINATION)
    assert Destination.objects.get(pk=address).open_for == 10
    circuit.note({address: [OK]}, of=Of.DESTINATION)

    rows = dict(Event.objects.filter(due_at__lte=timezone.now()).values_list("pk", "tries"))
    assert rows == {mine[0].pk: 0, mine[1].pk: 0, mine[2].pk: 6}
    assert {beside.pk, other.pk, dead.pk}.isdisjoint(rows)


def test_an_ok_of_a_circuit_that_never_opened_wakes_nobody() -> None:
    account = factories.make_account()
    message = waiting(account, "throttled")
    say(account.queue, *[FAULT] * 9)
    say(account.queue, OK)
    message.refresh_from_db()
    assert message.due_at > timezone.now()


def test_the_same_witness_is_no_new_evidence() -> None:
    queue = say(make_queue(), *[Note(ok=False, witness=7)] * 30)
    assert (queue.faults, queue.open_for) == (1, 0)
    say(queue, *[Note(ok=False, witness=n) for n in range(9)])
    assert (queue.faults, queue.open_for) == (9, 0)
    say(queue, OK, *[Note(ok=False, witness=n) for n in range(9)])
    assert (queue.faults, queue.open_for) == (9, 0)
    say(queue, Note(ok=False, witness=9))
    assert (queue.faults, queue.open_for, queue.probes) == (10, 10, 1)


def test_a_failed_probe_opens_again_whatever_it_is_about() -> None:
    queue = say(make_queue(), *[Note(ok=False, witness=n) for n in range(10)])
    half_open(queue)
    say(queue, Note(ok=False, witness=0))
    assert (queue.faults, queue.open_for) == (11, 20)


@pytest.mark.parametrize(
    ("blame", "seconds", "probes"),
    [
        pytest.param(Blame.MESSAGE, [1, 2, 4, 5, 5], 16, id="an answer, perhaps about one message"),
        pytest.param(Blame.SERVICE, [10, 20, 40, 60, 60], 2, id="an answer about the service"),
        pytest.param(Blame.SILENCE, [10, 20, 40, 60, 60], 1, id="no answer"),
    ],
)
def test_openings_by_blame(blame: Blame, seconds: list[int], probes: int) -> None:
    queue, seen = make_queue(), []
    for faults in (10, 1, 1, 1, 1):
        half_open(queue)
        seen.append(say(queue, *[Note(ok=False, blame=blame)] * faults).open_for)
    assert (seen, queue.probes) == (seconds, probes)


def test_the_mildest_fault_of_a_batch_decides() -> None:
    queue = say(make_queue(), *[FAULT] * 9, Note(ok=False, blame=Blame.MESSAGE))
    assert (queue.open_for, queue.probes) == (1, 16)


def test_a_success_closes_even_before_the_opening_is_over() -> None:
    queue = say(make_queue(), *[FAULT] * 10)
    say(queue, OK)
    assert (queue.faults, queue.open_for, queue.witnesses) == (0, 0, [])
    assert open_seconds(queue) <= 0


def test_a_pause_is_kept_until_somebody_resumes() -> None:
    queue = make_queue()
    circuit.pause(queue.pk, why="credentials refused " * 50)
    circuit.pause(queue.pk, why="another reason")
    queue = say(queue, OK)
    assert queue.paused_at is not None
    assert queue.paused_why.startswith("credentials refused")
    assert len(queue.paused_why) == 300


@pytest.mark.django_db(transaction=True)
def test_mixed_news_of_two_pumps_do_not_deadlock() -> None:
    """One closes the first queue and blames the second, the other the reverse."""
    queues = [make_queue(faults=1), make_queue(faults=1)]
    barrier = threading.Barrier(2)
    errors: list[BaseException] = []

    def pump(good: Queue, bad: Queue) -> None:
        try:
            for _ in range(60):
                barrier.wait(30)
                with transaction.atomic():
                    circuit.note({good.pk: [FAULT, OK], bad.pk: [FAULT]})
        except BaseException as error:
            errors.append(error)
            barrier.abort()
        finally:
            database.close()

    threads = [threading.Thread(target=pump, args=pair) for pair in (queues, queues[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


@pytest.mark.django_db(transaction=True)
def test_a_closing_does_not_hold_up_new_events_and_messages() -> None:
    """Their foreign keys share the queue's row, which a closing holds until its transaction ends."""
    account = factories.make_account()
    queue = factories.callback_queue(account.tenant)
    message = factories.make_message(account=account, state=MessageState.DELIVERED)
    errors: list[BaseException] = []

    def insert() -> None:
        try:
            with transaction.atomic(), database.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '3s'")
                factories.make_event(message, queue=queue)
                factories.make_message(account=account)
        except BaseException as error:
            errors.append(error)
        finally:
            database.close()

    with transaction.atomic():
        circuit.note({queue.pk: [FAULT, OK], account.queue_id: [OK, FAULT]})
        thread = threading.Thread(target=insert)
        thread.start()
        thread.join(30)
    assert errors == []
    assert (Event.objects.count(), Message.objects.count()) == (1, 2)
