"""The first requests are kept in shape, at no statement of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import responses
from django.test import Client

from accounts.models import TenantStatus
from messaging.accept import wire_recorder
from messaging.models import Message, ProviderAccount, RecordedRequest
from tests.api.conftest import MMS, SMS, Caller, make_caller
from tests.factories import make_tenant, make_token
from vendors.values import Channel

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    wire_recorder.forget_seen()
    yield
    wire_recorder.forget_seen()


def recorded(**found: Any) -> list[tuple[str, str, list[str], dict[str, str]]]:
    wire_recorder.flush()
    rows = RecordedRequest.objects.filter(**found).order_by("id")
    return [(row.action, row.code, row.headers, row.keys) for row in rows]


SMS_SHAPE = {key: "object" if key == "metadata" else "string" for key in SMS}


def test_a_shape_is_kept_once_and_without_content(caller: Caller) -> None:
    for n in range(3):
        body = {**SMS, "request_id": f"r-{n}", "text": f"Private {n}", "priority": "high"}
        assert caller.post("/sms/send", body, **{"Chan-Account": "acme", "X-Other": "1"}).status_code == 200
    assert recorded(tenant=caller.tenant) == [
        ("sms_send", "", ["Chan-Account", "Chan-Token"], {**SMS_SHAPE, "priority": "string"})
    ]
    kept = str(list(RecordedRequest.objects.values()))
    for secret in ("Private", caller.secret, "00421900000123", "abc.DEF", "autumn", "high", "'acme'"):
        assert secret not in kept


@pytest.mark.parametrize(
    ("path", "body", "code", "keys"),
    [
        pytest.param("/sms/send", {"msg": "x"}, "invalid_request", {"msg": "string"}, id="unknown key"),
        pytest.param(
            "/sms/send", {**SMS, "to": 1}, "invalid_recipient", {**SMS_SHAPE, "to": "number"}, id="type"
        ),
        pytest.param("/sms/send", [SMS], "invalid_json", {"(body)": "application/json"}, id="no object"),
        pytest.param("/mms/send", {}, "invalid_request", {}, id="empty"),
    ],
)
def test_what_was_refused_is_kept(
    caller: Caller, path: str, body: Any, code: str, keys: dict[str, str]
) -> None:
    assert caller.post(path, body).status_code == 400
    assert recorded() == [(path[1:].replace("/", "_"), code, ["Chan-Token"], keys)]
    assert not Message.objects.exists()


def test_a_form_instead_of_json(caller: Caller) -> None:
    kind = "application/x-www-form-urlencoded"
    answer = caller.client.post("/sms/send", "to=1", content_type=kind, headers={"Chan-Token": caller.secret})
    assert answer.status_code == 415
    assert recorded() == [("sms_send", "unsupported_media_type", ["Chan-Token"], {"(body)": kind})]


def test_verifications_and_how_they_failed(client: Client) -> None:
    caller = make_caller(client)
    second = make_token(caller.tenant, header="Chan-Other", second_header="Chan-Account")[1]
    with responses.RequestsMock() as vendor:
        vendor.get("http://127.0.0.1:8001/accounts/demo")
        assert caller.get("/sms/verify").status_code == 200
    ProviderAccount.objects.update(is_active=False)
    assert caller.get("/mms/verify").status_code == 503
    assert client.get("/verify", headers={"Chan-Other": second}).status_code == 401
    assert recorded(tenant=caller.tenant) == [
        ("sms_verify", "", ["Chan-Token"], {}),
        ("mms_verify", "no_account", ["Chan-Token"], {}),
        ("verify", "second_header_missing", ["Chan-Other"], {}),
    ]


def test_a_suspended_tenant_is_known(client: Client) -> None:
    caller = make_caller(client, status=TenantStatus.SUSPENDED)
    assert caller.get("/sms/verify").status_code == 403
    assert recorded(tenant=caller.tenant) == [("sms_verify", "tenant_suspended", ["Chan-Token"], {})]


def test_strangers_are_told_by_the_names_of_their_headers(client: Client) -> None:
    make_token()
    headers = {"Chan-Token": "secret-guess", "Chan-Example-Token": "x", "Authorization": "Bearer y"}
    assert client.get("/sms/verify", headers=headers).status_code == 401
    assert client.post("/sms/send", SMS, content_type="application/json").status_code == 401
    assert recorded(tenant=None) == [
        ("sms_verify", "token_unknown", ["Authorization", "Chan-Example-Token", "Chan-Token"], {}),
        ("sms_send", "token_missing", [], {}),
    ]


def test_how_many_are_kept_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_recorder, "FIRST", 2)
    monkeypatch.setattr(wire_recorder, "MORE", 1)
    monkeypatch.setattr(wire_recorder, "STRANGERS", 1)
    caller, other = make_caller(client), make_caller(client)
    for n in range(6):
        caller.post("/sms/send", {**SMS, "request_id": "r" if n % 2 else n, f"key_{n}": 1})
        client.get("/sms/verify", headers={f"Chan-X{n}": "1"})
    assert len(recorded(tenant=caller.tenant)) == 3
    assert len(recorded(tenant=None)) == 1
    other.post("/sms/send", SMS)
    assert len(recorded(tenant=other.tenant)) == 1


def test_a_full_queue_drops_and_the_next_request_tries_again(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire_recorder.forget_seen()
    for n in range(wire_recorder.WAITING_MAX):
        wire_recorder._waiting.put_nowait(wire_recorder.Shape(caller.tenant.pk, "sms_send", code=str(n)))
    assert caller.post("/sms/send", SMS).status_code == 200
    while not wire_recorder._waiting.empty():
        wire_recorder._waiting.get_nowait()
    assert caller.post("/sms/send", {**SMS, "request_id": "r-2"}).status_code == 200
    assert [row[0] for row in recorded()] == ["sms_send"]


def test_a_bug_in_the_recorder_costs_no_answer(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(wire_recorder, "note", broken)
    assert caller.post("/sms/send", SMS).status_code == 200
    assert [record.getMessage() for record in caplog.records] == ["shape of a request not recorded"]


def test_what_was_forgotten_is_recorded_again(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    caller.post("/mms/send", MMS)
    assert len(recorded()) == 1
    assert wire_recorder.forget(caller.tenant.pk) == 1
    caller.post("/mms/send", MMS)
    assert recorded() == []  # within ten minutes this process takes it for known
    later = wire_recorder.time.monotonic() + wire_recorder.SEEN_SECONDS + 1
    monkeypatch.setattr(wire_recorder.time, "monotonic", lambda: later)
    caller.post("/mms/send", MMS)
    assert len(recorded()) == 1


def test_a_tenants_shapes_go_with_it() -> None:
    tenant = make_tenant()
    wire_recorder.note(wire_recorder.Shape(tenant.pk, "sms_send"))
    wire_recorder.flush()
    tenant.delete()
    assert not RecordedRequest.objects.exists()


def test_both_channels(caller: Caller) -> None:
    assert Channel.MMS in caller.account.channels
    caller.post("/mms/send", MMS)
    assert recorded()[0][3]["media"] == "object of url: string"
