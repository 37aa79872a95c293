"""Processes that end with the one that started them: with their parent, through a fork, and when it is gone already."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from messaging.watch import processes
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 2**22 + 1  # larger than any process id
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child that its parent ended"
)


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


def has_ended(pid: int) -> bool:
    """Whether it is gone, or waits for somebody to ask for its exit code."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == b""
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_process_and_its_fork_end_with_their_parent() -> None:
    child = (
        "import os, time\n"
        "from messaging.watch import processes\n"
        "processes.end_with_parent()\n"
        "fork = os.fork()\n"
        "if fork:\n"
        "    print(os.getpid(), fork, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}], start_new_session=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        first, fork = (int(word) for word in starter.stdout.readline().split())
        assert not has_ended(first)
        assert not has_ended(fork)
        starter.kill()
    eventually(lambda: has_ended(first) and has_ended(fork))


def test_a_parent_that_ended_before_the_question() -> None:
    code = (
        "import signal\nfrom messaging.watch import processes\n"
        f"print(processes.signal_at_end_of({NOBODY}, signal.SIGTERM))"
    )
    assert run(code).stdout == "False\n"


@pytest.mark.parametrize(
    ("environ", "code", "said"),
    [
        pytest.param({}, 0, "", id="no web server"),
        pytest.param(
            {processes.WEB_SERVER_PID: str(NOBODY)},
            1,
            "The web server that started this process is gone.\n",
            id="gone",
        ),
        pytest.param({processes.WEB_SERVER_PID: str(os.getpid())}, 0, "", id="alive"),
    ],
)
def test_a_web_process_whose_server_is_gone_does_not_start(
    environ: dict[str, str], code: int, said: str
) -> None:
    done = run("from messaging.watch import processes\nprocesses.end_with_web_server()", **environ)
    assert (done.returncode, done.stderr) == (code, said)


def test_a_command_becomes_the_process_and_keeps_its_exit_code() -> None:
    command = [
        sys.executable,
        "-m",
        "messaging.watch.processes",
        sys.executable,
        "-c",
        "import sys; sys.exit(7)",
    ]
    assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == 7


def test_a_command_gets_a_sigterm_at_its_starters_end() -> None:
    """Not SIGKILL: servers and workers finish what they have begun."""
    code = (
        "import ctypes\n"
        "number = ctypes.c_int()\n"
        "ctypes.CDLL(None).prctl(2, ctypes.byref(number))\n"
        "print(number.value)\n"
    )
    command = [sys.executable, "-m", "messaging.watch.processes", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) == signal.SIGTERM
