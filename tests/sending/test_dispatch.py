"""Call and record: what goes out, what is kept, and what each kind of trouble becomes."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction

from accounts.crypto import open_, seal
from messaging.dialling import exchanges
from messaging.models import Exchange, Message, ProviderAccount, Queue
from messaging.models.sql import change
from messaging.queues import circuit
from messaging.rules import backoff
from messaging.rules.states import EXPIRED_HERE, GAVE_UP
from messaging.rules.values import MessageState
from messaging.sending import claims, dispatch
from messaging.worker import sweep
from outbound import sockets
from outbound.values import HttpRequest
from tests import factories
from tests.outbound import servers
from tests.stand_ins import (
    API_KEY,
    HANG_UP,
    Strange,
    Vendor,
    account_at,
    claim,
    due_now,
    events_of,
    fetch,
    fresh,
    only_attempt,
    queue_of,
    seconds_until_due,
    send,
    together,
)
from tests.waiting import WAITS_FOR_ME, eventually
from vendors import registry
from vendors.base import Adapter
from vendors.values import Outcome, SendResult

pytestmark = pytest.mark.django_db

S = MessageState
UNREADABLE_SECRETS = "gAAAAABsealed-with-a-key-that-is-gone"


def install(monkeypatch: pytest.MonkeyPatch, adapter: Adapter) -> ProviderAccount:
    """Makes the adapter known, and an account that uses it."""
    monkeypatch.setitem(registry.ADAPTERS, adapter.key, adapter)
    return factories.make_account(vendor=adapter.key, secrets={"api_key": API_KEY})


def error(code: str, text: str = "no") -> dict[str, Any]:
    return {"error": {"code": code, "message": text}}


def test_a_message_goes_out_and_is_taken(vendor: Vendor) -> None:
    message = factories.make_message(account=account_at(vendor), content={"text": "Dobrý deň"})
    send(claim())
    (heard,) = vendor.posts
    body, attempt = json.loads(heard.body), only_attempt(message)
    assert (body["to"], body["text"], body["reference"]) == (
        factories.RECIPIENT,
        "Dobrý deň",
        str(attempt.pk),
    )
    assert heard.headers["Authorization"] == f"Bearer {API_KEY}"
    assert (fresh(message).message_state, attempt.outcome, attempt.vendor_id) == (S.SENT, "taken", "v-1")
    assert queue_of(message.account).ok_at is not None
    assert events_of(message) == []


@pytest.mark.parametrize(
    ("status", "body", "state", "code"),
    [
        pytest.param(400, error("4001"), S.FAILED, "invalid_recipient", id="permanent"),
        pytest.param(400, error("4002"), S.FAILED, "opted_out", id="opted out"),
        pytest.param(503, error("5001"), S.RETRYING, "vendor_unavailable", id="documented as not taken"),
        pytest.param(429, b"", S.RETRYING, "throttled", id="429"),
        pytest.param(500, b"", S.UNKNOWN_OUTCOME, "", id="5xx of unknown meaning"),
        pytest.param(HANG_UP, b"", S.UNKNOWN_OUTCOME, "", id="hung up after the bytes"),
        pytest.param(401, b"", S.RETRYING, "credentials_refused", id="401"),
    ],
)
def test_what_each_answer_becomes(
    vendor: Vendor, status: int, body: Any, state: MessageState, code: str
) -> None:
    message = factories.make_message(account=account_at(vendor))
    vendor.will(status, body)
    send(claim())
    assert (fresh(message).message_state, fresh(message).error_code) == (state, code)
    assert len(vendor.posts) == 1
    assert len(events_of(message)) == (1 if state is S.FAILED else 0)


def test_nobody_listens_is_surely_not_taken(vendor: Vendor) -> None:
    account = account_at(vendor)
    account.settings["base_url"] = "http://127.0.0.1:9"
    account.save()
    message = factories.make_message(account=account)
    send(claim())
    assert (fresh(message).message_state, fresh(message).error_code) == (S.RETRYING, "unreachable")
    assert only_attempt(message).outcome == "temporary"


def test_a_vendor_that_never_answers_leaves_an_unknown_outcome(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def silent(server: servers.Server, conn: Any) -> None:
        server.read_request(conn)
        server.stopping.wait(20)

    with servers.serving(silent) as server:
        account = install(monkeypatch, Strange(url=server.url()))
        message = factories.make_message(account=account)
        send(claim(), deadline=0.3)
    attempt = only_attempt(message)
    assert (fresh(message).message_state, attempt.outcome, attempt.code) == (
        S.UNKNOWN_OUTCOME,
        "unknown",
        "timeout",
    )
    assert settings.UNKNOWN_OUTCOME_WAIT - 2 < seconds_until_due(message) <= settings.UNKNOWN_OUTCOME_WAIT


def test_a_call_whose_time_ran_out_before_its_first_byte_is_retried(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = factories.make_message(account=account_at(vendor))
    connect = sockets.HTTPConnection.connect

    def stand_still(self: sockets.HTTPConnection) -> None:
        connect(self)
        sockets._current().deadline = time.monotonic()

    with monkeypatch.context() as patched:
        patched.setattr(sockets.HTTPConnection, "connect", stand_still)
        send(claim())
    assert (vendor.heard, fresh(message).message_state, only_attempt(message).outcome) == (
        [],
        S.RETRYING,
        "temporary",
    )
    due_now(message)
    send(claim())
    assert (len(vendor.posts), fresh(message).message_state) == (1, S.SENT)


def test_retry_after_is_respected(vendor: Vendor) -> None:
    message = factories.make_message(account=account_at(vendor))
    vendor.will(429, error("4290"), Retry_After="900")
    send(claim())
    assert 890 <= seconds_until_due(message) <= 900 * (1 + backoff.JITTER)


def test_a_retry_after_beyond_the_validity_ends_the_message(vendor: Vendor) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=10)
    message = factories.make_message(account=account_at(vendor), expires_at=soon)
    vendor.will(429, error("4290"), Retry_After="900")
    send(claim())
    assert (fresh(message).message_state, fresh(message).error_code) == (S.EXPIRED, EXPIRED_HERE)
    assert [event.status for event in events_of(message)] == ["failed"]


def test_the_twentieth_refusal_is_the_last(vendor: Vendor) -> None:
    message = factories.make_message(account=account_at(vendor), attempts=backoff.SEND_ATTEMPTS_MAX - 1)
    vendor.will(429)
    send(claim())
    assert (fresh(message).message_state, fresh(message).error_code) == (S.FAILED, GAVE_UP)
    assert [event.error["code"] for event in events_of(message) if event.error] == [GAVE_UP]


# What an adapter may do wrong.


def boom(*args: Any) -> Any:
    raise KeyError("price")


def test_a_call_that_cannot_be_built_fails_its_message(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = factories.make_message(account=install(monkeypatch, Strange(build=boom, url=vendor.url)))
    send(claim())
    assert (fresh(message).message_state, fresh(message).error_code) == (S.FAILED, "build_error")
    assert (vendor.heard, Exchange.objects.filter(owner=only_attempt(message).pk).count()) == ([], 0)
    assert queue_of(message.account).faults == 0
    (event,) = events_of(message)
    assert event.error == {
        "code": "build_error",
        "message": "the request could not be built (KeyError)",
        "vendor_code": "",
    }


def test_one_that_cannot_be_built_does_not_take_its_batch_along(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(batch: Any) -> HttpRequest:
        if any(one.text == "bad" for one in batch):
            raise ValueError("bad")
        return HttpRequest("POST", vendor.url, {}, b"".join(one.text.encode() for one in batch))

    account = install(monkeypatch, Strange(batch_size=10, build=build))
    texts = ["one", "bad", "two"]
    messages = [factories.make_message(account=account, content={"text": text}) for text in texts]
    send(claim())
    assert [fresh(message).message_state for message in messages] == [S.SENT, S.FAILED, S.SENT]
    assert sorted(heard.body for heard in vendor.posts) == [b"one", b"two"]


def wrong_count(batch: Any) -> tuple[SendResult, ...]:
    return (SendResult(Outcome.TAKEN),) * (len(batch) + 1)


@pytest.mark.parametrize(
    "parse",
    [
        pytest.param(boom, id="exception"),
        pytest.param(wrong_count, id="one result too many"),
        pytest.param(lambda batch: (), id="no result"),
        pytest.param(lambda batch: None, id="nothing at all"),
        pytest.param(lambda batch: 7, id="not even a sequence"),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_an_answer_that_cannot_be_read_leaves_an_unknown_outcome(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, parse: Any, batch_size: int
) -> None:
    account = install(monkeypatch, Strange(batch_size=batch_size, parse=parse, url=vendor.url))
    messages = [factories.make_message(account=account) for _ in range(3)]
    send(claim())
    assert {fresh(message).message_state for message in messages} == {S.UNKNOWN_OUTCOME}
    assert {only_attempt(message).code for message in messages} == {"unreadable_answer"}
    assert len(vendor.posts) == 3 // batch_size


def test_a_failure_that_the_adapter_cannot_read_leaves_an_unknown_outcome(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = Strange(url=vendor.url)
    monkeypatch.setattr(adapter, "failed", boom)
    message = factories.make_message(account=install(monkeypatch, adapter))
    vendor.will(HANG_UP)
    send(claim())
    assert fresh(message).message_state is S.UNKNOWN_OUTCOME


def test_each_message_of_a_batch_gets_its_own_result(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(batch: Any) -> tuple[SendResult, ...]:
        refused = SendResult(Outcome.PERMANENT, code="invalid_recipient")
        return tuple(SendResult(Outcome.TAKEN) if "good" in one.text else refused for one in batch)

    account = install(monkeypatch, Strange(batch_size=10, parse=parse, url=vendor.url))
    texts = ["good 1", "bad", "good 2"]
    messages = [factories.make_message(account=account, content={"text": text}) for text in texts]
    send(claim())
    assert [fresh(message).message_state for message in messages] == [S.SENT, S.FAILED, S.SENT]
    assert len(vendor.posts) == 1
    assert Exchange.objects.filter(owner__in=[only_attempt(one).pk for one in messages]).count() == 3


# What an operator can repair.


def test_secrets_that_do_not_open_pause_the_queue_and_the_messages_wait(vendor: Vendor) -> None:
    account = account_at(vendor)
    change("UPDATE messaging_provideraccount SET secrets = %(bad)s", {"bad": UNREADABLE_SECRETS})
    messages = [factories.make_message(account=account) for _ in range(3)]
    send(claim(free=2))
    queue = queue_of(account)
    assert (queue.paused_at is not None, "FIELD_KEY" in queue.paused_why) == (True, True)
    assert [fresh(message).message_state for message in messages] == [S.RETRYING, S.RETRYING, S.ACCEPTED]
    assert (vendor.heard, claim()) == ([], [])


def test_an_unknown_vendor_pauses_the_queue(vendor: Vendor) -> None:
    account = account_at(vendor)
    ProviderAccount.objects.filter(pk=account.pk).update(vendor="acme")
    message = factories.make_message(account=account)
    send(claim())
    assert queue_of(account).paused_why.startswith("no vendor named 'acme'")
    assert (fresh(message).message_state, vendor.heard) == (S.RETRYING, [])


def test_refused_credentials_pause_the_queue_until_it_is_resumed(vendor: Vendor) -> None:
    account = account_at(vendor)
    first, second = (factories.make_message(account=account) for _ in range(2))
    vendor.will(401, error("4010", "unknown key"))
    send(claim(free=1))
    assert (queue_of(account).paused_why, claim()) == ("unknown key", [])
    circuit.resume([account.queue_id])
    change("UPDATE messaging_message SET due_at = clock_timestamp() WHERE state = 2")
    send(claim())
    assert (fresh(first).message_state, fresh(second).message_state) == (S.SENT, S.SENT)


# Ownership and evidence.


def test_a_claim_that_is_too_old_is_handed_back_undialled(vendor: Vendor, settings: Any) -> None:
    message = factories.make_message(account=account_at(vendor))
    claimed = claim()
    age = settings.ROW_LEASE - settings.CALL_DEADLINE - settings.DIAL_MARGIN
    old = [replace(item, claimed_at=item.claimed_at - age - 0.01) for item in claimed]
    send(old, deadline=settings.CALL_DEADLINE)
    assert (vendor.heard, only_attempt(message).outcome) == ([], "not_dialled")
    after = fresh(message)
    assert (after.message_state, after.lease, seconds_until_due(message) <= 0) == (S.RETRYING, None, True)
    assert queue_of(message.account).faults == 0


def test_the_age_of_a_claim_counts_from_before_it_was_asked(vendor: Vendor, settings: Any) -> None:
    """The database may have been slow to answer: the lease ran meanwhile."""
    settings.ROW_LEASE, settings.DIAL_MARGIN = 7.2, 5.0
    message = factories.make_message(account=account_at(vendor))
    fetch = claims.fetch

    def slow(*args: Any, **kwargs: Any) -> Any:
        rows = fetch(*args, **kwargs)
        change("SELECT pg_sleep(0.15)")
        return rows

    with patch.object(claims, "fetch", slow):
        claimed = claim()
    send(claimed, deadline=2.0)  # 7.2 - 2 - 5 leaves 0.2 s
    assert (vendor.heard, fresh(message).message_state) == ([], S.RETRYING)


def test_a_late_hand_back_of_what_was_called_lost_resolves_it(vendor: Vendor, settings: Any) -> None:
    message = factories.make_message(account=account_at(vendor))
    old = [replace(item, claimed_at=item.claimed_at - 60) for item in claim()]
    dialled = [dispatch.dial(call, deadline=2.0) for call in dispatch.prepare(old)]
    change("UPDATE messaging_message SET due_at = clock_timestamp() - interval '1 s'")
    assert sweep.lost_calls() == 1
    assert fresh(message).message_state is S.UNKNOWN_OUTCOME
    dispatch.record(dialled)
    assert (fresh(message).message_state, only_attempt(message).outcome) == (S.RETRYING, "not_dialled")


# Claimed is not dialled.


def lose() -> int:
    """The leases are over, by the database's clock, and somebody sweeps."""
    change("UPDATE messaging_message SET due_at = clock_timestamp() - interval '1 s' WHERE state = 1")
    return sweep.lost_calls()


@pytest.mark.parametrize("capability", ["report", "look_up", "repeat"])
def test_a_worker_that_died_between_claim_and_call_leaves_no_unknown_outcome(
    vendor: Vendor, capability: str
) -> None:
    messages = [factories.make_message(account=account_at(vendor, capability)) for _ in range(3)]
    assert len(claim()) == 3  # and the process is gone
    assert lose() == 3
    assert {fresh(message).message_state for message in messages} == {S.RETRYING}
    due_now(*messages)
    send(claim())
    assert {fresh(message).message_state for message in messages} == {S.SENT}
    assert len(vendor.posts) == 3
    assert all(events_of(message) == [] for message in messages)


def test_a_worker_that_died_about_to_dial_leaves_an_unknown_outcome(vendor: Vendor) -> None:
    message = factories.make_message(account=account_at(vendor))
    dispatch.prepare(claim())
    assert lose() == 1
    assert (fresh(message).message_state, only_attempt(message).dialled) == (S.UNKNOWN_OUTCOME, True)


def test_what_was_taken_back_is_not_dialled(vendor: Vendor) -> None:
    """A process that stood still between claim and call for longer than its lease."""
    message = factories.make_message(account=account_at(vendor))
    claimed = claim()
    lose()
    due_now(message)
    (second,) = claim()
    assert [one.results[0].outcome for one in send(claimed)] == [Outcome.NOT_DIALLED]
    assert (vendor.heard, fresh(message).lease) == ([], second.lease)
    send([second])
    assert (len(vendor.posts), fresh(message).message_state) == (1, S.SENT)


def test_a_batch_of_which_one_was_taken_back_is_not_dialled(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = install(monkeypatch, Strange(batch_size=5, url=vendor.url))
    messages = [factories.make_message(account=account) for _ in range(3)]
    claimed = claim()
    change(
        "UPDATE messaging_attempt SET outcome = 'not_dialled' WHERE message_id = %(id)s",
        {"id": messages[0].pk},
    )
    send(claimed)
    assert vendor.heard == []
    assert {fresh(message).message_state for message in messages} == {S.RETRYING}


def test_an_older_version_claims_without_a_mark_and_stays_unknown() -> None:
    """A row as the version before wrote it: its column was not named."""
    message = factories.make_message(state=S.SENDING, attempts=1)
    change(
        "INSERT INTO messaging_attempt (id, message_id, n, account_id, send_as, created_at)"
        " VALUES (gen_random_uuid(), %(id)s, 1, %(account)s, 'sms', clock_timestamp())",
        {"id": message.pk, "account": message.account_id},
    )
    assert only_attempt(message).dialled is None
    lose()
    assert fresh(message).message_state is S.UNKNOWN_OUTCOME


@pytest.mark.django_db(transaction=True)
def test_sweep_and_pump_at_once_either_dial_or_take_back(vendor: Vendor) -> None:
    message = factories.make_message(account=account_at(vendor))
    claimed = claim()
    change("UPDATE messaging_message SET due_at = clock_timestamp() - interval '1 s'")
    swept, waiting = threading.Event(), threading.Event()

    def sweeper() -> None:
        with transaction.atomic():
            assert sweep.lost_calls() == 1
            swept.set()
            eventually(lambda: fetch(WAITS_FOR_ME), what="the pump waits for the sweep")
            waiting.set()

    def pump() -> list[dispatch.OutgoingBatch]:
        assert swept.wait(30)
        return dispatch.prepare(claimed)

    _, (call,) = together(sweeper, pump)
    assert waiting.is_set()
    assert (call.request, call.results) == (None, (dispatch.LATE,))
    assert (fresh(message).message_state, only_attempt(message).outcome) == (S.RETRYING, "not_dialled")


@pytest.mark.django_db(transaction=True)
def test_a_sweep_leaves_alone_what_is_being_marked(vendor: Vendor) -> None:
    message = factories.make_message(account=account_at(vendor))
    claimed = claim()
    change("UPDATE messaging_message SET due_at = clock_timestamp() - interval '1 s'")
    marked, over = threading.Event(), threading.Event()

    def pump() -> None:
        with transaction.atomic():
            dispatch.prepare(claimed)
            marked.set()
            assert over.wait(30)

    def sweeper() -> int:
        assert marked.wait(30)
        try:
            return sweep.lost_calls()
        finally:
            over.set()

    assert together(pump, sweeper) == [None, 0]
    assert sweep.lost_calls() == 1
    assert fresh(message).message_state is S.UNKNOWN_OUTCOME


def test_an_answer_after_the_lease_was_lost_still_counts(vendor: Vendor) -> None:
    message = factories.make_message(account=account_at(vendor))
    dialled = [dispatch.dial(call, deadline=2.0) for call in dispatch.prepare(claim())]
    change("UPDATE messaging_message SET due_at = clock_timestamp() - interval '1 s'")
    sweep.lost_calls()
    dispatch.record(dialled)
    assert (fresh(message).message_state, only_attempt(message).outcome) == (S.SENT, "taken")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(202, {"ids": ["v-1", "v-2"]}, id="taken"),
        pytest.param(400, error("4001"), id="refused for good"),
        pytest.param(429, error("4290"), id="refused for now"),
        pytest.param(500, b"", id="unknown"),
    ],
)
def test_recording_twice_changes_nothing(vendor: Vendor, status: int, body: Any) -> None:
    """A commit whose answer got lost is recorded again."""
    message = factories.make_message(account=account_at(vendor))
    vendor.will(status, body)
    dialled = send(claim())
    before, told = fresh(message), len(events_of(message))
    dispatch.record(dialled)
    after = fresh(message)
    assert (after.state, after.due_at, after.final_at) == (before.state, before.due_at, before.final_at)
    assert (len(events_of(message)), only_attempt(message).outcome) == (
        told,
        dialled[0].results[0].outcome,
    )


def test_recording_again_after_another_claim_leaves_the_new_owner_alone(vendor: Vendor) -> None:
    message = factories.make_message(account=account_at(vendor))
    vendor.will(429, error("4290"))
    dialled = send(claim())
    change("UPDATE messaging_message SET due_at = clock_timestamp()")
    (second,) = claim()
    dispatch.record(dialled)
    assert (fresh(message).message_state, fresh(message).lease) == (S.SENDING, second.lease)


# What is kept.


def test_the_exchange_is_kept_without_secrets(vendor: Vendor) -> None:
    message = factories.make_message(account=account_at(vendor))
    vendor.will(400, error("4001", f"{API_KEY} may not send there"))
    send(claim())
    raw = Exchange.objects.get(owner=only_attempt(message).pk)
    assert (raw.kind, raw.account_id) == ("call", message.account_id)
    assert json.loads(raw.request)["body"]
    assert json.loads(raw.response)["status"] == 400
    kept = [raw.request, raw.response, only_attempt(message).text, json.dumps(events_of(message)[0].error)]
    assert not any(API_KEY in text for text in kept)
    assert only_attempt(message).text == "*** may not send there"


def test_an_oversize_answer_does_not_fail_the_record(vendor: Vendor) -> None:
    message = factories.make_message(account=account_at(vendor))
    vendor.will(400, error("4001", "x" * 200_000))
    send(claim())
    raw = Exchange.objects.get(owner=only_attempt(message).pk)
    assert len(raw.request) + len(raw.response) <= 8 * 1024
    assert len(only_attempt(message).text) == 300


def test_bytes_of_a_call_that_may_be_sent_again_are_sealed_before_it_is_dialled(vendor: Vendor) -> None:
    message = factories.make_message(account=account_at(vendor, "repeat"))
    (call,) = dispatch.prepare(claim())
    frozen = only_attempt(message).frozen.ciphertext
    assert vendor.heard == []
    assert API_KEY not in frozen
    assert factories.TEXT not in frozen
    assert exchanges.thawed(json.loads(open_(frozen))) == call.request


@pytest.mark.parametrize("capability", ["look_up", "report"])
def test_nothing_is_frozen_where_nothing_may_be_sent_again(vendor: Vendor, capability: str) -> None:
    message = factories.make_message(account=account_at(vendor, capability))
    send(claim())
    assert not only_attempt(message).frozen


def test_each_message_of_a_batch_is_frozen_alone(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = Strange(batch_size=5, url=vendor.url, window=timedelta(hours=1))
    account = install(monkeypatch, adapter)
    messages = [factories.make_message(account=account) for _ in range(3)]
    dispatch.prepare(claim())
    for message in messages:
        attempt = only_attempt(message)
        request = exchanges.thawed(json.loads(attempt.frozen.reveal()))
        assert request.body == str(attempt.pk).encode()


def test_secrets_are_not_in_the_repr_of_a_call(vendor: Vendor) -> None:
    factories.make_message(account=account_at(vendor))
    (call,) = dispatch.prepare(claim())
    assert API_KEY not in repr(call)
    assert factories.TEXT not in repr(call)
    assert seal(API_KEY) not in repr(call)


# The queue.


def test_ten_faults_in_a_row_open_the_circuit(vendor: Vendor) -> None:
    account = account_at(vendor)
    for _ in range(circuit.TRIP):
        factories.make_message(account=account)
        vendor.will(502)
    send(claim(free=circuit.TRIP - 1))
    assert queue_of(account).open_for == 0
    send(claim())
    queue = queue_of(account)
    assert (queue.faults, queue.open_for, queue.paused_at) == (circuit.TRIP, backoff.CIRCUIT_FIRST, None)
    assert queue.last_fault.startswith("HTTP 502")
    factories.make_message(account=account)
    assert claim() == []


def test_a_refusal_of_one_message_shows_a_vendor_that_works(vendor: Vendor) -> None:
    account = account_at(vendor)
    Queue.objects.filter(pk=account.queue_id).update(faults=9)
    factories.make_message(account=account)
    vendor.will(400, error("4001"))
    send(claim())
    assert queue_of(account).faults == 0


def test_several_connections_in_one_record(vendor: Vendor) -> None:
    accounts = [account_at(vendor) for _ in range(3)]
    for account in accounts:
        factories.make_message(account=account)
    send(claim())
    assert set(Message.objects.values_list("state", flat=True)) == {S.SENT}
