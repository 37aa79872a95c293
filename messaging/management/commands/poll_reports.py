"""`manage.py poll_reports`: asks vendors now for the reports that did not come."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from messaging.management import named
from messaging.models import ProviderAccount
from messaging.sending import polling

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
            due += polling.ask_now(account, older_than=_age(account, options["older_than"]))
        final = asked = 0
        until = time.monotonic() + options["timeout"]
        while time.monotonic() < until and (questions := polling.claim(free=AT_ONCE)):
            polling.give_up([one for one in questions if one.request is None])
            answered = [
                polling.dial(one, deadline=settings.CALL_DEADLINE)
                for one in questions
                if one.request is not None
            ]
            final += polling.record(answered)
            asked += len(answered)
        self.stdout.write(f"{due} without a final report, {asked} asked about, {final} final now")


def _age(account: ProviderAccount, minutes: float | None) -> timedelta:
    if minutes is not None:
        return timedelta(minutes=minutes)
    return account.poll_after or timedelta(hours=1)
