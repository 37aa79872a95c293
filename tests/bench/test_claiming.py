"""The benchmark of claims gives every figure that the program prints."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest
from django.db import connection as database

from bench import claiming
from bench.tenants import Customer
from tests import factories


@pytest.mark.django_db(transaction=True)
def test_claims_are_measured() -> None:
    accounts = [factories.make_account() for _ in range(2)]
    customers = [Customer("-", one.tenant_id, one.pk, one.queue_id or 0) for one in accounts]
    params = database.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    dsn = psycopg.conninfo.make_conninfo(**{name: params[name] for name in names if params.get(name)})
    with closing(psycopg.connect(dsn, autocommit=True)) as own:
        found = claiming.measure(customers, own, size=200)
    assert (found["queues"], found["backlog"]) == (2, 200)
    assert found["claim_rows"] > 0
