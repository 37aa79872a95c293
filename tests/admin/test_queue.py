"""Queues at the desk: limits in the list, pause with a reason, the circuit and the backlog in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from messaging.admin import queue as desk
from messaging.models import Queue
from messaging.models.queue import LONG_AGO
from messaging.rules.values import MessageState
from tests.factories import callback_queue, make_account, make_event, make_message, make_tenant

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIST = "admin:messaging_queue_changelist"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({}, "closed", id="closed"),
        pytest.param({"faults": 3}, "closed, 3 faults in a row", id="faults"),
        pytest.param(
            {"open_until": NOW + timedelta(seconds=12), "open_for": 20.0, "faults": 10},
            "open for 12 s more after 10 faults",
            id="open",
        ),
        pytest.param(
            {"open_until": NOW - timedelta(seconds=1), "open_for": 20.0, "faults": 10},
            "trying again after 10 faults",
            id="probing",
        ),
    ],
)
def test_circuit_in_words(fields: dict[str, Any], words: str) -> None:
    assert desk.circuit_in_words(Queue(**fields), now=NOW) == words


@pytest.mark.parametrize(
    ("age", "words"),
    [
        pytest.param(None, "none", id="nothing"),
        pytest.param(0, "due for 0 s", id="now"),
        pytest.param(59, "due for 59 s", id="seconds"),
        pytest.param(90, "due for 1.5 min", id="minutes"),
        pytest.param(9000, "due for 2.5 h", id="hours"),
        pytest.param(129_600, "due for 1.5 d", id="days"),
        pytest.param(-30, "next in 30 s", id="future"),
    ],
)
def test_backlog_in_words(age: float | None, words: str) -> None:
    oldest = None if age is None else NOW - timedelta(seconds=age)
    assert desk.backlog(oldest, now=NOW) == words


@pytest.mark.django_db
def test_the_list_names_destinations_and_the_oldest_work(admin_client: Client) -> None:
    tenant = make_tenant(slug="acme")
    account = make_account(tenant, name="main")
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    make_message(account=account, due_at=hour_ago)
    make_message(account=account, due_at=hour_ago - timedelta(hours=9), state=MessageState.SENT)
    make_event(make_message(account=account, state=MessageState.DELIVERED), due_at=hour_ago)
    rows = {
        desk.destination(queue): queue for queue in admin_client.get(reverse(LIST)).context["cl"].result_list
    }
    assert sorted(rows) == ["to Bloomreach for acme", "to acme/main"]
    assert rows["to acme/main"].oldest_message == hour_ago
    assert rows["to Bloomreach for acme"].oldest_event == hour_ago


@pytest.mark.django_db
def test_limits_are_edited_in_the_list(admin_client: Client) -> None:
    queue = make_account().queue
    form = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": queue.pk, "_save": "Save"}
    page = admin_client.post(reverse(LIST), {**form, "form-0-cap": 0, "form-0-rate": -1})
    assert list(page.context["cl"].formset.errors[0]) == ["cap", "rate"]
    assert admin_client.post(reverse(LIST), {**form, "form-0-cap": 5, "form-0-rate": 9.5}).status_code == 302
    queue.refresh_from_db()
    assert (queue.cap, queue.rate) == (5, 9.5)


@pytest.mark.django_db
def test_a_pause_needs_a_reason_and_a_resume_closes_the_circuit(admin_client: Client) -> None:
    queue, other = make_account().queue, callback_queue(make_tenant())
    chosen = {"action": "pause", "_selected_action": [queue.pk]}
    asked = admin_client.post(reverse(LIST), {**chosen, "index": 0})
    assert "form" in asked.context
    empty = admin_client.post(reverse(LIST), {**chosen, "reason": " "})
    assert list(empty.context["form"].errors) == ["reason"]
    queue.refresh_from_db()
    assert queue.paused_at is None

    admin_client.post(reverse(LIST), {**chosen, "reason": "the vendor's maintenance"})
    queue.refresh_from_db()
    other.refresh_from_db()
    assert (queue.paused_why, other.paused_at) == ("the vendor's maintenance", None)
    assert desk.queue_state(queue).endswith("UTC: the vendor's maintenance")

    Queue.objects.filter(pk=queue.pk).update(open_until=NOW + timedelta(days=999), open_for=60, faults=11)
    admin_client.post(reverse(LIST), {"action": "resume", "_selected_action": [queue.pk], "index": 0})
    queue.refresh_from_db()
    assert (queue.paused_at, queue.paused_why) == (None, "")
    assert (queue.open_until, queue.open_for, queue.faults) == (LONG_AGO, 0, 0)
