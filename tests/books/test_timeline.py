"""A message's timeline: every kind of moment, in time order, in a handful of queries."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messaging.books.timeline import Entry, named, readable, timeline
from messaging.models import DeliveryReport, Exchange
from messaging.rules.ids import uuid7
from messaging.rules.values import Effect, EventKind, EventState, ExchangeKind, MessageState
from tests.factories import make_account, make_attempt, make_event, make_inbound, make_message, make_tenant
from vendors.values import Outcome, Status

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def facts(entry: Entry) -> dict[str, str]:
    return dict(entry.facts)


def report(attempt: Any, **fields: Any) -> DeliveryReport:
    exchange = Exchange.objects.create(
        at=fields["received_at"], kind=ExchangeKind.HOOK, request='{"status": "word"}'
    )
    return DeliveryReport.objects.create(
        **{
            **{
                "exchange_id": exchange.pk,
                "exchange_at": exchange.at,
                "account": attempt.account,
                "attempt": attempt,
            },
            **{"status": Status.DELIVERED, "vendor_status": "DELIVRD", "effect": Effect.APPLIED},
            "digest": exchange.pk.bytes,
            **fields,
        }
    )


def test_a_time_out_that_was_resolved(django_assert_num_queries: Any) -> None:
    account = make_account(make_tenant(slug="acme"), name="main")
    message = make_message(
        account=account,
        created_at=START,
        state=MessageState.DELIVERED,
        final_at=at(70),
        attempts=2,
        request_id="r-1",
    )
    first = make_attempt(
        message,
        created_at=at(1),
        ended_at=at(16),
        outcome=Outcome.UNKNOWN,
        code="timeout",
        text="no answer",
        absences=2,
    )
    second = make_attempt(
        message, created_at=at(65), ended_at=at(65.25), outcome=Outcome.TAKEN, vendor_id="v-2"
    )
    for owner, kind, when in ((first, ExchangeKind.LOOKUP, 46), (second, ExchangeKind.CALL, 65.25)):
        Exchange.objects.create(at=at(when), kind=kind, owner=owner.pk, request='{"a": 1}', response="")
    report(second, received_at=at(70), occurred_at=at(69), parts=2, text="to the handset")
    post = Exchange.objects.create(
        at=at(71), kind=ExchangeKind.POST, request='{"events": "of others too"}', response='{"status": 200}'
    )
    make_event(
        message, state=EventState.ACKED, created_at=at(70), acked_at=at(71), last_post=post.pk, tries=1
    )
    [message] = named("r-1")

    with django_assert_num_queries(6):
        told = timeline(message)

    assert [(entry.at, entry.kind, entry.title, entry.tone) for entry in told] == [
        (at(0), "accepted", "Accepted from Bloomreach", "plain"),
        (at(1), "attempt", "Attempt 1 as SMS through acme/main: unknown outcome", "open"),
        (at(46), "look-up", "Asked the vendor about attempt 1", "plain"),
        (at(65), "attempt", "Attempt 2 as SMS through acme/main: taken", "good"),
        (at(70), "report", "Report: delivered", "good"),
        (at(70), "final", "Final: delivered", "good"),
        (at(70), "callback", "To tell Bloomreach: delivered (final)", "good"),
        (at(71), "callback", "Bloomreach acknowledged: delivered (final)", "good"),
    ]
    assert facts(told[0]) == {
        "Request id": "r-1",
        "Channel": "SMS",
        "Worth sending until": "2026-01-02 07:04:05 UTC",
    }
    assert facts(told[1]) == {
        "Answer": "no answer",
        "Took": "15.0 s",
        "Code": "timeout",
        "Our reference": str(first.pk),
        "Look-ups that found nothing": "2",
    }
    assert facts(told[4]) == {
        "Vendor's words": "DELIVRD · to the handset",
        "Effect": "applied",
        "Attempt": "2",
        "Part": "1 of 2",
        "Vendor's time": "2026-01-02 03:05:14 UTC",
    }
    assert [exchange.title for entry in told for exchange in entry.exchanges] == [
        *("Question", "Call", "Report as it came", "Last callback answer")
    ]
    assert "of others too" not in repr([exchange.text for entry in told for exchange in entry.exchanges])


def test_a_longer_story_costs_no_more_queries(django_assert_max_num_queries: Any) -> None:
    message = make_message(state=MessageState.UNDELIVERED, created_at=START, final_at=at(9))
    for n in range(6):
        attempt = make_attempt(message, outcome=Outcome.TEMPORARY, created_at=at(n))
        report(attempt, received_at=at(n), status=Status.UNDELIVERED)
    for kind in (EventKind.SENT, EventKind.FINAL, EventKind.CORRECTION):
        make_event(message, kind=kind, last_post=uuid7())
    with django_assert_max_num_queries(6):
        assert len(timeline(message)) == 1 + 6 + 6 + 3 + 1


def test_a_message_that_waits_has_a_short_story(django_assert_max_num_queries: Any) -> None:
    message = make_message(created_at=START, request_id="")
    with django_assert_max_num_queries(6):
        [entry] = timeline(message)
    assert facts(entry)["Request id"] == "none: a test or a resend"


@pytest.mark.parametrize(
    ("state", "word", "tone"),
    [
        pytest.param(EventState.DUE, "waiting", "open", id="due"),
        pytest.param(EventState.LEASED, "being posted", "open", id="leased"),
        pytest.param(EventState.UNDELIVERABLE, "undeliverable", "bad", id="dead"),
    ],
)
def test_callbacks_that_are_not_acknowledged(state: EventState, word: str, tone: str) -> None:
    message = make_message(state=MessageState.FAILED, created_at=START, final_at=at(1), error_code="gave_up")
    error = {"code": "gave_up", "message": "Sorry", "vendor_code": ""}
    make_event(
        message,
        state=state,
        status="failed",
        tries=3,
        last_error="HTTP 500",
        error=error,
        created_at=at(1),
        due_at=at(60),
    )
    *_, final, callback = timeline(message)
    assert (final.title, final.tone, final.facts) == ("Final: failed", "bad", (("Reason", "gave_up"),))
    assert (callback.title, callback.tone) == ("To tell Bloomreach: failed (final)", tone)
    told = facts(callback)
    assert (told["State"], told["Tries"], told["Last answer"]) == (word, "3", "HTTP 500")
    assert json.loads(told["Error told"]) == error
    assert told.get("Next try") == ("2026-01-02 03:05:05 UTC" if state is EventState.DUE else None)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({}, True, id="an answer"),
        pytest.param({"recipient": "00421900000001"}, True, id="our number in another writing"),
        pytest.param({"recipient": "+421900000002"}, False, id="to another number of ours"),
        pytest.param({"sender": "+421900000777"}, False, id="from another handset"),
        pytest.param({"received_at": at(-1)}, False, id="before the message"),
        pytest.param({"received_at": at(73 * 3600)}, False, id="days later"),
    ],
)
def test_what_the_handset_wrote_back(fields: dict[str, Any], told: bool) -> None:
    message = make_message(created_at=START)
    make_inbound(message.account, **{"received_at": at(30), **fields})
    kinds = [entry.kind for entry in timeline(message)]
    assert kinds == (["accepted", "inbound"] if told else ["accepted"])


def test_another_tenants_inbound_is_not_told() -> None:
    message = make_message(created_at=START)
    make_inbound(make_account(), received_at=at(30))
    assert [entry.kind for entry in timeline(message)] == ["accepted"]


def test_named_by_request_id_in_every_tenant_and_channel() -> None:
    sms = make_message(request_id="same", created_at=START)
    mms = make_message(request_id="same", created_at=at(1), channel="mms", account=sms.account)
    other = make_message(request_id="same", created_at=at(2))
    make_message(request_id="another")
    assert [message.pk for message in named("same")] == [sms.pk, mms.pk, other.pk]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        pytest.param('{"a":{"b":1}}', '{\n  "a": {\n    "b": 1\n  }\n}', id="json"),
        pytest.param('"\\u010d"', '"č"', id="letters"),
        pytest.param("<html>", "<html>", id="not json"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_readable(stored: str, shown: str) -> None:
    assert readable(stored) == shown
