"""The answer to a machine when no view gave one: the JSON envelope, with 503 for faults of our own."""

import logging

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse

from messaging.contract.envelope import (
    DATABASE_RETRY_SECONDS,
    DATABASE_TEXT,
    FAULT_TEXT,
    REPAIR_RETRY_SECONDS,
    refusal,
)
from messaging.watch import seldom

PEOPLES_PATHS = (
    "/admin",
    "/static",
)  # and the root; any other may be an address of a tenant's own (contract 8)
# What a view may raise on purpose: (status, code, text).
REFUSALS: dict[type[Exception], tuple[int, str, str]] = {
    Http404: (404, "not_found", "There is nothing at this address."),
    PermissionDenied: (403, "forbidden", "This is not allowed."),
    RequestDataTooBig: (413, "body_too_large", "The request body is too large."),
    SuspiciousOperation: (400, "bad_request", "The request could not be read."),
    BadRequest: (400, "bad_request", "The request could not be read."),
}

log = logging.getLogger(__name__)
log.addFilter(seldom.once_a_minute)


def is_machine_path(path: str) -> bool:
    """Whether `path` is for Bloomreach, a vendor or a probe: no session, no CSRF token, no redirect."""
    return path != "/" and not f"{path}/".startswith(tuple(f"{name}/" for name in PEOPLES_PATHS))


def machine_failure(error: Exception, *, accept: str = "") -> HttpResponse:
    """The answer to an exception that no view handled: 503 unless it was raised to refuse (contract 4)."""
    for kind, (status, code, text) in REFUSALS.items():
        if isinstance(error, kind):
            return refusal(status, code, text, accept=accept)
    if isinstance(error, OperationalError | InterfaceError):
        told = {"cause": "database", "error": type(error).__name__}
        log.warning("database unavailable", extra=told)
        retry_after = DATABASE_RETRY_SECONDS
        return refusal(503, "database_unavailable", DATABASE_TEXT, retry_after=retry_after, accept=accept)
    log.error("unhandled exception on a machine path", exc_info=error)
    return refusal(503, "internal_error", FAULT_TEXT, retry_after=REPAIR_RETRY_SECONDS, accept=accept)


def unknown_host(*, accept: str = "") -> HttpResponse:
    """The answer to a Host header that ALLOWED_HOSTS lacks: an operator can repair it, so it is temporary."""
    text = "The connector does not serve this host name; its operator must add it to ALLOWED_HOSTS."
    return refusal(503, "unknown_host", text, retry_after=REPAIR_RETRY_SECONDS, accept=accept)
