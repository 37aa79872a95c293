"""A vendor's call is proved, stored and queued in one statement. Nothing is read from it here."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from accounts.remembered import Remembered
from messaging import counters
from messaging.models import Connection
from messaging.models.raw import RawKind
from messaging.models.statement import change
from messaging.redaction import MASK, is_sensitive, masked
from messaging.types import Account, HookReply, HookRequest, uuid7
from messaging.vendors import registry
from messaging.vendors.base import Adapter, BadSignature

STORE = """
WITH r AS (
  INSERT INTO messaging_raw (id, at, kind, connection_id, request)
  VALUES (%(id)s, clock_timestamp(), %(kind)s, %(connection_id)s, %(request)s)
  RETURNING id, at)
INSERT INTO messaging_inbox (raw_id, raw_at, connection_id, due_at)
SELECT r.id, r.at, %(connection_id)s, r.at FROM r
"""


class UnknownHook(LookupError):
    """No connection of that vendor has that public id."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """The connection that a hook URL belongs to."""

    connection_id: int
    adapter: Adapter
    account: Account = field(repr=False)


_receivers: Remembered[tuple[str, str], Receiver | None] = Remembered()


def receiver(*, vendor: str, public_id: str) -> Receiver:
    """Who a hook URL belongs to, active or not, at most two seconds old. Raises UnknownHook, SealError."""
    found = _receivers.get((vendor, public_id), lambda: _load(vendor, public_id))
    if found is None:
        counters.hooks_refused.labels(reason="unknown").inc()
        raise UnknownHook
    return found


def store(*, receiver: Receiver, hook: HookRequest) -> HookReply:
    """Keeps the call for the inbox; what the vendor wants to hear. Raises BadSignature, django.db errors."""
    try:
        receiver.adapter.verify(hook, receiver.account)
    except BadSignature:
        counters.hooks_refused.labels(reason="signature").inc()
        raise
    secrets = [str(secret) for secret in receiver.account.secrets.values()]
    change(
        STORE,
        {
            "id": uuid7(),
            "kind": RawKind.HOOK.value,
            "connection_id": receiver.connection_id,
            "request": record(hook, secrets=secrets),
        },
    )
    return receiver.adapter.hook_reply(receiver.account)


def record(hook: HookRequest, *, secrets: Iterable[str]) -> str:
    """The call as JSON text, credentials as `***`. A body that is not UTF-8 is kept as base64."""
    secrets = tuple(secrets)

    def clean(text: str) -> str:
        return masked(text, secrets=secrets)

    return json.dumps(
        {
            "method": hook.method,
            "url": clean(hook.url),
            "path": clean(hook.path),
            "query": {name: clean(value) for name, value in hook.query.items()},
            "headers": {
                name: MASK if is_sensitive(name) else clean(value) for name, value in hook.headers.items()
            },
            **_body(hook.body, secrets),
        }
    )


def forget_receivers() -> None:
    """The next call asks the database, for tests."""
    _receivers.clear()


def _body(body: bytes, secrets: tuple[str, ...]) -> dict[str, Any]:
    try:
        return {"body": masked(body.decode(), secrets=secrets)}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "base64": True}


def _load(vendor: str, public_id: str) -> Receiver | None:
    if vendor not in registry.ADAPTERS:
        return None
    connection = Connection.objects.filter(vendor=vendor, public_id=public_id).first()
    if connection is None:
        return None
    return Receiver(connection.pk, registry.adapter(vendor), connection.account())
