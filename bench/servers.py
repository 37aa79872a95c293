"""Child processes that end with the benchmark, and the processor time that each has used."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.place import DIRECTORY, HOST, ROOT

START_SECONDS, STOP_SECONDS = 60.0, 40.0
TAIL = 15  # lines of a failed child's log that are shown


class NotServing(RuntimeError):
    """A child did not start, or ended by itself; the text has the end of its log."""


@dataclass(frozen=True)
class Server:
    """One child in a session of its own, so that all its descendants can be found."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def cpu_seconds(self) -> float | None:
        """Processor time of the child and its living descendants; None where /proc does not tell."""
        stats = list(Path("/proc").glob("[0-9]*/stat"))
        return sum(_ticks(path, self.process.pid) for path in stats) / _HERTZ if stats else None

    def complaint(self, words: str) -> NotServing:
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL:])
        return NotServing(f"{self.name} {words}. The end of its log:\n{tail}")


_HERTZ = os.sysconf("SC_CLK_TCK")


def _ticks(path: Path, session: int) -> int:
    try:
        fields = path.read_text().rpartition(")")[2].split()
    except OSError:  # it ended just now
        return 0
    # After the name: state, parent, group, session, ... utime and stime are the 12th and 13th.
    return int(fields[11]) + int(fields[12]) if int(fields[3]) == session else 0


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    *,
    port: int = 0,
    ready: str = "",
    more: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Runs a Python command until the block is left; with `ready`, waits for a 200 at that path first."""
    log = DIRECTORY / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "messaging.watch.processes", sys.executable, *command],
            env={**os.environ, **(more or {})},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(name, process, port, log)
    try:
        if ready:
            _wait(server, ready)
        yield server
    finally:
        _stop(process)


def _wait(server: Server, path: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if server.process.poll() is not None:
            raise server.complaint(f"ended with code {server.process.returncode}")
        if _status(server.port, path) == 200:
            return
        time.sleep(0.1)
    raise server.complaint(f"did not answer within {START_SECONDS:.0f} s")


def _status(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the main process, and SIGKILL to whatever of its group outlives the grace."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
