"""`manage.py replay events|messages|reports`: order that something is done again, and watch it happen."""

from __future__ import annotations

import getpass
import sys
import time
from argparse import BooleanOptionalAction
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper

from messaging.management.moments import moment
from messaging.models import Replay
from messaging.models.replay import ReplayKind, ReplayState
from messaging.replay import orders
from messaging.replay.orders import STATUSES, Preview, ReplayError, ReplayFilter

DONE, PARTLY, USAGE, INTERRUPTED = 0, 1, 2, 130
LOOK_EVERY: Final = 0.5  # seconds
PATIENCE: Final = 15.0  # seconds without progress before it is worth a word
THINGS = {"events": "events", "messages": "messages", "reports": "vendor calls"}


class Command(BaseCommand):
    help = (
        "Tell events again, resend messages, or read vendors' reports again. Shows what would happen, asks, and "
        "leaves the work to the workers. Exits 0 when all that matched was done (or ordered, or previewed), "
        "1 when something was refused, skipped or stopped, when nothing matched or the answer was no, "
        "2 when the order makes no sense, 130 when interrupted while following (the replay goes on)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=ReplayKind.values)
        parser.add_argument("--tenant", default="", metavar="SLUG")
        parser.add_argument(
            "--account", default="", metavar="NAME", help="provider account: name or public id"
        )
        statuses = "; ".join(f"{kind}: {', '.join(words)}" for kind, words in STATUSES.items())
        parser.add_argument("--status", default="", help=f"{statuses} (default: what went wrong for good)")
        parser.add_argument(
            "--since", type=moment, metavar="WHEN", help="2026-01-31T08:00Z, or 30m, 2h, 3d ago"
        )
        parser.add_argument("--until", type=moment, metavar="WHEN")
        parser.add_argument(
            "--id", type=UUID, action="append", default=[], dest="ids", help="may be given many times"
        )
        parser.add_argument("--dry-run", action="store_true", help="show what would happen, and stop")
        parser.add_argument("--rate", type=float, metavar="N", help="at most N per second")
        parser.add_argument("--reason", default="", help="kept with the replay")
        parser.add_argument("--by", default="", help="who orders it (default: the system's user)")
        parser.add_argument(
            "--may-duplicate", action="store_true", help="also resend messages that may have been sent"
        )
        parser.add_argument(
            "--report-corrections", action="store_true", help="tell Bloomreach about contradicting finals"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument(
            "--follow", action=BooleanOptionalAction, default=True, help="watch until it is over"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(self._run(options))

    def _run(self, options: dict[str, Any]) -> int:
        order = _order(options)
        try:
            seen = orders.preview(**order)
        except ReplayError as error:
            raise CommandError(str(error), returncode=USAGE) from None
        self._show(options["kind"], seen)
        if not seen.would_do:
            return PARTLY
        if options["dry_run"]:
            return PARTLY if seen.refused else DONE
        if not options["yes"] and not _confirmed():
            self.stdout.write("Nothing was changed.")
            return PARTLY
        try:
            ordered = orders.create(
                **order,
                requested_by=options["by"] or _user(),
                reason=options["reason"],
                rate=options["rate"],
            )
        except ReplayError as error:
            raise CommandError(str(error), returncode=USAGE) from None
        return self._follow(ordered, watch=options["follow"])

    def _show(self, kind: str, seen: Preview) -> None:
        self.stdout.write(f"{seen.total} {THINGS[kind]} match, {seen.would_do} of them would be replayed.")
        for one in seen.refused:
            self.stdout.write(f"  {one.count} not: {one.text}")
        if seen.risky:
            self.stdout.write(f"WARNING: {seen.risky} may have been sent already and may arrive twice.")
        if seen.sample:
            more = " …" if seen.would_do > len(seen.sample) else ""
            self.stdout.write(f"  {' '.join(str(key) for key in seen.sample)}{more}")

    def _follow(self, ordered: Replay, *, watch: bool) -> int:
        try:
            self.stdout.write(f"Replay {ordered.pk} is ordered.")
            if not watch:
                return DONE
            _watch(ordered, self.stdout)
        except KeyboardInterrupt:
            self.stdout.write(f"\nNo longer watching. Replay {ordered.pk} goes on; the desk can stop it.")
            return INTERRUPTED
        words = (
            f"Replay {ordered.pk} is {ordered.state}: {ordered.done} replayed, {ordered.skipped} left alone."
        )
        self.stdout.write(words)
        return DONE if ordered.state == ReplayState.DONE and not ordered.skipped else PARTLY


def _order(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": options["kind"],
        "filter": ReplayFilter(
            tenant=options["tenant"],
            account=options["account"],
            status=options["status"],
            since=options["since"],
            until=options["until"],
            ids=tuple(options["ids"]),
        ),
        "may_duplicate": options["may_duplicate"],
        "corrections": options["report_corrections"],
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "command line"


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise CommandError("Not a terminal: say --yes to go on, or --dry-run to look.", returncode=USAGE)
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")


def _watch(ordered: Replay, out: OutputWrapper) -> None:
    """Looks at the row until the replay is over, and says each tenth of it. The work itself is the pumps'."""
    moved_at, warned = time.monotonic(), False
    handled = tenths = 0
    while True:
        ordered.refresh_from_db()
        if ordered.done + ordered.skipped > handled:
            handled, moved_at = ordered.done + ordered.skipped, time.monotonic()
            if handled * 10 // max(ordered.total, 1) > tenths:
                tenths = handled * 10 // max(ordered.total, 1)
                out.write(f"{handled}/{ordered.total}")
        if ordered.state != ReplayState.RUNNING:
            return
        if not warned and time.monotonic() - moved_at > max(PATIENCE, 2 / (ordered.rate or 1)):
            warned = True
            out.write("No progress yet. Is a worker running (manage.py worker)?")
        time.sleep(LOOK_EVERY)
