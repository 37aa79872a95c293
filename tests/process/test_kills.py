"""Promises under SIGKILL: accepted is never forgotten, nothing is sent twice, unknown outcomes are bounded."""

from __future__ import annotations

import pytest

from tests.process.stage import Stage, Tenant
from tests.waiting import eventually, free_port

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = 5
CAP = 16  # calls in flight on each account's queue
CAMPAIGN = ("--sms", "450", "--mms", "50", "--rate", "50", "--patience", "200")


CALLS = """
SELECT (SELECT count(*) FROM messaging_message WHERE state = 1),
       (SELECT count(*) FROM messaging_attempt WHERE outcome = 'taken')
"""


def _wait_for_calls(running: Stage) -> None:
    """Until the worker of the moment has finished some calls and holds others: a kill must hit it at work."""
    ((_, before),) = running.rows(CALLS)

    def at_work() -> bool:
        ((flying, taken),) = running.rows(CALLS)
        return bool(flying and taken >= before + 20)

    eventually(at_work, what="the worker works")


def _messages(running: Stage, tenant: Tenant, condition: str) -> int:
    count: int = running.rows(
        "SELECT count(*) FROM messaging_message m JOIN accounts_tenant t ON t.id = m.tenant_id"  # noqa: S608
        f" WHERE t.slug = %(slug)s AND {condition}",
        {"slug": tenant.slug},
    )[0][0]
    return count


def test_five_kills_lose_nothing_send_nothing_twice_and_bound_unknown_outcomes(running: Stage) -> None:
    """Two campaigns of 500 at once: one at a carrier that can be asked, one at a carrier that only reports."""
    (asked,) = running.onboard("asked", capability="look_up", report_deadline=120, cap=CAP)
    (reported,) = running.onboard("reported", capability="report", report_deadline=12, cap=CAP)
    url = running.start_web("web", free_port())
    running.start_worker("worker", url)
    campaigns = [running.simulate(url, tenant, *CAMPAIGN) for tenant in (asked, reported)]
    for _ in range(KILLS):
        _wait_for_calls(running)
        running.kill("worker")
        running.start_worker("worker", url)
    verdict = running.verdict(campaigns[0])
    running.verdict(
        campaigns[1]
    )  # lost calls cannot be told from slow ones here: it ends with unknown outcomes

    assert verdict["exit"] == 0, verdict
    assert running.carrier_state()["twice"] == 0
    account = running.reconcile()
    assert (account["exit"], account["unaccounted"]) == (0, 0)
    assert running.rows("SELECT count(*) FROM messaging_message WHERE state < 10") == [(0,)]

    finals = "SELECT count(*) FROM messaging_event e WHERE e.message_id = m.id AND e.kind = 1"
    assert _messages(running, asked, "error_code = 'unknown_outcome'") == 0
    assert _messages(running, asked, f"(({finals}) <> 1 OR ({finals} AND e.state = 2) <> 1)") == 0
    # Numbers ending in 25 are lost by the scenario itself: the carrier never took them, and no report can tell.
    unknowns = _messages(running, reported, "error_code = 'unknown_outcome' AND recipient NOT LIKE '%%25'")
    assert unknowns <= KILLS * CAP
    # The kills did hit calls in flight: the test would prove nothing otherwise.
    lost = "SELECT count(*) > 0 FROM messaging_attempt WHERE absences > 0 OR code = 'worker_lost'"
    assert running.rows(lost) == [(True,)]
