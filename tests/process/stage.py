"""A connector of real processes for one test: its own database, carrier, web and worker, on free ports.

Nothing here looks inside: facts come over HTTP, from management commands' JSON and from rows.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import psycopg

from dev import embedded
from simulator.bloomreach import INBOUND
from tests import databases
from tests.waiting import answers, eventually, free_port

ROOT = Path(__file__).resolve().parents[2]
KEY = "stage-carrier-key"

ONBOARD = """
from datetime import timedelta
from messaging.onboarding import setup
for slug, port in {ports!r}.items():
    made = setup.create_tenant(slug=slug, name=slug)
    made.tenant.inbound_url_sms = f"http://127.0.0.1:{{port}}{inbound}"
    made.tenant.save()
    setup.connect(tenant=made.tenant, vendor="simulator", name=slug, cap={cap}, rate={rate},
        report_deadline=timedelta(seconds={report_deadline}),
        values={{"base_url": "{carrier}/accounts/" + slug, "api_key": "{key}", "capability": "{capability}"}})
    print("TENANT", slug, made.token_secret, made.callback_secret, port)
"""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant with a simulator account of the same name, and where its Bloomreach listens."""

    slug: str
    token: str
    secret: str
    bloomreach_port: int


@dataclass
class Stage:
    """The processes and what they need."""

    directory: Path
    database_url: str
    carrier_port: int = field(default_factory=free_port)
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def carrier_url(self) -> str:
        return f"http://127.0.0.1:{self.carrier_port}"

    def environment(self, **more: str) -> dict[str, str]:
        """What every process is told."""
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "connector.settings",
            "ENV_FILE": "",
            "DEBUG": "1",
            "DEMO": "1",
            "DATA_DIR": str(self.directory),
            "DATABASE_URL": self.database_url,
            "CALL_DEADLINE": "2",
            "CARRIER_PORT": str(self.carrier_port),
            "CARRIER_KEY": KEY,
            "WEB_WORKERS": "1",
            "LOG_LEVEL": "WARNING",
            **more,
        }

    def manage(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs a management command to its end."""
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        environment = self.environment(**more)
        return subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
        )

    def start(self, name: str, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """Starts a management command as a child in a session of its own; its output goes to NAME.log."""
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        with (self.directory / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                env=self.environment(**more),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.children[name] = child
        return child

    def start_web(self, name: str, port: int) -> str:
        """A web process that is ready; its address."""
        url = f"http://127.0.0.1:{port}"
        self.start(name, "web", PORT=str(port), PUBLIC_URL=url)
        eventually(lambda: answers(f"{url}/healthz"), what=f"{name} listens")
        return url

    def start_worker(self, name: str, public_url: str, **more: str) -> None:
        """A worker; the hook URLs that it hands out lead to `public_url`."""
        self.start(name, "worker", PUBLIC_URL=public_url, **more)

    def start_carrier(self) -> None:
        """The stand-in carrier, with a ledger that survives it."""
        self.start("carrier", "carrier", "--ledger", str(self.directory / "carrier.jsonl"))
        eventually(lambda: answers(f"{self.carrier_url}/counters"), what="the carrier listens")

    def onboard(self, *slugs: str, **options: Any) -> list[Tenant]:
        """Tenants with a simulator account each. Options: capability, report_deadline (s), cap, rate (segments/s)."""
        facts = {"capability": "look_up", "report_deadline": 60, "cap": 16, "rate": None, **options}
        script = ONBOARD.format(
            ports={slug: free_port() for slug in slugs},
            carrier=self.carrier_url,
            key=KEY,
            inbound=INBOUND,
            **facts,
        )
        done = self.manage("shell", "--no-imports", "-c", script)
        lines = [line.split() for line in done.stdout.splitlines() if line.startswith("TENANT ")]
        assert len(lines) == len(slugs), done.stderr
        return [Tenant(slug, token, secret, int(port)) for _, slug, token, secret, port in lines]

    def simulate(self, url: str, tenant: Tenant, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a campaign; `verdict` reads what it says in the end."""
        options = ["--base-url", url, "--token", tenant.token, "--secret", tenant.secret]
        options += ["--carrier-url", self.carrier_url, "--json", *arguments]
        command = [sys.executable, str(ROOT / "manage.py"), "simulate", *options]
        environment = self.environment(BLOOMREACH_PORT=str(tenant.bloomreach_port))
        with (self.directory / f"simulate-{tenant.slug}.log").open("ab") as log:
            return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)

    def verdict(self, campaign: subprocess.Popen[bytes]) -> dict[str, Any]:
        """The campaign's JSON, once it has ended."""
        output, _ = campaign.communicate(timeout=300)
        verdict: dict[str, Any] = json.loads(output)
        return {**verdict, "exit": campaign.returncode}

    def reconcile(self) -> dict[str, Any]:
        """What `manage.py reconcile` proves, with its exit code."""
        done = self.manage("reconcile", "--json")
        account: dict[str, Any] = json.loads(done.stdout)
        return {**account, "exit": done.returncode}

    def carrier_state(self) -> dict[str, Any]:
        """What the carrier took."""
        with urlopen(f"{self.carrier_url}/state?since=0", timeout=10) as answer:
            state: dict[str, Any] = json.load(answer)
            return state

    def rows(self, query: str, params: Mapping[str, Any] | None = None) -> list[Any]:
        """Rows of the connector's database."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query, params).fetchall()

    def kill(self, name: str) -> None:
        """SIGKILL of a child's main process alone, as the kernel does it."""
        self.children[name].kill()
        self.children[name].wait()

    def terminate(self, name: str, *, within: float = 40) -> int:
        """SIGTERM of a child's main process; its exit code."""
        self.children[name].terminate()
        return self.children[name].wait(within)

    def close(self) -> None:
        """Ends every child with its group."""
        for child in self.children.values():
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def logs(self) -> str:
        """The end of every log, for a failure's message."""
        return "\n".join(
            f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-25:])
            for path in sorted(self.directory.glob("*.log"))
        )


@contextmanager
def database() -> Iterator[str]:
    """The address of a new, migrated database on the test server."""
    name = f"test_stage_{uuid4().hex[:8]}"
    try:
        yield databases.create(name)
    finally:
        databases.drop(name)


@contextmanager
def server() -> Iterator[Path]:
    """Where the data of a PostgreSQL server lie that a test may stop and start; as durable as in production."""
    with tempfile.TemporaryDirectory(prefix="connector-server-") as directory:
        Path(directory).chmod(0o755)
        data = Path(directory) / "pg"
        try:
            embedded.start(data)
            yield data
        finally:
            embedded.destroy(data)


@contextmanager
def stage(database_url: str) -> Iterator[Stage]:
    """A stage over a migrated database, with a carrier; all processes are gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="connector-stage-"))
    directory.chmod(0o755)
    made = Stage(directory, database_url)
    try:
        made.start_carrier()
        yield made
    finally:
        print(made.logs())
        made.close()
