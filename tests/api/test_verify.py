"""What the person at Bloomreach's integration screen is told (contract 1)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
import responses
from django.utils import timezone

from accounts.models import TenantStatus
from messaging.accept import verify
from messaging.models import ProviderAccount
from simulator.adapter import Simulator
from tests.api.conftest import Caller
from tests.factories import make_account
from vendors.values import CredentialCheck

ACCOUNT = "http://127.0.0.1:8001/accounts/demo"


@pytest.fixture
def vendor() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def kept(caller: Caller) -> tuple[bool | None, str]:
    account = ProviderAccount.objects.get(pk=caller.account.pk)
    assert account.checked_at is not None
    assert abs(account.checked_at - timezone.now()) < timedelta(seconds=5)
    return account.check_ok, account.check_text


@pytest.mark.parametrize("path", ["/sms/verify", "/sms/verify/", "/mms/verify"])
def test_all_is_well(caller: Caller, vendor: responses.RequestsMock, path: str):
    vendor.get(ACCOUNT, json={})
    answer = caller.get(path)
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "message": "The token is valid. Simulator accepts these credentials.",
    }
    assert kept(caller) == (True, "Simulator accepts these credentials")


@pytest.mark.parametrize("status", [401, 403])
def test_the_vendor_refuses_its_credentials(caller: Caller, vendor: responses.RequestsMock, status: int):
    vendor.get(ACCOUNT, status=status)
    answer = caller.get("/sms/verify")
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    words = f"Simulator refuses these credentials (HTTP {status})"
    message = f"The token is valid, but messages cannot be sent: {words}."
    assert answer.json()["error"] == {"code": "credentials_refused", "message": message, "fields": {}}
    assert kept(caller) == (False, words)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        pytest.param({"status": 500}, "Simulator answered HTTP 500", id="fault"),
        pytest.param(
            {"body": requests.ConnectTimeout()}, "Simulator could not be reached just now", id="unreachable"
        ),
    ],
)
def test_a_vendor_that_cannot_be_asked_is_no_failure(
    caller: Caller, vendor: responses.RequestsMock, reply: dict[str, Any], words: str
):
    vendor.get(ACCOUNT, **reply)
    answer = caller.get("/sms/verify")
    assert answer.status_code == 200
    assert answer.json()["message"].startswith(f"The token is valid. {words}")
    assert kept(caller)[0] is None


@pytest.mark.parametrize(("age", "calls"), [(55, 0), (65, 1)])
def test_an_answer_of_the_vendor_serves_for_a_minute(
    caller: Caller, vendor: responses.RequestsMock, age: int, calls: int
):
    vendor.get(ACCOUNT, status=200)
    ProviderAccount.objects.update(
        checked_at=timezone.now() - timedelta(seconds=age), check_ok=False, check_text="It refuses"
    )
    answer = caller.get("/sms/verify")
    assert len(vendor.calls) == calls
    assert answer.status_code == (200 if calls else 503)


def test_without_a_connection_for_the_channel(caller: Caller):
    caller.account.channels = ["sms"]
    caller.account.save()
    answer = caller.get("/mms/verify")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "no_account"
    assert answer.json()["message"] == "No active provider account serves MMS for this account yet."


def test_of_a_tenant_that_is_off(caller: Caller):
    caller.tenant.status = TenantStatus.SUSPENDED
    caller.tenant.save()
    answer = caller.get("/sms/verify")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "tenant_suspended")


def test_of_a_tenant_that_is_paused(caller: Caller, vendor: responses.RequestsMock):
    vendor.get(ACCOUNT)
    caller.tenant.status = TenantStatus.PAUSED
    caller.tenant.save()
    answer = caller.get("/sms/verify")
    assert answer.status_code == 200
    assert answer.json()["message"].endswith("Messages are accepted and held: the account is paused.")


def test_secrets_that_cannot_be_opened(caller: Caller, settings: Any):
    settings.FIELD_KEYS = ["bm90IHRoZSBzYW1lIGtleSwgdGhpcnR5LXR3byBieXQ="]
    answer = caller.get("/sms/verify")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "credentials_refused")
    assert "does not open with FIELD_KEY" in answer.json()["message"]


def test_settings_that_the_adapter_cannot_work_with(db: None):
    check = verify.check_account(make_account(secrets={}))
    assert check == CredentialCheck(None, "the credential check could not be built (KeyError)")


def test_an_answer_that_the_adapter_cannot_read(
    caller: Caller, vendor: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: Any) -> None:
        raise KeyError("balance")

    vendor.get(ACCOUNT)
    monkeypatch.setattr(Simulator, "parse_credential_check", broken)
    answer = caller.get("/sms/verify")
    assert answer.status_code == 200
    assert "Simulator answered HTTP 200, which could not be read" in answer.json()["message"]


def test_a_vendor_of_another_version(db: None):
    check = verify.check_account(make_account(vendor="telegraph"))
    assert check.ok is False
    assert "no vendor named 'telegraph'" in check.text


def test_the_api_key_is_in_no_answer(caller: Caller, vendor: responses.RequestsMock):
    vendor.get(ACCOUNT, status=401, body="simulator-api-key is wrong")
    assert "simulator-api-key" not in caller.get("/sms/verify").content.decode()
