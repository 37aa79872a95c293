"""Every page of the desk opens, costs few queries, shows no secret, and lets nobody edit history."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

import connector.urls  # noqa: F401  (registers the desks)
from connector.middleware import CONTENT_POLICY
from messaging.models import Event, Message
from tests.admin.conftest import SECRETS, Desk
from tests.factories import make_account, make_event, make_message, make_tenant

OURS = sorted(
    model._meta.label_lower
    for model in admin.site._registry
    if model._meta.app_label in ("accounts", "messaging")
)
HISTORY = [
    *(
        "message",
        "attempt",
        "deliveryreport",
        "exchange",
        "event",
        "inboundmessage",
        "inbox",
        "replay",
        "slot",
    ),
]


def rows(desk: Desk) -> dict[str, object]:
    return {
        "accounts.tenant": desk.tenant.pk,
        "accounts.apitoken": desk.token.pk,
        "messaging.provideraccount": desk.account.pk,
        "messaging.queue": desk.account.queue_id,
        "messaging.message": desk.message.pk,
        "messaging.attempt": desk.attempt.pk,
        "messaging.deliveryreport": desk.report.pk,
        "messaging.exchange": desk.exchange.pk,
        "messaging.event": desk.event.pk,
        "messaging.inboundmessage": desk.inbound.pk,
        "messaging.inbox": desk.inbox.pk,
        "messaging.replay": desk.replay.pk,
        "messaging.slot": desk.slot.pk,
        "messaging.recordedrequest": desk.shape.pk,
    }


def address(label: str, page: str, *args: object) -> str:
    return reverse(f"admin:{label.replace('.', '_')}_{page}", args=args)


def every_page(desk: Desk) -> Iterator[str]:
    yield reverse("admin:index")
    for label, pk in rows(desk).items():
        yield address(label, "changelist")
        yield address(label, "change", pk)
        yield address(label, "history", pk)
    yield address("accounts.tenant", "add")
    yield address("accounts.apitoken", "add")
    yield address("messaging.provideraccount", "add")


def test_all_models_are_at_the_desk() -> None:
    """Content, further part ids and limits of senders are on the pages of their message, attempt and queue."""
    on_other_pages = {"messaging.content", "messaging.attemptpart", "messaging.senderrate"}
    models = {
        m._meta.label_lower
        for app in ("accounts", "messaging")
        for m in apps.get_app_config(app).get_models()
    }
    assert set(OURS) == models - on_other_pages
    assert not [m for m in admin.site._registry if m._meta.app_label == "django_q"]


@pytest.mark.parametrize("demo", [pytest.param(True, id="demo"), pytest.param(False, id="production")])
def test_pages_open_and_show_no_secret(
    desk: Desk, admin_client: Client, settings: object, demo: bool
) -> None:
    settings.DEMO = demo  # type: ignore[attr-defined]
    sealed = [desk.tenant.callback_secret, desk.tenant.callback_secret_previous, desk.account.secrets]
    forbidden = [
        *SECRETS,
        desk.token_secret,
        *(text.ciphertext for text in [*sealed, desk.attempt.frozen]),
        bytes(desk.token.digest).hex(),
        base64.b64encode(bytes(desk.token.digest)).decode(),
    ]
    assert all(forbidden)
    for url in every_page(desk):
        response = admin_client.get(url)
        assert response.status_code == 200, url
        html = response.content.decode()
        assert [text for text in forbidden if text in html] == [], url
        assert response.headers["Content-Security-Policy"] == CONTENT_POLICY
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)|\sstyle=|\son[a-z]+=", html), (
            url
        )


def test_a_sealed_secret_that_no_key_opens_breaks_no_page(
    desk: Desk, admin_client: Client, settings: object
) -> None:
    settings.FIELD_KEYS = ["b3RoZXIga2V5LCB0aGlydHktdHdvIGJ5dGVzIGxvbmc="]  # type: ignore[attr-defined]
    settings.DEMO = True  # type: ignore[attr-defined]
    for url in every_page(desk):
        assert admin_client.get(url).status_code == 200, url


@pytest.mark.parametrize("name", HISTORY)
def test_history_is_read_only(desk: Desk, admin_client: Client, name: str) -> None:
    label = f"messaging.{name}"
    pk = rows(desk)[label]
    assert admin_client.get(address(label, "add")).status_code == 403
    assert admin_client.post(address(label, "change", pk), {}).status_code == 403
    assert admin_client.post(address(label, "delete", pk), {"post": "yes"}).status_code == 403
    page = admin_client.get(address(label, "changelist"))
    choices = (
        dict(page.context["action_form"].fields["action"].choices) if page.context["action_form"] else {}
    )
    assert "delete_selected" not in choices
    model = apps.get_model(label)
    assert model.objects.filter(pk=pk).exists()


def test_nobody_enters_without_logging_in(desk: Desk, client: Client) -> None:
    for url in every_page(desk):
        assert client.get(url).status_code == 302, url


LISTS = {
    "accounts.tenant": 2,
    "accounts.apitoken": 2,
    "messaging.provideraccount": 2,
    "messaging.queue": 2,
    "messaging.message": 3,
    "messaging.attempt": 2,
    "messaging.deliveryreport": 2,
    "messaging.exchange": 2,
    "messaging.event": 2,
    "messaging.inboundmessage": 3,
    "messaging.inbox": 2,
    "messaging.replay": 1,
    "messaging.slot": 1,
}


@pytest.mark.parametrize(("label", "most"), LISTS.items())
def test_lists_cost_few_queries_whatever_their_length_and_count_nothing(
    desk: Desk, admin_client: Client, label: str, most: int
) -> None:
    for _ in range(3):
        extra = make_account()
        make_event(make_message(account=extra))
    with CaptureQueriesContext(database) as queries:
        assert admin_client.get(address(label, "changelist")).status_code == 200
    ours = [q["sql"] for q in queries if '"django_session"' not in q["sql"] and '"auth_user"' not in q["sql"]]
    counts = [sql for sql in ours if "COUNT(" in sql]
    if label.split(".")[1] in HISTORY:
        assert counts == []
    assert len(ours) - len(counts) <= most, "\n".join(ours)


def test_a_list_is_read_page_by_page(desk: Desk, admin_client: Client) -> None:
    Event.objects.all().delete()
    for _ in range(51):
        make_message(account=desk.account)
    url = address("messaging.message", "changelist")

    first = admin_client.get(url).context["cl"]
    assert (first.result_count, first.has_more, first.paginator.num_pages) == (50, True, 2)
    second = admin_client.get(url, {"p": 2}).context["cl"]
    assert (second.result_count, second.has_more, second.paginator.num_pages) == (3, False, 2)
    ids = [message.pk for page in (first, second) for message in page.result_list]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == Message.objects.count() == 53


@pytest.mark.parametrize(
    "term",
    [
        pytest.param("{id}", id="id"),
        pytest.param(" {id} ", id="blanks"),
        pytest.param("campaign-1:42", id="request id"),
        pytest.param("00421900000999", id="recipient 00"),
        pytest.param("+421900000999", id="recipient +"),
        pytest.param("+421 900 000 999", id="recipient with blanks"),
    ],
)
def test_messages_are_found_by(desk: Desk, admin_client: Client, term: str) -> None:
    Message.objects.filter(pk=desk.message.pk).update(recipient="+421900000999")
    term = term.format(id=desk.message.pk)
    page = admin_client.get(address("messaging.message", "changelist"), {"q": term})
    assert [message.pk for message in page.context["cl"].result_list] == [desk.message.pk]


@pytest.mark.parametrize(
    "term", ["campaign-1", "421900", "nothing", "%", "00000000-0000-7000-8000-000000000000"]
)
def test_only_whole_values_are_found(desk: Desk, admin_client: Client, term: str) -> None:
    page = admin_client.get(address("messaging.message", "changelist"), {"q": term})
    assert list(page.context["cl"].result_list) == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param({"state": "10"}, True, id="state"),
        pytest.param({"state": "3"}, False, id="other state"),
        pytest.param({"channel__exact": "sms"}, True, id="channel"),
        pytest.param({"channel__exact": "mms"}, False, id="other channel"),
        pytest.param({"tenant": "{tenant}"}, True, id="tenant"),
        pytest.param({"tenant": "{other}"}, False, id="other tenant"),
        pytest.param({"account": "{account}"}, True, id="account"),
        pytest.param({"since": "1h"}, True, id="last hour"),
    ],
)
def test_messages_are_filtered_by(
    desk: Desk, admin_client: Client, query: dict[str, str], found: bool
) -> None:
    values = {"tenant": desk.tenant.pk, "account": desk.account.pk, "other": make_tenant(slug="other").pk}
    query = {name: value.format(**values) for name, value in query.items()}
    page = admin_client.get(address("messaging.message", "changelist"), query)
    assert (desk.message in page.context["cl"].result_list) is found


def test_since_leaves_older_rows_out(desk: Desk, admin_client: Client) -> None:
    url = address("messaging.message", "changelist")
    Message.objects.filter(pk=desk.message.pk).update(created_at="2026-01-01T00:00:00Z")
    assert desk.message not in admin_client.get(url, {"since": "30d"}).context["cl"].result_list


def test_lists_mask_numbers_and_the_page_shows_them(desk: Desk, admin_client: Client) -> None:
    listed = admin_client.get(address("messaging.message", "changelist")).content.decode()
    assert desk.message.recipient not in listed
    shown = admin_client.get(address("messaging.message", "change", desk.message.pk)).content.decode()
    assert desk.message.recipient in shown
    assert "Hello from the tests" in shown


def test_the_message_page_tells_the_story_in_order(desk: Desk, admin_client: Client) -> None:
    page = admin_client.get(address("messaging.message", "change", desk.message.pk))
    assert [entry.title for entry in page.context["timeline"]] == [
        "Accepted from Bloomreach",
        "Attempt 1 as SMS through acme/main: taken",
        "Report: delivered",
        "Final: delivered",
        "To tell Bloomreach: delivered (final)",
        "Bloomreach acknowledged: delivered (final)",
        "The handset wrote back",
    ]


def test_the_message_page_costs_a_handful_of_queries(desk: Desk, admin_client: Client) -> None:
    ContentType.objects.get_for_model(Message)  # asked for once in a process's life
    with CaptureQueriesContext(database) as queries:
        admin_client.get(address("messaging.message", "change", desk.message.pk))
    ours = [q["sql"] for q in queries if "SAVEPOINT" not in q["sql"]]
    assert len(ours) <= 11, "\n".join(ours)


def test_an_unknown_message_is_a_sentence(desk: Desk, admin_client: Client) -> None:
    response = admin_client.get(address("messaging.message", "change", "nonsense"), follow=True)
    assert "exist. Perhaps it was deleted?" in response.content.decode()
