"""Test messages: a refusal within the caller's patience is the answer, everything else is ours."""

from __future__ import annotations

from typing import Any

import pytest

from messaging.accept import inline
from messaging.accept.inline import InlineAnswer
from messaging.models import Exchange, Message
from messaging.models.sql import change
from messaging.rules.values import MessageState
from messaging.sending import dispatch
from messaging.worker import sweep
from tests import factories
from tests.stand_ins import HANG_UP, Vendor, account_at, claim, events_of, fresh, only_attempt
from vendors.values import Status

pytestmark = pytest.mark.django_db

S = MessageState


def make_test(vendor: Vendor, **overrides: Any) -> Message:
    return factories.make_message(account=account_at(vendor), request_id="", **overrides)


def test_taken(vendor: Vendor) -> None:
    message = make_test(vendor)
    assert inline.send(message.pk, deadline=2.0) == InlineAnswer(S.SENT)
    assert (fresh(message).message_state, len(vendor.posts)) == (S.SENT, 1)


@pytest.mark.parametrize(
    ("status", "body", "answer", "outcome"),
    [
        pytest.param(
            400,
            {"error": {"code": "4001", "message": "no such number"}},
            InlineAnswer(S.REFUSED, "invalid_recipient", "no such number", retry=False),
            "permanent",
            id="for good",
        ),
        pytest.param(
            429,
            {"error": {"code": "4290", "message": "slow down"}},
            InlineAnswer(S.REFUSED, "throttled", "slow down", retry=True),
            "temporary",
            id="for now",
        ),
        pytest.param(
            401,
            {"error": {"code": "4010", "message": "unknown key"}},
            InlineAnswer(S.REFUSED, "credentials_refused", "unknown key", retry=True),
            "configuration",
            id="credentials",
        ),
    ],
)
def test_refused(vendor: Vendor, status: int, body: Any, answer: InlineAnswer, outcome: str) -> None:
    message = make_test(vendor)
    vendor.will(status, body)
    assert inline.send(message.pk, deadline=2.0) == answer
    after, attempt = fresh(message), only_attempt(message)
    assert (after.message_state, after.error_code, after.lease) == (S.REFUSED, answer.code, None)
    assert (attempt.outcome, attempt.text) == (outcome, answer.text)
    assert events_of(message) == []
    assert Exchange.objects.filter(owner=attempt.pk).count() == 1
    assert claim() == []


def test_an_unknown_outcome_is_no_refusal(vendor: Vendor) -> None:
    message = make_test(vendor)
    vendor.will(HANG_UP)
    assert inline.send(message.pk, deadline=2.0) == InlineAnswer(S.UNKNOWN_OUTCOME)
    assert (fresh(message).message_state, only_attempt(message).outcome) == (S.UNKNOWN_OUTCOME, "unknown")


def test_a_pump_was_quicker(vendor: Vendor) -> None:
    message = make_test(vendor)
    (theirs,) = claim()
    assert inline.send(message.pk, deadline=2.0) == InlineAnswer(S.ACCEPTED)
    assert (vendor.heard, fresh(message).lease) == ([], theirs.lease)


def test_a_call_that_cannot_be_prepared_goes_back_to_the_pumps(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = make_test(vendor)

    def broken(*args: Any) -> Any:
        raise RuntimeError("no calls today")

    with monkeypatch.context() as patched:
        patched.setattr(dispatch, "_about_to_dial", broken)
        with pytest.raises(RuntimeError, match="no calls today"):
            inline.send(message.pk, deadline=2.0)
    assert (fresh(message).message_state, only_attempt(message).outcome) == (S.RETRYING, "not_dialled")
    assert len(claim()) == 1


def test_what_was_taken_back_meanwhile_is_not_refused(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process stood still between claim and call for longer than its lease: a pump will send it."""
    message = make_test(vendor)
    prepare = dispatch.prepare

    def late(claimed: Any) -> Any:
        change("UPDATE messaging_message SET due_at = clock_timestamp() - interval '1 s'")
        assert sweep.lost_calls() == 1
        return prepare(claimed)

    monkeypatch.setattr(dispatch, "prepare", late)
    assert inline.send(message.pk, deadline=2.0) == InlineAnswer(S.ACCEPTED)
    assert (vendor.heard, fresh(message).message_state) == ([], S.RETRYING)


def test_a_report_that_came_first_is_not_overridden_by_a_refusal(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = make_test(vendor)
    vendor.will(400, {"error": {"code": "4001", "message": "no"}})
    dial = dispatch.dial

    def dial_and_report(call: Any, *, deadline: float) -> Any:
        dialled = dial(call, deadline=deadline)
        Message.objects.filter(pk=message.pk).update(state=S.SENT, lease=None)
        attempt = only_attempt(message)
        attempt.status = Status.SENT
        attempt.save()
        return dialled

    monkeypatch.setattr(dispatch, "dial", dial_and_report)
    inline.send(message.pk, deadline=2.0)
    assert fresh(message).message_state is S.SENT
