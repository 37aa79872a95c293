"""The database backend: `connector.postgresql` as ENGINE."""

import select
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from connector.postgresql import driver


class DatabaseWrapper(base.DatabaseWrapper):
    """After a restart of the database each pooled connection would fail one request; here none does.

    CONN_HEALTH_CHECKS would find them too, for one more round trip per request; this asks our own kernel.
    """

    Database = driver

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        if isinstance(pool := self.settings_dict["OPTIONS"].get("pool"), dict):
            pool.setdefault("connection_class", driver.WatchedConnection)

    def get_new_connection(self, conn_params: dict[str, Any]) -> psycopg.Connection[Any]:
        """A connection from the pool (or a new one, where there is no pool).

        Raises OperationalError when the pool cannot replace the closed ones within its time.
        """
        found: psycopg.Connection[Any] = super().get_new_connection(conn_params)
        while self.pool and closed_by_server(found):
            found.close()
            self.pool.putconn(found)  # it starts a new one in the place of a closed one
            found = super().get_new_connection(conn_params)
        return found


def closed_by_server(connection: psycopg.Connection[Any]) -> bool:
    """Whether an idle connection has ended at the other side. No round trip: reads only what has arrived."""
    arrived = select.poll()
    try:
        arrived.register(connection.pgconn.socket, select.POLLIN)
        while arrived.poll(0):
            connection.pgconn.consume_input()  # a notice, a farewell; the end itself is an error
    except psycopg.OperationalError:
        return True
    return False
