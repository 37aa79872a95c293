"""Inbound messages (MO): stored once, then owed to the tenant's inbound URL like any other event (contract 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from messaging.evidence import repeats
from messaging.evidence.locking import clip
from messaging.models import Queue
from messaging.models.sql import Params, change, column, fetch, sql
from messaging.queues import destinations
from messaging.rules.ids import uuid7
from phone import numbers
from vendors.values import Inbound

TEXT_MAX = 100_000  # characters of an inbound text; no handset sends that many

# Returns the ids of what is new: the same part of the same vendor's message is stored once.
STORE = """
INSERT INTO messaging_inboundmessage (id, tenant_id, account_id, channel, vendor_id, part, sender, recipient, text,
    media, occurred_at, received_at, exchange_id, exchange_at, digest)
SELECT given.id, given.tenant_id, given.account_id, given.channel, given.vendor_id, given.part, given.sender,
       given.recipient, given.text, given.media, given.occurred_at, given.exchange_at, given.exchange_id,
       given.exchange_at, given.digest
FROM unnest(%(id)s::uuid[], %(tenant_id)s::int8[], %(account_id)s::int8[], %(channel)s::text[],
    %(vendor_id)s::text[], %(part)s::int2[], %(sender)s::text[], %(recipient)s::text[], %(text)s::text[],
    %(media)s::jsonb[], %(occurred_at)s::timestamptz[], %(exchange_id)s::uuid[], %(exchange_at)s::timestamptz[],
    %(digest)s::bytea[])
  AS given(id, tenant_id, account_id, channel, vendor_id, part, sender, recipient, text, media, occurred_at,
           exchange_id, exchange_at, digest)
ON CONFLICT (account_id, vendor_id, part) DO NOTHING RETURNING id
"""

# A tenant without an inbound URL keeps its inbound messages here, and no event is made for them.
ADD_EVENTS = sql(
    """
INSERT INTO messaging_event (id, queue_id, destination_id, inbound_id, kind, url, status, occurred_at, due_at)
SELECT given.event_id, queue.id, {known_destination}, inbound.id, {EventKind.INBOUND}, address.url, 'received',
       coalesce(inbound.occurred_at, inbound.received_at), clock_timestamp()
FROM unnest(%(inbound_id)s::uuid[], %(event_id)s::uuid[]) AS given(inbound_id, event_id)
JOIN messaging_inboundmessage inbound ON inbound.id = given.inbound_id
JOIN accounts_tenant tenant ON tenant.id = inbound.tenant_id
JOIN messaging_queue queue ON queue.kind = {QueueKind.CALLBACKS} AND queue.key = tenant.id::text
CROSS JOIN LATERAL (SELECT CASE inbound.channel WHEN {Channel.MMS} THEN tenant.inbound_url_mms
                                                ELSE tenant.inbound_url_sms END AS url) address
WHERE address.url <> '' ON CONFLICT DO NOTHING
""",
    known_destination=destinations.KNOWN.format(
        queue="queue.id", kind="{DestinationKind.INBOUND}", url="address.url"
    ),
)


# A recipient that opted out at the vendor sent STOP at some time, but not to us: an inbound message in its place.
STORE_STOP = """
INSERT INTO messaging_inboundmessage (id, tenant_id, account_id, channel, vendor_id, part, sender, recipient, text,
    media, received_at, exchange_id, exchange_at)
SELECT given.id, message.tenant_id, message.account_id, message.channel, 'opted-out ' || message.id, 1,
       message.recipient, message.sender, 'STOP', '[]', clock_timestamp(), message.id, clock_timestamp()
FROM unnest(%(id)s::uuid[], %(message)s::uuid[]) AS given(id, message_id)
JOIN messaging_message message ON message.id = given.message_id
JOIN accounts_tenant tenant ON tenant.id = message.tenant_id AND tenant.opt_out_as_inbound
ON CONFLICT (account_id, vendor_id, part) DO NOTHING RETURNING id, tenant_id
"""


@dataclass(frozen=True, slots=True)
class StoredStop:
    """An inbound STOP that was new."""

    id: UUID
    tenant_id: int


def wrong(message: Inbound) -> str:
    """Why an inbound message cannot be stored, for people; "" when it can. Nobody can answer one without a sender."""
    return "" if _number(message.sender) else "an inbound message without a sender"


@dataclass(frozen=True, slots=True)
class Received:
    """An inbound message, with the vendor's call that told it (stored as an exchange), and its place in that call."""

    tenant_id: int
    account_id: int
    exchange_id: UUID
    exchange_at: datetime
    place: int
    digest: bytes  # of the call
    message: Inbound

    @property
    def vendor_id(self) -> str:
        """The vendor's id; without one the call's own, so that reading it again stores nothing."""
        return clip(self.message.vendor_id, 120) or f"unnamed {self.exchange_id}/{self.place}"


def store(messages: Sequence[Received], *, reading: Sequence[UUID]) -> None:
    """Stores what is new and adds its events, in the transaction that takes the calls `reading` from the inbox."""
    new = repeats.first_times([_candidate(one) for one in messages], reading=reading)
    messages = [one for one, is_new in zip(messages, new, strict=True) if is_new]
    if messages:
        stored = column(STORE, _columns(messages), of=UUID)
        _add_events(stored, tenant_ids={one.tenant_id for one in messages})


def opted_out(message_ids: Sequence[UUID]) -> None:
    """Adds an inbound STOP for each message that was refused for an opt-out, where the tenant wants that."""
    params = {"id": [uuid7() for _ in message_ids], "message": list(message_ids)}
    new = fetch(STORE_STOP, params, row=StoredStop)
    _add_events([row.id for row in new], tenant_ids={row.tenant_id for row in new})


def _add_events(ids: Sequence[UUID], *, tenant_ids: set[int]) -> None:
    if not ids:
        return
    Queue.objects.ensure_callbacks(tenant_ids)
    change(ADD_EVENTS, {"inbound_id": list(ids), "event_id": [uuid7() for _ in ids]})


def _candidate(one: Received) -> repeats.NewInbound:
    return repeats.NewInbound(
        tenant_id=one.tenant_id,
        account_id=one.account_id,
        sender=_number(one.message.sender),
        exchange_id=one.exchange_id,
        exchange_at=one.exchange_at,
        digest=one.digest,
        has_id=bool(clip(one.message.vendor_id, 120)),
    )


def _columns(messages: Sequence[Received]) -> Params:
    said = [one.message for one in messages]
    return {
        "id": [uuid7() for _ in said],
        "tenant_id": [one.tenant_id for one in messages],
        "account_id": [one.account_id for one in messages],
        "exchange_id": [one.exchange_id for one in messages],
        "exchange_at": [one.exchange_at for one in messages],
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


def _number(written: str) -> str:
    """Canonical where it is a number; anything else is kept as the vendor wrote it."""
    try:
        return numbers.parse_sender(numbers.dialled_short_code(written.strip())).value
    except numbers.NumberError:
        return clip(written.strip(), 20)
