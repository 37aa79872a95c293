"""What is wrong with a migration that runs while the previous release serves (ADR 11): squawk's rules, and one of ours.

The SQL is written for the oldest PostgreSQL that is supported, without a database. First migrations are exempt: nothing
uses their tables yet. A migration may allow itself a rule, with the reason: `allowed = {"ban-drop-column": "unused
since 0.2"}` in its class, which is how a release contracts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from psycopg import sql

OLDEST_POSTGRESQL = 15
OURS = ("accounts", "messaging")
SQUAWK = Path(sys.executable).with_name("squawk")
MOVES_DATA = "moves-data"  # our rule: data is moved by a command in batches
# Rules about style, and about time-outs, which `manage.py migrate` sets by itself.
NOT_OURS = (
    *("prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity", "prefer-robust-stmts"),
    *("prefer-text-field", "prefer-timestamp-tz", "require-lock-timeout", "require-statement-timeout"),
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong: the rule that is broken, and what to do."""

    rule: str
    text: str


def later_migrations(loader: MigrationLoader) -> Iterator[tuple[Migration, ProjectState]]:
    """Our migrations but the first ones, each with the state that it finds."""
    for (app, name), migration in sorted(loader.disk_migrations.items()):
        if app in OURS and not migration.initial:
            yield migration, loader.project_state((app, name), at_end=False)


def complaints(migration: Migration, before: ProjectState) -> list[Complaint]:
    """What the migration may not do; empty: nothing is wrong."""
    found = [
        Complaint(
            MOVES_DATA, f"{type(operation).__name__} moves data: write a command that does it in batches"
        )
        for operation in migration.operations
        if not operation.reduces_to_sql
    ]
    found += _squawk(_written(migration, before))
    allowed: Mapping[str, str] = getattr(migration, "allowed", {})
    return [one for one in dict.fromkeys(found) if not allowed.get(one.rule)]


def _written(migration: Migration, before: ProjectState) -> str:
    """The migration's SQL."""
    connection = connections.create_connection("default")  # one of our own, which is never opened
    connection.__dict__["pg_version"] = OLDEST_POSTGRESQL * 10_000
    connection.ops.compose_sql = _composed  # type: ignore[attr-defined]
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        editor.atomic_migration = True  # or each operation would open a transaction of its own
        try:
            migration.apply(before.clone(), editor, collect_sql=True)
        finally:
            editor.atomic_migration = False
    statements = "\n".join(editor.collected_sql)
    return f"BEGIN;\n{statements}\nCOMMIT;" if migration.atomic else statements


def _composed(statement: str, params: Any) -> str:
    """The statement with its values in it, as Django's own method makes it on a connection."""
    if not params:
        return statement
    return statement % tuple(sql.Literal(value).as_string(None) for value in params)


def _squawk(statements: str) -> list[Complaint]:
    command = [str(SQUAWK), "--reporter", "json", f"--pg-version={OLDEST_POSTGRESQL}"]
    command += [f"--exclude={rule}" for rule in NOT_OURS]
    done = subprocess.run(command, input=statements, capture_output=True, text=True, timeout=60)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"squawk ended with {done.returncode}: {done.stderr.strip()}")
    return [
        Complaint(one["rule_name"], " ".join(filter(None, (one["message"], one["help"]))))
        for one in json.loads(done.stdout)
    ]
