"""What vendors really call, from the hook's address to the row: genuine calls that were once refused or misread."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jwt
import pytest
from django.test import Client

from messaging.models import Connection, Inbox
from messaging.services import hook_intake, reports
from messaging.vendors import registry
from messaging.vendors.sinch.adapter import signature
from tests import factories

pytestmark = pytest.mark.django_db

SECRET = "0123456789abcdef0123456789abcdef"
VALUES: Mapping[str, Mapping[str, str]] = {
    "vonage": {
        "auth": "basic",
        "api_key": "a1b2c3d4",
        "api_secret": "secret-of-the-tests",
        "signature_secret": SECRET,
    },
    "sinch": {
        "region": "eu",
        "service_plan_id": "plan",
        "api_token": "token-of-the-tests",
        "hook_secret": SECRET,
    },
}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    hook_intake.forget_receivers()


def account(vendor: str, **overrides: Any) -> Connection:
    """A provider account of that vendor, as saving its form makes it."""
    adapter = registry.adapter(vendor)
    cleaned = adapter.clean(VALUES[vendor])
    secret = {setting.name for setting in adapter.settings if setting.secret}
    return factories.make_connection(
        vendor=vendor,
        settings={name: value for name, value in cleaned.items() if name not in secret},
        secrets={name: value for name, value in cleaned.items() if name in secret and value},
        **overrides,
    )


def hook_path(connection: Connection) -> str:
    return f"/hooks/{connection.vendor}/{connection.public_id}"


def vonage_proof(body: bytes, *, at: float) -> dict[str, str]:
    claims = {
        "iat": int(at),
        "iss": "Vonage",
        "api_key": "a1b2c3d4",
        "payload_hash": hashlib.sha256(body).hexdigest(),
    }
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


def sinch_proof(body: bytes, *, at: float) -> dict[str, str]:
    stamp = str(int(at))
    proof = signature(SECRET, "01HNONCE", stamp, body).decode()
    name = "X-Sinch-Webhook-Signature"
    return {name: proof, f"{name}-Nonce": "01HNONCE", f"{name}-Timestamp": stamp}


PROOFS = {"vonage": vonage_proof, "sinch": sinch_proof}


# -- a genuine call that comes late


@pytest.mark.parametrize(
    ("vendor", "age", "status"),
    [
        pytest.param("vonage", 600, 200, id="Vonage, ten minutes"),
        pytest.param("vonage", 24 * 3600 - 60, 200, id="Vonage, its last repeat"),
        pytest.param("vonage", 25 * 3600, 401, id="Vonage, after its last repeat"),
        pytest.param("sinch", 600, 200, id="Sinch, ten minutes"),
        pytest.param("sinch", 22 * 3600 + 44 * 60, 200, id="Sinch, its last repeat"),
        pytest.param("sinch", 23 * 3600, 401, id="Sinch, after its last repeat"),
    ],
)
def test_a_right_signature_is_good_as_long_as_the_vendor_repeats(
    client: Client, vendor: str, age: float, status: int
) -> None:
    connection = account(vendor)
    body = json.dumps({"status": "delivered", "message_uuid": "m-1", "client_ref": "r-1"}).encode()
    headers = PROOFS[vendor](body, at=time.time() - age)
    path = hook_path(connection)
    forged = client.post(path, body + b" ", content_type="application/json", headers=headers)
    assert (forged.status_code, Inbox.objects.count()) == (401, 0)
    answer = client.post(path, body, content_type="application/json", headers=headers)
    assert (answer.status_code, Inbox.objects.count()) == (status, int(status == 200))


def test_an_old_report_that_was_taken_already_changes_nothing(client: Client) -> None:
    connection = account("vonage")
    body = json.dumps({"status": "delivered", "message_uuid": "m-1", "client_ref": "r-1"}).encode()
    headers = vonage_proof(body, at=time.time() - 600)
    for _ in range(2):
        client.post(hook_path(connection), body, content_type="application/json", headers=headers)
    reports.read_inbox()
    assert connection.report_set.count() == 1


def test_a_get_that_can_never_be_signed_is_refused_for_good(client: Client) -> None:
    answer = client.get(f"{hook_path(account('vonage'))}?status=delivered&messageId=0A")
    assert (answer.status_code, Inbox.objects.count()) == (401, 0)


def test_an_unsigned_post_is_asked_for_again(client: Client) -> None:
    answer = client.post(hook_path(account("vonage")), b"{}", content_type="application/json")
    assert (answer.status_code, answer["Retry-After"], Inbox.objects.count()) == (503, "30", 0)
