"""Databases on the test server, copied from one that is migrated once a run (a copy takes a tenth of a second)."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "test_template"


def url(name: str) -> str:
    """The address of a database on the test server."""
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


def template() -> str:
    """The name of the migrated database that nobody may connect to. Whoever asks first in a run makes it."""
    made = _mark()
    with made.with_suffix(".lock").open("w") as lock:  # the other workers of xdist wait here
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            drop(TEMPLATE)
            _maintain("CREATE DATABASE {}", TEMPLATE)
            migrate(url(TEMPLATE))
            made.touch()
    return TEMPLATE


def migrate(database_url: str) -> None:
    """Brings any database to the newest schema."""
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "-v0"]
    subprocess.run(command, env=os.environ | {"DATABASE_URL": database_url}, timeout=120, check=True)


def create(name: str) -> str:
    """A migrated database without rows; its address."""
    template()
    _maintain(f"CREATE DATABASE {{}} TEMPLATE {TEMPLATE}", name)
    return url(name)


def drop(name: str) -> None:
    """Ends a database, whoever is connected."""
    _maintain("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def clean_up() -> None:
    """Leaves no template behind on a server that outlives the run."""
    if _mark().exists():
        drop(TEMPLATE)


def _mark() -> Path:
    return Path(os.environ["DATA_DIR"]).with_name("template")


def _maintain(statement: str, name: str) -> None:
    with psycopg.connect(url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
