"""The demo's other tenants: made once, and enough that no list of the desk that they can fill opens empty."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from accounts.models import ApiToken, Tenant
from messaging.models import ProviderAccount, Queue, Route, SenderRate
from messaging.rules.values import QueueKind
from simulator import demo, tenants
from vendors import registry

pytestmark = pytest.mark.django_db

# Lists that fill by traffic, by a running worker, or by what people do; the seed has a share in all others.
FILLED_BY_WORK = {
    *("messaging.message", "messaging.attempt", "messaging.deliveryreport", "messaging.exchange"),
    *("messaging.event", "messaging.inboundmessage", "messaging.inbox", "messaging.destination"),
    *("messaging.replay", "messaging.slot", "messaging.recordedrequest", "auth.group"),
}
SEEDED = {
    *("accounts.tenant", "accounts.apitoken", "auth.user"),
    *("messaging.provideraccount", "messaging.queue", "messaging.route"),
}


@pytest.fixture(autouse=True)
def seeded(settings: LazySettings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    demo.prepare(
        capability="look_up", callback_url="http://127.0.0.1:3/c", inbound_url="http://127.0.0.1:3/i"
    )
    tenants.seed()


def counts() -> list[int]:
    return [model.objects.count() for model in (Tenant, ApiToken, ProviderAccount, Queue, Route, SenderRate)]


def test_it_is_made_once() -> None:
    first = counts()
    tenants.seed()
    assert counts() == first
    assert first[:3] == [3, 3, 5]


def test_what_the_other_tenants_show() -> None:
    europe, america = ProviderAccount.objects.filter(tenant__slug=tenants.RETAIL).order_by("position")
    assert europe.queue == america.queue
    assert (europe.queue.cap, europe.queue.rate) == (8, 20.0)
    assert europe.queue.sender_rates.count() == 2
    gateway = ProviderAccount.objects.get(vendor="http_generic")
    assert not gateway.is_active
    for account in ProviderAccount.objects.all():
        values = account.settings | account.secrets.reveal()
        assert registry.adapter(account.vendor).clean(values) == values
    for route in Route.objects.all():
        route.full_clean()
    assert Queue.objects.filter(kind=QueueKind.CALLBACKS).count() == 3


def test_the_desks_lists_are_filled(client: Client) -> None:
    from django.contrib import admin

    import connector.urls  # noqa: F401  (registers the desks)

    client.force_login(get_user_model().objects.get(username=demo.ADMIN))
    registered = {model._meta.label_lower: model for model in admin.site._registry}
    assert set(registered) == SEEDED | FILLED_BY_WORK
    empty = []
    for label in sorted(SEEDED):
        meta = registered[label]._meta
        page = client.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist"))
        assert page.status_code == 200, label
        if not re.search(r'id="result_list"', page.content.decode()):
            empty.append(label)
    assert empty == []
