"""Ends a process whose main loop stands still, so that whoever started it starts a new one. Tells systemd as well."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0  # seconds
BLIND = 5.0  # seconds between two looks, after which it was this whole process that stood still
STOOD_STILL = 70  # exit code


class Watchdog:
    """A thread that ends the process when the loop inside the `with` block has not turned for `patience` seconds.

    A process that was stopped, or a machine that was paused, is no loop that stands still: it gets its time again.
    """

    def __init__(self, name: str, *, patience: float) -> None:
        self.name = name
        self.patience = patience
        self._ends_at = 0.0
        self._over = threading.Event()

    def turned(self, *, allow: float | None = None) -> None:
        """The loop has turned. `allow`: seconds for what comes next, where it may take longer."""
        self._ends_at = time.monotonic() + (allow or self.patience)

    def __enter__(self) -> Self:
        self.turned()
        threading.Thread(target=self._watch, name=f"watchdog-{self.name}", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def _watch(self) -> None:
        looked_at = time.monotonic()
        while not self._over.wait(LOOK_EVERY):
            now = time.monotonic()
            if now - looked_at > BLIND:
                self.turned()
            looked_at = now
            if now > self._ends_at:
                log.error("main loop stands still: ending the process", extra={"loop": self.name})
                os._exit(STOOD_STILL)
            notify("WATCHDOG=1")


def notify(words: str) -> None:
    """Tells systemd, where it started this process (sd_notify(3)): READY=1, WATCHDOG=1, STOPPING=1."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        try:
            notifier.sendto(words.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError as error:  # it will end a process that it does not hear, and start a new one
            log.warning("systemd cannot be told", extra={"error": type(error).__name__})
