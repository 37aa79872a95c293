"""Where the benchmark happens: a directory, keys and settings of its own, made before Django reads them."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from dev import embedded

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / ".data" / "bench"  # on the disk that the project lies on: fsync must cost what it costs
HOST = "127.0.0.1"
# What a deployment may set for itself and would change what is measured without a word.
FOREIGN = (
    "DB_POOL",
    "TRUSTED_PROXIES",
    "STATIC_ROOT",
    "MAX_BODY",
    "PROMETHEUS_MULTIPROC_DIR",
    "Q_CLUSTER_NAME",
)


class Busy(RuntimeError):
    """Another benchmark of this directory is running."""


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def postgres() -> Path:
    return DIRECTORY / "pg"


def prepare() -> None:
    """Settings as in production, with keys made for this run, for this process and its children."""
    for name in FOREIGN:
        os.environ.pop(name, None)
    os.environ.update(
        {
            "DJANGO_SETTINGS_MODULE": "connector.settings",
            "ENV_FILE": "",
            "DEBUG": "0",
            "DEMO": "0",
            "EXTRA_APPS": "simulator",
            "DATA_DIR": str(DIRECTORY),
            "ALLOWED_NETWORKS": "127.0.0.0/8",  # where the carrier of the benchmark listens
            "DATABASE_URL": embedded.url(postgres()),
            "SECRET_KEY": secrets.token_urlsafe(48),
            "FIELD_KEY": Fernet.generate_key().decode(),
            "PUBLIC_URL": "https://connector.example",
            "ALLOWED_HOSTS": HOST,
            "HOST": HOST,
            "PORT": str(free_port()),
            "CALL_DEADLINE": "15",
            "LOG_LEVEL": "WARNING",
        }
    )


@contextmanager
def database() -> Iterator[str]:
    """A new, empty server with PostgreSQL's own settings (fsync on); its URL. Raises Busy, EmbeddedError.

    What a killed benchmark left behind is cleared away first.
    """
    DIRECTORY.parent.mkdir(exist_ok=True)
    with (DIRECTORY.parent / "bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("Another benchmark is running here; two would measure each other.") from None
        embedded.destroy(postgres())
        shutil.rmtree(DIRECTORY, ignore_errors=True)  # logs too: they are kept until the next run
        try:
            yield embedded.start(postgres())
        finally:
            embedded.destroy(postgres())
