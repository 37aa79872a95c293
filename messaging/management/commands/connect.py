"""`manage.py connect`: a provider account from the command line: asks, checks, saves, and sends one real message."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Tenant
from messaging.accept import verify
from messaging.models import ProviderAccount
from messaging.onboarding import setup
from messaging.sending import tryout
from phone.numbers import NumberError, parse_recipient, parse_sender
from vendors import registry
from vendors.base import Adapter, Setting, SettingsError

VARIABLE = "CONNECT_"  # before a setting's name, in capitals: where its value may be given


class Command(BaseCommand):
    help = (
        "Make a provider account. Settings come from --set, from variables named "
        f"{VARIABLE}<SETTING> (secrets: only from there), or are asked for. The vendor is asked about the "
        "credentials first; nothing is saved when it refuses them. With --to and --from one real SMS is sent and "
        "followed by asking the vendor, so no public address is needed yet. Exits 1 when it does not arrive."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("vendor", help=f"one of: {', '.join(sorted(registry.ADAPTERS))}")
        parser.add_argument("--tenant", required=True, help="slug of the tenant that it belongs to")
        parser.add_argument("--name", help="name of the account (default: the vendor)")
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one setting")
        parser.add_argument("--sender", action="append", default=[], help="a sender that the account owns")
        parser.add_argument("--to", help="send one real SMS there: 00 and the number (it costs money)")
        parser.add_argument("--from", dest="origin", help="its sender")
        parser.add_argument("--text", default="Hello from the connector.")
        parser.add_argument("--timeout", type=float, default=120.0, help="seconds to follow it for")

    def handle(self, *args: Any, **options: Any) -> None:
        adapter = _adapter(options["vendor"])
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"no tenant named {options['tenant']!r} (manage.py create_tenant makes one)")
        route = _route(options)
        account = self._connect(tenant, adapter, options)
        self.stdout.write(f"Saved {account}. Enter this hook address at {adapter.label}:")
        self.stdout.write(f"  {account.hook_url}")
        if route:
            self._try(account, *route, text=options["text"], seconds=options["timeout"])

    def _connect(self, tenant: Tenant, adapter: Adapter, options: dict[str, Any]) -> ProviderAccount:
        values = {**_asked(adapter, _given(options["set"]))}
        fields: dict[str, Any] = {"vendor": adapter.key, "name": options["name"] or adapter.key}
        senders = [_sender(raw) for raw in options["sender"]]
        try:
            draft = ProviderAccount(tenant=tenant, **fields)
            setup.store_settings(draft, values)
            check = verify.ask(draft)
            self.stdout.write(check.text)
            if check.ok is False:
                raise CommandError("nothing was saved: correct the credentials and run it again")
            return setup.connect(tenant=tenant, values=values, senders=senders, **fields)
        except SettingsError as error:
            problems = "\n".join(f"  {name}: {text}" for name, text in error.problems.items())
            raise CommandError(f"nothing was saved:\n{problems}") from None
        except ValidationError as error:
            raise CommandError(f"nothing was saved: {' '.join(error.messages)}") from None

    def _try(self, account: ProviderAccount, origin: str, to: str, *, text: str, seconds: float) -> None:
        good = False
        for step in tryout.send(account, sender=origin, recipient=to, text=text, seconds=seconds):
            self.stdout.write(step.text)
            good = bool(step.good)
        if not good:
            sys.exit(1)


def _adapter(key: str) -> Adapter:
    try:
        return registry.adapter(key)
    except registry.UnknownVendor as error:
        raise CommandError(str(error)) from None


def _route(options: dict[str, Any]) -> tuple[str, str] | None:
    """Sender and recipient of the message to try; None for no message."""
    if not options["to"]:
        return None
    if not options["origin"]:
        raise CommandError("--to needs --from: the sender of the message")
    try:
        return _sender(options["origin"]), parse_recipient(options["to"])
    except NumberError as error:
        raise CommandError(f"--to {error}") from None


def _sender(raw: str) -> str:
    try:
        return parse_sender(raw).value
    except NumberError as error:
        raise CommandError(f"the sender {error}") from None


def _given(pairs: list[str]) -> dict[str, str]:
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise CommandError(f"--set {pair}: write it NAME=VALUE")
        values[name.strip()] = value
    return values


def _asked(adapter: Adapter, given: dict[str, str]) -> dict[str, str]:
    """The settings that were given, and the answers about those that were not."""
    secret = {setting.name for setting in adapter.settings if setting.secret}
    if shown := sorted(secret & set(given)):
        # A command line is readable by everybody on the machine.
        raise CommandError(f"{shown[0]} is a secret: set {VARIABLE}{shown[0].upper()} instead")
    values = dict(given)
    for setting in adapter.settings:
        if setting.name not in values:
            values[setting.name] = _value(setting)
    return values


def _value(setting: Setting) -> str:
    named = os.environ.get(f"{VARIABLE}{setting.name.upper()}")
    if named is not None or not sys.stdin.isatty():
        return named or ""
    choices = f" ({', '.join(choice for choice, _ in setting.choices)})" if setting.choices else ""
    default = f" [{setting.default}]" if setting.default else "" if setting.required else " [none]"
    prompt = f"{setting.label}{choices}{default}: "
    return getpass.getpass(prompt) if setting.secret else input(prompt)
