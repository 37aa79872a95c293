"""`/healthz`: this process answers. `/readyz`: messages can be taken and are being worked on."""

import functools
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse

from messaging.watch import clock

BEAT_SECONDS = 15
KINDS = ("dispatch", "callbacks", "inbox")  # in the order of AGES
REFUSING = {
    "vendor": "vendor queues",
    "callback": "callback addresses",
    "inbound": "inbound addresses",
}  # likewise

# Ages in seconds by the database's clock, and how many destinations have a circuit that has not closed again. One index
# probe per queue or address, and no work is counted: no backlog is too big.
# Work held on purpose (paused queues) or for a destination's fault (open circuits) does not make us unready.
AGES = """
SELECT extract(epoch FROM clock_timestamp()),
 (SELECT clock_off FROM messaging_slot ORDER BY abs(clock_off) DESC LIMIT 1),
 (SELECT extract(epoch FROM clock_timestamp() - max(beat_at)) FROM messaging_slot),
 (SELECT extract(epoch FROM clock_timestamp() - min(d.due_at)) FROM messaging_queue l CROSS JOIN LATERAL
   (SELECT due_at FROM messaging_message WHERE queue_id = l.id AND state IN (0, 2) ORDER BY due_at LIMIT 1) d
   WHERE l.kind = 0 AND l.paused_at IS NULL AND l.open_until <= clock_timestamp()),
 (SELECT extract(epoch FROM clock_timestamp() - min(d.due_at)) FROM messaging_destination a
   JOIN messaging_queue l ON l.id = a.queue_id CROSS JOIN LATERAL
   (SELECT due_at FROM messaging_event WHERE destination_id = a.id AND state = 0 ORDER BY due_at LIMIT 1) d
   WHERE l.paused_at IS NULL AND a.open_until <= clock_timestamp()),
 (SELECT extract(epoch FROM clock_timestamp() - min(due_at)) FROM messaging_inbox WHERE parked_at IS NULL),
 (SELECT count(*) FROM messaging_queue WHERE kind = 0 AND open_for > 0),
 (SELECT count(*) FROM messaging_destination WHERE kind = 0 AND open_for > 0),
 (SELECT count(*) FROM messaging_destination WHERE kind = 1 AND open_for > 0)
"""


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
        with connection.cursor() as cursor:
            asked_at = time.time()
            cursor.execute(AGES)
            now, worker_off, *row = cursor.fetchone()
            web_off = (asked_at + time.time()) / 2 - float(now)
    except NotMigratedError:
        return Readiness(False, True, problems=("migrations are not applied: run manage.py migrate",))
    except Error as error:
        return Readiness(False, False, problems=(f"the database is unavailable ({type(error).__name__})",))
    beat, *dues = (None if age is None else round(float(age), 1) for age in row[: len(KINDS) + 1])
    refusing = dict(zip(REFUSING, row[len(KINDS) + 1 :], strict=True))
    oldest = {
        kind: age if age is not None and age > 0 else None for kind, age in zip(KINDS, dues, strict=True)
    }
    clock_off = {"web": round(web_off, 1), "worker": round(worker_off or 0.0, 1)}
    problems = (*_problems(beat, oldest), *_wrong_clocks(clock_off))
    told = tuple(
        f"{count} {REFUSING[kind]} do not take anything" for kind, count in refusing.items() if count
    )
    return Readiness(not problems, True, True, beat, oldest, refusing, (*problems, *told), clock_off)


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
    # Once applied they stay applied for this process's code. A failure is not remembered: the next call looks again.
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise NotMigratedError
