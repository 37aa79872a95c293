"""Every vendor at once over real processes: 100 messages each, all final, none twice, everything accounted for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from simulator.listener import Call, Listener, Reply
from tests.process.load import post_json
from tests.process.stage import Stage, Tenant, database, stage
from tests.vendors.stand_ins import StandIn, stand_in
from tests.waiting import eventually, free_port
from vendors import registry
from vendors.values import Channel

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

MESSAGES = 100
MMS_EVERY = 5  # one in so many is an MMS where the vendor has them
CHOSEN = os.environ.get("VENDORS", "")  # some of them, for whoever writes an adapter: VENDORS=sinch,twilio
VENDORS = sorted(
    CHOSEN.split(",") if CHOSEN else (key for key, one in registry.ADAPTERS.items() if not one.demo_only)
)

CONNECT = """
import json
from messaging.onboarding import setup
for key, inbound, values, sender in json.loads({accounts!r}):
    made = setup.create_tenant(slug=key.replace("_", "-"), name=key, inbound_url_sms=inbound)
    account = setup.connect(tenant=made.tenant, vendor=key, name=key, values=values)
    print("TENANT", key, made.token_secret, made.callback_secret, account.hook_url)
"""

STATES = """
SELECT t.name, m.state, count(*) FROM messaging_message m JOIN accounts_tenant t ON t.id = m.tenant_id GROUP BY 1, 2
"""
OPEN = "SELECT count(*) FROM messaging_message WHERE state < 10"


class Bloomreach:
    """What all tenants' callback and inbound addresses lead to."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.inbound: dict[str, list[dict[str, Any]]] = {}
        self.listener = Listener(self.hear)

    def hear(self, call: Call) -> Reply:
        items = json.loads(call.body)
        items = items if isinstance(items, list) else items.get("events", items.get("messages", [items]))
        if call.path.startswith("/inbound/"):
            self.inbound.setdefault(call.path.rpartition("/")[2], []).extend(items)
        else:
            self.events.extend(items)
        return Reply(200, {})

    @contextmanager
    def running(self) -> Iterator[Bloomreach]:
        self.listener.start()
        try:
            yield self
        finally:
            self.listener.stop()


def connect(
    running: Stage, stand_ins: list[StandIn], bloomreach: Bloomreach, public_url: str
) -> list[Tenant]:
    accounts = [
        (one.key, f"{bloomreach.listener.url}/inbound/{one.key}", one.values(), one.sender)
        for one in stand_ins
    ]
    script = CONNECT.format(accounts=json.dumps(accounts))
    done = running.manage("shell", "--no-imports", "-c", script, PUBLIC_URL=public_url)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("TENANT ")]
    assert len(lines) == len(stand_ins), done.stderr
    for one, line in zip(stand_ins, lines, strict=True):
        one.hook_url = line[4]
    return [Tenant(line[1], line[2], line[3], bloomreach.listener.port) for line in lines]


def message(one: StandIn, n: int, callback_url: str) -> tuple[str, dict[str, Any]]:
    """The n-th request: path and body."""
    sender = one.sender if not one.sender.startswith("+") else f"00{one.sender[1:]}"
    body: dict[str, Any] = {
        "from": sender,
        "to": f"00421900{n:06d}",
        "text": f"Message {n} žluťoučký €" if n % 2 else f"Message {n}",
        "request_id": f"{one.key}-{n}",
        "custom_data": f"custom-{one.key}-{n}",
        "callback_url": callback_url,
        "metadata": {},
    }
    if Channel.MMS not in one.channels or n % MMS_EVERY:
        return "/sms/send", body
    media = [{"url": "https://media.example/a.jpg", "content_type": "image/jpeg"}]
    return "/mms/send", body | {"subject": "New", "media": media, "fallback_text": "Look: https://ex.example"}


def send_all(one: StandIn, tenant: Tenant, port: int, callback_url: str) -> None:
    def send(n: int) -> int:
        path, body = message(one, n, callback_url)
        return post_json(port, path, body, tenant.token)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(send, range(MESSAGES))) == {200}, one.key


def test_a_hundred_messages_through_every_vendor() -> None:
    bloomreach = Bloomreach()
    stand_ins = [stand_in(key) for key in VENDORS]
    with ExitStack() as opened:
        running = opened.enter_context(stage(opened.enter_context(database())))
        opened.enter_context(bloomreach.running())
        for one in stand_ins:
            opened.enter_context(one.running())
        port = free_port()
        public_url = f"http://127.0.0.1:{port}"
        tenants = connect(running, stand_ins, bloomreach, public_url)
        running.start_web("web", port)
        # The deadline of a deployment: a busy machine must not make outcomes unknown that only a report resolves.
        running.start_worker("worker", public_url, CALL_DEADLINE="15")
        for one, tenant in zip(stand_ins, tenants, strict=True):
            send_all(one, tenant, port, f"{bloomreach.listener.url}/callbacks")
        eventually(
            lambda: running.rows(OPEN) == [(0,)] or any(one.refused for one in stand_ins),
            within=120,
            what=lambda: f"all final: {running.rows(STATES)}",
        )
        assert {one.key: one.refused for one in stand_ins} == {one.key: [] for one in stand_ins}
        assert sorted(running.rows(STATES)) == [(one.key, 10, MESSAGES) for one in stand_ins]
        assert {one.key: (len(one.taken), one.twice) for one in stand_ins} == {
            one.key: (MESSAGES, []) for one in stand_ins
        }
        talking = [one for one in stand_ins if one.has_inbound]
        replies(talking, bloomreach)
        answers(talking, tenants, bloomreach, port)
        expected = [f"custom-{one.key}-{n}" for one in stand_ins for n in range(MESSAGES)]
        expected += [f"custom-{one.key}-answer" for one in talking]
        eventually(lambda: len(bloomreach.events) >= len(expected), within=60, what="all callbacks arrive")
        assert sorted(event["custom_data"] for event in bloomreach.events) == sorted(expected)
        assert {event["status"] for event in bloomreach.events} == {"delivered"}
        assert {one.key: one.unheard for one in stand_ins} == {one.key: [] for one in stand_ins}
        credentials = running.reconcile()
        assert (credentials["exit"], credentials["unaccounted"]) == (0, 0)


def replies(talking: list[StandIn], bloomreach: Bloomreach) -> None:
    """A handset answers STOP to each vendor that passes such messages on; each arrives once, though said twice."""
    for one in talking:
        call = one.inbound(sender="+421900000001", recipient=one.sender, text="STOP")
        one.say(call)
        one.say(call)
    eventually(
        lambda: len(bloomreach.inbound) == len(talking),
        within=30,
        what=lambda: f"inbound messages arrive, so far {sorted(bloomreach.inbound)}",
    )
    for one in talking:
        (heard,) = bloomreach.inbound[one.key]
        assert (heard["from"], heard["text"]) == ("00421900000001", "STOP"), one.key


def answers(talking: list[StandIn], tenants: list[Tenant], bloomreach: Bloomreach, port: int) -> None:
    """Bloomreach answers the keyword from the number that it came to, to the number that it came from."""
    tokens = {tenant.slug: tenant.token for tenant in tenants}
    for one in talking:
        (heard,) = bloomreach.inbound[one.key]
        body = {
            "from": heard["to"],
            "to": heard["from"],
            "text": "You will hear no more from us.",
            "request_id": f"{one.key}-answer",
            "custom_data": f"custom-{one.key}-answer",
            "callback_url": f"{bloomreach.listener.url}/callbacks",
            "metadata": {},
        }
        assert post_json(port, "/sms/send", body, tokens[one.key]) == 200, one.key
