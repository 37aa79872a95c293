"""What every refusal carries, whoever refuses: one form of JSON, or the same words as plain text (contract 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from django.http import HttpResponse

from messaging.contract.negotiation import wants_text

DATABASE_RETRY_SECONDS = 5
REPAIR_RETRY_SECONDS = 30  # until an operator has mended it

DATABASE_TEXT = "The connector's database is unavailable; try again shortly."
FAULT_TEXT = "The connector met an unexpected fault; try again later."


class Answer(HttpResponse):
    """An answer to a machine that still knows its error's code."""

    code: str = ""


def envelope(
    code: str, message: str, fields: Mapping[str, Sequence[str]] | None = None, request_id: str | None = None
) -> dict[str, Any]:
    """The body of every error."""
    error = {"code": code, "message": message, "fields": dict(fields or {})}
    return {"message": message, "error": error, "request_id": request_id}


def encoded(body: Mapping[str, Any]) -> bytes:
    """A body as it is sent."""
    return orjson.dumps(body)


def answer(
    status: int,
    body: Mapping[str, Any],
    *,
    words: str,
    accept: str = "",
    usual: str = "json",
    retry_after: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """An answer in JSON, or its `words` as plain text: the caller's Accept header chooses, or else `usual`.

    `retry_after` in seconds.
    """
    said = dict(headers or {})
    if retry_after is not None:
        said["Retry-After"] = str(retry_after)
    if wants_text(accept, usual=usual):
        return Answer(words, content_type="text/plain; charset=utf-8", status=status, headers=said)
    return Answer(encoded(body), content_type="application/json", status=status, headers=said)


def refusal(
    status: int,
    code: str,
    message: str,
    *,
    accept: str = "",
    retry_after: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """An error that is no tenant's: it is spelled as the contract spells it."""
    body = envelope(code, message)
    refused = answer(status, body, words=message, accept=accept, retry_after=retry_after, headers=headers)
    refused.code = code
    return refused
