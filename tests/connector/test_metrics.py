"""/metrics: counters, gauges from the rows, and the shared directory."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.test import Client

from connector import metrics
from messaging.models import Slot
from tests.factories import make_message


@pytest.mark.django_db
def test_the_rows_are_shown_as_gauges(client: Client) -> None:
    now = datetime.now(UTC)
    Slot.objects.create(worker="w1", n=0, beat_at=now - timedelta(seconds=2))
    make_message(due_at=now - timedelta(seconds=30))
    lines = client.get("/metrics").content.decode().splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert found["connector_ready"] == "1.0"
    assert 1 < float(found["connector_pump_beat_age_seconds"]) < 20
    assert 29 < float(found['connector_oldest_due_age_seconds{kind="dispatch"}']) < 50
    assert 'connector_oldest_due_age_seconds{kind="inbox"}' not in found


def test_files_of_dead_processes_are_deleted(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    directory = tmp_path / "metrics"
    directory.mkdir()
    for pid in (child.pid, os.getpid()):
        (directory / f"counter_{pid}.db").touch()
    metrics.prepare(directory)
    assert [file.name for file in directory.iterdir()] == [f"counter_{os.getpid()}.db"]
    metrics.prepare(tmp_path / "new" / "metrics")
    assert (tmp_path / "new" / "metrics").is_dir()
