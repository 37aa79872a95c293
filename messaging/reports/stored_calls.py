"""Vendors' calls at rest: to the byte and sealed, so that whatever reads them later reads what came.

Secrets are masked where a call is shown, never in what is stored: a masked text cannot be read again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from accounts.crypto import SealError, open_once, seal
from messaging.models import Exchange, ProviderAccount
from outbound import redaction
from vendors import registry
from vendors.values import HookRequest

UNREADABLE = "It cannot be shown: {why}."


def sealed(hook: HookRequest) -> str:
    """The call as it is stored. Raises SealError when FIELD_KEY is unusable."""
    kept = {
        "method": hook.method,
        "url": hook.url,
        "path": hook.path,
        "query": dict(hook.query),
        "headers": dict(hook.headers),
        "body": base64.b64encode(hook.body).decode(),
    }
    return seal(zlib.compress(json.dumps(kept).encode(), 1))  # ciphertext does not compress any more


def digest(hook: HookRequest) -> bytes:
    """What two calls share that say the same in the same bytes. Headers are left out: they may tell the time."""
    said = (hook.method, hook.url.partition("?")[2], hook.path, dict(hook.query), hook.body.hex())
    return hashlib.sha256(json.dumps(said).encode()).digest()


def opened(call: str, *, request: str = "") -> HookRequest:
    """The call that was stored. `request`: JSON of one that is older than the sealing. Raises SealError."""
    if not call:
        return _older(json.loads(request))
    kept = json.loads(zlib.decompress(open_once(call)))
    return HookRequest(**{**kept, "body": base64.b64decode(kept["body"])})


def shown(exchange: Exchange) -> str:
    """The request of an exchange as people may see it: JSON with credentials as `***`, or why there is none."""
    if not exchange.call:
        return exchange.request
    try:
        hook = opened(exchange.call.ciphertext)
        secrets, names = _secrets(exchange.account)
    except SealError as error:
        return UNREADABLE.format(why=error)
    return json.dumps(_masked(hook, secrets, names), ensure_ascii=False)


def _older(kept: Mapping[str, Any]) -> HookRequest:
    body = base64.b64decode(kept["body"]) if kept.get("base64") else kept["body"].encode()
    return HookRequest(
        method=kept["method"],
        url=kept.get("url", ""),
        path=kept["path"],
        query=kept["query"],
        headers=kept["headers"],
        body=body,
    )


def _secrets(account: ProviderAccount | None) -> tuple[tuple[str, ...], frozenset[str]]:
    """The account's secrets, and the fields in which its vendor's calls prove themselves."""
    if account is None or account.vendor not in registry.ADAPTERS:
        return (), frozenset()
    credentials = account.credentials()
    names = registry.adapter(account.vendor).proof_fields(credentials)
    return tuple(map(str, credentials.secrets.values())), frozenset(name.lower() for name in names)


def _masked(hook: HookRequest, secrets: Iterable[str], names: Iterable[str]) -> dict[str, Any]:
    secrets, names = tuple(secrets), tuple(names)

    def shown(fields: Mapping[str, str]) -> dict[str, str]:
        return {
            name: redaction.field(name, value, secrets=secrets, names=names) for name, value in fields.items()
        }

    return {
        "method": hook.method,
        "url": redaction.structured(hook.url, secrets=secrets, names=names),
        "path": hook.path,
        "query": shown(hook.query),
        "headers": shown(hook.headers),
        # Bytes that are no UTF-8 stand as \xff: people see what came, whatever its charset.
        "body": redaction.structured(
            hook.body.decode("utf-8", "backslashreplace"), secrets=secrets, names=names
        ),
    }
