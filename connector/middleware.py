"""Two worlds on one server: machines (Bloomreach, vendors, probes) go the short way, people the long."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseMiddleware

from connector.failures import is_machine_path, machine_failure, unknown_host

GetResponse = Callable[[HttpRequest], HttpResponseBase]

# Probes come by address, not by name; everybody else must know the public name.
ANY_HOST = ("/healthz", "/readyz", "/metrics")
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class MachineMiddleware:
    """Outermost. Machine paths: the host is checked, a trailing slash ignored, a crash answered with 503."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if not is_machine_path(path):
            return self.get_response(request)
        if not path.startswith(ANY_HOST):
            try:
                request.get_host()
            except DisallowedHost:
                return unknown_host()
        if path.endswith("/"):
            request.path_info = path.rstrip("/")
            request.path = request.path.rstrip("/")
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        return machine_failure(exception) if is_machine_path(request.path_info) else None


class ContentPolicyMiddleware:
    """A strict Content-Security-Policy on every page: own files only, nothing inline, in no frame."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not is_machine_path(request.path_info):
            response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        return response


class DeskOnly(MiddlewareMixin):
    """Mixed in before one of Django's middlewares: machine paths pass it by."""

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if is_machine_path(request.path_info) else super().__call__(request)


class DeskSecurityMiddleware(DeskOnly, SecurityMiddleware):
    pass


class StaticFilesMiddleware:
    """The desk's static files, by WhiteNoise; machine paths are not even looked up."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.with_files: GetResponse = WhiteNoiseMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        machine = is_machine_path(request.path_info)
        return self.get_response(request) if machine else self.with_files(request)


class DeskSessionMiddleware(DeskOnly, SessionMiddleware):
    pass


class DeskCommonMiddleware(DeskOnly, CommonMiddleware):
    pass


class DeskCsrfMiddleware(DeskOnly, CsrfViewMiddleware):
    def process_view(self, request: HttpRequest, *args: Any) -> Any:
        return None if is_machine_path(request.path_info) else super().process_view(request, *args)


class DeskAuthenticationMiddleware(DeskOnly, AuthenticationMiddleware):
    pass


class DeskMessageMiddleware(DeskOnly, MessageMiddleware):
    pass


class DeskFrameMiddleware(DeskOnly, XFrameOptionsMiddleware):
    pass
