"""A message that changes its account after a refusal that is the route's fault.

Never while an attempt may have reached the recipient, and at most once per account that refused (docs/routing.md).
Messages that wait in a queue that does not run are moved by worker/moving.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from messaging.evidence.locking import LockedAttempt, LockedMessage
from messaging.models.sql import fetch, sql
from messaging.queues import routes
from messaging.rules import backoff, routing
from messaging.rules.routing import Choice, Facts
from vendors.limits import NOTHING, Limits, Payload
from vendors.values import Channel, Outcome

Tables = dict[int, routes.Table]  # by tenant: read once per batch

CONTENT = sql("""
SELECT CASE WHEN %(send_as)s = message.channel THEN content.text ELSE content.fallback_text END AS text,
       CASE WHEN %(send_as)s = {Channel.MMS} THEN jsonb_array_length(content.media) ELSE 0 END AS files
FROM messaging_message message
JOIN messaging_content content ON content.message_id = message.id AND content.created_at = message.created_at
WHERE message.id = %(id)s
""")


@dataclass(frozen=True, slots=True)
class StoredContent:
    """What would go out of a message."""

    text: str
    files: int


def after_refusal(
    message: LockedMessage, attempt: LockedAttempt, outcome: Outcome, tables: Tables
) -> Choice | None:
    """The way that a message goes on after its account refused it; None: there is none, or it must not.

    A refused account or its credentials stop a whole queue: then no message waits in another that stands still.
    """
    others = [other for other in message.attempts.values() if other is not attempt]
    used_up = message.row.attempts >= backoff.SEND_ATTEMPTS_MAX or message.row.now >= message.row.expires_at
    if used_up or any(other.may_arrive for other in others):
        return None
    tried = {other.account_id for other in others if other.refused_for_good} | {attempt.account_id}
    table = table_of(message.row.tenant_id, tables)
    stopped = {message.queue_id: "it was refused"} if outcome is Outcome.CONFIGURATION else {}
    content = _content(message.row.id, message.send_as, table)
    facts = facts_of(message.send_as, message.row.sender, message.row.recipient, content)
    choices = routing.rank(facts, table.ways, blocked={**table.blocked, **stopped}, tried=tried)
    return routing.best(choices, may_wait=outcome is Outcome.PERMANENT)


def facts_of(send_as: str, sender: str, recipient: str, content: Payload) -> Facts:
    """What routing looks at, of a message that exists."""
    return Facts(Channel(send_as), sender, recipient, key=recipient, content=content)


def table_of(tenant_id: int, tables: Tables) -> routes.Table:
    """The tenant's table: from `tables`, or read from the rows and kept there."""
    if tenant_id not in tables:
        tables[tenant_id] = routes.load(tenant_id)
    return tables[tenant_id]


def _content(message_id: UUID, send_as: str, table: routes.Table) -> Payload:
    """What would go out, read only where an account has limits to judge it by."""
    if not any(limits != Limits() for way in table.ways for _, limits in way.limits):
        return NOTHING
    (content,) = fetch(CONTENT, {"id": message_id, "send_as": send_as}, row=StoredContent)
    return Payload(content.text, content.files)
