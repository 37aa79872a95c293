"""The queue outlasts an outage of the database: no part of a cluster sleeps or dies for a lost connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from django.db import connection as database
from django_q.brokers import get_broker
from django_q.models import OrmQ

from messaging.worker import broker
from tests.waiting import eventually, free_port

ROOT = Path(__file__).resolve().parents[2]


def lose_connection() -> None:
    """As a restart of the database does it."""
    database.ensure_connection()
    pid = database.connection.info.backend_pid
    params = database.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    dsn = psycopg.conninfo.make_conninfo(**{name: params[name] for name in names if params.get(name)})
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_costs_half_a_second_and_no_task(caplog: pytest.LogCaptureFixture) -> None:
    broker.wake("messaging.tasks.pump", "w", 0, queue="q")
    tasks = broker.Broker(list_key="q")
    lose_connection()
    started = time.monotonic()
    assert tasks.dequeue() is None
    assert time.monotonic() - started < 3
    ((task, _),) = tasks.dequeue() or ()
    lose_connection()
    tasks.acknowledge(task)  # its monitor lives on; the task is swept later
    assert OrmQ.objects.count() == 1
    tasks.acknowledge(task)
    assert OrmQ.objects.count() == 0
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "database away"
    ] * 2


@pytest.mark.django_db  # it closes a connection that an earlier test left open
def test_it_is_the_broker_that_clusters_use() -> None:
    assert type(get_broker(list_key="q")) is broker.Broker


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_without_a_database_a_worker_waits_and_says_so_in_json(tmp_path: Path) -> None:
    """No traceback that no log reader understands, and no cluster that starts and dies once a second."""
    log = tmp_path / "worker.log"
    environment = os.environ | {
        "DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/none",
        "DATA_DIR": str(tmp_path),
        "PUMPS": "1",
    }
    with log.open("wb") as output:
        command = [sys.executable, str(ROOT / "manage.py"), "worker"]
        worker = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            # The worker's own line comes once a second; the cluster's comes once, from its pusher.
            eventually(
                lambda: log.read_bytes().count(b"messaging.worker.broker") == 1, what="the cluster waits"
            )
            eventually(lambda: log.read_bytes().count(b"database away") >= 5, what="the worker waits")
        finally:
            worker.terminate()
            worker.wait(60)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["message"] for line in lines if line["level"] != "INFO"} <= {
        "database away",
        "database away while stopping",
        "slots are left to the other workers",
    }
