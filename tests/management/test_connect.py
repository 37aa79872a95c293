"""`connect` saves an account only when it is right, and sends one message without any public address."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from messaging.models import Message, ProviderAccount
from messaging.sending import tryout
from tests.factories import make_tenant
from tests.stand_ins import Said, Vendor, vendor_on_loopback

pytestmark = pytest.mark.django_db

KEY = "key-of-the-carrier"


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    make_tenant(slug="acme")
    monkeypatch.setenv("CONNECT_API_KEY", KEY)
    monkeypatch.setattr(tryout.time, "sleep", lambda seconds: None)
    with vendor_on_loopback() as running:
        yield running


def connect(vendor: Vendor, *more: str, **options: Any) -> tuple[int, str]:
    out = io.StringIO()
    words = ["--tenant", "acme", "--set", f"base_url={vendor.url}", "--set", "capability=look_up", *more]
    try:
        call_command("connect", "simulator", *words, stdout=out, **options)
    except SystemExit as stop:
        return int(stop.code or 0), out.getvalue()
    return 0, out.getvalue()


TRY = ("--to", "00421900000100", "--from", "Demo")


def found(vendor: Vendor, *statuses: str) -> None:
    """Queues the carrier's answers about whatever was sent last."""

    def answer(status: str) -> Said:
        reference = json.loads(vendor.posts[-1].body)["reference"]
        row = {"reference": reference, "id": "v-1", "parts": 1, "status": status}
        return 200, {}, json.dumps({"messages": [row]}).encode()

    vendor.queued.extend(lambda heard, status=status: answer(status) for status in statuses)


def test_it_asks_saves_and_names_the_hook(vendor: Vendor) -> None:
    vendor.will(200, {})
    code, out = connect(vendor, "--name", "main", "--sender", "Demo", "--sender", "00421900000001")
    made = ProviderAccount.objects.get()
    assert code == 0
    assert (str(made), made.senders) == ("acme/main", ["Demo", "+421900000001"])
    assert made.secrets.reveal() == {"api_key": KEY}
    assert made.hook_url in out
    assert KEY not in out


def test_refused_credentials_are_not_saved(vendor: Vendor) -> None:
    vendor.will(401, {})
    with pytest.raises(CommandError, match="nothing was saved"):
        connect(vendor)
    assert not ProviderAccount.objects.exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param(("--set", "capability=magic"), "capability: .* must be one of", id="wrong choice"),
        pytest.param(("--set", "base_url=nowhere"), "base_url: .* must be an address", id="wrong address"),
        pytest.param(("--set", "api_key=x"), "is a secret: set CONNECT_API_KEY", id="a secret in the open"),
        pytest.param(("--set", "novalue"), "write it NAME=VALUE", id="no value"),
        pytest.param(
            ("--sender", "a name too long for GSM"), "the sender is too long for a name", id="sender"
        ),
        pytest.param(("--to", "00421900000100"), "--to needs --from", id="no sender"),
        pytest.param(("--to", "421900000100", "--from", "Demo"), "--to must be", id="recipient"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_saved(vendor: Vendor, more: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        connect(vendor, *more)
    assert not ProviderAccount.objects.exists()


def test_unknown_names(vendor: Vendor) -> None:
    with pytest.raises(CommandError, match="no vendor named 'pigeon'"):
        call_command("connect", "pigeon", "--tenant", "acme")
    with pytest.raises(CommandError, match="no tenant named 'nobody'"):
        call_command("connect", "simulator", "--tenant", "nobody")


def test_one_message_is_sent_and_followed(vendor: Vendor) -> None:
    vendor.will(200, {})
    vendor.will(202, {"ids": ["v-1"]})
    found(vendor, "ENROUTE", "DELIVRD")
    code, out = connect(vendor, *TRY)
    assert code == 0
    assert [line for line in out.splitlines() if "Simulator took" in line or ": " in line][-3:] == [
        "Simulator took it as v-1",
        "sent: ENROUTE",
        "delivered: DELIVRD",
    ]
    body = json.loads(vendor.posts[0].body)
    assert (body["from"], body["to"]) == ("Demo", "+421900000100")
    assert not Message.objects.exists()  # outside the pipeline: nobody is told


def test_a_refused_message_ends_with_the_vendors_words(vendor: Vendor) -> None:
    vendor.will(200, {})
    vendor.will(400, {"error": {"code": "4001", "message": "no such number"}})
    code, out = connect(vendor, *TRY)
    assert code == 1
    assert "Simulator did not take it (permanent): invalid_recipient 4001 no such number" in out


def test_undelivered_is_no_success(vendor: Vendor) -> None:
    vendor.will(200, {})
    vendor.will(202, {"ids": ["v-1"]})
    found(vendor, "UNDELIV")
    code, out = connect(vendor, *TRY)
    assert (code, out.splitlines()[-1]) == (1, "undelivered: UNDELIV")


def test_no_status_in_time(vendor: Vendor) -> None:
    vendor.will(200, {})
    vendor.will(202, {"ids": ["v-1"]})
    found(vendor, *["ENROUTE"] * 10_000)
    code, out = connect(vendor, *TRY, timeout=0.3)
    assert (code, out.splitlines()[-1]) == (1, "no final status within 0.3 s; the last: ENROUTE")
