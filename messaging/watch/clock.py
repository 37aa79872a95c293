"""This machine's clock against the database's: signatures carry the one, due times the other."""

from __future__ import annotations

import logging
import threading
import time

from django.db import DatabaseError
from django.db import connection as database

from messaging.models.sql import column

log = logging.getLogger(__name__)

TOLERANCE = 30.0  # seconds; Bloomreach refuses a signature that is 15 minutes off
COMPARE_EVERY = 3600.0  # seconds
AGAIN = 60.0  # seconds, after a comparison that the database did not answer

NOW = "SELECT extract(epoch FROM clock_timestamp())::float8 AS at"


def ahead() -> float:
    """Seconds that this machine is ahead of the database. Raises django.db errors."""
    asked_at = time.time()
    (at,) = column(NOW, of=float)
    return round((asked_at + time.time()) / 2 - at, 1)


def compare() -> float:
    """The same, and a line in the log when it is too much."""
    seconds = ahead()
    if abs(seconds) > TOLERANCE:
        log.warning("clock differs from the database's", extra={"seconds": seconds})
    return seconds


def start() -> None:
    """Compares now and every hour, in a thread of its own. Called by the web server's entry point."""
    threading.Thread(target=_run, name="clock", daemon=True).start()


def _run() -> None:
    pause = threading.Event()
    while not pause.wait(_compare_once()):
        pass


def _compare_once() -> float:
    """Seconds until the next time."""
    try:
        compare()
    except DatabaseError as error:
        log.debug("clock not compared", extra={"error": type(error).__name__})
        return AGAIN
    finally:
        database.close()
    return COMPARE_EVERY
