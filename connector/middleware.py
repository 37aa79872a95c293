"""Requests of machines (Bloomreach, vendors, probes) skip the middleware that only pages for people need (ADR 8)."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from django.core.exceptions import BadRequest, DisallowedHost, SuspiciousOperation
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
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


class UnreadableMiddleware:
    """A page's address or form that nothing can be looked up by (a NUL, a number beyond all rows) is a 400."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "\x00" in unquote(request.get_full_path()):
            return unreadable(request, "The address of this page has a NUL character in it.")
        # A session of such a name cannot be looked up: the person has none.
        request.COOKIES = {name: value for name, value in request.COOKIES.items() if "\x00" not in value}
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Words for what a view could not look up; everything else stays a fault of ours."""
        if isinstance(error, BadRequest):
            return unreadable(request, str(error))
        if isinstance(error, DataError | OverflowError):
            words = "The address of this page, or its form, has a value that no row can have. Nothing was changed."
            return unreadable(request, words)
        if isinstance(error, SuspiciousOperation):
            return unreadable(request, "The address of this page, or its form, could not be read.")
        return None


def unreadable(request: HttpRequest, words: str) -> HttpResponse:
    """A 400 for people, with a way back."""
    return render(
        request, "admin/unreadable.html", {"title": "Nothing was looked up", "words": words}, status=400
    )


class ContentPolicyMiddleware:
    """A strict Content-Security-Policy on every page: own files only, nothing inline, in no frame."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        return response
