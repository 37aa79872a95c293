"""A web process tells systemd that the server still answers, as long as it does (`WatchdogSec` in the unit)."""

from __future__ import annotations

import http.client
import os
import threading

from django.conf import settings

from messaging.watch.watchdog import notify

EVERY = 10.0  # seconds
PATIENCE = 5.0  # seconds for an answer
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  (not bound to, dialled)


def start() -> None:
    """Asks now and then, in a thread of its own, where systemd listens. Called by the web server's entry point."""
    if os.environ.get("NOTIFY_SOCKET"):
        threading.Thread(target=_run, args=[threading.Event()], name="pulse", daemon=True).start()


def _run(over: threading.Event) -> None:
    while not over.wait(EVERY):
        if answers():
            notify("WATCHDOG=1")


def answers() -> bool:
    """Whether the server gives any answer to /healthz in time: that a thread was free to write it is enough."""
    client = http.client.HTTPConnection(
        EVERYWHERE.get(settings.HOST, settings.HOST), settings.PORT, timeout=PATIENCE
    )
    try:
        client.request("GET", "/healthz", headers={"Connection": "close"})
        client.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()
    return True
