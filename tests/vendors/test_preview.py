"""The call for a sample message can be looked at, whoever the vendor is."""

from __future__ import annotations

import json

import pytest

from outbound import http
from tests.vendors.stand_ins import stand_in
from vendors import registry
from vendors.base import SAMPLE, preview
from vendors.values import Credentials

KEYS = sorted(key for key, one in registry.ADAPTERS.items() if not one.demo_only)


@pytest.mark.parametrize("key", KEYS)
def test_a_preview_shows_the_number_and_no_secret(key: str) -> None:
    adapter = registry.adapter(key)
    with stand_in(key).running() as gateway:
        cleaned = adapter.clean(gateway.values())
    hidden = {one.name for one in adapter.settings if one.secret}
    secrets = {name: value for name, value in cleaned.items() if name in hidden and value}
    plain = {name: value for name, value in cleaned.items() if name not in hidden}
    credentials = Credentials("public-id", plain, secrets, "https://connector.example/hooks/x/y")
    call = http.trace(preview(adapter, credentials), None, secrets=secrets.values())["request"]
    shown = json.dumps(call)
    assert SAMPLE.recipient.removeprefix("+") in shown
    assert [name for name, secret in secrets.items() if secret in shown] == []
