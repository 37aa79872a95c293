"""The rolling window: nothing in flight is thrown away, whatever happens to the database or to the code."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import psycopg
import pytest
from django.conf import LazySettings
from django.db import DataError, OperationalError
from django.db import connection as database
from django.utils import timezone

from messaging.callbacks import posting
from messaging.models import Attempt, Event, Message
from messaging.rules.values import EventState, MessageState
from messaging.sending import claims, dispatch
from messaging.worker import pump
from messaging.worker.pump import Pump
from tests import factories, listener
from tests.listener import Listener, Received
from tests.stand_ins import pending_events
from vendors import registry
from vendors.values import Outcome

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bloomreach(settings: LazySettings) -> Iterator[Listener]:
    settings.DEMO = True  # lets callbacks dial loopback
    with listener.serving() as running:
        yield running


@pytest.fixture
def carrier() -> Iterator[Listener]:
    with listener.serving() as running:
        running.body = b'{"ids": ["v1"]}'
        yield running


def make_message(carrier: Listener) -> Message:
    account = factories.make_account(settings={"base_url": carrier.url(""), "capability": "report"})
    return factories.make_message(account=account)


def spin(one: Pump, over: Callable[[], bool], *, seconds: float = 20) -> None:
    """Turns until `over`, as `run` does."""
    until = time.monotonic() + seconds
    one.run(until=until, stopped=over, beat=lambda: True)
    assert time.monotonic() < until + 1, "never over"


def kind(one: Pump, due: str) -> pump.WorkInPump:
    (found,) = [kind for kind in one.kinds if kind.work.due == due]
    return found


def assert_nothing_left(one: Pump) -> None:
    """No answer waits to be recorded, and no claim has an unknown outcome."""
    assert [(one.unrecorded, one.is_claiming) for one in one.kinds] == [([], False)] * len(one.kinds)


def cut_all() -> int:
    """Terminates every other connection to the database, as a restart or a failover does."""
    with psycopg.connect(_dsn(), autocommit=True) as other:
        rows = other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchall()
    return len(rows)


def _dsn() -> str:
    params = database.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return psycopg.conninfo.make_conninfo(**{name: params[name] for name in names if params.get(name)})


def test_one_turn_sends_tells_and_records(bloomreach: Listener, carrier: Listener) -> None:
    message = make_message(carrier)
    event = factories.make_event(url=bloomreach.url())
    one = Pump()

    assert one.turn() is False  # claimed and dialled; nothing has come back
    one.finish(lambda: True)

    message.refresh_from_db()
    event.refresh_from_db()
    assert (message.state, event.state) == (MessageState.SENT, EventState.ACKED)
    assert (len(carrier.posts), len(bloomreach.posts)) == (1, 1)
    assert_nothing_left(one)


@pytest.mark.parametrize("kind", ["message", "event"])
def test_what_is_in_flight_is_left_alone(bloomreach: Listener, carrier: Listener, kind: str) -> None:
    """A claim that was answered is never given back."""
    row: Message | Event
    if kind == "message":
        there, row = carrier, make_message(carrier)
    else:
        there, row = bloomreach, factories.make_event(url=bloomreach.url())
    there.gate.clear()
    one = Pump()
    for _ in range(3):
        one.turn()
    there.wait_for(1)
    row.refresh_from_db()
    assert row.state == (MessageState.SENDING if kind == "message" else EventState.LEASED)
    assert row.lease is not None
    there.gate.set()
    one.finish(lambda: True)
    assert len(there.posts) == 1


def test_peek_says_what_is_due(bloomreach: Listener) -> None:
    assert not pump.peek().anything
    event = factories.make_event(url=bloomreach.url())
    assert [name for name, due in asdict(pump.peek()).items() if due] == ["events"]
    event.queue.__class__.objects.update(paused_at=timezone.now())
    assert not pump.peek().anything
    message = factories.make_message(state=MessageState.UNKNOWN_OUTCOME)
    assert [name for name, due in asdict(pump.peek()).items() if due] == ["unknowns"]
    Message.objects.filter(pk=message.pk).update(state=MessageState.RETRYING)
    assert [name for name, due in asdict(pump.peek()).items() if due] == ["messages"]


def test_an_outage_in_mid_turn_loses_no_answer_and_sends_nothing_twice(
    bloomreach: Listener, carrier: Listener
) -> None:
    messages = [make_message(carrier) for _ in range(5)]
    events = [factories.make_event(url=bloomreach.url(f"/{n}")) for n in range(5)]
    carrier.gate.clear()
    bloomreach.gate.clear()
    one = Pump()
    one.turn()
    carrier.wait_for(5)
    bloomreach.wait_for(5)
    assert cut_all() >= 1
    carrier.gate.set()
    bloomreach.gate.set()

    spin(one, lambda: not (one.in_flight or any(kind.unrecorded for kind in one.kinds)))

    assert {row.state for row in Message.objects.filter(pk__in=[m.pk for m in messages])} == {4}
    assert {row.state for row in Event.objects.filter(pk__in=[e.pk for e in events])} == {2}
    assert (len(carrier.posts), len(bloomreach.posts)) == (5, 5)
    assert list(Attempt.objects.values_list("outcome", flat=True)) == ["taken"] * 5


def test_an_outage_in_every_turn(bloomreach: Listener, carrier: Listener) -> None:
    """Connections are cut again and again while work goes on."""
    queue = factories.callback_queue(factories.make_tenant())
    for n in range(30):
        make_message(carrier)
        factories.make_event(queue=queue, url=bloomreach.url(f"/{n}"))
    cuts: list[int] = []

    def vandal() -> None:
        while len(cuts) < 10:
            time.sleep(0.2)
            cuts.append(cut_all())

    thread = threading.Thread(target=vandal)
    thread.start()
    one = Pump()
    one.run(until=time.monotonic() + 30, stopped=lambda: len(cuts) >= 10, beat=lambda: True)
    thread.join(10)
    database.close()
    assert_nothing_left(one)
    spin(
        one := Pump(),
        lambda: not (pump.peek().messages or pump.peek().events or one.in_flight),
    )

    assert set(Message.objects.filter(attempts__gt=0).values_list("state", flat=True)) == {MessageState.SENT}
    assert Message.objects.filter(state=MessageState.SENT).count() == 30
    assert Event.objects.filter(state=EventState.ACKED).count() == 30
    assert len({post.body for post in carrier.posts}) == len(carrier.posts) == 30


@pytest.mark.parametrize(
    "committed", [pytest.param(True, id="committed"), pytest.param(False, id="rolled back")]
)
def test_a_claim_whose_answer_is_lost_is_given_back(
    bloomreach: Listener, carrier: Listener, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """The connection breaks between the COMMIT and its answer: nobody knows the rows, so nobody dialled them."""
    message = make_message(carrier)
    event = factories.make_event(url=bloomreach.url())
    real_claim, real_events = claims.claim, posting.claim

    def lost(real: Callable[..., Any]) -> Callable[..., Any]:
        def claim(**kwargs: Any) -> Any:
            if committed:
                real(**kwargs)
            raise OperationalError("server closed the connection unexpectedly")

        return claim

    one = Pump()
    monkeypatch.setattr(claims, "claim", lost(real_claim))
    with pytest.raises(OperationalError):
        one.turn()
    monkeypatch.setattr(claims, "claim", lambda **kwargs: [])
    monkeypatch.setattr(posting, "claim", lost(real_events))
    with pytest.raises(OperationalError):
        one.turn()
    message.refresh_from_db()
    assert message.state == (MessageState.RETRYING if committed else MessageState.ACCEPTED)
    one.give_back()

    event.refresh_from_db()
    assert (event.state, event.lease, event.tries) == (EventState.DUE, None, 0)
    assert (carrier.posts, bloomreach.posts) == ([], [])
    monkeypatch.undo()
    spin(
        one,
        lambda: Message.objects.get(pk=message.pk).state == 4 and Event.objects.get(pk=event.pk).state == 2,
    )
    assert (len(carrier.posts), len(bloomreach.posts)) == (1, 1)


def test_after_a_bug_messages_are_claimed_one_by_one(
    carrier: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue = make_message(carrier).queue
    account = queue.accounts.get()
    for _ in range(3):
        factories.make_message(account=account)
    frees: list[int] = []
    real = claims.claim
    monkeypatch.setattr(
        claims, "claim", lambda *, free, lease: frees.append(free) or real(free=free, lease=lease)
    )
    real_prepare = dispatch.prepare

    def prepare(claimed: Sequence[claims.Claimed]) -> list[dispatch.OutgoingBatch]:
        if len(frees) == 1:
            raise RuntimeError("a bug")
        return real_prepare(claimed)

    monkeypatch.setattr(dispatch, "prepare", prepare)
    one = Pump()
    spin(one, lambda: Message.objects.filter(state=MessageState.SENT).count() == 4)

    assert frees[0] == one.pools["vendors"].size
    assert set(frees[1:]) == {1}
    assert 0 < kind(one, "messages").single_claims < pump.SINGLE_CLAIMS
    assert "bug in a pump" in caplog.text
    assert len(carrier.posts) == 4


def test_a_fresh_process_claims_one_by_one_until_it_has_recorded_one(
    carrier: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_message(carrier).account
    for _ in range(9):
        factories.make_message(account=account)
    frees: list[int] = []
    real = claims.claim
    monkeypatch.setattr(
        claims, "claim", lambda *, free, lease: frees.append(free) or real(free=free, lease=lease)
    )
    carrier.gate.clear()
    one = Pump()
    seen: list[list[int]] = []

    def over() -> bool:
        if len(carrier.posts) >= 2 and not seen:  # a vendor that takes its time holds up nobody
            seen.append(frees.copy())
            carrier.gate.set()
        return Message.objects.filter(state=MessageState.SENT).count() == 10

    assert one.run(until=time.monotonic() + 20, stopped=over, beat=lambda: True, fresh=True) is True
    assert set(seen[0]) == {1}
    assert (frees[-1] > 1, len(carrier.posts)) == (True, 10)


def test_a_process_is_warm_before_it_claims(
    carrier: Listener, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    make_message(carrier)
    monkeypatch.setitem(registry.ADAPTERS.data, "simulator", "simulator.adapter.Simulator")
    factories.make_account(vendor="from_another_version")
    pump.warm_up.cache_clear()
    pump.warm_up()
    assert not isinstance(registry.ADAPTERS.data["simulator"], str)
    with django_assert_num_queries(0):
        pump.warm_up()


def test_a_call_that_ends_in_a_bug_takes_no_other_answer_along(
    bloomreach: Listener, carrier: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own rows wait for the end of their lease."""
    messages = [make_message(carrier) for _ in range(4)]
    event = factories.make_event(url=bloomreach.url())
    real, real_post = dispatch.dial, posting.dial
    broken = str(messages[2].pk)

    def dial(call: dispatch.OutgoingBatch, *, deadline: float) -> dispatch.Dialled:
        done = real(call, deadline=deadline)
        if call.batch[0].outgoing.message_id == broken:
            raise RuntimeError("a bug")
        return done

    def post(item: posting.Post, *, deadline: float) -> posting.Posted:
        real_post(item, deadline=deadline)
        raise RuntimeError("another bug")

    monkeypatch.setattr(dispatch, "dial", dial)
    monkeypatch.setattr(posting, "dial", post)
    one = Pump()
    one.turn()
    one.finish(lambda: True)

    states = dict(Message.objects.values_list("pk", "state"))
    assert [states[message.pk] for message in messages] == [4, 4, 1, 4]
    event.refresh_from_db()
    assert event.state == EventState.LEASED
    assert caplog.text.count("call ended in a bug") == 2


def test_an_answer_that_the_database_refuses_takes_no_other_along(
    carrier: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    messages = [make_message(carrier) for _ in range(4)]
    broken = messages[1].pk
    real = dispatch.record

    def record(dialled: Sequence[dispatch.Dialled]) -> None:
        if any(item.message_id == broken for one in dialled for item in one.call.batch):
            raise DataError("text fields cannot contain NUL")
        real(dialled)

    monkeypatch.setattr(dispatch, "record", record)
    one = Pump()
    one.turn()
    one.finish(lambda: True)

    states = dict(Message.objects.values_list("pk", "state"))
    assert [states[message.pk] for message in messages] == [4, 1, 4, 4]
    assert_nothing_left(one)
    assert "an answer could not be recorded" in caplog.text


def test_finishing_waits_for_the_calls_in_flight_and_claims_nothing(carrier: Listener) -> None:
    first = make_message(carrier)
    carrier.gate.clear()
    one = Pump()
    one.turn()
    carrier.wait_for(1)
    later = make_message(carrier)
    beats: list[float] = []
    timer = threading.Timer(0.7, carrier.gate.set)
    timer.start()
    one.finish(lambda: bool(beats.append(time.monotonic())) or True)
    timer.join()

    first.refresh_from_db()
    later.refresh_from_db()
    assert (first.state, later.state) == (MessageState.SENT, MessageState.ACCEPTED)
    assert len(beats) >= 3  # the slot stays its own meanwhile
    assert len(carrier.posts) == 1


def test_finishing_outlasts_an_outage_and_a_bug(
    carrier: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    message = make_message(carrier)
    one = Pump()
    one.turn()
    carrier.wait_for(1)
    real = one.give_back
    troubles: list[Exception] = [OperationalError("gone"), RuntimeError("a bug")]

    def give_back() -> None:
        if troubles:
            raise troubles.pop(0)
        real()

    monkeypatch.setattr(one, "give_back", give_back)
    one.finish(lambda: True)

    message.refresh_from_db()
    assert message.state == MessageState.SENT
    assert troubles == []


@pytest.mark.parametrize("why", ["stopped", "slot lost", "box over"])
def test_run_ends(carrier: Listener, why: str) -> None:
    make_message(carrier)
    started = time.monotonic()
    Pump().run(
        until=started + (0.2 if why == "box over" else 20),
        stopped=lambda: why == "stopped",
        beat=lambda: why != "slot lost",
    )
    assert time.monotonic() - started < 5
    assert len(carrier.posts) == (1 if why == "box over" else 0)


def test_a_full_window_claims_no_more(carrier: Listener, settings: LazySettings) -> None:
    settings.DISPATCH_THREADS = 3
    account = make_message(carrier).account
    for _ in range(7):
        factories.make_message(account=account)
    carrier.gate.clear()
    one = Pump()
    for _ in range(4):
        one.turn()
    carrier.wait_for(3)
    assert Message.objects.filter(state=MessageState.SENDING).count() == 3
    carrier.gate.set()
    spin(one, lambda: Message.objects.filter(state=MessageState.SENT).count() == 8)
    assert carrier.most_flying == 3


def test_two_pumps_keep_to_two_posts_per_queue(bloomreach: Listener) -> None:
    queue = factories.callback_queue(factories.make_tenant())
    for n in range(12):
        factories.make_event(queue=queue, url=bloomreach.url(f"/{n}"))
    together = threading.Barrier(
        2, timeout=20
    )  # the first two are in flight at once, on however busy a machine
    turns = itertools.count()

    def answer(post: Received) -> int:
        if next(turns) < 2:
            together.wait()
        time.sleep(0.03)
        return 200

    bloomreach.answer = answer

    def work() -> None:
        try:
            spin(Pump(), lambda: not pending_events().exists())
        finally:
            database.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(bloomreach.posts) == 12
    assert bloomreach.most_flying == 2


def test_outcome_of_a_call_cut_off_by_the_deadline_is_unknown(
    carrier: Listener, settings: LazySettings
) -> None:
    settings.CALL_DEADLINE = 0.3
    message = make_message(carrier)
    carrier.gate.clear()
    one = Pump()
    one.turn()
    carrier.wait_for(1)
    one.finish(lambda: True)
    carrier.gate.set()

    message.refresh_from_db()
    assert message.state == MessageState.UNKNOWN_OUTCOME
    assert Attempt.objects.get().outcome == Outcome.UNKNOWN


# Any kind of work.


class Fake:
    """Work of numbers. Whatever part is named in `breaks` raises."""

    due: ClassVar[Any] = "messages"
    pool: ClassVar[Any] = "vendors"
    singly: ClassVar[bool] = False

    def __init__(self, *breaks: str, error: type[Exception] = RuntimeError) -> None:
        self.breaks, self.error = breaks, error
        self.frees: list[int] = []
        self.waiting = list(range(3))
        self.recorded: list[int] = []
        self.given_back = 0

    def _step(self, name: str) -> None:
        if name in self.breaks:
            raise self.error(name)

    def claim(self, free: int) -> list[int]:
        self.frees.append(free)
        self._step("claim")
        taken, self.waiting = self.waiting[:free], self.waiting[free:]
        return taken

    def dial(self, item: int, *, deadline: float) -> int:
        self._step("dial")
        return item

    def record(self, finished: Sequence[int]) -> None:
        self._step("record")
        self.recorded += finished

    def give_back(self) -> None:
        self.given_back += 1
        self._step("give_back")


class FakeOfPosts(Fake):
    pool: ClassVar[Any] = "callbacks"


class FakeSingly(Fake):
    singly: ClassVar[bool] = True


@pytest.fixture
def all_due(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = dict.fromkeys(asdict(pump.peek()), False) | {"messages": True}
    monkeypatch.setattr(pump, "peek", lambda: pump.Due(**flags))


@pytest.mark.usefixtures("all_due")
@pytest.mark.parametrize("breaks", ["claim", "dial", "record"])
@pytest.mark.parametrize("first", [True, False], ids=["served first", "served last"])
def test_a_work_that_raises_takes_no_other_along(
    breaks: str, first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    broken, well, posts = Fake(breaks), Fake(), FakeOfPosts()
    one = Pump([broken, well, posts] if first else [well, posts, broken])
    spin(one, lambda: len(well.recorded) == len(posts.recorded) == 3, seconds=5)
    assert (sorted(well.recorded), sorted(posts.recorded), broken.recorded) == ([0, 1, 2], [0, 1, 2], [])
    assert (well.given_back, broken.given_back > 0) == (0, breaks == "claim")
    assert_nothing_left(one)
    text = {"claim": "bug in a pump", "dial": "call ended in a bug", "record": "could not be recorded"}
    assert text[breaks] in caplog.text


@pytest.mark.usefixtures("all_due")
def test_a_work_whose_claim_raises_rests_and_claims_one_by_one() -> None:
    broken, well = Fake("claim"), Fake()
    one = Pump([broken, well])
    for _ in range(5):
        one.turn()
    assert broken.frees == [one.pools["vendors"].size]  # not in every turn
    one.kinds[0].rests_until = 0.0
    one.turn()
    assert broken.frees[1:] == [1]
    assert (broken.given_back, one.kinds[1].single_claims) == (1, 0)
    one.finish(lambda: True)


@pytest.mark.usefixtures("all_due")
def test_nothing_is_claimed_while_a_claim_cannot_be_given_back() -> None:
    """Else its lease would be forgotten."""
    broken, well = Fake("claim", "give_back"), Fake()
    one = Pump([broken, well])
    one.turn()
    one.kinds[0].rests_until = 0.0
    one.turn()
    assert (len(broken.frees), broken.given_back, len(well.frees)) == (1, 1, 2)
    broken.breaks = ()
    one.turn()
    assert (len(broken.frees), broken.given_back) == (2, 2)
    one.finish(lambda: True)


@pytest.mark.usefixtures("all_due")
def test_only_work_that_wants_it_begins_with_single_claims() -> None:
    singly, other = FakeSingly(), Fake()
    one = Pump([singly, other])
    assert one.run(
        until=time.monotonic() + 5, stopped=lambda: len(singly.frees) > 5, beat=lambda: True, fresh=True
    )
    assert (singly.frees[0], other.frees[0] > 1, singly.frees[-1] > 1) == (1, True, True)
    assert sorted(singly.recorded) == [0, 1, 2]


@pytest.mark.usefixtures("all_due")
@pytest.mark.parametrize("breaks", ["claim", "record"])
def test_an_outage_is_not_a_bug(breaks: str) -> None:
    """What was answered is kept, and nobody claims one by one."""
    away = Fake(breaks, error=OperationalError)
    one = Pump([away])

    def back() -> bool:
        if len(away.frees) > 1 or (breaks == "record" and one.kinds[0].unrecorded):
            away.breaks = ()
        return len(away.recorded) == 3

    spin(one, back)
    assert sorted(away.recorded) == [0, 1, 2]
    assert (set(away.frees), one.kinds[0].single_claims) == ({one.pools["vendors"].size}, 0)


def test_every_kind_names_a_flag_and_a_pool() -> None:
    one = Pump()
    assert {kind.work.due for kind in one.kinds} == {"messages", "unknowns", "polls", "events"}
    assert all(hasattr(pump.peek(), kind.work.due) for kind in one.kinds)
    assert {kind.work.pool for kind in one.kinds} == set(one.pools)
    assert [kind.work.due for kind in one.kinds if kind.work.singly] == ["messages"]
