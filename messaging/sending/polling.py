"""Reports that did not come are asked for, where the account wants that: `poll_after`, then at growing distances."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from django.conf import settings
from django.db import transaction

from messaging.dialling import exchanges
from messaging.dialling.work import DueName, PoolName
from messaging.evidence import weighing
from messaging.models import ProviderAccount
from messaging.models.sql import change, fetch, sql
from messaging.sending.conversation import CannotBuild, CannotOpen, Conversation, Heard, VendorCall
from vendors.values import Channel, Report, Sent

log = logging.getLogger(__name__)

LONGEST = 6 * 3600.0  # seconds between two questions about one message

# The poll time moves on as it is claimed: that is the lease of whoever asks.
CLAIM = sql("""
WITH due AS (
  SELECT id FROM messaging_attempt WHERE poll_at <= clock_timestamp()
  ORDER BY poll_at LIMIT %(free)s FOR NO KEY UPDATE SKIP LOCKED),
taken AS (
  UPDATE messaging_attempt attempt SET poll_at = clock_timestamp() + make_interval(secs => %(row_lease)s)
  FROM due WHERE attempt.id = due.id RETURNING attempt.*)
SELECT taken.id AS attempt_id, taken.message_id, taken.account_id, taken.vendor_id, taken.send_as, taken.created_at,
       message.recipient, message.state = {MessageState.SENT} AND message.attempts = taken.n AS waits,
       {message_is_open} AND message.attempts = taken.n AS may_wait,
       extract(epoch FROM clock_timestamp() - taken.created_at)::float8 AS age
FROM taken JOIN messaging_message message ON message.id = taken.message_id
""")

NEXT = """
UPDATE messaging_attempt attempt SET poll_at = clock_timestamp() + make_interval(secs => given.wait)
FROM unnest(%(id)s::uuid[], %(wait)s::float8[]) AS given(id, wait) WHERE attempt.id = given.id
"""

ASK_NOW = sql("""
UPDATE messaging_attempt attempt SET poll_at = clock_timestamp()
FROM messaging_message message
WHERE message.state = {MessageState.SENT} AND attempt.message_id = message.id AND attempt.n = message.attempts
  AND attempt.account_id = %(account)s AND attempt.created_at <= clock_timestamp() - %(older_than)s
""")


@dataclass(frozen=True, slots=True)
class WaitingAttempt:
    """A claimed attempt without a final report."""

    attempt_id: UUID
    message_id: UUID
    account_id: int
    vendor_id: str
    send_as: str
    created_at: datetime
    recipient: str
    waits: bool  # the vendor took it, and its message hangs on it
    may_wait: bool  # it may come to that: its message is not final
    age: float  # seconds

    @property
    def sent(self) -> Sent:
        """The attempt, as a vendor is asked about it."""
        return Sent(
            str(self.attempt_id), self.vendor_id, Channel(self.send_as), self.recipient, self.created_at
        )


@dataclass(frozen=True, slots=True)
class Question:
    """One sent message without a report, and the call that asks for it."""

    row: WaitingAttempt
    call: VendorCall[Report | None]


@dataclass(frozen=True, slots=True)
class Polled:
    """A question and what came back."""

    row: WaitingAttempt
    heard: Heard[Report | None]


class Polling:
    """Attempts whose reports should be asked for, for a pump (dialling/work.py) and for `poll_reports`."""

    due: ClassVar[DueName] = "polls"
    pool: ClassVar[PoolName] = "vendors"
    singly: ClassVar[bool] = False

    def __init__(self) -> None:
        self.claimed = 0  # attempts, so far
        self.final = 0  # reports that were final, so far

    def claim(self, free: int) -> list[Question]:
        """Those about which nobody can be asked are asked about no more; if their call is not over yet, later."""
        rows = fetch(CLAIM, {"free": free, "row_lease": settings.ROW_LEASE}, row=WaitingAttempt)
        accounts = ProviderAccount.objects.in_bulk({row.account_id for row in rows})
        calls = [(row, _call(row, accounts[row.account_id])) for row in rows]
        _plan([(row.attempt_id, _wait(row) if row.may_wait else None) for row, call in calls if call is None])
        self.claimed += len(rows)
        return [Question(row, call) for row, call in calls if call is not None]

    def dial(self, item: Question, *, deadline: float) -> Polled:
        """Asks the vendor."""
        return Polled(item.row, item.call.dial(deadline=deadline))

    def record(self, finished: Sequence[Polled]) -> None:
        """A message that is still on its way is asked about again, later."""
        reports: list[weighing.ReportEvidence] = []
        plans: list[tuple[UUID, float | None]] = []
        for one in finished:
            row, report = one.row, one.heard.result
            if report is not None:
                reports.append(weighing.ReportEvidence(row.message_id, row.attempt_id, report, None))
            is_final = report is not None and report.status.is_final
            plans.append((row.attempt_id, None if is_final else _wait(row)))
        with transaction.atomic():
            exchanges.store([one.heard.exchange for one in finished])
            weighing.apply(reports)
            _plan(plans)
        self.final += sum(wait is None for _, wait in plans)

    def give_back(self) -> None:
        """Nothing to do: the poll time that the claim moved on comes by itself."""


def ask_now(account: ProviderAccount, *, older_than: timedelta) -> int:
    """Makes every sent message of the account that has no report due for a question. Returns how many."""
    return change(ASK_NOW, {"account": account.pk, "older_than": older_than})


def _call(row: WaitingAttempt, account: ProviderAccount) -> VendorCall[Report | None] | None:
    """None: there is nothing to ask about, or nobody can be asked."""
    if not row.waits:
        return None
    try:
        return Conversation.open(account).poll(row.sent, row.attempt_id)
    except CannotOpen:
        log.error("a report cannot be asked for", extra={"vendor": account.vendor})
    except CannotBuild:
        pass  # an adapter's bug, logged already, must not keep the others from being asked about
    return None


def _wait(row: WaitingAttempt) -> float:
    """As long again as it has waited already."""
    return min(max(row.age, settings.LOOKUP_GAP), LONGEST)


def _plan(plans: Sequence[tuple[UUID, float | None]]) -> None:
    if plans:
        change(NEXT, {"id": [id_ for id_, _ in plans], "wait": [wait for _, wait in plans]})
