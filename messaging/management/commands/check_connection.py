"""`manage.py check_connection`: asks vendors what they think of our credentials, without sending anything."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from messaging.accept.verify import check_connection
from messaging.management import named
from messaging.models import Connection

_WORDS = {True: "ok", False: "REFUSED", None: "unknown"}


class Command(BaseCommand):
    help = (
        "Test the credentials of provider accounts. Exits 0 when no vendor refuses them "
        "(one that cannot be reached does not refuse), 1 when one does."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", metavar="TENANT/NAME", help="default: every active account")

    def handle(self, *args: Any, **options: Any) -> None:
        connections = named.accounts(options["names"]) or list(
            Connection.objects.select_related("tenant").filter(is_active=True)
        )
        if not connections:
            raise CommandError("there is no active provider account")
        width = max(len(str(connection)) for connection in connections)
        refused = False
        for connection in connections:
            check = check_connection(connection)
            refused |= check.ok is False
            self.stdout.write(f"{connection!s:<{width}}  {_WORDS[check.ok]:<8} {check.text}")
        if refused:
            sys.exit(1)
