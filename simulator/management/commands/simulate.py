"""`manage.py simulate`: a campaign against a running connector, judged at the end."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Tenant
from messaging.models import ProviderAccount
from messaging.onboarding import setup
from simulator import campaign, chaos, demo, summary, witness
from simulator.adapter import CAPABILITIES
from simulator.bloomreach import Bloomreach
from simulator.client import Unanswered
from simulator.listener import port_is_free
from simulator.screen import Screen
from simulator.verdict import CampaignVerdict


class Command(BaseCommand):
    help = (
        "Play a campaign with the stand-ins against a running connector that uses this database. "
        "What is not given is read from .data/demo.json. Exit code 0: every accepted message reached a final "
        "state, none was sent twice, and each final that is owed was told exactly once."
    )

    requires_system_checks = ("connector",)  # the others would import the desk and all vendors

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--base-url", help="address of the connector")
        parser.add_argument("--token", help="the tenant's API token")
        parser.add_argument("--secret", help="the tenant's callback secret")
        parser.add_argument("--carrier-url", help="address of the stand-in carrier")
        parser.add_argument("--sms", type=int, default=campaign.SMS, help="SMS to send (%(default)s)")
        parser.add_argument("--mms", type=int, default=campaign.MMS, help="MMS to send (%(default)s)")
        parser.add_argument(
            "--rate", type=float, default=campaign.RATE, help="requests a second (%(default)s)"
        )
        parser.add_argument("--threads", type=int, default=8, help="requests at once (%(default)s)")
        parser.add_argument(
            "--patience",
            type=float,
            default=campaign.PATIENCE,
            help="seconds for the whole campaign (%(default)s)",
        )
        parser.add_argument(
            "--capability",
            choices=[name for name, _ in CAPABILITIES],
            help="first switch the tenant's simulator accounts to this",
        )
        parser.add_argument(
            "--chaos", action="store_true", help="429s from the carrier and 401s to callbacks"
        )
        parser.add_argument("--json", action="store_true", help="the verdict as JSON; progress on stderr")

    def handle(self, *args: Any, **options: Any) -> None:
        facts = demo.read() | {name: value for name, value in options.items() if value is not None}
        missing = [name for name in ("base_url", "token", "secret", "carrier_url") if not _fact(facts, name)]
        if missing:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
            raise CommandError(f"Give {names}, or start the demo first (make run).")
        try:
            verdict = self._play(facts, options)
        except witness.UnknownToken as error:
            raise CommandError(str(error)) from None
        except Unanswered as error:
            raise CommandError(f"The carrier does not answer: {error}") from None
        if not verdict.good:
            sys.exit(1)

    def _play(self, facts: dict[str, Any], options: dict[str, Any]) -> CampaignVerdict:
        self.stdout.ending = self.stderr.ending = ""  # the screen ends its own lines
        screen = Screen.on(self.stderr if options["json"] else self.stdout)
        tenant = witness.tenant_of(facts["token"])
        if options["capability"]:
            switch(tenant, options["capability"])
        bloomreach = listen(facts, threads=options["threads"])
        plan = campaign.Plan(
            sms=options["sms"],
            mms=options["mms"],
            rate=options["rate"],
            patience=options["patience"],
            carrier_url=facts["carrier_url"],
            without=campaign.endings_beyond(tenant, patience=options["patience"]),
            unknown_outcome=campaign.only_reports_tell(tenant),
            two_way=tenant.inbound_url_sms == bloomreach.inbound_url,
            deeds=chaos.deeds(bloomreach, carrier_url=facts["carrier_url"]) if options["chaos"] else (),
        )
        bloomreach.start()
        try:
            verdict = campaign.play(plan=plan, bloomreach=bloomreach, tenant=tenant, screen=screen)
        finally:
            bloomreach.stop()
        if options["json"]:
            self.stdout.write(
                json.dumps(summary.as_json(verdict, base_url=facts["base_url"]), indent=2) + "\n"
            )
        else:
            summary.show(verdict, screen, base_url=facts["base_url"])
        return verdict


def switch(tenant: Tenant, capability: str) -> None:
    """Gives the tenant's simulator accounts another capability."""
    for account in ProviderAccount.objects.filter(tenant=tenant, vendor="simulator"):
        values = {**account.settings, **account.secrets.reveal(), "capability": capability}
        setup.store_settings(account, values)
        account.save()


def listen(facts: dict[str, Any], *, threads: int) -> Bloomreach:
    """A stand-in on the demo's port, to which inbound messages come, or on a free one where that is taken."""
    port = demo.bloomreach_port()
    return Bloomreach(
        base_url=facts["base_url"],
        token=facts["token"],
        secret=_fact(facts, "secret"),
        port=port if port_is_free(port) else 0,
        threads=threads,
    )


def _fact(facts: dict[str, Any], name: str) -> str:
    return str(facts.get(name) or (facts.get("callback_secret") if name == "secret" else "") or "")
