"""`manage.py rotate_keys`: everything sealed goes under the first FIELD_KEY, and that is proved at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser

from accounts import rotation
from accounts.rotation import Place, Tally

TELL_EVERY: Final = 5.0  # seconds


class Command(BaseCommand):
    help = (
        "Seal every stored secret anew under the first FIELD_KEY. Put the new key first, restart web and worker, "
        "run this, then drop the old key. It may be stopped and run again. Exits 0 when everything opens with "
        "the first key alone (the old ones can go), 1 when something does not."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only look: can the old keys go?")
        parser.add_argument("--batch", type=int, default=rotation.BATCH, help="rows per transaction")

    def handle(self, *args: Any, **options: Any) -> None:
        batch = max(options["batch"], 1)
        if not options["dry_run"]:
            for place in rotation.places():
                done = self._follow("rotating", place, rotation.reseal(place, batch=batch))
                self.stdout.write(f"{place}: {done.seen} sealed, {done.old} rotated")
        tallies = [
            self._follow("checking", place, rotation.survey(place, batch=batch))
            for place in rotation.places()
        ]
        for tally in tallies:
            self._say(tally)
        if not all(tally.is_clean for tally in tallies):
            sys.exit(1)
        self.stdout.write(f"{sum(tally.seen for tally in tallies)} secrets open with the first key alone.")

    def _say(self, tally: Tally) -> None:
        if tally.old:
            why = "run rotate_keys; if it remains, restart what still seals with the old key"
            self.stderr.write(f"{tally.place}: {tally.old} not under the first key: {why}")
        if tally.unreadable:
            listed = ", ".join(tally.named) + (" …" if tally.unreadable > len(tally.named) else "")
            why = "no FIELD_KEY opens them: add the key they were sealed with, or enter them again"
            self.stderr.write(f"{tally.place}: {tally.unreadable} unreadable ({listed}): {why}")

    def _follow(self, verb: str, place: Place, steps: Iterator[Tally]) -> Tally:
        """Runs a pass, says now and then how far it is, and returns its last tally."""
        tally, told_at = Tally(place), time.monotonic()
        for tally in steps:
            if time.monotonic() - told_at > TELL_EVERY:
                told_at = time.monotonic()
                self.stdout.write(f"{verb} {place}: {tally.seen} rows so far")
        return tally
