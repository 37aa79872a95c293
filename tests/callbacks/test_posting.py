"""Telling Bloomreach: bodies, signatures, batches, order, retries, and who is at fault (contract 5, 6)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.db import connection as database
from django.db.models import F
from django.utils import timezone

from accounts.models import Tenant
from messaging.callbacks import posting, signing
from messaging.models import Content, Destination, Event, Exchange, InboundMessage, Message, Queue
from messaging.models.queue import LONG_AGO
from messaging.models.sql import change, column
from messaging.queues import circuit, destinations
from messaging.rules import backoff
from messaging.rules.ids import uuid7
from messaging.rules.values import EventKind, EventState, MessageState
from messaging.worker import sweep
from messaging.worker.pump import Pump
from tests import factories, listener
from tests.listener import Listener, Received
from tests.stand_ins import pending_events, undeliverable_events

pytestmark = pytest.mark.django_db

S = EventState


@pytest.fixture
def bloomreach(settings: LazySettings) -> Iterator[Listener]:
    settings.DEMO = True  # lets callbacks dial loopback
    with listener.serving() as running:
        yield running


def make_event(bloomreach: Listener, message: Message | None = None, **overrides: Any) -> Event:
    path = overrides.pop("path", "/hook")
    return factories.make_event(message, **({"url": bloomreach.url(path)} | overrides))


COPIES = """
WITH copies AS (
  INSERT INTO messaging_message (id, tenant_id, account_id, queue_id, channel, send_as, request_id, sender, recipient,
      state, due_at, expires_at, created_at, final_at)
  SELECT gen_random_uuid(), tenant_id, account_id, queue_id, channel, send_as, 'r' || n, sender, recipient,
      state, due_at, expires_at, created_at, final_at
  FROM messaging_message, generate_series(1, %(count)s) n WHERE id = %(message)s RETURNING id, created_at, request_id),
contents AS (
  INSERT INTO messaging_content (message_id, created_at, text, custom_data, callback_url, extra)
  SELECT id, created_at, '', 'c' || substr(request_id, 2), %(url)s, '{"from": "1", "to": "2"}' FROM copies)
INSERT INTO messaging_event (id, queue_id, message_id, kind, url, status, occurred_at, due_at)
SELECT gen_random_uuid(), %(queue)s, id, %(kind)s, %(url)s, 'delivered', created_at, created_at FROM copies RETURNING id
"""


def make_events(bloomreach: Listener, count: int) -> list[UUID]:
    """Many finals of one tenant, with custom data c1, c2…; one statement makes them."""
    message = factories.make_message(state=MessageState.DELIVERED)
    queue = factories.callback_queue(message.tenant)
    values = {"count": count, "message": message.id, "queue": queue.id, "url": bloomreach.url()}
    ids = column(COPIES, values | {"kind": int(EventKind.FINAL)}, of=UUID)
    while destinations.place():
        pass
    return ids


def make_inbound_event(inbound: InboundMessage, url: str, **overrides: Any) -> Event:
    fields = {
        "queue": factories.callback_queue(inbound.tenant),
        "inbound": inbound,
        "kind": EventKind.INBOUND,
    }
    fields |= {"url": url, "status": "received", "occurred_at": inbound.received_at}
    return Event.objects.create(**(fields | overrides))


def tell(posts: int = 8) -> list[posting.Posted]:
    """Claim, post and record once, one POST after the other."""
    claimed = posting.claim(leases=[uuid7() for _ in range(posts)])
    posted = [posting.dial(post, deadline=5) for post in claimed]
    posting.record(posted)
    return posted


def pass_time() -> None:
    """As if every wait were over: events due in the same order, circuits half open."""
    Event.objects.filter(state=S.DUE).update(due_at=F("due_at") - timedelta(days=2))
    Destination.objects.update(open_until=LONG_AGO)


def tell_until_quiet(rounds: int = 100) -> None:
    for _ in range(rounds):
        pass_time()
        if not tell():
            return
    raise AssertionError("events are still being told")


def wait_of(event: Event) -> float:
    """Seconds from now until the event is due."""
    event.refresh_from_db()
    return (event.due_at - timezone.now()).total_seconds()


# ---- the body


def test_body_of_a_delivered_message(bloomreach: Listener) -> None:
    message = factories.make_message(
        state=MessageState.DELIVERED,
        request_id="req-1",
        content={"metadata": {"campaign": "spring", "n": 1.5}},
    )
    event = make_event(
        bloomreach, message, occurred_at=datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC), segments=2
    )

    tell()

    (post,) = bloomreach.posts
    assert post.headers["Content-Type"] == "application/json"
    assert json.loads(post.body) == {
        "events": [
            {
                "event_id": str(event.id),
                "channel": "sms",
                "status": "delivered",
                "timestamp": 1767323045.123,
                "request_id": "req-1",
                "message_id": str(message.id),
                "from": "+421900000001",
                "to": "00421900000123",
                "custom_data": f"custom-{message.id}",
                "segments": 2,
                "sent_as": "sms",
                "metadata": {"campaign": "spring", "n": 1.5},
            }
        ]
    }


def test_a_failed_correction_after_a_fallback(bloomreach: Listener) -> None:
    message = factories.make_message(state=MessageState.UNDELIVERED, channel="mms", send_as="sms")
    error = {"code": "undelivered", "message": "Absent subscriber", "vendor_code": "30003"}
    make_event(bloomreach, message, kind=EventKind.CORRECTION, status="failed", error=error)

    tell()

    (event,) = bloomreach.posts[0].events
    assert (event["channel"], event["sent_as"], event["status"]) == ("mms", "sms", "failed")
    assert (event["error"], event["correction"]) == (error, True)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param('{"a":"b\\"c"}', id="quotes"),
        pytest.param("žluťoučký 🐎 \u2028\u00a0 \x7f\t\r\n", id="unicode"),
        pytest.param("a%2Fb+c==&x=<y>'\\u0041", id="escapes"),
        pytest.param("é" * 4096, id="8 KiB"),
        pytest.param(" ", id="blank"),
    ],
)
def test_custom_data_comes_back_byte_for_byte(bloomreach: Listener, data: str) -> None:
    message = factories.make_message(state=MessageState.DELIVERED, content={"custom_data": data})
    make_event(bloomreach, message)

    tell()

    assert bloomreach.posts[0].events[0]["custom_data"] == data


def test_body_of_an_inbound_message(bloomreach: Listener) -> None:
    tenant = factories.make_tenant(wire_profile={"inbound": ""})
    account = factories.make_account(tenant)
    inbound = factories.make_inbound(account, text="STOP", media=[{"url": "https://x.example/a"}])
    event = make_inbound_event(
        inbound, bloomreach.url("/in?project=p"), occurred_at=datetime(2026, 1, 2, tzinfo=UTC)
    )

    tell()

    (post,) = bloomreach.posts
    assert post.path == "/in?project=p"
    assert json.loads(post.body) == [
        {
            "event_id": str(event.id),
            "channel": "sms",
            "type": "incoming_message",
            "timestamp": 1767312000.0,
            "from": "00421900000123",
            "to": "00421900000001",
            "text": "STOP",
            "media": [{"url": "https://x.example/a"}],
            "message_id": str(inbound.id),
        }
    ]


def test_inbound_events_are_wrapped_like_the_others_by_default(bloomreach: Listener) -> None:
    inbound = factories.make_inbound()
    make_inbound_event(inbound, bloomreach.url())

    tell()

    assert list(json.loads(bloomreach.posts[0].body)) == ["events"]


def test_events_are_written_as_the_profile_says(bloomreach: Listener) -> None:
    tenant = factories.make_tenant(
        wire_profile={"spelling": "camel", "outbound": "", "inbound": "data", "statuses": {"delivered": "OK"}}
    )
    message = factories.make_message(
        state=MessageState.DELIVERED, account=factories.make_account(tenant), request_id="req-1"
    )
    make_event(bloomreach, message)
    make_inbound_event(factories.make_inbound(message.account), bloomreach.url("/in"))

    tell_until_quiet()

    told = {post.path: json.loads(post.body) for post in bloomreach.posts}
    [event] = told["/hook"]
    assert (event["requestId"], event["status"]) == ("req-1", "OK")
    assert list(told["/in"]) == ["data"]
    assert told["/in"]["data"][0]["messageId"]


def test_one_address_for_both_gets_each_in_its_own_envelope(bloomreach: Listener) -> None:
    tenant = factories.make_tenant(wire_profile={"inbound": ""})
    message = factories.make_message(state=MessageState.DELIVERED, account=factories.make_account(tenant))
    make_event(bloomreach, message)
    make_inbound_event(factories.make_inbound(message.account), bloomreach.url())

    tell_until_quiet()

    assert sorted(type(json.loads(post.body)).__name__ for post in bloomreach.posts) == ["dict", "list"]
    assert Event.objects.filter(state=S.ACKED).count() == 2


# ---- the signature


@pytest.mark.parametrize("bearer", [False, True])
def test_each_attempt_is_signed_anew(
    bloomreach: Listener, monkeypatch: pytest.MonkeyPatch, bearer: bool
) -> None:
    make_event(
        bloomreach,
        queue=factories.callback_queue(
            factories.make_tenant(wire_profile={"bearer": True} if bearer else {})
        ),
    )
    bloomreach.answer = lambda post: 503 if len(bloomreach.posts) == 1 else 200
    real = time.time
    tell()
    monkeypatch.setattr("messaging.callbacks.signing.time.time", lambda: real() + 7)
    tell_until_quiet()

    first, second = (post.headers["Authorization"] for post in bloomreach.posts)
    assert [value.startswith("Bearer ") for value in (first, second)] == [bearer, bearer]
    issued = [signing.verify(value, "callback-secret") for value in (first, second)]
    assert 6 <= issued[1] - issued[0] <= 9


@pytest.mark.parametrize("status", [401, 403])
def test_the_previous_secret_is_tried_once(bloomreach: Listener, status: int) -> None:
    tenant = factories.make_tenant(callback_secret="new", callback_secret_previous="old")
    event = make_event(bloomreach, queue=factories.callback_queue(tenant))

    def answer(post: Received) -> int:
        return 200 if signed_with(post, "old") else status

    bloomreach.answer = answer
    tell()

    event.refresh_from_db()
    tenant.refresh_from_db()
    assert [signed_with(post, "old") for post in bloomreach.posts] == [False, True]
    assert bloomreach.posts[0].body == bloomreach.posts[1].body
    assert (event.state, event.tries, tenant.secret_in_use) == (S.ACKED, 1, "previous")

    bloomreach.answer = lambda post: 200
    make_event(bloomreach, queue=event.queue)
    tell()
    tenant.refresh_from_db()
    assert tenant.secret_in_use == "current"


def test_when_a_secret_was_taken_is_noted_once_a_minute(bloomreach: Listener) -> None:
    tenant = factories.make_tenant(secret_in_use="current")
    queue = factories.callback_queue(tenant)
    seen = []
    for ago in (None, 30, 90):
        if ago is not None:
            Tenant.objects.update(secret_taken_at=timezone.now() - timedelta(seconds=ago))
        make_event(bloomreach, queue=queue)
        tell()
        tenant.refresh_from_db()
        seen.append(round((timezone.now() - tenant.secret_taken_at).total_seconds(), -1))
    assert seen == [0, 30, 0]


def test_a_secret_that_was_replaced_meanwhile_is_not_noted(bloomreach: Listener) -> None:
    """What was the current one when the POST was signed is the previous one when it is recorded."""
    tenant = factories.make_tenant(callback_secret="old")
    make_event(bloomreach, queue=factories.callback_queue(tenant))
    posted = [posting.dial(post, deadline=5) for post in posting.claim(leases=[uuid7()])]
    tenant.callback_secret, tenant.callback_secret_previous = "new", tenant.callback_secret
    tenant.save()
    posting.record(posted)
    tenant.refresh_from_db()
    assert (tenant.secret_in_use, tenant.secret_taken_at) == ("", None)


def signed_with(post: Received, secret: str) -> bool:
    try:
        return bool(signing.verify(post.headers["Authorization"], secret))
    except signing.BadToken:
        return False


@pytest.mark.parametrize("previous", [pytest.param("", id="one secret"), pytest.param("old", id="two")])
def test_refused_signatures_are_tried_later(bloomreach: Listener, previous: str) -> None:
    tenant = factories.make_tenant(callback_secret_previous=previous)
    event = make_event(bloomreach, queue=factories.callback_queue(tenant))
    bloomreach.answer = lambda post: 401
    tell()

    assert 3.5 < wait_of(event) < 6.5
    tenant.refresh_from_db()
    assert (event.state, event.last_error, tenant.secret_in_use) == (S.DUE, "HTTP 401", "")
    assert len(bloomreach.posts) == (2 if previous else 1)


def test_a_secret_that_does_not_open_is_a_fault_that_waits(bloomreach: Listener) -> None:
    event = make_event(bloomreach)
    with database.cursor() as cursor:
        cursor.execute("UPDATE accounts_tenant SET callback_secret = 'not sealed by us'")
    tell()

    assert 3.5 < wait_of(event) < 6.5
    assert (event.state, bloomreach.posts) == (S.DUE, [])


def test_an_empty_secret_is_a_fault_that_waits(bloomreach: Listener) -> None:
    event = make_event(bloomreach, queue=factories.callback_queue(factories.make_tenant(callback_secret="")))
    tell()

    assert 3.5 < wait_of(event) < 6.5
    assert (event.state, event.tries, bloomreach.posts) == (S.DUE, 1, [])
    assert "secret is empty" in event.last_error


# ---- batches


def test_one_post_per_url(bloomreach: Listener) -> None:
    tenant = factories.make_tenant()
    queue = factories.callback_queue(tenant)
    for path in ("/a", "/b", "/a"):
        make_event(bloomreach, queue=queue, path=path)

    assert [len(one.post.events) for one in tell()] == [2]
    assert [len(one.post.events) for one in tell()] == [1]
    assert [post.path for post in bloomreach.posts] == ["/a", "/b"]
    assert not pending_events()


def test_events_of_another_cap_go_apart(bloomreach: Listener) -> None:
    queue = factories.callback_queue(factories.make_tenant())
    for cap in (500, 2, 2, 2, 500):
        make_event(bloomreach, queue=queue, batch_cap=cap)

    tell_until_quiet()

    assert [len(post.events) for post in bloomreach.posts] == [2, 2, 1]


def test_at_most_500_events_in_a_post(bloomreach: Listener) -> None:
    ids = make_events(bloomreach, 1203)

    tell_until_quiet()

    assert [len(post.events) for post in bloomreach.posts] == [500, 500, 203]
    assert sorted(id for post in bloomreach.posts for id in post.ids) == sorted(ids)


def test_at_most_256_kib_in_a_post_and_the_rest_at_once(bloomreach: Listener) -> None:
    ids = make_events(bloomreach, 100)
    Content.objects.update(custom_data="x" * 8192)

    first = tell()
    left = Event.objects.filter(state=S.DUE)

    sizes = len(first[0].post.events)
    assert 28 <= sizes <= 31
    assert left.count() == 100 - sizes
    assert set(left.values_list("tries", "lease", "first_try_at")) == {(0, None, None)}
    while tell():
        pass
    assert all(len(post.body) <= 256 * 1024 for post in bloomreach.posts)
    assert len(bloomreach.posts) == 4
    assert sorted(id for post in bloomreach.posts for id in post.ids) == sorted(ids)


@pytest.mark.parametrize("over", [pytest.param(0, id="exactly full"), pytest.param(1, id="a byte too many")])
def test_the_whole_body_counts(bloomreach: Listener, over: int) -> None:
    make_events(bloomreach, 2)
    Content.objects.update(custom_data="")
    sizes = len(posting.claim(leases=[uuid7()])[0].body)
    Event.objects.update(state=S.DUE, lease=None, lease_until=None)
    Content.objects.filter(pk=Event.objects.all()[0].message_id).update(
        custom_data="x" * (256 * 1024 - sizes + over)
    )

    tell()

    assert len(bloomreach.posts[0].events) == 2 - over
    assert max(len(post.body) for post in bloomreach.posts) <= 256 * 1024


def test_an_event_larger_than_a_post_goes_alone(bloomreach: Listener) -> None:
    make_events(bloomreach, 3)
    Content.objects.filter(custom_data="c1").update(metadata={"x": "y" * 300_000})

    tell_until_quiet()

    large = [post for post in bloomreach.posts if len(post.body) > 300_000]
    assert [[event["custom_data"] for event in post.events] for post in large] == [["c1"]]
    assert Event.objects.filter(state=S.ACKED).count() == 3


def test_two_posts_in_flight_per_queue(bloomreach: Listener) -> None:
    make_events(bloomreach, 1400)
    first = posting.claim(leases=[uuid7()])
    second = posting.claim(leases=[uuid7() for _ in range(8)])
    third = posting.claim(leases=[uuid7() for _ in range(8)])

    assert [len(posts) for posts in (first, second, third)] == [1, 1, 0]
    posting.record([posting.dial(first[0], deadline=5)])
    assert len(posting.claim(leases=[uuid7()])) == 1


def test_queues_at_their_cap_do_not_starve_the_others(bloomreach: Listener) -> None:
    """Ten destinations hang, each with its two POSTs in flight and more to tell; an eleventh works."""
    hung = [factories.make_tenant() for _ in range(10)]
    for tenant in hung:
        for path in ("/1", "/2", "/3"):
            make_event(bloomreach, queue=factories.callback_queue(tenant), path=path)
    while posting.claim(leases=[uuid7()]):
        pass
    assert Event.objects.filter(state=S.LEASED).count() == 20
    before = make_event(bloomreach, path="/healthy")
    tell(1)
    before.refresh_from_db()
    assert before.state == S.ACKED
    healthy = make_event(bloomreach, queue=before.queue, path="/healthy")

    turns = 0
    while not posting.claim(leases=[uuid7()]) and turns < 12:
        turns += 1

    healthy.refresh_from_db()
    assert healthy.state == S.LEASED


# ---- order


def test_sent_then_final_then_correction(bloomreach: Listener) -> None:
    message = factories.make_message(state=MessageState.DELIVERED)
    for kind, status in (
        (EventKind.CORRECTION, "failed"),
        (EventKind.FINAL, "delivered"),
        (EventKind.SENT, "sent"),
    ):
        make_event(bloomreach, message, kind=kind, status=status)

    assert [len(one.post.events) for one in tell()] == [1]
    claimed = posting.claim(leases=[uuid7()])
    assert not posting.claim(leases=[uuid7()])  # the final is in flight: the correction waits
    posting.record([posting.dial(claimed[0], deadline=5)])
    tell()

    assert [event["status"] for post in bloomreach.posts for event in post.events] == [
        "sent",
        "delivered",
        "failed",
    ]


def test_a_later_generation_waits_for_the_first(bloomreach: Listener) -> None:
    message = factories.make_message(state=MessageState.DELIVERED)
    later = make_event(bloomreach, message, generation=1)
    first = make_event(bloomreach, message, status="failed", due_at=timezone.now() + timedelta(hours=1))

    assert tell() == []
    Event.objects.filter(pk=first.pk).update(state=S.UNDELIVERABLE)  # given up: nothing waits for it
    tell()
    later.refresh_from_db()
    assert later.state == S.ACKED


def test_other_messages_do_not_wait(bloomreach: Listener) -> None:
    message = factories.make_message(state=MessageState.DELIVERED)
    queue = factories.callback_queue(message.tenant)
    make_event(bloomreach, message, kind=EventKind.SENT, due_at=timezone.now() + timedelta(hours=1))
    waiting = make_event(bloomreach, message, batch_cap=1, due_at=timezone.now() - timedelta(hours=1))
    other = make_event(bloomreach, queue=queue)

    tell()

    waiting.refresh_from_db()
    other.refresh_from_db()
    assert (waiting.state, other.state) == (S.DUE, S.ACKED)


# ---- answers


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_an_acknowledgement(bloomreach: Listener, status: int) -> None:
    event = make_event(bloomreach, last_error="HTTP 500")
    bloomreach.answer = lambda post: status
    tell()

    event.refresh_from_db()
    assert (event.state, event.last_error, event.lease) == (S.ACKED, "", None)
    assert event.acked_at is not None
    raw = Exchange.objects.get(id=event.last_post)
    assert (raw.kind, json.loads(raw.response)["status"]) == ("post", status)


@pytest.mark.parametrize("tries", range(1, len(backoff.CALLBACK_DELAYS) + 1))
@pytest.mark.parametrize("status", [408, 500])
def test_each_row_of_the_retry_table(bloomreach: Listener, tries: int, status: int) -> None:
    event = make_event(bloomreach, tries=tries - 1)
    bloomreach.answer = lambda post: status
    tell()

    expected = backoff.CALLBACK_DELAYS[tries - 1]
    assert 0.8 * expected - 1 <= wait_of(event) <= 1.2 * expected
    assert (event.state, event.tries, event.last_error) == (S.DUE, tries, f"HTTP {status}")


def test_exhausted_is_dead_and_kept(bloomreach: Listener, caplog: pytest.LogCaptureFixture) -> None:
    event = make_event(bloomreach, tries=len(backoff.CALLBACK_DELAYS))
    bloomreach.answer = lambda post: 500
    tell()

    event.refresh_from_db()
    assert (event.state, event.tries, event.last_error) == (S.UNDELIVERABLE, 12, "HTTP 500")
    assert "callback undeliverable" in caplog.text
    pass_time()
    assert tell() == []


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        pytest.param("120", 119, 145, id="seconds"),
        pytest.param("1", 3.5, 6.5, id="never shortens"),
        pytest.param("999999", 3599, 4321, id="an hour at most"),
        pytest.param("soon", 3.5, 6.5, id="garbage"),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(bloomreach: Listener, status: int, header: str, least: float, most: float) -> None:
    event = make_event(bloomreach)
    bloomreach.answer = lambda post: (status, {"Retry-After": header})
    tell()

    assert least <= wait_of(event) <= most


def test_a_redirect_is_an_error_and_never_followed(bloomreach: Listener) -> None:
    event = make_event(bloomreach)
    bloomreach.answer = lambda post: (307, {"Location": bloomreach.url("/elsewhere")})
    tell()

    assert 3.5 < wait_of(event) < 6.5
    assert (event.state, event.last_error) == (S.DUE, "HTTP 307")
    assert [post.path for post in bloomreach.posts] == ["/hook"]


def test_nobody_listens(settings: LazySettings) -> None:
    settings.DEMO = True
    with listener.serving() as gone:
        url = gone.url()
    event = factories.make_event(url=url)
    tell()

    assert 3.5 < wait_of(event) < 6.5
    assert event.last_error.startswith("no connection")


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "192.168.0.1", "localhost"])
def test_private_addresses_are_refused_when_dialled(host: str) -> None:
    """Even where somebody put the host on the tenant's list."""
    tenant = factories.make_tenant(allowed_hosts=[host])
    event = factories.make_event(queue=factories.callback_queue(tenant), url=f"https://{host}/hook")
    tell()

    assert 3.5 < wait_of(event) < 6.5
    assert event.last_error == "the URL leads to an address that is not allowed"


def test_loopback_is_for_the_demo(bloomreach: Listener, settings: LazySettings) -> None:
    settings.DEMO = False
    event = make_event(bloomreach)
    tell()

    assert (event.state, bloomreach.posts) == (S.DUE, [])
    assert 3.5 < wait_of(event) < 6.5


def test_a_host_that_is_no_longer_allowed_is_not_dialled(bloomreach: Listener) -> None:
    """Contract 3: the callback URL is checked again when dialled."""
    event = make_event(bloomreach, url=f"http://localhost.attacker.example:{bloomreach.port}/hook")
    tell()

    assert 3.5 < wait_of(event) < 6.5
    assert "host that is not allowed" in event.last_error


# ---- refusals: halving finds the event that is at fault


def refuse(*poison: UUID) -> Callable[[Received], int]:
    return lambda post: 422 if set(post.ids) & set(poison) else 200


def test_one_poison_event_in_500_is_isolated(bloomreach: Listener) -> None:
    ids = make_events(bloomreach, 500)
    poison = ids[137]
    bloomreach.answer = refuse(poison)

    tell_until_quiet()

    assert list(undeliverable_events().values_list("id", "last_error")) == [(poison, "HTTP 422")]
    assert Event.objects.filter(state=S.ACKED).count() == 499
    assert len(bloomreach.posts) <= 25


def test_two_poison_events_die_and_no_other(bloomreach: Listener) -> None:
    ids = make_events(bloomreach, 200)
    bloomreach.answer = refuse(ids[3], ids[150])

    tell_until_quiet()

    assert set(undeliverable_events().values_list("id", flat=True)) == {ids[3], ids[150]}
    assert Event.objects.filter(state=S.ACKED).count() == 198


def test_a_refused_batch_is_halved_and_due_soon(bloomreach: Listener) -> None:
    make_events(bloomreach, 9)
    bloomreach.answer = lambda post: 400
    tell()

    assert set(Event.objects.values_list("batch_cap", "state", "tries")) == {(4, S.DUE, 0)}
    assert 0 < wait_of(Event.objects.all()[0]) <= 1


@pytest.mark.parametrize("status", [401, 403, 408, 429, 502])
def test_what_says_nothing_about_the_events_halves_no_batch(bloomreach: Listener, status: int) -> None:
    make_events(bloomreach, 2)
    bloomreach.answer = lambda post: status
    for tries in range(1, posting.ALONE_TRIES + 2):
        pass_time()
        tell()
        assert set(Event.objects.values_list("batch_cap", "state", "tries")) == {(500, S.DUE, tries)}


def test_an_event_alone_dies_after_three_tries_when_the_queue_takes_others(bloomreach: Listener) -> None:
    tenant = factories.make_tenant()
    queue = factories.callback_queue(tenant)
    poison = make_event(bloomreach, queue=queue)
    bloomreach.answer = refuse(poison.id)
    states = []
    for _ in range(3):
        pass_time()
        tell()
        make_event(bloomreach, queue=queue)
        Queue.objects.update(ok_at=LONG_AGO)
        tell()
        poison.refresh_from_db()
        states.append(EventState(poison.state))

    assert states == [S.DUE, S.DUE, S.UNDELIVERABLE]


def test_posts_lost_with_their_worker_and_refused_company_are_no_tries(bloomreach: Listener) -> None:
    queue = factories.callback_queue(factories.make_tenant())
    poison = make_event(bloomreach, queue=queue)
    for _ in range(3):
        assert posting.claim(leases=[uuid7()])
        Event.objects.update(lease_until=LONG_AGO)
        sweep.lost_posts()
    make_event(bloomreach, queue=queue)
    bloomreach.answer = refuse(poison.id)
    for _ in range(3):  # both, then one by one
        pass_time()
        tell()

    poison.refresh_from_db()
    assert [len(post.ids) for post in bloomreach.posts] == [2, 1, 1]
    assert (poison.state, poison.tries) == (S.DUE, 1)


def test_a_lost_post_does_not_blame_an_event(bloomreach: Listener) -> None:
    """What the destination took after it says nothing about an event that it had not seen."""
    queue = factories.callback_queue(factories.make_tenant())
    event = make_event(bloomreach, queue=queue)
    assert posting.claim(leases=[uuid7()])
    make_event(bloomreach, queue=queue)
    tell()
    Event.objects.filter(pk=event.pk).update(lease_until=LONG_AGO)
    assert sweep.lost_posts() == 1
    bloomreach.answer = lambda post: 404
    for _ in range(5):
        pass_time()
        tell()

    event.refresh_from_db()
    assert (event.state, event.tries) == (S.DUE, 5)


def test_a_destination_that_refuses_everything_is_at_fault_itself(bloomreach: Listener) -> None:
    queue = factories.callback_queue(factories.make_tenant())
    make_event(bloomreach, queue=queue)
    tell()  # it worked once, before
    event = make_event(bloomreach, queue=queue)
    bloomreach.answer = lambda post: 404
    for _ in range(5):
        pass_time()
        tell()

    assert wait_of(event) > 0.8 * backoff.CALLBACK_DELAYS[4] - 1
    assert (event.state, event.tries) == (S.DUE, 5)


def test_given_back_claims_do_not_blame_an_event(bloomreach: Listener) -> None:
    """What did not fit into a POST was not tried: a later 404 of the whole destination must not kill it."""
    make_events(bloomreach, 60)
    Content.objects.update(custom_data="x" * 8192)
    tell()
    Content.objects.update(custom_data="x")
    bloomreach.answer = lambda post: 404
    for _ in range(45):
        pass_time()
        tell(1)

    assert set(pending_events().values_list("batch_cap", flat=True)) == {1}
    assert not undeliverable_events().exists()


@pytest.mark.slow
@pytest.mark.timeout(200)
# One transaction would drag along what each probe leaves of 500 rows.
@pytest.mark.django_db(transaction=True)
def test_ten_thousand_events_for_a_url_that_answers_404(bloomreach: Listener, settings: LazySettings) -> None:
    """Two and a half hours in a minute: the circuit's openings are cut short, everything else is real."""
    settings.PROBE_EVERY = 300.0
    ids = make_events(bloomreach, 10_000)
    analyze()
    bloomreach.answer = lambda post: 404
    pump = Pump()
    spin(pump, lambda: Destination.objects.filter(open_until__gt=timezone.now()).exists())
    spin(pump, lambda: not pump.in_flight)  # a post that left before the circuit opened is no probe
    for probes in range(1, 31):
        Destination.objects.update(open_until=LONG_AGO)
        told = len(bloomreach.posts)
        spin(pump, lambda: Destination.objects.filter(open_until__gt=timezone.now()).exists())  # again
        assert (probes, len(bloomreach.posts)) == (probes, told + 1)

    assert len(bloomreach.posts) < 50
    assert not undeliverable_events().exists()

    bloomreach.answer = lambda post: 200
    Destination.objects.update(open_until=LONG_AGO)
    told = len(bloomreach.posts)
    spin(pump, lambda: not pending_events().exists())
    pump.finish(lambda: True)
    assert Event.objects.filter(state=S.ACKED).count() == 10_000
    assert sorted(id for post in bloomreach.posts[told:] for id in post.ids) == sorted(ids)


def analyze() -> None:
    """As the server does by itself a minute after many rows have changed."""
    for table in ("event", "message", "content", "queue"):
        change(f"ANALYZE messaging_{table}")


READ = """
SELECT (seq_tup_read + idx_tup_fetch)::int8 FROM pg_stat_xact_user_tables WHERE relname = 'messaging_event'
"""


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_a_claim_reads_little_whatever_the_statistics_say(bloomreach: Listener, mode: str) -> None:
    """A burst comes after the tables were last looked at: by then everything was told."""
    make_events(bloomreach, 1_000)
    Event.objects.update(state=S.ACKED)
    analyze()
    change(f"SET LOCAL plan_cache_mode = {mode}")
    make_events(bloomreach, 3_000)
    (before,) = column(READ, of=int)
    claimed = posting.claim(leases=[uuid7()])
    (after,) = column(READ, of=int)
    assert [len(post.events) for post in claimed] == [500]
    assert after - before < 20_000  # joined with all that is open: 1,500,000


def spin(pump: Pump, over: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not over():
        assert time.monotonic() < end
        if not pump.turn():
            pump.rest()


def test_the_probe_interval_of_a_destination_that_refuses_everything(
    bloomreach: Listener, settings: LazySettings
) -> None:
    settings.PROBE_EVERY = 300.0
    make_events(bloomreach, 600)
    bloomreach.answer = lambda post: 404
    started = timezone.now()
    for _ in range(30):
        Event.objects.filter(state=S.DUE).update(due_at=timezone.now())
        tell()

    assert len(bloomreach.posts) == circuit.TRIP
    address = Destination.objects.get()
    assert timedelta(seconds=300) <= address.open_until - started
    assert address.open_until - timezone.now() <= timedelta(seconds=300)
    assert (address.open_for, address.last_fault) == (300, "HTTP 404")


def test_flapping_does_not_use_up_the_tries_of_another_url(bloomreach: Listener) -> None:
    """One URL of the tenant works, the other fails: each closing wakes the failing events, but costs them nothing."""
    queue = factories.callback_queue(factories.make_tenant())
    failing = [make_event(bloomreach, queue=queue, path=f"/down/{n}") for n in range(circuit.TRIP)]
    bloomreach.answer = lambda post: 500 if post.path.startswith("/down") else 200
    for _ in range(15):
        for _ in failing:
            tell(1)
        make_event(bloomreach, queue=queue, path="/up")
        Destination.objects.update(open_until=LONG_AGO)
        tell(1)

    assert not undeliverable_events().exists()
    assert Event.objects.filter(state=S.ACKED).count() == 15
    assert max(pending_events().values_list("tries", flat=True)) <= 2


# ---- leases


def test_a_lost_lease_is_told_again_with_the_same_id(bloomreach: Listener) -> None:
    event = make_event(bloomreach)
    (lost,) = posting.claim(leases=[uuid7()])
    answer = posting.dial(lost, deadline=5)
    Event.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert sweep.lost_posts() == 1
    (again,) = posting.claim(leases=[uuid7()])
    posting.record([answer])  # too late: the row belongs to the second POST

    event.refresh_from_db()
    assert (event.state, event.lease, event.tries) == (S.LEASED, again.lease, 0)
    posting.record([posting.dial(again, deadline=5)])
    event.refresh_from_db()
    assert (event.state, event.tries) == (S.ACKED, 1)
    assert [post.ids for post in bloomreach.posts] == [[event.id], [event.id]]


def test_a_released_event_is_as_before(bloomreach: Listener) -> None:
    event = make_event(bloomreach, tries=3)
    lease = uuid7()
    posting.claim(leases=[lease])
    event.refresh_from_db()
    assert (event.state, event.lease) == (S.LEASED, lease)

    assert posting.give_back([lease]) == 1
    event.refresh_from_db()
    assert (event.state, event.tries, event.lease, event.lease_until) == (S.DUE, 3, None, None)
    assert posting.give_back([lease]) == 0


def test_paused_queues_and_open_addresses_are_left_alone(bloomreach: Listener) -> None:
    event = make_event(bloomreach)
    Queue.objects.update(paused_at=timezone.now())
    assert tell() == []
    Queue.objects.update(paused_at=None)
    Destination.objects.update(open_until=timezone.now() + timedelta(minutes=1))
    assert tell() == []
    Destination.objects.update(open_until=LONG_AGO)
    tell()
    event.refresh_from_db()
    assert event.state == S.ACKED


def test_an_event_that_cannot_be_written_dies_alone(
    bloomreach: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """Its content is gone: without care every claim of every pump would meet it for ever."""
    queue = factories.callback_queue(factories.make_tenant())
    broken, whole = (make_event(bloomreach, queue=queue) for _ in range(2))
    Content.objects.filter(pk=broken.message_id).delete()
    tell()

    broken.refresh_from_db()
    whole.refresh_from_db()
    assert (broken.state, whole.state) == (S.UNDELIVERABLE, S.ACKED)
    assert broken.last_error == "the event could not be written (AttributeError)"
    assert [post.ids for post in bloomreach.posts] == [[whole.id]]

    Event.objects.filter(pk=broken.pk).update(state=S.DUE)
    assert tell() == []  # alone: there is nothing to post
    broken.refresh_from_db()
    assert (broken.state, broken.lease) == (S.UNDELIVERABLE, None)
