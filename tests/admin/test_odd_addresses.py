"""Addresses and forms of pages that nothing can be looked up by: a 400 in words, and never a crash or a wrong list."""

from __future__ import annotations

import itertools
import logging
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse

from accounts.lists import StrictList
from accounts.models import Tenant, TenantStatus
from connector import urls
from messaging.models import Queue
from tests.admin.conftest import Desk

pytestmark = pytest.mark.django_db

assert urls.urlpatterns  # importing them registers every page
ADMINS = sorted(admin.site._registry.values(), key=lambda desk: desk.opts.label_lower)
LISTS = [
    pytest.param(
        reverse(f"admin:{desk.opts.app_label}_{desk.opts.model_name}_changelist"), id=desk.opts.label_lower
    )
    for desk in ADMINS
]
ODD = ("99999999999999999999", "-5", "1e9", "'", "9" * 5000, "²")
NAMES = (
    *(
        "p",
        "q",
        "o",
        "pk",
        "id__in",
        "nothing",
        "_to_field",
        "tenant",
        "tenant__id__exact",
        "account",
        "state",
    ),
    *("since", "kind__exact", "channel", "parked", "is_active__exact", "created_at__year", "name__regex"),
)
MESSAGES = "admin:messaging_message_changelist"


def crashes(answers: dict[str, int]) -> dict[str, int]:
    return {what: status for what, status in answers.items() if status >= 500}


@pytest.mark.parametrize("address", LISTS)
def test_no_value_of_any_parameter_is_a_crash(desk: Desk, admin_client: Client, address: str) -> None:
    admin_client.raise_request_exception = False
    odd = itertools.cycle(ODD)
    pages = [f"{address}?{name}={quote(next(odd))}" for name in NAMES for _ in range(2)]
    pages += [f"{address}?{name}={quote(odd)}" for name in ("p", "q") for odd in ODD]
    assert crashes({page: admin_client.get(page).status_code for page in pages}) == {}


@pytest.mark.parametrize("address", LISTS)
def test_no_key_of_a_row_is_a_crash(desk: Desk, admin_client: Client, address: str) -> None:
    admin_client.raise_request_exception = False
    keys = ("99999999999999999999", "9" * 5000, "%00", "_00", "nobody")
    tails = ("change/", "history/", "delete/", "check/", "password/")
    pages = [f"{address}{key}/{tail}" for key in keys for tail in tails]
    assert crashes({page: admin_client.get(page).status_code for page in pages}) == {}
    assert crashes({page: admin_client.post(page).status_code for page in pages}) == {}


@pytest.mark.parametrize("model_admin", ADMINS, ids=lambda desk: desk.opts.label_lower)
def test_every_list_is_strict(rf: object, admin_user: User, model_admin: admin.ModelAdmin) -> None:  # type: ignore[type-arg]
    request = HttpRequest()
    request.user = admin_user
    assert issubclass(model_admin.get_changelist(request), StrictList)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("\x00", id="NUL"),
        pytest.param("nobody", id="a word"),
        pytest.param("", id="nothing"),
        pytest.param("-1", id="negative"),
        pytest.param("9" * 5000, id="a long number"),
    ],
)
@pytest.mark.parametrize("address", LISTS)
def test_an_action_on_a_row_that_cannot_be_is_no_crash(
    desk: Desk, admin_client: Client, admin_user: User, address: str, key: str
) -> None:
    admin_client.raise_request_exception = False
    request = HttpRequest()
    request.user = admin_user
    model_admin = next(one for one in ADMINS if f"/{one.opts.app_label}/{one.opts.model_name}/" in address)
    answers = {
        name: admin_client.post(address, {"action": name, ACTION_CHECKBOX_NAME: key}).status_code
        for name in (*model_admin.get_actions(request), "nothing", "\x00")
    }
    assert crashes(answers) == {}


def test_an_action_on_an_unreadable_choice_of_rows_changes_nothing(desk: Desk, admin_client: Client) -> None:
    tenants, queues = reverse("admin:accounts_tenant_changelist"), reverse("admin:messaging_queue_changelist")
    suspend = {"action": "suspend", ACTION_CHECKBOX_NAME: desk.tenant.pk, "select_across": "1"}
    assert admin_client.post(f"{tenants}?status__exact=gone", suspend).status_code == 400
    answer = admin_client.post(tenants, suspend | {ACTION_CHECKBOX_NAME: [desk.tenant.pk, "nobody"]})
    assert (answer.status_code, "no row of this list" in answer.content.decode()) == (400, True)
    pause = {"action": "pause", "reason": "a test", ACTION_CHECKBOX_NAME: desk.account.queue_id}
    assert admin_client.post(f"{queues}?p=7", pause).status_code == 400
    assert Tenant.objects.get(pk=desk.tenant.pk).status == TenantStatus.ACTIVE
    assert not Queue.objects.filter(paused_at__isnull=False).exists()


@pytest.mark.parametrize(
    ("name", "query", "words"),
    [
        pytest.param("messaging_message", "state=delivered", "It knows state=0 (", id="a word"),
        pytest.param(
            "messaging_message", "tenant=77", "There is no such tenant in this list.", id="no tenant"
        ),
        pytest.param("messaging_message", "since=soon", "It knows since=1h (last hour)", id="a time"),
        pytest.param("messaging_message", "channel__exact=fax", "channel__exact=sms (", id="a choice"),
        pytest.param("messaging_message", "is_test__exact=7", "filter or a value", id="neither yes nor no"),
        pytest.param("messaging_message", "channel=fax", "It has state, channel__exact,", id="a bare name"),
        pytest.param("messaging_message", "staet=0", "no filter of this name", id="a misspelt name"),
        pytest.param("messaging_message", "created_at__year=99999999", "no filter of this name", id="a year"),
        pytest.param("messaging_message", "tenant=%00", "NUL character", id="a NUL"),
        pytest.param("messaging_message", "p=99999999999999999999", "no page of this number", id="a page"),
        pytest.param("messaging_message", "p=2", "no page of this number", id="the page after the last"),
        pytest.param("messaging_message", "p=0", "no page of this number", id="page 0"),
        pytest.param("messaging_message", "p=two", "no page of this number", id="a page in words"),
        pytest.param("messaging_message", f"p={'9' * 5000}", "no page of this number", id="a huge page"),
        pytest.param("messaging_inbox", "parked=2", "It knows parked=1 (", id="a state of the inbox"),
        pytest.param("messaging_slot", "q=w-1", "no search", id="a search where there is none"),
        pytest.param("messaging_queue", "kind__exact=x", "kind__exact=", id="a kind of queue"),
        pytest.param("messaging_queue", "p=2", "no page of this number", id="a page of queues"),
        pytest.param("accounts_tenant", "status__exact=gone", "It knows status__exact=", id="a status"),
        pytest.param("accounts_apitoken", "tenant__id__exact=77", "such tenant", id="no tenant of tokens"),
        pytest.param(
            "accounts_apitoken", "tenant__slug=acme", "filter or a value", id="a filter not allowed"
        ),
        pytest.param(
            "accounts_apitoken", "tenant__isnull=nobody", "filter or a value", id="neither null nor not"
        ),
        pytest.param("auth_user", "is_staff__exact=maybe", "filter or a value", id="people"),
        pytest.param("auth_user", "groups__id__exact=77", "such", id="no group of people"),
        pytest.param("auth_group", "_to_field=nothing", "filter or a value", id="a field of groups"),
    ],
)
def test_what_a_list_cannot_look_up_is_refused_in_words(
    desk: Desk, admin_client: Client, name: str, query: str, words: str
) -> None:
    address = reverse(f"admin:{name}_changelist")
    answer = admin_client.get(f"{address}?{query}")
    text = answer.content.decode()
    assert (answer.status_code, words in text, f'<a href="{address}">' in text) == (400, True, True), text


@pytest.mark.parametrize(
    ("name", "query", "rows"),
    [
        pytest.param("messaging_message", "channel__exact=sms", 2, id="a choice"),
        pytest.param("messaging_message", "is_test__exact=1", 0, id="no test messages"),
        pytest.param("messaging_message", "p=1", 2, id="page 1"),
        pytest.param("messaging_message", "q=campaign-1:42&since=24h", 1, id="a search within a time"),
        pytest.param("messaging_message", "_popup=1&e=1&o=1", 2, id="Django's own parameters"),
        pytest.param("accounts_apitoken", "tenant__id__exact={tenant}", 1, id="the only tenant"),
        pytest.param("accounts_tenant", "status__exact=active", 1, id="a status"),
        pytest.param("auth_user", "is_staff__exact=1&groups__isnull=True", 1, id="people without groups"),
        pytest.param("messaging_slot", "", 1, id="no choice at all"),
    ],
)
def test_what_a_list_offers_still_works(
    desk: Desk, admin_client: Client, name: str, query: str, rows: int
) -> None:
    query = query.format(tenant=desk.tenant.pk)
    answer = admin_client.get(f"{reverse(f'admin:{name}_changelist')}?{query}")
    assert (answer.status_code, len(answer.context["cl"].result_list)) == (200, rows)


@pytest.mark.parametrize(
    "address", ["/admin/", "/admin/login/", "/admin/messaging/message/", "/static/x.css", "/"]
)
@pytest.mark.parametrize("cookie", ["sessionid", "csrftoken", "messages"])
def test_a_cookie_with_a_nul_is_no_cookie(db: None, address: str, cookie: str) -> None:
    client = Client(raise_request_exception=False)
    headers = {"cookie": f'{cookie}="\\000abcdefghijklmn"'}
    assert client.get(address, headers=headers).status_code == client.get(address).status_code < 500


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("multipart/form-data; boundary=x", b"--x\r\n\x00", id="half a part"),
        pytest.param("multipart/form-data", b"x", id="no boundary"),
        pytest.param("application/x-www-form-urlencoded", b"a=1&" * 1001, id="too many fields"),
        pytest.param("application/x-www-form-urlencoded; charset=nothing", b"username=%ff", id="no charset"),
        pytest.param(
            "application/x-www-form-urlencoded; charset=utf-16", b"username=%ff", id="another charset"
        ),
        pytest.param("application/x-www-form-urlencoded", b"username=%00&password=%00", id="NUL"),
        pytest.param("application/x-www-form-urlencoded", b"x" * 2_000_000, id="large"),
    ],
)
def test_an_unreadable_form_is_no_crash(
    admin_client: Client, client: Client, content_type: str, body: bytes
) -> None:
    for browser in (admin_client, client):
        browser.raise_request_exception = False
        for page in ("/admin/login/", "/admin/accounts/tenant/add/", reverse(MESSAGES)):
            answer = browser.generic("POST", page, body, content_type=content_type)
            assert answer.status_code < 500, page


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("/static/%00.css", id="a file"),
        pytest.param("/static/../../%00", id="a file elsewhere"),
        pytest.param("/%00", id="nowhere"),
        pytest.param("/admin/%00/", id="a page"),
        pytest.param("/admin/r/%00/1/", id="a link to a row"),
        pytest.param("/admin/r/99999999999999999999/99999999999999999999/", id="a link to no row"),
        pytest.param("/admin/login/?next=//[::1", id="half an address"),
        pytest.param(
            "/admin/autocomplete/?app_label=auth&model_name=user&field_name=%00&term=%00", id="a choice"
        ),
        pytest.param(
            "/admin/autocomplete/?app_label=x&model_name=y&field_name=z&page=" + "9" * 5000, id="many"
        ),
        pytest.param(
            "/admin/messaging/provideraccount/add/?vendor=nobody&tenant=99999999999999999999", id="a form"
        ),
        pytest.param("/admin/accounts/apitoken/add/?tenant=%27&label=" + "9" * 5000, id="a form filled in"),
        pytest.param("/admin/messaging/message/?_changelist_filters=%2500", id="where one came from"),
    ],
)
def test_no_other_address_is_a_crash(admin_client: Client, client: Client, address: str) -> None:
    for browser in (admin_client, client):
        browser.raise_request_exception = False
        assert browser.get(address).status_code < 500
        assert browser.post(address).status_code < 500


@pytest.mark.parametrize(
    "entered",
    [
        pytest.param("9" * 5000, id="a number of 5,000 digits"),
        pytest.param('{"\\ud83d": "x"}', id="half a character"),
        pytest.param('{"*": "a\\u0000b"}', id="an escaped NUL"),
        pytest.param("[" * 100_000, id="brackets"),
        pytest.param("{", id="no JSON"),
        pytest.param('{"*": "a\x00b"}', id="a NUL"),
    ],
)
def test_json_that_cannot_be_kept_is_refused_at_its_field(
    desk: Desk, admin_client: Client, entered: str
) -> None:
    admin_client.raise_request_exception = False
    page = reverse("admin:messaging_provideraccount_change", args=[desk.account.pk])
    answer = admin_client.post(page, {"sender_map": entered})
    assert (answer.status_code, "sender_map" in answer.context["adminform"].form.errors) == (200, True)
    desk.account.refresh_from_db()
    assert desk.account.sender_map == {}


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_refused_page_leaves_one_line(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    with caplog.at_level(logging.WARNING):
        assert client.get(reverse(MESSAGES)).status_code == 403
    assert lines(caplog) == [("WARNING", "Forbidden (Permission denied): /admin/messaging/message/")]


def test_an_unreadable_page_leaves_one_line(admin_client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert admin_client.get(f"{reverse(MESSAGES)}?tenant=00421900000100").status_code == 400
    assert lines(caplog) == [("WARNING", "Bad Request: /admin/messaging/message/")]
