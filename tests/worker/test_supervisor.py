"""The worker as real processes: it serves, stops cleanly, leaves no orphans, and outlasts the loss of any child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.db import connection as database
from django_q.models import OrmQ

from messaging.models import Event, Slot
from messaging.rules.values import EventState
from messaging.worker import broker, slots, supervisor
from messaging.worker.supervisor import Supervisor
from tests import databases, factories, listener
from tests.listener import Listener
from tests.waiting import eventually

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.django_db(transaction=True),
]

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
MARK = "TEST_WORKER"  # in the environment of the worker and of all that descends from it


@dataclass
class Worker:
    """A `manage.py worker` over the test database, in a session of its own."""

    process: subprocess.Popen[bytes]
    mark: str
    log: Path

    def family(self) -> list[int]:
        """The worker and whatever descends from it, found by their environment, wherever they hang now."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                environment = (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:  # it ended meanwhile
                continue
            if wanted in environment.split(b"\0") and state != "Z":
                found.append(int(entry.name))
        return sorted(found)

    def children_of(self, parent: int) -> list[int]:
        """In the order in which they were started."""
        found = []
        for pid in self.family():
            try:
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(words[1]) == parent:
                found.append((int(words[19]), pid))  # when it started
        return [pid for _, pid in sorted(found)]

    def cluster(self) -> dict[str, int]:
        """The process ids of a complete cluster by their part; empty when it is not complete."""
        mains = self.children_of(self.process.pid)
        sentinels = self.children_of(mains[0]) if mains else []
        others = self.children_of(sentinels[0]) if sentinels else []
        if len(others) != 4:  # two workers, then the monitor, then the pusher
            return {}
        names = ("worker", "second worker", "monitor", "pusher")
        return {"main": mains[0], "sentinel": sentinels[0], **dict(zip(names, others, strict=True))}


@pytest.fixture
def bloomreach() -> Iterator[Listener]:
    with listener.serving() as running:
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    """Starts workers; none is left when the test is over."""
    workers: list[Worker] = []

    def go() -> Worker:
        mark, log = uuid4().hex, tmp_path / f"worker-{len(workers)}.log"
        environment = os.environ | {
            MARK: mark,
            "DATABASE_URL": databases.url(database.settings_dict["NAME"]),
            "DEMO": "1",
            "PUMPS": "2",
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(MANAGE), "worker"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        workers.append(Worker(process, mark, log))
        return workers[-1]

    try:
        yield go
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
            for pid in worker.family():
                os.kill(pid, signal.SIGKILL)
            eventually(lambda worker=worker: not worker.family(), what="all processes are gone")
            print(worker.log.read_text()[-3000:])


def tell(bloomreach: Listener) -> Event:
    return factories.make_event(url=bloomreach.url())


def is_told(event: Event) -> bool:
    return Event.objects.filter(pk=event.pk, state=EventState.ACKED).exists()


def running(worker: Worker, bloomreach: Listener) -> dict[str, int]:
    """A worker that has told an event: all its processes are at work."""
    event = tell(bloomreach)
    eventually(lambda: is_told(event), what="the worker tells an event")
    return dict(eventually(worker.cluster, what="a complete cluster"))


def test_both_pumps_run_and_an_idle_worker_stops_within_seconds(
    start: Callable[[], Worker], bloomreach: Listener
) -> None:
    worker = start()
    cluster = running(worker, bloomreach)
    eventually(lambda: Slot.objects.exclude(token=None).count() == 2, what="two pumps")

    pids = {int(by.removeprefix("pid ")) for by in Slot.objects.values_list("run_by", flat=True)}
    assert pids == {cluster["worker"], cluster["second worker"]}
    assert os.getpgid(cluster["pusher"]) == cluster["main"] != worker.process.pid
    assert len(worker.family()) == 7

    started = time.monotonic()
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait(20) == 0
    assert time.monotonic() - started < 10
    assert worker.family() == []


def test_sigterm_lands_what_is_in_flight_and_leaves_nothing(
    start: Callable[[], Worker], bloomreach: Listener
) -> None:
    worker = start()
    running(worker, bloomreach)
    bloomreach.gate.clear()
    event = tell(bloomreach)
    bloomreach.wait_for(2)
    worker.process.terminate()
    eventually(lambda: queue_is_stopping(worker), within=20, what="no pump starts any more")
    late = tell(bloomreach)
    bloomreach.gate.set()

    assert worker.process.wait(20) == 0
    assert worker.family() == []
    event.refresh_from_db()
    late.refresh_from_db()
    assert (event.state, event.tries) == (EventState.ACKED, 1)
    assert (late.state, late.tries) == (EventState.DUE, 0)
    assert len(bloomreach.posts) == 2
    assert not Slot.objects.exists()
    assert not OrmQ.objects.exists()


def queue_is_stopping(worker: Worker) -> bool:
    """One of the two pumps had nothing in flight: it leaves first, and no other takes its slot."""
    return Slot.objects.exclude(token=None).count() == 1


def test_a_worker_that_stops_before_its_cluster_runs(start: Callable[[], Worker]) -> None:
    worker = start()
    eventually(lambda: len(worker.family()) >= 2, what="the cluster's first process")
    worker.process.terminate()
    worker.process.wait(40)
    eventually(lambda: not worker.family(), within=10, what="nothing is left")


def test_sigkill_of_the_worker_while_its_cluster_starts(start: Callable[[], Worker]) -> None:
    """Before the cluster could ask the kernel to die with its parent."""
    worker = start()
    eventually(lambda: len(worker.family()) >= 2, what="the cluster's first process")
    worker.process.kill()
    worker.process.wait()

    eventually(lambda: not worker.family(), within=30, what="no process outlives the worker")


def test_work_goes_on_after_the_loss_of_any_child(start: Callable[[], Worker], bloomreach: Listener) -> None:
    worker = start()
    for part in ("worker", "second worker", "monitor", "pusher", "sentinel", "main"):
        cluster = running(worker, bloomreach)
        os.kill(cluster[part], signal.SIGKILL)
        events = [tell(bloomreach) for _ in range(3)]
        eventually(
            lambda events=events: all(is_told(event) for event in events),
            what=f"work goes on without the {part}",
        )
        assert worker.process.poll() is None
    worker.process.terminate()
    assert worker.process.wait(60) == 0
    assert worker.family() == []


def test_a_frozen_cluster_is_restarted(start: Callable[[], Worker], bloomreach: Listener) -> None:
    """As after a child's death at the wrong moment: everything is alive and nothing works."""
    worker = start()
    cluster = running(worker, bloomreach)
    for part in ("worker", "second worker", "sentinel"):
        os.kill(cluster[part], signal.SIGSTOP)
    event = tell(bloomreach)

    eventually(lambda: is_told(event), what="a new cluster tells the event")
    assert b"pumps are silent" in worker.log.read_bytes()
    assert set(cluster.values()).isdisjoint(worker.family())


def test_the_death_of_a_pump_in_mid_call_tells_the_event_again(
    start: Callable[[], Worker], bloomreach: Listener
) -> None:
    worker = start()
    running(worker, bloomreach)
    bloomreach.gate.clear()
    event = tell(bloomreach)
    bloomreach.wait_for(2)
    for slot in Slot.objects.exclude(token=None):
        os.kill(int(slot.run_by.removeprefix("pid ")), signal.SIGKILL)
    bloomreach.gate.set()

    eventually(lambda: is_told(event), what="told after its lease")
    event.refresh_from_db()
    assert event.tries == 1  # the lost one says nothing about the event
    assert [post.ids for post in bloomreach.posts[1:]] == [[event.id]] * 2


def test_connections_cut_while_stopping(start: Callable[[], Worker], bloomreach: Listener) -> None:
    """The answer in flight is recorded, and the worker's slots go with it."""
    worker = start()
    running(worker, bloomreach)
    bloomreach.gate.clear()
    event = tell(bloomreach)
    bloomreach.wait_for(2)
    worker.process.terminate()
    for _ in range(3):
        cut_others()
        time.sleep(0.1)
    bloomreach.gate.set()

    assert worker.process.wait(40) == 0
    assert worker.family() == []
    event.refresh_from_db()
    assert (event.state, event.tries) == (EventState.ACKED, 1)
    assert not Slot.objects.exists()


def cut_others() -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


def test_two_workers_share_the_work_and_either_may_go(
    start: Callable[[], Worker], bloomreach: Listener
) -> None:
    """The first is told to; the other is killed and leaves no orphan."""
    first, second = start(), start()
    for worker in (first, second):
        eventually(worker.cluster, what="a complete cluster")
    eventually(lambda: Slot.objects.exclude(token=None).count() == 4, what="four pumps")
    first.process.terminate()
    assert first.process.wait(30) == 0
    assert Slot.objects.count() == 2
    event = tell(bloomreach)
    eventually(lambda: is_told(event), what="the other worker tells it")
    assert second.process.poll() is None

    second.process.kill()
    second.process.wait()
    eventually(lambda: not second.family(), within=4, what="no process outlives the worker")


# ---- parts of it, in this process


def test_watch_restarts_only_when_work_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience counts from the last beat, is doubled by each restart in vain, and is full again after a beat."""
    now = 1000.0
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now)
    one = Supervisor(MANAGE)
    slots.register(one.name, slots=1)
    kills: list[float] = []
    monkeypatch.setattr(one, "kill_cluster", lambda: kills.append(now))

    now += 100
    one.watch()  # nothing is due
    factories.make_event()
    now += 7.9
    one.watch()
    assert kills == []
    now += 0.2
    one.watch()
    assert kills == [now]
    one.spawned_at = now
    now += 15.9
    one.watch()
    assert len(kills) == 1
    now += 0.2
    one.watch()
    assert len(kills) == 2

    with database.cursor() as cursor:
        cursor.execute("UPDATE messaging_slot SET token = gen_random_uuid(), beat_at = clock_timestamp()")
    one.watch()
    assert one.patience == 8


@pytest.mark.parametrize(
    ("looks", "killed"),
    [
        pytest.param([1.0] * 12, True, id="it watched all the time"),
        pytest.param([1.0] * 3 + [9.0] + [1.0] * 7, False, id="it stood still itself"),
        pytest.param([1.0] * 3 + [9.0] + [1.0] * 9, True, id="and they are silent ever since"),
    ],
)
def test_pumps_get_their_time_again_after_a_stall(
    monkeypatch: pytest.MonkeyPatch, looks: list[float], killed: bool
) -> None:
    """Patience is eight seconds here."""
    now = 1000.0
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now)
    one = Supervisor(MANAGE)
    slots.register(one.name, slots=1)
    factories.make_event()
    kills: list[float] = []
    monkeypatch.setattr(one, "kill_cluster", lambda: kills.append(now))
    for seconds in looks:
        now += seconds
        one.tick()
    assert bool(kills) is killed


def test_a_stall_in_the_middle_of_a_look_kills_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now)
    one = Supervisor(MANAGE)
    slots.register(one.name, slots=1)
    factories.make_event()
    monkeypatch.setattr(one, "kill_cluster", lambda: pytest.fail("killed"))
    one.tick()
    busy = slots.busy

    def slow(worker: str) -> int:
        nonlocal now
        now += 20
        return busy(worker)

    now += 1
    monkeypatch.setattr(slots, "busy", slow)
    one.tick()
    monkeypatch.setattr(slots, "busy", busy)
    now += 1
    one.tick()


def test_a_worker_that_was_stopped_kills_no_living_pump(
    start: Callable[[], Worker], bloomreach: Listener
) -> None:
    """All of it stands still for longer than the supervisor's patience, and goes on: nothing is restarted."""
    worker = start()
    cluster = running(worker, bloomreach)
    everybody = [worker.process.pid, *cluster.values()]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    event = tell(bloomreach)
    time.sleep(10)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: is_told(event), what="it goes on")
    assert b"pumps are silent" not in worker.log.read_bytes()
    assert worker.process.poll() is None
    assert set(worker.cluster().values()) >= {cluster["main"], cluster["sentinel"]}


def test_leaving_asks_until_the_database_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage is no proof that nothing is in flight."""
    one = Supervisor(MANAGE)
    slots.register(one.name, slots=1)
    asked: list[str] = []
    real = slots.busy

    def busy(worker: str) -> int:
        asked.append(worker)
        if len(asked) <= 3:
            raise OperationalError("the server is starting up")
        return real(worker)

    monkeypatch.setattr(slots, "busy", busy)
    started = time.monotonic()
    one.leave()
    assert len(asked) == 4
    assert time.monotonic() - started < 2
    assert not Slot.objects.exists()


def test_the_stop_pipe_is_held_by_the_worker_alone() -> None:
    """A child that inherited its writing end would keep a dead worker's pumps claiming."""
    one = Supervisor(MANAGE)
    reading, one.stop_pipe = os.pipe()
    code = "import os, sys; os.read(int(sys.argv[1]), 1); print('end of file')"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(reading)], pass_fds=[reading], stdout=subprocess.PIPE
    )
    os.close(reading)
    one.close_stop_pipe()
    output, _ = child.communicate(timeout=20)
    assert output == b"end of file\n"
    assert broker.stopped() is False
    one.close_stop_pipe()  # twice is harmless
