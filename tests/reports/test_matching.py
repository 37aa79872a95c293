"""Delivery reports: early, twice, out of order, in parts, unreadable, and about nobody we know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import transaction
from django.utils import timezone
from prometheus_client import REGISTRY, generate_latest

from messaging.evidence import weighing
from messaging.models import (
    Attempt,
    AttemptPart,
    DeliveryReport,
    Event,
    Exchange,
    InboundMessage,
    Inbox,
    Message,
    ProviderAccount,
)
from messaging.reports import inbox, matching
from messaging.rules import backoff
from messaging.rules.ids import uuid7
from messaging.rules.values import Effect, MessageState
from simulator.adapter import Simulator
from tests import factories
from vendors import registry
from vendors.values import Credentials, HookRequest, Inbound, Outcome, SendResult, Status
from vendors.values import Report as Told

pytestmark = pytest.mark.django_db

S = MessageState


def hook(account: ProviderAccount, body: Any, **stored: Any) -> Inbox:
    """A vendor's call as the hook leaves it: raw row and inbox row."""
    text = body if isinstance(body, str) else json.dumps(body)
    request = {"method": "POST", "url": "", "path": "", "query": {}, "headers": {}, "body": text} | stored
    exchange = Exchange.objects.create(
        at=timezone.now(), kind="hook", account=account, request=json.dumps(request)
    )
    return Inbox.objects.create(exchange_id=exchange.id, exchange_at=exchange.at, account=account)


def report(account: ProviderAccount, status: str, **said: Any) -> Inbox:
    return hook(account, {"type": "report", "status": status, **said})


def make_sent(*, vendor_id: str = "v1", parts: int = 1, account: ProviderAccount | None = None) -> Attempt:
    """A taken attempt of a sent message; later parts are v1-2, v1-3…"""
    message = factories.make_message(account=account, state=S.SENT, attempts=1)
    attempt = factories.make_attempt(message, outcome=Outcome.TAKEN, vendor_id=vendor_id, parts=parts)
    for part in range(2, parts + 1):
        AttemptPart.objects.create(
            account=message.account, vendor_id=f"{vendor_id}-{part}", attempt=attempt, part=part
        )
    return attempt


def take() -> None:
    """One turn of a pump."""
    inbox.read()
    matching.apply()


def state_of(attempt: Attempt) -> MessageState:
    return Message.objects.get(pk=attempt.message_id).message_state


def effects() -> list[str]:
    return list(DeliveryReport.objects.order_by("id").values_list("effect", flat=True))


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


# ---- matching


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(lambda attempt: {"reference": str(attempt.id)}, id="reference"),
        pytest.param(lambda attempt: {"id": "v1"}, id="vendor id"),
        pytest.param(lambda attempt: {"reference": str(attempt.id), "id": "other"}, id="reference first"),
        pytest.param(lambda attempt: {"reference": "not ours", "id": "v1"}, id="foreign reference"),
        pytest.param(lambda attempt: {"reference": str(uuid7()), "id": "v1"}, id="unknown reference"),
        pytest.param(lambda attempt: {"reference": str(attempt.id).upper()}, id="reference in capitals"),
    ],
)
def test_how_an_attempt_is_found(names: Any) -> None:
    attempt = make_sent()
    report(attempt.account, "DELIVRD", **names(attempt))
    take()

    assert state_of(attempt) is S.DELIVERED
    assert effects() == [Effect.APPLIED]
    assert (DeliveryReport.objects.get().attempt_id, DeliveryReport.objects.get().due_at) == (
        attempt.id,
        None,
    )
    assert not Inbox.objects.exists()
    attempt.refresh_from_db()
    assert attempt.status == Status.DELIVERED


def test_a_vendor_id_that_is_used_again_means_the_newest_attempt() -> None:
    old = make_sent()
    Attempt.objects.update(created_at=timezone.now() - timedelta(days=9))
    new = make_sent(account=old.account)
    report(old.account, "DELIVRD", id="v1")
    take()

    assert (state_of(old), state_of(new)) == (S.SENT, S.DELIVERED)


@pytest.mark.parametrize("by", ["reference", "id", "part"])
def test_another_tenants_account_matches_nothing(by: str) -> None:
    attempt = make_sent(parts=2)
    stranger = factories.make_account()
    said = {"reference": {"reference": str(attempt.id)}, "id": {"id": "v1"}, "part": {"id": "v1-2"}}[by]
    report(stranger, "DELIVRD", **said)
    take()

    assert state_of(attempt) is S.SENT
    assert effects() == [Effect.UNMATCHED]
    attempt.refresh_from_db()
    assert attempt.status is None


def test_an_empty_vendor_id_matches_nothing() -> None:
    attempt = make_sent(vendor_id="")
    report(attempt.account, "DELIVRD", id="")
    take()

    assert (state_of(attempt), effects()) == (S.SENT, [Effect.UNMATCHED])


def test_the_report_overtakes_the_answer() -> None:
    """By our reference it is found at once; the answer that follows changes nothing."""
    message = factories.make_message(state=S.SENDING, attempts=1)
    attempt = factories.make_attempt(message)
    report(message.account, "DELIVRD", reference=str(attempt.id), parts=1)
    take()
    assert state_of(attempt) is S.DELIVERED

    answer(attempt, SendResult(Outcome.TAKEN, vendor_id="v1", part_ids=("v1",)))
    assert state_of(attempt) is S.DELIVERED
    assert Event.objects.filter(message=message, kind=1).count() == 1


def answer(attempt: Attempt, result: SendResult) -> None:
    with transaction.atomic():
        weighing.apply([weighing.AnswerEvidence(attempt.message_id, attempt.id, result)])


def test_unmatched_reports_wait_by_the_table_and_end_as_orphans() -> None:
    account = factories.make_account()
    report(account, "DELIVRD", id="never")
    inbox.read()
    waits = []
    for _ in backoff.MATCH_DELAYS:
        DeliveryReport.objects.update(due_at=timezone.now())
        assert matching.apply() == 1
        row = DeliveryReport.objects.get()
        assert row.effect == Effect.UNMATCHED
        assert row.due_at is not None
        waits.append((row.due_at - timezone.now()).total_seconds())
    assert waits == pytest.approx(list(backoff.MATCH_DELAYS), abs=1)
    assert sum(backoff.MATCH_DELAYS) == 72 * 3600

    DeliveryReport.objects.update(due_at=timezone.now())
    matching.apply()
    row = DeliveryReport.objects.get()
    assert (row.effect, row.due_at, row.attempt_id) == (Effect.ORPHAN, None, None)
    assert matching.apply() == 0


@pytest.mark.parametrize("part", [pytest.param(1, id="first id"), pytest.param(2, id="id of a later part")])
def test_the_vendor_id_wakes_the_report_that_waits_for_it(part: int) -> None:
    message = factories.make_message(state=S.SENDING, attempts=1)
    attempt = factories.make_attempt(message)
    name = "v1" if part == 1 else "v1-2"
    report(message.account, "UNDELIV", id=name, part=part, parts=2, error="30003")
    take()
    assert effects() == [Effect.UNMATCHED]
    assert matching.apply() == 0  # it waits

    answer(attempt, SendResult(Outcome.TAKEN, vendor_id="v1", part_ids=("v1", "v1-2")))
    assert matching.apply() == 1

    assert (state_of(attempt), effects()) == (S.UNDELIVERED, [Effect.APPLIED])


def test_an_answer_wakes_only_its_own_reports() -> None:
    message = factories.make_message(state=S.SENDING, attempts=1)
    attempt = factories.make_attempt(message)
    report(message.account, "DELIVRD", id="other")
    report(factories.make_account(), "DELIVRD", id="v1")
    take()
    answer(attempt, SendResult(Outcome.TAKEN, vendor_id="v1"))

    assert matching.apply() == 0


# ---- twice, several, out of order


def test_the_same_report_twice_is_one_row() -> None:
    attempt = make_sent()
    for _ in range(2):
        report(attempt.account, "DELIVRD", id="v1")
    take()
    report(attempt.account, "DELIVRD", id="v1")
    take()

    assert effects() == [Effect.APPLIED]
    assert Event.objects.filter(kind=1).count() == 1
    assert not Inbox.objects.exists()
    assert Exchange.objects.count() == 3


def test_the_same_words_of_two_vendors_are_two_reports() -> None:
    first, second = make_sent(), make_sent()
    for attempt in (first, second):
        report(attempt.account, "DELIVRD", id="v1")
    take()

    assert (state_of(first), state_of(second)) == (S.DELIVERED, S.DELIVERED)


@pytest.mark.parametrize("together", [True, False])
def test_final_before_sent(together: bool) -> None:
    attempt = make_sent()
    report(attempt.account, "UNDELIV", id="v1", error="30003", text="Absent subscriber")
    if not together:
        take()
    report(attempt.account, "ENROUTE", id="v1")
    take()

    assert (state_of(attempt), effects()) == (S.UNDELIVERED, [Effect.APPLIED, Effect.STORED])
    event = Event.objects.get()
    assert event.error == {"code": "undelivered", "message": "Absent subscriber", "vendor_code": "30003"}


def test_a_final_that_contradicts_is_kept_and_not_told() -> None:
    attempt = make_sent()
    report(attempt.account, "DELIVRD", id="v1")
    take()
    report(attempt.account, "UNDELIV", id="v1")
    take()

    assert (state_of(attempt), effects()) == (S.DELIVERED, [Effect.APPLIED, Effect.CONTRADICTION])
    assert Event.objects.count() == 1


def test_the_vendors_time_is_told(settings: LazySettings) -> None:
    attempt = make_sent()
    report(attempt.account, "DELIVRD", id="v1", occurred_at="2026-01-02T03:04:05.5+02:00")
    take()

    assert Event.objects.get().occurred_at == datetime(2026, 1, 2, 1, 4, 5, 500000, tzinfo=UTC)


class Bulk(Simulator):
    """Several reports and inbound messages in one call; a part is known by its id alone."""

    key = "bulk"

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Told | Inbound]:
        items = json.loads(hook.body)
        if items == "raise":
            raise RuntimeError("a bug of the adapter")
        return [_item(item) for item in items]


def _item(item: Mapping[str, Any]) -> Told | Inbound:
    if "sender" in item:
        return Inbound(**item)
    return Told(**({"vendor_status": item["status"]} | item | {"status": Status(item["status"])}))


@pytest.fixture
def bulk(monkeypatch: pytest.MonkeyPatch) -> ProviderAccount:
    monkeypatch.setitem(registry.ADAPTERS, "bulk", Bulk())
    return factories.make_account(vendor="bulk")


def test_several_in_one_call(bulk: ProviderAccount) -> None:
    attempts = [make_sent(vendor_id=f"v{n}", account=bulk) for n in range(4)]
    said = [{"status": "delivered", "vendor_id": f"v{n}"} for n in range(3)]
    inbound = {"vendor_id": "mo1", "sender": "+421900000123", "recipient": "1234", "text": "STOP"}
    hook(bulk, [*said, {"status": "expired", "vendor_id": "v3"}, inbound, said[0]])
    take()

    assert [state_of(attempt) for attempt in attempts] == [S.DELIVERED] * 3 + [S.EXPIRED]
    assert DeliveryReport.objects.count() == 4
    assert InboundMessage.objects.get().text == "STOP"


# ---- parts


def test_delivered_when_all_parts_are() -> None:
    attempt = make_sent(parts=3)
    for part, expected in ((3, S.SENT), (1, S.SENT), (2, S.DELIVERED)):
        report(attempt.account, "DELIVRD", id="v1" if part == 1 else f"v1-{part}", part=part)
        take()
        assert state_of(attempt) is expected
    assert Event.objects.filter(kind=1).count() == 1


def test_all_parts_in_one_batch() -> None:
    attempt = make_sent(parts=3)
    for part in (2, 3, 1):
        report(attempt.account, "DELIVRD", reference=str(attempt.id), part=part)
    take()

    assert (state_of(attempt), Event.objects.filter(kind=1).count()) == (S.DELIVERED, 1)


def test_the_same_part_twice_is_not_two_parts() -> None:
    attempt = make_sent(parts=2)
    report(attempt.account, "DELIVRD", id="v1", part=1)
    report(attempt.account, "DELIVRD", id="v1", part=1, error="0")  # said again, in other words
    take()

    assert state_of(attempt) is S.SENT
    assert DeliveryReport.objects.count() == 2


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("at_once", [True, False])
def test_one_failed_part_fails_the_message(order: tuple[int, ...], at_once: bool) -> None:
    attempt = make_sent(parts=3)
    for part in order:
        report(attempt.account, "UNDELIV" if part == 2 else "DELIVRD", reference=str(attempt.id), part=part)
        if not at_once:
            take()
    take()

    assert state_of(attempt) is S.UNDELIVERED
    assert list(Event.objects.values_list("status", flat=True)) == ["failed"]


def test_parts_that_only_the_reports_tell_of() -> None:
    attempt = make_sent()
    for part, expected in ((1, S.SENT), (2, S.SENT), (3, S.DELIVERED)):
        report(attempt.account, "DELIVRD", reference=str(attempt.id), part=part, parts=3)
        take()
        assert state_of(attempt) is expected


@pytest.mark.parametrize("by", ["id", "reference and id"])
def test_a_part_that_is_known_by_its_id_alone(bulk: ProviderAccount, by: str) -> None:
    attempt = make_sent(parts=3, account=bulk)
    reference = {"reference": str(attempt.id)} if by == "reference and id" else {}
    for name, expected in (("v1-2", S.SENT), ("v1-3", S.SENT), ("v1", S.DELIVERED)):
        hook(bulk, [{"status": "delivered", "vendor_id": name, **reference}])
        take()
        assert state_of(attempt) is expected
    assert sorted(DeliveryReport.objects.values_list("part", flat=True)) == [1, 2, 3]


def test_a_report_on_a_part_waits_for_the_answer_that_tells_the_number_of_parts() -> None:
    message = factories.make_message(state=S.SENDING, attempts=1)
    attempt = factories.make_attempt(message)
    report(message.account, "DELIVRD", reference=str(attempt.id), id="v1", part=1)
    take()
    assert (state_of(attempt), effects()) == (S.SENDING, [Effect.UNMATCHED])

    answer(attempt, SendResult(Outcome.TAKEN, vendor_id="v1", part_ids=("v1", "v1-2")))
    matching.apply()
    assert (state_of(attempt), effects()) == (S.SENT, [Effect.STORED])
    report(message.account, "DELIVRD", id="v1-2", part=2)
    take()
    assert state_of(attempt) is S.DELIVERED


# ---- unknown words and garbage


def test_an_unknown_word_is_kept_counted_and_changes_nothing() -> None:
    attempt = make_sent()
    before = counted("connector_contract_drift_total", vendor="simulator", word="TELEPORTED")
    report(attempt.account, "teleported", id="v1")
    take()

    row = DeliveryReport.objects.get()
    assert (row.status, row.vendor_status, row.effect) == (
        Status.UNKNOWN,
        "TELEPORTED",
        Effect.UNKNOWN_STATUS,
    )
    assert state_of(attempt) is S.SENT
    attempt.refresh_from_db()
    assert attempt.status is None
    after = counted("connector_contract_drift_total", vendor="simulator", word="TELEPORTED")
    assert after - before == 1


def test_an_unknown_word_of_odd_bytes_leaves_the_metrics_readable() -> None:
    report(make_sent().account, "odd\ud83d", id="v1")
    take()

    assert b'word="ODD?"' in generate_latest()
    assert effects() == [Effect.UNKNOWN_STATUS]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param("<xml>", "neither a report nor an inbound message", id="not JSON"),
        pytest.param("[1, 2]", "neither a report nor an inbound message", id="another shape"),
        pytest.param("", "neither a report nor an inbound message", id="empty"),
        pytest.param(
            '{"type": "inbound", "channel": "fax"}', "an inbound message without an id", id="channel"
        ),
        pytest.param("[" * 100_000, "neither a report nor an inbound message", id="deep"),
    ],
)
def test_garbage_is_parked_with_its_reason_and_the_others_go_on(body: str, why: str) -> None:
    attempt = make_sent()
    before = counted("connector_inbox_parked_total", vendor="simulator")
    garbage = hook(attempt.account, body)
    report(attempt.account, "DELIVRD", id="v1")
    take()

    garbage.refresh_from_db()
    assert garbage.parked_why.startswith(why)
    assert (garbage.parked_at is not None, garbage.tries) == (True, 1)
    assert Exchange.objects.filter(id=garbage.exchange_id).exists()
    assert state_of(attempt) is S.DELIVERED
    assert Inbox.objects.count() == 1
    assert counted("connector_inbox_parked_total", vendor="simulator") - before == 1
    assert inbox.read() == 0  # parked: left alone


def test_an_adapters_bug_parks_only_its_call(bulk: ProviderAccount) -> None:
    attempt = make_sent(account=bulk)
    broken = hook(bulk, '"raise"')
    hook(bulk, [{"status": "delivered", "vendor_id": "v1"}])
    take()

    broken.refresh_from_db()
    assert broken.parked_why == "could not be read (RuntimeError)"
    assert state_of(attempt) is S.DELIVERED


def test_a_vendor_of_another_version_is_parked() -> None:
    account = factories.make_account(vendor="gone")
    call = report(account, "DELIVRD", id="v1")
    take()

    call.refresh_from_db()
    assert call.parked_why == "could not be read (UnknownVendor)"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"text": "a\x00b"}, id="NUL"),
        pytest.param({"text": "x" * 5000, "error": "9" * 500, "status": "Z" * 500}, id="overlong"),
        pytest.param({"text": "broken \ud83d emoji"}, id="half a surrogate pair"),
        pytest.param({"part": 2**40, "parts": 2**40}, id="huge numbers"),
    ],
)
def test_values_that_no_column_takes_are_cut_to_fit(said: dict[str, Any]) -> None:
    attempt = make_sent()
    report(attempt.account, **({"status": "DELIVRD", "id": "v1"} | said))
    take()

    assert not Inbox.objects.exists()
    row = DeliveryReport.objects.get()
    assert row.attempt_id == attempt.id
    assert "\x00" not in row.text


def test_ids_that_no_column_takes_match_nothing_and_harm_nobody() -> None:
    attempt = make_sent()
    for name in ("v1\x00", "v" * 500, "\ud83d", "'; --"):
        report(attempt.account, "UNDELIV", id=name, reference=name)
    take()

    # Without its NUL the first one is our id after all: what a column cannot hold never was part of an id.
    assert not Inbox.objects.exists()
    assert sorted(effects()) == [Effect.APPLIED, *[Effect.UNMATCHED] * 3]


def test_what_the_database_refuses_parks_only_the_culprit(bulk: ProviderAccount) -> None:
    attempts = [make_sent(vendor_id=f"v{n}", account=bulk) for n in range(3)]
    hook(bulk, [{"status": "delivered", "vendor_id": "v0"}])
    culprit = hook(bulk, [{"status": "delivered", "vendor_id": "v1", "segments": -99_999}])
    hook(bulk, [{"status": "delivered", "vendor_id": "v2"}])
    assert inbox.read() == 3
    matching.apply()

    culprit.refresh_from_db()
    assert culprit.parked_why == "could not be stored (DataError)"
    assert [state_of(attempt) for attempt in attempts] == [S.DELIVERED, S.SENT, S.DELIVERED]
    assert Inbox.objects.count() == 1


def test_what_the_driver_refuses_parks_only_the_culprit(bulk: ProviderAccount) -> None:
    attempt = make_sent(account=bulk)
    inbound = {"vendor_id": "mo", "sender": "1234", "recipient": "1234", "channel": "\ud83d"}
    culprit = hook(bulk, [inbound])
    hook(bulk, [{"status": "delivered", "vendor_id": "v1"}])
    take()

    culprit.refresh_from_db()
    assert culprit.parked_why == "could not be stored (UnicodeEncodeError)"
    assert state_of(attempt) is S.DELIVERED


# ---- crashes


def test_a_crash_between_reading_and_applying_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = make_sent()
    report(attempt.account, "DELIVRD", id="v1")
    assert inbox.read() == 1

    def crash(words: object) -> None:
        raise SystemExit

    monkeypatch.setattr(weighing, "apply", crash)
    with pytest.raises(SystemExit):
        matching.apply()
    assert effects() == [Effect.UNMATCHED]
    monkeypatch.undo()
    matching.apply()
    assert (state_of(attempt), effects()) == (S.DELIVERED, [Effect.APPLIED])


def test_a_crash_while_reading_leaves_the_call_in_the_inbox(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = make_sent()
    report(attempt.account, "DELIVRD", id="v1")

    def crash(items: object, **more: object) -> None:
        raise SystemExit

    monkeypatch.setattr(inbox.inbound, "store", crash)
    with pytest.raises(SystemExit):
        inbox.read()
    assert (Inbox.objects.count(), DeliveryReport.objects.count()) == (1, 0)
    monkeypatch.undo()
    take()
    assert state_of(attempt) is S.DELIVERED
