"""A slow or dead destination occupies its own queue and nothing more (architecture "Queues")."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from simulator.listener import Listener, Reply
from tests.process.load import Load
from tests.process.stage import Stage, Tenant
from tests.waiting import eventually, free_port

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(300)]

RATE = 5.0  # segments per second on each queue
MESSAGES = 60
HUNG = ("t0", "t1")
UNDELIVERABLE = "t9"

# From the first to the last message of a queue.
SENDING = """
SELECT t.slug, count(*),
  extract(epoch FROM max(a.ended_at) - min(a.ended_at))::float8
FROM messaging_attempt a
JOIN messaging_provideraccount n ON n.id = a.account_id JOIN accounts_tenant t ON t.id = n.tenant_id
WHERE a.outcome = 'taken' GROUP BY t.slug
"""
TELLING = """
SELECT t.slug, count(*),
  extract(epoch FROM max(e.acked_at) - min(e.acked_at))::float8
FROM messaging_event e JOIN messaging_message m ON m.id = e.message_id JOIN accounts_tenant t ON t.id = m.tenant_id
WHERE e.state = 2 GROUP BY t.slug
"""


def _hang(running: Stage, account: str) -> None:
    body = json.dumps({"mode": "hang", "seconds": 600, "account": account}).encode()
    request = urllib.request.Request(
        f"{running.carrier_url}/faults", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def _fill(port: int, tenant: Tenant, callback_url: str) -> None:
    load = Load([port], tenant.token, callback_url)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(load.post, [f"{tenant.slug}-{n}" for n in range(MESSAGES)]))
    assert load.answers == {200: MESSAGES}


def test_two_hung_vendors_and_a_dead_callback_url_leave_the_others_alone(running: Stage) -> None:
    tenants = running.onboard(*(f"t{n}" for n in range(10)), report_deadline=300, cap=8, rate=RATE)
    for account in HUNG:
        _hang(running, account)
    port, dead_port = free_port(), free_port()
    url = running.start_web("web", port)
    bloomreach = Listener(lambda call: Reply(200, {}))
    bloomreach.start()
    try:
        alive = f"{bloomreach.url}/callbacks"
        for tenant in tenants:
            dead = tenant.slug == UNDELIVERABLE
            _fill(port, tenant, f"http://127.0.0.1:{dead_port}/callbacks" if dead else alive)
        running.start_worker("worker", url)
        well = [tenant.slug for tenant in tenants if tenant.slug not in HUNG]
        told = [slug for slug in well if slug != UNDELIVERABLE]
        eventually(
            lambda: {slug: n for slug, n, _ in running.rows(TELLING)} == dict.fromkeys(told, MESSAGES),
            within=120,
            what="all events of the others acknowledged",
        )
    finally:
        bloomreach.stop()
    # Whoever is slower than its own rate by more than a tenth has waited for somebody else.
    longest = 1.1 * (MESSAGES - RATE) / RATE  # the first second's worth goes at once
    sending = {slug: (n, seconds) for slug, n, seconds in running.rows(SENDING)}
    telling = {slug: (n, seconds) for slug, n, seconds in running.rows(TELLING)}
    assert set(sending) == set(well)
    assert {n for n, _ in sending.values()} == {MESSAGES}
    assert max(seconds for _, seconds in sending.values()) <= longest, sending
    assert max(seconds for _, seconds in telling.values()) <= longest, telling
