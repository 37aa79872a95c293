"""`manage.py worker`: hands messages to vendors and events to Bloomreach. Run as many as you like."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand

from messaging.worker.supervisor import Supervisor


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT; calls in flight are finished first."""

    help = "Sends messages and callbacks until it is told to stop (SIGTERM, SIGINT)."

    requires_system_checks = ("connector",)  # the others would import the desk and all vendors

    def handle(self, *args: Any, **options: Any) -> None:
        supervisor = Supervisor(Path(sys.argv[0]).resolve())

        def stop(number: int, frame: FrameType | None) -> None:
            supervisor.stop.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        supervisor.run()
