"""When each token was last used: noted in memory by requests, written by a thread of its own once a minute.

So the path of a request pays no statement for it. A process that ends loses at most its last minute's notes.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from django.db import DatabaseError, connection
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import ApiToken

EVERY = 60.0  # seconds

log = logging.getLogger(__name__)

_noted: set[int] = set()
_lock = threading.Lock()
_started = False


def note(token_id: int) -> None:
    """Remembers that the token was used just now."""
    if token_id not in _noted:
        with _lock:
            _noted.add(token_id)


def flush() -> int:
    """Writes what was noted, at most once a minute per token over all processes; says how many."""
    with _lock:
        token_ids = list(_noted)
        _noted.clear()
    if not token_ids:
        return 0
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - timedelta(seconds=EVERY - 1))
    return ApiToken.objects.filter(stale, pk__in=token_ids).update(last_used_at=Now())


def start() -> None:
    """Starts the writing thread of this process, once. Called by the web server's entry point."""
    global _started
    with _lock:
        if _started:
            return
        _started = True
    threading.Thread(target=_run, name="last-used", daemon=True).start()


def _run() -> None:
    pause = threading.Event()
    while not pause.wait(EVERY):
        try:
            flush()
        except DatabaseError as error:
            log.warning("last use of tokens not written: %s", type(error).__name__)
        finally:
            connection.close()
