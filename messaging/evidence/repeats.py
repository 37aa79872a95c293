"""Inbound messages to which the vendor gives no id: which of them came before.

A vendor repeats a call when our answer got lost: the same bytes, soon after. A person who writes the same again is
another message. So a call counts as a repeat only when the latest call from that handset was the same to the byte, and
came within WINDOW. Whatever cannot be known counts as new: a STOP told twice harms nobody, one that is lost does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from messaging.models.sql import Params, change, column, fetch

# Gateways wait up to 30 s for our answer and try again within 30 s more.
WINDOW = timedelta(seconds=90)

# Two pumps must not judge one handset's messages at the same time. In one order, so that they cannot deadlock.
LOCK_HANDSETS = """
SELECT pg_advisory_xact_lock(hashtextextended(name, 0))
FROM (SELECT DISTINCT name FROM unnest(%(names)s::text[]) AS name ORDER BY name) handset
"""

# The handset's latest message of another call within the window before each message. Messages that were stored before
# the digest existed are known by the call itself: `is_old` says that this very call was read before.
PREVIOUS = """
SELECT given.n, previous.received_at, previous.exchange_id, previous.digest,
       EXISTS (SELECT FROM messaging_inboundmessage same WHERE same.tenant_id = given.tenant_id
               AND same.received_at = given.exchange_at AND same.exchange_id = given.exchange_id
               AND same.digest = '') AS is_old
FROM unnest(%(n)s::int4[], %(tenant_id)s::int8[], %(account_id)s::int8[], %(sender)s::text[], %(exchange_id)s::uuid[],
            %(exchange_at)s::timestamptz[]) AS given(n, tenant_id, account_id, sender, exchange_id, exchange_at)
LEFT JOIN LATERAL (
  SELECT inbound.received_at, inbound.exchange_id, inbound.digest FROM messaging_inboundmessage inbound
  WHERE inbound.tenant_id = given.tenant_id AND inbound.received_at > given.exchange_at - %(window)s
    AND inbound.received_at <= given.exchange_at AND inbound.account_id = given.account_id
    AND inbound.sender = given.sender AND inbound.exchange_id <> given.exchange_id
  ORDER BY inbound.received_at DESC, inbound.id DESC LIMIT 1) previous ON true
"""

# A call between the two that nobody has read yet may be of the same handset.
UNREAD = """
SELECT 1 FROM messaging_inbox
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
class PreviousInbound:
    """What the tables hold of a handset before message number `n`; None: nothing within the window."""

    n: int
    received_at: datetime | None
    exchange_id: UUID | None
    digest: bytes | None
    is_old: bool

    @property
    def call(self) -> _EarlierCall | None:
        if self.received_at is None or self.exchange_id is None or self.digest is None:
            return None
        return _EarlierCall(self.received_at, self.exchange_id, bytes(self.digest))


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
    change(LOCK_HANDSETS, {"names": [f"inbound {one.account_id} {one.sender}" for one in nameless.values()]})
    before = {row.n: row for row in fetch(PREVIOUS, _columns(nameless), row=PreviousInbound)}
    latest: dict[tuple[int, str], NewInbound] = {}
    judged: dict[tuple[int, str, UUID], bool] = {}  # one for all that a handset says in one call
    new = [True] * len(candidates)
    for n in sorted(range(len(candidates)), key=lambda n: candidates[n].exchange_at):
        one = candidates[n]
        handset = one.account_id, one.sender
        if n in nameless:
            key = (*handset, one.exchange_id)
            if key not in judged:
                judged[key] = _is_new(one, before[n], latest.get(handset), reading)
            new[n] = judged[key]
        if new[n]:
            latest[handset] = one
    return new


def _is_new(
    one: NewInbound, stored: PreviousInbound, taken: NewInbound | None, reading: Sequence[UUID]
) -> bool:
    """`stored`: the handset's latest call in the tables; `taken`: the latest of this batch."""
    if stored.is_old:
        return False
    previous = stored.call
    if (
        taken
        and taken.exchange_id != one.exchange_id
        and (previous is None or previous.at <= taken.exchange_at)
    ):
        previous = _EarlierCall(taken.exchange_at, taken.exchange_id, taken.digest)
    if previous is None or previous.digest != one.digest or one.exchange_at - previous.at >= WINDOW:
        return True
    between = {"account_id": one.account_id, "since": previous.at, "until": one.exchange_at}
    read_now = [*reading, one.exchange_id, previous.exchange_id]
    return bool(column(UNREAD, {**between, "reading": read_now}, of=int))


def _columns(nameless: dict[int, NewInbound]) -> Params:
    names = ("tenant_id", "account_id", "sender", "exchange_id", "exchange_at")
    columns = {name: [getattr(one, name) for one in nameless.values()] for name in names}
    return {**columns, "n": list(nameless), "window": WINDOW}
