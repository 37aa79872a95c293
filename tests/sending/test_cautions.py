"""A choice of settings that silences a vendor says so in each answer of *Test credentials*."""

from __future__ import annotations

from typing import Any

import pytest

from messaging.accept import verify
from messaging.models import ProviderAccount
from tests import factories
from tests.stand_ins import Vendor
from vendors import registry

pytestmark = pytest.mark.django_db

SILENT = (
    "with API key and secret Vonage calls nobody: no delivery reports and no replies will come, and each message ends "
    "unconfirmed; choose JWT"
)
KEY = {"auth": "basic", "api_key": "k", "api_secret": "s", "signature_secret": "t"}
SINCH = {"region": "eu", "service_plan_id": "plan", "api_token": "token"}
TEMPLATE = "POST /\n\n{{ recipient }} {{ text }} {{ reference }}"


def saved(vendor: str, values: dict[str, str]) -> ProviderAccount:
    adapter = registry.adapter(vendor)
    secret = {setting.name for setting in adapter.settings if setting.secret}
    cleaned = adapter.clean(values)
    return factories.make_account(
        vendor=vendor,
        settings={name: value for name, value in cleaned.items() if name not in secret},
        secrets={name: value for name, value in cleaned.items() if name in secret and value},
    )


@pytest.mark.parametrize(
    ("vendor_key", "values", "caution"),
    [
        pytest.param("vonage", KEY, SILENT, id="Vonage without JWT"),
        pytest.param(
            "infobip",
            {"api_key": "k", "hook_secret": "s"},
            "with a hook secret or password no message names our address: without a notification profile at Infobip no "
            "delivery reports will come",
            id="Infobip with a proof",
        ),
        pytest.param("infobip", {"api_key": "k"}, "", id="Infobip without"),
        pytest.param("sinch", SINCH, "", id="Sinch, one API"),
        pytest.param(
            "sinch",
            {**SINCH, "mms": "json", "mms_api_key": "k", "mms_service_id": "1"},
            "reports on MMS come only to the postback address that is entered at Sinch for its MMS API",
            id="Sinch, the MMS API",
        ),
    ],
)
def test_the_test_of_a_connection_says_what_will_not_come(
    vendor: Vendor, vendor_key: str, values: dict[str, str], caution: str
) -> None:
    account = saved(vendor_key, {**values, "base_url": vendor.url})
    check = verify.check_account(account)
    account.refresh_from_db()
    assert (check.ok, account.check_ok, account.check_text) == (True, True, check.text)
    assert check.text.endswith(f". But {caution}" if caution else "these credentials")


def test_a_refusal_comes_alone(vendor: Vendor) -> None:
    vendor.will(401)
    check = verify.check_account(saved("vonage", {**KEY, "base_url": vendor.url}))
    assert (check.ok, check.text) == (False, "Vonage refuses these credentials (HTTP 401)")


def test_it_is_said_where_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    account = saved("vonage", KEY)
    monkeypatch.setattr(registry.adapter("vonage"), "credential_check", lambda account: None)
    assert verify.ask(account).text == f"Vonage cannot be asked about credentials. But {SILENT}"


@pytest.mark.parametrize(
    ("changed", "silent"), [({}, False), ({"report_status": ""}, True)], ids=["as it is", "without reports"]
)
def test_a_gateway_that_reports_nothing(changed: dict[str, str], silent: bool) -> None:
    adapter: Any = registry.adapter("http_generic")
    values = {"preset": "kannel", "base_url": "http://127.0.0.1:1", "username": "u", "password": "p"}
    account = saved("http_generic", values)
    account.settings |= changed
    caution = adapter.caution(account.credentials())
    assert caution == (
        "its settings read no delivery reports: each message ends unconfirmed" if silent else ""
    )


def test_the_field_says_it_too() -> None:
    field = next(one for one in registry.adapter("vonage").settings if one.name == "auth")
    assert "no delivery reports and no replies" in field.help
    assert dict(field.choices)["basic"] == "API key and secret (no delivery reports, no replies)"
