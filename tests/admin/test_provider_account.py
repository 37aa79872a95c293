"""Provider accounts at the desk: the vendor's own fields, write-only secrets, all or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from messaging.models import Message, ProviderAccount, Queue
from messaging.sending.preview import preview
from simulator.adapter import Simulator
from tests.factories import make_account, make_message, make_tenant
from vendors import registry
from vendors.base import Setting
from vendors.values import Channel, CredentialCheck, Credentials

pytestmark = pytest.mark.django_db

PAGE = "admin:messaging_provideraccount"
SPANS = {"validity": "4:00:00", "report_deadline": "3 00:00:00"}


@pytest.fixture(autouse=True)
def _demo(settings: Any) -> None:
    settings.DEMO = True


@pytest.fixture
def second_vendor(monkeypatch: pytest.MonkeyPatch) -> str:
    """A vendor with an optional secret, and without MMS."""

    class Other(Simulator):
        key = "other"
        label = "Other vendor"
        settings = (*Simulator.settings, Setting("pin", "PIN", secret=True, required=False))
        channels = frozenset({Channel.SMS})
        demo_only = False

    monkeypatch.setitem(registry.ADAPTERS, "other", Other())
    return "other"


def filled(**changes: Any) -> dict[str, Any]:
    return {
        **{"name": "main", "is_active": "on", "channels": ["sms", "mms"], "senders": "", "position": 0},
        **{"unknown_policy": "at_most_once", **SPANS, "cap": 8, "rate": "2.5"},
        **{"setting_base_url": "http://127.0.0.1:8001/a/", "setting_capability": "look_up"},
        "setting_api_key": "typed-key",
        **changes,
    }


def add(client: Client, query: str = "?vendor=simulator", **changes: Any) -> Any:
    form = filled(**{"tenant": make_tenant().pk, **changes})
    return client.post(f"{reverse(f'{PAGE}_add')}{query}", form)


def edit(client: Client, account: ProviderAccount, **changes: Any) -> Any:
    form = filled(**{"name": account.name, "setting_api_key": "", **changes})
    return client.post(reverse(f"{PAGE}_change", args=[account.pk]), form)


def errors(page: Any) -> list[str]:
    return list(page.context["adminform"].form.errors)


def test_a_new_account_has_sealed_secrets_and_a_limited_queue(admin_client: Client) -> None:
    assert add(admin_client, senders="00421900000001, Acme, 12345").status_code == 302
    account = ProviderAccount.objects.select_related("queue").get()
    assert account.vendor == "simulator"
    assert account.settings == {"base_url": "http://127.0.0.1:8001/a", "capability": "look_up"}
    assert account.secrets.reveal() == {"api_key": "typed-key"}
    assert account.senders == ["+421900000001", "Acme", "12345"]
    assert account.channels == ["sms", "mms"]
    assert (account.queue.cap, account.queue.rate) == (8, 2.5)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"setting_api_key": ""}, "setting_api_key", id="secret missing"),
        pytest.param({"setting_base_url": "nowhere"}, "setting_base_url", id="the vendor says no"),
        pytest.param({"setting_capability": "magic"}, "setting_capability", id="no such choice"),
        pytest.param({"channels": []}, "channels", id="no channel"),
        pytest.param({"channels": ["fax"]}, "channels", id="unknown channel"),
        pytest.param({"senders": "Acme, 12345678901234567890"}, "senders", id="sender"),
        pytest.param({"cap": 0}, "cap", id="cap"),
        pytest.param({"rate": 0}, "rate", id="rate"),
        pytest.param({"validity": "0"}, "validity", id="validity"),
        pytest.param({"report_deadline": "-1:00:00"}, "report_deadline", id="report deadline"),
        pytest.param({"name": ""}, "name", id="name"),
        pytest.param({"tenant": ""}, "tenant", id="tenant"),
    ],
)
def test_a_wrong_form_names_its_field_and_stores_nothing(
    admin_client: Client, changes: dict[str, Any], field: str
) -> None:
    page = add(admin_client, **changes)
    assert errors(page) == [field]
    assert "typed-key" not in page.content.decode()
    assert (ProviderAccount.objects.count(), Queue.objects.count()) == (0, 0)


def generic(**changes: Any) -> dict[str, Any]:
    body = '{"to": {{ recipient | json }}, "text": {{ text | json }}'
    given = {"preset": "none", "base_url": "https://sms.example", "body": body + "}", **changes}
    return {f"setting_{name}": text for name, text in given.items()}


def test_mms_may_need_a_template(admin_client: Client) -> None:
    page = admin_client.get(f"{reverse(f'{PAGE}_add')}?vendor=http_generic")
    assert page.context["adminform"].form.initial["channels"] == ["sms"]
    page = add(admin_client, "?vendor=http_generic", **generic())
    assert page.context["adminform"].form.errors == {
        "channels": [
            "Generic HTTP carries MMS only with a template for it: fill in MMS body (with GET: MMS URL)."
        ]
    }
    mms = generic()["setting_body"][:-1] + ', "media": {{ media | json }}}'
    page = add(admin_client, "?vendor=http_generic", channels=["mms"], **generic(mms_body="{{ colour }}"))
    assert errors(page) == ["setting_mms_body"]
    assert not ProviderAccount.objects.exists()
    assert add(admin_client, "?vendor=http_generic", **generic(mms_body=mms)).status_code == 302
    account = ProviderAccount.objects.get()
    assert account.channels == ["sms", "mms"]
    page = edit(admin_client, account, **generic(mms_body=""))
    assert errors(page) == ["channels"]
    assert edit(admin_client, account, channels=["sms"], **generic()).status_code == 302
    assert ProviderAccount.objects.get().channels == ["sms"]


def test_one_name_per_tenant(admin_client: Client) -> None:
    taken = make_account(name="main")
    page = add(admin_client, tenant=taken.tenant_id)
    assert errors(page) == ["__all__"]
    assert ProviderAccount.objects.count() == 1


def test_a_secret_left_empty_is_kept(admin_client: Client) -> None:
    account = make_account(secrets={"api_key": "stored-key"})
    page = admin_client.get(reverse(f"{PAGE}_change", args=[account.pk]))
    assert "Set. Leave empty to keep it." in page.content.decode()
    assert edit(admin_client, account, setting_capability="repeat", cap=3, rate="").status_code == 302
    account = ProviderAccount.objects.select_related("queue").get()
    assert account.secrets.reveal() == {"api_key": "stored-key"}
    assert account.settings["capability"] == "repeat"
    assert (account.queue.cap, account.queue.rate) == (3, None)


def test_a_secret_typed_in_replaces_the_stored_one(admin_client: Client) -> None:
    account = make_account(secrets={"api_key": "stored-key"})
    assert edit(admin_client, account, setting_api_key="newer-key").status_code == 302
    assert ProviderAccount.objects.get().secrets.reveal() == {"api_key": "newer-key"}


def test_a_wrong_edit_changes_nothing(admin_client: Client) -> None:
    account = make_account(secrets={"api_key": "stored-key"})
    before = ProviderAccount.objects.values().get()
    page = edit(admin_client, account, setting_api_key="newer-key", setting_base_url="nowhere", cap=99)
    assert errors(page) == ["setting_base_url"]
    after = ProviderAccount.objects.values().get()
    assert after == before
    assert account.secrets.reveal() == {"api_key": "stored-key"}
    assert Queue.objects.get().cap != 99


def test_tenant_and_vendor_of_an_account_never_change(admin_client: Client) -> None:
    account = make_account()
    edit(admin_client, account, tenant=make_tenant().pk, vendor="other", setting_api_key="k")
    stored = ProviderAccount.objects.get()
    assert (stored.tenant_id, stored.vendor) == (account.tenant_id, "simulator")


def test_a_lost_key_is_said_and_repaired_by_typing_the_secret_again(
    admin_client: Client, settings: Any
) -> None:
    account = make_account(secrets={"api_key": "stored-key"})
    settings.FIELD_KEYS = ["b3RoZXIga2V5LCB0aGlydHktdHdvIGJ5dGVzIGxvbmc="]
    page = admin_client.get(reverse(f"{PAGE}_change", args=[account.pk]))
    assert "does not open with FIELD_KEY" in page.content.decode()
    assert errors(edit(admin_client, account)) == ["setting_api_key"]
    assert edit(admin_client, account, setting_api_key="again").status_code == 302
    assert ProviderAccount.objects.get().secrets.reveal() == {"api_key": "again"}


def test_the_vendor_is_chosen_first_and_decides_fields_and_channels(
    admin_client: Client, second_vendor: str
) -> None:
    choice = admin_client.get(reverse(f"{PAGE}_add"), {"tenant": "7"})
    urls = [(entry["label"], entry["url"]) for entry in choice.context["choices"]]
    assert ("Other vendor", "?tenant=7&vendor=other") in urls
    assert len(urls) == len(registry.ADAPTERS)
    assert urls == sorted(urls)
    assert errors(add(admin_client, "?vendor=other", channels=["mms"])) == ["channels"]
    assert add(admin_client, "?vendor=other", channels=["sms"], setting_pin="4711").status_code == 302
    account = ProviderAccount.objects.get()
    assert account.vendor == "other"
    assert account.secrets.reveal() == {"api_key": "typed-key", "pin": "4711"}


def test_a_preset_fills_in_what_is_left_empty_and_can_be_edited(admin_client: Client) -> None:
    typed = {
        "preset": "kannel",
        "base_url": "http://127.0.0.1:13013",
        "username": "u",
        "statuses": "1 = delivered",
    }
    form = {f"setting_{name}": value for name, value in typed.items()}
    secret = {"setting_password": "typed-password"}
    assert errors(add(admin_client, "?vendor=http_generic", channels=["sms"], **form)) == ["setting_password"]
    added = add(admin_client, "?vendor=http_generic", channels=["sms"], **form, **secret)
    assert added.status_code == 302
    account = ProviderAccount.objects.get()
    assert {name: account.settings[name] for name in typed} == typed
    assert account.settings["method"] == "GET"
    page = admin_client.get(reverse(f"{PAGE}_change", args=[account.pk]))
    shown = {
        name: page.context["adminform"].form[name].value() for name in page.context["adminform"].form.fields
    }
    assert "typed-password" not in page.content.decode()
    again = {name: value for name, value in shown.items() if name.startswith("setting_") and value}
    again["setting_url"] = again["setting_url"].replace("\n", "\r\n") + "&smsc={{ colour }}"
    assert errors(edit(admin_client, account, channels=["sms"], **again)) == ["setting_url"]
    again["setting_url"] = again["setting_url"].replace("{{ colour }}", "main")
    assert edit(admin_client, account, channels=["sms"], **again).status_code == 302
    call = admin_client.get(preview_url(account)).context["call"]
    assert call["url"].startswith(
        "http://127.0.0.1:13013/cgi-bin/sendsms?username=u&password=***&from=%2B15550100&"
    )
    assert call["url"].endswith("&smsc=main")
    assert ProviderAccount.objects.get().secrets.reveal()["password"] == "typed-password"


def test_an_optional_secret_can_be_forgotten(admin_client: Client, second_vendor: str) -> None:
    add(admin_client, "?vendor=other", channels=["sms"], setting_pin="4711")
    account = ProviderAccount.objects.get()
    assert edit(admin_client, account, channels=["sms"]).status_code == 302
    assert ProviderAccount.objects.get().secrets.reveal()["pin"] == "4711"
    assert edit(admin_client, account, channels=["sms"], clear_pin="on").status_code == 302
    assert ProviderAccount.objects.get().secrets.reveal() == {"api_key": "typed-key", "pin": ""}


def test_a_key_of_several_lines_keeps_them_and_is_never_shown(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Signing(Simulator):
        key = "signing"
        settings = (*Simulator.settings, Setting("pem", "Private key", secret=True, multiline=True))

    monkeypatch.setitem(registry.ADAPTERS, "signing", Signing())
    pem = "-----BEGIN KEY-----\nc2VjcmV0\n-----END KEY-----"
    wrong = add(admin_client, "?vendor=signing", setting_pem=pem, rate="-1")
    assert wrong.status_code == 200
    assert "c2VjcmV0" not in wrong.content.decode()
    assert add(admin_client, "?vendor=signing", setting_pem=pem).status_code == 302
    stored = ProviderAccount.objects.get().secrets.reveal()["pem"]
    assert stored.splitlines() == pem.splitlines()


def test_the_simulator_is_offered_in_a_demo_only(
    admin_client: Client, settings: Any, second_vendor: str
) -> None:
    settings.DEMO = False
    page = admin_client.get(reverse(f"{PAGE}_add"), {"vendor": "simulator"})
    labels = [entry["label"] for entry in page.context["choices"]]
    assert "Other vendor" in labels
    assert "Simulator" not in labels


def test_an_account_of_an_unknown_vendor_is_shown_and_not_edited(admin_client: Client) -> None:
    account = make_account(vendor="gone")
    page = admin_client.get(reverse(f"{PAGE}_change", args=[account.pk]))
    assert "gone: unknown to this version" in page.content.decode()
    assert edit(admin_client, account).status_code == 403


@pytest.mark.parametrize("ok", [True, False, None])
def test_the_test_button_shows_what_the_vendor_said(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, ok: bool | None
) -> None:
    asked: list[int] = []

    def check(account: ProviderAccount) -> CredentialCheck:
        asked.append(account.pk)
        return CredentialCheck(ok, "the vendor's own words")

    monkeypatch.setattr("messaging.admin.provider_account.check_account", check)
    account = make_account()
    url = reverse(f"{PAGE}_check", args=[account.pk])
    assert admin_client.get(url).status_code == 405
    page = admin_client.post(url, follow=True)
    assert asked == [account.pk]
    [message] = page.context["messages"]
    assert message.message.endswith("the vendor's own words")
    assert message.level_tag == {True: "success", False: "error", None: "warning"}[ok]


def preview_url(account: ProviderAccount) -> str:
    return reverse(f"{PAGE}_preview", args=[account.pk])


def test_a_preview_shows_the_call_and_sends_nothing(admin_client: Client) -> None:
    account = make_account(secrets={"api_key": "stored-key"})
    before = ProviderAccount.objects.values().get()
    change = admin_client.get(reverse(f"{PAGE}_change", args=[account.pk])).content.decode()
    assert f'href="{preview_url(account)}"' in change
    page = admin_client.get(preview_url(account))
    call = page.context["call"]
    assert (call["method"], call["headers"]["Authorization"]) == ("POST", "***")
    assert call["url"].endswith("/messages")
    assert '"to": "+15550100123"' in call["body"]
    text = page.content.decode()
    assert "&quot;to&quot;: &quot;+15550100123&quot;" in text
    assert "stored-key" not in text
    assert ProviderAccount.objects.values().get() == before
    assert not Message.objects.exists()


def test_a_preview_says_why_there_is_none(admin_client: Client, settings: Any) -> None:
    bare, sealed = make_account(secrets={}), make_account(secrets={"api_key": "stored-key"})
    assert admin_client.get(preview_url(bare)).context["problem"] == "the call cannot be built (KeyError)"
    settings.FIELD_KEYS = ["b3RoZXIga2V5LCB0aGlydHktdHdvIGJ5dGVzIGxvbmc="]
    page = admin_client.get(preview_url(sealed))
    assert page.status_code == 200
    assert "FIELD_KEY" in page.context["problem"]
    assert page.context["problem"] in page.content.decode()


def test_a_preview_is_for_those_who_may_change_the_account(admin_client: Client, client: Client) -> None:
    account = make_account(secrets={"api_key": "stored-key"})
    assert client.get(preview_url(account)).status_code == 302
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_provideraccount"))
    client.force_login(viewer)
    assert client.get(preview_url(account)).status_code == 403
    viewer.user_permissions.add(Permission.objects.get(codename="change_provideraccount"))
    assert client.get(preview_url(account)).status_code == 200
    assert client.post(preview_url(account)).status_code == 405
    gone = reverse(f"{PAGE}_preview", args=[account.pk + 1])
    assert admin_client.get(gone).status_code == 404


def test_the_hook_address_can_be_copied(admin_client: Client) -> None:
    account = make_account()
    credentials: Credentials = account.credentials()
    page = admin_client.get(reverse(f"{PAGE}_change", args=[account.pk])).content.decode()
    assert f"<code>{credentials.hook_url}</code>" in page


@pytest.mark.parametrize(
    ("vendor", "seen"),
    [
        pytest.param("simulator", True, id="a vendor that signs"),
        pytest.param("elks", False, id="the address is all the proof"),
        pytest.param("bandwidth", False, id="the address may be all the proof"),
    ],
)
def test_a_hook_address_that_is_a_secret_needs_a_permission(client: Client, vendor: str, seen: bool) -> None:
    account = make_account(vendor=vendor)
    viewer = User.objects.create_user("viewer", is_staff=True)
    for name in ("view_provideraccount", "view_queue"):
        viewer.user_permissions.add(Permission.objects.get(codename=name))
    client.force_login(viewer)
    url = reverse(f"{PAGE}_change", args=[account.pk])
    assert (account.public_id in client.get(url).content.decode()) is seen
    queue = reverse("admin:messaging_queue_change", args=[account.queue_id])
    assert account.public_id not in client.get(queue).content.decode()

    viewer.user_permissions.add(Permission.objects.get(codename="view_hook_address"))
    assert account.public_id in client.get(url).content.decode()


def test_a_preview_hides_a_hook_address_that_is_a_secret() -> None:
    account = make_account(
        vendor="elks",
        settings={"api_username": "u", "base_url": "https://api.46elks.com"},
        secrets={"api_password": "p" * 9},
    )
    assert account.public_id in json.dumps(preview(account))
    assert account.public_id not in json.dumps(preview(account, shows_hook=False))


def test_an_account_with_messages_is_not_deleted(admin_client: Client) -> None:
    message = make_message()
    url = reverse(f"{PAGE}_delete", args=[message.account_id])
    page = admin_client.post(url, {"post": "yes"}, follow=True)
    assert "its messages and reports are history that is kept" in page.content.decode()
    assert ProviderAccount.objects.count() == 1


def test_an_unused_account_is_deleted_with_its_queue(admin_client: Client) -> None:
    account = make_account()
    page = admin_client.post(reverse(f"{PAGE}_delete", args=[account.pk]), {"post": "yes"}, follow=True)
    assert page.status_code == 200
    assert (ProviderAccount.objects.count(), Queue.objects.count()) == (0, 0)
