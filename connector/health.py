"""`/healthz`: this process answers. `/readyz`: messages can be taken and are being worked on."""

import functools
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from django.conf import settings
from django.db import Error
from django.db import connection as database
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse

from messaging.models.sql import sql
from messaging.watch import clock

BEAT_SECONDS = 15
REFUSING = {"vendor": "vendor queues", "callback": "callback addresses", "inbound": "inbound addresses"}

# Ages in seconds by the database's clock, and how many destinations have a circuit that has not closed again. One index
# probe per queue or address, and no work is counted: no backlog is too big.
# Work held on purpose (paused queues) or for a destination's fault (open circuits) does not make us unready.
AGES = sql("""
SELECT extract(epoch FROM clock_timestamp())::float8 AS now,
 (SELECT clock_off FROM messaging_slot ORDER BY abs(clock_off) DESC LIMIT 1) AS clock_off,
 (SELECT extract(epoch FROM clock_timestamp() - max(beat_at))::float8 FROM messaging_slot) AS beat,
 (SELECT extract(epoch FROM clock_timestamp() - min(oldest.due_at))::float8
   FROM messaging_queue queue CROSS JOIN LATERAL
   (SELECT due_at FROM messaging_message
    WHERE queue_id = queue.id AND state IN {MessageState.ACCEPTED, RETRYING} ORDER BY due_at LIMIT 1) oldest
   WHERE queue.kind = {QueueKind.DISPATCH} AND {queue_runs}) AS dispatch,
 (SELECT extract(epoch FROM clock_timestamp() - min(oldest.due_at))::float8 FROM messaging_destination destination
   JOIN messaging_queue queue ON queue.id = destination.queue_id CROSS JOIN LATERAL
   (SELECT due_at FROM messaging_event
    WHERE destination_id = destination.id AND state = {EventState.DUE} ORDER BY due_at LIMIT 1) oldest
   WHERE queue.paused_at IS NULL AND destination.open_until <= clock_timestamp()) AS callbacks,
 (SELECT extract(epoch FROM clock_timestamp() - min(due_at))::float8
   FROM messaging_inbox WHERE parked_at IS NULL) AS inbox,
 (SELECT count(*) FROM messaging_queue WHERE kind = {QueueKind.DISPATCH} AND open_for > 0) AS vendor,
 (SELECT count(*) FROM messaging_destination WHERE kind = {DestinationKind.CALLBACK} AND open_for > 0) AS callback,
 (SELECT count(*) FROM messaging_destination WHERE kind = {DestinationKind.INBOUND} AND open_for > 0) AS inbound
""")


@dataclass(frozen=True, slots=True)
class Ages:
    """The row of AGES, in the order of its columns. Seconds; None: never, or nothing is due."""

    now: float
    clock_off: float | None
    beat: float | None
    dispatch: float | None
    callbacks: float | None
    inbox: float | None
    vendor: int
    callback: int
    inbound: int

    @property
    def waits(self) -> dict[str, float | None]:
        """How long the oldest due work of each kind has waited."""
        return {"dispatch": self.dispatch, "callbacks": self.callbacks, "inbox": self.inbox}

    @property
    def refusing(self) -> dict[str, int]:
        """How many destinations of each kind have an open circuit."""
        return {"vendor": self.vendor, "callback": self.callback, "inbound": self.inbound}


class NotMigratedError(Exception):
    """The database lacks migrations that this code knows."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What /readyz says. Ages in seconds; None: never, or nothing is due."""

    ready: bool
    database: bool
    migrated: bool = False
    beat_age: float | None = None
    oldest_due: dict[str, float | None] = field(default_factory=dict)  # by kind
    refusing: dict[str, int] = field(default_factory=dict)  # destinations whose circuit is open, by kind
    problems: tuple[str, ...] = ()  # refusing destinations too, for information: they do not make us unready
    clock_off: dict[str, float] = field(default_factory=dict)  # seconds ahead of the database: web, worker


def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the process serves at all; asks nobody else."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when ready, else 503 with the problems in words."""
    found = readiness()
    headers = {"Cache-Control": "no-store"} | ({} if found.ready else {"Retry-After": "5"})
    body = asdict(found)
    if not any(_wrong_clocks(found.clock_off)):
        del body["clock_off"]
    return JsonResponse(body, status=200 if found.ready else 503, headers=headers)


def readiness() -> Readiness:
    """Look at the database, its migrations, the pumps' beat, and the oldest work that could run but waits."""
    try:
        _require_migrations()
        with database.cursor() as cursor:
            asked_at = time.time()
            cursor.execute(AGES)
            ages = Ages(*cursor.fetchone())
            web_off = (asked_at + time.time()) / 2 - ages.now
    except NotMigratedError:
        return Readiness(False, True, problems=("migrations are not applied: run manage.py migrate",))
    except Error as error:
        return Readiness(False, False, problems=(f"the database is unavailable ({type(error).__name__})",))
    beat = _rounded(ages.beat)
    oldest = {kind: _age(wait) for kind, wait in ages.waits.items()}
    clock_off = {"web": round(web_off, 1), "worker": round(ages.clock_off or 0.0, 1)}
    problems = (*_problems(beat, oldest), *_wrong_clocks(clock_off))
    told = tuple(
        f"{count} {REFUSING[kind]} do not take anything" for kind, count in ages.refusing.items() if count
    )
    return Readiness(not problems, True, True, beat, oldest, ages.refusing, (*problems, *told), clock_off)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _age(wait: float | None) -> float | None:
    """Rounded; None when nothing is due yet."""
    age = _rounded(wait)
    return age if age is not None and age > 0 else None


def _problems(beat: float | None, oldest: dict[str, float | None]) -> tuple[str, ...]:
    found = []
    if beat is None or beat > BEAT_SECONDS:
        found.append("no pump is alive: is manage.py worker running?")
    for kind, age in oldest.items():
        if age is not None and age > settings.READY_MAX_AGE:
            found.append(f"the oldest due work of {kind} waits for {age:.0f} s")
    return tuple(found)


def _wrong_clocks(clock_off: dict[str, float]) -> Iterator[str]:
    for process, seconds in clock_off.items():
        if abs(seconds) > clock.TOLERANCE:
            side = "ahead of" if seconds > 0 else "behind"
            yield f"a {process}'s clock is {abs(seconds):.0f} s {side} the database's: is NTP running?"


@functools.cache
def _require_migrations() -> None:
    # Once applied they stay applied for this process's code. An exception is not cached: bad news is news.
    executor = MigrationExecutor(database)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise NotMigratedError
