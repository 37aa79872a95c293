"""How long a claim takes while a backlog waits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import psycopg

from bench.generator import percentile
from bench.tenants import Customer
from messaging.sending import claims

BACKLOG = 100_000
CLAIMS, FREE = 100, 32  # as many at once as a pump has threads

FILL = """
WITH m AS (
  INSERT INTO messaging_message (id, tenant_id, channel, dedupe_key, request_id, account_id, queue_id, sender,
    recipient, send_as, state, due_at, expires_at, created_at)
  SELECT gen_random_uuid(), (%(tenants)s::bigint[])[k], 'sms', 'backlog-' || n, 'backlog-' || n,
    (%(accounts)s::bigint[])[k], (%(queues)s::bigint[])[k], 'Demo Shop', '+421900000100', 'sms', 0,
    now() - make_interval(secs => (%(size)s - n) / 1000.0), now() + interval '4 hours', now()
  FROM (SELECT n, 1 + n %% %(spread)s AS k FROM generate_series(1, %(size)s) n) x
  RETURNING id, created_at)
INSERT INTO messaging_content (message_id, created_at, text) SELECT id, created_at, 'Hello' FROM m
"""


def measure(customers: Sequence[Customer], database: psycopg.Connection, *, size: int) -> dict[str, Any]:
    """Milliseconds of one claim with `size` messages due, spread over the customers' queues."""
    database.execute(
        FILL,
        {
            "tenants": [customer.tenant for customer in customers],
            "accounts": [customer.account for customer in customers],
            "queues": [customer.queue for customer in customers],
            "spread": len(customers),
            "size": size,
        },
    )
    database.execute("ANALYZE messaging_message, messaging_content")
    taken, times = 0, []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        claimed = claims.claim(free=FREE, lease=uuid4())
        times.append((time.perf_counter() - began) * 1000)
        taken += len(claimed)
        claims.give_back(claimed)
    times.sort()
    return {
        "backlog": size,
        "queues": len(customers),
        "claim_rows": round(taken / CLAIMS, 1),
        "claim_p50_ms": round(percentile(times, 50), 1),
        "claim_p99_ms": round(percentile(times, 99), 1),
    }
