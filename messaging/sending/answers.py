"""Vendors' answers, read by their adapter and made safe to keep: whatever goes wrong, the outcome is a value."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from outbound.redaction import words
from outbound.values import CallFailure, HttpResponse
from vendors.base import Adapter
from vendors.values import Credentials, Found, Outcome, Outgoing, Presence, SendResult, Sent

log = logging.getLogger(__name__)


def read_send(
    adapter: Adapter, credentials: Credentials, batch: Sequence[Outgoing], answer: HttpResponse | CallFailure
) -> tuple[SendResult, ...]:
    """One result per message. An answer that cannot be read leaves the outcome unknown; no text holds a secret."""
    try:
        if isinstance(answer, CallFailure):
            return (adapter.failed(answer),) * len(batch)
        results = tuple(adapter.parse(batch, answer, credentials))
    except Exception:
        log.exception("answer could not be read", extra={"vendor": adapter.key})
        results = ()
    if len(results) != len(batch):
        status = f"HTTP {answer.status}" if isinstance(answer, HttpResponse) else answer.code
        text = f"{status}: the answer could not be read"
        return (SendResult(Outcome.UNKNOWN, code="unreadable_answer", text=text),) * len(batch)
    secrets = [str(secret) for secret in credentials.secrets.values()]
    return tuple(replace(result, text=words(result.text, secrets=secrets)) for result in results)


def read_look_up(
    adapter: Adapter, credentials: Credentials, sent: Sent, answer: HttpResponse | CallFailure
) -> Found:
    """What a look-up found; an answer that cannot be read cannot tell."""
    if isinstance(answer, CallFailure):
        return Found(Presence.CANNOT_TELL)
    try:
        found = adapter.parse_look_up(sent, answer, credentials)
    except Exception:
        log.exception("look-up could not be read", extra={"vendor": adapter.key})
        return Found(Presence.CANNOT_TELL)
    if found.report is None:
        return found
    secrets = [str(secret) for secret in credentials.secrets.values()]
    return replace(found, report=replace(found.report, text=words(found.report.text, secrets=secrets)))
