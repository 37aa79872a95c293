"""Log lines: JSON, with the extras, without numbers, texts and secrets."""

import io
import json
import logging
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from connector.logging import ConsoleFormatter, JsonFormatter, masked

MESSAGE_ID = "01993c7a-1234-7abc-8def-123456789012"


def line(message: str, *args: object, pii: bool = False, error: bool = False, **extra: Any) -> dict[str, Any]:
    record = logging.makeLogRecord(
        {"name": "messaging.sending.dispatch", "levelname": "INFO", "msg": message, "args": args, **extra}
    )
    if error:
        try:
            raise ValueError("no such number +421900000123, password=hunter2")
        except ValueError as raised:
            record.exc_info = (type(raised), raised, raised.__traceback__)
    text = JsonFormatter(pii=pii).format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("to +421900000123 now", "to +*** now", id="number"),
        pytest.param("to 0015550100", "to ***", id="number with 00"),
        pytest.param("code 123456", "code 123456", id="six digits stay"),
        pytest.param(f"message {MESSAGE_ID} sent", f"message {MESSAGE_ID} sent", id="uuid stays"),
        pytest.param(
            "id 01993c7a12347abc8def123456789012", "id 01993c7a12347abc8def123456789012", id="bare uuid stays"
        ),
        pytest.param("token=abc.def-1", "token=***", id="token"),
        pytest.param('{"api_key": "abc"}', '{"api_key": "***"}', id="json key"),
        pytest.param("Chan-Token: s3cret", "Chan-Token: ***", id="header"),
        pytest.param("Authorization: Bearer abc.def", "Authorization: ***", id="bearer"),
        pytest.param("Authorization: Basic dXNlcg==", "Authorization: ***", id="basic"),
        pytest.param("got eyJhbGci.eyJpYXQi.c2ln", "got ***", id="jwt"),
        pytest.param("postgresql://user:pw@db/x", "postgresql://***@db/x", id="url"),
        pytest.param("gAAAAABh" + "x" * 40, "***", id="sealed value"),
        pytest.param("the token was revoked", "the token was revoked", id="the word alone"),
    ],
)
def test_masking(text: str, shown: str) -> None:
    assert masked(text, pii=False) == shown


def test_pii_shows_numbers_and_never_secrets() -> None:
    assert masked("to +421900000123 token=abc", pii=True) == "to +421900000123 token=***"


def test_the_name_of_a_worker_is_no_number() -> None:
    found = line(
        "calls lost", worker="host-0123456789-token=abc", run_by="pid 12345678", queue="to 00421900000123"
    )
    assert (found["worker"], found["run_by"]) == ("host-0123456789-token=***", "pid 12345678")
    assert found["queue"] == "to ***"


def test_a_line_has_the_record_and_its_extras() -> None:
    found = line(
        "claimed %d rows", 3, tenant="acme", message_id=UUID(MESSAGE_ID), queue="dispatch x", seconds=0.25
    )
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "INFO",
        "logger": "messaging.sending.dispatch",
        "message": "claimed 3 rows",
        "tenant": "acme",
        "message_id": MESSAGE_ID,
        "queue": "dispatch x",
        "seconds": 0.25,
    }


def test_extras_are_masked_and_texts_and_objects_left_out() -> None:
    found = line(
        "x", recipient="+421900000123", number=421900000123, secret="abc", text="Hello", request=object(), n=7
    )
    del found["time"], found["level"], found["logger"], found["message"]
    assert found == {"recipient": "+***", "number": "***", "secret": "***", "n": 7}


def test_pii_shows_texts() -> None:
    assert line("x", text="Hello", pii=True)["text"] == "Hello"


def test_tracebacks_are_masked_too() -> None:
    found = line("failed", error=True)
    assert "ValueError" in found["traceback"]
    assert "421900000123" not in found["traceback"] and "hunter2" not in found["traceback"]


def test_the_console_line_masks_as_well() -> None:
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": "to 421900000123", "queue": "l"})
    text = ConsoleFormatter(pii=False).format(record)
    assert text.endswith("INFO    x: to *** queue=l")


@pytest.mark.django_db
def test_the_address_of_a_hook_is_not_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """It is a secret where the vendor signs nothing. People's pages are logged as Django does it."""
    for path in ("/hooks/simulator/guessed", "/sms/send", "/readyz", "/static/nothing"):
        assert client.get(path).status_code >= 400
    assert [(one.name, one.getMessage()) for one in caplog.records] == [
        ("django.request", "Not Found: /static/nothing")
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "status", "logger"),
    [
        pytest.param({"path": "/admin/messaging/message/"}, 403, "django.request", id="not allowed"),
        pytest.param(
            {"path": "/admin/", "HTTP_HOST": "other.example"},
            400,
            "django.security.DisallowedHost",
            id="another host",
        ),
        pytest.param(
            {"path": "/admin/", "method": "POST", "data": "a=1&" * 1001},
            400,
            "django.security.TooManyFieldsSent",
            id="too many fields",
        ),
    ],
)
def test_a_refusal_is_one_line_without_a_traceback(asked: dict[str, str], status: int, logger: str) -> None:
    [handler] = [one for one in logging.getLogger().handlers if isinstance(one.formatter, JsonFormatter)]
    assert isinstance(handler, logging.StreamHandler)
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    client.cookies[settings.CSRF_COOKIE_NAME] = "c" * 32  # so that the form is read
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    said = io.StringIO()
    before = handler.setStream(said)
    try:
        form = {"content_type": "application/x-www-form-urlencoded"}
        assert client.generic(**{"method": "GET", **form, **asked}).status_code == status  # type: ignore[arg-type]
    finally:
        handler.setStream(before)
    [told] = [json.loads(text) for text in said.getvalue().splitlines()]
    assert (told["logger"], told.get("traceback")) == (logger, None)
