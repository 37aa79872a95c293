"""A main loop that stands still ends its process; one that turns, or could not turn, does not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from messaging.watch import watchdog
from messaging.watch.watchdog import Watchdog

ROOT = Path(__file__).resolve().parents[2]
LOOP = """
import logging, sys, time
from messaging.watch import watchdog
logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
watchdog.LOOK_EVERY, watchdog.BLIND = 0.05, 0.5
with watchdog.Watchdog("test", patience=1.0) as dog:
    print("running", flush=True)
    {body}
"""


def start(body: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LOOP.format(body=body)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "running\n"
    return child


def test_a_loop_that_stands_still_ends_its_process() -> None:
    _, said = (child := start("time.sleep(60)")).communicate(timeout=30)
    assert child.returncode == watchdog.STOOD_STILL
    assert said == "ERROR main loop stands still: ending the process\n"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("for _ in range(30): time.sleep(0.1); dog.turned()", id="it turns"),
        pytest.param("dog.turned(allow=60); time.sleep(3)", id="it was allowed longer"),
    ],
)
def test_a_loop_that_turns_lives(body: str) -> None:
    _, said = (child := start(body)).communicate(timeout=30)
    assert (child.returncode, said) == (0, "")


def test_a_process_that_was_stopped_gets_its_time_again() -> None:
    child = start("for _ in range(20): time.sleep(0.1); dog.turned()")
    child.send_signal(signal.SIGSTOP)
    time.sleep(2.5)  # longer than the loop's patience
    child.send_signal(signal.SIGCONT)
    _, said = child.communicate(timeout=30)
    assert (child.returncode, said) == (0, "")


def test_after_the_block_nobody_watches() -> None:
    with Watchdog("test", patience=0.01) as dog:
        dog.turned(allow=60)
    assert dog._over.is_set()


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_hears(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"\0connector-test-{os.getpid()}" if kind == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name)
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        watchdog.notify("READY=1")
        assert systemd.recv(100) == b"READY=1"
        monkeypatch.setattr(watchdog, "LOOK_EVERY", 0.01)
        with Watchdog("test", patience=60):
            assert systemd.recv(100) == b"WATCHDOG=1"


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    watchdog.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    watchdog.notify("READY=1")
