"""Machine paths: short, JSON, no redirect, no 500. Desk pages: the full stack with strict headers."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from connector import urls


def crashing(error: Exception) -> Callable[[HttpRequest], HttpResponse]:
    def view(request: HttpRequest) -> HttpResponse:
        raise error

    return view


def seen(request: HttpRequest) -> HttpResponse:
    names = sorted(name for name in ("session", "user", "_messages") if hasattr(request, name))
    return HttpResponse(f"{request.method} {request.path} {names}")


@api_view(["POST"])
def drf(request: Request) -> Response:
    return Response({"got": request.data})


def nothing(request: HttpRequest) -> None:
    return None


urlpatterns = [
    path("sms/seen", seen),
    path("sms/drf", drf),
    path("sms/none", nothing),
    path("admin/seen", seen),
    path("hooks/crash", crashing(ZeroDivisionError("secret +421900000123"))),
    path("sms/database", crashing(OperationalError("connection refused"))),
    path("sms/interface", crashing(InterfaceError("connection already closed"))),
    path("sms/missing", crashing(Http404())),
    path("sms/forbidden", crashing(PermissionDenied())),
    path("sms/large", crashing(RequestDataTooBig())),
    path("sms/suspicious", crashing(SuspiciousOperation())),
    *urls.urlpatterns,
]

pytestmark = pytest.mark.urls(__name__)


@pytest.mark.django_db  # whether an address that nobody serves is one of a tenant's own
@pytest.mark.parametrize("debug", [pytest.param(False, id="production"), pytest.param(True, id="debug")])
@pytest.mark.parametrize(
    ("address", "status", "code", "retry_after"),
    [
        pytest.param("/hooks/crash", 503, "internal_error", "30", id="unhandled crash"),
        pytest.param("/sms/database", 503, "database_unavailable", "5", id="database down"),
        pytest.param("/sms/interface", 503, "database_unavailable", "5", id="connection closed"),
        pytest.param("/sms/none", 503, "internal_error", "30", id="view answers nothing"),
        pytest.param("/sms/missing", 404, "not_found", None, id="view raises 404"),
        pytest.param("/sms/nothing", 404, "not_found", None, id="no such path"),
        pytest.param("/metrics/nothing", 404, "not_found", None, id="no such probe"),
        pytest.param("/sms/forbidden", 403, "forbidden", None, id="forbidden"),
        pytest.param("/sms/large", 413, "body_too_large", None, id="body too large"),
        pytest.param("/sms/suspicious", 400, "bad_request", None, id="suspicious"),
    ],
)
def test_machines_get_the_envelope(
    client: Client, address: str, status: int, code: str, retry_after: str | None, debug: bool
) -> None:
    with override_settings(DEBUG=debug):
        answer = client.post(address)
    body = answer.json()
    assert (answer.status_code, body["error"]["code"]) == (status, code)
    assert answer.headers.get("Retry-After") == retry_after
    assert body == {
        "message": body["message"],
        "error": {"code": code, "message": body["message"], "fields": {}},
        "request_id": None,
    }
    assert "421900000123" not in answer.content.decode()


def test_rest_framework_views_are_rendered(client: Client) -> None:
    answer = client.post("/sms/drf", {"a": 1}, content_type="application/json")
    assert (answer.status_code, answer.json()) == (200, {"got": {"a": 1}})
    assert client.get("/sms/drf").status_code == 405


def test_a_crash_is_logged_with_its_traceback(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.post("/hooks/crash")
    [record] = [record for record in caplog.records if record.name == "connector.failures"]
    assert record.levelname == "ERROR"
    assert record.exc_info is not None and record.exc_info[0] is ZeroDivisionError


def test_an_unknown_host_is_temporary_on_machine_paths(client: Client) -> None:
    answer = client.post("/sms/seen", headers={"host": "elsewhere.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unknown_host")
    assert answer.headers["Retry-After"] == "30"


def test_probes_may_come_by_address(client: Client) -> None:
    assert client.get("/healthz", headers={"host": "10.0.0.7"}).status_code == 200


def test_an_unknown_host_is_refused_at_the_desk(client: Client) -> None:
    assert client.get("/admin/seen", headers={"host": "elsewhere.example"}).status_code == 400


@pytest.mark.parametrize("address", ["/sms/seen", "/sms/seen/", "/sms/seen//"])
def test_a_trailing_slash_makes_no_difference(client: Client, address: str) -> None:
    answer = client.post(address)
    assert (answer.status_code, answer.content) == (200, b"POST /sms/seen []")


def test_machine_paths_carry_nothing_of_the_desk(client: Client) -> None:
    answer = Client(enforce_csrf_checks=True).post("/sms/seen")
    assert answer.content == b"POST /sms/seen []"
    assert not answer.cookies
    assert "Content-Security-Policy" not in answer.headers


def test_the_desk_has_sessions_csrf_and_strict_headers() -> None:
    desk = Client(enforce_csrf_checks=True)
    assert desk.post("/admin/seen").status_code == 403
    answer = desk.get("/admin/seen", secure=True)
    assert answer.content == b"GET /admin/seen ['_messages', 'session', 'user']"
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.django_db
def test_the_admin_opens_under_the_policy(client: Client) -> None:
    client.force_login(User.objects.create_superuser("operator"))
    answer = client.get("/admin/")
    assert answer.status_code == 200
    assert b"<style" not in answer.content
    assert b"<script>" not in answer.content


@pytest.mark.django_db
def test_static_files_come_from_the_packages(client: Client) -> None:
    answer = client.get("/static/admin/css/base.css")
    assert answer.status_code == 200
    answer.close()
