"""What nobody waits for: leases that ran out, deadlines that passed. Two sweepers at once are harmless."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.db import IntegrityError, transaction

from messaging.evidence import weighing
from messaging.models.sql import change, column, fetch, sql
from messaging.rules import backoff, states
from messaging.rules.values import MessageState
from messaging.worker import partitions
from vendors.values import Outcome, SendResult

log = logging.getLogger(__name__)

BATCH = 500
LOST_CALL = SendResult(Outcome.UNKNOWN, code=states.WORKER_LOST, text="the call was cut off on our side")
UNDIALLED = SendResult(
    Outcome.NOT_DIALLED, code=states.WORKER_LOST, text="claimed, and cut off before it was dialled"
)

# Both rows are locked, so that the mark is read as it is now: a pump writes it on the attempt alone.
LOST = sql("""
SELECT message.id, attempt.id AS attempt_id, attempt.dialled IS FALSE AS undialled FROM messaging_message message
JOIN messaging_attempt attempt ON attempt.message_id = message.id AND attempt.n = message.attempts
WHERE message.state = {MessageState.SENDING} AND message.due_at <= clock_timestamp()
ORDER BY message.due_at LIMIT %(limit)s FOR NO KEY UPDATE OF message, attempt SKIP LOCKED
""")
OVERDUE = sql("""
SELECT id FROM messaging_message WHERE state = {MessageState.SENT} AND due_at <= clock_timestamp()
ORDER BY due_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
""")
# A message is due before it expires, so the expired ones stand at the front of their queue. The limit on attempts
# catches what makes its worker crash: nothing else hands back so often.
STALE = sql("""
SELECT message.id, message.expires_at <= clock_timestamp() AS expired
FROM messaging_queue queue CROSS JOIN LATERAL (
  SELECT id, expires_at, attempts FROM messaging_message
  WHERE queue_id = queue.id AND state IN {MessageState.ACCEPTED, RETRYING}
  ORDER BY due_at LIMIT 50 FOR NO KEY UPDATE SKIP LOCKED) message
WHERE queue.kind = {QueueKind.DISPATCH}
  AND (message.expires_at <= clock_timestamp() OR message.attempts >= %(most)s) LIMIT %(limit)s
""")
UNLEASE_EVENTS = sql("""
UPDATE messaging_event SET state = {EventState.DUE}, lease = NULL, lease_until = NULL, due_at = clock_timestamp()
WHERE id IN (SELECT id FROM messaging_event WHERE state = {EventState.LEASED} AND lease_until <= clock_timestamp()
             LIMIT 5000 FOR NO KEY UPDATE SKIP LOCKED)
""")


@dataclass(frozen=True, slots=True)
class LostCall:
    """A message whose lease ran out, and its last attempt."""

    id: UUID
    attempt_id: UUID
    undialled: bool


@dataclass(frozen=True, slots=True)
class StaleMessage:
    """A waiting message that may not be sent any more: it expired, or it has no attempt left."""

    id: UUID
    expired: bool


def lost_calls() -> int:
    """Sends whose lease ran out: the worker died with them, or its answer came too late to be recorded.

    What was only claimed goes out again; the outcome of what was about to be dialled is unknown.
    """
    with transaction.atomic():
        rows = fetch(LOST, {"limit": BATCH}, row=LostCall)
        weighing.apply(
            [
                weighing.AnswerEvidence(row.id, row.attempt_id, UNDIALLED if row.undialled else LOST_CALL)
                for row in rows
            ]
        )
    undialled = sum(row.undialled for row in rows)
    if undialled:
        log.warning("claims lost", extra={"count": undialled})
    if undialled < len(rows):
        log.warning("calls lost", extra={"count": len(rows) - undialled})
    return len(rows)


def lost_posts() -> int:
    """Events whose POST never came back: told again, with the same event id."""
    return change(UNLEASE_EVENTS)


def overdue_reports() -> int:
    """Sent messages for which no report came by the account's deadline."""
    text = "no delivery report by the deadline"
    with transaction.atomic():
        ids = column(OVERDUE, {"limit": BATCH}, of=UUID)
        weighing.apply(
            [weighing.Decision(id_, MessageState.UNCONFIRMED, states.UNCONFIRMED, text) for id_ in ids]
        )
    return len(ids)


def used_up() -> int:
    """Messages whose validity or attempts ran out while they waited: behind a pause, an open circuit, a backlog."""
    with transaction.atomic():
        rows = fetch(STALE, {"limit": BATCH, "most": backoff.SEND_ATTEMPTS_MAX}, row=StaleMessage)
        weighing.apply([_stale(row) for row in rows])
    return len(rows)


def _stale(row: StaleMessage) -> weighing.Decision:
    if row.expired:
        text = "not sent within its validity"
        return weighing.Decision(row.id, MessageState.EXPIRED, states.EXPIRED_HERE, text)
    return weighing.Decision(row.id, MessageState.FAILED, states.GAVE_UP, "given up after too many attempts")


def prepare_partitions(today: date) -> None:
    """Makes the partitions of this week and the next ones, with the rows that came before them."""
    for table in partitions.TABLES:
        for monday in partitions.weeks(today):
            try:
                with transaction.atomic():
                    change(partitions.create(table, monday))
            except IntegrityError:
                log.warning("partition made late", extra={"table": table, "week": str(monday)})
                with transaction.atomic():
                    for statement in partitions.rescue(table, monday):
                        change(statement)
