"""The stand-in for Bloomreach: posts orders concurrently, retries, takes callbacks and answers keywords."""

from __future__ import annotations

import json
import queue
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Any

from messaging.callbacks import signing
from simulator.client import Client, HttpAnswer, Unanswered
from simulator.listener import HOST, Call, Listener, Reply
from simulator.orders import SendOrder, order
from simulator.scenarios import DEFAULT, STOP
from vendors.values import Channel

CALLBACKS, INBOUND = "/channels/hook/callbacks", "/channels/hook/inbound"
RETRIED = frozenset({429, 500, 502, 503, 504})  # contract 4: the same request_id comes again
LONGEST_WAIT = 2.0  # seconds between two tries
PATIENCE = 90.0  # seconds of trying
FINALS = frozenset({"delivered", "failed"})
GOODBYE = "You will get no more messages from us."


def callback_url(port: int) -> str:
    """Where the stand-in on this port takes delivery reports."""
    return f"http://{HOST}:{port}{CALLBACKS}"


def inbound_url(port: int) -> str:
    """Where it takes inbound messages: as pasted from the screen, with the project (contract 6)."""
    return f"http://{HOST}:{port}{INBOUND}?project_token=demo"


@dataclass(slots=True)
class Story:
    """All that Bloomreach knows of one message. Times are monotonic seconds."""

    order: SendOrder
    message_id: str = ""
    accepted_at: float | None = None
    told_at: float | None = None
    duplicates: int = 0
    refusal: str = ""  # why it was not accepted, or what was wrong with the answers
    finals: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # event id -> the event


class Bloomreach:
    """Sender threads towards `base_url`, and a listener for what comes back. Port 0 takes a free one."""

    def __init__(self, *, base_url: str, token: str, secret: str, port: int = 0, threads: int = 8) -> None:
        self.stories: dict[str, Story] = {}
        self.counters: Counter[str] = Counter()
        self._base_url, self._token, self._secret = base_url, token, secret
        self._lock = Lock()
        self._orders: queue.SimpleQueue[SendOrder | None] = queue.SimpleQueue()
        self._unanswered = 0
        self._replied: set[str] = set()
        self._denied = (0, 0.0)  # status, until (monotonic)
        self._listener = Listener(self._answer, port=port)
        self._threads = [Thread(target=self._send_all, daemon=True) for _ in range(threads)]

    @property
    def callback_url(self) -> str:
        return callback_url(self._listener.port)

    @property
    def inbound_url(self) -> str:
        return inbound_url(self._listener.port)

    def start(self) -> None:
        self._listener.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Takes nothing more, and ends the senders once what they have is answered."""
        self._listener.stop()
        for _ in self._threads:
            self._orders.put(None)

    def post(self, one: SendOrder) -> None:
        """Sends the order, as often as it says, all at once."""
        with self._lock:
            self.stories[one.request_id] = Story(one)
            self._unanswered += one.copies
        for _ in range(one.copies):
            self._orders.put(one)

    def unanswered(self) -> int:
        """Requests that are waiting for their answer."""
        with self._lock:
            return self._unanswered

    def deny(self, *, status: int, seconds: float) -> None:
        """Answers every callback with `status` for a while."""
        self._denied = (status, time.monotonic() + seconds)

    def snapshot(self) -> tuple[dict[str, Story], Counter[str]]:
        """Everything known so far; the stories themselves go on changing."""
        with self._lock:
            return dict(self.stories), Counter(self.counters)

    def _send_all(self) -> None:
        with Client() as client:
            while one := self._orders.get():
                answer = self._send(client, one)
                with self._lock:
                    self._unanswered -= 1
                    self._note(self.stories[one.request_id], answer)

    def _send(self, client: Client, one: SendOrder) -> HttpAnswer | None:
        """One request until it is answered for good; None when patience ends first."""
        headers = {"Content-Type": "application/json", "Chan-Token": self._token}
        body = json.dumps(one.body).encode()
        until, wait = time.monotonic() + PATIENCE, 0.2
        while time.monotonic() < until:
            answer = self._try(client, f"{self._base_url}/{one.channel.value}/send", headers, body)
            if answer is not None and answer.status not in RETRIED:
                return answer
            self._count("retries")
            asked = answer.headers.get("retry-after", "") if answer else ""
            time.sleep(min(float(asked) if asked.isdecimal() else wait, LONGEST_WAIT))
            wait *= 2
        return None

    def _try(self, client: Client, url: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer | None:
        try:
            return client.call("POST", url, headers=headers, body=body)
        except Unanswered:
            return None

    def _count(self, name: str) -> None:
        with self._lock:
            self.counters[name] += 1

    def _note(self, story: Story, answer: HttpAnswer | None) -> None:
        if answer is None or answer.status != 200:
            self.counters["refused"] += 1
            story.refusal = f"HTTP {answer.status} {_error_code(answer)}" if answer else "never answered"
            return
        said = answer.json()
        message_id = str(said.get("message_id", ""))
        if story.message_id not in ("", message_id):
            story.refusal = "two message ids for one request_id"
        story.message_id = message_id
        if story.accepted_at is None:
            story.accepted_at = time.monotonic()
        if said.get("duplicate"):
            story.duplicates += 1

    def _answer(self, call: Call) -> Reply:
        if call.method != "POST" or call.path not in (CALLBACKS, INBOUND):
            return Reply(404)
        status, until = self._denied
        if time.monotonic() < until:
            self._count("denied")
            return Reply(status)
        try:
            signing.verify(call.headers.get("authorization", ""), self._secret)
            events = json.loads(call.body)["events"]
        except signing.BadToken:
            self._count("bad_signatures")
            return Reply(401)
        except (ValueError, TypeError, KeyError):
            self._count("bad_bodies")
            return Reply(400)
        self._take(events, inbound=call.path == INBOUND)
        return Reply(200, {"taken": len(events)})

    def _take(self, events: list[dict[str, Any]], *, inbound: bool) -> None:
        with self._lock:
            self.counters["inbound_posts" if inbound else "posts"] += 1
            for event in events:
                if inbound:
                    self._take_inbound(event)
                else:
                    self._take_report(event)

    def _take_report(self, event: dict[str, Any]) -> None:
        story = self.stories.get(str(event.get("request_id")))
        if story is None:
            self.counters["strangers"] += 1  # of an earlier campaign, or of somebody's curl
            return
        self.counters["events"] += 1
        if event.get("custom_data") != story.order.custom_data:
            self.counters["wrong_custom_data"] += 1
        if event.get("status") in FINALS and not event.get("correction"):
            story.finals.setdefault(str(event.get("event_id")), event)
            if story.told_at is None:
                story.told_at = time.monotonic()

    def _take_inbound(self, event: dict[str, Any]) -> None:
        self.counters["inbound"] += 1
        event_id = str(event.get("event_id"))
        if event_id in self._replied or str(event.get("text")).strip().upper() != STOP:
            return
        self._replied.add(event_id)
        goodbye = order(
            request_id=f"reply-{event_id}",
            channel=Channel.SMS,
            scenario=DEFAULT,
            recipient=str(event.get("from")),
            callback_url=self.callback_url,
            sender=str(event.get("to")),
            text=GOODBYE,
        )
        self.stories[goodbye.request_id] = Story(goodbye)
        self._unanswered += 1
        self._orders.put(goodbye)


def _error_code(answer: HttpAnswer) -> str:
    error = answer.json().get("error")
    return str(error.get("code", "")) if isinstance(error, dict) else ""
