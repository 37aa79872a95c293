"""`manage.py check_account`: asks vendors what they think of our credentials, without sending anything."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from messaging.accept.verify import check_account
from messaging.management import named
from messaging.models import ProviderAccount

_WORDS = {True: "ok", False: "REFUSED", None: "unknown"}


class Command(BaseCommand):
    help = (
        "Test the credentials of provider accounts. Exits 0 when no vendor refuses them "
        "(one that cannot be reached does not refuse), 1 when one does."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", metavar="TENANT/NAME", help="default: every active account")

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = named.accounts(options["names"]) or list(
            ProviderAccount.objects.select_related("tenant").filter(is_active=True)
        )
        if not accounts:
            raise CommandError("there is no active provider account")
        width = max(len(str(account)) for account in accounts)
        refused = False
        for account in accounts:
            check = check_account(account)
            refused |= check.ok is False
            self.stdout.write(f"{account!s:<{width}}  {_WORDS[check.ok]:<8} {check.text}")
        if refused:
            sys.exit(1)
