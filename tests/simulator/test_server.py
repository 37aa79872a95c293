"""The carrier over real HTTP, read by the adapter that the connector uses."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outbound.values import HttpRequest, HttpResponse
from simulator import server
from simulator.adapter import Simulator
from simulator.client import Client, HttpAnswer, Unanswered
from simulator.listener import Call, Listener, PortTaken, Reply
from tests.waiting import eventually
from vendors.base import BadSignature
from vendors.values import (
    Channel,
    Credentials,
    HookRequest,
    Inbound,
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
UNANSWERED = Sent("ref-1", "", Channel.SMS, "+421900000100", datetime(2026, 1, 15, tzinfo=UTC))


class Hook:
    """The connector's hook: keeps what it hears, and refuses the first `refusals` calls."""

    def __init__(self, *, refusals: int = 0) -> None:
        self.calls: list[Call] = []
        self.refusals = refusals
        self.changed = threading.Condition()
        self.listener = Listener(self.answer)

    def answer(self, call: Call) -> Reply:
        with self.changed:
            self.calls.append(call)
            self.changed.notify_all()
            return Reply(503 if len(self.calls) <= self.refusals else 200)

    def wait_for(self, count: int) -> list[Call]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.calls) >= count, timeout=10)
            return list(self.calls)

    def heard(self, credentials: Credentials, call: Call) -> Report | Inbound:
        """The call as the adapter proves and reads it."""
        request = HookRequest(call.method, credentials.hook_url, "", {}, call.headers, call.body)
        ADAPTER.verify(request, credentials)
        (item,) = ADAPTER.parse_hook(request, credentials)
        return item


@pytest.fixture
def hook() -> Iterator[Hook]:
    with running_hook() as made:
        yield made


@contextmanager
def running_hook(*, refusals: int = 0) -> Iterator[Hook]:
    made = Hook(refusals=refusals)
    made.listener.start()
    yield made
    made.listener.stop()


@contextmanager
def carrier(path: Path, *, key: str = KEY, delay: float = 0.02) -> Iterator[Listener]:
    with server.running(port=0, path=path / "ledger.jsonl", key=key, delay=delay) as listener:
        yield listener


def account(
    listener: Listener, hook: Hook | None = None, *, key: str = KEY, capability: str = "look_up"
) -> Credentials:
    return Credentials(
        public_id="pub",
        settings={"base_url": f"{listener.url}/accounts/demo", "capability": capability},
        secrets={"api_key": key},
        hook_url=f"{hook.listener.url}/hooks/simulator/pub" if hook else "",
    )


def outgoing(ending: str = "00", *, reference: str = "ref-1", text: str = "Hello") -> Outgoing:
    return Outgoing(
        reference=reference,
        message_id="msg-1",
        channel=Channel.SMS,
        sender="+421900000900",
        recipient=f"+4219000001{ending}",
        text=text,
        validity=60,
    )


def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout: float = 5.0,
) -> HttpAnswer:
    with Client(timeout=timeout) as client:
        return client.call(method, url, headers=headers or {}, body=body)


def dial(request: HttpRequest | None, *, timeout: float = 5.0) -> HttpResponse:
    assert request is not None
    answer = ask(request.method, request.url, headers=request.headers, body=request.body, timeout=timeout)
    return HttpResponse(answer.status, answer.headers, answer.body)


def send(to: Credentials, message: Outgoing, *, timeout: float = 5.0) -> SendResult:
    (result,) = ADAPTER.parse([message], dial(ADAPTER.build([message], to), timeout=timeout), to)
    return result


def test_a_message_is_taken_and_reported_under_a_signature(tmp_path: Path, hook: Hook) -> None:
    with carrier(tmp_path) as listener:
        to = account(listener, hook)
        result = send(to, outgoing())
        (call,) = hook.wait_for(1)
    report = hook.heard(to, call)
    assert isinstance(report, Report)
    assert (result.outcome, report.status, report.reference) == (Outcome.TAKEN, Status.DELIVERED, "ref-1")
    assert report.vendor_id == result.vendor_id
    assert report.occurred_at is not None
    stranger = account(listener, hook, key="another")
    with pytest.raises(BadSignature):
        hook.heard(stranger, call)


def test_a_hook_that_refuses_hears_it_again(tmp_path: Path) -> None:
    with running_hook(refusals=2) as hook, carrier(tmp_path) as listener:
        to = account(listener, hook)
        send(to, outgoing())
        calls = hook.wait_for(3)
        bodies = [{**json.loads(call.body), "occurred_at": ""} for call in calls]
        assert bodies[0] == bodies[1] == bodies[2]


def test_the_early_report_is_there_before_the_answer(tmp_path: Path, hook: Hook) -> None:
    with carrier(tmp_path, delay=60) as listener:
        assert send(account(listener, hook), outgoing("30")).outcome is Outcome.TAKEN
        assert len(hook.calls) == 1


def test_a_reply_of_the_handset_comes_inbound(tmp_path: Path, hook: Hook) -> None:
    with carrier(tmp_path) as listener:
        to = account(listener, hook)
        send(to, outgoing("50", text="Reply STOP to unsubscribe"))
        items = [hook.heard(to, call) for call in hook.wait_for(2)]
    inbound = items[1]
    assert isinstance(inbound, Inbound)
    assert (inbound.sender, inbound.recipient, inbound.text) == ("+421900000150", "+421900000900", "STOP")


@pytest.mark.parametrize(
    ("ending", "presence"),
    [
        pytest.param("24", Presence.FOUND, id="taken"),
        pytest.param("25", Presence.ABSENT, id="lost"),
    ],
)
def test_silence_and_the_truth_behind_it(tmp_path: Path, ending: str, presence: Presence) -> None:
    with carrier(tmp_path) as listener:
        to = account(listener)
        with pytest.raises(Unanswered):
            send(to, outgoing(ending), timeout=0.5)
        assert (
            ADAPTER.parse_look_up(UNANSWERED, dial(ADAPTER.look_up(UNANSWERED, to)), to).presence is presence
        )


def test_a_resend_of_the_same_bytes_is_taken_once(tmp_path: Path) -> None:
    with carrier(tmp_path) as listener:
        to = account(listener, capability="repeat")
        with pytest.raises(Unanswered):
            send(to, outgoing("24"), timeout=0.5)
        assert send(to, outgoing("24")).outcome is Outcome.TAKEN
        state = ask("GET", f"{listener.url}/state").json()
    assert [(row["client_message"], row["taken"]) for row in state["messages"]] == [("msg-1", 1)]


def test_keys(tmp_path: Path) -> None:
    with carrier(tmp_path) as listener:
        good, bad = account(listener), account(listener, key="wrong")
        assert ADAPTER.parse_credential_check(dial(ADAPTER.credential_check(good)), good).ok is True
        assert ADAPTER.parse_credential_check(dial(ADAPTER.credential_check(bad)), bad).ok is False
        assert send(bad, outgoing()).outcome is Outcome.CONFIGURATION
        assert dial(ADAPTER.look_up(UNANSWERED, bad)).status == 401


def test_without_a_key_of_its_own_the_first_one_shown_counts(tmp_path: Path) -> None:
    with carrier(tmp_path, key="") as listener:
        assert send(account(listener, key="first"), outgoing()).outcome is Outcome.TAKEN
        assert send(account(listener, key="second"), outgoing()).outcome is Outcome.CONFIGURATION


def test_faults_are_switched_over_http(tmp_path: Path) -> None:
    with carrier(tmp_path) as listener:
        fault = json.dumps({"mode": "429", "seconds": 60, "account": "demo"}).encode()
        assert ask("POST", f"{listener.url}/faults", body=fault).status == 200
        result = send(account(listener), outgoing())
        assert (result.outcome, result.retry_after) == (Outcome.TEMPORARY, 1.0)
        assert ask("POST", f"{listener.url}/faults", body=b'{"mode": "x"}').status == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("GET", "/", b"", 404, id="nothing"),
        pytest.param("POST", "/accounts/demo/messages", b"[", 400, id="not JSON"),
        pytest.param("POST", "/accounts/demo/messages", b"[" * 100_000, 400, id="deep"),
        pytest.param("POST", "/accounts/demo/messages", b"{}", 400, id="empty"),
        pytest.param("POST", "/faults", b"[]", 400, id="fault without a mode"),
    ],
)
def test_nonsense(tmp_path: Path, method: str, path: str, body: bytes, status: int) -> None:
    with carrier(tmp_path) as listener:
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = ask(method, listener.url + path, headers=headers, body=body)
    assert answer.status == status
    assert "code" in answer.json()["error"]


def test_a_restarted_carrier_tells_what_it_still_owes(tmp_path: Path, hook: Hook) -> None:
    with carrier(tmp_path, delay=60) as listener:
        to = account(listener, hook)
        send(to, outgoing())
        assert hook.calls == []
    with carrier(tmp_path):
        (call,) = hook.wait_for(1)
    assert isinstance(hook.heard(to, call), Report)
    with carrier(tmp_path) as listener:
        assert ask("GET", f"{listener.url}/counters").json()["waiting"] == 0
        assert len(hook.calls) == 1


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with carrier(tmp_path) as listener, pytest.raises(PortTaken, match=str(listener.port)):
        Listener(lambda call: Reply(), port=listener.port)


def test_a_caller_that_hangs_up_frees_its_thread(tmp_path: Path) -> None:
    with carrier(tmp_path) as listener:
        before = threading.active_count()
        for n in range(5):
            with pytest.raises(Unanswered):
                send(account(listener), outgoing("24", reference=f"ref-{n}"), timeout=0.2)
        eventually(lambda: threading.active_count() <= before)


def test_it_listens_on_loopback_alone(tmp_path: Path) -> None:
    with carrier(tmp_path) as listener, socket.socket() as other:
        assert listener.url.startswith("http://127.0.0.1:")
        assert other.connect_ex(("127.0.0.2", listener.port)) != 0
