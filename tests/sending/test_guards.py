"""Vendor calls lead to the public Internet and to networks that the deployment allows, and nowhere else."""

from __future__ import annotations

import ipaddress

import pytest
from django.conf import LazySettings

from messaging.models import ProviderAccount
from messaging.onboarding import setup
from messaging.sending import bearer_tokens
from outbound.values import CallFailure, HttpRequest
from tests.outbound.servers import reply, serving
from vendors import registry
from vendors.base import SettingsError
from vendors.values import Credentials

TWILIO = registry.adapter("twilio")
ACCOUNT = Credentials(public_id="x", settings={}, secrets={})


@pytest.fixture
def closed(settings: LazySettings) -> None:
    settings.ALLOWED_NETWORKS = ()


def test_loopback_is_not_dialled(closed: None) -> None:
    with serving(reply(b"secret")) as server:
        answer = bearer_tokens.call(TWILIO, ACCOUNT, HttpRequest("GET", server.url()), deadline=5)
    assert isinstance(answer, CallFailure)
    assert (answer.code, answer.sent) == ("refused_address", False)


def test_an_allowed_network_is_dialled(settings: LazySettings) -> None:
    settings.ALLOWED_NETWORKS = (ipaddress.ip_network("127.0.0.0/8"),)
    with serving(reply(b"taken")) as server:
        answer = bearer_tokens.call(TWILIO, ACCOUNT, HttpRequest("GET", server.url()), deadline=5)
    assert not isinstance(answer, CallFailure)
    assert answer.body == b"taken"


VENDORS = [registry.adapter(key) for key in sorted(registry.ADAPTERS)]
BASE_URL = {one.key: one for one in VENDORS if any(setting.name == "base_url" for setting in one.settings)}


@pytest.mark.parametrize("key", sorted(BASE_URL))
@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1:8080", "https://169.254.169.254", "ftp://gateway.example", "http://gateway.example"],
)
def test_no_account_is_saved_with_an_address_that_cannot_be_dialled(closed: None, key: str, url: str) -> None:
    adapter = BASE_URL[key]
    values = {one.name: one.default or "x" for one in adapter.settings if one.required} | {"base_url": url}
    with pytest.raises(SettingsError) as refused:
        setup.store_settings(ProviderAccount(vendor=key), values)
    assert "base_url" in refused.value.problems


@pytest.mark.parametrize("name", ["url", "look_up_url", "check_url", "mms_url"])
def test_a_template_with_a_fixed_host_is_judged_too(closed: None, name: str) -> None:
    adapter = registry.adapter("http_generic")
    values = {
        "base_url": "https://gateway.example",
        "url": "{{ base_url }}/send",
        name: "http://10.0.0.1/{{ text | url_quote }}",
    }
    with pytest.raises(SettingsError) as refused:
        setup.store_settings(ProviderAccount(vendor=adapter.key), values)
    assert name in refused.value.problems
