"""Migrations can be undone, hold no code that may change under them, and wait for no lock for long (ADR 11)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
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


# -- the previous release on the new schema


def git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, timeout=60, check=False)


def exported(commit: str, folder: Path) -> Path:
    """A folder with the files of that commit."""
    archive = git("archive", "--format=tar", commit)
    assert archive.returncode == 0, archive.stderr
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def send_a_few(folder: Path, database_url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The code in that folder accepts, claims, sends, records and reports a few messages on that database."""
    command = [sys.executable, "-m", "tests.process.few_messages", database_url, *options]
    return subprocess.run(command, cwd=folder, timeout=200, capture_output=True, text=True, check=False)


def head(folder: Path) -> Path:
    """The code of HEAD."""
    if git("cat-file", "-e", "HEAD:tests/process/few_messages.py").returncode != 0:
        pytest.skip("there is no git repository whose HEAD has tests/process/few_messages.py")
    return exported("HEAD", folder)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_previous_releases_code_runs_on_the_new_schema(database: str, tmp_path: Path) -> None:
    latest = git("describe", "--tags", "--abbrev=0", "--match", "v*")
    if latest.returncode != 0:
        pytest.skip("no release yet: there is no tag v*, or no git repository")
    done = send_a_few(exported(latest.stdout.decode().strip(), tmp_path), database)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_code_of_a_commit_is_tried_on_this_schema(database: str, tmp_path: Path) -> None:
    """What the test above does with a tag, done with HEAD."""
    done = send_a_few(head(tmp_path), database)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM messaging_message").fetchone() == (10,)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_schema_that_the_code_of_a_commit_cannot_use_is_found(database: str, tmp_path: Path) -> None:
    """A required column that it does not know: each accept is refused."""
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE messaging_message ADD COLUMN required_by_the_next integer NOT NULL")
    done = send_a_few(head(tmp_path), database, "5")
    assert done.returncode == 1, done.stdout[-5000:] + done.stderr[-5000:]
