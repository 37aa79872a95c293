"""Two pumps that apply the reports on two parts of one message at the same moment."""

import threading
from datetime import UTC, datetime

import pytest
from django.db import connection as database
from django.db import transaction

from messaging.models import DeliveryReport, Message
from messaging.reports import matching
from messaging.rules.ids import uuid7
from messaging.rules.values import Effect, MessageState
from tests.factories import make_attempt, make_message
from tests.waiting import WAITS_FOR_ME, eventually
from vendors.values import Outcome


def part_delivered(attempt, part: int) -> None:
    now = datetime.now(UTC)
    DeliveryReport.objects.create(
        exchange_id=uuid7(),
        exchange_at=now,
        account=attempt.account,
        reference=str(attempt.id),
        status="delivered",
        part=part,
        parts=2,
        received_at=now,
        effect=Effect.UNMATCHED,
        due_at=now,
        digest=bytes([part]) * 32,
    )


def somebody_waits() -> bool:
    with database.cursor() as cursor:
        cursor.execute(WAITS_FOR_ME)
        return cursor.fetchone() is not None


@pytest.mark.django_db(transaction=True)
def test_the_last_part_makes_it_delivered_whoever_applies_it() -> None:
    message = make_message(state=MessageState.SENT, attempts=1)
    attempt = make_attempt(message, outcome=Outcome.TAKEN, parts=2)
    part_delivered(attempt, 1)
    part_delivered(attempt, 2)
    applied = []

    def second() -> None:
        try:
            applied.append(matching.apply(limit=1))
        finally:
            database.close()

    other = threading.Thread(target=second)
    with transaction.atomic():
        assert matching.apply(limit=1) == 1
        other.start()
        eventually(somebody_waits)
    other.join(10)
    assert applied == [1]
    assert Message.objects.get(id=message.id).message_state is MessageState.DELIVERED
