"""What the database says about a campaign's messages. Short statements, by the index of the message list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection as database

from accounts.models import ApiToken, Tenant, digest
from messaging.models import Message
from messaging.rules.values import MessageState


class UnknownToken(LookupError):
    """The token belongs to no tenant of this database."""


@dataclass(frozen=True, slots=True)
class Record:
    """One message as the connector knows it."""

    id: UUID
    request_id: str
    send_as: str
    state: MessageState
    error_code: str
    attempts: int
    owes_final: bool

    @property
    def is_final(self) -> bool:
        return self.state.is_final


def tenant_of(token: str) -> Tenant:
    """Whose token it is. Raises UnknownToken."""
    found = ApiToken.objects.live().select_related("tenant").filter(digest=digest(token)).first()
    if found is None:
        raise UnknownToken("the token belongs to no tenant of this database")
    return found.tenant


def now() -> datetime:
    """The database's clock."""
    with database.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def message_states(tenant: Tenant, *, since: datetime) -> Counter[MessageState]:
    """How many messages stand where."""
    states = Message.objects.for_tenant(tenant).filter(created_at__gte=since).values_list("state", flat=True)
    return Counter(MessageState(state) for state in states)


def unfinished(tenant: Tenant, *, since: datetime) -> set[str]:
    """The request ids of the messages that are not final."""
    rows = Message.objects.for_tenant(tenant).filter(created_at__gte=since).open()
    return set(rows.values_list("request_id", flat=True))


def records(tenant: Tenant, *, since: datetime, request_ids: Collection[str]) -> dict[str, Record]:
    """The connector's view of these requests, by request id."""
    rows = Message.objects.for_tenant(tenant).filter(created_at__gte=since).select_related("account")
    wanted = set(request_ids)
    return {row.request_id: _record(row) for row in rows if row.request_id in wanted}


def _record(row: Message) -> Record:
    # Contract 5: an unconfirmed message is closed inside, and a refused test was answered at once.
    silent = row.message_state is MessageState.UNCONFIRMED and not row.account.fail_unconfirmed
    owes = row.message_state.is_final and not silent and row.message_state is not MessageState.REFUSED
    return Record(row.id, row.request_id, row.send_as, row.message_state, row.error_code, row.attempts, owes)
