"""What holds for every test: no network but loopback, and no password hashed as slowly as production must."""

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.servers.basehttp import WSGIServer
from django.db import connection as database
from django.test import TransactionTestCase
from hypothesis import settings as hypothesis_settings

from tests import databases
from tests.stand_ins import Vendor, vendor_on_loopback

_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


def pytest_configure() -> None:
    """No network, no waiting for what no test is about, no limits that a busy machine breaks."""
    hypothesis_settings.register_profile("suite", deadline=None)  # 200 ms a case say more about the machine
    hypothesis_settings.load_profile("suite")
    # Half a second a login otherwise, and the desk's tests make hundreds.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.WHITENOISE_AUTOREFRESH = True  # no reading of 150 files for each test's client
    WSGIServer.request_queue_size = 128  # Django's test server drops the eleventh who comes while it is busy
    TransactionTestCase._fixture_teardown = empty_tables
    socket.socket.connect, socket.socket.connect_ex = connect_here, connect_ex_here  # type: ignore[method-assign]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests come first, in two of the workers: they wait more than they work, and two at once are what two cores
    carry; the longest before the others, or one of them would end the run alone. Each worker gets one stretch of the
    list, and takes from the others when it is done."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers < 2:
        return
    long = [item for item in items if _is_long(item)]
    short = [item for item in items if not _is_long(item)]
    long.sort(key=_time_out, reverse=True)
    stretch = max(len(items) // workers - len(long[::2]), 0)
    items[:] = [*long[::2], *short[:stretch], *long[1::2], *short[stretch:]]


def _is_long(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("process", "slow"))


def _time_out(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Each worker's database is a copy of the one that is migrated once."""
    database.settings_dict["TEST"]["TEMPLATE"] = databases.template()


class NetworkError(RuntimeError):
    """A test tried to leave this machine."""


def _require_local(family: int, address: Any) -> None:
    if family == socket.AF_UNIX:
        return
    host = address[0]
    if host == "localhost" or ipaddress.ip_address(host).is_loopback:
        return
    raise NetworkError(f"tests may only connect to loopback, not to {host}")


def connect_here(self: socket.socket, address: Any) -> None:
    """Raises NetworkError for another machine (psycopg's own connections, in C, are not seen here)."""
    _require_local(self.family, address)
    return _connect(self, address)


def connect_ex_here(self: socket.socket, address: Any) -> int:
    """Likewise."""
    _require_local(self.family, address)
    return _connect_ex(self, address)


SHARED = {"django_content_type", "auth_permission"}  # made once, with the schema; no test changes them


def empty_tables(self: TransactionTestCase) -> None:
    """After a test that commits. Django's own way takes ten times as long, and leaves the tables that it does not
    manage as they are."""
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)} - SHARED
    any_row = " UNION ALL ".join(f"(SELECT '{table}' FROM {table} LIMIT 1)" for table in tables)  # noqa: S608
    with database.cursor() as cursor:
        cursor.execute(any_row)
        if filled := [row[0] for row in cursor.fetchall()]:
            cursor.execute(f"TRUNCATE {', '.join(filled)} CASCADE")


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A carrier on loopback that takes everything, unless told otherwise."""
    with vendor_on_loopback() as running:
        yield running
