"""The demo's tenant and accounts: made once, repaired, never doubled."""

import json
import stat
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model

from accounts.crypto import Sealed, SealedJSON
from accounts.models import ApiToken, Tenant, TenantStatus
from messaging.models import ProviderAccount
from simulator import demo
from vendors import registry

pytestmark = pytest.mark.django_db
URLS = {"callback_url": "http://127.0.0.1:3/c", "inbound_url": "http://127.0.0.1:3/i"}


@pytest.fixture(autouse=True)
def own_data(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DATA_DIR = tmp_path
    settings.PORT = 8000
    for name in ("CARRIER_PORT", "BLOOMREACH_PORT"):
        monkeypatch.delenv(name, raising=False)


def prepare(capability: str = "look_up") -> demo.Demo:
    made = demo.prepare(capability=capability, **URLS)
    demo.write(made)
    return made


def test_the_first_run_makes_everything() -> None:
    made = prepare()
    tenant = Tenant.objects.get(slug="demo")
    account = ProviderAccount.objects.get(tenant=tenant)
    assert tenant.callback_secret.reveal() == made.callback_secret
    assert (tenant.inbound_url_sms, tenant.inbound_url_mms) == (URLS["inbound_url"],) * 2
    assert sorted(account.channels) == ["mms", "sms"]
    assert account.settings == {
        "base_url": "http://127.0.0.1:8001/accounts/demo",
        "capability": "look_up",
    }
    assert account.report_deadline == demo.REPORT_DEADLINE
    assert get_user_model().objects.get(username="demo").check_password(made.admin_password)
    values = account.settings | account.secrets.reveal()
    assert registry.adapter("simulator").clean(values) == values


def test_a_second_run_keeps_the_secrets_and_doubles_nothing() -> None:
    first = prepare()
    key = demo.api_key()
    assert prepare("report") == first
    assert demo.api_key() == key
    counts = (Tenant.objects.count(), ApiToken.objects.count(), ProviderAccount.objects.count())
    assert counts == (1, 1, 1)
    assert ProviderAccount.objects.get().settings["capability"] == "report"


def test_what_no_longer_works_is_made_anew() -> None:
    first = prepare()
    ApiToken.objects.update(revoked_at="2026-01-01T00:00:00Z")
    get_user_model().objects.update(password="!", is_active=False)
    Tenant.objects.update(status=TenantStatus.PAUSED, callback_secret=Sealed("gAAAAnonsense"))
    ProviderAccount.objects.update(secrets=SealedJSON("gAAAAnonsense"), is_active=False)
    second = prepare()
    assert second.token != first.token
    assert second.admin_password != first.admin_password
    assert second.callback_secret != first.callback_secret
    assert Tenant.objects.get().status == TenantStatus.ACTIVE
    assert ProviderAccount.objects.get().is_active
    assert demo.api_key()


def test_the_facts_are_for_their_owner_alone() -> None:
    made = prepare()
    assert stat.S_IMODE(demo.path().stat().st_mode) == 0o600
    facts = json.loads(demo.path().read_text())
    assert facts == demo.read()
    assert facts["token"] == made.token
    assert {
        "base_url",
        "token",
        "admin_url",
        "admin_user",
        "admin_password",
        "tenant",
        "callback_secret",
    } <= set(facts)
    for secret in (made.token, made.callback_secret, made.admin_password):
        assert secret not in repr(made)


def test_broken_facts_are_no_facts() -> None:
    demo.path().write_text("{")
    assert demo.read() == {}


def test_ports_follow_the_web_port_unless_they_are_set(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PORT = 9000
    assert (demo.web_port(), demo.carrier_port(), demo.bloomreach_port()) == (9000, 9001, 9002)
    monkeypatch.setenv("CARRIER_PORT", "7001")
    monkeypatch.setenv("BLOOMREACH_PORT", "7002")
    assert (demo.carrier_port(), demo.bloomreach_port()) == (7001, 7002)
