"""A full disk costs counts and log lines, and no process: shown by real processes on real full disks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from messaging.watch import counter_files
from messaging.watch.counter_files import WholeFile
from tests.disks import full

ROOT = Path(__file__).resolve().parents[2]
COUNT = """
import logging, resource, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
if {limit}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from prometheus_client import Counter
from messaging.watch import counters
for n in range({labels}):
    counters.requests_refused.labels(f"code-{{n}}").inc()
counters.requests_refused.labels("code-0").inc()
print(int(counters.requests_refused.labels("code-0")._value.get()), flush=True)
"""


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    with full(tmp_path) as directory:
        yield directory


def count(directory: Path, *, limit: int = 0, labels: int = 1) -> subprocess.CompletedProcess[str]:
    """A process that counts into the directory."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(directory)}
    command = [sys.executable, "-c", COUNT.format(limit=limit, labels=labels)]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_counting_on_a_full_disk_kills_nobody(full_disk: Path) -> None:
    done = count(full_disk)
    assert (done.returncode, done.stdout) == (0, "counters are kept in memory\n2\n"), done.stderr
    assert [path.name for path in full_disk.iterdir()] == ["fill"]


def test_a_disk_that_fills_later_kills_nobody(tmp_path: Path) -> None:
    """Room for the first 64 KB and no more: entries beyond them are kept in memory."""
    done = count(tmp_path, limit=100_000, labels=1000)
    assert (done.returncode, done.stdout) == (0, "counters are kept in memory\n2\n"), done.stderr


def test_with_room_the_file_is_whole(tmp_path: Path) -> None:
    done = count(tmp_path, labels=1000)
    assert (done.returncode, done.stdout) == (0, "2\n")
    (file,) = tmp_path.iterdir()
    assert file.stat().st_blocks * 512 >= file.stat().st_size >= 2 * counter_files.SIZE
    found = {key: value for key, value, *_ in WholeFile.read_all_values_from_file(str(file))}
    assert len(found) == 1000
    assert sum(found.values()) == 1001


def test_memory_grows_and_remembers(tmp_path: Path) -> None:
    held = WholeFile(str(tmp_path / "missing" / "counter_1.db"))
    for n in range(2000):
        held.write_value(f"key-{n}", float(n), 0.0)
    assert [held.read_value(f"key-{n}")[0] for n in range(2000)] == [float(n) for n in range(2000)]
    held.close()


def test_a_file_that_is_there_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "counter_1.db"
    path.touch()
    for value in (1.0, 2.0):
        held = WholeFile(str(path))
        held.write_value("key", value, 0.0)
        held.close()
    assert [(key, value) for key, value, *_ in WholeFile.read_all_values_from_file(str(path))] == [
        ("key", 2.0)
    ]


def test_a_full_log_disk_loses_logs_and_nothing_else() -> None:
    code = (
        "import logging; from connector import logging as ours;"
        "ours.configure({'level': 'INFO', 'pii': False, 'console': False});"
        "[logging.getLogger('x').error('line %d', n, exc_info=ValueError('x')) for n in range(1000)];"
        "print('went on', flush=True)"
    )
    command = [sys.executable, "-c", code]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=full, text=True, timeout=60, check=False
        )
    assert done.stdout == "went on\n"
