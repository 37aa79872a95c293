"""Migrations can be undone, hold no code that may change under them, and wait for no lock for long (ADR 11)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import databases

ROOT = Path(__file__).resolve().parents[1]
# What Django itself wrote into the first migrations: functions that are defaults of fields, and fields of ours.
WRITTEN_BY_DJANGO = {"accounts.crypto", "messaging.models.provider_account", "messaging.rules.ids"}


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"migrated_{os.environ.get('PYTEST_XDIST_WORKER', 'one')}"
    databases.drop(name)
    yield databases.create(name)
    databases.drop(name)


def migrate(database_url: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "-v0", *args]
    environ = os.environ | {"DATABASE_URL": database_url}
    return subprocess.run(command, env=environ, timeout=100, capture_output=True, text=True)


def schema(database_url: str) -> set[tuple[str, str, str]]:
    """Every column of every table of ours, with its type."""
    query = """SELECT table_name, column_name, data_type FROM information_schema.columns
               WHERE table_schema = 'public' AND table_name ~ '^(accounts|messaging)_'"""
    with psycopg.connect(database_url) as connection:
        return set(connection.execute(query).fetchall())


@pytest.mark.slow
def test_to_nothing_and_back(database: str) -> None:
    whole = schema(database)
    assert [migrate(database, app, "zero").returncode for app in ("messaging", "accounts")] == [0, 0]
    assert schema(database) == set()
    assert migrate(database).returncode == 0
    assert schema(database) == whole


def test_a_lock_is_not_waited_for_for_long(database: str) -> None:
    whole = schema(database)
    with psycopg.connect(database) as busy:
        busy.execute("SELECT count(*) FROM messaging_message")  # holds its lock until the end of the block
        refused = migrate(database, "messaging", "zero")
    assert (refused.returncode, "lock timeout" in refused.stderr) == (1, True)
    assert migrate(database).returncode == 0  # no migration is half undone
    assert schema(database) == whole


@pytest.mark.parametrize("app", ["accounts", "messaging"])
def test_migrations_import_no_code_that_may_change(app: str) -> None:
    files = (ROOT / app / "migrations").glob("0*.py")
    found = {
        name
        for file in files
        for name in re.findall(
            r"^(?:import|from) ((?:accounts|messaging|connector)[\w.]*)", file.read_text(), re.MULTILINE
        )
    }
    assert found - WRITTEN_BY_DJANGO == set()
