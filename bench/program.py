"""The run: what is measured in which order, what is printed, and the exit code."""

from __future__ import annotations

import json
import platform
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import psycopg
from django import db
from django.conf import settings
from django.core.management import call_command

from bench import accept, claiming, load, pipeline, place, statements, tenants
from bench.load import LoadFailed
from bench.pipeline import Stuck
from bench.place import Busy
from bench.servers import NotServing
from dev.embedded import EmbeddedError

QUICK_ROUNDS, ROUNDS = 3, 7
SECONDS = 8.0
CONNECTIONS = 16
QUEUES = 50  # busy ones beside each other while claims are timed
MESSAGES = 5000  # worked off by the pipeline
LAG_RATE, LAG_SECONDS = 50.0, 20.0
FORGET = "TRUNCATE messaging_message, messaging_content CASCADE"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every request was answered with 200 and has its row, else 1."""
    options = _options(arguments)
    try:
        found = _run(options)
    except (Busy, EmbeddedError, NotServing, LoadFailed, Stuck, OSError) as error:
        say(f"FAILED: {error}")
        return 1
    print(json.dumps(found), flush=True)
    return 1 if found["errors"] or found.get("duplicates_errors") else 0


def say(line: str) -> None:
    print(line, flush=True)


def _options(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="make bench", description="Measures /sms/send against its floor.")
    parser.add_argument("--quick", action="store_true", help="the comparison alone, in fewer rounds")
    parser.add_argument("--rounds", type=int, help=f"default: {QUICK_ROUNDS} quick, else {ROUNDS}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of one round (%(default)s)")
    parser.add_argument("--messages", type=int, default=MESSAGES, help="through the pipeline (%(default)s)")
    parser.add_argument(
        "--backlog", type=int, default=claiming.BACKLOG, help="while claims are timed (%(default)s)"
    )
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    return options


def _run(options: Namespace) -> dict[str, Any]:
    with place.database() as url, closing(psycopg.connect(url, autocommit=True)) as database:
        try:
            call_command("migrate", verbosity=0)
            found = _compare(options, database)
            if not options.quick:
                found |= _beyond(options, database)
        finally:
            db.connections.close_all()
    return found


def _compare(options: Namespace, database: psycopg.Connection) -> dict[str, Any]:
    setting = _setting(options, database)
    for name, value in setting.items():
        say(f"  {name:<12}{value}")
    if setting["generator"] != "wrk":
        say(f"  {load.ADVICE}")
    if not statements.prepare(database):
        raise NotServing("pg_stat_statements is missing from this PostgreSQL: install its contrib modules.")
    customer = tenants.create("bench", carrier_port=place.free_port())
    say(f"POST /sms/send and the floor, in turn, {options.seconds:g} s each")
    results = accept.measure(
        customer, count=options.rounds, seconds=options.seconds, database=database, say=say
    )
    found = accept.facts(results)
    accept.show(found, say)
    if found["errors"]:
        say(f"  {found['errors']} requests got an answer other than 200, or a 200 without a row")
    return found | setting


def _setting(options: Namespace, database: psycopg.Connection) -> dict[str, Any]:
    """Under what conditions."""

    def shown(name: str) -> str:
        row = database.execute(f"SHOW {name}").fetchone()
        assert row is not None
        return str(row[0])

    return {
        "connections": CONNECTIONS,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "generator": load.name(),
        "processes": settings.WEB_WORKERS,
        "threads": settings.WEB_THREADS,
        "postgresql": shown("server_version"),
        "fsync": shown("fsync"),
        "python": platform.python_version(),
    }


def _beyond(options: Namespace, database: psycopg.Connection) -> dict[str, Any]:
    """What the quick run leaves out."""
    database.execute(FORGET)
    found = _duplicates(options)
    database.execute(FORGET)
    found |= _claims(options, database)
    database.execute(FORGET)
    return found | _pipeline(options, database)


def _duplicates(options: Namespace) -> dict[str, Any]:
    customer = tenants.create("twice", carrier_port=place.free_port())
    measured = accept.duplicates(customer, seconds=options.seconds)
    say(f"duplicates: {measured.rate:.0f} requests/s, p99 {measured.p99_ms:.1f} ms, {measured.errors} errors")
    return {"duplicates_rps": round(measured.rate, 1), "duplicates_errors": measured.errors}


def _claims(options: Namespace, database: psycopg.Connection) -> dict[str, Any]:
    port = place.free_port()
    customers = [tenants.create(f"queue-{n}", carrier_port=port) for n in range(QUEUES)]
    found = claiming.measure(customers, database, size=options.backlog)
    say(
        f"claim of {found['claim_rows']:g} messages, {found['backlog']} waiting in {found['queues']} queues:"
        f" p50 {found['claim_p50_ms']} ms, p99 {found['claim_p99_ms']} ms"
    )
    return found


def _pipeline(options: Namespace, database: psycopg.Connection) -> dict[str, Any]:
    port = place.free_port()
    found = pipeline.measure(
        tenants.create("pipeline", carrier_port=port),
        database,
        carrier_port=port,
        count=options.messages,
        rate=LAG_RATE,
        seconds=LAG_SECONDS,
    )
    say(
        f"pipeline: {found['pipeline_messages']} messages, sent {found['sent_per_s']}/s,"
        f" sent, reported and acknowledged {found['pipeline_per_s']}/s (one worker)"
    )
    say(
        f"report to acknowledged callback at {LAG_RATE:g} messages/s:"
        f" p50 {found['lag_p50_ms']} ms, p99 {found['lag_p99_ms']} ms"
    )
    return found
