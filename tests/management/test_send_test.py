"""`send_test` goes in by the front door and tells what became of the message."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from messaging.management.commands import send_test
from messaging.models import Message, ProviderAccount
from messaging.rules.values import MessageState
from tests.factories import CALLBACK_URL, RECIPIENT, make_account, make_tenant, make_token

pytestmark = pytest.mark.django_db(transaction=True)

TO = f"00{RECIPIENT[1:]}"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> ProviderAccount:
    tenant = make_tenant(slug="acme")
    monkeypatch.setenv(send_test.TOKEN_VARIABLE, make_token(tenant)[1])
    nobody = {"base_url": "http://127.0.0.1:9/accounts/demo", "capability": "report"}
    return make_account(tenant, name="main", settings=nobody)


def send(base_url: str, **options: Any) -> tuple[int, str]:
    out = io.StringIO()
    words = {"sender": "Acme", "request_id": "r-1", "custom_data": "c", "callback_url": CALLBACK_URL}
    try:
        call_command("send_test", TO, stdout=out, base_url=base_url, **{**words, **options})
    except SystemExit as stop:
        return int(stop.code or 0), out.getvalue()
    return 0, out.getvalue()


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Instead of sleeping between two looks."""
    monkeypatch.setattr(send_test.time, "sleep", lambda seconds: happens())


def finish(state: MessageState) -> Callable[[], None]:
    return lambda: Message.objects.update(state=state, final_at=Now(), lease=None) and None


def test_a_delivered_message_is_followed_to_its_end(
    account: ProviderAccount, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, finish(MessageState.DELIVERED))
    code, out = send(live_server.url)
    message = Message.objects.get()
    assert code == 0
    assert out.startswith("HTTP 200 in ")
    assert (message.request_id, message.recipient) == ("r-1", RECIPIENT)
    assert [line[16:] for line in out.splitlines() if line[:2].isdigit()] == [
        "Accepted from Bloomreach",
        "Final: delivered",
    ]
    assert out.splitlines()[-1] == f"SMS {message.pk} of acme: delivered"


def test_another_end_is_exit_code_1(
    account: ProviderAccount, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, finish(MessageState.UNDELIVERED))
    code, out = send(live_server.url)
    assert (code, out.splitlines()[-1].endswith(": undelivered")) == (1, True)


def test_it_gives_up_after_the_timeout(account: ProviderAccount, live_server: Any) -> None:
    code, out = send(live_server.url, timeout=0.0)
    assert (code, out.splitlines()[-1].endswith(": waiting")) == (1, True)


def test_not_followed_the_answer_counts(account: ProviderAccount, live_server: Any) -> None:
    code, out = send(live_server.url, no_follow=True)
    assert (code, "Accepted from Bloomreach" in out) == (0, False)
    assert Message.objects.count() == 1


def test_without_a_request_id_the_vendors_refusal_is_the_answer(
    account: ProviderAccount, live_server: Any
) -> None:
    code, out = send(live_server.url, request_id="", custom_data="", callback_url="")
    assert code == 1
    assert out.startswith("HTTP 503 in ")
    assert Message.objects.get().is_test


def test_wrong_fields_are_shown(account: ProviderAccount, live_server: Any) -> None:
    code, out = send(live_server.url, sender="")
    assert (code, out.startswith("HTTP 400 in "), '"from"' in out) == (1, True, True)
    assert not Message.objects.exists()


def test_mms_goes_to_its_own_address(account: ProviderAccount, live_server: Any) -> None:
    code, _ = send(live_server.url, channel="mms", media_url="https://files.example/cat.png", no_follow=True)
    assert (code, Message.objects.get().channel) == (0, "mms")


def test_an_unknown_token_is_shown_without_repeating_it(
    account: ProviderAccount, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(send_test.TOKEN_VARIABLE, "wrong-token-value")
    code, out = send(live_server.url)
    assert (code, out.startswith("HTTP 401 in ")) == (1, True)
    assert "wrong-token-value" not in out


def test_no_token_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(send_test.TOKEN_VARIABLE, raising=False)
    with pytest.raises(CommandError, match="set CONNECTOR_TOKEN"):
        send("http://127.0.0.1:9")


def test_nobody_at_the_address(account: ProviderAccount) -> None:
    with pytest.raises(CommandError, match="could not be reached"):
        send("http://127.0.0.1:9")


def test_an_ordinary_message_needs_an_address_for_its_delivery(
    account: ProviderAccount, live_server: Any
) -> None:
    with pytest.raises(CommandError, match="add --callback-url"):
        send(live_server.url, callback_url="")
    assert Message.objects.count() == 0


def test_beside_a_demo_its_facts_are_used(
    account: ProviderAccount, live_server: Any, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    token = os.environ[send_test.TOKEN_VARIABLE]
    monkeypatch.delenv(send_test.TOKEN_VARIABLE)
    settings.DATA_DIR = tmp_path
    facts = {"base_url": live_server.url, "token": token, "callback_url": CALLBACK_URL}
    (tmp_path / "demo.json").write_text(json.dumps(facts))
    code, _ = send("", callback_url="", custom_data="test", no_follow=True)
    assert (code, Message.objects.get().request_id) == (0, "r-1")
