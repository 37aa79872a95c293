"""Which rows a replay takes, and in what words it leaves the others alone. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from messaging.models.replay import ReplayKind
from messaging.models.sql import Params, fetch, sql
from messaging.replay.criteria import PARKED, Selection
from messaging.rules.values import EventState, MessageState

CLOCKS_APART: Final = timedelta(days=1)  # more than any two machines of ours ever are
Key = UUID | int  # of an event, a message, a stored vendor call, or (corrections) a report

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


# An event is done again unless it is still being tried, or was acknowledged and that was not asked for.
CALLBACKS = _Source(
    """
    SELECT event.id AS key, false AS risky,
           CASE WHEN event.state IN {EventState.DUE, LEASED} THEN 'pending'
                WHEN event.state = {EventState.ACKED} AND NOT %(acked)s THEN 'acked' ELSE '' END AS why
    FROM messaging_event event
    LEFT JOIN messaging_message message ON message.id = event.message_id
    LEFT JOIN messaging_inboundmessage inbound ON inbound.id = event.inbound_id
    WHERE {where}
    """,
    key="event.id",
    ids="event.id",
    at="event.created_at",
    tenant="coalesce(message.tenant_id, inbound.tenant_id)",
    account="coalesce(message.account_id, inbound.account_id)",
    state="event.state",
)

# The account that a copy goes through: its own while that serves the channel, else the first with the sender.
WAY = """
    SELECT account.id, account.queue_id, account.validity FROM messaging_provideraccount account
    WHERE account.tenant_id = message.tenant_id AND account.is_active AND message.channel = ANY(account.channels)
      AND (account.id = message.account_id OR account.senders = '{}' AND account.sender_map = '{}'
           OR message.sender = ANY(account.senders))
    ORDER BY account.id <> message.account_id, account.position, account.id LIMIT 1
"""

# `line`: the message and those that it is a copy of. Harmless attempts: surely not taken, nothing reported;
# or taken in one part, which the carrier rejected. Anything else may have reached the handset.
MESSAGES = _Source(
    """
    SELECT message.id AS key, risk.risky, CASE
        WHEN message.is_test THEN 'test'
        WHEN {message_is_open} THEN 'in_progress'
        WHEN message.error_code = 'opted_out'
          OR EXISTS (SELECT FROM messaging_attempt attempt
                     WHERE attempt.message_id = message.id AND attempt.code = 'opted_out')
        THEN 'opted_out'
        WHEN EXISTS (SELECT FROM messaging_message copy WHERE copy.replay_of = message.id) THEN 'resent'
        WHEN message.state = {MessageState.DELIVERED} AND NOT (%(may_duplicate)s AND %(delivered)s) THEN 'delivered'
        WHEN tenant.status = 'suspended' THEN 'suspended'
        WHEN way.id IS NULL THEN 'no_account'
        WHEN content.message_id IS NULL THEN 'no_content'
        WHEN risk.risky AND NOT %(may_duplicate)s THEN 'may_have_been_sent'
        ELSE '' END AS why
    FROM messaging_message message
    JOIN accounts_tenant tenant ON tenant.id = message.tenant_id
    LEFT JOIN messaging_content content
      ON content.message_id = message.id AND content.created_at = message.created_at
    LEFT JOIN LATERAL ({way}) way ON true
    CROSS JOIN LATERAL (
        WITH RECURSIVE line(id, replay_of) AS (
            SELECT message.id, message.replay_of
            UNION ALL SELECT original.id, original.replay_of
            FROM line JOIN messaging_message original ON original.id = line.replay_of)
        SELECT message.state = {MessageState.DELIVERED} OR EXISTS (
            SELECT FROM line JOIN messaging_attempt attempt ON attempt.message_id = line.id WHERE NOT (
                coalesce(attempt.outcome, {Outcome.UNKNOWN})
                    IN {Outcome.TEMPORARY, PERMANENT, CONFIGURATION, NOT_DIALLED}
                  AND attempt.status IS NULL
                OR coalesce(attempt.status, '') = {Status.REJECTED} AND attempt.parts = 1 AND NOT EXISTS (
                    SELECT FROM messaging_deliveryreport report
                    WHERE report.attempt_id = attempt.id AND report.status = {Status.DELIVERED}))
        ) AS risky) risk
    WHERE {where}
    """,
    key="message.id",
    ids="message.id",
    at="message.created_at",
    tenant="message.tenant_id",
    account="message.account_id",
    state="message.state",
)

# A vendor's call can be read again while its account is there, and unless it waits to be read anyway.
REPORTS = _Source(
    """
    SELECT exchange.id AS key, false AS risky, CASE
        WHEN account.id IS NULL THEN 'account_gone'
        WHEN inbox.exchange_id IS NOT NULL AND inbox.parked_at IS NULL THEN 'waiting' ELSE '' END AS why
    FROM messaging_exchange exchange
    LEFT JOIN messaging_provideraccount account ON account.id = exchange.account_id
    LEFT JOIN messaging_inbox inbox ON inbox.exchange_id = exchange.id
    WHERE exchange.kind = {ExchangeKind.HOOK} AND {where}
    """,
    key="exchange.id",
    ids="exchange.id",
    at="exchange.at",
    tenant="account.tenant_id",
    account="exchange.account_id",
)

# The latest final report on a part decides; one that says what Bloomreach heard last is no news.
CORRECTIONS = _Source(
    """
    SELECT report.id AS key, false AS risky, CASE
        WHEN EXISTS (
            SELECT FROM messaging_deliveryreport later JOIN messaging_attempt other ON other.id = later.attempt_id
            WHERE other.message_id = attempt.message_id AND later.part = report.part
              AND later.status IN {Status.DELIVERED, UNDELIVERED, EXPIRED, REJECTED}
              AND later.effect IN {Effect.APPLIED, STORED, CONTRADICTION}
              AND (coalesce(later.occurred_at, later.received_at), later.id)
                > (coalesce(report.occurred_at, report.received_at), report.id)) THEN 'outdated'
        WHEN told.status IS NULL THEN 'not_told'
        WHEN (told.status = 'delivered') = (report.status = {Status.DELIVERED}) THEN 'already_told'
        ELSE '' END AS why
    FROM messaging_deliveryreport report
    JOIN messaging_attempt attempt ON attempt.id = report.attempt_id
    JOIN messaging_message message ON message.id = attempt.message_id
    LEFT JOIN LATERAL (
        SELECT event.status FROM messaging_event event
        WHERE event.message_id = message.id AND event.kind IN {EventKind.FINAL, CORRECTION}
        ORDER BY event.kind DESC, event.generation DESC LIMIT 1) told ON true
    WHERE report.effect = {Effect.CONTRADICTION} AND {where}
    """,
    key="report.id",
    ids="message.id",
    at="report.received_at",
    tenant="message.tenant_id",
    account="message.account_id",
)

_SOURCES = {
    ReplayKind.EVENTS: CALLBACKS,
    ReplayKind.MESSAGES: MESSAGES,
    ReplayKind.REPORTS: REPORTS,
}


COUNT = "SELECT why, risky, count(*) AS n FROM ({rows}) found GROUP BY why, risky"
SAMPLE = "SELECT key FROM ({rows}) found WHERE why = '' ORDER BY key LIMIT %(limit)s"
PAGE = "SELECT key FROM ({rows}) found ORDER BY key LIMIT %(limit)s"
WILLING = "SELECT key FROM ({rows}) found WHERE why = '' ORDER BY key"


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows match that are alike in what happens to them."""

    why: str  # a key of WHY; '': they would be done
    risky: bool
    n: int


@dataclass(frozen=True, slots=True)
class _Found:
    """One row that matches."""

    key: Key


def count(selection: Selection) -> list[Count]:
    """How many rows match, by `why` and `risky`."""
    return fetch(*_asked(COUNT, selection), row=Count)


def sample(selection: Selection, *, limit: int) -> list[Key]:
    """The first rows that would be done."""
    return _keys(SAMPLE, selection, limit=limit)


def page(selection: Selection, *, after: str, limit: int) -> list[Key]:
    """The next rows after a cursor ('' = from the beginning), whether they would be done or not."""
    return _keys(PAGE, selection, after=_cursor(selection, after), limit=limit)


def willing(selection: Selection, keys: list[Key]) -> list[Key]:
    """Those of `keys` that match at this moment and would be done, in order."""
    return _keys(WILLING, selection, keys=keys)


def _keys(question: str, selection: Selection, **more: Any) -> list[Key]:
    return [found.key for found in fetch(*_asked(question, selection, **more), row=_Found)]


def _asked(question: str, selection: Selection, **more: Any) -> tuple[str, Params]:
    """The statement and its parameters. Its text is made of constants; what an operator wrote is a parameter."""
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
    flags = {
        "acked": asked.status == "acked",
        "delivered": asked.status == "delivered",
        "may_duplicate": selection.may_duplicate,
    }
    return sql(question, rows=source.query, where=where, way=WAY), params | flags


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
        return "inbox.parked_at IS NOT NULL"
    if selection.filter.status or selection.filter.ids:
        return "true"
    return {
        ReplayKind.EVENTS: "event.state = {EventState.UNDELIVERABLE}",
        ReplayKind.MESSAGES: "message.state BETWEEN {MessageState.UNDELIVERED} AND {MessageState.CANCELLED}"
        " AND NOT message.is_test",
        ReplayKind.REPORTS: "true",
    }[selection.kind]


def _floor(selection: Selection) -> UUID | None:
    """Ids of messages grow with time, so that a scan by id need not begin with the oldest message of all."""
    if selection.kind is not ReplayKind.MESSAGES or selection.filter.since is None:
        return None
    moment = selection.filter.since - CLOCKS_APART
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)
