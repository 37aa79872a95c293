"""Inbound messages to which the vendor gives no id: which of them came before.

A vendor repeats a call when our answer got lost: the same bytes, soon after. A person who writes the same again is
another message. So a call counts as a repeat only when the latest call from that handset was the same to the byte, and
came within WINDOW. Whatever cannot be known counts as new: a STOP told twice harms nobody, one that is lost does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from messaging.models.statement import fetch

# Gateways wait up to 30 s for our answer and try again within 30 s more.
WINDOW = timedelta(seconds=90)

# Two pumps must not judge one handset's messages at the same time. In one order, so that they cannot deadlock.
LOCK = """
SELECT pg_advisory_xact_lock(hashtextextended(name, 0))
FROM (SELECT DISTINCT name FROM unnest(%(names)s::text[]) AS name ORDER BY name) n
"""

# Messages of this very call that were stored before the digest was are known by the call itself.
BEFORE = """
SELECT v.n, p.received_at, p.exchange_id AS before_id, p.digest,
       EXISTS (SELECT FROM messaging_inboundmessage o WHERE o.tenant_id = v.tenant_id AND o.received_at = v.exchange_at
               AND o.exchange_id = v.exchange_id AND o.digest = '') AS is_old
FROM unnest(%(n)s::int4[], %(tenant_id)s::int8[], %(account_id)s::int8[], %(sender)s::text[], %(exchange_id)s::uuid[],
            %(exchange_at)s::timestamptz[]) AS v(n, tenant_id, account_id, sender, exchange_id, exchange_at)
LEFT JOIN LATERAL (
  SELECT i.received_at, i.exchange_id, i.digest FROM messaging_inboundmessage i
  WHERE i.tenant_id = v.tenant_id AND i.received_at > v.exchange_at - %(window)s AND i.received_at <= v.exchange_at
    AND i.account_id = v.account_id AND i.sender = v.sender AND i.exchange_id <> v.exchange_id
  ORDER BY i.received_at DESC, i.id DESC LIMIT 1) p ON true
"""

# A call between the two that nobody has read yet may be of the same handset.
UNREAD = """
SELECT 1 AS found FROM messaging_inbox
WHERE account_id = %(account_id)s AND exchange_at BETWEEN %(since)s AND %(until)s AND exchange_id <> ALL(%(reading)s)
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class NewInbound:
    """An inbound message that is about to be stored."""

    tenant_id: int
    account_id: int
    sender: str  # as it is stored
    exchange_id: UUID
    exchange_at: datetime
    digest: bytes  # of the call
    has_id: bool


@dataclass(frozen=True, slots=True)
class _EarlierCall:
    at: datetime
    exchange_id: UUID
    digest: bytes


def first_times(candidates: Sequence[NewInbound], *, reading: Sequence[UUID]) -> list[bool]:
    """Whether each message is new. `reading`: the calls that this transaction takes from the inbox."""
    nameless = {n: one for n, one in enumerate(candidates) if not one.has_id}
    if not nameless:
        return [True] * len(candidates)
    fetch(LOCK, {"names": [f"inbound {one.account_id} {one.sender}" for one in nameless.values()]})
    before = {row.n: row for row in fetch(BEFORE, _columns(nameless))}
    latest: dict[tuple[int, str], NewInbound] = {}
    verdicts: dict[tuple[int, str, UUID], bool] = {}  # one for all that a handset says in one call
    new = [True] * len(candidates)
    for n in sorted(range(len(candidates)), key=lambda n: candidates[n].exchange_at):
        one = candidates[n]
        handset = one.account_id, one.sender
        if n in nameless:
            key = (*handset, one.exchange_id)
            if key not in verdicts:
                verdicts[key] = _is_new(one, before[n], latest.get(handset), reading)
            new[n] = verdicts[key]
        if new[n]:
            latest[handset] = one
    return new


def _is_new(one: NewInbound, row: Any, taken: NewInbound | None, reading: Sequence[UUID]) -> bool:
    """`row`: the handset's latest call in the tables; `taken`: the latest of this batch."""
    if row.is_old:
        return False
    previous = _EarlierCall(row.received_at, row.before_id, bytes(row.digest)) if row.received_at else None
    if (
        taken
        and taken.exchange_id != one.exchange_id
        and (previous is None or previous.at <= taken.exchange_at)
    ):
        previous = _EarlierCall(taken.exchange_at, taken.exchange_id, taken.digest)
    if previous is None or previous.digest != one.digest or one.exchange_at - previous.at >= WINDOW:
        return True
    between = {"account_id": one.account_id, "since": previous.at, "until": one.exchange_at}
    return bool(fetch(UNREAD, {**between, "reading": [*reading, one.exchange_id, previous.exchange_id]}))


def _columns(nameless: dict[int, NewInbound]) -> dict[str, Any]:
    names = ("tenant_id", "account_id", "sender", "exchange_id", "exchange_at")
    columns = {name: [getattr(one, name) for one in nameless.values()] for name in names}
    return {**columns, "n": list(nameless), "window": WINDOW}
