"""`check_account` asks vendors and tells a refusal by its exit code."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from messaging.models import ProviderAccount
from tests.factories import make_account, make_tenant
from vendors.values import CredentialCheck

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which accounts were asked about; those named bad are refused, those named far cannot be reached."""
    names: list[str] = []

    def check(account: ProviderAccount) -> CredentialCheck:
        names.append(str(account))
        ok = {"bad": False, "far": None}.get(account.name, True)
        return CredentialCheck(ok, f"the vendor's word on {account.name}")

    monkeypatch.setattr("messaging.management.commands.check_account.check_account", check)
    tenant = make_tenant(slug="acme")
    for name in ("good", "bad", "far"):
        make_account(tenant, name=name)
    make_account(tenant, name="off", is_active=False)
    return names


def run(*names: str) -> tuple[int, list[str]]:
    out = io.StringIO()
    try:
        call_command("check_account", *names, stdout=out)
    except SystemExit as stop:
        return int(stop.code or 0), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


def test_every_active_account_by_default(asked: list[str]) -> None:
    assert run() == (
        1,
        [
            "acme/good  ok       the vendor's word on good",
            "acme/bad   REFUSED  the vendor's word on bad",
            "acme/far   unknown  the vendor's word on far",
        ],
    )
    assert asked == ["acme/good", "acme/bad", "acme/far"]


@pytest.mark.parametrize("name", ["acme/good", "acme/far", "acme/off"])
def test_only_a_refusal_is_an_error(asked: list[str], name: str) -> None:
    assert run(name)[0] == 0
    assert asked == [name]


def test_an_unknown_name_asks_nobody(asked: list[str]) -> None:
    with pytest.raises(CommandError, match="no provider account named acme/nobody"):
        run("acme/good", "acme/nobody")
    assert asked == []
