"""Trying shapes against somebody on loopback who takes one of them only."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from accounts.models import Tenant
from messaging.callbacks import signing
from messaging.models import Event, Message
from messaging.onboarding import wire_probe
from messaging.onboarding.wire_probe import CannotProbe
from messaging.rules.values import EventState, MessageState
from tests import factories, listener
from tests.listener import Answer, Listener, Received

pytestmark = pytest.mark.django_db

SECRET, OLDER = "callback-secret", "older-callback-secret"
SHAPES = list(itertools.product(("events", ""), ("snake", "camel"), (False, True)))
IDS = [f"{key or 'bare'}-{spelling}-{'Bearer' if bearer else 'raw'}" for key, spelling, bearer in SHAPES]


@pytest.fixture
def bloomreach(settings: LazySettings) -> Iterator[Listener]:
    settings.DEMO = True  # lets callbacks dial loopback
    with listener.serving() as running:
        yield running


def takes(
    key: str, spelling: str, bearer: bool, *, secret: str = SECRET, refusal: int = 400
) -> Callable[[Received], Answer]:
    """Bloomreach, as if it knew this shape and no other."""

    def answer(post: Received) -> Answer:
        header = post.headers["Authorization"]
        try:
            signing.verify(header, secret)
        except signing.BadToken:
            return 401
        if header.startswith("Bearer ") is not bearer:
            return 403
        value = json.loads(post.body)
        if isinstance(value, list) if key else not isinstance(value, list):
            return refusal
        (event,) = value[key] if key else value
        return 200 if ("customData" if spelling == "camel" else "custom_data") in event else 422

    return answer


def a_test_message(bloomreach: Listener, tenant: Tenant, **overrides: Any) -> Message:
    """A delivered test message of the tenant, whose callbacks go to the listener."""
    return factories.make_message(
        account=factories.make_account(tenant),
        **{"state": MessageState.DELIVERED, "request_id": "", **overrides},
        content={"callback_url": bloomreach.url(), "custom_data": "of-a-test", "metadata": {"a_b": 1}},
    )


@pytest.mark.parametrize(("key", "spelling", "bearer"), SHAPES, ids=IDS)
@pytest.mark.parametrize(
    "start", [{}, {"spelling": "camel", "outbound": "", "bearer": True}], ids=["default", "other"]
)
def test_each_of_the_eight_shapes_is_found_in_at_most_eight_posts(
    bloomreach: Listener, key: str, spelling: str, bearer: bool, start: dict[str, Any]
) -> None:
    tenant = factories.make_tenant(wire_profile=start)
    a_test_message(bloomreach, tenant)
    bloomreach.answer = takes(key, spelling, bearer)

    probed = wire_probe.probe(tenant, wire_probe.subject(tenant))

    assert probed.found, probed
    assert len(bloomreach.posts) == len(probed.steps) <= 8
    assert len(
        {(post.body, post.headers["Authorization"][:7] == "Bearer ") for post in bloomreach.posts}
    ) == len(bloomreach.posts)
    tenant.refresh_from_db()
    expected = {"spelling": spelling, "outbound": key, "bearer": bearer}
    usual = {"spelling": "snake", "outbound": "events", "bearer": False}
    assert tenant.wire_profile == {name: value for name, value in expected.items() if usual[name] != value}
    assert tenant.secret_in_use == "current"
    again = wire_probe.probe(tenant, wire_probe.subject(tenant))
    assert (len(again.steps), again.changed) == (1, ())


def test_the_previous_secret_comes_last(bloomreach: Listener) -> None:
    tenant = factories.make_tenant(callback_secret_previous=OLDER)
    a_test_message(bloomreach, tenant)
    bloomreach.answer = takes("", "camel", True, secret=OLDER)

    probed = wire_probe.probe(tenant, wire_probe.subject(tenant))

    assert len(probed.steps) == 16
    assert probed.found == 'a bare array, camelCase, "Bearer " before the token, the previous secret'
    tenant.refresh_from_db()
    assert (tenant.secret_in_use, tenant.wire_profile["bearer"]) == ("previous", True)


@pytest.mark.parametrize("status", [404, 408, 409, 429, 500, 503, 302])
def test_an_answer_that_is_not_about_the_shape_ends_it(bloomreach: Listener, status: int) -> None:
    tenant = factories.make_tenant()
    a_test_message(bloomreach, tenant)
    bloomreach.answer = lambda post: status

    probed = wire_probe.probe(tenant, wire_probe.subject(tenant))

    assert [step.answer for step in probed.steps] == [f"HTTP {status}"]
    assert probed.why == f"HTTP {status} is not about the shape: no other would help"
    assert Tenant.objects.get().wire_profile == {}


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_who_takes_none_has_heard_all_of_them(bloomreach: Listener, status: int) -> None:
    tenant = factories.make_tenant()
    a_test_message(bloomreach, tenant)
    bloomreach.answer = lambda post: status
    probed = wire_probe.probe(tenant, wire_probe.subject(tenant))
    assert (len(probed.steps), probed.found, probed.why) == (8, "", "none of the shapes was taken")
    assert Tenant.objects.get().wire_profile == {}


def test_nobody_answers(bloomreach: Listener) -> None:
    tenant = factories.make_tenant()
    a_test_message(bloomreach, tenant)
    about = wire_probe.subject(tenant, url="http://127.0.0.1:1/hook")
    probed = wire_probe.probe(tenant, about)
    assert len(probed.steps) == 1
    assert probed.why.startswith("no connection")


def test_what_is_told_is_the_event_of_the_test_message(bloomreach: Listener) -> None:
    tenant = factories.make_tenant()
    message = a_test_message(bloomreach, tenant)
    event = factories.make_event(message, url=bloomreach.url())
    real = factories.make_message(account=message.account, state=MessageState.DELIVERED)
    factories.make_event(real, url=bloomreach.url())

    wire_probe.probe(tenant, wire_probe.subject(tenant))

    (told,) = bloomreach.posts[0].events
    assert (told["event_id"], told["message_id"], told["custom_data"], told["metadata"]) == (
        str(event.pk),
        str(message.pk),
        "of-a-test",
        {"a_b": 1},
    )
    assert (told["request_id"], told["status"]) == (None, "delivered")
    assert set(Event.objects.values_list("state", "tries")) == {(EventState.DUE, 0)}


def test_real_messages_are_never_used(bloomreach: Listener) -> None:
    tenant = factories.make_tenant()
    real = a_test_message(bloomreach, tenant, request_id="r-1")
    with pytest.raises(CannotProbe, match="no test message"):
        wire_probe.subject(tenant, message_id=real.pk)
    with pytest.raises(CannotProbe, match="no such message"):
        wire_probe.subject(tenant, message_id=uuid4())
    stranger = a_test_message(bloomreach, factories.make_tenant())
    with pytest.raises(CannotProbe, match="no such message"):
        wire_probe.subject(tenant, message_id=stranger.pk)
    with pytest.raises(CannotProbe, match="Say where to"):
        wire_probe.subject(tenant)
    made_up = wire_probe.subject(tenant, url=bloomreach.url())
    assert (made_up.event["request_id"], made_up.event["custom_data"]) == (None, "eyJjYW1wYWlnbiI6NDJ9")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("https://elsewhere.example/hook", "not allowed", id="another host"),
        pytest.param("http://cloud-api.bloomreach.co/hook", "https", id="no https"),
        pytest.param("https://169.254.169.254/", "not allowed", id="an address"),
    ],
)
def test_only_where_callbacks_may_go(url: str, words: str) -> None:
    with pytest.raises(CannotProbe, match=words):
        wire_probe.subject(factories.make_tenant(), url=url)


@pytest.mark.parametrize(("key", "spelling", "bearer"), SHAPES, ids=IDS)
def test_inbound_has_an_envelope_of_its_own(
    bloomreach: Listener, key: str, spelling: str, bearer: bool
) -> None:
    tenant = factories.make_tenant(inbound_url_sms=bloomreach.url("/in"), wire_profile={"outbound": "data"})

    def answer(post: Received) -> int:
        value = json.loads(post.body)
        fits = (
            isinstance(value, list) is (key == "")
            and post.headers["Authorization"].startswith("Bearer ") is bearer
        )
        return 200 if fits and ("messageId" in post.events[0]) is (spelling == "camel") else 400

    bloomreach.answer = answer
    probed = wire_probe.probe(tenant, wire_probe.inbound_subject(tenant))
    assert probed.found and len(bloomreach.posts) <= 8
    tenant.refresh_from_db()
    assert tenant.wire_profile["outbound"] == "data"
    assert tenant.wire_profile.get("inbound", "events") == key
    assert bloomreach.posts[0].events[0]["from"] == "00421900000150"


def test_inbound_needs_its_address() -> None:
    with pytest.raises(CannotProbe, match="no inbound URL"):
        wire_probe.inbound_subject(factories.make_tenant())


def test_shapes_that_clash_with_own_keys_are_left_out(bloomreach: Listener) -> None:
    tenant = factories.make_tenant(wire_profile={"extra": {"customData": "x"}})
    a_test_message(bloomreach, tenant)
    bloomreach.answer = lambda post: 400
    assert len(wire_probe.probe(tenant, wire_probe.subject(tenant)).steps) == 4


# ---- the command


def command(*args: str) -> str:
    out = StringIO()
    call_command("wire", "probe", *args, stdout=out)
    return out.getvalue()


def test_the_command_finds_and_stores(bloomreach: Listener) -> None:
    tenant = factories.make_tenant(slug="acme")
    a_test_message(bloomreach, tenant)
    bloomreach.answer = takes("", "snake", False)
    assert command("--tenant", "acme", "--dry-run") == (
        f"Up to 8 test callbacks go to {bloomreach.url()}. Nothing was sent.\n"
    )
    assert bloomreach.posts == []
    said = command("--tenant", "acme", "--yes").splitlines()
    assert said[-2:] == ["Taken: a bare array, snake_case, the bare token", 'outbound: "events" → ""']
    assert said[0] == 'HTTP 400  {"events": […]}, snake_case, the bare token'


@pytest.mark.parametrize(
    ("args", "words"),
    [
        pytest.param([], "name the tenant", id="no tenant"),
        pytest.param(["--tenant", "acme"], "Say where to", id="nowhere"),
        pytest.param(["--tenant", "acme", "--inbound"], "no inbound URL", id="no inbound URL"),
        pytest.param(
            ["--tenant", "acme", "--url", "https://elsewhere.example/"], "not allowed", id="elsewhere"
        ),
    ],
)
def test_the_command_says_why_not(args: list[str], words: str) -> None:
    factories.make_tenant(slug="acme")
    with pytest.raises(CommandError, match=words):
        command(*args)


def test_the_command_fails_when_none_was_taken(bloomreach: Listener) -> None:
    factories.make_tenant(slug="acme")
    bloomreach.answer = lambda post: 400
    with pytest.raises(CommandError, match="none of the shapes"):
        command("--tenant", "acme", "--url", bloomreach.url(), "--yes")


def test_the_command_asks_first(bloomreach: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    factories.make_tenant(slug="acme")
    monkeypatch.setattr("builtins.input", lambda words: "n")
    with pytest.raises(CommandError, match="nothing was sent"):
        command("--tenant", "acme", "--url", bloomreach.url())
    assert bloomreach.posts == []
