"""`create_tenant` makes everything or nothing, and prints its secrets once."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import ApiToken, Tenant, digest
from messaging.models import ProviderAccount, Queue
from messaging.onboarding import setup
from messaging.rules.values import QueueKind
from tests.factories import make_tenant
from vendors.base import SettingsError
from vendors.registry import UnknownVendor

pytestmark = pytest.mark.django_db


def create(*args: str, **options: object) -> str:
    out = io.StringIO()
    call_command("create_tenant", *args, stdout=out, **options)
    return out.getvalue()


def test_json_says_what_was_stored() -> None:
    printed = json.loads(create("acme", "--name", "Acme", "--customer", "Acme Group", "--json"))

    tenant = Tenant.objects.get()
    assert (tenant.slug, tenant.name, tenant.customer) == ("acme", "Acme", "Acme Group")
    assert tenant.callback_secret.reveal() == printed["callback_secret"]
    assert ApiToken.objects.get().digest == digest(printed["token"])
    assert Queue.objects.filter(kind=QueueKind.CALLBACKS, key=str(tenant.pk)).count() == 1
    assert printed["headers"] == {"Chan-Token": printed["token"]}
    assert printed["endpoints"] == {
        "Send SMS": "POST https://connector.example/sms/send",
        "Verify SMS credentials": "GET https://connector.example/sms/verify",
        "Send MMS": "POST https://connector.example/mms/send",
        "Verify MMS credentials": "GET https://connector.example/mms/verify",
    }


def test_no_secret_is_taken_for_an_option_by_a_command() -> None:
    """One that begins with a dash cannot be given to `simulate --token`."""
    printed = json.loads(create("acme", "--json"))
    assert printed["token"].isalnum()
    assert printed["callback_secret"].isalnum()


def test_sheet_lists_addresses_headers_and_the_signing_secret() -> None:
    sheet = create("acme", "--header", "Chan-Api-Key", "--second-header", "Chan-Account")

    token = ApiToken.objects.get()
    secret = token.tenant.callback_secret.reveal()
    assert [line.split() for line in sheet.splitlines() if "Chan-" in line] == [
        [
            "Token",
            "Chan-Api-Key:",
            next(word for word in sheet.split() if digest(word) == bytes(token.digest)),
        ],
        ["Account", "Chan-Account:", "acme"],
    ]
    assert sheet.count(secret) == 1
    assert "POST  https://connector.example/sms/send" in sheet


def test_a_pasted_callback_secret_comes_by_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    pasted = "pasted-from-bloomreach-with-32-c"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{pasted}\n"))
    create("acme", "--callback-secret-stdin")
    tenant = Tenant.objects.get()
    assert (tenant.callback_secret.reveal(), tenant.callback_secret_dictated) == (pasted, False)


def test_a_short_callback_secret_is_taken_only_from_bloomreach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(CommandError, match="It has 5 characters, and 32 are needed"):
        create("acme", "--callback-secret-stdin")
    assert not Tenant.objects.exists()
    with pytest.raises(CommandError, match="goes with --callback-secret-stdin"):
        create("acme", "--secret-from-bloomreach")
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    create("acme", "--callback-secret-stdin", "--secret-from-bloomreach")
    tenant = Tenant.objects.get()
    assert (tenant.callback_secret.reveal(), tenant.callback_secret_dictated) == ("short", True)


def test_an_empty_standard_input_makes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(CommandError, match="no callback signing secret"):
        create("acme", "--callback-secret-stdin")
    assert not Tenant.objects.exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        pytest.param(["not a slug"], "slug: Enter a valid", id="slug"),
        pytest.param(["taken"], "slug: Tenant with this Slug already exists", id="taken"),
        pytest.param(["acme", "--header", "Chan Token"], "header: Letters, digits and dashes", id="header"),
        pytest.param(["acme", "--second-header", "a:b"], "second_header: Letters", id="second header"),
    ],
)
def test_wrong_input_is_named_and_makes_nothing(args: list[str], words: str) -> None:
    make_tenant(slug="taken")
    with pytest.raises(CommandError, match=words):
        create(*args)
    assert list(Tenant.objects.values_list("slug", flat=True)) == ["taken"]
    assert (ApiToken.objects.count(), Queue.objects.count()) == (0, 0)


def test_no_secret_in_the_repr() -> None:
    onboarded = setup.create_tenant(slug="acme", name="Acme")
    shown = repr(onboarded) + repr(onboarded.handover)
    assert onboarded.token_secret not in shown
    assert onboarded.callback_secret not in shown


def test_connect_keeps_secrets_apart_and_limits_the_queue() -> None:
    account = setup.connect(
        tenant=make_tenant(),
        vendor="simulator",
        name="main",
        values={"api_key": "key-of-the-carrier", "capability": "look_up"},
        channels=["sms"],
        cap=7,
        rate=2.5,
    )
    stored = ProviderAccount.objects.select_related("queue").get()
    assert stored == account
    assert stored.secrets.reveal() == {"api_key": "key-of-the-carrier"}
    assert stored.settings["capability"] == "look_up"
    assert "api_key" not in stored.settings
    assert (stored.queue.cap, stored.queue.rate) == (7, 2.5)


def test_connect_offers_what_the_account_can_carry() -> None:
    body = '{"to": {{ recipient | json }}, "text": {{ text | json }}}'
    mms = '{"to": {{ recipient | json }}, "text": {{ text | json }}, "media": {{ media | json }}}'
    fields: dict[str, Any] = {"tenant": make_tenant(), "vendor": "http_generic"}
    plain = {"base_url": "https://sms.example", "body": body}
    assert setup.connect(**fields, name="plain", values=plain).channels == ["sms"]
    assert setup.connect(**fields, name="rich", values={**plain, "mms_body": mms}).channels == [
        "mms",
        "sms",
    ]
    with pytest.raises(setup.ValidationError, match="carries MMS only with a template for it"):
        setup.connect(**fields, name="wrong", values=plain, channels=["sms", "mms"])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"vendor": "nobody"}, UnknownVendor, id="vendor"),
        pytest.param({"values": {}}, SettingsError, id="missing secret"),
        pytest.param({"values": {"api_key": "k", "capability": "magic"}}, SettingsError, id="choice"),
        pytest.param({"name": ""}, setup.ValidationError, id="name"),
        pytest.param({"channels": []}, setup.ValidationError, id="no channel"),
        pytest.param({"channels": ["fax"]}, setup.ValidationError, id="channel"),
    ],
)
def test_connect_refuses_and_makes_nothing(change: dict[str, object], error: type[Exception]) -> None:
    fields: dict[str, object] = {
        "tenant": make_tenant(),
        "vendor": "simulator",
        "name": "main",
        "values": {"api_key": "k"},
    }
    with pytest.raises(error):
        setup.connect(**{**fields, **change})  # type: ignore[arg-type]
    assert (ProviderAccount.objects.count(), Queue.objects.count()) == (0, 0)
