"""What outbound/sockets.py overrides or reads in urllib3 without a promise of it: there, and still used (ADR 14)."""

from __future__ import annotations

import inspect
import ssl
from types import ModuleType

import pytest
import urllib3
from urllib3 import connection, connectionpool, poolmanager
from urllib3.util import connection as dropped

# The owner, the name that we override or read, and where urllib3 itself must still use it.
HOOKS = [
    pytest.param(connection.HTTPConnection, "_new_conn", connection, "self._new_conn()", id="dial"),
    pytest.param(
        connection.HTTPSConnection, "_new_conn", connection, "self.sock = sock = self._new_conn()", id="TLS"
    ),
    pytest.param(
        connection.HTTPConnection("a.example"), "_dns_host", connection, "self._dns_host", id="host"
    ),
    pytest.param(connection.HTTPConnection, "is_connected", dropped, "conn.is_connected", id="waited"),
    pytest.param(
        connectionpool.HTTPConnectionPool, "_put_conn", connectionpool, "self._put_conn(conn)", id="put"
    ),
    pytest.param(
        connectionpool.HTTPConnectionPool, "ConnectionCls", connectionpool, "self.ConnectionCls(", id="class"
    ),
    pytest.param(
        poolmanager.PoolManager(),
        "pool_classes_by_scheme",
        poolmanager,
        "self.pool_classes_by_scheme[",
        id="pools",
    ),
    pytest.param(ssl.SSLContext, "sslsocket_class", ssl, "self.sslsocket_class._create(", id="TLS socket"),
]


def complaint(owner: object, name: str, module: ModuleType, use: str) -> str:
    """What is wrong with a hook; empty: nothing."""
    if not hasattr(owner, name):
        lost = f"has no {name}"
    elif use not in inspect.getsource(module):
        lost = f"does not use {name} as it did ({use} in {module.__name__})"
    else:
        return ""
    return f"urllib3 {urllib3.__version__} {lost}: outbound/sockets.py needs it, see docs/adr/0014"


@pytest.mark.parametrize(("owner", "name", "module", "use"), HOOKS)
def test_each_hook_is_there_and_used(owner: object, name: str, module: ModuleType, use: str) -> None:
    assert complaint(owner, name, module, use) == ""


@pytest.mark.parametrize(
    ("name", "use", "said"),
    [
        pytest.param("_dial", "self._new_conn()", "has no _dial", id="gone"),
        pytest.param("_new_conn", "self._dial()", "does not use _new_conn as it did", id="no longer called"),
    ],
)
def test_a_lost_hook_is_named(name: str, use: str, said: str) -> None:
    words = complaint(connection.HTTPConnection, name, connection, use)
    assert words.startswith(f"urllib3 {urllib3.__version__} {said}")
    assert words.endswith("outbound/sockets.py needs it, see docs/adr/0014")
