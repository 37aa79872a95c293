"""Gives each test run a PostgreSQL of its own, before Django reads its settings.

Loaded by `-p tests.pg_plugin`, since pytest-django reads the settings before any conftest.py. DATABASE_URL
names another server instead, TEST_PG_BIN other binaries. Under xdist the controller starts the one server.
"""

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from dev import embedded
from tests import databases

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "connector.settings",
    "ENV_FILE": "",
    "DEBUG": "0",
    "DEMO": "0",
    "EXTRA_APPS": "dev,simulator",
    "SECRET_KEY": "for tests only: not a secret, long enough for the deployment checks",
    "FIELD_KEY": "dGVzdHMgb25seSwgdGhpcnR5LXR3byBieXRlcyBsb24=",
    "PUBLIC_URL": "https://connector.example",
    "ALLOWED_NETWORKS": "127.0.0.0/8",  # where the vendors' stand-ins listen
    "CALL_DEADLINE": "2",
    "LOG_LEVEL": "INFO",
}
# Quick, and without statistics that depend on which tests came before.
FAST = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Set the environment and start the server (in the controller only: workers inherit both)."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    os.environ.update(ENVIRONMENT)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background job, and in all it starts
        signal.signal(signal.SIGINT, signal.default_int_handler)
    scratch = Path(tempfile.mkdtemp(prefix="connector-test-"))
    scratch.chmod(0o755)
    os.environ["DATA_DIR"] = str(scratch / "data")
    # At exit, and not in pytest_unconfigure, which a failing start of Django never reaches.
    atexit.register(_clean_up, scratch, os.getpid())
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = embedded.start(scratch / "pg", settings=FAST)


def _clean_up(scratch: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child of a test leaves the server alone
        databases.clean_up()
        embedded.destroy(scratch / "pg")
        shutil.rmtree(scratch, ignore_errors=True)
