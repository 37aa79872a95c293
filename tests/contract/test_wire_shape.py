"""Shapes: keys and types, nothing of what is in them; and in which ways they differ from a profile."""

from __future__ import annotations

from typing import Any

import pytest

from messaging.contract import wire_profile, wire_shape
from messaging.contract.wire_profile import DEFAULT

SMS: dict[str, Any] = {
    "from": "Acme",
    "to": "00421900000123",
    "text": "Private words",
    "request_id": "r-1",
    "custom_data": "",
    "callback_url": "https://cloud-api.bloomreach.co/x",
    "metadata": {"customer@example.com": 1},
}


def test_the_shape_of_a_request() -> None:
    body = {
        **SMS,
        "priority": 1,
        "ttl": None,
        "flags": [True, "x", {"deep": {"deeper": 1}}],
        "options": {"a": 1.5, "421900000123": "x", "inner": {"b": "c"}},
        "media": {"urls": ["https://x.example/a"]},
        "empty": {},
        "none": [],
    }
    assert wire_shape.shape(body) == {
        "from": "string",
        "to": "string",
        "text": "string",
        "request_id": "string",
        "custom_data": "empty string",
        "callback_url": "string",
        "metadata": "object",
        "priority": "number",
        "ttl": "null",
        "flags": "array of boolean or object of deep: object or string",
        "options": "object of a: number, (another key): string, inner: object of b: string",
        "media": "object of urls: array of string",
        "empty": "object",
        "none": "array",
    }


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("00421900000123", id="a number"),
        pytest.param("c_421900000123", id="a number in a name"),
        pytest.param("customer@example.com", id="an address"),
        pytest.param("Private words", id="words"),
        pytest.param("x" * 41, id="long"),
        pytest.param("", id="empty"),
        pytest.param("a\x00", id="NUL"),
        pytest.param("ключ", id="another script"),
        pytest.param("a\n", id="line end"),
    ],
)
def test_keys_that_may_be_content_are_not_kept(key: str) -> None:
    assert wire_shape.shape({key: 1}) == {wire_shape.ODD: "number"}


def test_a_shape_is_bounded() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = {f"k{n}": deep for n in range(3)}
    told = wire_shape.shape({**{f"key_{n}": 1 for n in range(100)}, "deep": deep})
    assert len(told) == wire_shape.KEYS_MAX
    wide = wire_shape.shape({"x": {f"k{n}": {f"k{m}": [1] * 1000 for m in range(100)} for n in range(100)}})
    assert len(wide["x"]) < 3000


def test_headers_are_names_of_setting_fields() -> None:
    names = [
        "CHAN_TOKEN",
        "chan-account",
        "X_API_KEY",
        "AUTHORIZATION",
        "COOKIE",
        "CHAN_421900000123",
        "HOST",
    ]
    assert wire_shape.headers(tuple(names)) == (
        wire_shape.ODD,
        "Authorization",
        "Chan-Account",
        "Chan-Token",
        "X-Api-Key",
    )


@pytest.mark.parametrize(
    ("changes", "profile", "words"),
    [
        pytest.param({}, {}, [], id="as expected"),
        pytest.param({"text": ..., "body": "x"}, {}, ["body comes for text"], id="an alias"),
        pytest.param(
            {"custom_data": ..., "CustomData": "x"}, {}, ["CustomData comes for custom_data"], id="spelling"
        ),
        pytest.param(
            {"text": ..., "msg": "x"}, {}, ["text does not come", "msg (string) is not known"], id="unknown"
        ),
        pytest.param({"text": ..., "msg": "x"}, {"keys_in": {"text": "msg"}}, [], id="in the profile"),
        pytest.param(
            {"text": ..., "m_s_g": "x"}, {"keys_in": {"text": "msg"}}, ["m_s_g comes for msg"], id="nearly"
        ),
        pytest.param({"to": ["x"]}, {}, ["to is array of string"], id="another type"),
        pytest.param({"metadata": "x"}, {}, ["metadata is string"], id="metadata a text"),
        pytest.param({"metadata": ..., "request_id": ...}, {}, [], id="what may be absent"),
        pytest.param(
            {},
            {"spelling_in": "camel"},
            [
                "request_id comes for requestId",
                "custom_data comes for customData",
                "callback_url comes for callbackUrl",
            ],
            id="another spelling than the profile's",
        ),
    ],
)
def test_differences(changes: dict[str, Any], profile: dict[str, Any], words: list[str]) -> None:
    body = {key: value for key, value in {**SMS, **changes}.items() if value is not ...}
    told = wire_shape.shape(body)
    assert wire_shape.differences(told, wire_profile.parse(profile), mms=False) == words


def test_a_body_that_is_no_object() -> None:
    told = wire_shape.no_object("application/x-www-form-urlencoded")
    assert wire_shape.differences(told, DEFAULT, mms=False) == [
        "the body is no JSON object (application/x-www-form-urlencoded)"
    ]
    assert wire_shape.no_object("421900000123") == {wire_shape.BODY: "no media type"}
    assert wire_shape.unknown(told, DEFAULT) == []
