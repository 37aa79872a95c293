"""Every refusal of the API leaves here, as one envelope: 4xx for what can never work, 503 for all else (contract 4)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import Error as DjangoDatabaseError
from django.db import InterfaceError, OperationalError
from rest_framework.exceptions import APIException

from accounts.authentication import Denied
from accounts.limits import TooManyRequests
from messaging.accept.intake import NoAccount, RequestIdConflict
from messaging.accept.verify import CredentialsRefused
from messaging.contract import envelope, wire_profile
from messaging.contract.envelope import DATABASE_RETRY_SECONDS, REPAIR_RETRY_SECONDS
from messaging.contract.request_body import BodyTooLarge, BodyUnreadable
from messaging.contract.wire import InvalidRequest
from messaging.contract.wire_profile import DEFAULT, WireProfile
from messaging.watch import counters, seldom

log = logging.getLogger(__name__)
log.addFilter(seldom.once_a_minute)


class BadBody(Exception):
    """The body is not JSON that we can read: status 400 or 415."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Form:
    """How the caller reads answers: the tenant's profile, once the tenant is known, and its Accept header."""

    accept: str = ""
    profile: WireProfile = DEFAULT


USUAL = Form()


def answer(
    status: int, body: Mapping[str, Any], *, words: str, form: Form = USUAL, retry_after: int | None = None
) -> envelope.Answer:
    """An answer in JSON, or its `words` as plain text. `retry_after` in seconds."""
    # A profile's choice of text is about success: the code of an error is worth having.
    usual = form.profile.success if status == 200 else "json"
    spelled = wire_profile.answer(body, form.profile)
    return envelope.answer(
        status, spelled, words=words, accept=form.accept, usual=usual, retry_after=retry_after
    )


def error(
    status: int,
    code: str,
    message: str,
    *,
    fields: Mapping[str, Sequence[str]] | None = None,
    request_id: str | None = None,
    retry_after: int | None = None,
    form: Form = USUAL,
) -> envelope.Answer:
    """An error answer, counted."""
    counters.requests_refused.labels(code).inc()
    body = envelope.envelope(code, message, fields, request_id)
    refusal = answer(status, body, words=message, form=form, retry_after=retry_after)
    refusal.code = code
    return refusal


def handle(exc: Exception, *, request_id: str | None, form: Form = USUAL) -> envelope.Answer:
    """The answer to whatever a view raised."""
    refusal = _refusal(exc, request_id, form)
    return refusal if refusal is not None else _fault(exc, request_id, form)


def _refusal(exc: Exception, request_id: str | None, form: Form) -> envelope.Answer | None:
    """The answer when it is about the request; None when the fault is ours."""
    said = partial(error, form=form)
    match exc:
        case InvalidRequest():
            return said(400, exc.code, exc.message, fields=exc.fields, request_id=exc.request_id)
        case BadBody():
            return said(exc.status, exc.code, str(exc))
        case BodyTooLarge():
            return said(413, "body_too_large", str(exc))
        case BodyUnreadable():
            return said(400, "body_unreadable", str(exc))
        case Denied():
            return said(exc.status, exc.code, exc.message, request_id=request_id)
        case TooManyRequests():
            return said(429, "rate_limited", str(exc), request_id=request_id, retry_after=exc.retry_after)
        case RequestIdConflict():
            return said(409, "request_id_conflict", str(exc), request_id=request_id)
        case APIException():
            return said(exc.status_code, str(exc.default_code), str(exc.detail))
    return None


def _fault(exc: Exception, request_id: str | None, form: Form) -> envelope.Answer:
    """What an operator, or time, can mend: Bloomreach tries again (contract 4)."""
    if isinstance(exc, NoAccount | CredentialsRefused):
        code, retry_after, message = exc.code, REPAIR_RETRY_SECONDS, str(exc)
    elif isinstance(exc, OperationalError | InterfaceError):
        told = {"cause": "database", "error": type(exc).__name__}
        log.warning("database unavailable", extra=told)
        code, retry_after, message = "database_unavailable", DATABASE_RETRY_SECONDS, envelope.DATABASE_TEXT
    else:
        _log_fault(exc)
        code, retry_after, message = "internal_error", REPAIR_RETRY_SECONDS, envelope.FAULT_TEXT
    return error(503, code, message, request_id=request_id, retry_after=retry_after, form=form)


def _log_fault(exc: Exception) -> None:
    if isinstance(exc, DjangoDatabaseError):
        # PostgreSQL's own words hold the failing row: a text and a number.
        diagnosis = getattr(exc.__cause__, "diag", None)
        state = getattr(diagnosis, "sqlstate", None)
        constraint = getattr(diagnosis, "constraint_name", None)
        log.error("statement failed: %s %s %s", type(exc).__name__, state, constraint)
    else:
        log.error("unhandled exception", exc_info=exc)
