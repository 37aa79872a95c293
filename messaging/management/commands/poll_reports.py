"""`manage.py poll_reports`: asks vendors now for the reports that did not come."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from messaging.dialling import work
from messaging.management import named
from messaging.models import ProviderAccount
from messaging.sending.polling import Polling, ask_now

AT_ONCE = 32  # questions between two records


class Command(BaseCommand):
    help = (
        "Ask vendors for the status of sent messages without a final report. Workers do it by themselves for "
        "accounts with 'poll after'; this does it at once, for those accounts or for the ones named, and is fit for "
        "a schedule. Needs no worker. Vendors that only report by themselves are passed over."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "names", nargs="*", metavar="TENANT/NAME", help="default: accounts with 'poll after'"
        )
        parser.add_argument(
            "--older-than", type=float, metavar="MINUTES", help="default: the account's 'poll after', or 60"
        )
        parser.add_argument("--timeout", type=float, default=600.0, help="seconds after which it stops")

    def handle(self, *args: Any, **options: Any) -> None:
        due = 0
        wanted = ProviderAccount.objects.filter(poll_after__isnull=False)
        for account in named.accounts(options["names"]) or wanted:
            due += ask_now(account, older_than=_age(account, options["older_than"]))
        polling, asked = Polling(), 0
        until, seen = time.monotonic() + options["timeout"], -1
        while time.monotonic() < until and polling.claimed > seen:
            seen = polling.claimed
            asked += len(work.run_once(polling, free=AT_ONCE, deadline=settings.CALL_DEADLINE))
        self.stdout.write(f"{due} without a final report, {asked} asked about, {polling.final} final now")


def _age(account: ProviderAccount, minutes: float | None) -> timedelta:
    if minutes is not None:
        return timedelta(minutes=minutes)
    return account.poll_after or timedelta(hours=1)
