"""Proves the promise of the README: accepted = final + in progress; each event acknowledged, pending, undeliverable.

Reads only, in short statements: messages page by page along their ids, everything else in one pass. Each statement
sees one moment, and the pipeline writes what belongs together in one transaction, so a busy system proves too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from accounts.models import Tenant
from messaging.models.statement import fetch
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


PAGE_END = "SELECT id FROM messaging_message WHERE id > %(low)s ORDER BY id LIMIT 1 OFFSET %(size)s"

# Look-ups by index, message by message: a plan that cannot go wrong on a table that was never analysed.
# Whether an unconfirmed message owes an event was decided when it ended: an account changed since says nothing.
MESSAGES = """
WITH m AS MATERIALIZED (
  SELECT id, account_id, state, lease, due_at, attempts, created_at, final_at, replay_of FROM messaging_message
  WHERE id > %(low)s AND id <= %(high)s AND (%(tenant)s::bigint IS NULL OR tenant_id = %(tenant)s)
    AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)),
judged AS (
  SELECT m.id, m.state, m.replay_of, a.taken, CASE
      WHEN m.state <> ALL (%(states)s) THEN 'unknown_state'
      WHEN c.message_id IS NULL THEN 'no_content'
      WHEN m.state = 1 AND m.lease IS NULL THEN 'no_owner'
      WHEN m.attempts <> coalesce(a.last, 0) THEN 'attempts_differ'
      WHEN m.state = 1 AND a.flying IS DISTINCT FROM m.attempts THEN 'not_in_flight'
      WHEN m.state IN (3, 4, 10, 11, 13, 15) AND a.dialled IS NOT TRUE THEN 'never_dialled'
      WHEN e.first > 1 THEN 'told_twice'
      WHEN m.state < 10 AND e.finals > 0 THEN 'told_too_early'
      WHEN m.state >= 10 AND m.state <> 17 AND c.callback_url <> '' AND e.first = 0
        AND (m.state <> 15 OR n.fail_unconfirmed AND m.final_at > n.updated_at) THEN 'final_not_told'
      ELSE '' END AS why,
    m.state = 1 AND m.due_at < clock_timestamp() - make_interval(secs => %(grace)s) AS stalled,
    m.state IN (0, 2, 3, 4) AND m.due_at < clock_timestamp() - make_interval(secs => %(grace)s) AS overdue
  FROM m JOIN messaging_provideraccount n ON n.id = m.account_id
  CROSS JOIN LATERAL (
    SELECT max(t.n) AS last, max(t.n) FILTER (WHERE outcome IS NULL) AS flying,
           bool_or(coalesce(outcome, 'unknown') IN ('taken', 'unknown') OR status IS NOT NULL) AS dialled,
           count(*) FILTER (WHERE outcome IN ('taken', 'unknown') OR status = 'delivered') AS taken
    FROM messaging_attempt t WHERE t.message_id = m.id) a
  CROSS JOIN LATERAL (
    SELECT count(*) AS finals, count(*) FILTER (WHERE generation = 0) AS first
    FROM messaging_event v WHERE v.message_id = m.id AND v.kind = 1) e
  LEFT JOIN LATERAL (
    SELECT o.message_id, o.callback_url FROM messaging_content o
    WHERE o.message_id = m.id AND o.created_at = m.created_at LIMIT 1) c ON true)
SELECT state, why, count(*) AS n, count(*) FILTER (WHERE stalled) AS stalled,
       count(*) FILTER (WHERE overdue) AS overdue, count(*) FILTER (WHERE taken > 1) AS twice,
       count(replay_of) AS resent,
       (array_agg(id ORDER BY id) FILTER (WHERE why <> ''))[1:%(shown)s] AS wrong_ids,
       (array_agg(id ORDER BY id) FILTER (WHERE stalled))[1:%(shown)s] AS stalled_ids
FROM judged GROUP BY state, why ORDER BY state, why
"""

EVENTS = """
WITH judged AS (
  SELECT e.id, e.state, CASE
      WHEN e.state <> ALL (%(states)s) THEN 'unknown_state'
      WHEN e.state = 1 AND (e.lease IS NULL OR e.lease_until IS NULL) THEN 'no_owner'
      WHEN e.message_id IS NULL AND e.inbound_id IS NULL THEN 'about_nothing'
      ELSE '' END AS why,
    e.state = 1 AND e.lease_until < clock_timestamp() - make_interval(secs => %(grace)s) AS stalled,
    e.state = 0 AND e.due_at < clock_timestamp() - make_interval(secs => %(grace)s) AS overdue
  FROM messaging_event e JOIN messaging_queue l ON l.id = e.queue_id
  WHERE (%(tenant)s::bigint IS NULL OR l.key = %(tenant)s::text)
    AND (%(since)s::timestamptz IS NULL OR e.created_at >= %(since)s))
SELECT state, why, count(*) AS n, count(*) FILTER (WHERE stalled) AS stalled,
       count(*) FILTER (WHERE overdue) AS overdue,
       (array_agg(id ORDER BY id) FILTER (WHERE why <> ''))[1:%(shown)s] AS wrong_ids,
       (array_agg(id ORDER BY id) FILTER (WHERE stalled))[1:%(shown)s] AS stalled_ids
FROM judged GROUP BY state, why ORDER BY state, why
"""

INBOX = """
SELECT count(*) FILTER (WHERE i.parked_at IS NULL) AS waiting, count(i.parked_at) AS parked
FROM messaging_inbox i JOIN messaging_provideraccount n ON n.id = i.account_id
WHERE (%(tenant)s::bigint IS NULL OR n.tenant_id = %(tenant)s)
  AND (%(since)s::timestamptz IS NULL OR i.exchange_at >= %(since)s)
"""

REPORTS = """
SELECT r.effect, count(*) AS n FROM messaging_deliveryreport r JOIN messaging_provideraccount n ON n.id = r.account_id
WHERE r.effect IN ('unmatched', 'orphan', 'contradiction', 'unknown_status')
  AND (%(tenant)s::bigint IS NULL OR n.tenant_id = %(tenant)s)
  AND (%(since)s::timestamptz IS NULL OR r.received_at >= %(since)s)
GROUP BY r.effect ORDER BY r.effect
"""


def reconcile(*, tenant: Tenant | None = None, since: datetime | None = None) -> Books:
    """Bookss for every row, of one tenant or all, made at or after `since`."""
    scope = {"tenant": tenant.pk if tenant else None, "since": since, "grace": GRACE, "shown": SHOWN}
    messages = list(_messages(scope))
    events = fetch(EVENTS, scope | {"states": [state.value for state in EventState]})
    [inbox] = fetch(INBOX, scope)
    wrong = [*_findings("message", messages), *_findings("event", events)]
    stalled = [*_stalled("message", messages), *_stalled("event", events)]
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
        unaccounted=sum(row.n for row in [*messages, *events] if row.why),
        findings=tuple(wrong[:SHOWN]),
        stalled=sum(row.stalled for row in [*messages, *events]),
        stalled_rows=tuple(stalled[:SHOWN]),
        overdue={
            "messages": sum(row.overdue for row in messages),
            "events": sum(row.overdue for row in events),
        },
        maybe_twice=sum(row.twice for row in messages),
        resent=sum(row.resent for row in messages),
        inbox={"waiting": inbox.waiting, "parked": inbox.parked},
        reports={row.effect: row.n for row in fetch(REPORTS, scope)},
    )


def _messages(scope: dict[str, Any]) -> Iterator[Any]:
    """The groups of each page; a page ends at the id that its last message has."""
    low = UUID(int=0)
    while True:
        ends = fetch(PAGE_END, {"low": low, "size": PAGE - 1})
        high = ends[0].id if ends else LAST
        states = [state.value for state in MessageState]
        yield from fetch(MESSAGES, scope | {"low": low, "high": high, "states": states})
        if not ends:
            return
        low = high


def _findings(what: str, rows: list[Any]) -> Iterator[Finding]:
    for row in rows:
        for id_ in row.wrong_ids or ():
            yield Finding(what, id_, row.why, WHY[row.why])


def _stalled(what: str, rows: list[Any]) -> Iterator[Finding]:
    for row in rows:
        for id_ in row.stalled_ids or ():
            yield Finding(what, id_, "stalled", "its lease ran out and nobody swept it")
