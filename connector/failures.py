"""What a machine or a person gets when no view answered: machines always the JSON envelope, and 503 for our own faults."""

import logging

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

MACHINE_PATHS = ("/sms", "/mms", "/hooks", "/simulator", "/healthz", "/readyz", "/metrics")
DATABASE_RETRY_SECONDS = 5
CRASH_RETRY_SECONDS = 30

logger = logging.getLogger(__name__)


def is_machine_path(path: str) -> bool:
    """Whether `path` belongs to Bloomreach, a vendor or a probe, and so never sees sessions, CSRF or redirects."""
    return path.startswith(MACHINE_PATHS)


def envelope(code: str, message: str) -> dict[str, object]:
    return {"message": message, "error": {"code": code, "message": message, "fields": {}}, "request_id": None}


def unavailable(*, code: str, message: str, retry_after: int) -> JsonResponse:
    """503 with Retry-After (seconds): what Bloomreach retries (contract 4)."""
    return JsonResponse(envelope(code, message), status=503, headers={"Retry-After": str(retry_after)})


def machine_failure(error: Exception) -> JsonResponse:
    """The answer to an exception that no view handled: always temporary, never a traceback (contract 4)."""
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("database unavailable: %s", type(error).__name__)
        message = "The connector's database is unavailable; try again shortly."
        return unavailable(code="database_unavailable", message=message, retry_after=DATABASE_RETRY_SECONDS)
    logger.error("unhandled exception", exc_info=error)
    message = "The connector met an unexpected fault; try again later."
    return unavailable(code="internal_error", message=message, retry_after=CRASH_RETRY_SECONDS)


def unknown_host() -> JsonResponse:
    """The answer to a Host header that ALLOWED_HOSTS lacks: the operator can repair it, so it is temporary."""
    message = "The connector does not serve this host name; its operator must add it to ALLOWED_HOSTS."
    return unavailable(code="unknown_host", message=message, retry_after=CRASH_RETRY_SECONDS)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400."""
    if is_machine_path(request.path_info):
        return JsonResponse(envelope("bad_request", "The request could not be read."), status=400)
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler404, and the view behind every machine path that has no view."""
    if is_machine_path(request.path_info):
        return JsonResponse(envelope("not_found", "There is nothing at this address."), status=404)
    return defaults.page_not_found(request, exception or LookupError())


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: for what breaks outside a view."""
    if is_machine_path(request.path_info):
        message = "The connector met an unexpected fault; try again later."
        return unavailable(code="internal_error", message=message, retry_after=CRASH_RETRY_SECONDS)
    return defaults.server_error(request)
