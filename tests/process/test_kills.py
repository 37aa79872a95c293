"""Promises under SIGKILL: accepted is never forgotten, nothing is sent twice, doubt is bounded (architecture 1.8)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.process.stage import Stage, free_port

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = 5
CAP = 16  # calls in flight on the account's queue


def _play_and_kill(running: Stage, capability: str, *, report_deadline: float) -> dict[str, Any]:
    """A campaign of 500 during which the worker is killed five times while it works."""
    (tenant,) = running.onboard("shop", capability=capability, report_deadline=report_deadline, cap=CAP)
    url = running.start_web("web", free_port())
    running.start_worker("worker", url)
    campaign = running.simulate(
        url, tenant, "--sms", "450", "--mms", "50", "--rate", "50", "--patience", "200"
    )
    for _ in range(KILLS):
        _wait_for_calls(running)
        running.kill("worker")
        running.start_worker("worker", url)
    return running.verdict(campaign)


def _wait_for_calls(running: Stage) -> None:
    """Until the worker of the moment has finished some calls and holds others: a kill must hit it at work."""
    (before,) = running.rows("SELECT count(*) FROM messaging_attempt WHERE outcome = 'taken'")[0]
    until = time.monotonic() + 60
    while time.monotonic() < until:
        flying, taken = running.rows(
            "SELECT (SELECT count(*) FROM messaging_message WHERE state = 1),"
            " (SELECT count(*) FROM messaging_attempt WHERE outcome = 'taken')"
        )[0]
        if flying and taken >= before + 20:
            return
        time.sleep(0.02)
    raise AssertionError("the worker does not work")


def test_nothing_is_lost_or_sent_twice_when_the_vendor_can_be_asked(running: Stage) -> None:
    verdict = _play_and_kill(running, "look_up", report_deadline=120)
    assert verdict["exit"] == 0, verdict
    account = running.reconcile()
    assert (account["exit"], account["unaccounted"]) == (0, 0)
    assert running.carrier_state()["twice"] == 0
    assert running.rows("SELECT count(*) FROM messaging_message WHERE error_code = 'uncertain'") == [(0,)]
    assert running.rows("SELECT count(*) FROM messaging_message WHERE state < 10") == [(0,)]
    finals = "SELECT count(*), count(DISTINCT message_id) FROM messaging_event WHERE kind = 1 AND state = 2"
    assert len(set(running.rows(finals)[0])) == 1
    # The kills did hit calls in flight: the test would prove nothing otherwise.
    assert running.rows(
        "SELECT count(*) > 0 FROM messaging_attempt WHERE absences > 0 OR code = 'worker_lost'"
    ) == [(True,)]


def test_doubt_is_bounded_by_the_calls_in_flight_when_only_reports_tell(running: Stage) -> None:
    _play_and_kill(running, "report", report_deadline=20)
    assert running.carrier_state()["twice"] == 0
    account = running.reconcile()
    assert (account["exit"], account["unaccounted"]) == (0, 0)
    assert running.rows("SELECT count(*) FROM messaging_message WHERE state < 10") == [(0,)]
    # Numbers ending in 25 are lost by the scenario itself: the carrier never took them, and no report can tell.
    (unknown,) = running.rows(
        "SELECT count(*) FROM messaging_message WHERE error_code = 'uncertain' AND recipient NOT LIKE '%%25'",
        {},
    )[0]
    assert unknown <= KILLS * CAP
