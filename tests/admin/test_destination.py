"""Callback addresses at the desk: what each said last, what waits for it, and trying it at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from messaging.admin import destination as desk
from messaging.models import Destination, Event
from tests.factories import callback_queue, make_event, make_tenant

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIST = "admin:messaging_destination_changelist"
FAILED = {"last_fault": "HTTP 404", "failed_at": NOW}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({}, "none yet", id="never asked"),
        pytest.param({"ok_at": NOW}, "taken", id="taken"),
        pytest.param(FAILED, "HTTP 404 (2026-01-02 03:04:05 UTC)", id="refused"),
        pytest.param(
            FAILED | {"ok_at": NOW - timedelta(hours=1)},
            "HTTP 404 (2026-01-02 03:04:05 UTC)",
            id="refused after a success",
        ),
        pytest.param(FAILED | {"ok_at": NOW + timedelta(hours=1)}, "taken", id="taken again"),
    ],
)
def test_the_last_answer_in_words(fields: dict[str, Any], words: str) -> None:
    assert desk.last_answer(Destination(**fields)) == words


def refusing() -> Event:
    queue = callback_queue(make_tenant(slug="acme"))
    make_event(queue=queue, url="https://good.bloomreach.com/hook")
    later = datetime.now(UTC) + timedelta(hours=1)
    url = "https://dead.bloomreach.com/hook?token=a-secret"
    events = [make_event(queue=queue, url=url, due_at=later) for _ in range(3)]
    Destination.objects.filter(pk=events[0].destination_id).update(
        faults=11, open_for=300, open_until=later, **FAILED
    )
    return events[0]


def test_the_list_names_each_address_with_its_last_answer(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing()
    page = admin_client.get(reverse(LIST))
    rows = [(row.address, row.tenant, row.waiting) for row in page.context["cl"].result_list]
    assert rows == [
        ("https://dead.bloomreach.com/hook", "acme", 3),
        ("https://good.bloomreach.com/hook", "acme", 1),
    ]
    text = page.content.decode()
    assert "HTTP 404 (2026-01-02 03:04:05 UTC)" in text
    assert "after 11 faults, the last: HTTP 404" in text
    assert "a-secret" not in text
    monkeypatch.setattr(desk, "COUNTED", 2)
    assert "more than 2" in admin_client.get(reverse(LIST)).content.decode()


def test_the_queue_leads_to_its_addresses(admin_client: Client) -> None:
    event = refusing()
    text = admin_client.get(reverse("admin:messaging_queue_changelist")).content.decode()
    assert f'<a href="{reverse(LIST)}?tenant={event.queue.key}">1 of 2 addresses refuse</a>' in text
    other = callback_queue(make_tenant())
    found = admin_client.get(reverse(LIST), {"tenant": other.key}).context["cl"].result_list
    assert found == []


def test_an_address_is_tried_at_once(admin_client: Client) -> None:
    event = refusing()
    chosen = {"action": "try_now", "_selected_action": [event.destination_id], "index": 0}
    assert admin_client.post(reverse(LIST), chosen).status_code == 302
    address = Destination.objects.get(pk=event.destination_id)
    assert (address.faults, address.open_for) == (0, 0)
    assert not Event.objects.filter(due_at__gt=datetime.now(UTC)).exists()


def test_only_who_may_resume_queues_may_try(client: Client) -> None:
    event = refusing()
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_destination"))
    client.force_login(viewer)
    chosen = {"action": "try_now", "_selected_action": [event.destination_id], "index": 0}
    client.post(reverse(LIST), chosen)
    assert Destination.objects.get(pk=event.destination_id).faults == 11


def test_nobody_edits_an_address(admin_client: Client) -> None:
    event = refusing()
    url = reverse("admin:messaging_destination_change", args=[event.destination_id])
    page = admin_client.get(url)
    assert page.status_code == 200
    assert admin_client.post(url, {"address": "https://elsewhere.example"}).status_code == 403
