"""`manage.py create_tenant`: a tenant with its first token, and the sheet for Bloomreach."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import DEFAULT_HEADER
from messaging.onboarding import setup
from messaging.onboarding.setup import Onboarded


class Command(BaseCommand):
    help = "Make a tenant with its first API token; prints its secrets once, and what Bloomreach must know."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="short name: letters, digits, dashes")
        parser.add_argument("--name", help="the name for people (default: the slug)")
        parser.add_argument("--customer", default="", help="groups the projects of one brand")
        parser.add_argument("--project-id", default="", help="Bloomreach project id")
        parser.add_argument("--header", default=DEFAULT_HEADER, help="header that carries the token")
        parser.add_argument("--second-header", default="", help="a header that must come too")
        parser.add_argument("--second-value", default="", help="what it must say (default: the slug)")
        parser.add_argument(
            "--allowed-host", action="append", default=[], metavar="HOST", help="one more callback host"
        )
        parser.add_argument(
            "--callback-secret-stdin",
            action="store_true",
            help="read the callback signing secret from standard input instead of generating one",
        )
        parser.add_argument(
            "--secret-from-bloomreach",
            action="store_true",
            help="with --callback-secret-stdin: Bloomreach gave the secret, so it may be shorter than 32 characters",
        )
        parser.add_argument("--json", action="store_true", help="for scripts")

    def handle(self, *args: Any, **options: Any) -> None:
        pasted = sys.stdin.readline().strip() if options["callback_secret_stdin"] else ""
        if options["secret_from_bloomreach"] and not options["callback_secret_stdin"]:
            raise CommandError("--secret-from-bloomreach goes with --callback-secret-stdin")
        if options["callback_secret_stdin"] and not pasted:
            raise CommandError("no callback signing secret on standard input")
        try:
            onboarded = setup.create_tenant(
                slug=options["slug"],
                name=options["name"] or options["slug"],
                callback_secret=pasted,
                callback_secret_dictated=bool(pasted) and options["secret_from_bloomreach"],
                header=options["header"],
                second_header=options["second_header"],
                second_value=options["second_value"],
                customer=options["customer"],
                project_id=options["project_id"],
                allowed_hosts=options["allowed_host"],
            )
        except ValidationError as error:
            raise CommandError(_in_words(error)) from None
        self.stdout.write(_as_json(onboarded) if options["json"] else _as_sheet(onboarded))


def _in_words(error: ValidationError) -> str:
    return "; ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())


def _as_json(onboarded: Onboarded) -> str:
    sheet = onboarded.handover
    return json.dumps(
        {
            "tenant": onboarded.tenant.slug,
            "token": onboarded.token_secret,
            "callback_secret": onboarded.callback_secret,
            "headers": {entry.header: entry.value for entry in sheet.fields},
            "endpoints": {entry.label: f"{entry.method} {entry.url}" for entry in sheet.endpoints},
        },
        indent=2,
    )


def _as_sheet(onboarded: Onboarded) -> str:
    sheet = onboarded.handover
    lines = [
        f"Tenant {onboarded.tenant.slug} is ready. The secrets below are shown this once.",
        "",
        "For Bloomreach's integration specialist",
        "",
        "  Addresses",
        *(f"    {entry.label:<24}{entry.method:<6}{entry.url}" for entry in sheet.endpoints),
        "",
        "  Setting fields (each is sent as a header)",
        *(f"    {entry.label:<24}{entry.header}: {entry.value}" for entry in sheet.fields),
        "",
        "  Callbacks are signed (JSON Web Token, HS256) with the secret",
        f"    {sheet.callback_secret}",
        "",
        "Next: add a provider account for this tenant in the admin.",
    ]
    return "\n".join(lines)
