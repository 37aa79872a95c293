"""The examples of docs/contract.md are what messaging/contract/wire.py reads and writes."""

from __future__ import annotations

import ast
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from accounts.models import DEFAULT_CALLBACK_HOSTS, ApiToken, Tenant
from messaging.callbacks.body import BODY_CAP
from messaging.contract import wire, wire_profile
from messaging.contract.envelope import envelope
from messaging.models.event import BATCH_CAP
from messaging.onboarding import setup
from messaging.rules import backoff
from tests.docs.documents import ROOT, code, example, rows, text, words
from vendors.values import Channel

CONTRACT = "docs/contract.md"
# Codes that no constant names: DRF's own, and wire.CODES.
ELSEWHERE = {"method_not_allowed", *wire.CODES.values()}


def test_sms_example():
    body = example(CONTRACT, "send-sms")
    request = wire.parse_sms(body, callback_hosts=DEFAULT_CALLBACK_HOSTS)
    assert (request.channel, request.request_id, request.recipient) == (
        Channel.SMS,
        body["request_id"],
        "+421900000100",
    )
    assert (request.raw_from, request.text, request.custom_data) == (
        body["from"],
        body["text"],
        body["custom_data"],
    )
    assert request.extra == {}


def test_mms_example():
    body = example(CONTRACT, "send-mms")
    request = wire.parse_mms(body, callback_hosts=DEFAULT_CALLBACK_HOSTS)
    assert (request.channel, request.subject, request.fallback_text) == (
        Channel.MMS,
        body["subject"],
        body["fallback_text"],
    )
    assert [file.url for file in request.media] == [body["media"]["image"]]
    assert request.extra == {}


def test_acceptance_example():
    said = example(CONTRACT, "accepted")
    assert said == wire.acceptance(
        message_id=UUID(said["message_id"]), request_id=said["request_id"], duplicate=said["duplicate"]
    )


def test_refusal_example_answers_the_request_above_it():
    with pytest.raises(wire.InvalidRequest) as refused:
        wire.parse_sms(example(CONTRACT, "bad-request"), callback_hosts=DEFAULT_CALLBACK_HOSTS)
    error = refused.value
    assert example(CONTRACT, "refused") == envelope(error.code, error.message, error.fields, error.request_id)


def _moment(event: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(event["timestamp"], UTC)


@pytest.mark.parametrize("place", [0, 1])
def test_callback_examples(place: int):
    event = example(CONTRACT, "callback")["events"][place]
    assert event == wire.outbound_event(
        event_id=UUID(event["event_id"]),
        channel=event["channel"],
        status=event["status"],
        occurred_at=_moment(event),
        request_id=event["request_id"],
        message_id=UUID(event["message_id"]),
        sender=event["from"],
        recipient=event["to"],
        custom_data=event["custom_data"],
        error=event.get("error"),
        segments=event["segments"],
        sent_as=event["sent_as"],
        metadata=event["metadata"],
        correction=False,
    )


def test_inbound_example():
    (event,) = example(CONTRACT, "inbound")["events"]
    assert event == wire.inbound_event(
        event_id=UUID(event["event_id"]),
        channel=event["channel"],
        occurred_at=_moment(event),
        sender_msisdn="+421900000150",
        recipient="+447700900100",
        text=event["text"],
        media=[],
        message_id=UUID(event["message_id"]),
    )


def test_wire_profile_example_and_its_parts():
    said = example(CONTRACT, "wire-profile")
    assert wire_profile.parse(said).as_dict() == said
    parts = [code(row[0])[0] for row in rows(CONTRACT, "## 8. The wire profile")]
    assert parts == [part.name for part in fields(wire_profile.WireProfile)]


def test_fields_and_their_aliases():
    said = [tuple(code(row[0])) for row in rows(CONTRACT, "## 3. Send")]
    assert {names[0]: names for names in said} == wire.MMS_KEYS


def test_error_codes_exist():
    said = {name for row in rows(CONTRACT, "## 4. Answers") for name in code(row[1])}
    strings = {
        node.value
        for folder in ("accounts", "connector", "messaging")
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert said - strings - ELSEWHERE == set()
    assert set(wire.CODES.values()) <= said


def test_limits_of_a_post():
    assert f"at most {BATCH_CAP} and {BODY_CAP // 1024} KiB" in words(CONTRACT)


def test_delays_of_callbacks():
    units = ((3600, "h"), (60, "min"), (1, "s"))
    said = [
        next(f"{delay / size:g} {unit}" for size, unit in units if delay >= size)
        for delay in backoff.CALLBACK_DELAYS
    ]
    schedule = f"{', '.join(said[:-1])} and {said[-1]}"
    assert schedule in words(CONTRACT)


def test_readme_lists_the_setting_fields_and_addresses():
    token = ApiToken(tenant=Tenant(slug="acme"), second_header="Chan-Account")
    fields = setup.setting_fields(token=token, secret="-")
    said = {row[0]: code(row[1]) for row in rows("README.md", "## Connecting Bloomreach")}
    assert {entry.label: [entry.header] for entry in fields} == said
    assert all(f"`{method} {path}`" in text("README.md") for _, method, path in setup.ENDPOINTS)
