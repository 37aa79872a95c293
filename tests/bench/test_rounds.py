"""What the comparison makes of its rounds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench import accept, load, rounds, tenants
from bench.generator import MARK, Measured
from bench.load import LoadTarget
from bench.rounds import Results
from bench.statements import Counted
from messaging.contract import wire
from simulator.listener import Call, Listener, Reply


def _measured(requests: int, *, seconds: float = 2.0, errors: int = 0, p99: float = 20.0) -> Measured:
    return Measured(requests, seconds, errors, p99 / 2, p99)


def test_medians_ratio_and_statements() -> None:
    floor = Results(
        [_measured(4000), _measured(2000), _measured(3000)], rows=9000, cpu_ms=[0.5, 0.4, 0.6], lost=0
    )
    api = Results(
        [_measured(1000, p99=90.0), _measured(1800, p99=50.0), _measured(1500, p99=70.0)],
        rows=4300,
        cpu_ms=[1.4, 1.2, 1.3],
        counted=Counted(4343, 4300),
    )
    assert accept.facts({"floor": floor, "api": api}) == {
        "api_rps": 750.0,
        "floor_rps": 1500.0,
        "ratio": 0.5,
        "api_p99_ms": 70.0,
        "floor_p99_ms": 20.0,
        "api_cpu_ms": 1.3,
        "floor_cpu_ms": 0.5,
        "statements_per_message": 1.01,
        "accepts_per_message": 1.0,
        "errors": 0,
    }


def test_errors_of_both_sides_count_and_so_do_lost_rows() -> None:
    floor = Results([_measured(100, errors=1)], rows=99)
    api = Results([_measured(100, errors=2)], rows=98, lost=4)
    assert accept.facts({"floor": floor, "api": api})["errors"] == 7


@pytest.mark.parametrize(
    ("measured", "made", "lost"),
    [
        pytest.param(_measured(100), 100, 0, id="a row for each"),
        pytest.param(_measured(100), 116, 0, id="cut off at the end"),
        pytest.param(_measured(100, errors=3), 97, 0, id="errors make no rows"),
        pytest.param(_measured(100), 40, 60, id="duplicates answered as new"),
    ],
)
def test_each_200_needs_a_row(measured: Measured, made: int, lost: int) -> None:
    assert rounds.without_row(measured, made) == lost


def _target(url: str) -> LoadTarget:
    return LoadTarget(url, "/sms/send", "token", json.dumps({"request_id": MARK}), connections=2)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param("built-in", id="without wrk"),
        pytest.param(
            "wrk", id="wrk", marks=pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
        ),
    ],
)
@pytest.mark.parametrize("same", [False, True], ids=["new", "same"])
def test_both_generators_send_the_same(
    found: str, same: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if found == "built-in":
        monkeypatch.setenv("PATH", str(tmp_path))
    assert load.name() == found
    bodies: list[bytes] = []

    def take(call: Call) -> Reply:
        bodies.append(call.body)
        return Reply(200, {})

    listener = Listener(take)
    listener.start()
    try:
        measured = load.run(_target(listener.url), seconds=1, prefix="here", same=same)
    finally:
        listener.stop()
    assert measured.errors == 0
    # Copied once: what was in flight at the end may still be arriving.
    ids = [json.loads(body)["request_id"] for body in list(bodies)]
    assert len(set(ids)) == (1 if same else len(ids))
    assert all(request_id.startswith("here") for request_id in ids)
    assert measured.requests <= len(ids) <= measured.requests + 2


def test_the_request_is_one_that_the_contract_allows() -> None:
    body = json.loads(tenants.body(callback_url=accept.CALLBACK_URL))
    request = wire.parse_sms(body, callback_hosts=("bloomreach.co",))
    assert (request.request_id, request.extra) == (MARK, {})
