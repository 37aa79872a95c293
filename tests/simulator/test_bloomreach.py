"""Bloomreach's stand-in against a connector made of one function."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from messaging.callbacks import signing
from simulator.bloomreach import Bloomreach, Story
from simulator.client import Client, HttpAnswer
from simulator.listener import Call, Listener, Reply
from simulator.orders import SendOrder, order
from simulator.scenarios import DEFAULT
from tests.waiting import eventually
from vendors.values import Channel

SECRET = "callback-secret-for-tests"


class Connector:
    """Answers sends by a script, the last line again and again, and keeps them."""

    def __init__(self, *script: Reply) -> None:
        self.calls: list[Call] = []
        self.script = list(script) or [accepted()]
        self.lock = threading.Lock()
        self.listener = Listener(self.answer)

    def answer(self, call: Call) -> Reply:
        with self.lock:
            self.calls.append(call)
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(call.body) for call in self.calls]


def accepted(message_id: str = "m-1", *, duplicate: bool = False) -> Reply:
    return Reply(200, {"status": "accepted", "message_id": message_id, "duplicate": duplicate})


@contextmanager
def talking(*script: Reply) -> Iterator[tuple[Bloomreach, Connector]]:
    connector = Connector(*script)
    connector.listener.start()
    bloomreach = Bloomreach(base_url=connector.listener.url, token="t-1", secret=SECRET, threads=2)
    bloomreach.start()
    yield bloomreach, connector
    bloomreach.stop()
    connector.listener.stop()


def one(request_id: str = "r-1", *, copies: int = 1, channel: Channel = Channel.SMS) -> SendOrder:
    return order(
        request_id=request_id, channel=channel, scenario=DEFAULT, recipient="00421900000100",
        callback_url="http://127.0.0.1:1/c", copies=copies,
    )  # fmt: skip


def story_of(bloomreach: Bloomreach, sent: SendOrder) -> Story:
    bloomreach.post(sent)
    eventually(lambda: bloomreach.unanswered() == 0)
    return bloomreach.snapshot()[0][sent.request_id]


def event(sent: SendOrder, **overrides: Any) -> dict[str, Any]:
    fields = {
        "event_id": "e-1",
        "status": "delivered",
        "request_id": sent.request_id,
        "custom_data": sent.custom_data,
    }
    return fields | overrides


def tell(
    url: str,
    events: list[dict[str, Any]],
    *,
    secret: str = SECRET,
    token: str | None = None,
    body: bytes = b"",
) -> HttpAnswer:
    given = signing.authorization(secret) if token is None else token
    content = body or json.dumps({"events": events}).encode()
    with Client() as client:
        return client.call("POST", url, headers={"Authorization": given}, body=content)


@pytest.mark.parametrize("channel", list(Channel))
def test_it_posts_as_the_contract_says(channel: Channel) -> None:
    with talking() as (bloomreach, connector):
        story = story_of(bloomreach, one(channel=channel))
    (call,) = connector.calls
    assert (call.method, call.path, call.headers["chan-token"]) == ("POST", f"/{channel}/send", "t-1")
    assert json.loads(call.body) == story.order.body
    assert (story.message_id, story.duplicates, story.refusal) == ("m-1", 0, "")
    assert story.accepted_at is not None


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(Reply(429, {}, {"Retry-After": "0"}), id="429"),
        pytest.param(Reply(503, {}, {"Retry-After": "0"}), id="503"),
        pytest.param(Reply(500), id="500"),
    ],
)
def test_it_comes_again_with_the_same_request(refusal: Reply) -> None:
    with talking(refusal, refusal, accepted()) as (bloomreach, connector):
        story = story_of(bloomreach, one())
        assert bloomreach.snapshot()[1]["retries"] == 2
    assert connector.bodies == [story.order.body] * 3
    assert story.refusal == ""


def test_a_refusal_is_final() -> None:
    with talking(Reply(400, {"error": {"code": "invalid_recipient"}})) as (bloomreach, connector):
        story = story_of(bloomreach, one())
    assert len(connector.calls) == 1
    assert (story.accepted_at, story.refusal) == (None, "HTTP 400 invalid_recipient")


def test_202_is_no_acceptance() -> None:
    with talking(Reply(202, {"message_id": "m-1"})) as (bloomreach, _):
        assert story_of(bloomreach, one()).refusal == "HTTP 202 "


def test_copies_go_out_at_once_and_duplicates_are_counted() -> None:
    with talking(accepted(), accepted(duplicate=True)) as (bloomreach, connector):
        story = story_of(bloomreach, one(copies=2))
    assert len(connector.calls) == 2
    assert (story.duplicates, story.refusal) == (1, "")


def test_two_ids_for_one_request_are_noticed() -> None:
    with talking(accepted("m-1"), accepted("m-2", duplicate=True)) as (bloomreach, _):
        assert story_of(bloomreach, one(copies=2)).refusal == "two message ids for one request_id"


def test_a_final_is_counted_by_its_event_id() -> None:
    with talking() as (bloomreach, _):
        story = story_of(bloomreach, one())
        for n in (1, 1, 2):
            assert tell(bloomreach.callback_url, [event(story.order, event_id=f"e-{n}")]).status == 200
        tell(bloomreach.callback_url, [event(story.order, event_id="e-3", status="sent")])
        tell(bloomreach.callback_url, [event(story.order, event_id="e-4", correction=True)])
        assert list(story.finals) == ["e-1", "e-2"]
        assert bloomreach.snapshot()[1] == {"posts": 5, "events": 5}


@pytest.mark.parametrize(
    ("authorization", "body", "status", "counter"),
    [
        pytest.param(signing.authorization("another"), b"", 401, "bad_signatures", id="another secret"),
        pytest.param("", b"", 401, "bad_signatures", id="no signature"),
        pytest.param(
            signing.authorization(SECRET, now=time.time() - 1000), b"", 401, "bad_signatures", id="stale"
        ),
        pytest.param(None, b"{", 400, "bad_bodies", id="not JSON"),
        pytest.param(None, b"[]", 400, "bad_bodies", id="no events"),
    ],
)
def test_a_wrong_callback_is_refused(
    authorization: str | None, body: bytes, status: int, counter: str
) -> None:
    with talking() as (bloomreach, _):
        story = story_of(bloomreach, one())
        answer = tell(bloomreach.callback_url, [event(story.order)], token=authorization, body=body)
        assert (answer.status, story.finals) == (status, {})
        assert bloomreach.snapshot()[1] == {counter: 1}


def test_custom_data_is_compared_byte_for_byte() -> None:
    with talking() as (bloomreach, _):
        story = story_of(bloomreach, one())
        tell(bloomreach.callback_url, [event(story.order, custom_data=story.order.custom_data + " ")])
        assert bloomreach.snapshot()[1]["wrong_custom_data"] == 1


def test_strangers_are_taken_and_not_counted() -> None:
    with talking() as (bloomreach, _):
        assert tell(bloomreach.callback_url, [event(one("somebody-else"))]).status == 200
        assert bloomreach.snapshot()[1] == {"posts": 1, "strangers": 1}


def test_it_denies_for_a_while() -> None:
    with talking() as (bloomreach, _):
        story = story_of(bloomreach, one())
        bloomreach.deny(status=404, seconds=60)
        assert tell(bloomreach.callback_url, [event(story.order)]).status == 404
        bloomreach.deny(status=404, seconds=0)
        assert tell(bloomreach.callback_url, [event(story.order)]).status == 200
        assert bloomreach.snapshot()[1] == {"denied": 1, "posts": 1, "events": 1}


def test_a_keyword_is_answered_once_from_our_number() -> None:
    stop = {"event_id": "i-1", "text": " stop ", "from": "00421900000150", "to": "00421900000900"}
    with talking() as (bloomreach, connector):
        for _ in range(2):
            assert tell(bloomreach.inbound_url, [stop]).status == 200
        tell(bloomreach.inbound_url, [stop | {"event_id": "i-2", "text": "What?"}])
        eventually(lambda: bloomreach.unanswered() == 0)
        assert bloomreach.snapshot()[1] == {"inbound": 3, "inbound_posts": 3}
    (body,) = connector.bodies
    assert (body["from"], body["to"], body["request_id"]) == ("00421900000900", "00421900000150", "reply-i-1")
