"""One real message outside the pipeline: whatever the adapter does, the person at the terminal reads what happened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from messaging.models.sql import change
from messaging.sending import tryout
from messaging.sending.tryout import TryStep
from simulator.adapter import Simulator
from tests import factories
from tests.stand_ins import API_KEY, Vendor, account_at, vendor_on_loopback
from vendors.values import Report, Status

pytestmark = pytest.mark.django_db


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with vendor_on_loopback() as running:
        yield running


def broken(*_: Any) -> Any:
    raise KeyError("messages")


def steps(vendor: Vendor, **overrides: Any) -> list[TryStep]:
    account = account_at(vendor, "look_up", **overrides)
    return list(
        tryout.send(
            account,
            sender="Demo",
            recipient="+421900000100",
            text="Hello",
            seconds=0.2,
            sleep=lambda seconds: None,
        )
    )


def test_secrets_that_do_not_open(vendor: Vendor) -> None:
    account = account_at(vendor)
    change("UPDATE messaging_provideraccount SET secrets = 'gAAAA' WHERE id = %(id)s", {"id": account.pk})
    account.refresh_from_db()
    (step,) = tryout.send(account, sender="Demo", recipient="+421900000100", text="Hello", seconds=1)
    assert step.good is False
    assert "does not open with FIELD_KEY" in step.text
    assert vendor.heard == []


def test_a_vendor_of_another_version() -> None:
    account = factories.make_account(vendor="telegraph")
    (step,) = tryout.send(account, sender="Demo", recipient="+421900000100", text="Hello", seconds=1)
    assert (step.good, "no vendor named 'telegraph'" in step.text) == (False, True)


def test_a_call_that_cannot_be_built(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulator, "build", broken)
    assert steps(vendor) == [
        TryStep("nothing was sent: the request could not be built (KeyError)", good=False)
    ]
    assert vendor.heard == []


def test_an_answer_that_cannot_be_read(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulator, "parse", broken)
    (step,) = steps(vendor)
    assert step.good is False
    assert "(unknown): unreadable_answer HTTP 202: the answer could not be read" in step.text


def test_a_question_that_cannot_be_built(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulator, "poll", broken)
    took, step = steps(vendor)
    assert took.good is None
    assert step == TryStep("the question for its status could not be built (KeyError)", good=False)


def test_a_status_that_cannot_be_read(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulator, "parse_poll", broken)
    _, step = steps(vendor)
    assert step == TryStep("no final status within 0.2 s; the last: none", good=False)


def test_no_secret_is_shown(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report(Status.REJECTED, "REJECTD", text=f"{API_KEY} may not send to 421900000100")
    monkeypatch.setattr(Simulator, "parse_poll", lambda *_: report)
    assert steps(vendor)[-1].text == "rejected: REJECTD *** may not send to …"
