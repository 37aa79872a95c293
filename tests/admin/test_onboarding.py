"""Tenants and tokens at the desk: secrets are shown in one answer, and never again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from accounts.models import ApiToken, Tenant, TenantStatus, digest
from messaging.models import Message, Queue
from messaging.rules.values import QueueKind
from tests.factories import make_account, make_message, make_tenant, make_token

pytestmark = pytest.mark.django_db

TENANTS = "admin:accounts_tenant"
TOKENS = "admin:accounts_apitoken"


def new_tenant(**changes: Any) -> dict[str, Any]:
    return {"name": "Acme", "slug": "acme", "status": "active", "header": "Chan-Token", **changes}


def kept_settings(tenant: Tenant, **changes: Any) -> dict[str, Any]:
    return {"name": tenant.name, "slug": tenant.slug, "status": tenant.status, **changes}


def action(client: Client, page: str, name: str, *rows: Any) -> Any:
    data = {"action": name, "_selected_action": [row.pk for row in rows], "index": 0}
    return client.post(reverse(f"{page}_changelist"), data, follow=True)


def everything_kept_on_the_way(client: Client) -> str:
    sessions = [str(session.get_decoded()) for session in Session.objects.all()]
    logged = [entry.change_message + entry.object_repr for entry in LogEntry.objects.all()]
    cookies = [cookie.OutputString() for cookie in client.cookies.values()]
    return "\n".join([*sessions, *logged, *cookies])


def test_one_step_makes_tenant_token_and_queue_and_shows_the_secrets_once(admin_client: Client) -> None:
    form = new_tenant(second_header="Chan-Account", allowed_hosts="hooks.example.com")
    page = admin_client.post(reverse(f"{TENANTS}_add"), form)

    assert page.status_code == 200
    assert "no-store" in page.headers["Cache-Control"]
    assert [str(message) for message in page.context["messages"]] == []
    tenant, token = Tenant.objects.get(), ApiToken.objects.get()
    sheet = page.context["sheet"]
    assert (tenant.slug, tenant.allowed_hosts, token.tenant) == ("acme", ["hooks.example.com"], tenant)
    assert [(field.header, field.value) for field in sheet.fields[1:]] == [("Chan-Account", "acme")]
    assert digest(sheet.fields[0].value) == bytes(token.digest)
    assert sheet.callback_secret == tenant.callback_secret.reveal()
    assert len(sheet.callback_secret) >= 40
    html = page.content.decode()
    assert html.count(sheet.fields[0].value) == html.count(sheet.callback_secret) == 1
    assert "https://connector.example/sms/send" in html
    assert Queue.objects.filter(kind=QueueKind.CALLBACKS, key=str(tenant.pk)).count() == 1

    kept = everything_kept_on_the_way(admin_client)
    for secret in (sheet.fields[0].value, sheet.callback_secret):
        assert secret not in kept
        assert secret not in admin_client.get(reverse(f"{TENANTS}_change", args=[tenant.pk])).content.decode()


def test_a_pasted_secret_is_taken(admin_client: Client) -> None:
    pasted = "p" * 32
    admin_client.post(reverse(f"{TENANTS}_add"), new_tenant(callback_secret=pasted))
    tenant = Tenant.objects.get()
    assert (tenant.callback_secret.reveal(), tenant.callback_secret_dictated) == (pasted, False)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"slug": "not a slug"}, "slug", id="slug"),
        pytest.param({"slug": "taken"}, "slug", id="taken"),
        pytest.param({"callback_secret": "typed-secret" + "x" * 19}, "callback_secret", id="31 characters"),
        pytest.param({"name": ""}, "name", id="name"),
        pytest.param({"header": "Chan Token"}, "header", id="header"),
        pytest.param({"second_header": "a:b"}, "second_header", id="second header"),
        pytest.param({"allowed_hosts": "https://x.example"}, "allowed_hosts", id="scheme in host"),
        pytest.param({"allowed_hosts": "x.example:8443"}, "allowed_hosts", id="port in host"),
        pytest.param({"rate": "-1"}, "rate", id="rate"),
        pytest.param({"inbound_url_sms": "nowhere"}, "inbound_url_sms", id="inbound url"),
        pytest.param({"inbound_url_sms": "http://in.example/"}, "inbound_url_sms", id="inbound url of http"),
        pytest.param({"inbound_url_mms": "https://10.0.0.1/"}, "inbound_url_mms", id="private inbound url"),
        pytest.param(
            {"inbound_url_mms": "https://u:p@in.example/"}, "inbound_url_mms", id="inbound url with a user"
        ),
        pytest.param(
            {"inbound_url_sms": "https://in.example:0/"}, "inbound_url_sms", id="inbound url of port 0"
        ),
    ],
)
def test_a_wrong_form_names_its_field_and_makes_nothing(
    admin_client: Client, changes: dict[str, str], field: str
) -> None:
    make_tenant(slug="taken")
    page = admin_client.post(
        reverse(f"{TENANTS}_add"), new_tenant(**{"callback_secret": "typed-secret" * 3, **changes})
    )
    assert list(page.context["adminform"].form.errors) == [field]
    assert "typed-secret" not in page.content.decode()
    assert (Tenant.objects.count(), ApiToken.objects.count(), Queue.objects.count()) == (1, 0, 0)


def test_an_empty_secret_keeps_the_stored_one(admin_client: Client) -> None:
    tenant = make_tenant(callback_secret="first")
    form = kept_settings(tenant, name="New name", callback_secret="")
    assert admin_client.post(reverse(f"{TENANTS}_change", args=[tenant.pk]), form).status_code == 302
    tenant.refresh_from_db()
    assert (tenant.name, tenant.callback_secret.reveal()) == ("New name", "first")
    assert not tenant.callback_secret_previous


FIRST, SECOND, THIRD = "1" * 32, "2" * 32, "3" * 32


def enter(client: Client, tenant: Tenant, secret: str, **ticks: str) -> list[str]:
    """Enters a callback secret; the errors at its field."""
    url = reverse(f"{TENANTS}_change", args=[tenant.pk])
    page = client.post(url, kept_settings(tenant, callback_secret=secret, **ticks))
    tenant.refresh_from_db()
    if page.status_code == 302:
        return []
    assert secret not in page.content.decode()
    return list(page.context["adminform"].form.errors["callback_secret"])


def secrets_of(tenant: Tenant) -> tuple[str, str, str]:
    tenant.refresh_from_db()
    return (
        tenant.callback_secret.reveal(),
        tenant.callback_secret_previous.reveal(),
        tenant.secret_in_use,
    )


def shown(client: Client, tenant: Tenant) -> str:
    return client.get(reverse(f"{TENANTS}_change", args=[tenant.pk])).content.decode()


def test_a_rotation_in_steps(admin_client: Client) -> None:
    tenant = make_tenant(callback_secret=FIRST, secret_in_use="current")
    assert enter(admin_client, tenant, SECOND) == []
    assert secrets_of(tenant) == (SECOND, FIRST, "previous")
    assert "Step 2 of 3: Bloomreach took the previous one last" in shown(admin_client, tenant)

    taken_at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    Tenant.objects.update(secret_in_use="current", secret_taken_at=taken_at)
    text = shown(admin_client, tenant)
    assert (
        "Step 3 of 3: Bloomreach took the current one last at 2026-01-02 03:04 UTC: forget the previous"
        in text
    )
    action(admin_client, TENANTS, "forget_previous_secret", tenant)
    assert secrets_of(tenant) == (SECOND, "", "current")


@pytest.mark.parametrize(
    ("in_use", "words"),
    [
        pytest.param("previous", "Bloomreach took the previous one last", id="previous"),
        pytest.param("", "Bloomreach has taken no callback with either yet", id="not known"),
    ],
)
def test_a_third_secret_does_not_drop_the_one_that_is_used(
    admin_client: Client, in_use: str, words: str
) -> None:
    tenant = make_tenant(callback_secret=SECOND, callback_secret_previous=FIRST, secret_in_use=in_use)
    (error,) = enter(admin_client, tenant, THIRD)
    assert error.startswith("Not now: a third secret would drop the previous one, and " + words)
    assert secrets_of(tenant) == (SECOND, FIRST, in_use)

    assert enter(admin_client, tenant, THIRD, drop_previous_secret="on") == []
    assert secrets_of(tenant) == (THIRD, SECOND, "")


def test_a_third_secret_is_fine_once_the_second_is_used(admin_client: Client) -> None:
    tenant = make_tenant(callback_secret=SECOND, callback_secret_previous=FIRST, secret_in_use="current")
    assert enter(admin_client, tenant, THIRD) == []
    assert secrets_of(tenant) == (THIRD, SECOND, "previous")


def test_going_back_to_the_previous_secret_drops_nothing(admin_client: Client) -> None:
    tenant = make_tenant(callback_secret=SECOND, callback_secret_previous=FIRST, secret_in_use="previous")
    assert enter(admin_client, tenant, FIRST) == []
    assert secrets_of(tenant) == (FIRST, SECOND, "current")


def test_the_same_secret_again_is_no_rotation(admin_client: Client) -> None:
    tenant = make_tenant(callback_secret=FIRST)
    assert enter(admin_client, tenant, FIRST) == ["This is the secret that is set already."]
    assert secrets_of(tenant) == (FIRST, "", "")


def test_a_short_secret_is_taken_only_from_bloomreach(admin_client: Client) -> None:
    tenant = make_tenant(callback_secret=FIRST)
    (error,) = enter(admin_client, tenant, "t0oFew")
    assert error.startswith("It has 6 characters, and 32 are needed")
    assert secrets_of(tenant) == (FIRST, "", "")
    assert enter(admin_client, tenant, "t0oFew", secret_dictated="on") == []
    assert secrets_of(tenant)[:2] == ("t0oFew", FIRST)
    assert "Bloomreach gave it" in shown(admin_client, tenant)


def test_a_previous_secret_that_is_used_is_forgotten_only_by_saying_so(admin_client: Client) -> None:
    tenant = make_tenant(callback_secret=SECOND, callback_secret_previous=FIRST, secret_in_use="previous")
    action(admin_client, TENANTS, "forget_previous_secret", tenant)
    assert secrets_of(tenant) == (SECOND, FIRST, "previous")
    action(admin_client, TENANTS, "forget_used_secret", tenant)
    assert secrets_of(tenant) == (SECOND, "", "")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        pytest.param("pause", TenantStatus.PAUSED, id="pause"),
        pytest.param("suspend", TenantStatus.SUSPENDED, id="suspend"),
        pytest.param("resume", TenantStatus.ACTIVE, id="resume"),
    ],
)
def test_status_actions(admin_client: Client, name: str, status: TenantStatus) -> None:
    before = TenantStatus.PAUSED if name == "resume" else TenantStatus.ACTIVE
    tenant, other = make_tenant(status=before), make_tenant(status=before)
    action(admin_client, TENANTS, name, tenant)
    tenant.refresh_from_db()
    other.refresh_from_db()
    assert (tenant.status, other.status) == (status, before)
    assert LogEntry.objects.filter(object_id=str(tenant.pk)).count() == 1


def test_a_tenant_with_messages_is_not_deleted(admin_client: Client) -> None:
    message = make_message()
    url = reverse(f"{TENANTS}_delete", args=[message.tenant_id])
    page = admin_client.post(url, {"post": "yes"}, follow=True)
    assert "its messages are history that is kept" in page.content.decode()
    assert Message.objects.count() == Tenant.objects.count() == 1


def test_a_tenant_with_accounts_is_not_deleted(admin_client: Client) -> None:
    account = make_account()
    url = reverse(f"{TENANTS}_delete", args=[account.tenant_id])
    page = admin_client.post(url, {"post": "yes"}, follow=True)
    assert "it still has provider accounts" in page.content.decode()
    assert Tenant.objects.count() == 1


def test_an_unused_tenant_is_deleted_with_its_tokens_and_queue(admin_client: Client) -> None:
    admin_client.post(reverse(f"{TENANTS}_add"), new_tenant())
    admin_client.post(reverse(f"{TENANTS}_delete", args=[Tenant.objects.get().pk]), {"post": "yes"})
    assert (Tenant.objects.count(), ApiToken.objects.count(), Queue.objects.count()) == (0, 0, 0)


def test_a_token_is_issued_and_shown_once(admin_client: Client) -> None:
    tenant = make_tenant(slug="acme")
    form = {"tenant": tenant.pk, "label": "second", "header": "Chan-Api-Key", "second_header": "Chan-Account"}
    page = admin_client.post(reverse(f"{TOKENS}_add"), form)

    token = ApiToken.objects.get()
    [(_, header, secret), second] = page.context["rows"]
    assert (header, digest(secret)) == ("Chan-Api-Key", bytes(token.digest))
    assert second == ("Account", "Chan-Account", "acme")
    assert page.content.decode().count(secret) == 1
    assert "no-store" in page.headers["Cache-Control"]
    assert [str(message) for message in page.context["messages"]] == []
    assert secret not in everything_kept_on_the_way(admin_client)
    assert secret not in admin_client.get(reverse(f"{TOKENS}_change", args=[token.pk])).content.decode()


def test_a_token_form_with_a_wrong_header_issues_nothing(admin_client: Client) -> None:
    form = {"tenant": make_tenant().pk, "header": "not a header"}
    page = admin_client.post(reverse(f"{TOKENS}_add"), form)
    assert list(page.context["adminform"].form.errors) == ["header"]
    assert not ApiToken.objects.exists()


def test_a_token_keeps_its_tenant_and_digest_when_edited(admin_client: Client) -> None:
    token, secret = make_token()
    form = {"tenant": make_tenant().pk, "label": "renamed", "header": "Chan-Token", "digest": "x"}
    admin_client.post(reverse(f"{TOKENS}_change", args=[token.pk]), form)
    stored = ApiToken.objects.get()
    assert (stored.label, stored.tenant_id, bytes(stored.digest)) == (
        "renamed",
        token.tenant_id,
        digest(secret),
    )


def test_revoking_closes_the_door_once(admin_client: Client) -> None:
    token, other = make_token()[0], make_token()[0]
    action(admin_client, TOKENS, "revoke", token)
    first = ApiToken.objects.get(pk=token.pk).revoked_at
    assert first is not None
    assert ApiToken.objects.get(pk=other.pk).revoked_at is None
    page = action(admin_client, TOKENS, "revoke", token)
    assert "0 token(s) revoked" in page.content.decode()
    assert ApiToken.objects.get(pk=token.pk).revoked_at == first
