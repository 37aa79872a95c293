"""`manage.py replay`: preview, consent, following, and how it exits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.db import connections

from messaging.management.commands import replay as command
from messaging.models import Event, Message, Replay
from messaging.replay import orders
from messaging.rules.values import EventState, MessageState
from tests import databases, factories
from vendors.values import Outcome

pytestmark = pytest.mark.django_db


def run(*args: str) -> tuple[int, list[str]]:
    out = StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("replay", *args, stdout=out)
    assert isinstance(left.value.code, int)
    return left.value.code, out.getvalue().splitlines()


def make_undeliverable(**overrides: Any) -> Event:
    return factories.make_event(state=EventState.UNDELIVERABLE, **overrides)


def make_failed(*outcomes: Outcome, **overrides: Any) -> Message:
    message = factories.make_message(
        **({"state": MessageState.FAILED, "attempts": len(outcomes)} | overrides)
    )
    for outcome in outcomes:
        factories.make_attempt(message, outcome=outcome)
    return message


@contextmanager
def pumping() -> Iterator[None]:
    """A pump beside the command, as the worker has."""
    over = threading.Event()

    def pump() -> None:
        try:
            while not over.wait(0.01):
                orders.advance(limit=2)
        finally:
            connections.close_all()

    thread = threading.Thread(target=pump)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "LOOK_EVERY", 0.01)


# ---- looking and asking


def test_a_dry_run_shows_and_changes_nothing() -> None:
    event = make_undeliverable()
    code, lines = run("events", "--dry-run")
    assert code == 0
    assert lines == ["1 events match, 1 of them would be replayed.", f"  {event.pk}"]
    assert not Replay.objects.exists()
    assert Event.objects.get().state == EventState.UNDELIVERABLE


def test_refusals_are_named_and_exit_1() -> None:
    fine, risky = make_failed(), make_failed(Outcome.UNKNOWN)
    code, lines = run("messages", "--dry-run")
    assert code == 1
    assert lines == [
        "2 messages match, 1 of them would be replayed.",
        "  1 not: may have been sent already (the duplicate flag resends it)",
        f"  {fine.pk}",
    ]
    code, lines = run("messages", "--dry-run", "--may-duplicate", "--id", str(risky.pk))
    assert code == 0
    assert "WARNING: 1 may have been sent already and may arrive twice." in lines


def test_nothing_matches() -> None:
    code, lines = run("messages", "--yes")
    assert (code, lines) == (1, ["0 messages match, 0 of them would be replayed."])
    assert not Replay.objects.exists()


def test_filters_arrive() -> None:
    now = datetime.now(UTC)
    event = make_undeliverable(created_at=now - timedelta(hours=2))
    make_undeliverable()
    message = event.message
    assert message is not None
    for args in (
        ["--tenant", message.tenant.slug],
        [f"--account={message.account.public_id}"],  # it may begin with a dash
        ["--id", str(event.pk)],
        ["--until", "1h"],
        ["--until", (now - timedelta(hours=1)).isoformat(), "--since", "3h"],
    ):
        assert run("events", "--dry-run", *args)[1][1:] == [f"  {event.pk}"], args
    assert run("events", "--dry-run", "--status", "acked")[0] == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        pytest.param(["messages", "--tenant", "nobody"], "Unknown tenant 'nobody'", id="tenant"),
        pytest.param(["messages", "--status", "dead"], "Unknown status 'dead'", id="status"),
        pytest.param(["events", "--may-duplicate"], "Only messages", id="flag"),
        pytest.param(["messages", "--report-corrections"], "from reports", id="corrections"),
        pytest.param(["messages", "--since", "1h", "--until", "2h"], "since must lie", id="backwards"),
        pytest.param(["messages", "--yes", "--rate", "0"], "rate must be", id="rate"),
        pytest.param(["messages", "--since", "soon"], "neither a time", id="time"),
        pytest.param(["messages", "--id", "7"], "invalid UUID value", id="id"),
        pytest.param(["mails"], "invalid choice", id="kind"),
        pytest.param(["messages"], "say --yes", id="not a terminal"),
    ],
)
def test_usage(args: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO())
    make_failed()
    with pytest.raises(CommandError, match=words) as refused:
        call_command("replay", *args, stdout=StringIO())
    if "invalid" not in words and "neither" not in words:  # those leave through argparse, with 2
        assert refused.value.returncode == 2
    assert not Replay.objects.exists()


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "orders"), [("y", 1), ("YES", 1), ("n", 0), ("", 0)])
def test_a_terminal_is_asked(answer: str, orders: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    make_undeliverable()
    code, lines = run("events", "--no-follow")
    assert Replay.objects.count() == orders
    assert code == (0 if orders else 1)
    assert lines[-1] == (
        f"Replay {Replay.objects.get().pk} is ordered." if orders else "Nothing was changed."
    )


def test_the_order_is_written_down() -> None:
    make_failed(Outcome.UNKNOWN)
    args = ["--may-duplicate", "--rate", "2.5", "--by", "ann", "--reason", "ticket 7"]
    code, _ = run("messages", "--yes", "--no-follow", *args)
    assert code == 0
    ordered = Replay.objects.get()
    assert (ordered.kind, ordered.may_duplicate, ordered.corrections) == ("messages", True, False)
    assert (ordered.rate, ordered.requested_by, ordered.reason) == (2.5, "ann", "ticket 7")
    assert (ordered.state, ordered.total) == ("running", 1)


def test_corrections_are_an_order_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    code, lines = run("reports", "--report-corrections", "--dry-run")
    assert (code, lines) == (1, ["0 vendor calls match, 0 of them would be replayed."])


# ---- following


@pytest.mark.django_db(transaction=True)
def test_following_shows_progress_to_the_end() -> None:
    events = [make_undeliverable() for _ in range(5)]
    with pumping():
        code, lines = run("events", "--yes")
    ordered = Replay.objects.get()
    assert code == 0
    assert lines[-1] == f"Replay {ordered.pk} is done: 5 replayed, 0 left alone."
    assert "5/5" in lines
    assert Event.objects.filter(state=EventState.DUE).count() == len(events)


@pytest.mark.django_db(transaction=True)
def test_rows_left_alone_exit_1() -> None:
    make_failed(), make_failed(error_code="opted_out")
    with pumping():
        code, lines = run("messages", "--yes")
    assert code == 1
    assert lines[-1].endswith("is done: 1 replayed, 1 left alone.")


@pytest.mark.django_db(transaction=True)
def test_a_replay_that_somebody_stops_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    make_undeliverable()

    def sleep(seconds: float) -> None:
        orders.stop(Replay.objects.get())

    monkeypatch.setattr(command.time, "sleep", sleep)
    code, lines = run("events", "--yes")
    assert code == 1
    assert lines[-1].endswith("is stopped: 0 replayed, 0 left alone.")


@pytest.mark.django_db(transaction=True)
def test_without_a_worker_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "PATIENCE", 0.0)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            orders.advance()

    monkeypatch.setattr(command.time, "sleep", sleep)
    monkeypatch.setattr(command.time, "monotonic", lambda: 10.0 * len(looks))
    make_undeliverable()
    code, lines = run("events", "--yes")
    assert code == 0
    assert lines.count("No progress yet. Is a worker running (manage.py worker)?") == 1


@pytest.mark.process
@pytest.mark.django_db(transaction=True)
def test_ctrl_c_leaves_the_replay_running() -> None:
    make_undeliverable()
    process = subprocess.Popen(
        [sys.executable, "-u", "manage.py", "replay", "events", "--yes"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "DATABASE_URL": databases.url(database.settings_dict["NAME"])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    seen: list[str] = []
    while not seen or "is ordered" not in seen[-1]:
        seen.append(process.stdout.readline())
        assert seen[-1], seen
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    ordered = Replay.objects.get()
    assert process.returncode == 130
    assert f"Replay {ordered.pk} goes on" in rest
    assert (ordered.state, ordered.done) == ("running", 0)
    orders.advance()
    ordered.refresh_from_db()
    assert (ordered.state, ordered.done) == ("done", 1)


def test_unknown_ids_match_nothing() -> None:
    make_undeliverable()
    assert run("events", "--dry-run", "--id", str(uuid4()))[0] == 1
