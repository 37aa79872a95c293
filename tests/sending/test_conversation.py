"""The conversation with a vendor: an adapter's bug is a value, no text holds a secret, and threads need no database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from messaging.models import ProviderAccount
from messaging.models.sql import change
from messaging.rules.values import ExchangeKind
from messaging.sending import bearer_tokens
from messaging.sending.conversation import CannotBuild, CannotOpen, Conversation, VendorCall
from outbound.values import CallFailure
from simulator.adapter import Simulator
from tests import factories
from tests.stand_ins import API_KEY, HANG_UP, Vendor, account_at, vendor_on_loopback
from vendors.base import SAMPLE
from vendors.values import (
    Channel,
    CredentialCheck,
    Found,
    Outcome,
    Presence,
    Report,
    SendResult,
    Sent,
    Status,
)

pytestmark = pytest.mark.django_db

ATTEMPT = UUID(int=7)
SENT = Sent(str(ATTEMPT), "v-1", Channel.SMS, "+421900000100", datetime(2026, 1, 1, tzinfo=UTC))
NOISY = f"{API_KEY} may not send to 421900000100"
QUIET = "*** may not send to …"


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    bearer_tokens.forget_tokens()
    with vendor_on_loopback() as running:
        yield running


@pytest.fixture
def talk(vendor: Vendor) -> Conversation:
    return Conversation.open(account_at(vendor, "look_up"))


def broken(*_: Any, **__: Any) -> Any:
    raise KeyError(API_KEY)


# Opening.


def test_secrets_that_do_not_open(vendor: Vendor) -> None:
    account = account_at(vendor)
    change("UPDATE messaging_provideraccount SET secrets = 'gAAAA' WHERE id = %(id)s", {"id": account.pk})
    with pytest.raises(CannotOpen, match="does not open with FIELD_KEY"):
        Conversation.open(ProviderAccount.objects.get(pk=account.pk))


def test_a_vendor_of_another_version() -> None:
    with pytest.raises(CannotOpen, match="no vendor named 'telegraph'"):
        Conversation.open(factories.make_account(vendor="telegraph"))


# Building: nothing is sent, and the kind of the error is all that is told.

BUILDS: list[Any] = [
    pytest.param("build", lambda talk: talk.send([SAMPLE]), "send", id="send"),
    pytest.param("look_up", lambda talk: talk.look_up(SENT), "look-up", id="look up"),
    pytest.param("poll", lambda talk: talk.poll(SENT), "poll", id="poll"),
    pytest.param("credential_check", lambda talk: talk.check(), "credential check", id="check"),
    pytest.param("build", lambda talk: talk.preview(), "preview", id="preview"),
    pytest.param("repeat_window", lambda talk: talk.repeat_window(), "repeat window", id="window"),
]


@pytest.mark.parametrize(("method", "build", "named"), BUILDS)
def test_a_call_that_cannot_be_built(
    talk: Conversation,
    vendor: Vendor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    build: Callable[[Conversation], Any],
    named: str,
) -> None:
    monkeypatch.setattr(Simulator, method, broken)
    with pytest.raises(CannotBuild, match=r"^KeyError$"):
        build(talk)
    assert vendor.heard == []
    (record,) = [one for one in caplog.records if one.message == "call could not be built"]
    assert (record.__dict__["vendor"], record.__dict__["call"]) == ("simulator", named)


def test_building_sends_nothing(talk: Conversation, vendor: Vendor) -> None:
    for _, build, _ in (one.values for one in BUILDS):
        build(talk)
    assert vendor.heard == []


@pytest.mark.parametrize("method", ["look_up", "poll", "check"])
def test_who_cannot_be_asked(talk: Conversation, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(Simulator, "credential_check" if method == "check" else method, lambda *_: None)
    assert (talk.check() if method == "check" else getattr(talk, method)(SENT)) is None


# Dialling and reading.


def call(talk: Conversation, what: str) -> VendorCall[Any]:
    built: VendorCall[Any] | None = {
        "send": lambda: talk.send([SAMPLE], [ATTEMPT]),
        "look_up": lambda: talk.look_up(SENT, ATTEMPT),
        "poll": lambda: talk.poll(SENT, ATTEMPT),
        "check": lambda: talk.check(),
    }[what]()
    assert built is not None
    return built


READ = {"send": "parse", "look_up": "parse_look_up", "poll": "parse_poll", "check": "parse_credential_check"}


@pytest.mark.parametrize(
    ("what", "result"),
    [
        (
            "send",
            (
                SendResult(
                    Outcome.UNKNOWN, code="unreadable_answer", text="HTTP 202: the answer could not be read"
                ),
            ),
        ),
        ("look_up", Found(Presence.CANNOT_TELL)),
        ("poll", None),
        ("check", CredentialCheck(None, "Simulator answered HTTP 202, which could not be read")),
    ],
)
def test_an_answer_that_cannot_be_read(
    talk: Conversation,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    what: str,
    result: Any,
) -> None:
    monkeypatch.setattr(Simulator, READ[what], broken)
    heard = call(talk, what).dial(deadline=2.0)
    assert (heard.result, heard.status) == (result, 202)
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == ["answer could not be read"]


@pytest.mark.parametrize("results", [(), (SendResult(Outcome.TAKEN),) * 2, (None,)], ids=["0", "2", "None"])
def test_results_that_do_not_fit_leave_the_outcome_unknown(
    talk: Conversation, monkeypatch: pytest.MonkeyPatch, results: Any
) -> None:
    monkeypatch.setattr(Simulator, "parse", lambda *_: results)
    (result,) = talk.send([SAMPLE]).dial(deadline=2.0).result
    assert (result.outcome, result.code) == (Outcome.UNKNOWN, "unreadable_answer")


@pytest.mark.parametrize("what", list(READ))
def test_no_answer(talk: Conversation, vendor: Vendor, what: str) -> None:
    vendor.will(HANG_UP)
    heard = call(talk, what).dial(deadline=2.0)
    assert heard.status == 0
    if what == "send":
        assert heard.result[0].outcome is Outcome.UNKNOWN
    elif what == "check":
        assert heard.result.ok is None
        assert heard.result.text.startswith("Simulator could not be reached just now: ")
    else:
        assert heard.result == (Found(Presence.CANNOT_TELL) if what == "look_up" else None)


def test_a_failure_that_the_adapter_cannot_read(
    talk: Conversation, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Simulator, "failed", broken)
    vendor.will(HANG_UP)
    (result,) = talk.send([SAMPLE]).dial(deadline=2.0).result
    assert (result.outcome, result.code) == (Outcome.UNKNOWN, "unreadable_answer")


@pytest.mark.parametrize("what", list(READ))
def test_a_token_that_cannot_be_asked_for(
    talk: Conversation, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Nobody knows how far it came, so a message may have been sent."""
    monkeypatch.setattr(Simulator, "token_request", broken)
    heard = call(talk, what).dial(deadline=2.0)
    assert (vendor.heard, heard.status) == ([], 0)
    if what == "send":
        assert (heard.result[0].outcome, heard.result[0].code) == (Outcome.UNKNOWN, "call_error")
    assert API_KEY not in repr(heard)


@pytest.mark.parametrize("what", list(READ))
def test_no_text_holds_a_secret(talk: Conversation, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    report = Report(Status.REJECTED, "REJECTD", text=NOISY)
    told = {
        "send": (SendResult(Outcome.PERMANENT, text=NOISY),),
        "look_up": Found(Presence.FOUND, report=report),
        "poll": report,
        "check": CredentialCheck(False, NOISY),
    }
    monkeypatch.setattr(Simulator, READ[what], lambda *_: told[what])
    shown = repr(call(talk, what).dial(deadline=2.0))
    assert QUIET in shown
    assert (API_KEY in shown, "421900000100" in shown) == (False, False)


def test_a_failures_text_holds_no_secret(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = CallFailure("token", NOISY, sent=False)
    monkeypatch.setattr(bearer_tokens, "call", lambda *_, **__: failure)
    (result,) = talk.send([SAMPLE]).dial(deadline=2.0).result
    assert (result.outcome, result.text) == (Outcome.TEMPORARY, QUIET)


@pytest.mark.parametrize(
    ("what", "kind"),
    [("send", ExchangeKind.CALL), ("look_up", ExchangeKind.LOOKUP), ("poll", ExchangeKind.LOOKUP)],
)
def test_the_exchange_is_about_the_attempt_and_holds_no_secret(
    talk: Conversation, vendor: Vendor, what: str, kind: ExchangeKind
) -> None:
    vendor.will(200, {"echo": API_KEY})
    built = call(talk, what)
    exchange = built.dial(deadline=2.0).exchange
    assert (exchange.kind, exchange.account_id, list(exchange.owners)) == (kind, talk.account.pk, [ATTEMPT])
    assert not any(API_KEY in text for text in (exchange.request, exchange.response, repr(built)))
    assert '"status": 200' in exchange.response


def test_a_thread_needs_no_database(talk: Conversation, vendor: Vendor, db_is_shut: None) -> None:
    calls = [call(talk, what) for what in READ]
    heard: list[Any] = []

    def dial() -> None:
        heard.extend(one.dial(deadline=2.0) for one in calls)

    thread = threading.Thread(target=dial)
    thread.start()
    thread.join(20)
    assert len(heard) == len(vendor.heard) == len(calls)


@pytest.fixture
def db_is_shut(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the conversation was opened, whoever asks for the database is refused."""

    def refuse(*_: Any) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.ensure_connection", refuse)
    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.cursor", refuse)


def test_bytes_that_are_sent_again_are_read_as_a_sending(talk: Conversation, vendor: Vendor) -> None:
    first = talk.send([SAMPLE], [ATTEMPT])
    vendor.will(202, {"ids": ["v-9"]})
    heard = talk.send_again(first.request, [SAMPLE], [ATTEMPT]).dial(deadline=2.0)
    assert (heard.result[0].outcome, heard.result[0].vendor_id) == (Outcome.TAKEN, "v-9")
    assert heard.exchange.kind == ExchangeKind.CALL


def test_a_preview_shows_no_secret(talk: Conversation) -> None:
    shown = repr(talk.preview(hidden=["421900000100"]))
    assert SAMPLE.recipient in shown
    assert API_KEY not in shown


def test_a_caution_that_cannot_be_told(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulator, "caution", broken)
    assert talk.caution() == ""
