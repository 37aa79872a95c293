"""The simulator's adapter, by the carrier's documented API."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from outbound.values import CallFailure, HttpResponse
from simulator.adapter import CAPABILITIES, DEFAULT_BASE_URL, Simulator, signature
from vendors.base import BadPayload, BadSignature, SettingsError
from vendors.values import (
    Channel,
    Credentials,
    Found,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Outgoing,
    Presence,
    Report,
    SendResult,
    Sent,
    Status,
)

ADAPTER = Simulator()
KEY = "carrier-key-for-tests"


def credentials(capability: str = "look_up", **settings: str) -> Credentials:
    return Credentials(
        public_id="pub",
        settings={"base_url": "http://127.0.0.1:9/accounts/a", "capability": capability, **settings},
        secrets={"api_key": KEY},
        hook_url="https://connector.example/hooks/simulator/pub",
    )


def outgoing(**overrides: object) -> Outgoing:
    fields: dict[str, object] = {
        "reference": "ref-1",
        "message_id": "msg-1",
        "channel": Channel.SMS,
        "sender": "Demo",
        "recipient": "+421900000100",
        "text": "Ahoj",
        "validity": 60.9,
    }
    return Outgoing(**(fields | overrides))  # type: ignore[arg-type]


def response(status: int, body: object = None, **headers: str) -> HttpResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, headers, raw)


def hook(body: object, *, key: str = KEY, at: float | None = None, **headers: str) -> HookRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = str(int(time.time() if at is None else at))
    proof = signature(key, stamp, raw).decode()
    signed = {"x-carrier-timestamp": stamp, "x-carrier-signature": proof} | headers
    return HookRequest("POST", credentials().hook_url, "", {}, signed, raw)


def test_a_send_carries_our_reference_and_our_name_for_the_message() -> None:
    request = ADAPTER.build([outgoing()], credentials())
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:9/accounts/a/messages")
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert json.loads(request.body) == {
        "reference": "ref-1",
        "idempotent": False,
        "channel": "sms",
        "from": "Demo",
        "to": "+421900000100",
        "text": "Ahoj",
        "validity": 60,
        "hook": "https://connector.example/hooks/simulator/pub",
        "client_message": "msg-1",
    }
    assert KEY not in repr(request)


def test_an_mms_carries_its_subject_and_media() -> None:
    mms = outgoing(
        channel=Channel.MMS, subject="New", media=(Media("https://media.example/a.jpg", "image/jpeg"),)
    )
    body = json.loads(ADAPTER.build([mms], credentials()).body)
    assert body["subject"] == "New"
    assert body["media"] == [{"url": "https://media.example/a.jpg", "type": "image/jpeg"}]


def unanswered(reference: str = "ref-1") -> Sent:
    return Sent(reference, "", Channel.SMS, "+421900000100", datetime(2026, 1, 15, tzinfo=UTC))


@pytest.mark.parametrize(
    ("capability", "window", "asks"),
    [
        pytest.param("repeat", timedelta(hours=24), False, id="repeat"),
        pytest.param("look_up", None, True, id="look_up"),
        pytest.param("report", None, False, id="report"),
    ],
)
def test_the_capability_says_how_an_unknown_outcome_is_resolved(
    capability: str, window: timedelta | None, asks: bool
) -> None:
    chosen = credentials(capability)
    assert ADAPTER.repeat_window(chosen) == window
    assert json.loads(ADAPTER.build([outgoing()], chosen).body)["idempotent"] is (window is not None)
    assert (ADAPTER.look_up(unanswered(), chosen) is not None) is asks


ERRORS = [
    pytest.param(400, "4000", Outcome.PERMANENT, "invalid_request", id="wrong request"),
    pytest.param(400, "4001", Outcome.PERMANENT, "invalid_recipient", id="no such number"),
    pytest.param(400, "4002", Outcome.PERMANENT, "opted_out", id="opted out"),
    pytest.param(400, "4003", Outcome.PERMANENT, "mms_unsupported", id="no MMS"),
    pytest.param(400, "4999", Outcome.PERMANENT, "rejected_by_vendor", id="unknown code"),
    pytest.param(401, "4010", Outcome.CONFIGURATION, "credentials_refused", id="key"),
    pytest.param(403, "", Outcome.CONFIGURATION, "credentials_refused", id="forbidden"),
    pytest.param(429, "4290", Outcome.TEMPORARY, "throttled", id="throttled"),
    pytest.param(429, "", Outcome.TEMPORARY, "throttled", id="throttled without a code"),
    pytest.param(500, "5001", Outcome.TEMPORARY, "vendor_unavailable", id="documented as not taken"),
    pytest.param(500, "5999", Outcome.UNKNOWN, "vendor_fault", id="unknown fault"),
    pytest.param(502, "", Outcome.UNKNOWN, "vendor_fault", id="bad gateway"),
    pytest.param(302, "", Outcome.UNKNOWN, "vendor_fault", id="redirect"),
]


@pytest.mark.parametrize(("status", "code", "outcome", "ours"), ERRORS)
def test_refusals(status: int, code: str, outcome: Outcome, ours: str) -> None:
    body = {"error": {"code": code, "message": "words"}} if code else {}
    (result,) = ADAPTER.parse([outgoing()], response(status, body), credentials())
    assert (result.outcome, result.code, result.vendor_code) == (outcome, ours, code or str(status))
    assert result.text == ("words" if code else "")
    assert result.mms_unsupported is (code == "4003")


def test_a_throttled_send_says_when_to_come_back() -> None:
    (result,) = ADAPTER.parse([outgoing()], response(429, {}, **{"Retry-After": "7"}), credentials())
    assert result.retry_after == 7.0


def test_a_taken_message_has_an_id_for_each_part() -> None:
    (result,) = ADAPTER.parse([outgoing()], response(202, {"ids": ["c1", "c1-2"]}), credentials())
    assert result == SendResult(Outcome.TAKEN, vendor_id="c1", part_ids=("c1", "c1-2"), segments=2)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>", id="not JSON"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"ids": []}', id="no ids"),
        pytest.param(b'{"ids": "c1"}', id="ids of the wrong type"),
        pytest.param(b"", id="empty"),
    ],
)
def test_an_unreadable_yes_may_have_been_taken(body: bytes) -> None:
    (result,) = ADAPTER.parse([outgoing()], response(202, body), credentials())
    assert result.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("sent", "outcome"),
    [pytest.param(True, Outcome.UNKNOWN, id="sent"), pytest.param(False, Outcome.TEMPORARY, id="unsent")],
)
def test_no_answer(sent: bool, outcome: Outcome) -> None:
    assert ADAPTER.failed(CallFailure("timeout", "late", sent=sent)).outcome is outcome


DELIVERED = {"id": "c1", "reference": "ref-1", "status": "DELIVRD", "parts": 1}


@pytest.mark.parametrize(
    ("answer", "presence", "status"),
    [
        pytest.param(response(200, {"messages": [DELIVERED]}), Presence.FOUND, Status.DELIVERED, id="found"),
        pytest.param(
            response(200, {"messages": [DELIVERED | {"parts": 2}]}), Presence.FOUND, None, id="parts differ"
        ),
        pytest.param(response(200, {"messages": []}), Presence.ABSENT, None, id="absent"),
        pytest.param(response(404, {"messages": []}), Presence.CANNOT_TELL, None, id="404 proves nothing"),
        pytest.param(response(500, {}), Presence.CANNOT_TELL, None, id="fault"),
        pytest.param(response(200, {}), Presence.CANNOT_TELL, None, id="no list"),
        pytest.param(response(200, {"messages": [7]}), Presence.CANNOT_TELL, None, id="garbage"),
        pytest.param(
            response(200, {"messages": [DELIVERED | {"reference": "x"}]}),
            Presence.CANNOT_TELL,
            None,
            id="another",
        ),
    ],
)
def test_look_up(answer: HttpResponse, presence: Presence, status: Status | None) -> None:
    found: Found = ADAPTER.parse_look_up(unanswered(), answer, credentials())
    assert found.presence is presence
    assert (found.report.status if found.report else None) is status


def test_look_up_asks_by_reference() -> None:
    request = ADAPTER.look_up(unanswered("a b&c"), credentials())
    assert request is not None
    assert (request.method, request.url) == (
        "GET",
        "http://127.0.0.1:9/accounts/a/messages?reference=a%20b%26c",
    )


STATUSES = [
    pytest.param("ACCEPTD", Status.SENT, id="accepted"),
    pytest.param("ENROUTE", Status.SENT, id="on its way"),
    pytest.param("DELIVRD", Status.DELIVERED, id="delivered"),
    pytest.param("delivrd", Status.DELIVERED, id="lower case"),
    pytest.param("UNDELIV", Status.UNDELIVERED, id="undelivered"),
    pytest.param("EXPIRED", Status.EXPIRED, id="expired"),
    pytest.param("REJECTD", Status.REJECTED, id="rejected"),
    pytest.param("BUFFERED", Status.UNKNOWN, id="unknown word"),
    pytest.param("", Status.UNKNOWN, id="no word"),
]


@pytest.mark.parametrize(("word", "status"), STATUSES)
def test_status_words(word: str, status: Status) -> None:
    (report,) = ADAPTER.parse_hook(hook({"type": "report", "id": "c1", "status": word}), credentials())
    assert isinstance(report, Report)
    assert (report.status, report.vendor_status) == (status, word.upper())


def test_a_report_on_one_part() -> None:
    body = {
        "type": "report", "id": "c1-2", "reference": "ref-1", "status": "UNDELIV", "error": "2001",
        "text": "Absent subscriber", "part": 2, "parts": 3, "occurred_at": "2026-01-02T03:04:05.678+02:00",
    }  # fmt: skip
    assert ADAPTER.parse_hook(hook(body), credentials()) == (
        Report(
            Status.UNDELIVERED,
            "UNDELIV",
            vendor_id="c1-2",
            reference="ref-1",
            part=2,
            parts=3,
            vendor_code="2001",
            text="Absent subscriber",
            occurred_at=datetime(2026, 1, 2, 1, 4, 5, 678000, tzinfo=UTC),
        ),
    )


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("yesterday", id="words"),
        pytest.param("2026-01-02T03:04:05", id="no zone"),
        pytest.param("0001-01-01T00:00:00+14:00", id="before time"),
        pytest.param(17, id="number"),
    ],
)
def test_a_time_that_cannot_be_read_is_none(moment: object) -> None:
    body = {"type": "report", "id": "c1", "status": "DELIVRD", "occurred_at": moment}
    (report,) = ADAPTER.parse_hook(hook(body), credentials())
    assert isinstance(report, Report)
    assert report.occurred_at is None


def test_a_report_that_the_device_has_no_mms() -> None:
    (report,) = ADAPTER.parse_hook(
        hook({"type": "report", "id": "c1", "status": "UNDELIV", "error": "4003"}), credentials()
    )
    assert isinstance(report, Report)
    assert (report.mms_unsupported, report.code) == (True, "mms_unsupported")


def test_an_inbound_message() -> None:
    body = {
        "type": "inbound",
        "id": "c1-reply",
        "channel": "sms",
        "from": "+421900000150",
        "to": "+1",
        "text": "STOP",
    }
    assert ADAPTER.parse_hook(hook(body), credentials()) == (
        Inbound("c1-reply", sender="+421900000150", recipient="+1", channel=Channel.SMS, text="STOP"),
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xff", id="not text"),
        pytest.param(b"[]", id="a list"),
        pytest.param({"type": "price"}, id="another type"),
        pytest.param({"type": "inbound", "id": "", "channel": "sms"}, id="inbound without an id"),
        pytest.param({"type": "inbound", "id": "c1", "channel": "rcs"}, id="inbound of another channel"),
    ],
)
def test_garbage_is_no_payload(body: object) -> None:
    with pytest.raises(BadPayload):
        ADAPTER.parse_hook(hook(body), credentials())


def test_a_signed_hook_passes() -> None:
    ADAPTER.verify(hook({"type": "report"}), credentials())


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"key": "another key"}, id="another key"),
        pytest.param({"age": 301}, id="too old"),
        pytest.param({"age": -302}, id="from the future"),
        pytest.param({"x-carrier-signature": ""}, id="no signature"),
        pytest.param({"x-carrier-signature": "ž"}, id="odd signature"),
        pytest.param({"x-carrier-timestamp": ""}, id="no timestamp"),
        pytest.param({"x-carrier-timestamp": "9" * 5000}, id="huge timestamp"),
        pytest.param({"x-carrier-timestamp": "²"}, id="odd timestamp"),
    ],
)
def test_an_unproved_hook_is_refused(wrong: dict[str, Any]) -> None:
    given = {"age": 0, **wrong}
    at = time.time() - given.pop("age")
    with pytest.raises(BadSignature):
        ADAPTER.verify(hook({}, at=at, **given), credentials())


def test_the_body_is_part_of_the_proof() -> None:
    good = hook({"type": "report", "status": "UNDELIV"})
    forged = HookRequest("POST", good.url, "", {}, good.headers, good.body.replace(b"UNDELIV", b"DELIVRD"))
    with pytest.raises(BadSignature):
        ADAPTER.verify(forged, credentials())


def test_settings() -> None:
    assert ADAPTER.clean({"api_key": " k "}) == {
        "base_url": DEFAULT_BASE_URL,
        "api_key": "k",
        "capability": "look_up",
    }
    assert (
        ADAPTER.clean({"api_key": "k", "base_url": "http://127.0.0.1:1/a/"})["base_url"]
        == "http://127.0.0.1:1/a"
    )


@pytest.mark.parametrize(
    ("values", "field"),
    [
        pytest.param({}, "api_key", id="no key"),
        pytest.param({"api_key": "k", "capability": "hope"}, "capability", id="unknown capability"),
        pytest.param({"api_key": "k", "base_url": "ftp://x/a"}, "base_url", id="scheme"),
        pytest.param({"api_key": "k", "base_url": "http:///a"}, "base_url", id="no host"),
        pytest.param({"api_key": "k", "base_url": "http://[::1/a"}, "base_url", id="broken address"),
        pytest.param({"api_key": "k", "colour": "red"}, "colour", id="unknown setting"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, str], field: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ADAPTER.clean(values)
    assert list(caught.value.problems) == [field]


def test_every_capability_has_words() -> None:
    assert [name for name, _ in CAPABILITIES] == ["repeat", "look_up", "report"]
