"""psycopg for Django, with connections that notice when nobody answers any more.

A server that dies without a word (a failover without RST, a firewall that forgot the connection) leaves a client that
waits for ever: `statement_timeout` is the server's, and TCP's own timers see nothing behind a proxy.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg import *  # noqa: F403  (Django reads types and errors from the module that connects)
from psycopg.conninfo import make_conninfo

log = logging.getLogger(__name__)

RV = TypeVar("RV")

SILENCE = 5.0  # seconds without a byte in a statement, after which the server is asked about it
AGAIN = 1.0  # seconds after which it is asked a second time: an answer may have been on its way
ASKING = 2.0  # seconds that a new connection gets, and as much its answer
POOLED = 30.0  # seconds without a byte that are too many where a pooler hides which session is ours

# What the server does for a session of ours. Waiting for its client is no work: the client hears nothing. A session
# that nobody can reach any more is ended, with its locks.
ASK = """
SELECT pg_backend_pid() <> %(me)s AS pooled,
       EXISTS (SELECT 1 FROM pg_stat_activity session WHERE session.pid = %(pid)s AND session.usename = current_user
               AND session.state = 'active' AND session.wait_event_type IS DISTINCT FROM 'Client') AS at_work
"""
END = """
SELECT pg_terminate_backend(session.pid) FROM pg_stat_activity session
WHERE session.pid = %(pid)s AND session.usename = current_user AND session.application_name = %(name)s
  AND (session.state <> 'active' OR session.wait_event_type = 'Client')
"""


class WatchedConnection(psycopg.Connection[Any]):
    """After some seconds of silence in a statement it asks the server, over a new connection, whether it is at work.

    A slow statement may take its time. Otherwise the connection is closed, and the statement raises OperationalError.
    """

    def wait(self, gen: Generator[Any, Any, RV], *args: Any, **limits: Any) -> RV:
        """psycopg's own wait, which wakes ten times a second. One with a limit of its own is left alone."""
        return super().wait(gen if limits else self._heard(gen), *args, **limits)

    def _silence(self) -> _Silence:
        return _Silence(self)

    def _heard(self, gen: Generator[Any, Any, RV]) -> Generator[Any, Any, RV]:
        """Passes everything on, and looks at the clock only while nothing comes."""
        silence = None
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    silence = None
                else:
                    silence = silence or self._silence()
                    silence.goes_on()
                wanted = gen.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result


class _Silence:
    """A statement that got no answer yet, and what the server says about it."""

    def __init__(self, connection: WatchedConnection) -> None:
        self.connection = connection
        self.since = time.monotonic()
        self.asks_at = self.since + SILENCE
        self.unanswered = 0

    def goes_on(self) -> None:
        """Asks the server now and then. Raises OperationalError once it has twice denied to be at work."""
        if time.monotonic() < self.asks_at:
            return
        self.unanswered = 0 if self._is_at_work() else self.unanswered + 1
        if self.unanswered > 1:
            self._give_up()
        self.asks_at = time.monotonic() + (AGAIN if self.unanswered else SILENCE)

    def _is_at_work(self) -> bool:
        try:
            with _asker(self.connection) as other:
                (answer,) = other.execute(ASK, self._names(other)).fetchall()
        except psycopg.OperationalError:  # nobody there
            return False
        pooled, at_work = answer
        return time.monotonic() - self.since < POOLED if pooled else bool(at_work)

    def _give_up(self) -> None:
        """Closes the connection, and ends its session if the server still keeps one. Raises OperationalError."""
        seconds = time.monotonic() - self.since
        log.warning("database silent", extra={"seconds": round(seconds, 1)})
        try:
            with _asker(self.connection) as other:
                other.execute(END, self._names(other))
        except psycopg.OperationalError as error:
            log.debug("the silent session is left to the server", extra={"error": type(error).__name__})
        self.connection.pgconn.finish()
        raise psycopg.OperationalError(
            f"the database has not answered for {seconds:.0f} s; the connection was closed"
        )

    def _names(self, other: psycopg.Connection[Any]) -> dict[str, Any]:
        name = self.connection.info.get_parameters().get("application_name", "")
        return {"pid": self.connection.pgconn.backend_pid, "me": other.pgconn.backend_pid, "name": name}


class _NoAnswer(_Silence):
    """Asks nobody: an answer that does not come is an answer."""

    def goes_on(self) -> None:
        if time.monotonic() - self.since > ASKING:
            raise psycopg.OperationalError("the database did not answer on a new connection either")


class _Asker(WatchedConnection):
    def _silence(self) -> _Silence:
        return _NoAnswer(self)


def _asker(connection: WatchedConnection) -> WatchedConnection:
    """A new connection to where the other one leads. Raises OperationalError."""
    known: dict[str, Any] = {
        option.keyword.decode(): option.val.decode() for option in connection.pgconn.info if option.val
    }
    target = make_conninfo(**{**known, "connect_timeout": round(ASKING)})
    return _Asker.connect(target, autocommit=True, prepare_threshold=None)


connect = WatchedConnection.connect
