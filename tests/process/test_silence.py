"""What dies without a word: database connections, and workers between claim and call."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.postgres_proxy import Counted, counting_relay
from tests.process import load
from tests.process.stage import Stage, database, stage
from tests.waiting import answers, eventually, free_port

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(240)]

HEALED = 20.0  # seconds; five of silence, two looks, and a busy machine


@pytest.fixture
def database_url() -> Iterator[str]:
    with database() as url:
        yield url


@pytest.fixture
def relay(database_url: str) -> Iterator[Counted]:
    params = psycopg.conninfo.conninfo_to_dict(database_url)
    with counting_relay({"HOST": params["host"], "PORT": params.get("port", 5432)}) as running:
        yield running


def through(relay: Counted, database_url: str) -> str:
    params = psycopg.conninfo.conninfo_to_dict(database_url)
    password = f":{params['password']}" if params.get("password") else ""
    name = f"{params.get('user', '')}{password}"
    return f"postgresql://{name}@127.0.0.1:{relay.port}/{params['dbname']}?sslmode=disable&gssencmode=disable"


def count(running: Stage, where: str) -> int:
    return int(running.rows(f"SELECT count(*) FROM messaging_message WHERE {where}")[0][0])  # noqa: S608


def test_web_and_worker_outlive_their_database_connections(database_url: str, relay: Counted) -> None:
    with stage(database_url) as running:
        (tenant,) = running.onboard("silent")
        port = free_port()
        lead = through(relay, database_url)
        url = f"http://127.0.0.1:{port}"
        running.start("web", "web", PORT=str(port), PUBLIC_URL=url, DATABASE_URL=lead)
        eventually(lambda: answers(f"{url}/healthz"), what="web listens")
        running.start_worker("worker", url, DATABASE_URL=lead)
        callback_url = load.CALLBACK.format(port=tenant.bloomreach_port)
        assert post(port, tenant.token, callback_url, "before") == 200
        eventually(lambda: count(running, "state >= 4") == 1, what="the worker sends")

        relay.fall_silent()
        started = time.monotonic()
        eventually(
            lambda: post(port, tenant.token, callback_url, "after") == 200,
            within=HEALED,
            what="web takes messages",
        )
        web = time.monotonic() - started
        eventually(lambda: count(running, "state >= 4") == 2, within=HEALED - web, what="the worker sends")
        print(f"web after {web:.1f} s, worker after {time.monotonic() - started:.1f} s")
        assert answers(f"{url}/healthz")
        assert running.reconcile()["unaccounted"] == 0


def post(port: int, token: str, callback_url: str, request_id: str) -> int | None:
    """The status; None when there was no answer in time."""
    body = {"from": "Demo Shop", "to": "00421900000100", "text": "Hello", "request_id": request_id}
    body |= {"custom_data": "after the silence", "callback_url": callback_url}
    try:
        return load.post_json(port, "/sms/send", body, token)
    except TimeoutError:
        return None


HOLD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN NEW; END';
CREATE TRIGGER hold BEFORE UPDATE ON messaging_attempt FOR EACH ROW
  WHEN (NEW.dialled AND OLD.dialled IS FALSE) EXECUTE FUNCTION hold()
"""
# The server has not noticed yet that the client of a running statement is gone.
END_ITS_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE query LIKE '%dialled = true%' AND pid <> pg_backend_pid() AND datname = current_database()
"""
LET_GO = "DROP TRIGGER hold ON messaging_attempt; DROP FUNCTION hold()"


def test_a_worker_killed_between_claim_and_call_leaves_no_unknown_outcome(database_url: str) -> None:
    with stage(database_url) as running:
        (tenant,) = running.onboard("gap", capability="report")
        port = free_port()
        url = running.start_web("web", port)
        running.start_worker("worker", url)
        sender = load.Load([port], tenant.token, load.CALLBACK.format(port=tenant.bloomreach_port))
        sender.post("first")  # the pump is no fresh one any more: it claims what there is
        eventually(lambda: count(running, "state >= 4") == 1, what="the worker sends")
        change(database_url, HOLD)
        for n in range(10):
            sender.post(f"claimed-{n}")
        eventually(lambda: count(running, "state = 1") > 0, what="messages are claimed and not dialled")
        running.kill("worker")
        change(database_url, END_ITS_SESSIONS)
        change(database_url, LET_GO)
        running.start_worker("second", url)
        eventually(lambda: count(running, "state >= 4") == 11, what="all are sent")
        assert running.rows("SELECT count(*) FROM messaging_attempt WHERE outcome = 'unknown'") == [(0,)]
        assert running.rows("SELECT count(*) FROM messaging_attempt WHERE code = 'worker_lost'")[0][0] > 0
        assert len(running.carrier_state()["messages"]) == 11


def change(database_url: str, statement: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statement)
