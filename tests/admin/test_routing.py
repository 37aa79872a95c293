"""Routes, sender maps, shared queues and senders' limits at the desk; cancelling what was not sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from messaging.evidence.cancel import cancel
from messaging.models import Event, Message, ProviderAccount, Queue, Route, SenderRate
from messaging.onboarding import setup
from messaging.rules.values import MessageState
from tests.admin.test_provider_account import PAGE, add, edit, errors
from tests.factories import make_account, make_attempt, make_message, make_route, make_tenant
from vendors.values import Outcome

pytestmark = pytest.mark.django_db

S = MessageState


@pytest.fixture(autouse=True)
def _demo(settings: Any) -> None:
    settings.DEMO = True


def post_route(client: Client, to: ProviderAccount, /, **changes: Any) -> Any:
    form = {
        "tenant": to.tenant_id,
        "account": to.pk,
        "position": 1,
        "weight": 1,
        "channel": "",
    }
    return client.post(
        reverse("admin:messaging_route_add"),
        {**form, "prefixes": "", "senders": "", "is_active": "on", **changes},
    )


def test_a_route_is_stored_in_its_canonical_writing(admin_client: Client) -> None:
    account = make_account()
    made = post_route(
        admin_client, account, prefixes="421,1,421", senders="00421900000001,Demo", channel="sms"
    )
    assert made.status_code == 302
    route = Route.objects.get()
    assert (route.prefixes, route.senders, route.channel) == (["421", "1"], ["+421900000001", "Demo"], "sms")
    page = admin_client.get(reverse("admin:messaging_route_changelist")).content.decode()
    assert "SMS; to 421, 1; from +421900000001, Demo" in page


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"prefixes": "+421"}, "prefixes", id="prefix with +"),
        pytest.param({"prefixes": "00421"}, "prefixes", id="prefix with 00"),
        pytest.param({"prefixes": "SK"}, "prefixes", id="country name"),
        pytest.param({"senders": "12345678901234567890"}, "senders", id="sender"),
        pytest.param({"weight": 0}, "weight", id="weight"),
        pytest.param({"channel": "fax"}, "channel", id="channel"),
        pytest.param({"account": ""}, "account", id="no account"),
    ],
)
def test_a_wrong_route_names_its_field(admin_client: Client, changes: dict[str, Any], field: str) -> None:
    page = post_route(admin_client, make_account(), **changes)
    assert errors(page) == [field]
    assert not Route.objects.exists()


def test_a_route_leads_to_the_tenants_own_account(admin_client: Client) -> None:
    page = post_route(admin_client, make_account(), tenant=make_tenant().pk)
    assert errors(page) == ["account"]
    assert not Route.objects.exists()


def test_a_sender_map_is_stored_in_its_canonical_writing(admin_client: Client) -> None:
    written = json.dumps({"421": "00421900000001", "1": "0015550100100", "*": "Demo"})
    page = add(admin_client, sender_map=written)
    if page.status_code == 200:
        pytest.fail(str(page.context["adminform"].form.errors))
    assert ProviderAccount.objects.get().sender_map == {
        "421": "+421900000001",
        "1": "+15550100100",
        "*": "Demo",
    }


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("{", id="no JSON"),
        pytest.param('["421"]', id="no object"),
        pytest.param('{"+421": "Demo"}', id="prefix with +"),
        pytest.param('{"": "Demo"}', id="no prefix"),
        pytest.param('{"421": ""}', id="no sender"),
        pytest.param('{"421": 5}', id="a number in JSON"),
        pytest.param('{"421": "much too long a name"}', id="sender"),
    ],
)
def test_a_wrong_sender_map_stores_nothing(admin_client: Client, written: str) -> None:
    assert errors(add(admin_client, sender_map=written)) == ["sender_map"]
    assert (ProviderAccount.objects.count(), Queue.objects.count()) == (0, 0)


def test_two_accounts_share_a_queue_and_its_limits(admin_client: Client) -> None:
    first = make_account(name="first")
    Queue.objects.filter(pk=first.queue_id).update(cap=5, rate=7)
    assert add(admin_client, name="second", tenant=first.tenant_id, shares=first.pk).status_code == 302
    second = ProviderAccount.objects.select_related("queue").get(name="second")
    assert second.queue_id == first.queue_id
    assert (second.queue.cap, second.queue.rate) == (5, 7)
    page = admin_client.get(reverse("admin:messaging_queue_changelist")).content.decode()
    slug = first.tenant.slug
    assert f"to {slug}/first, {slug}/second" in page
    assert ">second</td>" in admin_client.get(reverse(f"{PAGE}_changelist")).content.decode()
    assert setup.partner(second) == first
    assert setup.partner(first) is None


def test_a_shared_queue_outlives_one_of_its_accounts(admin_client: Client) -> None:
    first = make_account()
    second = make_account(first.tenant, queue=first.queue)
    admin_client.post(reverse(f"{PAGE}_delete", args=[first.pk]), {"post": "yes"})
    assert [one.pk for one in ProviderAccount.objects.all()] == [second.pk]
    assert Queue.objects.filter(pk=second.queue_id).exists()
    admin_client.post(reverse(f"{PAGE}_delete", args=[second.pk]), {"post": "yes"})
    assert not Queue.objects.filter(pk=second.queue_id).exists()


def test_an_account_leaves_a_shared_queue(admin_client: Client) -> None:
    first = make_account()
    second = make_account(first.tenant, queue=first.queue)
    assert edit(admin_client, second, shares="").status_code == 302
    second.refresh_from_db()
    assert second.queue_id != first.queue_id
    assert second.queue.key == second.public_id


@pytest.mark.parametrize("state", [S.ACCEPTED, S.RETRYING, S.SENDING], ids=lambda state: state.name)
def test_the_queue_does_not_change_under_messages(admin_client: Client, state: MessageState) -> None:
    first = make_account()
    second = make_account(first.tenant)
    make_message(account=second, state=state)
    before = second.queue_id
    assert errors(edit(admin_client, second, shares=first.pk)) == ["shares"]
    second.refresh_from_db()
    assert second.queue_id == before
    assert edit(admin_client, second).status_code == 302  # what leaves the queue alone is saved


def test_queues_are_shared_within_one_tenant(admin_client: Client) -> None:
    stranger = make_account()
    assert errors(add(admin_client, shares=stranger.pk)) == ["shares"]
    mine = make_account()
    assert errors(edit(admin_client, mine, shares=stranger.pk)) == ["shares"]
    assert set(ProviderAccount.objects.values_list("queue_id", flat=True)) == {
        stranger.queue_id,
        mine.queue_id,
    }


def test_limits_of_senders_are_on_the_queues_page(admin_client: Client) -> None:
    queue = make_account().queue
    rows = {"sender_rates-TOTAL_FORMS": 1, "sender_rates-INITIAL_FORMS": 0}
    form = {"cap": 4, "rate": "", **rows, "sender_rates-0-queue": queue.pk}
    page = reverse("admin:messaging_queue_change", args=[queue.pk])
    wrong = admin_client.post(
        page, {**form, "sender_rates-0-sender": "much too long a name", "sender_rates-0-rate": 1}
    )
    assert (wrong.status_code, SenderRate.objects.count()) == (200, 0)
    right = admin_client.post(
        page, {**form, "sender_rates-0-sender": "00421900000001", "sender_rates-0-rate": "0.5"}
    )
    assert right.status_code == 302
    made = SenderRate.objects.get()
    assert (made.queue_id, made.sender, made.rate) == (queue.pk, "+421900000001", 0.5)


def test_the_message_page_shows_the_path(admin_client: Client) -> None:
    first = make_account(name="first")
    second = make_account(first.tenant, name="second")
    message = make_message(account=second, state=S.SENT, attempts=2, send_from="Brand")
    make_attempt(message, account=first, sender="+421900000001", outcome=Outcome.PERMANENT)
    make_attempt(message, sender="Brand", outcome=Outcome.TAKEN)
    page = admin_client.get(reverse("admin:messaging_message_change", args=[message.pk])).content.decode()
    slug = first.tenant.slug
    assert f"Attempt 1 as SMS through {slug}/first: refused" in page
    assert f"Attempt 2 as SMS through {slug}/second: taken" in page
    assert "Brand" in page


def test_cancelling_ends_what_waits_and_leaves_the_rest(admin_client: Client) -> None:
    waiting = [make_message(state=state) for state in (S.ACCEPTED, S.RETRYING)]
    may_arrive = make_message(state=S.RETRYING, attempts=1)
    make_attempt(may_arrive, outcome=Outcome.UNKNOWN)
    others = [make_message(state=state) for state in S if state not in (S.ACCEPTED, S.RETRYING)]
    chosen = [message.pk for message in (*waiting, may_arrive, *others)]
    page = reverse("admin:messaging_message_changelist")
    answer = admin_client.post(page, {"action": "cancel", "_selected_action": chosen}, follow=True)
    assert "Cancelled: 2." in answer.content.decode()
    assert {Message.objects.get(pk=one.pk).message_state for one in waiting} == {S.CANCELLED}
    told = Event.objects.filter(message__in=waiting)
    assert [(event.status, event.error["code"]) for event in told] == [("failed", "cancelled")] * 2
    for one in (may_arrive, *others):
        assert Message.objects.get(pk=one.pk).state == one.state
    assert Event.objects.count() == 2
    assert cancel([one.pk for one in waiting]) == 0


def test_a_tenants_routes_are_listed(admin_client: Client) -> None:
    make_route(make_account(name="theirs"), position=3)
    assert "always" in admin_client.get(reverse("admin:messaging_route_changelist")).content.decode()
