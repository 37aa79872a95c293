"""Doing things again from the desk: nothing happens before the page that says what would."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from messaging.models import Event, Inbox, Message, Replay
from messaging.models.replay import ReplayState
from messaging.replay import orders
from messaging.rules.values import EventState, MessageState
from tests.admin.conftest import Desk
from tests.factories import make_attempt, make_message
from vendors.values import Outcome

MESSAGES = "admin:messaging_message_changelist"
EVENTS = "admin:messaging_event_changelist"
INBOX = "admin:messaging_inbox_changelist"


def choose(client: Client, page: str, action: str, *ids: Any, **more: Any) -> Any:
    """Presses Go on the list, or confirms when `more` says so."""
    step = {"confirm": "1", **more} if more else {"index": 0}
    return client.post(reverse(page), {"action": action, "_selected_action": list(ids), **step})


@pytest.fixture
def refused(desk: Desk) -> Message:
    """Surely never taken."""
    message = make_message(account=desk.account, state=MessageState.FAILED, attempts=1)
    make_attempt(message, outcome=Outcome.PERMANENT)
    return message


@pytest.fixture
def maybe_sent(desk: Desk) -> Message:
    """May have been sent."""
    message = make_message(
        account=desk.account, state=MessageState.FAILED, error_code="unknown_outcome", attempts=1
    )
    make_attempt(message, outcome=Outcome.UNKNOWN)
    return message


def test_the_page_shows_what_would_happen_and_does_nothing(
    desk: Desk, admin_client: Client, refused: Message, maybe_sent: Message
) -> None:
    before = Replay.objects.count()
    page = choose(admin_client, MESSAGES, "resend", refused.pk, maybe_sent.pk, desk.message.pk)
    html = page.content.decode()
    assert "<strong>1</strong> of 3 chosen would be done" in html
    assert "1: may have been sent already" in html
    assert "1: delivered" in html
    assert "With the box ticked 2 would be done, of which 1 may reach a recipient a second time" in html
    assert "Recipients may get them twice." in html
    assert Replay.objects.count() == before


def test_confirmed_a_replay_is_ordered_in_the_persons_name(
    desk: Desk, admin_client: Client, refused: Message, maybe_sent: Message
) -> None:
    ids = [refused.pk, maybe_sent.pk]
    page = choose(admin_client, MESSAGES, "resend", *ids, reason="asked for by Acme", rate="2.5")
    order = Replay.objects.latest("pk")
    assert page.headers["Location"] == reverse("admin:messaging_replay_change", args=[order.pk])
    assert (order.kind, order.reason, order.rate) == ("messages", "asked for by Acme", 2.5)
    assert (order.requested_by, order.may_duplicate) == ("admin", False)
    assert sorted(order.filter["ids"]) == sorted(str(pk) for pk in ids)
    Replay.objects.exclude(pk=order.pk).delete()
    orders.advance()
    assert [copy.replay_of for copy in Message.objects.filter(replay_of__isnull=False)] == [refused.pk]


def test_a_duplicate_needs_the_box_ticked(desk: Desk, admin_client: Client, maybe_sent: Message) -> None:
    before = Replay.objects.count()
    page = choose(admin_client, MESSAGES, "resend", maybe_sent.pk, reason="please")
    assert "Nothing would be done" in page.content.decode()
    assert Replay.objects.count() == before
    choose(admin_client, MESSAGES, "resend", maybe_sent.pk, reason="please", consent="on")
    assert Replay.objects.latest("pk").may_duplicate
    Replay.objects.exclude(pk=Replay.objects.latest("pk").pk).delete()
    orders.advance()
    assert Message.objects.get(replay_of=maybe_sent.pk).request_id == maybe_sent.request_id


@pytest.mark.parametrize(
    ("more", "field"),
    [
        pytest.param({"reason": " "}, "reason", id="no reason"),
        pytest.param({"reason": "r", "rate": "0"}, "rate", id="no rate"),
        pytest.param({"reason": "r", "rate": "nan"}, "rate", id="not a number"),
    ],
)
def test_a_wrong_form_orders_nothing(
    desk: Desk, admin_client: Client, refused: Message, more: dict[str, str], field: str
) -> None:
    before = Replay.objects.count()
    page = choose(admin_client, MESSAGES, "resend", refused.pk, **more)
    assert list(page.context["form"].errors) == [field]
    assert Replay.objects.count() == before


def test_nothing_to_do_has_no_button(desk: Desk, admin_client: Client) -> None:
    page = choose(admin_client, MESSAGES, "resend", make_message(account=desk.account).pk)
    html = page.content.decode()
    assert "1: still in progress" in html
    assert 'type="submit" value="Resend messages"' not in html


def test_undeliverable_callbacks_are_sent_again(desk: Desk, admin_client: Client) -> None:
    choose(admin_client, EVENTS, "send_again", desk.dead.pk, desk.event.pk, reason="their host is back")
    Replay.objects.exclude(pk=Replay.objects.latest("pk").pk).delete()
    orders.advance()
    states = dict(Event.objects.values_list("pk", "state"))
    assert states == {desk.dead.pk: EventState.DUE.value, desk.event.pk: EventState.ACKED.value}


def test_acknowledged_callbacks_need_the_box_ticked(desk: Desk, admin_client: Client) -> None:
    page = choose(admin_client, EVENTS, "send_again", desk.event.pk)
    assert "acknowledged already" in page.content.decode()
    choose(admin_client, EVENTS, "send_again", desk.event.pk, reason="they lost it", consent="on")
    Replay.objects.exclude(pk=Replay.objects.latest("pk").pk).delete()
    orders.advance()
    assert Event.objects.get(pk=desk.event.pk).state == EventState.DUE.value


def test_a_parked_call_is_read_again(desk: Desk, admin_client: Client) -> None:
    page = choose(admin_client, INBOX, "read_again", desk.inbox.pk)
    assert "consent" not in page.context["form"].fields
    choose(admin_client, INBOX, "read_again", desk.inbox.pk, reason="the mapping is repaired")
    Replay.objects.exclude(pk=Replay.objects.latest("pk").pk).delete()
    orders.advance()
    assert Inbox.objects.get(pk=desk.inbox.pk).parked_at is None


@pytest.mark.parametrize(
    ("page", "action"), [(MESSAGES, "resend"), (EVENTS, "send_again"), (INBOX, "read_again")]
)
def test_who_may_only_look_is_offered_nothing(desk: Desk, client: Client, page: str, action: str) -> None:
    viewer = User.objects.create_user("viewer", password="x", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(viewer)
    listed = client.get(reverse(page))
    assert listed.status_code == 200
    assert action not in dict(
        listed.context["action_form"].fields["action"].choices if listed.context["action_form"] else []
    )
    before = Replay.objects.count()
    ids = {MESSAGES: desk.message.pk, EVENTS: desk.dead.pk, INBOX: desk.inbox.pk}
    choose(client, page, action, ids[page], reason="let me", consent="on")
    assert Replay.objects.count() == before
    shown = client.get(reverse("admin:messaging_message_change", args=[desk.message.pk])).content.decode()
    assert "Resend messages" not in shown


def test_the_button_on_the_message_page_leads_to_the_same_page(desk: Desk, admin_client: Client) -> None:
    shown = admin_client.get(reverse("admin:messaging_message_change", args=[desk.message.pk]))
    assert "Resend messages …" in shown.content.decode()
    shown = admin_client.get(reverse("admin:messaging_event_change", args=[desk.dead.pk]))
    assert "Send events again …" in shown.content.decode()


def test_a_running_replay_is_stopped_once(desk: Desk, admin_client: Client) -> None:
    data = {"action": "stop", "_selected_action": [desk.replay.pk], "index": 0}
    for words in ("is stopped", "had ended already"):
        page = admin_client.post(reverse("admin:messaging_replay_changelist"), data, follow=True)
        assert words in page.content.decode()
    desk.replay.refresh_from_db()
    assert desk.replay.state == ReplayState.STOPPED
