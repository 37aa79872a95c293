"""What a vendor said is what Bloomreach hears: calls go in at the hook's address and come out as rows, unchanged."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from messaging.models import DeliveryReport, Exchange, InboundMessage, Inbox, ProviderAccount
from messaging.replay import orders
from messaging.reports import hook_intake, inbox
from tests.factories import make_account
from vendors import registry

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh() -> None:
    hook_intake.forget_receivers()


def kannel(**values: str) -> ProviderAccount:
    """An account of a gateway with the password `test`, unless other values are given."""
    given = {"preset": "kannel", "base_url": "http://127.0.0.1:13013", "username": "u", "password": "test"}
    given |= values
    cleaned = registry.adapter("http_generic").clean(given)
    secrets = {name: cleaned.pop(name) for name in ("password", "hook_secret", "api_key")}
    return make_account(vendor="http_generic", settings=cleaned, secrets=secrets)


def call(account: ProviderAccount, query: str = "", body: Any = None, kind: str = "application/json") -> None:
    """One call of the vendor, which is read at once."""
    path = f"/hooks/{account.vendor}/{account.public_id}"
    path += f"?{query}" if query else ""
    client = Client()
    answer = client.get(path) if body is None else client.post(path, body, content_type=kind)
    assert answer.status_code == 200
    inbox.read()


def texts() -> list[str]:
    return list(InboundMessage.objects.order_by("received_at", "id").values_list("text", flat=True))


MO = "type=mo&from=421900000787&to=12345"


@pytest.mark.parametrize(
    ("secret", "query", "text", "vendor_id"),
    [
        pytest.param(
            "test", f"{MO}&id=1&text=This+is+a+test", "This is a test", "1", id="a word of the text"
        ),
        pytest.param(
            "test", f"{MO}&id=latest-5&text=greatest+offer", "greatest offer", "latest-5", id="an id"
        ),
        pytest.param("m", f"{MO}&id=m1&text=mmm", "mmm", "m1", id="a letter"),
        pytest.param("421900000787", f"{MO}&id=1&text=x", "x", "1", id="the sender"),
        pytest.param(
            "This is a test", f"{MO}&id=1&text=This+is+a+test", "This is a test", "1", id="all of it"
        ),
    ],
)
def test_a_secret_that_is_a_word_changes_nothing(secret: str, query: str, text: str, vendor_id: str) -> None:
    call(kannel(password=secret), query)
    row = InboundMessage.objects.get()
    assert (row.text, row.vendor_id, row.sender) == (text, vendor_id, "+421900000787")


@pytest.mark.parametrize("secret", ['"', "e", "{", "id"])
def test_a_short_secret_does_not_break_json(secret: str) -> None:
    account = kannel(password=secret)
    call(account, body=b'{"type": "mo", "id": "e-1", "from": "421900000787", "to": "12345", "text": "yes"}')
    assert texts() == ["yes"]
    assert not Inbox.objects.exists()


def test_a_replay_reads_what_came() -> None:
    account = kannel()
    call(account, f"{MO}&id=1&text=This+is+a+test")
    InboundMessage.objects.all().delete()
    orders.create(
        kind="reports", filter=orders.ReplayFilter(), requested_by="somebody", reason="an adapter was mended"
    )
    orders.advance()
    inbox.read()
    assert texts() == ["This is a test"]


def test_a_secret_in_the_query_is_at_rest_only_under_seal() -> None:
    account = kannel(proof="query", proof_name="k", hook_secret="letmein")
    call(account, f"{MO}&id=1&text=x&k=letmein")
    row = Exchange.objects.values().get()
    assert "letmein" not in f"{row['request']} {row['response']} {row['call'].ciphertext}"
    assert texts() == ["x"]


def test_a_report_is_read_from_what_came() -> None:
    account = kannel(password="DELIVRD", report_status="s", report_id="i", statuses="DELIVRD = delivered")
    call(account, "i=DELIVRD-1&s=DELIVRD&ref=")
    assert DeliveryReport.objects.values_list("status", "vendor_status", "vendor_id").get() == (
        "delivered",
        "DELIVRD",
        "DELIVRD-1",
    )


def cm(*, at: str = "") -> dict[str, Any]:
    """CM.com's older form: no id, and with a time to the second at most."""
    said = {"from": "00421900000150", "to": "0015550100", "message": ""}
    return {**said, "timeUtc": at} if at else said


@pytest.mark.parametrize("at", ["", "2026-01-15T20:16:07"], ids=["no time", "in one second"])
def test_what_a_handset_says_without_an_id_is_heard_as_often_as_it_is_said(at: str) -> None:
    account = make_account(vendor="cm", settings={"region": "global"})
    for text in ("STOP", "START", "STOP", "STOP"):
        call(account, body={**cm(at=at), "message": text})
    assert texts() == ["STOP", "START", "STOP"]  # the last is a repeat, to the byte and at once
    row = InboundMessage.objects.order_by("received_at").last()
    assert row is not None
    earlier = row.received_at - timedelta(minutes=2)
    InboundMessage.objects.filter(pk=row.pk).update(received_at=earlier)
    InboundMessage.objects.exclude(pk=row.pk).update(received_at=earlier - timedelta(seconds=1))
    call(account, body={**cm(at=at), "message": "STOP"})
    assert sorted(texts()) == ["START", "STOP", "STOP", "STOP"]
