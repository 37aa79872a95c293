"""`manage.py carrier`: the stand-in carrier, a program of its own."""

from __future__ import annotations

import os
import signal
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from simulator import server
from simulator.demo import carrier_port
from simulator.listener import PortTaken


class Command(BaseCommand):
    help = "Serve the stand-in carrier on loopback (demo and development only). CARRIER_KEY is its API key."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=carrier_port(), help="default: CARRIER_PORT")
        parser.add_argument("--delay", type=float, default=server.DELAY, help="seconds until a report")
        parser.add_argument("--latency", type=float, default=0.0, help="seconds until a send is answered")
        parser.add_argument("--ledger", type=Path, help="file that remembers what was taken")

    def handle(self, *args: Any, **options: Any) -> None:
        if not (settings.DEBUG or settings.DEMO):
            raise CommandError("The stand-in carrier is for development: set DEBUG=1 or DEMO=1.")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            server.serve_until(
                stop,
                port=options["port"],
                path=options["ledger"] or settings.DATA_DIR / "carrier" / "ledger.jsonl",
                key=os.environ.get("CARRIER_KEY", ""),
                delay=options["delay"],
                latency=options["latency"],
            )
        except PortTaken as error:
            raise CommandError(f"{error}: set CARRIER_PORT to another one.") from None
