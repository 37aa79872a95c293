"""Calls that want a bearer token: fetched once, renewed in time, dropped when refused, never shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from messaging.sending import bearer_tokens
from outbound.values import CallFailure, HttpRequest, HttpResponse
from tests.stand_ins import Strange, Vendor, vendor_on_loopback
from vendors.values import Credentials

CLIENT = Credentials(public_id="pub", settings={}, secrets={"client_secret": "s3cret"})
TOKEN_PATH, SEND_PATH = "/token", "/send"


class WithTokens(Strange):
    """A vendor with OAuth 2.0."""

    def token_request(self, credentials: Credentials) -> HttpRequest | None:
        return HttpRequest(
            "POST", f"{self.url}{TOKEN_PATH}", {"Authorization": credentials.secrets["client_secret"]}
        )


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    bearer_tokens.forget_tokens()
    with vendor_on_loopback() as running:
        yield running


def token(value: str, seconds: int = 3600) -> dict[str, object]:
    return {"access_token": value, "token_type": "bearer", "expires_in": seconds}


def send(vendor: Vendor, credentials: Credentials = CLIENT) -> HttpResponse | CallFailure:
    request = HttpRequest("POST", f"{vendor.url}{SEND_PATH}", {"X-Ours": "1"}, b"{}")
    return bearer_tokens.call(WithTokens(url=vendor.url), credentials, request, deadline=2.0)


def paths(vendor: Vendor) -> list[str]:
    return [heard.path for heard in vendor.heard]


def test_without_tokens_it_is_one_plain_call(vendor: Vendor) -> None:
    request = HttpRequest("POST", f"{vendor.url}{SEND_PATH}", {}, b"{}")
    answer = bearer_tokens.call(Strange(url=vendor.url), CLIENT, request, deadline=2.0)
    assert isinstance(answer, HttpResponse)
    assert paths(vendor) == [SEND_PATH]


def test_a_token_is_fetched_once_for_many_calls(vendor: Vendor) -> None:
    vendor.will(200, token("t-1"))
    for _ in range(3):
        answer = send(vendor)
        assert isinstance(answer, HttpResponse) and answer.status == 202
    assert paths(vendor) == [TOKEN_PATH, SEND_PATH, SEND_PATH, SEND_PATH]
    assert {heard.headers["Authorization"] for heard in vendor.heard[1:]} == {"Bearer t-1"}
    assert vendor.heard[1].headers["X-Ours"] == "1"


def test_threads_that_start_together_fetch_one_token(vendor: Vendor) -> None:
    vendor.will(200, token("t-1"))
    together = threading.Barrier(8)

    def one(_: int) -> HttpResponse | CallFailure:
        together.wait(5)
        return send(vendor)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    assert all(isinstance(answer, HttpResponse) for answer in answers)
    assert paths(vendor).count(TOKEN_PATH) == 1


def test_a_token_is_renewed_before_its_end(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(bearer_tokens.time, "monotonic", lambda: now)
    vendor.will(200, token("t-1", seconds=600))
    send(vendor)
    now += 539.0
    send(vendor)
    assert paths(vendor).count(TOKEN_PATH) == 1
    now += 2.0
    vendor.will(200, token("t-2"))
    send(vendor)
    assert paths(vendor).count(TOKEN_PATH) == 2
    assert vendor.heard[-1].headers["Authorization"] == "Bearer t-2"


def test_a_refused_token_is_renewed_once(vendor: Vendor) -> None:
    vendor.will(200, token("t-1"))
    vendor.will(401)
    vendor.will(200, token("t-2"))
    answer = send(vendor)
    assert isinstance(answer, HttpResponse) and answer.status == 202
    assert paths(vendor) == [TOKEN_PATH, SEND_PATH, TOKEN_PATH, SEND_PATH]


def test_a_vendor_that_refuses_every_token_is_asked_twice(vendor: Vendor) -> None:
    for _ in range(2):
        vendor.will(200, token("t"))
        vendor.will(401)
    answer = send(vendor)
    assert isinstance(answer, HttpResponse) and answer.status == 401
    assert len(vendor.heard) == 4


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refused_credentials_are_the_answer(vendor: Vendor, status: int) -> None:
    vendor.will(status, {"error": "invalid_client"})
    answer = send(vendor)
    assert isinstance(answer, HttpResponse)
    assert (answer.status, json.loads(answer.body)) == (401, {"error": "invalid_client"})
    assert paths(vendor) == [TOKEN_PATH]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(503, {}, id="fault"),
        pytest.param(200, {"token": "x"}, id="no token in it"),
        pytest.param(200, b"<html>", id="garbage"),
    ],
)
def test_without_a_token_nothing_is_sent(vendor: Vendor, status: int, body: object) -> None:
    vendor.will(status, body)
    answer = send(vendor)
    assert isinstance(answer, CallFailure)
    assert (answer.code, answer.sent) == ("token", False)
    assert paths(vendor) == [TOKEN_PATH]


def test_changed_credentials_meet_no_old_token(vendor: Vendor) -> None:
    vendor.will(200, token("t-1"))
    send(vendor)
    vendor.will(200, token("t-2"))
    send(vendor, replace(CLIENT, secrets={"client_secret": "another"}))
    assert vendor.heard[-1].headers["Authorization"] == "Bearer t-2"


def test_an_unreachable_token_address_sends_nothing(vendor: Vendor) -> None:
    gone = WithTokens(url="http://127.0.0.1:9")
    request = HttpRequest("POST", f"{vendor.url}{SEND_PATH}", {}, b"{}")
    answer = bearer_tokens.call(gone, CLIENT, request, deadline=2.0)
    assert isinstance(answer, CallFailure) and not answer.sent
    assert vendor.heard == []
