"""`manage.py trace <message id|request id>`: the whole story of a message."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from messaging.books.timeline import named, timeline
from messaging.management import story


class Command(BaseCommand):
    help = "Print all that happened to a message: attempts, answers, reports, callbacks, replies."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="ID", help="a message id, or Bloomreach's request id")
        parser.add_argument(
            "--exchanges", action="store_true", help="also what went over the wire, secrets redacted"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        messages = named(options["name"])
        if not messages:
            raise CommandError("no message has this id or request id")
        for message in messages:
            self.stdout.write(story.heading(message))
            for line in story.lines(timeline(message), exchanges=options["exchanges"]):
                self.stdout.write(line)
            self.stdout.write("")
