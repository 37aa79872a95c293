"""The API rate limit of a tenant, over all processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection as database

from accounts import limits
from accounts.authentication import TenantSnapshot
from accounts.limits import TooManyRequests

pytestmark = pytest.mark.django_db

TENANT_IDS = iter(range(1_000_000, 2_000_000))


@pytest.fixture(autouse=True)
def forget_allowances() -> Iterator[None]:
    yield
    limits.forget_allowances()


def tenant(rate: float | None, burst: int | None = None) -> TenantSnapshot:
    return TenantSnapshot(next(TENANT_IDS), "acme", "active", (), rate, burst)


def spent(snapshot: TenantSnapshot, tries: int) -> int:
    """How many of so many requests pass."""
    passed = 0
    for _ in range(tries):
        try:
            limits.spend(snapshot)
        except TooManyRequests:
            continue
        passed += 1
    return passed


def let_pass(snapshot: TenantSnapshot, seconds: float) -> None:
    """As if that much time had gone by, here and at the server."""
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_rate_bucket SET refilled_at = refilled_at - make_interval(secs => %s)"
            " WHERE tenant_id = %s",
            [seconds, snapshot.id],
        )
    for allowance in limits._allowances.values():
        allowance.empty_until = 0.0


def test_without_a_rate_nothing_is_counted(django_assert_num_queries: Any):
    with django_assert_num_queries(0):
        assert spent(tenant(None), 1000) == 1000


@pytest.mark.parametrize(
    ("rate", "burst", "passed"),
    [
        pytest.param(0.01, 5, 5, id="a burst of its own"),
        pytest.param(0.01, None, 1, id="at least one"),
        pytest.param(0.5, None, 1, id="two seconds' worth"),
    ],
)
def test_the_burst(rate: float, burst: int | None, passed: int):
    assert spent(tenant(rate, burst), passed + 5) == passed


def test_tokens_come_back_at_the_rate():
    snapshot = tenant(0.1, 3)
    assert spent(snapshot, 5) == 3
    let_pass(snapshot, 20)
    assert spent(snapshot, 5) == 2
    let_pass(snapshot, 10_000)
    assert spent(snapshot, 5) == 3


def test_the_answer_says_when_to_come_back():
    snapshot = tenant(0.1, 1)
    limits.spend(snapshot)
    with pytest.raises(TooManyRequests) as caught:
        limits.spend(snapshot)
    assert caught.value.retry_after == 10
    assert str(caught.value) == "More than 0.1 requests per second; try again in 10 s."


def test_half_a_second_is_drawn_at_once(django_assert_num_queries: Any):
    snapshot = tenant(200.0, 1000)
    with django_assert_num_queries(3):
        assert spent(snapshot, 300) == 300


def test_a_flood_over_the_limit_costs_no_statements(django_assert_num_queries: Any):
    snapshot = tenant(0.01, 1)
    limits.spend(snapshot)
    with django_assert_num_queries(1):
        assert spent(snapshot, 100) == 0


def test_processes_share_one_bucket():
    snapshot = tenant(0.01, 10)
    passed = 0
    for _ in range(4):
        limits.forget_allowances()  # another process: its memory is empty, the bucket is not
        passed += spent(snapshot, 4)
    assert passed == 10


def test_a_new_rate_starts_with_an_empty_allowance():
    snapshot = tenant(1000.0, 2000)
    limits.spend(snapshot)
    slow = TenantSnapshot(snapshot.id, "acme", "active", (), 0.01, 1)
    assert spent(slow, 10) == 1


def test_tenants_do_not_pay_for_each_other():
    first, second = tenant(0.01, 2), tenant(0.01, 2)
    assert spent(first, 5) == 2
    assert spent(second, 5) == 2
