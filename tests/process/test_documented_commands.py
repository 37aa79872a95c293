"""Every command of the documentation that is marked runnable is run as it stands there, beside a `make run`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.stage import ROOT, database
from tests.waiting import eventually, free_port

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(400)]

PAGES = ("README.md", "docs/quickstart.md", "docs/debugging.md", "docs/operations.md", "docs/replay.md")
# The mark, an empty line, and an indented block.
BLOCK = re.compile(r"<!-- runnable -->\n\n((?:[ \t]+\S[^\n]*\n)+)")


def commands(page: str) -> list[str]:
    """The lines of a page's runnable blocks."""
    blocks = BLOCK.findall((ROOT / page).read_text())
    return [line.strip() for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def demo() -> Iterator[dict[str, str]]:
    """The environment of `make run`, which serves after a short campaign."""
    directory = Path(tempfile.mkdtemp(prefix="connector-docs-"))
    directory.chmod(0o755)
    port = free_port()
    with database() as url:
        environment = {
            **os.environ,
            "ENV_FILE": "",
            "DEBUG": "1",
            "DEMO": "1",
            "DATA_DIR": str(directory),
            "DATABASE_URL": url,
            "PORT": str(port),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "CARRIER_PORT": str(free_port()),
            "BLOOMREACH_PORT": str(free_port()),
            "PROMETHEUS_MULTIPROC_DIR": str(directory / "metrics"),
        }
        with (directory / "run.log").open("wb") as log:
            command = [sys.executable, "manage.py", "run", "--calm", "--sms", "10", "--mms", "1"]
            running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            eventually(lambda: "Still serving" in (directory / "run.log").read_text(), within=200)
            yield environment
        finally:
            print((directory / "run.log").read_text()[-3000:])
            running.terminate()
            running.wait(60)
            shutil.rmtree(directory, ignore_errors=True)


def run(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A line as a shell runs it in the project's directory."""
    python = f"'{sys.executable}'"
    line = re.sub(r"^(?:\.venv/bin/)?(?:python )?manage\.py", f"{python} manage.py", line)
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        stdin=subprocess.DEVNULL,
    )


def test_every_runnable_command_runs(demo: dict[str, str]) -> None:
    failed = {}
    for page in PAGES:
        for line in commands(page):
            done = run(line, demo)
            if done.returncode != 0:
                failed[f"{page}: {line}"] = (done.stdout + done.stderr)[-1500:]
    assert failed == {}


def test_the_curl_that_is_printed_runs(demo: dict[str, str]) -> None:
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    log = Path(demo["DATA_DIR"]) / "run.log"
    printed = re.search(r"^curl .*\\\n.*$", log.read_text(), re.MULTILINE)
    assert printed is not None
    first, second = (run(printed.group(), demo).stdout for _ in range(2))
    assert '"duplicate":false' in first
    assert '"duplicate":true' in second


def test_enough_is_marked() -> None:
    assert {page: len(commands(page)) > 0 for page in PAGES[:3]} == dict.fromkeys(PAGES[:3], True)
