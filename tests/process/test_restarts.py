"""Promises under restarts: of the database server in mid-run, and of web and worker, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import embedded
from tests import databases
from tests.process.load import CALLBACK, Load
from tests.process.stage import Stage, server, stage
from tests.waiting import eventually, free_port

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]


def _sent(running: Stage) -> int:
    count: int = running.rows("SELECT count(*) FROM messaging_attempt WHERE outcome = 'taken'")[0][0]
    return count


@pytest.fixture
def postgres() -> Iterator[Path]:
    """A database server of this test's own."""
    with server() as data:
        yield data


@pytest.fixture
def running_alone(postgres: Path) -> Iterator[Stage]:
    """A carrier, and that server."""
    databases.migrate(embedded.url(postgres))
    with stage(embedded.url(postgres)) as made:
        yield made


def test_a_restarted_database_costs_nothing_but_time(running_alone: Stage, postgres: Path) -> None:
    (tenant,) = running_alone.onboard("shop", report_deadline=120)
    url = running_alone.start_web("web", free_port())
    running_alone.start_worker("worker", url)
    campaign = running_alone.simulate(
        url, tenant, "--sms", "450", "--mms", "50", "--rate", "50", "--patience", "200"
    )
    for sent in (100, 300):
        eventually(lambda sent=sent: _sent(running_alone) >= sent, within=120, what=f"{sent} messages sent")
        embedded.stop(postgres)
        embedded.start(postgres)
    verdict = running_alone.verdict(campaign)
    assert verdict["exit"] == 0, verdict
    account = running_alone.reconcile()
    assert (account["exit"], account["unaccounted"]) == (0, 0)
    assert running_alone.carrier_state()["twice"] == 0
    assert running_alone.rows("SELECT count(*) FROM messaging_message WHERE state < 10") == [(0,)]


def test_a_rolling_restart_under_load_answers_only_200_and_leaves_no_unknown_outcome(running: Stage) -> None:
    (tenant,) = running.onboard("shop", report_deadline=300, cap=32)
    ports = [free_port(), free_port()]
    url = running.start_web("web-0", ports[0])
    running.start_web("web-1", ports[1])
    for n in range(2):
        running.start_worker(f"worker-{n}", url)
    load = Load(ports, tenant.token, CALLBACK.format(port=tenant.bloomreach_port))
    load.start()
    try:
        eventually(lambda: _sent(running) >= 50, within=60, what="messages flow")
        for n in range(2):
            assert running.terminate(f"web-{n}") == 0
            running.start_web(f"web-{n}", ports[n])
        for n in range(2):
            before = _sent(running)
            assert running.terminate(f"worker-{n}") == 0
            running.start_worker(f"worker-{n}", url)
            eventually(lambda before=before: _sent(running) > before + 50, within=60, what="messages flow on")
    finally:
        load.stop()
    assert set(load.answers) == {200}
    total = len(load.accepted)
    eventually(
        lambda: running.rows("SELECT count(*) FROM messaging_message WHERE state = 10") == [(total,)],
        within=120,
        what="all messages delivered",
    )
    assert running.rows(
        "SELECT count(*) FROM messaging_attempt WHERE outcome IS DISTINCT FROM 'taken'"
        " AND outcome IS DISTINCT FROM 'not_dialled'"
    ) == [(0,)]
    assert running.carrier_state()["twice"] == 0
    assert running.reconcile()["exit"] == 0
