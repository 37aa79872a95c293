"""`poll_reports` asks about what is overdue, and says what came of it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from messaging.models import Message
from messaging.rules.values import MessageState
from tests import factories
from tests.sending.test_polling import due, said
from tests.stand_ins import Vendor, account_at, claim, fresh, only_attempt, send, vendor_on_loopback

pytestmark = pytest.mark.django_db


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with vendor_on_loopback() as running:
        yield running


def sent(vendor: Vendor, **overrides: Any) -> Message:
    tenant = factories.make_tenant(slug="acme")
    message = factories.make_message(
        account=account_at(vendor, "look_up", tenant=tenant, name="main", **overrides)
    )
    send(claim())
    due(message)
    return message


def poll(*names: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("poll_reports", *names, stdout=out, **options)
    return out.getvalue().strip()


def test_an_overdue_report_is_asked_for(vendor: Vendor) -> None:
    message = sent(vendor, poll_after=timedelta(minutes=30))
    vendor.will(200, said(message, "DELIVRD"))
    assert poll() == "1 without a final report, 1 asked about, 1 final now"
    assert fresh(message).message_state is MessageState.DELIVERED
    assert poll() == "0 without a final report, 0 asked about, 0 final now"


def test_an_account_that_does_not_poll_is_asked_by_name(vendor: Vendor) -> None:
    message = sent(vendor)
    type(only_attempt(message)).objects.update(poll_at=None)
    assert poll() == "0 without a final report, 0 asked about, 0 final now"
    vendor.will(200, json.loads(json.dumps(said(message, "ENROUTE"))))
    assert poll("acme/main", older_than=30) == "1 without a final report, 1 asked about, 0 final now"
    assert fresh(message).message_state is MessageState.SENT


def test_an_unknown_account() -> None:
    with pytest.raises(CommandError, match="no provider account named acme/none"):
        poll("acme/none")
