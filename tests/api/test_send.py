from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import responses
from django.db import connection as database
from django.utils import timezone

from accounts.models import TenantStatus
from messaging.accept import inline
from messaging.models import Attempt, Content, Event, Message
from messaging.rules.values import MessageState
from tests.api.conftest import MMS, SMS, Caller, make_caller
from tests.factories import SENDER, make_account, make_message

TEST = {"from": "Acme", "to": "00421900000123", "text": "Hello", "metadata": {}}
CARRIER = "http://127.0.0.1:8001/accounts/demo/messages"


def nothing_stored() -> bool:
    return not Message.objects.exists() and not Content.objects.exists()


def test_an_accepted_message_is_committed_with_all_that_was_asked(caller: Caller):
    body = {**SMS, "from": "00421900000001", "text": "žltý kôň " * 10, "colour": {"deep": [1, None]}}
    answer = caller.post("/sms/send", body)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    message = Message.objects.get()
    assert answer.json() == {
        "status": "accepted",
        "message_id": str(message.pk),
        "request_id": "request-1",
        "duplicate": False,
    }
    assert message.pk.version == 7
    assert (message.tenant, message.account) == (caller.tenant, caller.account)
    assert message.queue_id == caller.account.queue_id
    assert (message.sender, message.recipient) == ("+421900000001", "+421900000123")
    assert (message.channel, message.send_as, message.country) == ("sms", "sms", "SK")
    assert (message.request_id, message.dedupe_key, message.is_test) == ("request-1", "request-1", False)
    assert (message.state, message.segments, message.attempts) == (MessageState.ACCEPTED, 2, 0)
    assert message.due_at == message.created_at
    assert message.expires_at - message.created_at == caller.account.validity
    assert abs(message.created_at - timezone.now()) < timedelta(seconds=5)
    content = Content.objects.get()
    assert (content.message_id, content.created_at) == (message.pk, message.created_at)
    assert content.text == body["text"]
    assert (content.custom_data, content.callback_url) == (SMS["custom_data"], SMS["callback_url"])
    assert content.metadata == {"campaign": "autumn"}
    assert content.extra == {"from": "00421900000001", "to": "00421900000123", "colour": {"deep": [1, None]}}


def test_an_mms_is_committed_with_its_media(caller: Caller):
    body = {**MMS, "fallback_text": "plain", "media": {"image": "https://files.example/cat.png"}}
    assert caller.post("/mms/send", body).status_code == 200
    message = Message.objects.get()
    assert (message.channel, message.send_as, message.segments) == ("mms", "mms", 1)
    content = Content.objects.get()
    assert (content.subject, content.fallback_text) == ("Look", "plain")
    assert content.media == [{"url": "https://files.example/cat.png", "content_type": "", "name": ""}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (path + slash, body)
        for paths, body in (
            (("/sms/send", "/sms/send-sms"), SMS),
            (("/mms/send", "/mms/send-mms"), MMS),
        )
        for path in paths
        for slash in ("", "/")
    ],
)
def test_aliases_and_trailing_slashes(caller: Caller, path: str, body: dict[str, Any]):
    assert caller.post(path, body).status_code == 200


def test_a_duplicate_gets_the_first_answer_again(caller: Caller):
    first = caller.post("/sms/send", SMS).json()
    again = caller.post("/sms/send", {**SMS, "text": "changed", "to": "00421900000123"})
    assert again.status_code == 200
    assert again.json() == {**first, "duplicate": True}
    assert Content.objects.get().text == "Hello"


def test_a_duplicate_is_answered_when_the_first_is_long_final(caller: Caller):
    final = make_message(account=caller.account, request_id="request-1", state=MessageState.FAILED)
    answer = caller.post("/sms/send", SMS)
    assert (answer.status_code, answer.json()["message_id"]) == (200, str(final.pk))
    assert answer.json()["duplicate"] is True


def test_the_same_request_id_for_another_recipient_is_a_conflict(caller: Caller):
    caller.post("/sms/send", SMS)
    answer = caller.post("/sms/send", {**SMS, "to": "00421900000124"})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "request_id_conflict"
    assert answer.json()["request_id"] == "request-1"
    assert "4219000001" not in answer.content.decode()
    assert Message.objects.get().recipient == "+421900000123"


def test_request_ids_are_apart_by_channel_and_tenant(caller: Caller):
    other = make_caller(caller.client)
    answers = [
        caller.post("/sms/send", SMS),
        caller.post("/mms/send", MMS),
        other.post("/sms/send", SMS),
    ]
    assert [answer.json()["duplicate"] for answer in answers] == [False] * 3
    assert Message.objects.count() == 3


def test_a_paused_tenant_and_a_paused_queue_are_accepted_and_held(db: None, client: Any):
    paused = make_caller(client, status=TenantStatus.PAUSED)
    assert paused.post("/sms/send", SMS).status_code == 200
    held = make_caller(client)
    held.account.queue.paused_at = timezone.now()
    held.account.queue.save()
    assert held.post("/sms/send", SMS).status_code == 200
    assert set(Message.objects.values_list("state", flat=True)) == {MessageState.ACCEPTED}


def test_without_a_connection_bloomreach_tries_again_later(caller: Caller):
    caller.account.is_active = False
    caller.account.save()
    answer = caller.post("/sms/send", SMS)
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert answer.json()["error"]["code"] == "no_account"
    assert answer.json()["request_id"] == "request-1"
    assert nothing_stored()


def test_a_connection_of_the_other_channel_does_not_serve(caller: Caller):
    caller.account.channels = ["sms"]
    caller.account.save()
    assert caller.post("/mms/send", MMS).status_code == 503
    assert caller.post("/sms/send", SMS).status_code == 200


@pytest.mark.parametrize(
    ("senders", "sender", "status"),
    [
        pytest.param([], "Anything", 200, id="any"),
        pytest.param([SENDER], "00421900000001", 200, id="number in another writing"),
        pytest.param(["acme"], "ACME", 200, id="name in another case"),
        pytest.param([SENDER, "12345"], "12345", 200, id="short code"),
        pytest.param([SENDER], "00421900000002", 400, id="another number"),
        pytest.param([SENDER], "Acme", 400, id="a name"),
    ],
)
def test_only_the_accounts_own_senders(caller: Caller, senders: list[str], sender: str, status: int):
    caller.account.senders = senders
    caller.account.save()
    answer = caller.post("/sms/send", {**SMS, "from": sender})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"]["code"] == "invalid_sender"
        words = ["is not one of the sender numbers and names of this account"]
        assert answer.json()["error"]["fields"] == {"from": words}
        assert answer.json()["request_id"] == "request-1"
        assert nothing_stored()


def test_the_first_account_that_owns_the_sender_takes_it(caller: Caller):
    caller.account.senders = [SENDER]
    caller.account.save()
    second = make_account(caller.tenant, position=1)
    caller.post("/sms/send", {**SMS, "request_id": "a", "from": SENDER})
    caller.post("/sms/send", {**SMS, "request_id": "b", "from": "Acme"})
    found = dict(Message.objects.values_list("request_id", "account"))
    assert found == {"a": caller.account.pk, "b": second.pk}


class TestInline:
    """Messages without a request id: sent while Bloomreach waits."""

    def outcome(self, caller: Caller, **reply: Any) -> Any:
        with responses.RequestsMock() as carrier:
            carrier.post(CARRIER, **reply)
            return caller.post("/sms/send", TEST)

    def test_taken(self, caller: Caller):
        answer = self.outcome(caller, json={"ids": ["v-1"]}, status=200)
        assert answer.status_code == 200
        message = Message.objects.get()
        assert answer.json() == {
            "status": "accepted",
            "message_id": str(message.pk),
            "request_id": None,
            "duplicate": False,
        }
        assert (message.is_test, message.request_id, message.dedupe_key) == (True, "", None)
        assert message.state == MessageState.SENT

    def test_refused_for_good(self, caller: Caller):
        error = {"error": {"code": "4001", "message": "no such subscriber"}}
        answer = self.outcome(caller, json=error, status=400)
        assert answer.status_code == 400
        assert answer.json()["error"] == {
            "code": "invalid_recipient",
            "message": "no such subscriber",
            "fields": {},
        }
        assert Message.objects.get().state == MessageState.REFUSED
        assert not Event.objects.exists()

    def test_refused_for_now(self, caller: Caller):
        error = {"error": {"code": "4290", "message": "slow down"}}
        answer = self.outcome(caller, json=error, status=429)
        assert (answer.status_code, answer["Retry-After"]) == (503, "30")
        assert answer.json()["error"]["code"] == "throttled"
        assert Message.objects.get().state == MessageState.REFUSED

    def test_unknown_outcome_is_ours(self, caller: Caller):
        answer = self.outcome(caller, body="?", status=500)
        assert answer.status_code == 200
        assert Message.objects.get().state == MessageState.UNKNOWN_OUTCOME

    def test_two_tests_are_never_duplicates(self, caller: Caller):
        with responses.RequestsMock() as carrier:
            carrier.post(CARRIER, json={"ids": ["v-1"]})
            carrier.post(CARRIER, json={"ids": ["v-2"]})
            ids = {caller.post("/sms/send", TEST).json()["message_id"] for _ in range(2)}
        assert len(ids) == 2

    @pytest.mark.parametrize("why", ["paused queue", "open circuit", "paused tenant"])
    def test_held_is_accepted_and_not_dialled(self, caller: Caller, why: str):
        queue = caller.account.queue
        if why == "paused queue":
            queue.paused_at = timezone.now()
        elif why == "open circuit":
            queue.open_until = timezone.now() + timedelta(minutes=1)
        else:
            caller.tenant.status = TenantStatus.PAUSED
            caller.tenant.save()
        queue.save()
        answer = caller.post("/sms/send", TEST)
        assert answer.status_code == 200
        message = Message.objects.get()
        assert (message.state, message.due_at) == (MessageState.ACCEPTED, message.created_at)
        assert not Attempt.objects.exists()

    def test_a_crash_leaves_it_to_the_pumps(
        self, caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ):
        def crash(message_id: UUID, *, deadline: float) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(inline, "send", crash)
        answer = caller.post("/sms/send", TEST)
        message = Message.objects.get()
        assert (answer.status_code, answer.json()["message_id"]) == (200, str(message.pk))
        assert message.state == MessageState.ACCEPTED
        assert timedelta(0) < message.due_at - message.created_at <= timedelta(seconds=10)
        assert "test message left to the pumps" in caplog.text


def test_content_lies_in_the_partition_of_its_message(caller: Caller):
    caller.post("/sms/send", SMS)
    with database.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM messaging_content")
        (partition,) = cursor.fetchone()
    assert partition.startswith("messaging_content_") and partition != "messaging_content_default"
