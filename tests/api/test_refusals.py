"""What never becomes a message, and what each gets (contract 4). Each denial also proves that nothing was stored."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from django.db import IntegrityError
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY

from accounts.models import ApiToken, TenantStatus
from messaging.accept import intake
from messaging.contract.request_body import BodyUnreadable, read_body
from messaging.models import Content, Message
from tests.api.conftest import MMS, SMS, Caller, make_caller
from tests.postgres_proxy import in_other_process_settings

JSON = "application/json"


def error_of(answer: Any) -> dict[str, Any]:
    """The envelope's error, after its shape was checked."""
    body = answer.json()
    assert set(body) == {"message", "error", "request_id"}
    assert set(body["error"]) == {"code", "message", "fields"}
    assert body["message"] == body["error"]["message"]
    assert body["message"]
    error: dict[str, Any] = body["error"]
    return error


def nothing_stored() -> bool:
    return not Message.objects.exists() and not Content.objects.exists()


def test_wrong_fields_are_named_and_the_request_id_comes_back(caller: Caller):
    answer = caller.post("/mms/send", {"request_id": "r-7", "from": "Acme", "to": "0900", "text": 5})
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["code"] == "invalid_request"
    assert error["fields"] == {
        "to": ["must be an international number written 00 and 7 to 15 digits"],
        "text": ["must be a string"],
        **{
            name: ["is required"]
            for name in ("custom_data", "callback_url", "subject", "fallback_text", "media")
        },
    }
    assert answer.json()["request_id"] == "r-7"
    assert nothing_stored()


def test_one_wrong_field_has_its_own_code(caller: Caller):
    answer = caller.post("/sms/send", {**SMS, "to": "+421900000123"})
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (400, "invalid_recipient")
    assert "421900000123" not in answer.content.decode()
    assert nothing_stored()


def test_a_callback_host_of_another_tenant_is_refused(caller: Caller):
    other = make_caller(caller.client, allowed_hosts=["own.example"])
    body = {**SMS, "callback_url": "https://own.example/hook"}
    assert other.post("/sms/send", body).status_code == 200
    answer = caller.post("/sms/send", body)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid_callback_url")
    assert Message.objects.count() == 1


def test_http_and_loopback_callbacks_only_in_the_demo(caller: Caller, settings: Any):
    body = {**SMS, "callback_url": "http://127.0.0.1:8002/callbacks"}
    assert caller.post("/sms/send", body).status_code == 400
    settings.DEMO = True
    assert caller.post("/sms/send", body).status_code == 200


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param(b"", "invalid_json", id="empty"),
        pytest.param(b"{", "invalid_json", id="cut off"),
        pytest.param(b"{'a': 1}", "invalid_json", id="single quotes"),
        pytest.param(b"\xff\xfe", "invalid_json", id="not UTF-8"),
        pytest.param(b'{"text": "\xed\xa0\xbd"}', "invalid_json", id="surrogate in UTF-8"),
        pytest.param(b'{"text": "\\ud83d"}', "invalid_json", id="half a surrogate pair"),
        pytest.param(b"[" * 100_000, "invalid_json", id="deep"),
        pytest.param(b'{"a":' * 100_000, "invalid_json", id="deep objects"),
        pytest.param(b'{"a": ' + b"1" * 5000 + b"}", "invalid_json", id="huge number"),
        pytest.param(b'{"a": NaN}', "invalid_json", id="NaN"),
        pytest.param(b"[]", "invalid_json", id="a list"),
        pytest.param(b'"x"', "invalid_json", id="a string"),
        pytest.param(b"null", "invalid_json", id="null"),
    ],
)
def test_bodies_that_are_no_json_object(caller: Caller, raw: bytes, code: str):
    answer = caller.client.generic(
        "POST", "/sms/send", raw, headers={"Chan-Token": caller.secret}, CONTENT_TYPE=JSON
    )
    assert (answer.status_code, error_of(answer)["code"]) == (400, code)
    assert nothing_stored()


def test_deep_metadata_is_a_named_field(caller: Caller):
    raw = b'{"request_id": "r", "metadata": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}"
    answer = caller.client.generic(
        "POST", "/sms/send", raw, content_type=JSON, headers={"Chan-Token": caller.secret}
    )
    assert answer.status_code == 400
    assert "metadata" in error_of(answer)["fields"]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        pytest.param("application/json", 200, id="plain"),
        pytest.param("application/json; charset=utf-8", 200, id="charset"),
        pytest.param('Application/JSON; charset="UTF-8"', 200, id="capitals"),
        pytest.param("", 415, id="missing"),
        pytest.param("text/plain", 415, id="text"),
        pytest.param("application/x-www-form-urlencoded", 415, id="form"),
        pytest.param("multipart/form-data; boundary=x", 415, id="multipart"),
        pytest.param("application/json; charset=utf-16", 415, id="other charset"),
    ],
)
def test_content_types(caller: Caller, content_type: str, status: int):
    raw = b'{"from": "Acme", "to": "00421900000123", "text": "x", "request_id": "r", "custom_data": "c",'
    raw += b'"callback_url": "https://a.bloomreach.co/"}'
    answer = caller.client.generic(
        "POST", "/sms/send", raw, content_type=content_type, headers={"Chan-Token": caller.secret}
    )
    assert answer.status_code == status
    assert Message.objects.count() == (status == 200)
    if status == 415:
        assert error_of(answer)["code"] == "unsupported_media_type"


def test_compressed_bodies_are_refused(caller: Caller):
    answer = caller.post("/sms/send", SMS, **{"Content-Encoding": "gzip"})
    assert (answer.status_code, error_of(answer)["code"]) == (415, "unsupported_media_type")
    assert nothing_stored()


@pytest.mark.parametrize("path", ["/sms/send", "/mms/send", "/sms/send-sms", "/sms/send/"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_wrong_methods_of_send(caller: Caller, path: str, method: str):
    answer = caller.client.generic(method, path, headers={"Chan-Token": caller.secret})
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_wrong_methods_of_verify(caller: Caller, method: str):
    answer = caller.client.generic(method, "/sms/verify", headers={"Chan-Token": caller.secret})
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
    assert error_of(answer)["code"] == "method_not_allowed"


class Stream(io.BytesIO):
    """A request body; how many of its bytes were asked for."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.taken = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self.taken += len(piece)
        return piece


def posted(client: Client, secret: str, stream: Stream, **environ: Any) -> Any:
    return client.generic(
        "POST",
        "/sms/send",
        headers={"Chan-Token": secret},
        **{"CONTENT_TYPE": JSON, "wsgi.input": stream, **environ},
    )


def padded(size: int) -> bytes:
    raw = (
        b'{"from": "Acme", "to": "00421900000123", "text": "x", "request_id": "r", "custom_data": "c",'
        b'"callback_url": "https://a.bloomreach.co/", "metadata": {"pad": "'
    )
    return raw + b"x" * (size - len(raw) - 3) + b'"}}'


@pytest.mark.parametrize(
    ("size", "environ", "status", "most"),
    [
        pytest.param(1_048_576, {"CONTENT_LENGTH": "1048576"}, 200, 1_048_576, id="exactly 1 MiB"),
        pytest.param(1_048_577, {"CONTENT_LENGTH": "1048577"}, 413, 0, id="one more, declared"),
        pytest.param(
            1_048_576, {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}, 200, 1_048_576, id="chunked"
        ),
        pytest.param(
            5_000_000,
            {"CONTENT_LENGTH": "", "wsgi.input_terminated": True},
            413,
            1_048_577,
            id="chunked and too large",
        ),
        pytest.param(5_000_000, {"CONTENT_LENGTH": "100"}, 400, 100, id="longer than declared"),
        pytest.param(500, {"CONTENT_LENGTH": "-5"}, 400, 0, id="negative length"),
        pytest.param(500, {"CONTENT_LENGTH": "many"}, 400, 0, id="length in words"),
    ],
)
def test_body_sizes(caller: Caller, size: int, environ: dict[str, Any], status: int, most: int):
    stream = Stream(padded(size))
    answer = posted(caller.client, caller.secret, stream, **environ)
    assert answer.status_code == status
    assert stream.taken <= most
    assert Message.objects.count() == (status == 200)
    if status == 413:
        assert error_of(answer)["code"] == "body_too_large"


def test_a_broken_off_body(rf: Any):
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError

    request = rf.generic("POST", "/sms/send", b"", CONTENT_LENGTH="10", **{"wsgi.input": Broken()})
    with pytest.raises(BodyUnreadable):
        read_body(request, limit=100)


@pytest.mark.parametrize("path", ["/sms/send", "/mms/send", "/sms/verify", "/mms/verify"])
def test_without_a_token(caller: Caller, path: str):
    answer = caller.client.get(path) if "verify" in path else caller.client.post(path, SMS, content_type=JSON)
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (401, "token_missing")
    assert error["message"] == (
        "No token was sent. Send the account's token in the header Chan-Token, or in the one that the connector's "
        "operator agreed with you."
    )
    assert nothing_stored()


def test_refusals_are_counted_by_their_code(caller: Caller):
    def refused() -> float:
        return REGISTRY.get_sample_value("connector_requests_refused_total", {"code": "token_missing"}) or 0

    before = refused()
    caller.client.post("/sms/send", SMS, content_type=JSON)
    caller.client.get("/mms/verify")
    assert refused() == before + 2


def test_with_an_unknown_token(caller: Caller):
    answer = caller.post("/sms/send", SMS, **{"Chan-Token": "not-a-token"})
    assert (answer.status_code, error_of(answer)["code"]) == (401, "token_unknown")
    assert "not-a-token" not in answer.content.decode()
    assert nothing_stored()


def test_a_token_revoked_between_the_cache_and_the_statement(caller: Caller):
    assert caller.post("/sms/send", SMS).status_code == 200
    ApiToken.objects.update(revoked_at=timezone.now())
    answer = caller.post("/sms/send", {**SMS, "request_id": "r-2"})
    assert (answer.status_code, error_of(answer)["code"]) == (401, "token_unknown")
    assert answer.json()["request_id"] == "r-2"
    assert Message.objects.count() == 1


@pytest.mark.parametrize("request_id", ["request-1", "r-2"], ids=["duplicate", "new"])
def test_a_tenant_suspended_between_the_cache_and_the_statement(caller: Caller, request_id: str):
    assert caller.post("/sms/send", SMS).status_code == 200
    caller.tenant.status = TenantStatus.SUSPENDED
    caller.tenant.save()
    answer = caller.post("/sms/send", {**SMS, "request_id": request_id})
    assert (answer.status_code, error_of(answer)["code"]) == (403, "tenant_suspended")
    assert Message.objects.count() == 1


def test_over_the_rate_limit(db: None, client: Client):
    caller = make_caller(client, rate=0.5, burst=2)
    statuses = [caller.post("/sms/send", {**SMS, "request_id": f"r-{n}"}).status_code for n in range(3)]
    assert statuses == [200, 200, 429]
    answer = caller.post("/sms/send", SMS)
    assert (answer.status_code, error_of(answer)["code"]) == (429, "rate_limited")
    assert answer["Retry-After"] in ("1", "2")
    assert Message.objects.count() == 2


@pytest.mark.parametrize(
    "crash",
    [
        pytest.param(RuntimeError("00421900000123"), id="bug"),
        pytest.param(RecursionError("deep"), id="recursion"),
        pytest.param(IntegrityError("DETAIL: Failing row contains (+421900000123, Hello)."), id="constraint"),
    ],
)
def test_a_crash_is_503_and_tells_nothing(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, crash: Exception
):
    def broken(**_: Any) -> None:
        raise crash

    monkeypatch.setattr(intake, "accept", broken)
    with caplog.at_level(logging.DEBUG):
        answer = caller.post("/sms/send", SMS)
    error = error_of(answer)
    assert (answer.status_code, answer["Retry-After"], error["code"]) == (503, "30", "internal_error")
    assert answer.json()["request_id"] == "request-1"
    assert "421900000123" not in answer.content.decode()
    assert [record for record in caplog.records if record.name == "messaging.api.errors"]
    if isinstance(crash, IntegrityError):
        assert "421900000123" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_with_the_database_down(client: Client, caplog: pytest.LogCaptureFixture):
    caller = make_caller(client)

    def post() -> Any:
        return caller.post("/sms/send", SMS)

    options = {"connect_timeout": 1, "sslmode": "disable"}
    for pool in ({}, {"pool": {"min_size": 0, "max_size": 1, "timeout": 0.5}}):
        answer = in_other_process_settings(
            post, HOST="127.0.0.1", PORT="1", CONN_MAX_AGE=0, OPTIONS={**options, **pool}
        )
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
        assert error_of(answer)["code"] == "database_unavailable"
    assert caller.post("/sms/send", SMS).status_code == 200  # and by itself when it is back


def test_no_secret_number_or_text_in_any_refusal_or_log(caller: Caller, caplog: pytest.LogCaptureFixture):
    private = {**MMS, "text": "private words", "to": "00421900000123x", "from": "Private Sender Name"}
    with caplog.at_level(logging.DEBUG):
        answers = [
            caller.post("/mms/send", private),
            caller.post("/sms/send", private, **{"Chan-Token": caller.secret + "x"}),
            caller.client.generic(
                "POST", "/sms/send", b'{"text": "private words', JSON, headers={"Chan-Token": caller.secret}
            ),
        ]
    assert [answer.status_code for answer in answers] == [400, 401, 400]
    told = caplog.text + "".join(answer.content.decode() for answer in answers)
    for word in ("private words", "421900000123", "Private Sender", caller.secret, SMS["custom_data"]):
        assert word not in told
