"""`manage.py web`: serve HTTP with granian, in place of this process."""

import os
import socket
import sys
import time
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from connector import metrics, threads
from messaging.watch import processes

DRAIN_SECONDS = 20  # requests end within 5 s of database and 3 s of vendor time
WATCHED = ("accounts", "connector", "messaging", "outbound", "phone", "simulator", "templates", "vendors")
RELOAD_SECONDS = 5  # what a new process gets to start, on SIGHUP, before the old one leaves


class Command(BaseCommand):
    help = (
        "Serve Bloomreach, vendors and the desk on HOST:PORT. SIGTERM ends it after the requests in flight; "
        "SIGHUP replaces its processes one by one without closing the port."
    )

    requires_system_checks = ("connector",)  # the others would import the desk and all vendors

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--share-port",
            action="store_true",
            help="start beside a server on the same port; stop the old one when this one answers",
        )

        parser.add_argument(
            "--reload",
            action="store_true",
            help="for development: start the server's processes again when code or a template changes (DEBUG=1)",
        )

    def handle(self, *args: Any, share_port: bool, reload: bool, **options: Any) -> None:
        if reload:
            refuse_to_reload()
        if not share_port:
            refuse_taken_port(settings.HOST, settings.PORT)
        metrics.prepare(settings.METRICS_DIR)
        environ = os.environ | {
            "DJANGO_SETTINGS_MODULE": "connector.settings",
            # A pooled connection for each thread of a process; only these processes may have a pool.
            "DB_POOL": str(settings.WEB_THREADS + threads.OTHERS),
            processes.WEB_SERVER_PID: str(os.getpid()),
            processes.WEB_SERVER_BEGAN: str(time.time()),
            metrics.SHARED: str(settings.METRICS_DIR),
        }
        os.chdir(settings.BASE_DIR)
        watching = reload_arguments() if reload else []
        arguments = [*server_arguments(), *watching, "--interface", "rsgi", "connector.serving:application"]
        os.execve(sys.executable, [sys.executable, "-m", "granian", *arguments], environ)  # noqa: S606


def refuse_taken_port(host: str, port: int) -> None:
    """Raise CommandError when somebody listens there (granian would share the port without a word)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {host}:{port} ({error.strerror}). Set PORT (or HOST)."
            ) from None


def refuse_to_reload() -> None:
    """Raise CommandError where code must not be watched: in production, or without the package that does it."""
    if not settings.DEBUG:
        raise CommandError("--reload is for development: it needs DEBUG=1.")
    if find_spec("watchfiles") is None:
        raise CommandError("--reload needs the package watchfiles, which requirements-dev.txt installs.")


def reload_arguments() -> list[str]:
    """granian's options for development. DATA_DIR is not watched; code that cannot be imported does not end it."""
    paths = [part for name in WATCHED for part in ("--reload-paths", str(settings.BASE_DIR / name))]
    return ["--reload", "--reload-ignore-worker-failure", *paths]


def server_arguments() -> list[str]:
    """granian's options. Beyond `backpressure` connections per process the others wait in the backlog."""
    options = {
        "--host": settings.HOST,
        "--port": settings.PORT,
        "--http": 1,
        "--workers": settings.WEB_WORKERS,
        "--backlog": 2048,
        "--backpressure": 4096,
        "--http1-header-read-timeout": 10_000,
        "--respawn-interval": RELOAD_SECONDS,
        "--workers-kill-timeout": DRAIN_SECONDS,
        "--log-level": "warning",
    }
    flags = ["--no-ws", "--no-access-log", "--respawn-failed-workers"]
    pairs = [part for name, value in options.items() for part in (name, str(value))]
    return [*pairs, *flags]
