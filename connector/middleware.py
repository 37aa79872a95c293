"""Two worlds on one server: machines (Bloomreach, vendors, probes) go the short way, people the long."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import ResolverMatch, get_resolver

from connector.failures import is_machine_path, machine_failure, unknown_host

GetResponse = Callable[[HttpRequest], HttpResponseBase]

# Probes come by address, not by name; everybody else must know the public name.
ANY_HOST = ("/healthz", "/readyz", "/metrics")
REMEMBERED_MAX = 256  # characters of a path
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class MachineMiddleware:
    """Outermost. A machine path goes straight to its view: no other middleware, no exception gets out.

    The host is checked (not for probes), a trailing slash makes no difference, a crash is a 503 (contract 4).
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_machine_path(request.path_info):
            return self.get_response(request)
        try:
            if not request.path_info.startswith(ANY_HOST):
                request.get_host()
            return _call_view(request)
        except DisallowedHost:
            return unknown_host(accept=request.META.get("HTTP_ACCEPT", ""))
        except Exception as error:
            return machine_failure(error, accept=request.META.get("HTTP_ACCEPT", ""))


def _call_view(request: HttpRequest) -> HttpResponseBase:
    """What Django's handler does between the last middleware and the view."""
    if request.path_info.endswith("/"):
        request.path_info = request.path_info.rstrip("/")
        request.path = request.path.rstrip("/")
    path = request.path_info
    match = _resolve(path) if len(path) <= REMEMBERED_MAX else get_resolver().resolve(path)
    request.resolver_match = match
    response: Any = match.func(request, *match.args, **match.kwargs)
    if isinstance(response, SimpleTemplateResponse):  # DRF's Response is one
        response = response.render()
    if not isinstance(response, HttpResponseBase):
        raise TypeError(f"{match.view_name or match.func} answered {type(response).__name__}")
    if isinstance(response, HttpResponse):
        response.headers.setdefault("Content-Length", str(len(response.content)))
    return response


@lru_cache(maxsize=1024)
def _resolve(path: str) -> ResolverMatch:
    """Machines ask for the same few paths: trying every pattern each time costs more than the view's own work."""
    return get_resolver().resolve(path)


class ContentPolicyMiddleware:
    """A strict Content-Security-Policy on every page: own files only, nothing inline, in no frame."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        return response
