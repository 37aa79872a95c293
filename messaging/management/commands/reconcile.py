"""`manage.py reconcile`: proves that every accepted message and every event is accounted for."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Tenant
from messaging.books.reconcile import Books, Finding, reconcile
from messaging.management.moments import moment

EVENT_WORDS = {
    "acked": "acknowledged",
    "due": "waiting",
    "leased": "being posted",
    "undeliverable": "undeliverable",
}


class Command(BaseCommand):
    help = (
        "Prove that accepted = final + in progress and that each event is acknowledged, pending or undeliverable. "
        "Exits 1 if one row is unaccounted for, 2 when the question makes no sense. Reads only."
    )

    requires_system_checks = ("connector",)  # the others would import the desk and all vendors

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for scripts")
        parser.add_argument("--tenant", default="", metavar="SLUG", help="one tenant only")
        parser.add_argument(
            "--since", type=moment, metavar="WHEN", help="rows made since: 2026-01-31T08:00Z, or 2h, 3d ago"
        )

    def handle(self, *args: Any, tenant: str, since: datetime | None, **options: Any) -> None:
        books = reconcile(tenant=_tenant(tenant), since=since)
        self.stdout.write(_as_json(books) if options["json"] else "\n".join(_as_table(books)))
        if books.unaccounted:
            sys.exit(1)


def _tenant(slug: str) -> Tenant | None:
    if not slug:
        return None
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise CommandError(f"Unknown tenant {slug!r}.", returncode=2)
    return tenant


def _as_json(books: Books) -> str:
    return json.dumps(dataclasses.asdict(books), default=str, indent=2)


def _as_table(books: Books) -> Iterable[str]:
    yield _row("accepted", books.accepted)
    yield _row("final", sum(books.final.values()))
    yield from _rows(books.final)
    yield _row("in progress", sum(books.in_progress.values()))
    yield from _rows(books.in_progress)
    yield _row("events", sum(books.events.values()))
    yield from _rows({EVENT_WORDS[state]: n for state, n in books.events.items()})
    yield _row("vendor calls", sum(books.inbox.values()))
    yield from _rows(books.inbox)
    yield _row("reports to look at", sum(books.reports.values()))
    yield from _rows({effect.replace("_", " "): n for effect, n in books.reports.items()})
    yield _row("overdue", sum(books.overdue.values()))
    yield from _rows(books.overdue)
    yield _row("copies made by a replay", books.resent)
    yield _row("maybe sent twice", books.maybe_twice)
    yield _row("stalled", books.stalled)
    yield from _named(books.stalled_rows)
    yield f"unaccounted {books.unaccounted}"
    yield from _named(books.findings)


def _rows(counts: dict[str, int]) -> Iterable[str]:
    return (_row(f"  {name}", n) for name, n in counts.items() if n)


def _row(name: str, n: int) -> str:
    return f"{name:<26}{n:>12,}"


def _named(findings: Iterable[Finding]) -> Iterable[str]:
    return (f"  {finding.what} {finding.id}: {finding.text}" for finding in findings)
