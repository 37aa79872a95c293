"""What holds for every test: no network but loopback, and no password hashed as slowly as production must."""

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.servers.basehttp import WSGIServer
from django.db import connection

from tests import databases

_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


def pytest_configure() -> None:
    """Quick logins (half a second otherwise, and the desk makes hundreds), and a test server for many at once."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.WHITENOISE_AUTOREFRESH = True  # no reading of 150 files for each test's client
    WSGIServer.request_queue_size = 128  # Django's test server drops the eleventh who comes while it is busy


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests with real processes come first, in two of the workers: they wait more than they work, and two at once are
    what two cores carry. Each worker gets one stretch of the list, and takes from the others when it is done."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers < 2:
        return
    long = [item for item in items if item.get_closest_marker("process")]
    short = [item for item in items if not item.get_closest_marker("process")]
    stretch = max(len(items) // workers - len(long[::2]), 0)
    items[:] = [*long[::2], *short[:stretch], *long[1::2], *short[stretch:]]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Each worker's database is a copy of the one that is migrated once."""
    connection.settings_dict["TEST"]["TEMPLATE"] = databases.template()


class NetworkError(RuntimeError):
    """A test tried to leave this machine."""


def _require_local(family: int, address: Any) -> None:
    if family == socket.AF_UNIX:
        return
    host = address[0]
    if host == "localhost" or ipaddress.ip_address(host).is_loopback:
        return
    raise NetworkError(f"tests may only connect to loopback, not to {host}")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python-level connections elsewhere raise NetworkError (psycopg's own, in C, are not seen here)."""

    def connect(self: socket.socket, address: Any) -> None:
        _require_local(self.family, address)
        return _connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        _require_local(self.family, address)
        return _connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)


@pytest.fixture(autouse=True)
def unmanaged_tables_are_emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """Django empties the tables after a test that commits, but not those that it does not manage."""
    marker = request.node.get_closest_marker("django_db")
    commits = marker is not None and marker.kwargs.get("transaction")
    if not commits and {"live_server", "transactional_db"}.isdisjoint(request.fixturenames):
        yield
        return
    request.getfixturevalue("transactional_db")  # its clean-up comes after this one
    yield
    tables = [model._meta.db_table for model in apps.get_models() if not model._meta.managed]
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 (a model's own table; quicker than TRUNCATE)
