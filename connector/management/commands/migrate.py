"""`manage.py migrate`, with a limit on how long a change may wait for a table that is in use (ADR 11)."""

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

LOCK_TIMEOUT = "2s"


class Command(migrate.Command):
    help = (
        "Bring the database to this code's schema. A change that cannot lock its table within two seconds is given up "
        "and leaves everything as it was: run the command again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        # A lock that is waited for makes every later statement on that table wait behind it.
        with connections[options["database"]].cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
        super().handle(*args, **options)
