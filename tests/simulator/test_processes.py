"""Children: watched, restarted, ended; and gone when their starter is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator import processes
from simulator.listener import port_is_free
from simulator.processes import Child, ChildDied
from tests.waiting import eventually, free_port

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"DEBUG": "1", "DEMO": "1"}


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[Child]:
    """A real child: the carrier on a free port."""
    port = free_port()
    arguments = ["carrier", "--port", str(port), "--ledger", str(tmp_path / "ledger.jsonl")]
    child = processes.start(name="carrier", arguments=arguments, environment=ENVIRONMENT, logs=tmp_path)
    eventually(lambda: not port_is_free(port))
    yield child
    processes.stop([child], grace=5)


@pytest.mark.process
def test_a_child_ends_politely(carrier: Child) -> None:
    assert os.getsid(carrier.pid) == carrier.pid
    assert processes.stop([carrier]) == []
    assert carrier.process.returncode == 0


@pytest.mark.process
def test_a_killed_child_is_seen_and_started_again(carrier: Child) -> None:
    processes.refuse_dead([carrier])
    former = carrier.pid
    processes.kill_hard(carrier)
    with pytest.raises(ChildDied, match="carrier ended with code -9"):
        processes.refuse_dead([carrier])
    processes.restart(carrier)
    assert carrier.is_alive
    assert carrier.pid != former


@pytest.mark.process
def test_a_stubborn_child_is_killed_with_its_group(carrier: Child) -> None:
    carrier.process.send_signal(signal.SIGSTOP)  # it cannot hear the polite signal
    assert processes.stop([carrier], grace=0.3) == ["carrier"]
    assert carrier.process.returncode == -signal.SIGKILL


@pytest.mark.process
def test_a_child_that_keeps_dying_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SHORT_LIFE", 60.0)  # a busy machine starts it slowly
    child = processes.start(name="odd", arguments=["nonsense"], environment=ENVIRONMENT, logs=tmp_path)
    with pytest.raises(ChildDied, match=r"(?s)odd keeps dying.*nonsense"):
        for _ in range(processes.LIVES):
            child.process.wait(60)
            processes.restart(child)
    child.process.wait(60)


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_children_end_with_a_starter_that_was_killed() -> None:
    script = (
        "import subprocess, sys, time\n"
        "python, sleep = sys.executable, 'import time; time.sleep(600)'\n"
        "command = [python, '-m', 'messaging.watch.processes', python, '-c', sleep]\n"
        "print(subprocess.Popen(command, start_new_session=True).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        command = Path(f"/proc/{pid}/cmdline")
        eventually(
            lambda: (
                b"time.sleep(600)" in command.read_bytes() and b"messaging.watch" not in command.read_bytes()
            )
        )
        starter.kill()
    eventually(lambda: not command.exists() or command.read_bytes() == b"")
