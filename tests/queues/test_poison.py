"""Sick messages beside healthy ones: what a vendor answers about one message is not the vendor's fault.

The clock is moved by hand: rows are made older by a second at a time, so an hour takes as long as its calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from messaging.models import Message, ProviderAccount, Queue, SenderRate
from messaging.models.queue import LONG_AGO
from messaging.models.sql import change
from messaging.queues import circuit
from messaging.queues.circuit import Blame, Note
from messaging.rules.values import MessageState
from tests import factories
from tests.stand_ins import Heard, Said, Vendor, account_at, claim, queue_of, send

pytestmark = pytest.mark.django_db

S = MessageState
REFUSED = json.dumps({"error": {"code": "5001", "message": "no"}}).encode()  # surely not taken
OLDER = """
WITH m AS (UPDATE messaging_message SET due_at = due_at - %(by)s, expires_at = expires_at - %(by)s
           WHERE state IN (0, 2))
UPDATE messaging_queue SET open_until = open_until - %(by)s, refilled_at = refilled_at - %(by)s
"""
HEALTHY = range(100, 110)  # the last three digits of recipients


def make(account: ProviderAccount, numbers: range) -> list[Message]:
    """Messages to as many recipients, due in this order."""
    return [factories.make_message(account=account, recipient=f"+421900000{n}") for n in numbers]


def sick(vendor: Vendor, status: int, body: bytes = REFUSED) -> None:
    """The vendor takes what goes to healthy numbers, and gives everything else this answer."""

    def said(heard: Heard) -> Said:
        to = json.loads(heard.body)["to"]
        if int(to[-3:]) in HEALTHY:
            return 202, {}, json.dumps({"ids": [f"v-{to}"]}).encode()
        return status, {}, body

    vendor.queued.extend([said] * 5_000)


def seconds_until(over: Callable[[], bool], *, most: int, step: int = 1) -> int:
    """How many seconds a pump needs that claims and sends whatever it may at each step."""
    for second in range(0, most + 1, step):
        while claimed := claim():
            send(claimed)
        if over():
            return second
        change(OLDER, {"by": timedelta(seconds=step)})
    raise AssertionError(f"not over after {most} s")


def all_tried(messages: list[Message]) -> Callable[[], bool]:
    ids = [message.pk for message in messages]
    return lambda: not Message.objects.filter(pk__in=ids, attempts=0).exists()


@pytest.mark.parametrize(
    "limit", [pytest.param(None, id="no limits"), pytest.param(100, id="a sender's limit")]
)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(500, REFUSED, id="surely not taken"),
        pytest.param(500, b"", id="perhaps taken"),
        pytest.param(200, b"<html>", id="unreadable"),
    ],
)
def test_healthy_messages_behind_forty_sick_ones_are_tried_within_seconds(
    vendor: Vendor, status: int, body: bytes, limit: int | None
) -> None:
    account = account_at(vendor)
    if limit is not None:
        SenderRate.objects.create(queue=account.queue, sender=factories.SENDER, rate=limit, tokens=limit)
    make(account, range(500, 540))
    healthy = make(account, HEALTHY)
    sick(vendor, status, body)

    assert seconds_until(all_tried(healthy), most=60) <= 10
    assert {Message.objects.get(pk=message.pk).state for message in healthy} == {S.SENT}
    assert queue_of(account).ok_at is not None


def test_healthy_messages_behind_very_many_sick_ones_keep_their_validity(vendor: Vendor) -> None:
    account = account_at(vendor)
    make(account, range(300, 526))
    healthy = make(account, HEALTHY)
    sick(vendor, 500)

    assert seconds_until(all_tried(healthy), most=600) <= 150


def test_one_recipient_says_nothing_about_the_vendor(vendor: Vendor) -> None:
    """Thirty messages to one number: however often they fail, the others go."""
    account = account_at(vendor)
    for _ in range(30):
        make(account, range(500, 501))
    sick(vendor, 500)
    while claimed := claim():
        send(claimed)

    queue = queue_of(account)
    assert (len(vendor.posts), queue.faults, queue.open_for) == (30, 1, 0)
    assert queue.last_fault == "HTTP 500: no"


@pytest.mark.parametrize(
    ("answer", "most"),
    [
        pytest.param((503, REFUSED), 80, id="503"),
        pytest.param(None, 50, id="nobody listens"),
    ],
)
def test_a_vendor_that_is_down_gets_few_calls_and_uses_up_nothing(
    vendor: Vendor, answer: tuple[int, bytes] | None, most: int
) -> None:
    """Twenty minutes of it, with sixty messages waiting; and then it is back."""
    account = account_at(vendor)
    made = make(account, range(500, 560))
    if answer is None:
        account.settings["base_url"] = "http://127.0.0.1:9"
        account.save()
    else:
        vendor.queued.extend([(answer[0], {}, answer[1])] * 5_000)

    with pytest.raises(AssertionError, match="not over"):
        seconds_until(lambda: False, most=1200, step=10)

    rows = Message.objects.filter(pk__in=[message.pk for message in made])
    assert {row.state for row in rows} <= {S.ACCEPTED, S.RETRYING}
    assert sum(row.attempts for row in rows) <= most
    assert max(row.attempts for row in rows) <= 6

    vendor.queued.clear()
    account.settings["base_url"] = vendor.url
    account.save()
    assert seconds_until(lambda: set(rows.values_list("state", flat=True)) == {S.SENT}, most=90) <= 61


def half_open(account: ProviderAccount, blame: Blame, *, faults: int = circuit.TRIP) -> None:
    circuit.note({account.queue_id: [Note(ok=False, blame=blame)] * faults})
    Queue.objects.filter(pk=account.queue_id).update(open_until=LONG_AGO)


@pytest.mark.parametrize(
    ("blame", "new", "retried"),
    [
        pytest.param(Blame.SILENCE, 1, 0, id="silence: one by one"),
        pytest.param(Blame.SERVICE, 1, 1, id="unavailable: one of each"),
        pytest.param(Blame.MESSAGE, 4, 4, id="it answers: half of each"),
    ],
)
def test_probes_are_new_and_retried_ones_in_turn(
    vendor: Vendor, blame: Blame, new: int, retried: int
) -> None:
    account = account_at(vendor)
    Queue.objects.filter(pk=account.queue_id).update(cap=8)
    for n in range(20):
        factories.make_message(
            account=account, state=S.RETRYING, attempts=1, recipient=f"+421900000{500 + n}"
        )
    make(account, range(600, 620))
    half_open(account, blame)

    claimed = {item.message_id for item in claim()}
    assert claim() == []  # the others wait for what these find out
    attempts = sorted(Message.objects.filter(pk__in=claimed).values_list("attempts", flat=True))
    assert attempts == [1] * new + [2] * retried


def test_single_probes_alternate(vendor: Vendor) -> None:
    account = account_at(vendor)
    for n in range(5):
        factories.make_message(
            account=account, state=S.RETRYING, attempts=1, recipient=f"+421900000{500 + n}"
        )
    make(account, range(600, 605))
    account.settings["base_url"] = "http://127.0.0.1:9"
    account.save()
    half_open(account, Blame.SILENCE)

    seen = []
    for _ in range(6):
        claimed = claim()
        seen += [Message.objects.get(pk=item.message_id).attempts for item in claimed]
        send(claimed)
        Queue.objects.filter(pk=account.queue_id).update(open_until=LONG_AGO)
    assert seen == [1, 2, 1, 2, 1, 2]
