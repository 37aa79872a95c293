"""Records the shapes of first requests, so that the first day shows what Bloomreach really writes (contract 8).

A request only looks into this process's memory; a shape that is new here is written by a thread of its own. Nothing
that goes wrong with it reaches the request.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError
from django.db import connection as database
from psycopg.types.json import Jsonb

from messaging.contract import wire_shape
from messaging.models import RecordedRequest
from messaging.models.sql import change

FIRST = 20  # shapes of a tenant
MORE = 30  # further ones of a tenant, with unknown keys or refused
STRANGERS = 50  # shapes of requests whose tenant is not known, of all together
WAITING_MAX = 200  # shapes on their way to the database; further ones are dropped
SEEN_MAX = 10_000
HEADERS_READ = 60  # header names of a request
HEADER_END = 5 + 64  # characters of one, "HTTP_" included
SEEN_SECONDS = (
    600.0  # then a shape is offered to the database again: a person may have forgotten the old ones
)

log = logging.getLogger(__name__)

# Keeps a shape that is new, while the tenant has room for it.
STORE = """
INSERT INTO messaging_recordedrequest (tenant_id, action, code, digest, keys, headers, first_at)
SELECT %(tenant)s, %(action)s, %(code)s, %(digest)s, %(keys)s, %(headers)s, clock_timestamp()
WHERE (SELECT count(*) FROM messaging_recordedrequest
       WHERE tenant_id IS NOT DISTINCT FROM %(tenant)s::bigint) < %(most)s
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """One request: whose, which, how it was answered, and its keys."""

    tenant_id: int | None
    action: str
    code: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    is_telling: bool = False  # has keys that we do not know, or was refused

    @property
    def mark(self) -> tuple[object, ...]:
        """What makes it the same as another."""
        return (self.tenant_id, self.action, self.code, tuple(self.keys.items()), self.headers)


_seen: dict[int, float] = {}  # by the hash of the mark
_waiting: queue.Queue[Shape] = queue.Queue(WAITING_MAX)
_lock = threading.Lock()
_started = False


def note(one: Shape) -> None:
    """Remembers a shape that this process has not seen for ten minutes, to be written. Costs no statement."""
    now, mark = time.monotonic(), hash(one.mark)
    if _seen.get(mark, 0.0) > now:
        return
    try:
        _waiting.put_nowait(one)
    except queue.Full:
        return
    if len(_seen) >= SEEN_MAX:
        _seen.clear()
    _seen[mark] = now + SEEN_SECONDS


def flush() -> int:
    """Writes what waits; says how many were new. For the thread, and for tests."""
    new = 0
    while True:
        try:
            one = _waiting.get_nowait()
        except queue.Empty:
            return new
        new += _store(one)


def forget_seen() -> None:
    """Empties this process's memory, for tests."""
    _seen.clear()
    while not _waiting.empty():
        _waiting.get_nowait()


def start() -> None:
    """Starts the writing thread of this process, once. Called by the web server's entry point."""
    global _started
    with _lock:
        if _started:
            return
        _started = True
    threading.Thread(target=_run, name="wire-recorder", daemon=True).start()


def of_tenant(tenant_id: int) -> list[RecordedRequest]:
    """The shapes that are kept, in the order in which they came."""
    return list(RecordedRequest.objects.filter(tenant_id=tenant_id).order_by("id"))


def forget(tenant_id: int) -> int:
    """Deletes them, so that the next ones are first again; says how many."""
    return RecordedRequest.objects.filter(tenant_id=tenant_id).delete()[0]


def shape_of(body: Any, media_type: str) -> dict[str, str]:
    """The keys of a body that was read; of one that was not, its media type."""
    return wire_shape.shape(body) if isinstance(body, Mapping) else wire_shape.no_object(media_type)


def header_names(meta: Iterable[str]) -> tuple[str, ...]:
    """The names of the setting fields in a WSGI environment."""
    names = [name[5:HEADER_END] for name in meta if name.startswith("HTTP_")]
    return wire_shape.headers(tuple(names[:HEADERS_READ]))


def _store(one: Shape) -> int:
    most = STRANGERS if one.tenant_id is None else FIRST + MORE if one.is_telling else FIRST
    return change(
        STORE,
        {
            "tenant": one.tenant_id,
            "action": one.action,
            "code": one.code,
            "digest": hashlib.sha256(json.dumps(one.mark[1:]).encode()).digest(),
            "keys": Jsonb(dict(one.keys)),
            "headers": Jsonb(list(one.headers)),
            "most": most,
        },
    )


def _run() -> None:
    while True:
        one = _waiting.get()
        try:
            _store(one)
        except DatabaseError as error:  # the database is away, or the tenant was deleted meanwhile
            _seen.pop(hash(one.mark), None)
            log.warning("shape of a request not written: %s", type(error).__name__)
        finally:
            database.close()
