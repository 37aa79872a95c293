"""Inbound messages (MO): stored once, then owed to the tenant's inbound URL like any other event (contract 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from messaging.evidence import repeats
from messaging.evidence.locking import clip
from messaging.models import Queue
from messaging.models.statement import change, fetch
from messaging.queues import destinations
from messaging.rules.ids import uuid7
from messaging.rules.values import DestinationKind, EventKind
from phone import numbers
from vendors.values import Inbound

TEXT_MAX = 100_000  # characters of an inbound text; no handset sends that many

STORE = """
INSERT INTO messaging_inboundmessage (id, tenant_id, account_id, channel, vendor_id, part, sender, recipient, text,
    media, occurred_at, received_at, exchange_id, exchange_at, digest)
SELECT v.id, v.tenant_id, v.account_id, v.channel, v.vendor_id, v.part, v.sender, v.recipient, v.text, v.media,
       v.occurred_at, v.exchange_at, v.exchange_id, v.exchange_at, v.digest
FROM unnest(%(id)s::uuid[], %(tenant_id)s::int8[], %(account_id)s::int8[], %(channel)s::text[],
    %(vendor_id)s::text[], %(part)s::int2[], %(sender)s::text[], %(recipient)s::text[], %(text)s::text[],
    %(media)s::jsonb[], %(occurred_at)s::timestamptz[], %(exchange_id)s::uuid[], %(exchange_at)s::timestamptz[],
    %(digest)s::bytea[])
  AS v(id, tenant_id, account_id, channel, vendor_id, part, sender, recipient, text, media, occurred_at, exchange_id,
       exchange_at, digest)
ON CONFLICT (account_id, vendor_id, part) DO NOTHING RETURNING id
"""

# A tenant without an inbound URL keeps its inbound messages here, and is owed nothing.
ADD_EVENTS = """
INSERT INTO messaging_event (id, queue_id, destination_id, inbound_id, kind, url, status, occurred_at, due_at)
SELECT v.event_id, l.id,
       /* known */, i.id, %(kind)s, u.url, 'received', coalesce(i.occurred_at, i.received_at), clock_timestamp()
FROM unnest(%(inbound_id)s::uuid[], %(event_id)s::uuid[]) AS v(inbound_id, event_id)
JOIN messaging_inboundmessage i ON i.id = v.inbound_id
JOIN accounts_tenant t ON t.id = i.tenant_id
JOIN messaging_queue l ON l.kind = 1 AND l.key = t.id::text
CROSS JOIN LATERAL (SELECT CASE i.channel WHEN 'mms' THEN t.inbound_url_mms ELSE t.inbound_url_sms END AS url) u
WHERE u.url <> '' ON CONFLICT DO NOTHING
""".replace(
    "/* known */", destinations.KNOWN.format(queue="l.id", kind=int(DestinationKind.INBOUND), url="u.url")
)


# A recipient that opted out at the vendor said STOP at some time, only not to us.
STOP = """
INSERT INTO messaging_inboundmessage (id, tenant_id, account_id, channel, vendor_id, part, sender, recipient, text,
    media, received_at, exchange_id, exchange_at)
SELECT v.id, m.tenant_id, m.account_id, m.channel, 'opted-out ' || m.id, 1, m.recipient, m.sender, 'STOP', '[]',
       clock_timestamp(), m.id, clock_timestamp()
FROM unnest(%(id)s::uuid[], %(message)s::uuid[]) AS v(id, message_id)
JOIN messaging_message m ON m.id = v.message_id
JOIN accounts_tenant t ON t.id = m.tenant_id AND t.opt_out_as_inbound
ON CONFLICT (account_id, vendor_id, part) DO NOTHING RETURNING id, tenant_id
"""


def wrong(message: Inbound) -> str:
    """Why an inbound message cannot be told, in words; "" when it can. Nobody can answer one without a sender."""
    return "" if _number(message.sender) else "an inbound message without a sender"


@dataclass(frozen=True, slots=True)
class Received:
    """An inbound message, with its inbox row, its place in the vendor's call and the digest of that call."""

    row: Any
    place: int
    digest: bytes
    message: Inbound

    @property
    def vendor_id(self) -> str:
        """The vendor's id; without one the call's own, so that reading it again stores nothing."""
        return clip(self.message.vendor_id, 120) or f"unnamed {self.row.exchange_id}/{self.place}"


def store(messages: Sequence[Received], *, reading: Sequence[UUID]) -> None:
    """Stores what is new and owes the events, in the transaction that takes the calls `reading` from the inbox."""
    new = repeats.first_times([_candidate(one) for one in messages], reading=reading)
    messages = [one for one, is_new in zip(messages, new, strict=True) if is_new]
    if messages:
        stored = fetch(STORE, _columns(messages))
        _owe([row.id for row in stored], tenant_ids={one.row.tenant_id for one in messages})


def opted_out(message_ids: Sequence[UUID]) -> None:
    """Owes an inbound STOP for each message that was refused for an opt-out, where the tenant wants that."""
    new = fetch(STOP, {"id": [uuid7() for _ in message_ids], "message": list(message_ids)})
    _owe([row.id for row in new], tenant_ids={row.tenant_id for row in new})


def _owe(ids: Sequence[UUID], *, tenant_ids: set[int]) -> None:
    if not ids:
        return
    Queue.objects.ensure_callbacks(tenant_ids)
    change(
        ADD_EVENTS,
        {"kind": int(EventKind.INBOUND), "inbound_id": list(ids), "event_id": [uuid7() for _ in ids]},
    )


def _candidate(one: Received) -> repeats.NewInbound:
    row = one.row
    sender, has_id = _number(one.message.sender), bool(clip(one.message.vendor_id, 120))
    return repeats.NewInbound(
        row.tenant_id, row.account_id, sender, row.exchange_id, row.exchange_at, one.digest, has_id
    )


def _columns(messages: Sequence[Received]) -> dict[str, list[Any]]:
    said = [one.message for one in messages]
    return {
        "id": [uuid7() for _ in said],
        "tenant_id": [one.row.tenant_id for one in messages],
        "account_id": [one.row.account_id for one in messages],
        "exchange_id": [one.row.exchange_id for one in messages],
        "exchange_at": [one.row.exchange_at for one in messages],
        "digest": [one.digest for one in messages],
        "channel": [str(message.channel) for message in said],
        "vendor_id": [one.vendor_id for one in messages],
        "part": [min(max(message.part, 1), 32767) for message in said],
        "sender": [_number(message.sender) for message in said],
        "recipient": [_number(message.recipient) for message in said],
        "text": [clip(message.text, TEXT_MAX) for message in said],
        "media": [Jsonb([asdict(file) for file in message.media]) for message in said],
        "occurred_at": [message.occurred_at for message in said],
    }


def _number(exchange: str) -> str:
    """Canonical where it is a number; a vendor's oddity is kept as it came."""
    try:
        return numbers.parse_sender(numbers.dialled_short_code(exchange.strip())).value
    except numbers.NumberError:
        return clip(exchange.strip(), 20)
