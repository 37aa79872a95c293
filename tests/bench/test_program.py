"""`make bench QUICK=1`, shortened: a real run with real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import place
from dev import embedded

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_short_run_ends_with_one_line_of_json_and_leaves_nothing() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "WEB_WORKERS"}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--rounds", "1", "--seconds", "1"],
        cwd=place.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["errors"] == 0
    assert last["connections"] == 16
    assert last["rounds"] == 1
    assert last["fsync"] == "on"
    assert last["api_rps"] > 0
    assert last["floor_rps"] > 0
    assert last["api_p99_ms"] > 0
    assert last["floor_p99_ms"] > 0
    assert last["accepts_per_message"] == 1.0
    assert not embedded.is_running(place.postgres())
    assert not _left_running()


def _left_running() -> list[str]:
    """Command lines of servers that the run started."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"DATA_DIR={place.DIRECTORY}".encode() in path.read_bytes():
                commands.append(path.with_name("cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended just now, or is somebody else's
    return commands
