"""`manage.py explain_route --tenant acme --to 00421…`: which way a message would go now, and why."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Tenant
from messaging.queues.explain import Explained, explain
from messaging.rules.routing import Choice, Fit
from phone.numbers import NumberError
from vendors.values import Channel


class Command(BaseCommand):
    help = "Say which route a message would take, and why each other one is not taken. Exits 1 when none leads there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument(
            "--to", required=True, metavar="00…", help="the recipient, as Bloomreach writes it"
        )
        parser.add_argument(
            "--from", dest="sender", default="", metavar="SENDER", help="empty: none in particular"
        )
        parser.add_argument(
            "--channel", choices=[channel.value for channel in Channel], default=Channel.SMS.value
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"no tenant {options['tenant']}")
        try:
            told = explain(
                tenant=tenant,
                channel=Channel(options["channel"]),
                sender=options["sender"],
                recipient=options["to"],
            )
        except NumberError as error:
            raise CommandError(f"a number {error}") from None
        for line in [json.dumps(_as_json(told), indent=2)] if options["as_json"] else _lines(told):
            self.stdout.write(line)
        if told.chosen is None:
            sys.exit(1)


def _lines(told: Explained) -> list[str]:
    lines = [
        f"{'->' if choice is told.chosen else '  '} {n}. {_name(choice)}: {_words(choice, told)}"
        for n, choice in enumerate(told.choices, 1)
    ]
    if told.chosen is None:
        lines.append("No route leads there.")
    return lines or ["The tenant has no provider account."]


def _name(choice: Choice) -> str:
    way = choice.way
    return f"{way.name} (route {way.route_id}, position {way.position})" if way.route_id else way.name


def _words(choice: Choice, told: Explained) -> str:
    if choice is told.chosen:
        verb = "waits here" if choice.fit is Fit.BLOCKED else "taken"
    else:
        verb = {Fit.USABLE: "next, should the ones before refuse", Fit.BLOCKED: "not now"}.get(
            choice.fit, "not taken"
        )
    as_whom = f"; from {choice.sender}" if choice.sender else ""
    return f"{verb}: {choice.why}{as_whom}"


def _as_json(told: Explained) -> dict[str, Any]:
    return {
        "account": told.chosen.way.name if told.chosen else None,
        "sender": told.chosen.sender if told.chosen else None,
        "routes": [
            {
                "account": choice.way.name,
                "route": choice.way.route_id,
                "position": choice.way.position,
                "taken": choice is told.chosen,
                "fit": choice.fit.value,
                "why": choice.why,
                "sender": choice.sender,
            }
            for choice in told.choices
        ],
    }
