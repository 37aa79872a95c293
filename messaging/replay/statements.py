"""Which rows a replay takes, and in what words it leaves the others alone. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from psycopg import sql

from messaging.models.replay import ReplayKind
from messaging.models.statement import fetch
from messaging.replay.criteria import PARKED, Selection
from messaging.rules.values import EventState, MessageState

CLOCKS_APART: Final = timedelta(days=1)  # more than any two machines of ours ever are
Key = UUID | int  # of an event, a message, a raw vendor call, or (corrections) a report

WHY: Final[Mapping[str, str]] = {
    "pending": "still being tried",
    "acked": "acknowledged already (status acked sends it again)",
    "test": "a test message: press the button again instead",
    "in_progress": "still in progress: it reaches its end by itself",
    "opted_out": "the recipient has opted out",
    "resent": "resent before: resend its latest copy instead",
    "delivered": "delivered (only with status delivered and the duplicate flag)",
    "suspended": "the tenant is suspended",
    "no_account": "no active provider account can take it",
    "no_content": "its content is past retention",
    "may_have_been_sent": "may have been sent already (the duplicate flag resends it)",
    "waiting": "waits in the inbox already",
    "account_gone": "its provider account is gone",
    "outdated": "a later report of the same message decides",
    "not_told": "Bloomreach was never told a final of this message",
    "already_told": "what Bloomreach was last told says the same",
}


@dataclass(frozen=True, slots=True)
class _Source:
    """A query of key, why ('' = would be done) and risky; and the columns that a filter speaks of."""

    query: str
    key: str
    ids: str
    at: str
    tenant: str
    account: str
    state: str = ""

    @property
    def conditions(self) -> dict[str, str]:
        """The condition that each parameter stands for."""
        return {
            "tenant": f"{self.tenant} = %(tenant)s",
            "account": f"{self.account} = %(account)s",
            "since": f"{self.at} >= %(since)s",
            "until": f"{self.at} < %(until)s",
            "ids": f"{self.ids} = ANY(%(ids)s)",
            "after": f"{self.key} > %(after)s",
            "keys": f"{self.key} = ANY(%(keys)s)",
            "state": f"{self.state} = %(state)s",
            "floor": f"{self.key} >= %(floor)s",
            "limit": "",
        }


CALLBACKS = _Source(
    """
    SELECT e.id AS key, false AS risky,
           CASE WHEN e.state IN (0, 1) THEN 'pending'
                WHEN e.state = 2 AND NOT %(acked)s THEN 'acked' ELSE '' END AS why
    FROM messaging_event e
    LEFT JOIN messaging_message m ON m.id = e.message_id
    LEFT JOIN messaging_inboundmessage i ON i.id = e.inbound_id
    WHERE {where}
    """,
    key="e.id",
    ids="e.id",
    at="e.created_at",
    tenant="coalesce(m.tenant_id, i.tenant_id)",
    account="coalesce(m.account_id, i.account_id)",
    state="e.state",
)

# The account that a copy goes through: its own while that serves the channel, else the first with the sender.
WAY = """
    SELECT s.id, s.queue_id, s.validity FROM messaging_provideraccount s
    WHERE s.tenant_id = m.tenant_id AND s.is_active AND m.channel = ANY(s.channels)
      AND (s.id = m.account_id OR s.senders = '{}' AND s.sender_map = '{}' OR m.sender = ANY(s.senders))
    ORDER BY s.id <> m.account_id, s.position, s.id LIMIT 1
"""

# `line`: the message and those that it is a copy of. Harmless attempts: surely not taken, nothing reported;
# or taken in one part, which the carrier rejected. Anything else may have reached the handset.
MESSAGES = _Source(
    """
    SELECT m.id AS key, risk.risky, CASE
        WHEN m.is_test THEN 'test'
        WHEN m.state < 10 THEN 'in_progress'
        WHEN m.error_code = 'opted_out'
          OR EXISTS (SELECT FROM messaging_attempt a WHERE a.message_id = m.id AND a.code = 'opted_out')
        THEN 'opted_out'
        WHEN EXISTS (SELECT FROM messaging_message x WHERE x.replay_of = m.id) THEN 'resent'
        WHEN m.state = 10 AND NOT (%(may_duplicate)s AND %(delivered)s) THEN 'delivered'
        WHEN t.status = 'suspended' THEN 'suspended'
        WHEN way.id IS NULL THEN 'no_account'
        WHEN c.message_id IS NULL THEN 'no_content'
        WHEN risk.risky AND NOT %(may_duplicate)s THEN 'may_have_been_sent'
        ELSE '' END AS why
    FROM messaging_message m
    JOIN accounts_tenant t ON t.id = m.tenant_id
    LEFT JOIN messaging_content c ON c.message_id = m.id AND c.created_at = m.created_at
    LEFT JOIN LATERAL ({way}) way ON true
    CROSS JOIN LATERAL (
        WITH RECURSIVE line(id, replay_of) AS (
            SELECT m.id, m.replay_of
            UNION ALL SELECT o.id, o.replay_of FROM line JOIN messaging_message o ON o.id = line.replay_of)
        SELECT m.state = 10 OR EXISTS (
            SELECT FROM line JOIN messaging_attempt a ON a.message_id = line.id WHERE NOT (
                coalesce(a.outcome, 'unknown') IN ('temporary', 'permanent', 'configuration', 'not_dialled')
                  AND a.status IS NULL
                OR coalesce(a.status, '') = 'rejected' AND a.parts = 1 AND NOT EXISTS (
                    SELECT FROM messaging_deliveryreport r WHERE r.attempt_id = a.id AND r.status = 'delivered'))
        ) AS risky) risk
    WHERE {where}
    """,
    key="m.id",
    ids="m.id",
    at="m.created_at",
    tenant="m.tenant_id",
    account="m.account_id",
    state="m.state",
)

REPORTS = _Source(
    """
    SELECT r.id AS key, false AS risky, CASE
        WHEN n.id IS NULL THEN 'account_gone'
        WHEN i.exchange_id IS NOT NULL AND i.parked_at IS NULL THEN 'waiting' ELSE '' END AS why
    FROM messaging_exchange r
    LEFT JOIN messaging_provideraccount n ON n.id = r.account_id
    LEFT JOIN messaging_inbox i ON i.exchange_id = r.id
    WHERE r.kind = 'hook' AND {where}
    """,
    key="r.id",
    ids="r.id",
    at="r.at",
    tenant="n.tenant_id",
    account="r.account_id",
)

# The last word of a message's vendor on a part counts; one that says what Bloomreach heard last is no news.
CORRECTIONS = _Source(
    """
    SELECT r.id AS key, false AS risky, CASE
        WHEN EXISTS (SELECT FROM messaging_deliveryreport l JOIN messaging_attempt b ON b.id = l.attempt_id
                     WHERE b.message_id = a.message_id AND l.part = r.part
                       AND l.status IN ('delivered', 'undelivered', 'expired', 'rejected')
                       AND l.effect IN ('applied', 'stored', 'contradiction')
                       AND (coalesce(l.occurred_at, l.received_at), l.id)
                         > (coalesce(r.occurred_at, r.received_at), r.id)) THEN 'outdated'
        WHEN told.status IS NULL THEN 'not_told'
        WHEN (told.status = 'delivered') = (r.status = 'delivered') THEN 'already_told'
        ELSE '' END AS why
    FROM messaging_deliveryreport r
    JOIN messaging_attempt a ON a.id = r.attempt_id
    JOIN messaging_message m ON m.id = a.message_id
    LEFT JOIN LATERAL (SELECT e.status FROM messaging_event e WHERE e.message_id = m.id AND e.kind IN (1, 2)
                       ORDER BY e.kind DESC, e.generation DESC LIMIT 1) told ON true
    WHERE r.effect = 'contradiction' AND {where}
    """,
    key="r.id",
    ids="m.id",
    at="r.received_at",
    tenant="m.tenant_id",
    account="m.account_id",
)

_SOURCES = {
    ReplayKind.EVENTS: CALLBACKS,
    ReplayKind.MESSAGES: MESSAGES,
    ReplayKind.REPORTS: REPORTS,
}


COUNT = "SELECT why, risky, count(*) AS n FROM ({rows}) q GROUP BY why, risky"
SAMPLE = "SELECT key FROM ({rows}) q WHERE why = '' ORDER BY key LIMIT %(limit)s"
PAGE = "SELECT key FROM ({rows}) q ORDER BY key LIMIT %(limit)s"
WILLING = "SELECT key FROM ({rows}) q WHERE why = '' ORDER BY key"


def count(selection: Selection) -> list[Any]:
    """How many rows match, by `why` ('' = would be done) and `risky`, as `n`."""
    return _ask(COUNT, selection)


def sample(selection: Selection, *, limit: int) -> list[Key]:
    """The first rows that would be done."""
    return [row.key for row in _ask(SAMPLE, selection, limit=limit)]


def page(selection: Selection, *, after: str, limit: int) -> list[Key]:
    """The next rows after a cursor ('' = from the beginning), whether they would be done or not."""
    return [row.key for row in _ask(PAGE, selection, after=_cursor(selection, after), limit=limit)]


def willing(selection: Selection, keys: list[Key]) -> list[Key]:
    """Those of `keys` that match at this moment and would be done, in order."""
    return [row.key for row in _ask(WILLING, selection, keys=keys)]


def _ask(question: str, selection: Selection, **more: Any) -> list[Any]:
    """The text is made of constants only; whatever an operator wrote is a parameter."""
    source = CORRECTIONS if selection.corrections else _SOURCES[selection.kind]
    asked = selection.filter
    params: dict[str, Any] = {
        "tenant": selection.tenant_id,
        "account": selection.account_id,
        "since": asked.since,
        "until": asked.until,
        "ids": list(asked.ids) or None,
        "state": _state(selection),
        "floor": _floor(selection),
        **more,
    }
    chosen = [source.conditions[name] for name, value in params.items() if value is not None]
    where = " AND ".join([*filter(None, chosen), _unless_asked(selection)])
    rows = sql.SQL(source.query).format(where=sql.SQL(where), way=sql.SQL(WAY))
    flags = {
        "acked": asked.status == "acked",
        "delivered": asked.status == "delivered",
        "may_duplicate": selection.may_duplicate,
    }
    return fetch(sql.SQL(question).format(rows=rows).as_string(), params | flags)


def _cursor(selection: Selection, after: str) -> Key | None:
    if not after:
        return None
    return int(after) if selection.corrections else UUID(after)


def _state(selection: Selection) -> int | None:
    status = selection.filter.status
    if not status or status == PARKED:
        return None
    if selection.kind is ReplayKind.EVENTS:
        return EventState[status.upper()].value
    return MessageState[status.upper()].value


def _unless_asked(selection: Selection) -> str:
    """What is meant when neither a status nor ids are given: what went wrong for good."""
    if selection.filter.status == PARKED:
        return "i.parked_at IS NOT NULL"
    if selection.filter.status or selection.filter.ids:
        return "true"
    return {
        ReplayKind.EVENTS: "e.state = 3",
        ReplayKind.MESSAGES: "m.state BETWEEN 11 AND 16 AND NOT m.is_test",
        ReplayKind.REPORTS: "true",
    }[selection.kind]


def _floor(selection: Selection) -> UUID | None:
    """Ids of messages grow with time, so that a scan by id need not begin with the oldest message of all."""
    if selection.kind is not ReplayKind.MESSAGES or selection.filter.since is None:
        return None
    moment = selection.filter.since - CLOCKS_APART
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)
