"""A database connection that dies without a word: noticed, closed, and its session ended; slow work is left alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import LazySettings
from django.db import OperationalError, connection, transaction

from connector.postgresql import driver
from messaging.models.sql import change
from tests.postgres_proxy import Counted, counting_relay, in_other_process_settings
from tests.stand_ins import fetch
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

SHORT, LATE = 0.4, 8.0  # what the tests wait instead of five seconds, and what a busy machine may add
LOCK = 20061


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    monkeypatch.setattr(driver, "SILENCE", SHORT)
    monkeypatch.setattr(driver, "AGAIN", SHORT / 2)
    with counting_relay() as running:
        yield running


def through(relay: Counted, work: Any, *, age: int = 600, **options: Any) -> Any:
    """Runs `work` with connections that lead through the relay."""
    options = {"sslmode": "disable", "application_name": "connector", **options}
    return in_other_process_settings(
        work, HOST="127.0.0.1", PORT=relay.port, CONN_MAX_AGE=age, OPTIONS=options
    )


def seconds_until_error(statement: str) -> float:
    started = time.monotonic()
    with pytest.raises(OperationalError, match="the connection was closed"):
        fetch(statement)
    return time.monotonic() - started


def test_a_silent_connection_is_closed_and_the_next_one_works(
    relay: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> list[Any]:
        fetch("SELECT 1")
        relay.fall_silent()
        seconds = seconds_until_error("SELECT 2")
        assert SHORT * 1.5 <= seconds < LATE
        assert connection.connection.closed
        connection.close()
        return fetch("SELECT 3 AS n")

    assert through(relay, work)[0].n == 3
    assert [record.message for record in caplog.records] == ["database silent"]


def test_a_slow_statement_takes_its_time(relay: Counted) -> None:
    def work() -> int:
        pid = fetch("SELECT pg_backend_pid() AS pid")[0].pid
        change("SELECT pg_sleep(2.5)")
        return int(fetch("SELECT pg_backend_pid() AS pid")[0].pid) - pid

    assert through(relay, work) == 0


def test_a_statement_that_waits_for_a_lock_takes_its_time(relay: Counted) -> None:
    with transaction.atomic():
        fetch("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})
        with psycopg.connect(dsn(relay), autocommit=True) as other:
            other.execute("SET lock_timeout = '2s'")

            def work() -> str:
                change("SET lock_timeout = '2s'")
                try:
                    fetch("SELECT pg_advisory_lock(%(lock)s)", {"lock": LOCK})
                except OperationalError as error:
                    return type(error.__cause__).__name__
                return "no error"

            assert through(relay, work) == "LockNotAvailable"


def dsn(relay: Counted) -> str:
    params = connection.get_connection_params()
    names = {name: params[name] for name in ("user", "password", "dbname") if params.get(name)}
    return psycopg.conninfo.make_conninfo(host="127.0.0.1", port=relay.port, sslmode="disable", **names)


def test_the_locks_of_a_silent_session_are_freed(relay: Counted) -> None:
    """The server would keep them until idle_in_transaction_session_timeout, and every worker would wait."""

    def work() -> None:
        with pytest.raises(OperationalError, match="the connection was closed"), transaction.atomic():
            fetch("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})
            relay.fall_silent()
            fetch("SELECT 1")

    through(relay, work)
    free = "SELECT pg_try_advisory_lock(%(lock)s) AS free"
    eventually(lambda: fetch(free, {"lock": LOCK})[0].free, within=LATE)
    fetch("SELECT pg_advisory_unlock(%(lock)s)", {"lock": LOCK})


def test_a_silent_answer_is_noticed_like_a_silent_question(relay: Counted) -> None:
    """The statement runs to its end, and nobody hears of it."""

    def work() -> float:
        fetch("SELECT 1")
        with relay.lock:
            relay.deaf = relay.connections
        return seconds_until_error("SELECT pg_sleep(1)")

    assert 1 + SHORT / 2 <= through(relay, work) < LATE


def test_a_pool_replaces_what_fell_silent(relay: Counted) -> None:
    def work() -> int:
        fetch("SELECT 1")
        relay.fall_silent()
        seconds_until_error("SELECT 2")
        connection.close()
        return int(fetch("SELECT 3 AS n")[0].n)

    assert through(relay, work, age=0, pool={"min_size": 1, "max_size": 1, "timeout": 2}) == 3


def test_without_anybody_there_the_statement_ends_too(
    relay: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "ASKING", 1)

    def work() -> float:
        fetch("SELECT 1")
        relay.dead = True
        return seconds_until_error("SELECT 2")

    assert through(relay, work) < LATE


def test_a_pooler_hides_the_session_and_gets_a_plain_limit(
    relay: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "ASK", driver.ASK.replace("<>", "="))
    monkeypatch.setattr(driver, "POOLED", 2.0)

    def work() -> float:
        fetch("SELECT 1")
        relay.fall_silent()
        return seconds_until_error("SELECT 2")

    assert 2.0 <= through(relay, work) < 2 + LATE


def test_time_limits_of_the_kernel_are_the_default(settings: LazySettings) -> None:
    options = settings.DATABASES["default"]["OPTIONS"]
    names = (
        "connect_timeout",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
    )
    assert [options[name] for name in names] == [2, 5, 2, 3, 8000]
