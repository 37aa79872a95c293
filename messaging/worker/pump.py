"""A pump: serves all queues for a while, as a rolling window (architecture "Claim, call, record").

Threads hold the calls and touch no database; the pump's own thread claims and records. After a kill, only
the outcomes of calls that were really in flight are unknown.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import astuple, dataclass
from typing import Any, Final

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db import connection as database

from messaging.callbacks.work import Callbacks
from messaging.dialling.work import Work
from messaging.models import ProviderAccount
from messaging.models.sql import fetch, sql
from messaging.queues import destinations
from messaging.replay import orders
from messaging.reports import inbox, matching
from messaging.sending.dispatch import Sending
from messaging.sending.polling import Polling
from messaging.sending.resolve import Resolving
from outbound import http
from vendors import registry

log = logging.getLogger(__name__)

KINDS: Final[tuple[Callable[[], Work[Any, Any]], ...]] = (Sending, Resolving, Polling, Callbacks)

IDLE = 0.05  # seconds between two looks when there is nothing to do
BUSY = 0.01  # seconds in which finished calls gather, so that they are recorded together
SINGLE_CLAIMS = 64  # claims, after something went wrong that should not
OUTAGE = 0.5  # seconds between two tries while the database is away, or after a bug
AWAY = (OperationalError, InterfaceError)  # the database is, and will be back

# What could be done now, in one round trip. An open circuit or a pause leaves a queue out. min() reads one row of the
# index whatever the statistics say; EXISTS would scan the table for an idle queue when they are stale.
PEEK = sql(
    """
SELECT
  EXISTS (SELECT 1 FROM messaging_queue queue WHERE queue.kind = {QueueKind.DISPATCH} AND {queue_runs}
          AND (SELECT min(message.due_at) FROM messaging_message message
               WHERE message.queue_id = queue.id AND message.state IN {MessageState.ACCEPTED, RETRYING})
              <= clock_timestamp()) AS messages,
  (SELECT waiting.nameless OR waiting.gone <> '{}' OR waiting.queues <> '{}'
   FROM ({events_waiting}) waiting) AS events,
  EXISTS (SELECT 1 FROM messaging_inbox inbox
          WHERE inbox.parked_at IS NULL AND inbox.due_at <= clock_timestamp()) AS inbox,
  EXISTS (SELECT 1 FROM messaging_deliveryreport report
          WHERE report.effect = {Effect.UNMATCHED} AND report.due_at <= clock_timestamp()) AS reports,
  EXISTS (SELECT 1 FROM messaging_message message
          WHERE message.state = {MessageState.UNKNOWN_OUTCOME} AND message.due_at <= clock_timestamp()) AS unknowns,
  EXISTS (SELECT 1 FROM messaging_attempt attempt WHERE attempt.poll_at <= clock_timestamp()) AS polls,
  EXISTS (SELECT 1 FROM messaging_replay replay
          WHERE replay.state = 'running' AND replay.due_at <= clock_timestamp()) AS replays
""",
    events_waiting=destinations.DUE,
)


@dataclass(frozen=True, slots=True)
class Due:
    """Which kinds of work are due."""

    messages: bool
    events: bool
    inbox: bool
    reports: bool
    unknowns: bool
    polls: bool
    replays: bool

    @property
    def anything(self) -> bool:
        """Whether there is something to do at all."""
        return any(astuple(self))


def peek() -> Due:
    """One look at the database."""
    (due,) = fetch(PEEK, row=Due)
    return due


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
    """Calls in flight: at most `size` at once, each in a thread. Several kinds of work may share them."""

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self.pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix=name)
        self.flying: dict[Future[Any], WorkInPump] = {}

    @property
    def free(self) -> int:
        return self.size - len(self.flying)

    def start(self, kind: WorkInPump, items: Iterable[Any]) -> None:
        """Dials each item in a thread of its own."""
        for item in items:
            future = self.pool.submit(kind.work.dial, item, deadline=settings.CALL_DEADLINE)
            self.flying[future] = kind

    def collect(self) -> None:
        """Hands the results of the calls that are over to their kinds of work.

        A call that raised has none: its rows wait for the end of their lease.
        """
        for future in [future for future in self.flying if future.done()]:
            kind = self.flying.pop(future)
            if error := future.exception():
                log.error("call ended in a bug", exc_info=error)
            else:
                kind.unrecorded.append(future.result())


class WorkInPump:
    """One kind of work in one pump."""

    def __init__(self, work: Work[Any, Any], threads: Threads) -> None:
        self.work = work
        self.threads = threads
        self.is_claiming = False  # a claim whose outcome is not known
        self.single_claims = 0  # claims that take one item only
        self.rests_until = 0.0  # monotonic
        self.unrecorded: list[Any] = []  # answers that the database has not heard yet: never thrown away
        self.has_recorded = False  # at least one

    def claim(self, *, singly: bool) -> None:
        """Claims as many items as there are idle threads, or one, and dials them."""
        self.is_claiming = True
        items = self.work.claim(1 if singly or self.single_claims else self.threads.free)
        self.is_claiming = False
        self.single_claims = max(0, self.single_claims - 1)
        self.threads.start(self, items)

    def give_back(self) -> None:
        """A claim whose answer never came may have been committed: its rows are undialled, and go back."""
        if self.is_claiming:
            self.work.give_back()
            self.is_claiming = False

    def record(self) -> None:
        """Writes what has finished. Raises when the database is away: then it is kept."""
        items = list(self.unrecorded)
        if not items:
            return
        try:
            self._write(items)
        except AWAY:
            raise
        except Exception:  # one answer that the database refuses must not take the others along
            log.exception("answers could not be recorded together")
            for item in items:
                self._write_alone(item)

    def _write(self, items: Sequence[Any]) -> None:
        self.work.record(items)
        self.has_recorded = True
        written = {id(item) for item in items}
        self.unrecorded = [item for item in self.unrecorded if id(item) not in written]

    def _write_alone(self, item: Any) -> None:
        """An answer that cannot be recorded at all is dropped: its rows wait for the end of their lease."""
        try:
            self._write([item])
        except AWAY:
            raise
        except Exception:
            log.exception("an answer could not be recorded")
            self.unrecorded = [other for other in self.unrecorded if other is not item]


class Pump:
    """The state of one pump between its first claim and its last record."""

    def __init__(self, works: Iterable[Work[Any, Any]] | None = None) -> None:
        self.fresh = False  # no call of this process had been recorded when it began to run
        self.pools = {
            "vendors": Threads(settings.DISPATCH_THREADS, "call"),
            "callbacks": Threads(settings.CALLBACK_THREADS, "post"),
        }
        found = [kind() for kind in KINDS] if works is None else works
        self.kinds = tuple(WorkInPump(work, self.pools[work.pool]) for work in found)

    @property
    def recorded(self) -> bool:
        """Whether this pump has recorded a call of the kind that a new process makes one at a time."""
        return any(kind.has_recorded for kind in self.kinds if kind.work.singly)

    @property
    def in_flight(self) -> list[Future[Any]]:
        """Calls whose results were not collected yet."""
        return [future for threads in self.pools.values() for future in threads.flying]

    def run(
        self, *, until: float, stopped: Callable[[], bool], beat: Callable[[], bool], fresh: bool = False
    ) -> bool:
        """Works until `until` (monotonic seconds), a stop, or the loss of its slot; then finishes what is in flight.

        `fresh`: claim one message at a time until one call is recorded. Returns whether this pump recorded one.
        """
        self.fresh = fresh
        while time.monotonic() < until and not stopped():
            try:
                if not beat():
                    break
                if not self.turn():
                    self.rest()
            except AWAY as error:
                self.outlast(error)
            except Exception:  # what is in flight is kept, and what caused this is claimed alone next
                log.exception("bug in a pump")
                for kind in self.kinds:
                    kind.single_claims = SINGLE_CLAIMS
                time.sleep(OUTAGE)
        self.finish(beat)
        return self.recorded

    def turn(self) -> bool:
        """One look at everything that is due. True when there was something to do."""
        self.give_back()
        recorded = self.record()
        due = peek()
        for kind in self.kinds:
            if getattr(due, kind.work.due):
                self.claim(kind)
        read = inbox.read() if due.inbox else 0
        applied = matching.apply() if due.reports or read else 0
        advanced = orders.advance() if due.replays else 0
        return bool(recorded or read or applied or advanced)

    def claim(self, kind: WorkInPump) -> None:
        """Claims and dials. A bug in one kind of work keeps none of the others from being served."""
        if not kind.threads.free or kind.is_claiming or time.monotonic() < kind.rests_until:
            return
        try:
            kind.claim(singly=self.fresh and kind.work.singly and not self.recorded)
        except AWAY:
            raise
        except Exception:
            log.exception("bug in a pump")
            kind.single_claims = SINGLE_CLAIMS
            kind.rests_until = time.monotonic() + OUTAGE

    def record(self) -> int:
        """Writes what has finished. On a database error it is kept and tried again."""
        for threads in self.pools.values():
            threads.collect()
        count = sum(len(kind.unrecorded) for kind in self.kinds)
        for kind in self.kinds:
            kind.record()
        return count

    def give_back(self) -> None:
        """Gives back the rows of claims that did not end well."""
        for kind in self.kinds:
            try:
                kind.give_back()
            except AWAY:
                raise
            except Exception:  # it claims nothing until this is done
                log.exception("bug in a pump")

    def rest(self) -> None:
        """Until a call ends, but not for long."""
        flying = self.in_flight
        if not flying:
            time.sleep(IDLE)
        elif wait(flying, timeout=IDLE, return_when=FIRST_COMPLETED).done:
            time.sleep(BUSY)

    def outlast(self, error: Exception) -> None:
        """The database is away: calls in flight go on, and nothing is forgotten."""
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
                if not self.in_flight:
                    break
                wait(self.in_flight, timeout=0.2, return_when=FIRST_COMPLETED)
            except AWAY as error:
                self.outlast(error)
            except Exception:  # as in `run`
                log.exception("bug in a pump")
                time.sleep(OUTAGE)
        for threads in self.pools.values():
            threads.pool.shutdown(wait=False, cancel_futures=True)
