"""Load on one address: wrk when it is on the PATH, else the generator of our own."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from bench import generator
from bench.generator import Measured

SCRIPT = Path(__file__).with_name("load.lua")
ADVICE = "wrk is not on the PATH (Debian, Ubuntu: the package `wrk`); the built-in generator is used instead."
MARGIN = 30.0  # seconds that wrk may take beyond what it was asked for


class LoadFailed(RuntimeError):
    """The load generator itself failed."""


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """Where the requests go, and who sends them. `MARK` in the body stands for the request id."""

    url: str  # of the server
    path: str
    token: str = field(repr=False)
    body: str = field(repr=False)
    connections: int = 16


def name() -> str:
    """Which generator `run` uses: "wrk" or "built-in"."""
    return "wrk" if shutil.which("wrk") else "built-in"


def run(target: LoadTarget, *, seconds: float, prefix: str, same: bool = False) -> Measured:
    """Load for so many seconds. Every request has an id of its own, beginning with `prefix`; with `same`, all
    have the id `prefix`. Raises LoadFailed."""
    if name() == "wrk":
        return _wrk(target, seconds, prefix, same)
    requests = generator.Requests(target.url, target.path, target.token, target.body, prefix, same)
    return generator.run(requests, connections=target.connections, seconds=seconds)


def _wrk(target: LoadTarget, seconds: float, prefix: str, same: bool) -> Measured:
    """One thread of wrk: the processors are shared with what it measures."""
    command = ["wrk", "-t1", f"-c{target.connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT)]
    given = [target.token, target.body, generator.MARK, prefix, "same" if same else "new"]
    done = subprocess.run(
        [*command, target.url + target.path, "--", *given],
        capture_output=True,
        text=True,
        timeout=seconds + MARGIN,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise LoadFailed(f"wrk failed with code {done.returncode}: {done.stderr.strip()[-500:]}")
    return Measured(**json.loads(lines[-1]))
