"""Requests that wait for a vendor move to threads that may wait (ADR 12)."""

from __future__ import annotations

from typing import Any

import pytest

from messaging.api import patience
from messaging.models import Message
from tests.api.conftest import SMS, Caller

pytestmark = pytest.mark.django_db

MAY_NOT: dict[str, Any] = {patience.MAY_WAIT: False}


def post(caller: Caller, body: dict[str, Any], environ: dict[str, Any]) -> Any:
    headers = {"Chan-Token": caller.secret}
    return caller.client.post("/sms/send", body, content_type="application/json", headers=headers, **environ)


def test_a_test_message_moves_and_nothing_is_stored_before(caller: Caller) -> None:
    answer = post(caller, SMS | {"request_id": None}, MAY_NOT)
    assert patience.was_moved(answer.wsgi_request.META)
    assert Message.objects.count() == 0


def test_an_ordinary_message_stays(caller: Caller) -> None:
    answer = post(caller, SMS, MAY_NOT)
    assert not patience.was_moved(answer.wsgi_request.META)
    assert (answer.status_code, Message.objects.count()) == (200, 1)


def test_a_moved_request_is_counted_once_against_the_rate(caller: Caller) -> None:
    caller.tenant.rate = 1
    caller.tenant.save()
    moved = {patience.MAY_WAIT: True, patience.MOVED: True}
    answers = [
        post(caller, SMS | {"request_id": None, "to": "no number"}, moved).status_code for _ in range(9)
    ]
    assert answers == [400] * 9
    first = [post(caller, SMS, {}).status_code for _ in range(9)]
    assert 429 in first  # the rate holds for all others
