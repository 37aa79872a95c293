"""Descriptions become profiles: every form they come in, every key told, nothing followed or grown without end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from messaging.contract import openapi, wire_import, wire_profile
from messaging.contract.openapi import DescriptionError
from messaging.contract.wire_import import Findings, Page

STRING = {"type": "string"}


def document(**operations: Any) -> dict[str, Any]:
    paths = {f"/{name.replace('__', '/')}": item for name, item in operations.items()}
    return {"openapi": "3.1.0", "info": {"title": "Channel API", "version": "1"}, "paths": paths}


def post(schema: Any, **more: Any) -> dict[str, Any]:
    return {"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}, **more}}


def strings(*names: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {**dict.fromkeys(names, STRING), **more}}


SEND = post(
    strings("from", "to", "messageText", "requestId", "customData", "callbackUrl", "priority", metadata={}),
    summary="Send SMS",
)
CALLBACK = post(
    {
        "type": "array",
        "items": strings(
            "from", "to", "customData", "requestId", "userId", timestamp={"type": "number"}, status=STRING
        ),
    },
    summary="Outbound callbacks",
)
INBOUND = post(
    strings(messages={"type": "array", "items": strings("from", "to", "text", "receivedAt")}),
    summary="Inbound messages",
)
VERIFY = {"get": {"summary": "Verify credentials", "responses": {"200": {"content": {"text/plain": {}}}}}}


def read(*documents: Any, **options: Any) -> Findings:
    return wire_import.findings([json.dumps(one) for one in documents], **options)


def test_the_pages_of_a_camel_case_partner() -> None:
    found = read(document(sms__send=SEND, verify=VERIFY), document(callbacks=CALLBACK), document(in_=INBOUND))
    assert found.profile.as_dict() == {
        "spelling": "camel",
        "spelling_in": "camel",
        "keys_in": {"text": "messageText"},
        "outbound": "",
        "inbound": "messages",
        "success": "text",
    }
    assert "POST /in_: receivedAt for timestamp; another page writes timestamp" in found.notes


def test_every_key_is_told() -> None:
    send, callback = read(document(sms__send=SEND, callbacks=CALLBACK)).pages
    assert send == Page(
        role="sms_send",
        title="POST /sms/send",
        known={
            "from": "from",
            "to": "to",
            "requestId": "request_id",
            "customData": "custom_data",
            "callbackUrl": "callback_url",
            "metadata": "metadata",
        },
        guessed={"messageText": "text"},
        unknown=("priority",),
        missing=(),
    )
    assert (callback.role, callback.unknown) == ("outbound", ("userId",))
    assert callback.missing == (
        *("event_id", "channel", "message_id", "segments", "sent_as", "metadata", "error", "correction"),
    )


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False)


def _markdown(value: Any) -> str:
    return f"# Send\n\nText\n\n# OpenAPI definition\n\n```json\n{json.dumps(value, indent=2)}\n```\n\nMore.\n"


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(json.dumps, id="JSON"),
        pytest.param(lambda value: "\ufeff" + json.dumps(value), id="JSON with a byte order mark"),
        pytest.param(_yaml, id="YAML"),
        pytest.param(_markdown, id="Markdown"),
        pytest.param(lambda value: _markdown(value).replace("\n", "\r\n"), id="Markdown with CRLF"),
        pytest.param(lambda value: f"# A\n\n```yaml\n{_yaml(value)}```\n", id="YAML in Markdown"),
        pytest.param(
            lambda value: '```json\n{"no": "openapi"}\n```\n' + _markdown(value), id="other blocks before it"
        ),
        pytest.param(lambda value: json.dumps({**value, "openapi": "3.0.3"}), id="3.0"),
    ],
)
def test_forms(write: Any) -> None:
    found = wire_import.findings([write(document(sms__send=SEND, callbacks=CALLBACK))])
    assert [page.role for page in found.pages] == ["sms_send", "outbound"]
    assert found.profile.as_dict() == {
        "spelling": "camel",
        "spelling_in": "camel",
        "keys_in": {"text": "messageText"},
        "outbound": "",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "holds no OpenAPI", id="empty"),
        pytest.param("{", "holds no OpenAPI", id="broken JSON"),
        pytest.param("a: [", "holds no OpenAPI", id="broken YAML"),
        pytest.param("just words", "holds no OpenAPI", id="words"),
        pytest.param('{"openapi": "3.1.0"', "holds no OpenAPI", id="cut off"),
        pytest.param('{"swagger": "2.0"}', "another version", id="Swagger 2"),
        pytest.param('{"openapi": "4.0.0"}', "another version", id="4.0"),
        pytest.param('{"openapi": {"a": 1}}', "another version", id="version an object"),
        pytest.param("[" * 100_000, "holds no OpenAPI", id="nested without end"),
        pytest.param('{"a":' * 100_000, "holds no OpenAPI", id="JSON nested without end"),
        pytest.param("x" * (openapi.TEXT_MAX + 1), "is longer than", id="too long"),
        pytest.param("!!python/object/apply:os.system [id]", "holds no OpenAPI", id="YAML that runs code"),
    ],
)
def test_what_is_no_description(text: str, words: str) -> None:
    with pytest.raises(DescriptionError, match=words):
        wire_import.findings([text])


def test_references_are_followed_inside_the_document_only() -> None:
    schema = {"allOf": [{"$ref": "#/components/schemas/Base"}, strings("callbackUrl")]}
    elsewhere = {"$ref": "https://example.invalid/schema.json#/A"}
    value = {
        **document(sms__send=post(schema), other=post(elsewhere), file=post({"$ref": "/etc/passwd"})),
        "components": {
            "schemas": {
                "Base": {"type": "object", "properties": {"to": {"$ref": "#/components/schemas/N~1A"}}},
                "N/A": STRING,
            }
        },
    }
    found = read(value)
    assert found.pages[0].known == {"to": "to", "callbackUrl": "callback_url"}
    assert sorted(note for note in found.notes if "not followed" in note) == [
        "not followed, it leads out of the file: /etc/passwd",
        "not followed, it leads out of the file: https://example.invalid/schema.json#/A",
    ]


LAUGHS = "\n".join(
    ["openapi: 3.1.0", "a0: &a0 {properties: {x: {}}}"]
    + [f"a{n}: &a{n} {{allOf: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 30)]
    + ["paths: {/x: {post: {requestBody: {content: {application/json: {schema: *a29}}}}}}"]
)
MERGES = "\n".join(
    ["openapi: 3.1.0", "a0: &a0 {k: 1}"]
    + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 30)]
)
EXAMPLES = "\n".join(
    ["openapi: 3.1.0", "a0: &a0 {x: 1}"]
    + [f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(9))}}}" for n in range(1, 12)]
    + ["paths: {/x: {post: {requestBody: {content: {application/json: {example: *a11}}}}}}"]
)
CYCLE = "\n".join(
    [
        "openapi: 3.1.0",
        "paths: {/x: {post: {requestBody: {content: {application/json: {schema: &s {allOf: [*s, *s]}}}}}}}",
    ]
)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LAUGHS, id="aliases that multiply"),
        pytest.param(EXAMPLES, id="an example that multiplies"),
    ],
)
def test_what_grows_without_end_is_refused(text: str) -> None:
    with pytest.raises(DescriptionError, match="too large"):
        wire_import.findings([text])


@pytest.mark.timeout(20)
def test_merge_keys_do_not_multiply() -> None:
    """Some versions of the parser merge each key once, with others the file is refused."""
    try:
        assert wire_import.findings([MERGES]).pages == ()
    except DescriptionError as error:
        assert "too large" in str(error)


@pytest.mark.timeout(20)
def test_circles_come_to_an_end() -> None:
    try:
        assert wire_import.findings([CYCLE]).pages[0].role == "other"
    except DescriptionError as error:
        assert "too large" in str(error)
    wake = {**document(x=post({"$ref": "#/components/a"})), "components": {"a": {"$ref": "#/components/a"}}}
    assert read(wake).pages == (Page("other", "POST /x"),)


def test_keys_come_from_an_example_where_there_is_no_schema() -> None:
    example = {"events": [{"status": "delivered", "requestId": "1", "timestamp": 1.5}]}
    operation = {"post": {"requestBody": {"content": {"application/json": {"example": example}}}}}
    found = read(document(hook=operation))
    assert found.pages[0].known == {"status": "status", "requestId": "request_id", "timestamp": "timestamp"}
    assert found.profile.as_dict() == {"spelling": "camel"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param(
            {"security": [{"jwt": []}], "schemes": {"jwt": {"type": "http", "scheme": "bearer"}}},
            True,
            id="scheme",
        ),
        pytest.param(
            {
                "security": [{"key": []}],
                "schemes": {"key": {"type": "apiKey", "in": "header", "name": "Authorization"}},
            },
            False,
            id="key",
        ),
        pytest.param(
            {
                "parameters": [
                    {"in": "header", "name": "authorization", "schema": STRING, "example": "Bearer x"}
                ]
            },
            True,
            id="header with an example",
        ),
        pytest.param(
            {"parameters": [{"in": "header", "name": "Authorization", "schema": STRING}]}, False, id="header"
        ),
        pytest.param({}, True, id="nothing said: as it was"),
    ],
)
def test_the_authorization_of_callbacks(more: dict[str, Any], expected: bool) -> None:
    schemes = more.pop("schemes", {})
    operation = {"post": {**CALLBACK["post"], **more}}
    value = {**document(hook=operation), "components": {"securitySchemes": schemes}}
    assert read(value, base=wire_profile.WireProfile(bearer=True)).profile.bearer is expected


@pytest.mark.parametrize(
    ("values", "statuses"),
    [
        pytest.param(["delivered", "failed", "sent"], {}, id="ours"),
        pytest.param(
            ["DELIVERED", "FAILED", "SENT"],
            {"delivered": "DELIVERED", "failed": "FAILED", "sent": "SENT"},
            id="capitals",
        ),
        pytest.param(
            ["accepted", "delivered", "delivery_failed"],
            {"sent": "accepted", "failed": "delivery_failed"},
            id="others",
        ),
        pytest.param(["ok", "undelivered"], {"failed": "undelivered"}, id="one unknown"),
    ],
)
def test_statuses(values: list[str], statuses: dict[str, str]) -> None:
    found = read(document(hook=post(strings("custom_data", status={"type": "string", "enum": values}))))
    assert found.profile.statuses == statuses
    assert any("no word for delivered" in note for note in found.notes) is ("ok" in values)


def test_constants_and_closed_objects() -> None:
    schema = {
        **strings(
            "custom_data", "status", provider={"const": "acme"}, version={"type": "integer", "enum": [2]}
        ),
        "additionalProperties": False,
    }
    found = read(document(hook=post({"properties": {"events": {"type": "array", "items": schema}}})))
    assert found.profile.extra == {"provider": "acme", "version": 2}
    assert found.profile.outbound == "events"
    assert set(found.profile.omitted) == {
        *(
            "event_id",
            "channel",
            "timestamp",
            "request_id",
            "message_id",
            "from",
            "to",
            "segments",
            "sent_as",
        ),
        *("metadata", "error", "correction"),
    }


@pytest.mark.parametrize(
    ("server", "path", "paths"),
    [
        pytest.param("https://partner.example", "/sms/send", {}, id="served already"),
        pytest.param("https://partner.example", "/send", {"/send": "sms_send"}, id="at the root"),
        pytest.param(
            "https://partner.example/c/acme/", "/sms", {"/c/acme/sms": "sms_send"}, id="below a base"
        ),
        pytest.param("https://{base}/x", "/send", {"/x/send": "sms_send"}, id="variable host"),
        pytest.param("https://h.example/{base}", "/send", {"/send": "sms_send"}, id="variable base"),
        pytest.param("https://partner.example", "/{tenant}/send", {}, id="variable path"),
        pytest.param("https://partner.example", "/admin/send", {}, id="the desk's"),
    ],
)
def test_addresses(server: str, path: str, paths: dict[str, str]) -> None:
    value = {**document(), "paths": {path: SEND}, "servers": [{"url": server}]}
    found = read(value)
    assert found.profile.paths == paths
    assert any("cannot be given" in note for note in found.notes) is ("{" in path or "admin" in path)


def test_a_callback_below_its_request() -> None:
    send = {"post": {**SEND["post"], "callbacks": {"report": {"{$request.body#/callbackUrl}": CALLBACK}}}}
    found = read(document(sms__send=send))
    assert [page.role for page in found.pages] == ["sms_send", "outbound"]


def test_mms_is_known_by_its_media() -> None:
    keys = strings(
        "to", "text", "subject", "fallbackText", "callbackUrl", mediaUrls={"type": "array", "items": {}}
    )
    found = read(document(send=post(keys)))
    assert found.pages[0].role == "mms_send"
    assert found.profile.paths == {"/send": "mms_send"}
    assert found.profile.keys_in == {"media": "mediaUrls"}


def test_what_differs_in_type_is_said() -> None:
    when = {"type": ["string", "null"], "format": "date-time"}
    found = read(document(hook=post(strings("status", "custom_data", timestamp=when))))
    assert "POST /hook: timestamp is string there; ours is integer/number" in found.notes


def test_what_the_tenant_has_stays_where_the_description_is_silent() -> None:
    base = wire_profile.parse({"bearer": True, "inbound": "", "extra": {"a": 1}, "keys_in": {"to": "msisdn"}})
    found = read(document(sms__send=SEND), base=base)
    assert found.profile.as_dict() == {
        "spelling": "camel",
        "spelling_in": "camel",
        "bearer": True,
        "inbound": "",
        "extra": {"a": 1},
        "keys_in": {"text": "messageText"},
    }


def test_our_own_description_makes_no_difference() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml").read_text()
    found = wire_import.findings([text])
    assert found.profile.as_dict() == {}
    assert {page.role for page in found.pages} == {"sms_send", "mms_send", "verify"}
    assert all(not page.unknown and not page.guessed and not page.missing for page in found.pages)


@pytest.mark.parametrize(
    ("schema", "envelope"),
    [
        pytest.param(
            strings(RAW_BODY={"type": "array", "items": strings("from", "to", "text")}),
            "",
            id="no key, as rendered",
        ),
        pytest.param(
            strings(RAW_BODY={"type": "array", "items": {"type": "object"}}), "", id="nor keys inside"
        ),
        pytest.param({"type": "array", "items": {"type": "object"}}, "", id="an array of objects"),
        pytest.param({"type": "array"}, "", id="an array"),
        pytest.param(
            strings(messages={"type": "array", "items": {"type": "object"}}),
            "messages",
            id="a key, none inside",
        ),
        pytest.param(
            {"oneOf": [{"type": "array", "items": strings("text")}, {"type": "object"}]}, "", id="or"
        ),
    ],
)
def test_the_envelope_is_learned_where_keys_are_not_told(schema: Any, envelope: str) -> None:
    found = read(document(hook=post(schema, summary="Inbound messages")))
    assert (found.pages[0].role, found.profile.inbound) == ("inbound", envelope)


def test_requests_and_events_may_be_spelled_differently() -> None:
    send = post(strings("to", "text", "custom_data", "callback_url", "request_id"))
    found = read(document(sms__send=send, callbacks=CALLBACK))
    assert found.profile.as_dict() == {"spelling": "camel", "outbound": ""}


def test_a_page_without_keys_is_said_to_have_none() -> None:
    found = read({"openapi": "3.0.0", "paths": {"/send": {"post": {"summary": "Send"}}}})
    assert found.pages == (Page("other", "POST /send"),)
    assert read({"openapi": "3.0.0"}).notes == ("the description holds no request at all",)
