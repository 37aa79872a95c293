"""A pump: serves all queues for a while, as a rolling window (architecture "Claim, call, record").

Threads hold the calls and touch no database; the pump's own thread claims and records. What is in doubt after a kill
is the calls that were really in flight.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db import connection as database

from messaging.callbacks import posting
from messaging.models import ProviderAccount
from messaging.models.statement import fetch
from messaging.queues import destinations
from messaging.replay import orders
from messaging.reports import inbox, matching
from messaging.sending import claims, dispatch, polling, resolve
from outbound import http
from vendors import registry

log = logging.getLogger(__name__)

T = TypeVar("T")

IDLE = 0.05  # seconds between two looks when there is nothing to do
BUSY = 0.01  # seconds in which finished calls gather, so that they are recorded together
SINGLE_CLAIMS = 64  # claims, after something went wrong that should not
OUTAGE = 0.5  # seconds between two tries while the database is away

# What could be done now, in one round trip. An open circuit or a pause leaves a queue out. min() reads one row of the
# index whatever the statistics say; EXISTS would scan the table for an idle queue when they are stale.
PEEK = """
SELECT
  EXISTS (SELECT 1 FROM messaging_queue l WHERE l.kind = 0 AND l.paused_at IS NULL AND l.open_until <= clock_timestamp()
          AND (SELECT min(m.due_at) FROM messaging_message m
               WHERE m.queue_id = l.id AND m.state IN (0, 2)) <= clock_timestamp()) AS messages,
  (SELECT d.nameless OR d.gone <> '{}' OR d.queues <> '{}' FROM (/* due */) d) AS events,
  EXISTS (SELECT 1 FROM messaging_inbox i WHERE i.parked_at IS NULL AND i.due_at <= clock_timestamp()) AS inbox,
  EXISTS (SELECT 1 FROM messaging_deliveryreport r
          WHERE r.effect = 'unmatched' AND r.due_at <= clock_timestamp()) AS reports,
  EXISTS (SELECT 1 FROM messaging_message m WHERE m.state = 3 AND m.due_at <= clock_timestamp()) AS unknowns,
  EXISTS (SELECT 1 FROM messaging_attempt a WHERE a.poll_at <= clock_timestamp()) AS polls,
  EXISTS (SELECT 1 FROM messaging_replay p WHERE p.state = 'running' AND p.due_at <= clock_timestamp()) AS replays
""".replace("/* due */", destinations.DUE)


def peek() -> Any:
    """Which kinds of work are due: messages, events, inbox, reports, unknowns, polls, replays."""
    return fetch(PEEK)[0]


@functools.cache
def warm_up() -> None:
    """Loads what this process's first calls need, so that no claim waits for it: vendors' modules, authorities."""
    known = set(registry.ADAPTERS)
    for vendor in known.intersection(
        ProviderAccount.objects.filter(is_active=True).values_list("vendor", flat=True)
    ):
        registry.adapter(vendor)
    http.warm_up()


class Threads:
    """Calls in flight: at most `size` at once, each in a thread."""

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self.pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix=name)
        self.flying: set[Future[Any]] = set()

    @property
    def free(self) -> int:
        return self.size - len(self.flying)

    def start(self, function: Callable[..., Any], items: Iterable[Any]) -> None:
        """Dials each item in a thread of its own."""
        for item in items:
            self.flying.add(self.pool.submit(function, item, deadline=settings.CALL_DEADLINE))

    def finished(self) -> list[Any]:
        """Results of the calls that are over. A call that raised has none: its rows wait for the end of their lease."""
        done = {future for future in self.flying if future.done()}
        self.flying -= done
        for future in done:
            if error := future.exception():
                log.error("call ended in a bug", exc_info=error)
        return [future.result() for future in done if future.exception() is None]


class Pump:
    """The state of one pump between its first claim and its last record."""

    def __init__(self) -> None:
        self.fresh = False  # no call of this process has been recorded: each claim takes one message only
        self.recorded = False  # a call, by this pump
        self.calls = Threads(settings.DISPATCH_THREADS, "call")
        self.posts = Threads(settings.CALLBACK_THREADS, "post")
        self.unrecorded: list[Any] = []  # answers that the database has not heard yet: never thrown away
        self.single_claims = 0  # claims that take one message only
        self.claiming: tuple[str, Sequence[UUID]] | None = None  # a claim whose outcome is not known

    def run(
        self, *, until: float, stopped: Callable[[], bool], beat: Callable[[], bool], fresh: bool = False
    ) -> bool:
        """Works until `until` (monotonic seconds), a stop, or the loss of its slot; then lands what is in flight.

        `fresh`: claim one message at a time until one call is recorded. Returns whether one was.
        """
        self.fresh = fresh
        while time.monotonic() < until and not stopped():
            try:
                if not beat():
                    break
                if not self.turn():
                    self.rest()
            except (OperationalError, InterfaceError) as error:
                self.outlast(error)
            except (
                Exception
            ):  # a bug must not throw away what is in flight; its message is claimed alone next
                log.exception("pump stumbled")
                self.single_claims = SINGLE_CLAIMS
                time.sleep(OUTAGE)
        self.finish(beat)
        return self.recorded

    def turn(self) -> bool:
        """One look at everything that is due. True when there was something to do."""
        self.give_back()
        recorded = self.record()
        due = peek()
        if due.messages and self.calls.free:
            self.send()
        if due.unknowns and self.calls.free:
            self.resolve()
        if due.polls and self.calls.free:
            self.poll()
        if due.events and self.posts.free:
            self.post()
        read = inbox.read() if due.inbox else 0
        applied = matching.apply() if due.reports or read else 0
        advanced = orders.advance() if due.replays else 0
        return bool(recorded or read or applied or advanced)

    def send(self) -> None:
        """Claims as many messages as there are idle threads, and dials them."""
        lease = uuid4()
        self.claiming = ("messages", [lease])
        claimed = claims.claim(free=1 if self.single_claims or self.fresh else self.calls.free, lease=lease)
        calls = dispatch.prepare(claimed) if claimed else []
        self.claiming = None
        self.single_claims = max(0, self.single_claims - 1)
        self.calls.start(dispatch.dial, calls)

    def resolve(self) -> None:
        """Asks about unknown outcomes; what cannot be asked follows the policy."""
        unknowns = resolve.claim(free=self.calls.free)
        resolve.follow_policy([unknown for unknown in unknowns if unknown.request is None])
        self.calls.start(resolve.dial, [unknown for unknown in unknowns if unknown.request is not None])

    def poll(self) -> None:
        """Asks vendors for the reports that did not come."""
        questions = polling.claim(free=self.calls.free)
        polling.give_up([question for question in questions if question.request is None])
        self.calls.start(polling.dial, [question for question in questions if question.request is not None])

    def post(self) -> None:
        """Claims one POST per queue that has events due and room."""
        leases = [uuid4() for _ in range(self.posts.free)]
        self.claiming = ("events", leases)
        posts = posting.claim(leases=leases)
        self.claiming = None
        self.posts.start(posting.dial, posts)

    def record(self) -> int:
        """Writes what has finished. On a database error it is kept and tried again."""
        self.unrecorded += [*self.calls.finished(), *self.posts.finished()]
        if not self.unrecorded:
            return 0
        count = len(self.unrecorded)
        self._record(dispatch.Dialled, dispatch.record)
        self._record(resolve.LookedUp, resolve.record)
        self._record(polling.Polled, polling.record)
        self._record(posting.Posted, posting.record)
        return count

    def _record(self, kind: type[T], write: Callable[[Sequence[T]], object]) -> None:
        items = [item for item in self.unrecorded if isinstance(item, kind)]
        if not items:
            return
        try:
            self._write(items, write)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # one answer that the database refuses must not take the others along
            log.exception("answers could not be recorded together")
            for item in items:
                self._write_alone(item, write)

    def _write(self, items: Sequence[T], write: Callable[[Sequence[T]], object]) -> None:
        write(items)
        if any(isinstance(item, dispatch.Dialled) for item in items):
            self.recorded, self.fresh = True, False
        written = {id(item) for item in items}
        self.unrecorded = [item for item in self.unrecorded if id(item) not in written]

    def _write_alone(self, item: T, write: Callable[[Sequence[T]], object]) -> None:
        """An answer that cannot be recorded at all is dropped: its rows wait for the end of their lease."""
        try:
            self._write([item], write)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("an answer could not be recorded")
            self.unrecorded = [other for other in self.unrecorded if other is not item]

    def give_back(self) -> None:
        """A claim whose answer never came may have been committed: its rows are undialled, and go back."""
        if self.claiming is None:
            return
        what, leases = self.claiming
        if what == "messages":
            claims.hand_back_lease(leases[0])
        else:
            posting.release(leases)
        self.claiming = None

    def rest(self) -> None:
        """Until a call ends, but not for long."""
        flying = self.calls.flying | self.posts.flying
        if not flying:
            time.sleep(IDLE)
        elif wait(flying, timeout=IDLE, return_when=FIRST_COMPLETED).done:
            time.sleep(BUSY)

    def outlast(self, error: Exception) -> None:
        """The database is away: what is in flight flies on, and nothing is forgotten."""
        log.warning("database away", extra={"error": type(error).__name__})
        database.close()
        time.sleep(OUTAGE)

    def finish(self, beat: Callable[[], bool]) -> None:
        """No new claims: waits for the calls in flight and records them, past an outage of the database too."""
        end = time.monotonic() + settings.CALL_DEADLINE + 10
        while time.monotonic() < end:
            try:
                beat()
                self.give_back()
                self.record()
                if not (self.calls.flying or self.posts.flying):
                    break
                wait(self.calls.flying | self.posts.flying, timeout=0.2, return_when=FIRST_COMPLETED)
            except (OperationalError, InterfaceError) as error:
                self.outlast(error)
            except Exception:  # as in `run`
                log.exception("pump stumbled")
                time.sleep(OUTAGE)
        for window in (self.calls, self.posts):
            window.pool.shutdown(wait=False, cancel_futures=True)
