"""Reports that did not come are asked for, where the account wants that: `poll_after`, then at growing distances."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.crypto import SealError
from messaging.dialling import exchanges
from messaging.evidence import weighing
from messaging.models import ProviderAccount
from messaging.models.statement import change, fetch
from messaging.rules.values import ExchangeKind, MessageState
from messaging.sending import calls
from outbound.redaction import words
from outbound.values import CallFailure, HttpRequest, HttpResponse
from vendors import registry
from vendors.base import Adapter
from vendors.values import Channel, Credentials, Report, Sent

log = logging.getLogger(__name__)

LONGEST = 6 * 3600.0  # seconds between two questions about one message

# The poll time moves on as it is claimed: that is the lease of whoever asks.
CLAIM = """
WITH d AS (
  SELECT id FROM messaging_attempt WHERE poll_at <= clock_timestamp()
  ORDER BY poll_at LIMIT %(free)s FOR NO KEY UPDATE SKIP LOCKED),
u AS (
  UPDATE messaging_attempt a SET poll_at = clock_timestamp() + make_interval(secs => %(row_lease)s)
  FROM d WHERE a.id = d.id RETURNING a.*)
SELECT u.id AS attempt_id, u.message_id, u.account_id, u.vendor_id, u.send_as, u.created_at, m.recipient,
       m.state = %(sent)s AND m.attempts = u.n AS waits, m.state < %(final)s AND m.attempts = u.n AS may_wait,
       extract(epoch FROM clock_timestamp() - u.created_at)::float8 AS age
FROM u JOIN messaging_message m ON m.id = u.message_id
"""

NEXT = """
UPDATE messaging_attempt a SET poll_at = clock_timestamp() + make_interval(secs => v.wait)
FROM unnest(%(id)s::uuid[], %(wait)s::float8[]) AS v(id, wait) WHERE a.id = v.id
"""

ASK_NOW = """
UPDATE messaging_attempt a SET poll_at = clock_timestamp()
FROM messaging_message m
WHERE m.state = %(sent)s AND a.message_id = m.id AND a.n = m.attempts AND a.account_id = %(account)s
  AND a.created_at <= clock_timestamp() - %(older_than)s
"""


@dataclass(frozen=True, slots=True)
class Question:
    """One sent message without a report. `request` None: there is nothing to ask, or nothing to ask about."""

    row: Any
    account: ProviderAccount
    adapter: Adapter | None = None
    credentials: Credentials | None = None
    sent: Sent | None = None
    request: HttpRequest | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Polled:
    """A question and what came back."""

    question: Question
    answer: HttpResponse | CallFailure


def ask_now(account: ProviderAccount, *, older_than: timedelta) -> int:
    """Makes every sent message of the account that has no report due for a question. Returns how many."""
    params = {"sent": int(MessageState.SENT), "account": account.pk, "older_than": older_than}
    return change(ASK_NOW, params)


def claim(*, free: int) -> list[Question]:
    """Takes up to `free` attempts that should be asked about now."""
    params = {
        "free": free,
        "row_lease": settings.ROW_LEASE,
        "sent": int(MessageState.SENT),
        "final": int(MessageState.DELIVERED),
    }
    rows = fetch(CLAIM, params)
    accounts = ProviderAccount.objects.in_bulk({row.account_id for row in rows})
    return [_question(row, accounts[row.account_id]) for row in rows]


def _question(row: Any, account: ProviderAccount) -> Question:
    if not row.waits:
        return Question(row, account)
    sent = Sent(str(row.attempt_id), row.vendor_id, Channel(row.send_as), row.recipient, row.created_at)
    try:
        adapter = registry.adapter(account.vendor)
        credentials = account.credentials()
        return Question(row, account, adapter, credentials, sent, adapter.poll(sent, credentials))
    except (SealError, registry.UnknownVendor):
        log.error("a report cannot be asked for", extra={"vendor": account.vendor})
    except Exception:  # an adapter's bug must not keep the others from being asked about
        log.exception("the question for a report could not be built", extra={"vendor": account.vendor})
    return Question(row, account)


def give_up(questions: Sequence[Question]) -> None:
    """Those that need no answer are asked about no more; those whose call is not over yet, later."""
    _plan([(one.row.attempt_id, _wait(one) if one.row.may_wait else None) for one in questions])


def dial(question: Question, *, deadline: float) -> Polled:
    """Asks the vendor. Touches no database."""
    assert question.request is not None and question.adapter is not None and question.credentials is not None
    answer = calls.call(question.adapter, question.credentials, question.request, deadline=deadline)
    return Polled(question, answer)


def record(asked: Sequence[Polled]) -> int:
    """Writes what the vendors said; a message that is still on its way is asked about again, later.

    Returns how many reports were final.
    """
    words: list[weighing.ReportEvidence] = []
    plans: list[tuple[UUID, float | None]] = []
    for one in asked:
        row, report = one.question.row, _report(one)
        if report is not None:
            words.append(weighing.ReportEvidence(row.message_id, row.attempt_id, report, None))
        is_final = report is not None and report.status.is_final
        plans.append((row.attempt_id, None if is_final else _wait(one.question)))
    with transaction.atomic():
        exchanges.store([_exchange(one) for one in asked])
        weighing.apply(words)
        _plan(plans)
    return sum(wait is None for _, wait in plans)


def _report(one: Polled) -> Report | None:
    question = one.question
    assert question.adapter is not None and question.credentials is not None and question.sent is not None
    if isinstance(one.answer, CallFailure):
        return None
    try:
        report = question.adapter.parse_poll(question.sent, one.answer, question.credentials)
    except Exception:
        log.exception("the answer about a report could not be read", extra={"vendor": question.adapter.key})
        return None
    secrets = [str(secret) for secret in question.credentials.secrets.values()]
    return replace(report, text=words(report.text, secrets=secrets)) if report else None


def _wait(question: Question) -> float:
    """As long again as it has waited already."""
    waited: float = question.row.age
    return min(max(waited, settings.LOOKUP_GAP), LONGEST)


def _plan(plans: Sequence[tuple[UUID, float | None]]) -> None:
    if plans:
        change(NEXT, {"id": [id_ for id_, _ in plans], "wait": [wait for _, wait in plans]})


def _exchange(one: Polled) -> exchanges.RecordedExchange:
    question = one.question
    assert question.request is not None and question.credentials is not None
    return exchanges.exchange(
        ExchangeKind.LOOKUP,
        question.request,
        one.answer,
        secrets=[str(secret) for secret in question.credentials.secrets.values()],
        account_id=question.account.pk,
        owners=[question.row.attempt_id],
    )
