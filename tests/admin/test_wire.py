"""The wire page of a tenant: preview, saving, what was recorded, trying."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from accounts.models import Tenant
from connector.middleware import CONTENT_POLICY
from messaging.accept import wire_recorder
from messaging.contract.wire_shape import shape
from messaging.models import RecordedRequest
from messaging.rules.values import MessageState
from tests import factories, listener
from tests.listener import Listener

pytestmark = pytest.mark.django_db

CAMEL = {"spelling": "camel", "spelling_in": "camel", "outbound": "", "inbound": "events", "success": "json"}


@pytest.fixture
def tenant() -> Tenant:
    return factories.make_tenant(slug="acme")


@pytest.fixture
def bloomreach(settings: LazySettings) -> Iterator[Listener]:
    settings.DEMO = True
    with listener.serving() as running:
        yield running


def address(tenant: Tenant) -> str:
    return reverse("admin:accounts_tenant_wire", args=[tenant.pk])


def post(client: Client, tenant: Tenant, button: str, **fields: Any) -> Any:
    return client.post(address(tenant), {**fields, button: "1"}, follow=True)


def stored(tenant: Tenant) -> Any:
    tenant.refresh_from_db()
    return tenant.wire_profile


def said(page: Any) -> list[str]:
    return [str(message) for message in page.context["messages"]]


def test_the_page_shows_the_stored_profile(admin_client: Client, tenant: Tenant) -> None:
    page = admin_client.get(address(tenant))
    html = page.content.decode()
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"] == CONTENT_POLICY
    assert "As it is stored" in html and "&quot;custom_data&quot;" in html
    assert "callback-secret" not in html


def test_a_preview_stores_nothing(admin_client: Client, tenant: Tenant) -> None:
    page = post(admin_client, tenant, "preview", **CAMEL, bearer="on", statuses="failed = NOT_DELIVERED")
    texts = {sample.title: sample.text for sample in page.context["samples"]}
    callback = texts["A callback about two messages"]
    assert "Authorization: Bearer <token>" in callback
    assert '"customData"' in callback and '"NOT_DELIVERED"' in callback
    assert '"callbackUrl"' in texts["A request, as it is expected"]
    assert "Preview; nothing is saved yet" in page.content.decode()
    assert stored(tenant) == {}
    assert not LogEntry.objects.exists()


def test_all_parts_are_saved_and_logged(admin_client: Client, tenant: Tenant) -> None:
    page = post(
        admin_client,
        tenant,
        "save",
        **CAMEL | {"success": "text", "inbound": "data"},
        bearer="on",
        statuses="failed = NOT DELIVERED\n\ndelivered=OK",
        keys_out="to = recipient",
        keys_in="text = messageText",
        extra='userId = acme\nversion = 2\nflag = true\nnothing = null\nquoted = "2"',
        omitted="sent_as, segments",
        paths="/c/acme/sms/send/ = sms_send",
    )
    expected = {
        "spelling": "camel",
        "spelling_in": "camel",
        "keys_out": {"to": "recipient"},
        "keys_in": {"text": "messageText"},
        "outbound": "",
        "inbound": "data",
        "bearer": True,
        "statuses": {"failed": "NOT DELIVERED", "delivered": "OK"},
        "extra": {"userId": "acme", "version": 2, "flag": True, "nothing": None, "quoted": "2"},
        "omitted": ["sent_as", "segments"],
        "success": "text",
        "paths": {"/c/acme/sms/send": "sms_send"},
    }
    assert stored(tenant) == expected
    assert 'spelling: "snake" → "camel"' in LogEntry.objects.get().change_message
    # What the page shows can be saved again and is the same.
    form = page.context["form"]
    fields = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    again = post(admin_client, tenant, "save", **fields)
    assert said(again) == ["Wire profile changed: nothing differs from before."]
    assert stored(tenant) == expected
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        pytest.param({"outbound": 'a"b'}, "outbound", "keys of 1 to 64", id="envelope"),
        pytest.param({"spelling": "kebab"}, "spelling", "not one of the available", id="spelling"),
        pytest.param({"statuses": "read = x"}, "statuses", "knows only sent", id="status"),
        pytest.param({"statuses": "no equals sign"}, "statuses", "name = value", id="no map"),
        pytest.param({"statuses": "sent = a\nsent = b"}, "statuses", "repeats", id="twice"),
        pytest.param({"paths": "/admin/x = sms_send"}, "paths", "served already", id="path"),
        pytest.param({"omitted": "status"}, "omitted", "Bloomreach needs it", id="left out"),
        pytest.param({"extra": "a = [1]"}, "extra", "must hold texts", id="extra"),
        pytest.param({"extra": "a = " + "[" * 7000}, "extra", "at most 200", id="extra nested without end"),
        pytest.param({"extra": 'a = "\\ud83d"'}, "extra", "must hold texts", id="extra, half a character"),
        pytest.param({"extra": "a = " + "9" * 190}, "extra", "must hold texts", id="extra, a huge number"),
        pytest.param({"extra": 'a = "b\\u0000"'}, "extra", "must hold texts", id="extra, an escaped NUL"),
        pytest.param({"extra": "status = x"}, "keys_out", "two values", id="extra over ours"),
        pytest.param({"keys_in": "x" * 9000}, "keys_in", "at most 8000", id="too long"),
        pytest.param({"keys_out": "a\x00 = b"}, "keys_out", "Null characters", id="NUL"),
    ],
)
def test_what_is_wrong_stands_at_its_field(
    admin_client: Client, tenant: Tenant, changes: dict[str, str], field: str, words: str
) -> None:
    page = post(admin_client, tenant, "save", **CAMEL | changes)
    assert page.status_code == 200
    assert list(page.context["form"].errors) == [field]
    assert words in str(page.context["form"].errors[field])
    assert stored(tenant) == {}


def test_recorded_requests_stand_beside_the_profile(admin_client: Client, tenant: Tenant) -> None:
    wire_recorder.forget_seen()  # what requests of other tests left behind
    body = {"from": "Acme", "to": "1", "msg": "<b>x</b>", "customData": "x", "callback_url": "x"}
    wire_recorder.note(
        wire_recorder.Shape(
            tenant.pk, "sms_send", "invalid_text", keys=shape(body), headers=("Chan-Token",), is_telling=True
        )
    )
    wire_recorder.flush()
    wire_recorder.forget_seen()
    page = admin_client.get(address(tenant))
    ((_, words),) = page.context["shapes"]
    assert words == [
        "text does not come",
        "customData comes for custom_data",
        "msg (string) is not known",
    ]
    tenants_page = admin_client.get(
        reverse("admin:accounts_tenant_change", args=[tenant.pk])
    ).content.decode()
    assert "sent otherwise: msg (string) is not known" in tenants_page
    assert "sms_send was answered invalid_text" in tenants_page
    assert address(tenant) in tenants_page

    page = post(admin_client, tenant, "forget")
    assert said(page) == ["1 recorded requests are forgotten."]
    assert not RecordedRequest.objects.exists()
    assert page.context["shapes"] == []


def test_agreed_addresses_stand_on_the_tenants_page(admin_client: Client) -> None:
    tenant = factories.make_tenant(wire_profile={"paths": {"/c/acme/sms/verify": "sms_verify"}})
    html = admin_client.get(reverse("admin:accounts_tenant_change", args=[tenant.pk])).content.decode()
    assert "GET https://connector.example/c/acme/sms/verify" in html


def test_trying_finds_the_shape_and_is_logged(
    admin_client: Client, tenant: Tenant, bloomreach: Listener
) -> None:
    factories.make_message(
        account=factories.make_account(tenant),
        state=MessageState.DELIVERED,
        request_id="",
        content={"callback_url": bloomreach.url()},
    )
    bloomreach.answer = lambda post: 200 if post.body.startswith(b"[") else 400

    page = post(admin_client, tenant, "probe", what="outbound", confirm="on")

    assert page.context["probed"].found == "a bare array, snake_case, the bare token"
    assert stored(tenant) == {"outbound": ""}
    assert LogEntry.objects.get().change_message == (
        'Wire profile found by trying (a bare array, snake_case, the bare token): outbound: "events" → "".'
    )
    assert page.context["form"].initial["outbound"] == ""


def test_trying_needs_a_confirmation(admin_client: Client, tenant: Tenant, bloomreach: Listener) -> None:
    page = post(admin_client, tenant, "probe", what="outbound", url=bloomreach.url())
    assert list(page.context["probe_form"].errors) == ["confirm"]
    assert bloomreach.posts == []


def test_trying_in_vain_changes_nothing_and_is_logged(
    admin_client: Client, tenant: Tenant, bloomreach: Listener
) -> None:
    bloomreach.answer = lambda post: 422
    page = post(admin_client, tenant, "probe", what="outbound", url=bloomreach.url(), confirm="on")
    assert said(page) == ["Not found: none of the shapes was taken."]
    assert (len(bloomreach.posts), stored(tenant)) == (8, {})
    assert LogEntry.objects.get().change_message == (
        "Tried 8 shapes of callbacks: none of the shapes was taken."
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"what": "outbound"}, "Say where to", id="nowhere"),
        pytest.param({"what": "inbound"}, "no inbound URL", id="no inbound URL"),
        pytest.param({"what": "outbound", "url": "https://10.0.0.1/x"}, "not allowed", id="another host"),
        pytest.param({"what": "outbound", "message": "x"}, "valid UUID", id="no id"),
        pytest.param({"what": "everything"}, "Select a valid choice", id="unknown"),
    ],
)
def test_trying_says_why_not(
    admin_client: Client, tenant: Tenant, fields: dict[str, str], words: str
) -> None:
    page = post(admin_client, tenant, "probe", confirm="on", **fields)
    assert page.status_code == 200
    assert words in page.content.decode()


def test_who_may_not_change_tenants_sees_nothing(client: Client, tenant: Tenant) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_tenant"))
    client.force_login(viewer)
    assert client.get(address(tenant)).status_code == 403
    assert client.post(address(tenant), {**CAMEL, "save": "1"}).status_code == 403
    page = client.get(reverse("admin:accounts_tenant_change", args=[tenant.pk]))
    assert page.status_code == 200
    assert stored(tenant) == {}


def test_no_such_tenant(admin_client: Client) -> None:
    for pk in (999_999, 10**24):
        assert admin_client.get(reverse("admin:accounts_tenant_wire", args=[pk])).status_code == 404
