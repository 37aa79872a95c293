"""From accepted to acknowledged: throughput of worker and carrier, and how long a report takes to be told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from bench import accept, generator, servers, tenants
from bench.servers import Server
from bench.tenants import Customer
from simulator.client import Client
from simulator.listener import Call, Listener, Reply

DELAY = "0.2"  # seconds between the carrier's taking a message and its report
PATIENCE = 300.0

DONE = "SELECT count(*) FROM messaging_event WHERE state = 2 AND created_at >= %(since)s"
# From the first call to a vendor: the worker's own start is not the pipeline's speed.
SPEED = """
SELECT count(*), extract(epoch FROM max(a.ended_at) - min(a.created_at))::float8,
       extract(epoch FROM max(e.acked_at) - min(a.created_at))::float8
FROM messaging_attempt a JOIN messaging_event e ON e.message_id = a.message_id
WHERE a.outcome = 'taken' AND e.state = 2
"""
LAG = """
SELECT extract(epoch FROM e.acked_at - r.received_at)::float8 * 1000 AS ms
FROM messaging_event e JOIN messaging_attempt a ON a.message_id = e.message_id
JOIN messaging_deliveryreport r ON r.attempt_id = a.id
WHERE e.state = 2 AND e.kind = 1 AND e.created_at >= %(since)s ORDER BY 1
"""


class Stuck(RuntimeError):
    """The messages did not get through in time."""


@contextmanager
def _bloomreach() -> Iterator[str]:
    """Takes every callback; its address."""

    def take(call: Call) -> Reply:
        return Reply(200, {})

    listener = Listener(take)
    listener.start()
    try:
        yield f"{listener.url}/callbacks"
    finally:
        listener.stop()


@contextmanager
def _carrier(port: int) -> Iterator[None]:
    command = ["manage.py", "carrier", "--port", str(port), "--delay", DELAY]
    more = {"DEMO": "1", "CARRIER_KEY": tenants.CARRIER_KEY}
    with servers.running("carrier", command, port=port, ready="/counters", more=more):
        yield


@contextmanager
def _worker(web: Server) -> Iterator[Server]:
    # DEBUG allows an http PUBLIC_URL, at which the carrier reaches our hooks without a proxy.
    more = {"DEBUG": "1", "DEMO": "1", "PUBLIC_URL": web.url}
    with servers.running("worker", ["manage.py", "worker"], more=more) as server:
        yield server


def measure(
    customer: Customer,
    database: psycopg.Connection,
    *,
    carrier_port: int,
    count: int,
    rate: float,
    seconds: float,
) -> dict[str, Any]:
    """`count` messages accepted beforehand, then worked off; then the lag at `rate` messages per second.

    Raises Stuck, servers.NotServing.
    """
    with _bloomreach() as callback_url, accept.api_server(DEMO="1") as web, _carrier(carrier_port):
        body = tenants.body(callback_url=callback_url)
        poster = _Poster(web.url, customer.token, body)
        poster.post(count, prefix="pipeline")
        since = _now(database)
        with _worker(web) as worker:
            _wait(database, count, since=since, worker=worker)
            sent, sending, telling = _one(database, SPEED)
            since = _now(database)
            paced = poster.post(int(rate * seconds), prefix="paced", rate=rate)
            _wait(database, paced, since=since, worker=worker)
            lags = [ms for (ms,) in database.execute(LAG, {"since": since}).fetchall()]
    return {
        "pipeline_messages": sent,
        "sent_per_s": round(sent / sending, 1),
        "pipeline_per_s": round(sent / telling, 1),
        "lag_rate": rate,
        "lag_p50_ms": round(generator.percentile(lags, 50), 1),
        "lag_p99_ms": round(generator.percentile(lags, 99), 1),
    }


class _Poster:
    """Posts messages one after the other, as fast as they are taken or at a pace."""

    def __init__(self, url: str, token: str, body: str) -> None:
        self._url, self._body = f"{url}/sms/send", body
        self._headers = {"Chan-Token": token, "Content-Type": "application/json"}

    def post(self, count: int, *, prefix: str, rate: float | None = None) -> int:
        """Raises Stuck at the first answer that is not 200."""
        client, began = Client(), time.monotonic()
        for n in range(count):
            if rate:
                time.sleep(max(0.0, began + n / rate - time.monotonic()))
            body = self._body.replace(generator.MARK, f"{prefix}-{n}").encode()
            answer = client.call("POST", self._url, headers=self._headers, body=body)
            if answer.status != 200:
                raise Stuck(f"/sms/send answered {answer.status}")
        return count


def _wait(database: psycopg.Connection, count: int, *, since: Any, worker: Server) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if _one(database, DONE, {"since": since})[0] >= count:
            return
        if worker.process.poll() is not None:
            raise worker.complaint(f"ended with code {worker.process.returncode}")
        time.sleep(0.2)
    raise Stuck(f"{count} messages were not all acknowledged within {PATIENCE:.0f} s")


def _now(database: psycopg.Connection) -> Any:
    return _one(database, "SELECT clock_timestamp()")[0]


def _one(database: psycopg.Connection, query: str, params: Any = None) -> Any:
    return database.execute(query, params).fetchone()
