"""A message that its account can never carry, found before the call: another account, the fallback text, or the end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from messaging.models import Message, ProviderAccount, Queue
from messaging.rules.values import MessageState
from messaging.worker import moving
from outbound.values import HttpRequest
from tests import factories
from tests.stand_ins import (
    API_KEY,
    Strange,
    Vendor,
    account_at,
    claim,
    events_of,
    fresh,
    only_attempt,
    queue_of,
    send,
)
from vendors import registry
from vendors.values import Channel

pytestmark = pytest.mark.django_db

S = MessageState
FILES = [{"url": f"https://media.example/{n}.jpg", "content_type": "", "name": ""} for n in range(2)]
MMS = {"text": "Look", "media": FILES}
WITH_FALLBACK = {**MMS, "fallback_text": "See https://media.example"}


@pytest.fixture(autouse=True)
def _from_the_beginning() -> None:
    moving._seen.clear()


def sinch(vendor: Vendor, **overrides: Any) -> ProviderAccount:
    """An account that carries one file in an MMS."""
    adapter = registry.adapter("sinch")
    values = {"region": "eu", "service_plan_id": "plan", "api_token": API_KEY, "base_url": vendor.url}
    cleaned = adapter.clean(values)
    del cleaned["api_token"]
    return factories.make_account(
        vendor="sinch", settings=cleaned, secrets={"api_token": API_KEY}, **overrides
    )


def mms(account: ProviderAccount, content: dict[str, Any], **overrides: Any) -> Message:
    return factories.make_message(account=account, channel=Channel.MMS, content=content, **overrides)


def test_the_fallback_text_goes_as_sms(vendor: Vendor) -> None:
    vendor.will(201, {"id": "b-1"})
    message = mms(sinch(vendor), WITH_FALLBACK)
    send(claim())
    assert vendor.heard == []
    assert (fresh(message).message_state, fresh(message).send_as) == (S.ACCEPTED, "sms")
    send(claim())
    (heard,) = vendor.posts
    body = json.loads(heard.body)
    assert (body["type"], body["body"]) == ("mt_text", "See https://media.example")
    assert (fresh(message).message_state, queue_of(message.account).faults) == (S.SENT, 0)


def test_without_a_fallback_text_it_ends_and_says_why(vendor: Vendor) -> None:
    message = mms(sinch(vendor), MMS)
    send(claim())
    assert (vendor.heard, fresh(message).message_state) == ([], S.FAILED)
    (event,) = events_of(message)
    assert event.error == {
        "code": "mms_unsupported",
        "message": "media must not name more than one file: this account carries no more",
        "vendor_code": "",
    }
    queue = queue_of(message.account)
    assert (queue.faults, queue.ok_at) == (0, None)


@pytest.mark.parametrize("content", [MMS, WITH_FALLBACK], ids=["without a fallback", "with one"])
def test_an_account_that_can_carry_it_comes_before_the_fallback(
    vendor: Vendor, content: dict[str, Any]
) -> None:
    first = sinch(vendor, position=1)
    second = account_at(vendor, tenant=first.tenant, position=2)
    message = mms(first, content)
    send(claim())
    assert (fresh(message).account_id, fresh(message).send_as) == (second.pk, "mms")
    send(claim())
    assert (fresh(message).message_state, len(vendor.posts)) == (S.SENT, 1)


def test_a_refused_mms_moves_to_no_account_that_cannot_carry_it(vendor: Vendor) -> None:
    vendor.will(401)
    first = account_at(vendor, position=1)
    sinch(vendor, tenant=first.tenant, position=2)
    third = account_at(vendor, tenant=first.tenant, position=3)
    message = mms(first, MMS)
    send(claim())
    assert (only_attempt(message).outcome, fresh(message).account_id) == ("configuration", third.pk)


@pytest.mark.parametrize(
    ("content", "moves"), [({**MMS, "media": FILES[:1]}, True), (MMS, False)], ids=["one file", "two files"]
)
def test_what_waits_moves_to_no_account_that_cannot_carry_it(
    vendor: Vendor, content: dict[str, Any], moves: bool
) -> None:
    first = account_at(vendor, position=1)
    second = sinch(vendor, tenant=first.tenant, position=2)
    message = mms(first, content)
    Queue.objects.filter(pk=first.queue_id).update(paused_at=datetime(2024, 1, 1, tzinfo=UTC))
    assert moving.move_waiting() == int(moves)
    assert fresh(message).account_id == (second.pk if moves else first.pk)


def test_a_text_that_is_too_long_ends_an_sms(vendor: Vendor) -> None:
    message = factories.make_message(account=sinch(vendor), content={"text": "a" * 2001})
    send(claim())
    assert (vendor.heard, fresh(message).message_state) == ([], S.FAILED)
    assert fresh(message).error_code == "content_refused"


# An adapter that raises where no limit was declared.


def boom(*args: Any) -> HttpRequest:
    raise KeyError("price")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, vendor: Vendor) -> ProviderAccount:
    monkeypatch.setitem(registry.ADAPTERS, "strange", Strange(build=boom, url=vendor.url))
    return factories.make_account(vendor="strange", secrets={"api_key": API_KEY}, position=1)


def test_an_mms_that_cannot_be_built_falls_back(
    broken: ProviderAccount, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = mms(broken, WITH_FALLBACK)
    send(claim())
    assert (fresh(message).message_state, fresh(message).send_as) == (S.ACCEPTED, "sms")
    assert only_attempt(message).code == "build_error"
    monkeypatch.setitem(registry.ADAPTERS, "strange", Strange(url=vendor.url))
    send(claim())
    assert (fresh(message).message_state, len(vendor.posts)) == (S.SENT, 1)


@pytest.mark.parametrize("channel", ["sms", "mms"])
def test_what_cannot_be_built_for_one_account_goes_through_another(
    broken: ProviderAccount, vendor: Vendor, channel: str
) -> None:
    second = account_at(vendor, tenant=broken.tenant, position=2)
    message = factories.make_message(account=broken, channel=channel, content=WITH_FALLBACK)
    send(claim())
    assert (fresh(message).account_id, fresh(message).send_as) == (second.pk, channel)
    send(claim())
    assert (fresh(message).message_state, len(vendor.posts)) == (S.SENT, 1)
