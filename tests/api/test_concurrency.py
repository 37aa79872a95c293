"""One message from many simultaneous posts: real threads, real HTTP, connections of their own (contract 4)."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from messaging.models import Content, Message
from tests.api.conftest import SMS, make_caller

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 50


@pytest.fixture
def post_at_once(live_server: Any, client: Any) -> Any:
    """Posts one body per thread, all at the same moment; (status, body) of each."""
    caller = make_caller(client)
    headers = {"Chan-Token": caller.secret, "Content-Type": "application/json", "Connection": "close"}

    def run(bodies: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
        gate = Barrier(len(bodies))

        def post(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            account = http.client.HTTPConnection(live_server.thread.host, live_server.thread.port, timeout=60)
            account.connect()
            gate.wait(60)
            account.request("POST", "/sms/send", json.dumps(body), headers)
            response = account.getresponse()
            answer = response.status, json.loads(response.read())
            account.close()
            return answer

        with ThreadPoolExecutor(len(bodies)) as threads:
            return list(threads.map(post, bodies))

    return run


def test_fifty_posts_of_one_request_are_one_message(post_at_once: Any):
    answers = post_at_once([SMS] * THREADS)
    assert Counter(status for status, _ in answers) == {200: THREADS}
    message = Message.objects.get()
    assert {body["message_id"] for _, body in answers} == {str(message.pk)}
    assert Counter(body["duplicate"] for _, body in answers) == {False: 1, True: THREADS - 1}
    assert Content.objects.filter(message_id=message.pk).count() == 1


def test_another_recipient_under_the_same_request_id_loses(post_at_once: Any):
    other = {**SMS, "to": "00421900000124"}
    answers = post_at_once([SMS, other] * 10)
    message = Message.objects.get()
    kept = SMS if message.recipient == "+421900000123" else other
    for body, (status, answer) in zip([SMS, other] * 10, answers, strict=True):
        assert status == (200 if body is kept else 409)
        if status == 200:
            assert answer["message_id"] == str(message.pk)
        else:
            assert answer["error"]["code"] == "request_id_conflict"
