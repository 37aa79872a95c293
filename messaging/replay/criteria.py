"""What an operator asks a replay to take: the filter, checked against the database, and kept in its row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.utils.dateparse import parse_datetime

from accounts.models import Tenant
from messaging.models import ProviderAccount
from messaging.models.replay import ReplayKind
from messaging.models.sql import column
from messaging.rules.values import MessageState

IDS_MAX: Final = 10_000
PARKED: Final = "parked"
STATUSES: Final[Mapping[ReplayKind, tuple[str, ...]]] = {
    ReplayKind.EVENTS: ("undeliverable", "acked"),
    ReplayKind.MESSAGES: tuple(
        state.name.lower() for state in MessageState if state.is_final and state is not MessageState.REFUSED
    ),
    ReplayKind.REPORTS: (PARKED,),
}


class ReplayError(ValueError):
    """The order makes no sense; the text is for the person who gave it."""


@dataclass(frozen=True, slots=True)
class ReplayFilter:
    """What an operator asks for; everything that is set must hold. Times are aware, `since` <= t < `until`.

    `status`: one of STATUSES. `ids`: events, messages or stored vendor calls; messages for corrections.
    """

    tenant: str = ""  # slug
    account: str = ""  # public id, or name
    status: str = ""
    since: datetime | None = None
    until: datetime | None = None
    ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """A filter that was checked against the database, with the flags that decide what is refused."""

    kind: ReplayKind
    filter: ReplayFilter
    tenant_id: int | None = None
    account_id: int | None = None
    may_duplicate: bool = False
    corrections: bool = False

    def to_json(self) -> dict[str, Any]:
        """What the Replay row keeps: the words for people, the keys for the pumps."""
        asked = self.filter
        return {
            "tenant": asked.tenant,
            "tenant_id": self.tenant_id,
            "account": asked.account,
            "account_id": self.account_id,
            "status": asked.status,
            "since": asked.since and asked.since.isoformat(),
            "until": asked.until and asked.until.isoformat(),
            "ids": [str(one) for one in asked.ids],
        }

    @classmethod
    def from_json(
        cls, kind: str, kept: Mapping[str, Any], *, may_duplicate: bool, corrections: bool
    ) -> Selection:
        """The selection of a Replay row."""
        asked = ReplayFilter(
            tenant=kept["tenant"],
            account=kept["account"],
            status=kept["status"],
            since=parse_datetime(kept["since"] or ""),
            until=parse_datetime(kept["until"] or ""),
            ids=tuple(UUID(one) for one in kept["ids"]),
        )
        return cls(ReplayKind(kind), asked, kept["tenant_id"], kept["account_id"], may_duplicate, corrections)


def select(
    *, kind: str, asked: ReplayFilter, may_duplicate: bool = False, corrections: bool = False
) -> Selection:
    """Checks an order. Raises ReplayError, in words for a person."""
    if kind not in ReplayKind.values:
        raise ReplayError(f"Unknown kind {kind!r}: choose {', '.join(ReplayKind.values)}.")
    chosen = ReplayKind(kind)
    if may_duplicate and chosen is not ReplayKind.MESSAGES:
        raise ReplayError("Only messages can be resent at the risk of a duplicate.")
    if corrections and chosen is not ReplayKind.REPORTS:
        raise ReplayError("Corrections are made from reports.")
    _check_status(chosen, asked.status, corrections=corrections)
    _check_bounds(asked)
    tenant_id = _tenant(asked.tenant)
    account_id = _account(asked.account, tenant_id)
    return Selection(chosen, asked, tenant_id, account_id, may_duplicate, corrections)


def until_now(selection: Selection) -> Selection:
    """The same, without rows that come after this moment of the database: copies are not copied in turn."""
    [now] = column("SELECT clock_timestamp()", of=datetime)
    until = min(selection.filter.until or now, now)
    return replace(selection, filter=replace(selection.filter, until=until))


def _check_status(kind: ReplayKind, status: str, *, corrections: bool) -> None:
    if not status:
        return
    if corrections:
        raise ReplayError("Corrections take no status: they are made from contradicting reports.")
    if status not in STATUSES[kind]:
        raise ReplayError(f"Unknown status {status!r} of {kind}: choose {', '.join(STATUSES[kind])}.")


def _check_bounds(asked: ReplayFilter) -> None:
    for name, moment in (("since", asked.since), ("until", asked.until)):
        if moment is not None and moment.tzinfo is None:
            raise ReplayError(f"{name} needs a time zone.")
    if asked.since and asked.until and asked.since >= asked.until:
        raise ReplayError("since must lie before until.")
    if len(asked.ids) > IDS_MAX:
        raise ReplayError(f"At most {IDS_MAX} ids at once: choose by tenant, status and time instead.")


def _tenant(slug: str) -> int | None:
    if not slug:
        return None
    tenant_id = Tenant.objects.filter(slug=slug).values_list("id", flat=True).first()
    if tenant_id is None:
        raise ReplayError(f"Unknown tenant {slug!r}.")
    return tenant_id


def _account(name: str, tenant_id: int | None) -> int | None:
    if not name:
        return None
    known = (
        ProviderAccount.objects.all()
        if tenant_id is None
        else ProviderAccount.objects.filter(tenant_id=tenant_id)
    )
    by_public_id = known.filter(public_id=name).values_list("id", flat=True).first()
    if by_public_id is not None:
        return by_public_id
    ids = list(known.filter(name=name).values_list("id", flat=True)[:2])
    if not ids:
        raise ReplayError(f"Unknown provider account {name!r}.")
    if len(ids) > 1:
        raise ReplayError(f"Several tenants have a provider account {name!r}: name the tenant too.")
    return ids[0]
