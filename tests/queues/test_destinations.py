"""Addresses of callbacks: what one refuses holds up no other, and there are never too many of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.utils import timezone

from messaging.callbacks import posting
from messaging.evidence import locking
from messaging.models import Destination, Event, InboundMessage, Queue
from messaging.models.queue import LONG_AGO
from messaging.queues import circuit, destinations
from messaging.rules import backoff
from messaging.rules.ids import uuid7
from messaging.rules.values import DestinationKind, EventKind, EventState, MessageState
from messaging.worker.pump import Pump
from tests import factories, listener
from tests.listener import Listener

pytestmark = pytest.mark.django_db

S = EventState


@pytest.fixture
def bloomreach(settings: LazySettings) -> Iterator[Listener]:
    settings.DEMO = True  # lets callbacks dial loopback
    with listener.serving() as running:
        running.answer = lambda post: 404 if post.path.startswith("/dead") else 200
        yield running


@pytest.fixture
def queue() -> Queue:
    return factories.callback_queue(factories.make_tenant())


def tell(posts: int = 8) -> list[posting.Posted]:
    posted = [
        posting.dial(post, deadline=5) for post in posting.claim(leases=[uuid7() for _ in range(posts)])
    ]
    posting.record(posted)
    return posted


@pytest.fixture(autouse=True)
def no_wait_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second try is due after 4 s, which a busy machine may need for a whole test: here it does not come."""
    monkeypatch.setattr(
        backoff, "CALLBACK_DELAYS", tuple(max(wait, 3600.0) for wait in backoff.CALLBACK_DELAYS)
    )


def tell_now() -> int:
    """Tells whatever may be told without waiting. Returns how many POSTs that were."""
    count = 0
    while told := tell():
        count += len(told)
    return count


def refuse_for_long() -> None:
    """As the hours pass: every wait is over at once, until the circuit lets nothing through."""
    for _ in range(10):
        Event.objects.filter(state=S.DUE).update(due_at=timezone.now())
        if not tell():
            return


def make_inbound_event(inbound: InboundMessage, queue: Queue, url: str) -> Event:
    return Event.objects.create(
        queue=queue,
        inbound=inbound,
        kind=EventKind.INBOUND,
        url=url,
        status="received",
        occurred_at=inbound.received_at,
    )


def states(*events: Event) -> list[int]:
    found = dict(Event.objects.values_list("pk", "state"))
    return [found[event.pk] for event in events]


@pytest.mark.parametrize(
    "count", [pytest.param(5, id="five"), pytest.param(50, id="fifty: its circuit opens")]
)
@pytest.mark.django_db(transaction=True)
def test_a_dead_address_does_not_hold_up_a_good_one(bloomreach: Listener, queue: Queue, count: int) -> None:
    """Events to a URL that has answered 404 for long, then one to a good URL, through the pump."""
    dead = [factories.make_event(queue=queue, url=bloomreach.url("/dead")) for _ in range(count)]
    refuse_for_long()
    good = factories.make_event(queue=queue, url=bloomreach.url("/good"))
    pump, started = Pump(), timezone.now()
    while states(good) != [S.ACKED]:
        assert timezone.now() - started < timedelta(seconds=5)
        if not pump.turn():
            pump.rest()
    pump.finish(lambda: True)
    assert states(*dead) == [S.DUE] * count


def test_a_good_address_is_told_while_the_circuit_of_another_is_open(
    bloomreach: Listener, queue: Queue
) -> None:
    dead = factories.make_event(queue=queue, url=bloomreach.url("/dead?token=secret"))
    circuit.note({dead.destination_id: [circuit.Note(ok=False)] * circuit.TRIP}, of=circuit.Of.DESTINATION)
    good = factories.make_event(queue=queue, url=bloomreach.url("/good"))

    assert tell_now() == 1
    assert states(dead, good) == [S.DUE, S.ACKED]
    assert Destination.objects.get(pk=dead.destination_id).address == bloomreach.url("/dead")


@pytest.mark.parametrize(
    ("dead", "good"),
    [
        pytest.param("/dead", "/good", id="another path"),
        pytest.param("/dead?project=a", "/good?project=a", id="the same query"),
    ],
)
def test_a_dead_inbound_address_does_not_hold_up_callbacks(
    bloomreach: Listener, dead: str, good: str
) -> None:
    message = factories.make_message(state=MessageState.DELIVERED)
    queue = factories.callback_queue(message.tenant)
    inbound = [
        make_inbound_event(factories.make_inbound(message.account), queue, bloomreach.url(dead))
        for _ in range(30)
    ]
    refuse_for_long()
    callback = factories.make_event(message, queue=queue, url=bloomreach.url(good))
    tell_now()
    assert states(callback) == [S.ACKED]
    assert set(states(*inbound)) == {S.DUE}


def test_inbound_and_callbacks_do_not_share_a_fate_even_at_one_url(bloomreach: Listener) -> None:
    message = factories.make_message(state=MessageState.DELIVERED)
    queue = factories.callback_queue(message.tenant)
    inbound = make_inbound_event(factories.make_inbound(message.account), queue, bloomreach.url("/x"))
    destinations.place()
    inbound.refresh_from_db()
    circuit.note({inbound.destination_id: [circuit.Note(ok=False)] * 10}, of=circuit.Of.DESTINATION)
    callback = factories.make_event(message, queue=queue, url=bloomreach.url("/x"))

    tell_now()
    assert states(inbound, callback) == [S.DUE, S.ACKED]
    assert sorted(Destination.objects.values_list("kind", "address")) == [
        (DestinationKind.CALLBACK, bloomreach.url("/x")),
        (DestinationKind.INBOUND, bloomreach.url("/x")),
    ]


def test_a_hung_address_leaves_room_for_the_others(bloomreach: Listener, queue: Queue) -> None:
    """Once it has failed it has one POST in flight, of the two that the tenant may have."""
    hung = [
        factories.make_event(queue=queue, url=bloomreach.url(f"/dead?{n}"), due_at=timezone.now())
        for n in range(4)
    ]
    address = hung[0].destination_id
    circuit.note({address: [circuit.Note(ok=False)]}, of=circuit.Of.DESTINATION)
    flying = [*posting.claim(leases=[uuid7()]), *posting.claim(leases=[uuid7()])]
    assert [post.destination_id for post in flying] == [address]
    good = factories.make_event(queue=queue, url=bloomreach.url("/good"))

    tell_now()
    assert states(good) == [S.ACKED]


def test_an_event_is_blamed_only_if_its_own_address_took_something(
    bloomreach: Listener, queue: Queue
) -> None:
    """What another URL of the tenant takes says nothing about it."""
    event = factories.make_event(queue=queue, url=bloomreach.url("/dead"))
    for _ in range(5):
        factories.make_event(queue=queue, url=bloomreach.url("/good"))
        Event.objects.filter(state=S.DUE).update(due_at=timezone.now())
        tell_now()

    event.refresh_from_db()
    assert (event.state, event.tries) == (S.DUE, 5)


@pytest.mark.parametrize(
    "status",
    [pytest.param(500, id="500: perhaps about one event"), pytest.param(422, id="422: about the request")],
)
def test_sick_events_do_not_hold_up_the_healthy_ones_of_their_address(
    bloomreach: Listener, queue: Queue, status: int
) -> None:
    sick = {factories.make_event(queue=queue, url=bloomreach.url("/x")).pk for _ in range(3)}
    healthy = [factories.make_event(queue=queue, url=bloomreach.url("/x")) for _ in range(9)]
    bloomreach.answer = lambda post: status if sick & set(post.ids) else 200
    for _ in range(8):
        tell_now()
        Event.objects.filter(state=S.DUE, due_at__lt=timezone.now() + timedelta(seconds=2)).update(
            due_at=timezone.now()
        )

    assert states(*healthy) == [S.ACKED] * 9
    assert Event.objects.filter(pk__in=sick, state=S.DUE, batch_cap=1).count() == 3


def test_one_event_that_fails_again_and_again_says_nothing_about_its_address(
    bloomreach: Listener, queue: Queue
) -> None:
    event = factories.make_event(queue=queue, url=bloomreach.url("/x"))
    bloomreach.answer = lambda post: 500
    for _ in range(11):
        Event.objects.update(due_at=timezone.now())
        tell_now()
    address = Destination.objects.get()
    assert (len(bloomreach.posts), address.faults, address.open_for) == (11, 1, 0)
    event.refresh_from_db()
    assert event.tries == 11


def test_logs_name_accounts_and_addresses_and_no_secret(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    account = factories.make_account(name="main")
    event = factories.make_event(queue=queue, url="https://a.bloomreach.com/hook?token=secret")
    circuit.note({account.queue_id: [circuit.Note(ok=False)] * 10})
    circuit.pause(account.queue_id, why="why")
    circuit.note({event.destination_id: [circuit.Note(ok=False)] * 10}, of=circuit.Of.DESTINATION)
    told = [(record.message, record.queue) for record in caplog.records if hasattr(record, "queue")]
    assert told == [
        ("circuit open", f"{account.tenant.slug}/main"),
        ("queue paused", f"{account.tenant.slug}/main"),
        ("circuit open", "https://a.bloomreach.com/hook"),
    ]


def test_addresses_take_turns(bloomreach: Listener, queue: Queue) -> None:
    """A backlog for one URL does not go first because it is older."""
    for n in range(6):
        factories.make_event(queue=queue, url=bloomreach.url("/many"), batch_cap=n + 1)
    factories.make_event(queue=queue, url=bloomreach.url("/few"))
    tell(1)
    tell(1)
    assert [post.path for post in bloomreach.posts] == ["/many", "/few"]


def test_what_an_address_answered_last_is_kept(bloomreach: Listener, queue: Queue) -> None:
    event = factories.make_event(queue=queue, url=bloomreach.url("/dead"))
    tell()
    address = Destination.objects.get(pk=event.destination_id)
    assert (address.faults, address.last_fault, address.ok_at) == (1, "HTTP 404", None)
    assert address.failed_at is not None


def test_one_path_per_message_is_bounded_and_still_blamed(
    bloomreach: Listener, queue: Queue, settings: LazySettings
) -> None:
    """Each message has its own path, at a host that refuses all: the rest of them share a circuit, which opens."""
    for n in range(200):
        factories.make_event(queue=queue, url=bloomreach.url(f"/dead/{n}"))
    good = factories.make_event(queue=queue, url=f"http://localhost:{bloomreach.port}/good")
    tell_now()

    assert states(good) == [S.ACKED]
    addresses = Destination.objects.filter(queue=queue)
    assert addresses.count() == destinations.OWN + 2  # of their own, of the two hosts
    shared = addresses.get(address=f"http://127.0.0.1:{bloomreach.port}/…")
    assert (shared.faults, shared.open_for) == (circuit.TRIP, settings.PROBE_EVERY)
    assert len(bloomreach.posts) == destinations.OWN + circuit.TRIP + 1


def test_many_hosts_are_bounded_too(queue: Queue) -> None:
    for n in range(destinations.SHARED + 20):
        factories.make_event(queue=queue, url=f"https://h{n}.bloomreach.com/hook")
    addresses = Destination.objects.filter(queue=queue)
    assert addresses.count() == destinations.SHARED + 1
    assert addresses.filter(address=destinations.ELSEWHERE).count() == 1
    assert Event.objects.filter(destination__address=destinations.ELSEWHERE).count() == 20


def test_events_are_born_with_a_known_address(bloomreach: Listener) -> None:
    """So that telling them costs no statement more."""
    message = factories.make_message(
        state=MessageState.SENT, content={"callback_url": bloomreach.url("/good?a=b")}
    )
    first = factories.make_event(message, url=bloomreach.url("/good?c=d"), kind=EventKind.SENT)
    held = locking.lock({message.pk})[message.pk]
    locking.add_events(
        [locking.NewEvent(held, EventKind.FINAL, "delivered", timezone.now())],
    )
    born = Event.objects.get(message=message, kind=EventKind.FINAL)
    assert born.destination_id == first.destination_id


def test_events_of_a_deleted_address_and_of_older_code_get_one(bloomreach: Listener, queue: Queue) -> None:
    events = [factories.make_event(queue=queue, url=bloomreach.url(f"/good/{n}")) for n in range(3)]
    Event.objects.filter(pk=events[0].pk).update(destination=None)
    Destination.objects.filter(pk=events[1].destination_id).delete()
    tell_now()
    assert states(*events) == [S.ACKED] * 3


def test_idle_addresses_are_forgotten_unless_they_refuse(queue: Queue) -> None:
    names = ("idle", "busy", "refusing", "fresh")
    rows = {
        name: factories.make_event(queue=queue, url=f"https://{name}.bloomreach.com/", state=S.DUE)
        for name in names
    }
    Event.objects.exclude(pk=rows["busy"].pk).update(state=S.ACKED)
    old = timezone.now() - timedelta(days=2)
    Destination.objects.exclude(address__contains="fresh").update(
        created_at=old, ok_at=old, served_at=LONG_AGO
    )
    Destination.objects.filter(address__contains="refusing").update(faults=3)

    assert destinations.prune() == 1
    addresses = Destination.objects.values_list("address", flat=True)
    left = sorted(address.removeprefix("https://").partition(".")[0] for address in addresses)
    assert left == ["busy", "fresh", "refusing"]
    assert Event.objects.count() == 4


def test_a_resume_and_a_try_close_the_circuits(queue: Queue) -> None:
    later = timezone.now() + timedelta(hours=1)
    events = [
        factories.make_event(queue=queue, url=f"https://{name}.bloomreach.com/", due_at=later)
        for name in ("a", "b")
    ]
    ids = [event.destination_id for event in events]
    Destination.objects.update(faults=12, open_for=60, open_until=later)

    circuit.try_now(ids[:1])
    assert list(Destination.objects.order_by("faults").values_list("pk", "faults")) == [
        (ids[0], 0),
        (ids[1], 12),
    ]
    assert [event.due_at <= timezone.now() for event in Event.objects.order_by("id")] == [True, False]
    circuit.resume([queue.pk])
    assert set(Destination.objects.values_list("faults", "open_for", "open_until")) == {(0, 0, LONG_AGO)}
    assert all(event.due_at <= timezone.now() for event in Event.objects.all())
