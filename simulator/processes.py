"""The demo's child processes: each in a session of its own, its output in a file, ended politely first."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

GRACE = 20.0  # seconds between the polite signal and the other one
TAIL = 15  # lines of a dead child's log that are shown
SHORT_LIFE, LIVES = 5.0, 3  # a child that dies so young so often is not started again


class ChildDied(RuntimeError):
    """A child ended by itself; the text has the end of its log."""


@dataclass
class Child:
    """One process and how it was started."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes]
    started_at: float
    short_lives: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL:])


def start(*, name: str, arguments: Sequence[str], environment: Mapping[str, str], logs: Path) -> Child:
    """Starts `manage.py ARGUMENTS…`; its output is appended to `logs`/NAME.log."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    return Child(name, arguments, environment, log, _spawn(arguments, environment, log), time.monotonic())


def restart(child: Child) -> None:
    """Starts it again, the same way. Raises ChildDied when it keeps dying young."""
    young = time.monotonic() - child.started_at < SHORT_LIFE
    child.short_lives = child.short_lives + 1 if young else 0
    if child.short_lives >= LIVES:
        raise ChildDied(f"{child.name} keeps dying. The end of {child.log}:\n{child.tail()}")
    child.process = _spawn(child.arguments, child.environment, child.log)
    child.started_at = time.monotonic()


def kill_hard(child: Child) -> None:
    """kill -9 of the main process, as the kernel does it when memory runs out."""
    child.process.kill()
    child.process.wait()


def refuse_dead(children: Sequence[Child]) -> None:
    """Raises ChildDied for the first child that has ended."""
    for child in children:
        if not child.is_alive:
            ending = f"{child.name} ended with code {child.process.returncode}"
            raise ChildDied(f"{ending}. The end of {child.log}:\n{child.tail()}")


def stop(children: Sequence[Child], *, grace: float = GRACE) -> list[str]:
    """SIGTERM to the main processes, then, after the grace, SIGKILL to their groups. Names of those it took."""
    for child in children:
        if child.is_alive:
            child.process.terminate()
    until = time.monotonic() + grace
    stubborn = []
    for child in children:
        try:
            child.process.wait(max(until - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            stubborn.append(child.name)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.process.wait()
    return stubborn


def _spawn(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    manage = settings.BASE_DIR / "manage.py"
    command = [sys.executable, "-m", "messaging.watch.processes", sys.executable, str(manage), *arguments]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
