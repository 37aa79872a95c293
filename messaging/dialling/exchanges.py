"""Exchanges of our own: what went over the wire, redacted and capped, kept until retention drops it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from messaging.models.sql import change
from messaging.rules.ids import uuid7
from outbound import http
from outbound.values import CallFailure, HttpRequest, HttpResponse

STORE = """
INSERT INTO messaging_exchange (id, at, kind, account_id, owner, request, response)
SELECT given.id, clock_timestamp(), given.kind, given.account_id, given.owner, given.request, given.response
FROM unnest(%(id)s::uuid[], %(kind)s::text[], %(account_id)s::int8[], %(owner)s::uuid[], %(request)s::text[],
            %(response)s::text[]) AS given(id, kind, account_id, owner, request, response)
"""


@dataclass(frozen=True, slots=True)
class RecordedExchange:
    """One exchange as it is stored. `ids` gives each owner's row its id."""

    kind: str
    account_id: int | None
    owners: Sequence[UUID | None]
    request: str = field(repr=False)
    response: str = field(repr=False)
    ids: Sequence[UUID] = ()


def exchange(
    kind: str,
    request: HttpRequest,
    answer: HttpResponse | CallFailure,
    *,
    secrets: Iterable[str],
    account_id: int | None = None,
    owners: Sequence[UUID | None] = (None,),
    ids: Sequence[UUID] = (),
) -> RecordedExchange:
    """Traces a call, without the secrets, so that an oversize answer cannot fail the record that follows."""
    trace = http.trace(request, answer, secrets=secrets)
    return RecordedExchange(
        kind=kind,
        account_id=account_id,
        owners=owners,
        request=json.dumps(trace["request"]),
        response=json.dumps(trace["response"]),
        ids=ids or [uuid7() for _ in owners],
    )


def store(exchanges: Sequence[RecordedExchange]) -> None:
    """Appends exchanges in one statement, one row per owner."""
    rows = [(one, owner, id_) for one in exchanges for owner, id_ in zip(one.owners, one.ids, strict=True)]
    if rows:
        change(
            STORE,
            {
                "id": [id_ for _, _, id_ in rows],
                "kind": [one.kind for one, _, _ in rows],
                "account_id": [one.account_id for one, _, _ in rows],
                "owner": [owner for _, owner, _ in rows],
                "request": [one.request for one, _, _ in rows],
                "response": [one.response for one, _, _ in rows],
            },
        )


def frozen(request: HttpRequest) -> dict[str, Any]:
    """A request as JSON, whole: for sealing, never for showing."""
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "body": base64.b64encode(request.body).decode(),
    }


def thawed(value: Mapping[str, Any]) -> HttpRequest:
    """The request that `frozen` kept, byte for byte."""
    return HttpRequest(value["method"], value["url"], value["headers"], base64.b64decode(value["body"]))
