"""The wire profile as a value: what it accepts, and how it dresses events and answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from messaging.contract import wire, wire_profile
from messaging.contract.wire_profile import DEFAULT, ProfileError, WireProfile

EVENT = wire.outbound_event(
    event_id=UUID(int=1),
    channel="sms",
    status="failed",
    occurred_at=datetime(2026, 1, 2, tzinfo=UTC),
    request_id="r-1",
    message_id=UUID(int=2),
    sender="Acme",
    recipient="00421900000123",
    custom_data="a_b",
    error={"code": "undelivered", "message": "Absent", "vendor_code": "27"},
    segments=1,
    sent_as="sms",
    metadata={"my_key": {"other_key": 1}},
    correction=True,
)
INBOUND = wire.inbound_event(
    event_id=UUID(int=1),
    channel="mms",
    occurred_at=datetime(2026, 1, 2, tzinfo=UTC),
    sender_msisdn="+421900000123",
    recipient="+421900000001",
    text="STOP",
    media=[{"url": "https://x.example/a", "content_type": "image/png", "name": "a"}],
    message_id=UUID(int=2),
)


def test_the_tables_of_keys_are_those_of_the_events() -> None:
    assert tuple(EVENT) == wire.OUTBOUND_KEYS
    assert tuple(INBOUND) == wire.INBOUND_KEYS


def test_the_default_changes_nothing() -> None:
    assert wire_profile.parse({}) == DEFAULT
    assert wire_profile.dress(EVENT, wire_profile.parse({})) == EVENT
    assert wire_profile.dress(EVENT, DEFAULT) is EVENT
    assert DEFAULT.as_dict() == {}


def test_camel_case_spells_our_keys_and_leaves_bloomreachs_data() -> None:
    dressed = wire_profile.dress(EVENT, WireProfile(spelling="camel"))
    assert list(dressed) == [
        *("eventId", "channel", "status", "timestamp", "requestId", "messageId", "from", "to", "customData"),
        *("segments", "sentAs", "metadata", "error", "correction"),
    ]
    assert dressed["error"] == {"code": "undelivered", "message": "Absent", "vendorCode": "27"}
    assert dressed["metadata"] == {"my_key": {"other_key": 1}}
    assert dressed["customData"] == "a_b"


def test_media_of_an_inbound_event_are_spelled_too() -> None:
    dressed = wire_profile.dress(INBOUND, WireProfile(spelling="camel"))
    assert dressed["media"] == [{"url": "https://x.example/a", "contentType": "image/png", "name": "a"}]


def test_names_statuses_extra_fields_and_what_is_left_out() -> None:
    profile = wire_profile.parse(
        {
            "keys_out": {"to": "recipient", "vendor_code": "reason"},
            "statuses": {"failed": "UNDELIVERED"},
            "extra": {"userId": "acme", "version": 2, "legacy": None},
            "omitted": ["event_id", "metadata", "segments", "sent_as", "correction", "channel"],
        }
    )
    assert wire_profile.dress(EVENT, profile) == {
        "status": "UNDELIVERED",
        "timestamp": 1767312000.0,
        "request_id": "r-1",
        "message_id": str(UUID(int=2)),
        "from": "Acme",
        "recipient": "00421900000123",
        "custom_data": "a_b",
        "error": {"code": "undelivered", "message": "Absent", "reason": "27"},
        "userId": "acme",
        "version": 2,
        "legacy": None,
    }


@pytest.mark.parametrize(
    ("key", "body"),
    [
        pytest.param("events", {"events": [{"a": 1}, {"b": 2}]}, id="events"),
        pytest.param("data", {"data": [{"a": 1}, {"b": 2}]}, id="another key"),
        pytest.param("", [{"a": 1}, {"b": 2}], id="bare"),
    ],
)
def test_envelopes(key: str, body: Any) -> None:
    assert json.loads(wire_profile.enclose([b'{"a":1}', b'{"b":2}'], key)) == body


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"spelling": "camel"}, id="spelling"),
        pytest.param({"outbound": "", "inbound": "data"}, id="envelopes"),
        pytest.param({"bearer": True, "success": "text"}, id="bearer and success"),
        pytest.param({"paths": {"/c/acme/sms/send": "sms_send", "/sms/v2/check": "sms_verify"}}, id="paths"),
        pytest.param({"keys_in": {"text": "messageText"}, "omitted": ["metadata"]}, id="keys in"),
    ],
)
def test_what_is_stored_is_what_was_given(value: dict[str, Any]) -> None:
    profile = wire_profile.parse(value)
    assert profile.as_dict() == value
    assert wire_profile.stored(value) == profile


@pytest.mark.parametrize(
    ("value", "part", "words"),
    [
        pytest.param([], "profile", "must be an object", id="no object"),
        pytest.param({"speling": "camel"}, "speling", "is no part", id="unknown part"),
        pytest.param({"spelling": "kebab"}, "spelling", "snake, camel", id="spelling"),
        pytest.param({"spelling": ["camel"]}, "spelling", "snake, camel", id="spelling a list"),
        pytest.param({"bearer": "yes"}, "bearer", "true or false", id="bearer"),
        pytest.param({"outbound": None}, "outbound", "keys of 1 to 64", id="envelope null"),
        pytest.param({"outbound": 'a"b'}, "outbound", "keys of 1 to 64", id="quote in a key"),
        pytest.param({"inbound": "1st"}, "inbound", "no digit", id="key with a digit first"),
        pytest.param({"keys_out": {"colour": "x"}}, "keys_out", "knows only", id="not our key"),
        pytest.param({"keys_out": {"to": ""}}, "keys_out", "keys of 1 to 64", id="empty key"),
        pytest.param({"keys_out": {"to": "from"}}, "keys_out", "the key from", id="two values, one key"),
        pytest.param({"extra": {"status": "x"}}, "keys_out", "the key status", id="extra over ours"),
        pytest.param({"extra": {"a": []}}, "extra", "texts, numbers", id="extra a list"),
        pytest.param({"extra": {"a": 2**60}}, "extra", "numbers", id="extra too large"),
        pytest.param({"extra": {"a": float("nan")}}, "extra", "numbers", id="extra no number"),
        pytest.param({"extra": {"a": "x" * 201}}, "extra", "at most 200", id="extra too long"),
        pytest.param({"extra": {"a": "\x00"}}, "extra", "printable", id="extra with NUL"),
        pytest.param({"statuses": {"read": "x"}}, "statuses", "knows only", id="not our status"),
        pytest.param({"statuses": {"sent": ""}}, "statuses", "texts", id="empty status"),
        pytest.param({"omitted": ["status"]}, "omitted", "Bloomreach needs", id="status left out"),
        pytest.param({"omitted": ["custom_data"]}, "omitted", "Bloomreach needs", id="custom data left out"),
        pytest.param({"omitted": "metadata"}, "omitted", "a list", id="left out a text"),
        pytest.param({"keys_in": {"text": "to"}}, "keys_in", "of its own", id="key of another field"),
        pytest.param({"keys_in": {"text": "Sender"}}, "keys_in", "of its own", id="the same in capitals"),
        pytest.param({"keys_in": {"text": "x", "to": "x"}}, "keys_in", "of its own", id="one key twice"),
        pytest.param({"paths": {"/x": "fax"}}, "paths", "knows only", id="unknown action"),
        pytest.param({"paths": {"x": "sms_send"}}, "paths", "begin with /", id="relative path"),
        pytest.param({"paths": {"/": "sms_send"}}, "paths", "begin with /", id="root"),
        pytest.param({"paths": {"/a//b": "sms_send"}}, "paths", "begin with /", id="empty segment"),
        pytest.param({"paths": {"/a/../b": "sms_send"}}, "paths", "begin with /", id="dots"),
        pytest.param({"paths": {"/a?b=c": "sms_send"}}, "paths", "begin with /", id="query"),
        pytest.param({"paths": {"/" + "a" * 200: "sms_send"}}, "paths", "at most 200", id="long path"),
        pytest.param({"paths": {"/admin/x": "sms_send"}}, "paths", "served already", id="admin"),
        pytest.param({"paths": {"/mms/send": "sms_send"}}, "paths", "served already", id="usual path"),
        pytest.param(
            {"keys_out": dict.fromkeys(map(str, range(41)), "x")}, "keys_out", "at most 40", id="many"
        ),
    ],
)
def test_what_is_refused(value: Any, part: str, words: str) -> None:
    with pytest.raises(ProfileError) as refused:
        wire_profile.parse(value)
    assert list(refused.value.problems) == [part]
    assert words in refused.value.problems[part]


def test_a_stored_profile_that_cannot_be_read_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    wire_profile.loads.cache_clear()
    assert wire_profile.stored({"spelling": "klingon"}) is DEFAULT
    assert [record.getMessage() for record in caplog.records] == [
        "wire profile could not be read: spelling must be one of snake, camel"
    ]
