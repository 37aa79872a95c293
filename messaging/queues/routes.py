"""A tenant's routing table: read from the rows, remembered for the accept path, explained to operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from accounts.remembered import Remembered
from messaging.models.sql import fetch
from messaging.rules.routing import Way
from vendors import registry
from vendors.limits import Limits
from vendors.values import Channel

# Without active routes each account is a way of its own, in order. The tenants are compared: a row that names
# another tenant's account leads nowhere.
TABLE = """
WITH own AS (SELECT * FROM messaging_route WHERE tenant_id = %(tenant)s),
chosen AS (SELECT count(*) FILTER (WHERE is_active) > 0 AS routed FROM own)
SELECT account.id AS account_id, account.queue_id, account.name, account.vendor, account.settings, account.channels,
       account.senders AS own, account.sender_map, account.validity, account.is_active,
       route.id AS route_id, route.channel, route.prefixes, route.senders, route.weight,
       route.is_active AS route_is_active, chosen.routed,
       coalesce(route.position, row_number() OVER (ORDER BY account.position, account.id)) AS position,
       queue.paused_at, queue.paused_why, queue.open_until > clock_timestamp() AS is_open
FROM messaging_provideraccount account CROSS JOIN chosen
JOIN messaging_queue queue ON queue.id = account.queue_id
LEFT JOIN own route ON route.account_id = account.id AND chosen.routed
WHERE account.tenant_id = %(tenant)s
ORDER BY position, route.id, account.id
"""


@dataclass(frozen=True, slots=True)
class RouteRow:
    """An account of the tenant, its queue, and the route that leads to it; the route's columns are None without one."""

    account_id: int
    queue_id: int
    name: str
    vendor: str
    settings: dict[str, Any]
    channels: list[str]
    own: list[str]
    sender_map: dict[str, str]
    validity: timedelta
    is_active: bool
    route_id: int | None
    channel: str | None
    prefixes: list[str] | None
    senders: list[str] | None
    weight: int | None
    route_is_active: bool | None
    routed: bool
    position: int
    paused_at: datetime | None
    paused_why: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Table:
    """All ways of a tenant; which queues stand still, and why; how long each account's messages are worth sending."""

    ways: tuple[Way, ...]
    blocked: Mapping[int, str]
    validity: Mapping[int, timedelta]


_tables: Remembered[int, Table] = Remembered()


def remembered(tenant_id: int) -> Table:
    """The table, at most two seconds old: costs the accept path no round trip."""
    return _tables.get(tenant_id, lambda: load(tenant_id))


def forget() -> None:
    """The next request asks the database, for tests."""
    _tables.clear()


def load(tenant_id: int) -> Table:
    """The table as it is now."""
    rows = fetch(TABLE, {"tenant": tenant_id}, row=RouteRow)
    return Table(
        ways=tuple(_way(row) for row in rows),
        blocked={row.queue_id: why for row in rows if (why := _standstill(row))},
        validity={row.account_id: row.validity for row in rows},
    )


def _way(row: RouteRow) -> Way:
    return Way(
        account_id=row.account_id,
        queue_id=row.queue_id,
        name=row.name,
        position=row.position,
        channels=tuple(row.channels),
        own=tuple(row.own),
        sender_map=tuple(row.sender_map.items()),
        route_id=row.route_id,
        channel=row.channel or "",
        prefixes=tuple(row.prefixes or ()),
        senders=tuple(row.senders or ()),
        weight=row.weight or 1,
        off=_off(row),
        limits=_limits(row),
    )


def _limits(row: RouteRow) -> tuple[tuple[str, Limits], ...]:
    """What the account can carry on each of its channels; nothing for a vendor that only a newer version knows."""
    try:
        adapter = registry.adapter(row.vendor)
    except registry.UnknownVendor:
        return ()
    return tuple(
        (channel, adapter.limits(channel, row.settings)) for channel in Channel if channel in row.channels
    )


def _off(row: RouteRow) -> str:
    if not row.is_active:
        return "the account is switched off"
    if row.routed and row.route_id is None:
        return "the tenant has routes, and none leads to this account"
    return "the route is switched off" if row.routed and not row.route_is_active else ""


def _standstill(row: RouteRow) -> str:
    if row.paused_at is not None:
        return f"its queue is paused: {row.paused_why or 'no reason given'}"
    return "its circuit is open" if row.is_open else ""
