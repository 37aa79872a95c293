"""A vendor's call is proved, stored and queued in one statement. Nothing is read from it here."""

from __future__ import annotations

from dataclasses import dataclass, field

from accounts.remembered import Remembered
from messaging.models import ProviderAccount
from messaging.models.sql import change, sql
from messaging.reports import stored_calls
from messaging.rules.ids import uuid7
from messaging.watch import counters
from vendors import registry
from vendors.base import Adapter, BadSignature
from vendors.values import Credentials, HookReply, HookRequest

# The call goes into the exchanges and, to be read, into the inbox.
STORE = sql("""
WITH stored AS (
  INSERT INTO messaging_exchange (id, at, kind, account_id, call)
  VALUES (%(id)s, clock_timestamp(), {ExchangeKind.HOOK}, %(account_id)s, %(call)s)
  RETURNING id, at)
INSERT INTO messaging_inbox (exchange_id, exchange_at, account_id, due_at)
SELECT stored.id, stored.at, %(account_id)s, stored.at FROM stored
""")


class UnknownHook(LookupError):
    """No account of that vendor has that public id."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """The account that a hook URL belongs to."""

    account_id: int
    adapter: Adapter
    credentials: Credentials = field(repr=False)


_receivers: Remembered[tuple[str, str], Receiver | None] = Remembered()


def receiver(*, vendor: str, public_id: str) -> Receiver:
    """Who a hook URL belongs to, active or not, at most two seconds old. Raises UnknownHook, SealError."""
    found = _receivers.get((vendor, public_id), lambda: _load(vendor, public_id))
    if found is None:
        counters.hooks_refused.labels(reason="unknown").inc()
        raise UnknownHook
    return found


def store(*, receiver: Receiver, hook: HookRequest) -> HookReply:
    """Keeps the call for the inbox; what the vendor wants to hear. Raises BadSignature, SealError, django.db errors."""
    try:
        receiver.adapter.verify(hook, receiver.credentials)
    except BadSignature:
        counters.hooks_refused.labels(reason="signature").inc()
        raise
    change(STORE, {"id": uuid7(), "account_id": receiver.account_id, "call": stored_calls.sealed(hook)})
    return receiver.adapter.hook_reply(receiver.credentials)


def forget_receivers() -> None:
    """The next call asks the database, for tests."""
    _receivers.clear()


def _load(vendor: str, public_id: str) -> Receiver | None:
    if vendor not in registry.ADAPTERS:
        return None
    account = ProviderAccount.objects.filter(vendor=vendor, public_id=public_id).first()
    if account is None:
        return None
    return Receiver(account.pk, registry.adapter(vendor), account.credentials())
