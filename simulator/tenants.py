"""Two more tenants beside the demo's, so that the desk shows routes, shared queues and limits. They send nothing by
themselves: the campaign and its verdict are the demo tenant's alone. Doing it again changes nothing."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts.models import Tenant
from messaging.models import ProviderAccount, Route, SenderRate
from messaging.onboarding import setup
from simulator import demo
from simulator.adapter import LOOK_UP, REPORT
from vendors.values import Channel

RETAIL, TRAVEL = "retail", "travel"
BOTH = [Channel.MMS, Channel.SMS]


@transaction.atomic
def seed() -> None:
    """Makes what is missing: a retailer in three countries, and a travel agency that changes its vendor."""
    _retailer(_tenant(RETAIL, "Retail Group"))
    _agency(_tenant(TRAVEL, "Travel Agency"))


def _retailer(tenant: Tenant) -> None:
    """One vendor account with two sets of settings on one queue, and routes by country, sender and channel."""
    europe = _at_the_carrier(tenant, "Carrier, Europe", capability=LOOK_UP, position=1, cap=8, rate=20.0)
    america = _at_the_carrier(tenant, "Carrier, America", capability=REPORT, position=2, shares=europe)
    if not tenant.routes.exists():
        Route.objects.bulk_create(
            [
                Route(tenant=tenant, account=america, position=1, prefixes=["1"]),
                Route(tenant=tenant, account=europe, position=1, prefixes=["421", "420"], weight=3),
                Route(tenant=tenant, account=america, position=2, channel=Channel.MMS),
                Route(tenant=tenant, account=europe, position=3, senders=["Retail", "+15550101"]),
            ]
        )
    for sender, rate in (("+15550101", 1.0), ("Retail", 5.0)):
        SenderRate.objects.get_or_create(queue=europe.queue, sender=sender, defaults={"rate": rate})


def _agency(tenant: Tenant) -> None:
    """It sends through the carrier, and has entered the gateway that it will use; nothing goes there yet."""
    carrier = _at_the_carrier(tenant, "Carrier", capability=LOOK_UP, position=1, cap=2)
    gateway = _account(
        tenant,
        "Own gateway, from next month",
        vendor="http_generic",
        values={
            "preset": "kannel",
            "base_url": "https://kannel.example",
            "username": "travel",
            "password": demo.api_key(),
        },
        channels=[Channel.SMS],
        position=2,
        is_active=False,
    )
    if not tenant.routes.exists():
        Route.objects.create(tenant=tenant, account=carrier, position=1)
        Route.objects.create(tenant=tenant, account=gateway, position=2, channel=Channel.SMS, is_active=False)


def _tenant(slug: str, name: str) -> Tenant:
    tenant = Tenant.objects.filter(slug=slug).first()
    return tenant or setup.create_tenant(slug=slug, name=name, label="first").tenant


def _at_the_carrier(tenant: Tenant, name: str, *, capability: str, **fields: Any) -> ProviderAccount:
    """An account with the stand-in carrier, with the key of the demo's."""
    values = {
        "base_url": f"http://127.0.0.1:{demo.carrier_port()}/accounts/{tenant.slug}",
        "api_key": demo.api_key(),
        "capability": capability,
    }
    return _account(tenant, name, vendor="simulator", values=values, channels=BOTH, **fields)


def _account(tenant: Tenant, name: str, **fields: Any) -> ProviderAccount:
    account = ProviderAccount.objects.filter(tenant=tenant, name=name).first()
    return account or setup.connect(tenant=tenant, name=name, **fields)
