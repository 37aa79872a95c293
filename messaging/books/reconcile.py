"""Proves the promise of the README: accepted = final + in progress; each event acknowledged, pending, undeliverable.

Reads only, in short statements: messages page by page along their ids, everything else in one pass. Each statement
sees one moment, and the pipeline writes what belongs together in one transaction, so a busy system proves too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from accounts.models import Tenant
from messaging.models.sql import Params, column, fetch, sql
from messaging.rules.values import EventState, MessageState

PAGE: Final = 20_000
SHOWN: Final = 20
GRACE: Final = 60.0  # seconds past a lease or a due time before it is worth a word
LAST: Final = UUID(int=2**128 - 1)

WHY: Final = {
    "unknown_state": "its state has no meaning",
    "no_content": "its content is missing",
    "no_owner": "its lease has no owner",
    "attempts_differ": "its attempts are not those that it counted",
    "not_in_flight": "it is being sent, but no attempt is in flight",
    "never_dialled": "its state needs a call, but no attempt was dialled",
    "final_not_told": "it is final and owes an event, but has none",
    "told_twice": "it has more than one first final event",
    "told_too_early": "a final event was made before it was final",
    "about_nothing": "it is about neither a message nor an inbound message",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One row and what is the matter with it."""

    what: str  # message | event
    id: UUID
    why: str  # a key of WHY, or "stalled"
    text: str


@dataclass(frozen=True, slots=True)
class Books:
    """Where everything is. The counts are of rows; `unaccounted` must be 0."""

    accepted: int
    final: dict[str, int]
    in_progress: dict[str, int]
    events: dict[str, int]  # acked, due, leased, undeliverable
    unaccounted: int
    findings: tuple[Finding, ...]  # the first SHOWN that are unaccounted for
    stalled: int  # leases that ran out more than GRACE ago: nobody sweeps
    stalled_rows: tuple[Finding, ...]
    overdue: dict[str, int]  # messages and events due for more than GRACE: a pause, a backlog, or no worker
    maybe_twice: int  # messages with two attempts that the vendor may both have
    resent: int  # messages that are copies, made by a replay
    inbox: dict[str, int]  # waiting, parked
    reports: dict[str, int]  # unmatched, orphan, contradiction, unknown_status


# The id that ends a page of messages; no row: the page is the last one.
PAGE_END = "SELECT id FROM messaging_message WHERE id > %(low)s ORDER BY id LIMIT 1 OFFSET %(size)s"

# Look-ups by index, message by message: a plan that cannot go wrong on a table that was never analysed.
# Whether an unconfirmed message owes an event was decided when it ended: an account changed since says nothing.
MESSAGES = sql("""
WITH message AS MATERIALIZED (
  SELECT id, account_id, state, lease, due_at, attempts, created_at, final_at, replay_of FROM messaging_message
  WHERE id > %(low)s AND id <= %(high)s AND (%(tenant)s::bigint IS NULL OR tenant_id = %(tenant)s)
    AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)),
judged AS (
  SELECT message.id, message.state, message.replay_of, calls.taken, CASE
      WHEN message.state <> ALL (%(states)s) THEN 'unknown_state'
      WHEN content.message_id IS NULL THEN 'no_content'
      WHEN message.state = {MessageState.SENDING} AND message.lease IS NULL THEN 'no_owner'
      WHEN message.attempts <> coalesce(calls.last, 0) THEN 'attempts_differ'
      WHEN message.state = {MessageState.SENDING} AND calls.flying IS DISTINCT FROM message.attempts
      THEN 'not_in_flight'
      WHEN message.state IN {MessageState.UNKNOWN_OUTCOME, SENT, DELIVERED, UNDELIVERED, REJECTED, UNCONFIRMED}
        AND calls.dialled IS NOT TRUE THEN 'never_dialled'
      WHEN told.first > 1 THEN 'told_twice'
      WHEN {message_is_open} AND told.finals > 0 THEN 'told_too_early'
      WHEN {message_is_final} AND message.state <> {MessageState.REFUSED} AND content.callback_url <> ''
        AND told.first = 0 AND (message.state <> {MessageState.UNCONFIRMED}
          OR account.fail_unconfirmed AND message.final_at > account.updated_at) THEN 'final_not_told'
      ELSE '' END AS why,
    message.state = {MessageState.SENDING}
      AND message.due_at < clock_timestamp() - make_interval(secs => %(grace)s) AS stalled,
    message.state IN {MessageState.ACCEPTED, RETRYING, UNKNOWN_OUTCOME, SENT}
      AND message.due_at < clock_timestamp() - make_interval(secs => %(grace)s) AS overdue
  FROM message JOIN messaging_provideraccount account ON account.id = message.account_id
  CROSS JOIN LATERAL (
    SELECT max(attempt.n) AS last, max(attempt.n) FILTER (WHERE outcome IS NULL) AS flying,
           bool_or(coalesce(outcome, {Outcome.UNKNOWN}) IN {Outcome.TAKEN, UNKNOWN} OR status IS NOT NULL) AS dialled,
           count(*) FILTER (WHERE outcome IN {Outcome.TAKEN, UNKNOWN} OR status = {Status.DELIVERED}) AS taken
    FROM messaging_attempt attempt WHERE attempt.message_id = message.id) calls
  CROSS JOIN LATERAL (
    SELECT count(*) AS finals, count(*) FILTER (WHERE generation = 0) AS first
    FROM messaging_event event WHERE event.message_id = message.id AND event.kind = {EventKind.FINAL}) told
  LEFT JOIN LATERAL (
    SELECT stored.message_id, stored.callback_url FROM messaging_content stored
    WHERE stored.message_id = message.id AND stored.created_at = message.created_at LIMIT 1) content ON true)
SELECT state, why, count(*) AS n, count(*) FILTER (WHERE stalled) AS stalled,
       count(*) FILTER (WHERE overdue) AS overdue,
       (array_agg(id ORDER BY id) FILTER (WHERE why <> ''))[1:%(shown)s] AS wrong_ids,
       (array_agg(id ORDER BY id) FILTER (WHERE stalled))[1:%(shown)s] AS stalled_ids,
       count(*) FILTER (WHERE taken > 1) AS twice, count(replay_of) AS resent
FROM judged GROUP BY state, why ORDER BY state, why
""")

# All events in one pass, in groups as the messages are.
EVENTS = sql("""
WITH judged AS (
  SELECT event.id, event.state, CASE
      WHEN event.state <> ALL (%(states)s) THEN 'unknown_state'
      WHEN event.state = {EventState.LEASED} AND (event.lease IS NULL OR event.lease_until IS NULL) THEN 'no_owner'
      WHEN event.message_id IS NULL AND event.inbound_id IS NULL THEN 'about_nothing'
      ELSE '' END AS why,
    event.state = {EventState.LEASED}
      AND event.lease_until < clock_timestamp() - make_interval(secs => %(grace)s) AS stalled,
    event.state = {EventState.DUE}
      AND event.due_at < clock_timestamp() - make_interval(secs => %(grace)s) AS overdue
  FROM messaging_event event JOIN messaging_queue queue ON queue.id = event.queue_id
  WHERE (%(tenant)s::bigint IS NULL OR queue.key = %(tenant)s::text)
    AND (%(since)s::timestamptz IS NULL OR event.created_at >= %(since)s))
SELECT state, why, count(*) AS n, count(*) FILTER (WHERE stalled) AS stalled,
       count(*) FILTER (WHERE overdue) AS overdue,
       (array_agg(id ORDER BY id) FILTER (WHERE why <> ''))[1:%(shown)s] AS wrong_ids,
       (array_agg(id ORDER BY id) FILTER (WHERE stalled))[1:%(shown)s] AS stalled_ids
FROM judged GROUP BY state, why ORDER BY state, why
""")

INBOX = """
SELECT count(*) FILTER (WHERE inbox.parked_at IS NULL) AS waiting, count(inbox.parked_at) AS parked
FROM messaging_inbox inbox JOIN messaging_provideraccount account ON account.id = inbox.account_id
WHERE (%(tenant)s::bigint IS NULL OR account.tenant_id = %(tenant)s)
  AND (%(since)s::timestamptz IS NULL OR inbox.exchange_at >= %(since)s)
"""

# Reports that changed nothing and may want a person, by effect.
REPORTS = sql("""
SELECT report.effect, count(*) AS n
FROM messaging_deliveryreport report JOIN messaging_provideraccount account ON account.id = report.account_id
WHERE report.effect IN {Effect.UNMATCHED, ORPHAN, CONTRADICTION, UNKNOWN_STATUS}
  AND (%(tenant)s::bigint IS NULL OR account.tenant_id = %(tenant)s)
  AND (%(since)s::timestamptz IS NULL OR report.received_at >= %(since)s)
GROUP BY report.effect ORDER BY report.effect
""")


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Messages of one page, or events, in one state, with one thing the matter with them ('' = nothing)."""

    state: int
    why: str
    n: int
    stalled: int
    overdue: int
    wrong_ids: list[UUID] | None  # the first SHOWN; None: there are none
    stalled_ids: list[UUID] | None


@dataclass(frozen=True, slots=True)
class MessageGroup(RowGroup):
    """A group of messages: what may have been sent twice is counted, and what is a copy."""

    twice: int
    resent: int


@dataclass(frozen=True, slots=True)
class InboxCount:
    """How many vendor calls are in the inbox."""

    waiting: int
    parked: int


@dataclass(frozen=True, slots=True)
class EffectCount:
    """How many reports had one effect."""

    effect: str
    n: int


def reconcile(*, tenant: Tenant | None = None, since: datetime | None = None) -> Books:
    """The books of all rows of one tenant, or of everybody, that were made at or after `since`."""
    scope = {"tenant": tenant.pk if tenant else None, "since": since, "grace": GRACE, "shown": SHOWN}
    messages = list(_messages(scope))
    events = fetch(EVENTS, scope | {"states": [state.value for state in EventState]}, row=RowGroup)
    [inbox] = fetch(INBOX, scope, row=InboxCount)
    wrong = [*_findings("message", messages), *_findings("event", events)]
    stalled = [*_stalled("message", messages), *_stalled("event", events)]
    groups: list[RowGroup] = [*messages, *events]
    by_state: Counter[int] = Counter()
    for row in messages:
        by_state[row.state] += row.n
    return Books(
        accepted=by_state.total(),
        final={state.name.lower(): by_state[state] for state in MessageState if state.is_final},
        in_progress={state.name.lower(): by_state[state] for state in MessageState if not state.is_final},
        events={
            state.name.lower(): sum(row.n for row in events if row.state == state) for state in EventState
        },
        unaccounted=sum(row.n for row in groups if row.why),
        findings=tuple(wrong[:SHOWN]),
        stalled=sum(row.stalled for row in groups),
        stalled_rows=tuple(stalled[:SHOWN]),
        overdue={
            "messages": sum(row.overdue for row in messages),
            "events": sum(row.overdue for row in events),
        },
        maybe_twice=sum(row.twice for row in messages),
        resent=sum(row.resent for row in messages),
        inbox={"waiting": inbox.waiting, "parked": inbox.parked},
        reports={row.effect: row.n for row in fetch(REPORTS, scope, row=EffectCount)},
    )


def _messages(scope: Params) -> Iterator[MessageGroup]:
    """The groups of each page; a page ends at the id that its last message has."""
    low = UUID(int=0)
    while True:
        ends = column(PAGE_END, {"low": low, "size": PAGE - 1}, of=UUID)
        high = ends[0] if ends else LAST
        states = [state.value for state in MessageState]
        yield from fetch(MESSAGES, {**scope, "low": low, "high": high, "states": states}, row=MessageGroup)
        if not ends:
            return
        low = high


def _findings(what: str, rows: Sequence[RowGroup]) -> Iterator[Finding]:
    for row in rows:
        for id_ in row.wrong_ids or ():
            yield Finding(what, id_, row.why, WHY[row.why])


def _stalled(what: str, rows: Sequence[RowGroup]) -> Iterator[Finding]:
    for row in rows:
        for id_ in row.stalled_ids or ():
            yield Finding(what, id_, "stalled", "its lease ran out and nobody swept it")
