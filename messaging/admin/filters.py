"""Filters of the desk's lists. Each costs an index, or a list of names, and never a count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.lists import unknown_value
from accounts.models import Tenant
from messaging.books.timeline import EVENT_WORDS, STATE_WORDS
from messaging.models import ProviderAccount
from messaging.rules.values import QueueKind

_CLOCKS_APART = timedelta(minutes=5)  # between the process that made an id and the database's clock
_SPANS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}


def first_id(moment: datetime) -> UUID:
    """The smallest time-ordered id of that moment: turns a date into a range of the primary key."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


class KnownFilter(SimpleListFilter):
    """A filter that refuses what it does not offer: ignored, it would show everything as if all of it matched."""

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        offered = {str(value): str(label) for value, label in self.lookup_choices}
        if self.value() not in (None, "", *offered):
            raise unknown_value(str(self.title), self.parameter_name or "", offered)


class TenantFilter(KnownFilter):
    title = "tenant"
    parameter_name = "tenant"
    column: ClassVar[str] = "tenant_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return list(Tenant.objects.values_list("pk", "slug"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{self.column: int(value)}) if value and value.isdigit() else queryset


class ThroughAccount(TenantFilter):
    """For rows that name their provider account only."""

    column = "account__tenant_id"


class ThroughQueue(TenantFilter):
    """For callbacks: the queue towards Bloomreach belongs to one tenant, and leads the index."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(queue__kind=QueueKind.CALLBACKS, queue__key=value) if value else queryset


class AccountFilter(KnownFilter):
    title = "provider account"
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        accounts = ProviderAccount.objects.values_list("pk", "tenant__slug", "name").order_by(
            "tenant__slug", "name"
        )
        return [(pk, f"{slug}/{name}") for pk, slug, name in accounts]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(account_id=int(value)) if value and value.isdigit() else queryset


class _NumberFilter(KnownFilter):
    title = "state"
    parameter_name = "state"
    words: ClassVar[dict[Any, str]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [(state.value, word) for state, word in self.words.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(state=int(value)) if value and value.isdigit() else queryset


class MessageStateFilter(_NumberFilter):
    words: ClassVar[dict[Any, str]] = dict(STATE_WORDS)


class EventStateFilter(_NumberFilter):
    words: ClassVar[dict[Any, str]] = dict(EVENT_WORDS)


class SinceFilter(KnownFilter):
    """Rows of the last hours or days, by their time-ordered key."""

    title = "time"
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [("1h", "last hour"), ("24h", "last 24 hours"), ("7d", "last 7 days"), ("30d", "last 30 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = _SPANS.get(self.value() or "")
        return queryset if span is None else self.since(queryset, datetime.now(UTC) - span)

    def since(self, queryset: QuerySet[Any], moment: datetime) -> QuerySet[Any]:
        return queryset.filter(created_at__gte=moment, pk__gte=first_id(moment - _CLOCKS_APART))


class ExchangeSinceFilter(SinceFilter):
    """The column is the one that the table is partitioned by."""

    def since(self, queryset: QuerySet[Any], moment: datetime) -> QuerySet[Any]:
        return queryset.filter(at__gte=moment)


class ReceivedSinceFilter(SinceFilter):
    def since(self, queryset: QuerySet[Any], moment: datetime) -> QuerySet[Any]:
        return queryset.filter(received_at__gte=moment)
