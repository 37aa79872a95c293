"""`POST /sms/send` beside the floor, and the rate of duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings

from bench import load, place, rounds, servers, tenants
from bench.generator import Measured
from bench.load import LoadTarget
from bench.rounds import GOAL, Results, Say, Side
from bench.servers import Server
from bench.tenants import Customer
from connector.management.commands import web

# A host that is allowed by default; nothing dials it, since no worker runs.
CALLBACK_URL = "https://bench.bloomreach.co/channels/hook/sms/callbacks"


@contextmanager
def sides(customer: Customer) -> Iterator[tuple[Side, Side]]:
    """Both servers, running and ready: the same program, processes, threads and options."""
    body = tenants.body(callback_url=CALLBACK_URL)

    def side(name: str, server: Server, path: str) -> Side:
        return Side(name, server, LoadTarget(server.url, path, customer.token, body))

    with _floor(customer) as floor, api_server() as api:
        yield side("floor", floor, "/"), side("api", api, "/sms/send")


@contextmanager
def api_server(**more: str) -> Iterator[Server]:
    """`manage.py web` on a free port."""
    port = place.free_port()
    environment = {"PORT": str(port), **more}
    with servers.running(
        "web", ["manage.py", "web"], port=port, ready="/healthz", more=environment
    ) as server:
        yield server


@contextmanager
def _floor(customer: Customer) -> Iterator[Server]:
    environment = {
        "FLOOR_THREADS": str(settings.WEB_THREADS),
        "FLOOR_TENANT": str(customer.tenant),
        "FLOOR_ACCOUNT": str(customer.account),
        "FLOOR_QUEUE": str(customer.queue),
    }
    # PORT of this process's settings is the floor's: the options are then those of `manage.py web`.
    threads = ["--interface", "wsgi", "--blocking-threads", str(settings.WEB_THREADS)]
    command = ["-m", "granian", *web.server_arguments(), *threads, "bench.floor:application"]
    with servers.running("floor", command, port=settings.PORT, ready="/", more=environment) as server:
        yield server


def duplicates(customer: Customer, *, seconds: float) -> Measured:
    """The same request over and over: two statements each, and one message in the end."""
    with api_server() as server:
        body = tenants.body(callback_url=CALLBACK_URL)
        target = LoadTarget(server.url, "/sms/send", customer.token, body)
        load.run(target, seconds=1, prefix="duplicate", same=True)
        return load.run(target, seconds=seconds, prefix="duplicate", same=True)


def facts(results: dict[str, Results]) -> dict[str, Any]:
    """The comparison for the JSON line."""
    floor, api = results["floor"], results["api"]
    made = max(1, api.rows)
    return {
        "api_rps": round(api.rate, 1),
        "floor_rps": round(floor.rate, 1),
        "ratio": round(api.rate / floor.rate, 3) if floor.rate else 0.0,
        "api_p99_ms": round(api.p99_ms, 1),
        "floor_p99_ms": round(floor.p99_ms, 1),
        "api_cpu_ms": _middle(api.cpu_ms),
        "floor_cpu_ms": _middle(floor.cpu_ms),
        "statements_per_message": round(api.counted.all / made, 3),
        "accepts_per_message": round(api.counted.accepts / made, 3),
        "errors": floor.errors + api.errors,
    }


def show(found: dict[str, Any], say: Say) -> None:
    """The comparison for people."""
    for name in ("floor", "api"):
        say(
            f"  median   {name:<6}{found[f'{name}_rps']:8.0f} requests/s   p99 {found[f'{name}_p99_ms']:6.1f} ms"
        )
    reached = "reached" if found["ratio"] >= GOAL else "NOT reached"
    reached = "not judged: there were errors" if found["errors"] else reached
    say(f"  ratio    {found['ratio']:.2f} of the floor (goal {GOAL}: {reached})")
    say(
        f"  wire     {found['statements_per_message']:.3f} statements per new message,"
        f" {found['accepts_per_message']:.3f} of them the accept statement"
    )


def measure(customer: Customer, *, count: int, seconds: float, database: psycopg.Connection, say: Say) -> Any:
    """All of it but the duplicates. Raises servers.NotServing, load.LoadFailed, OSError."""
    with sides(customer) as (floor, api):
        return rounds.compare(floor, api, rounds=count, seconds=seconds, database=database, say=say)


def _middle(values: list[float]) -> float | None:
    return round(sorted(values)[len(values) // 2], 3) if values else None
