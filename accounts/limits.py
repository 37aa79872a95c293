"""Requests per second of one tenant, over all processes; off unless the tenant has a rate.

A bucket row in the database is drawn from in blocks of half a second's worth, which each process spends from
memory: requests pay no statement of their own, and the limit is off by what processes hold unspent, at most.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field

from django.db import connection

from accounts.authentication import TenantSnapshot

BLOCK_SECONDS = 0.5
BURST_SECONDS = 2.0  # of the rate, when the tenant names no burst

# Takes as many whole tokens as there are, at most `want`; the row that is missing starts full.
DRAW = """
INSERT INTO accounts_rate_bucket AS bucket (tenant_id, tokens, drawn, refilled_at)
VALUES (%(tenant)s, %(burst)s::float8 - %(want)s::float8, %(want)s, statement_timestamp())
ON CONFLICT (tenant_id) DO UPDATE SET
  drawn = least(%(want)s::float8, floor({full})), tokens = {full} - least(%(want)s::float8, floor({full})),
  refilled_at = greatest(bucket.refilled_at, statement_timestamp())
RETURNING drawn, tokens
""".format(
    full="least(%(burst)s::float8, bucket.tokens"
    " + greatest(0, extract(epoch FROM statement_timestamp() - bucket.refilled_at)::float8) * %(rate)s::float8)"
)


class TooManyRequests(Exception):
    """The tenant's rate is used up. `retry_after` in whole seconds, at least 1."""

    def __init__(self, rate: float, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"More than {rate:g} requests per second; try again in {retry_after} s.")


@dataclass(slots=True)
class _Allowance:
    """Tokens that this process holds for one tenant and rate."""

    tokens: float = 0.0
    empty_until: float = 0.0  # monotonic: no use in asking before
    lock: threading.Lock = field(default_factory=threading.Lock)


_allowances: dict[tuple[int, float, int | None], _Allowance] = {}


def spend(tenant: TenantSnapshot) -> None:
    """Pays for one request. Raises TooManyRequests; django.db errors when the bucket cannot be reached."""
    if tenant.rate is None:
        return
    allowance = _allowances.setdefault((tenant.id, tenant.rate, tenant.burst), _Allowance())
    with allowance.lock:
        if allowance.tokens < 1 and time.monotonic() >= allowance.empty_until:
            _refill(allowance, tenant.id, tenant.rate, tenant.burst)
        if allowance.tokens < 1:
            left = allowance.empty_until - time.monotonic()
            raise TooManyRequests(tenant.rate, max(1, math.ceil(left)))
        allowance.tokens -= 1


def forget_allowances() -> None:
    """Drops what this process holds, for tests."""
    _allowances.clear()


def _refill(allowance: _Allowance, tenant_id: int, rate: float, burst: int | None) -> None:
    size = float(burst) if burst else max(1.0, rate * BURST_SECONDS)
    want = float(max(1, math.floor(min(size, rate * BLOCK_SECONDS))))
    with connection.cursor() as cursor:
        cursor.execute(DRAW, {"tenant": tenant_id, "burst": size, "want": want, "rate": rate})
        drawn, remaining = cursor.fetchone()
    allowance.tokens += drawn
    if allowance.tokens < 1:
        allowance.empty_until = time.monotonic() + (1 - remaining) / rate
