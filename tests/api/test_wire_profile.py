"""Through the front door: every spelling comes in, answers and addresses follow the tenant's profile (contract 8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import responses
from django.test import Client

from messaging.accept import wire_paths
from messaging.models import Content, Message, ProviderAccount
from tests.api.conftest import MMS, SMS, Caller, make_caller
from tests.factories import make_tenant, make_token
from vendors.values import Channel

pytestmark = pytest.mark.django_db

ACCOUNT = "http://127.0.0.1:8001/accounts/demo"


@pytest.fixture(autouse=True)
def no_paths_remembered() -> Iterator[None]:
    wire_paths.forget()
    yield
    wire_paths.forget()


@pytest.fixture
def vendor() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(ACCOUNT, json={})
        yield mock


def spelled(body: dict[str, Any], spelling: Any) -> dict[str, Any]:
    return {spelling(key): value for key, value in body.items()}


def camel(key: str) -> str:
    first, *others = key.split("_")
    return first + "".join(map(str.capitalize, others))


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(str, id="snake_case"),
        pytest.param(camel, id="camelCase"),
        pytest.param(lambda key: camel(f"x_{key}")[1:], id="PascalCase"),
        pytest.param(lambda key: key.replace("_", "-"), id="kebab-case"),
        pytest.param(str.upper, id="CAPITALS"),
        pytest.param(lambda key: key.replace("_", ""), id="runtogether"),
    ],
)
@pytest.mark.parametrize("profile", [{}, {"spelling": "camel"}], ids=["default", "camel"])
def test_all_spellings_come_in(client: Client, spelling: Any, profile: dict[str, Any]) -> None:
    caller = make_caller(client, wire_profile=profile)
    answer = caller.post("/mms/send", spelled(MMS, spelling))
    assert answer.status_code == 200, answer.content
    content = Content.objects.get()
    assert (content.text, content.custom_data, content.callback_url, content.subject) == (
        MMS["text"],
        MMS["custom_data"],
        MMS["callback_url"],
        MMS["subject"],
    )
    assert content.extra == {"from": MMS["from"], "to": MMS["to"]}
    assert Message.objects.get().request_id == MMS["request_id"]


def test_a_key_of_the_profiles_own_comes_first(client: Client) -> None:
    caller = make_caller(client, wire_profile={"keys_in": {"text": "messageText", "from": "origin"}})
    answer = caller.post("/sms/send", {**SMS, "messageText": "Own", "origin": "Shop"})
    assert answer.status_code == 200
    content = Content.objects.get()
    assert content.text == "Own"
    # What was not used is kept, and cannot take the place of what was.
    assert content.extra == {"from": "Shop", "to": SMS["to"], "text": SMS["text"]}
    assert Message.objects.get().sender == "Shop"


@pytest.mark.parametrize("key", ["messageText", "message_text", "MESSAGE-TEXT"])
def test_a_key_of_the_profiles_own_comes_in_any_spelling_too(client: Client, key: str) -> None:
    caller = make_caller(client, wire_profile={"keys_in": {"text": "messageText"}})
    body = {name: value for name, value in SMS.items() if name != "text"}
    assert caller.post("/sms/send", {**body, key: "Own"}).status_code == 200
    assert Content.objects.get().text == "Own"


def test_answers_are_spelled_like_the_profile(client: Client) -> None:
    caller = make_caller(client, wire_profile={"spelling": "camel", "keys_out": {"message_id": "id"}})
    answer = caller.post("/sms/send", SMS).json()
    assert answer == {
        "status": "accepted",
        "id": str(Message.objects.get().pk),
        "requestId": SMS["request_id"],
        "duplicate": False,
    }
    refused = caller.post("/sms/send", {**SMS, "text": ""})
    assert (refused.status_code, refused.json()["requestId"]) == (400, SMS["request_id"])


def test_success_as_text(client: Client, vendor: responses.RequestsMock) -> None:
    caller = make_caller(client, wire_profile={"success": "text"})
    answer = caller.post("/sms/send", SMS)
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.content.decode() == f"accepted {Message.objects.get().pk}"
    verified = caller.get("/sms/verify")
    assert verified.content == b"The token is valid. Simulator accepts these credentials."
    assert caller.post("/sms/send", SMS, Accept="application/json").json()["duplicate"] is True
    assert caller.post("/sms/send", {}).json()["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        pytest.param("get", "/sms/verify", 200, "The token is valid.", id="verify"),
        pytest.param("get", "/verify", 200, "The token is valid.", id="verify below the base"),
        pytest.param("post", "/sms/send", 400, "text is required", id="refused"),
        pytest.param("get", "/sms/send", 405, 'Method "GET" not allowed.', id="wrong method"),
        pytest.param("get", "/sms/nowhere", 404, "There is nothing at this address.", id="nowhere"),
    ],
)
def test_text_for_who_asks_for_it(
    caller: Caller, vendor: responses.RequestsMock, method: str, path: str, status: int, words: str
) -> None:
    body = {key: value for key, value in SMS.items() if key != "text"}
    headers = {"Accept": "text/plain"}
    answer = caller.get(path, **headers) if method == "get" else caller.post(path, body, **headers)
    assert (answer.status_code, answer["Content-Type"]) == (status, "text/plain; charset=utf-8")
    assert words in answer.content.decode()


def test_text_of_a_missing_token(client: Client) -> None:
    answer = client.get("/verify", headers={"Accept": "text/plain"})
    assert (answer.status_code, answer.content) == (
        401,
        b"No token was sent. Send the account's token in the header Chan-Token, or in the one that the connector's "
        b"operator agreed with you.",
    )


def test_verify_below_the_base_asks_the_channel_that_there_is(
    caller: Caller, vendor: responses.RequestsMock
) -> None:
    assert caller.get("/verify/").json()["status"] == "ok"
    ProviderAccount.objects.update(channels=[Channel.MMS])
    assert caller.get("/verify").status_code == 200
    ProviderAccount.objects.update(is_active=False)
    answer = caller.get("/verify")
    assert answer.status_code == 503
    assert "serves SMS" in answer.json()["message"]


# ---- addresses of a tenant's own

PATHS = {
    "/c/acme/sms/send": "sms_send",
    "/c/acme/sms/verify": "sms_verify",
    "/send": "sms_send",
    "/mms/v2/messages": "mms_send",
}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/c/acme/sms/send", SMS, id="below a base of its own"),
        pytest.param("/c/acme/sms/send/", SMS, id="with a slash"),
        pytest.param("/send", SMS, id="at the root"),
        pytest.param("/mms/v2/messages", MMS, id="below a channel"),
    ],
)
def test_an_agreed_address_takes_messages(client: Client, path: str, body: dict[str, Any]) -> None:
    caller = make_caller(client, wire_profile={"paths": PATHS})
    answer = caller.post(path, body)
    assert answer.status_code == 200, answer.content
    assert Message.objects.get().request_id == body["request_id"]
    assert caller.client.get(path, headers={"Chan-Token": caller.secret}).status_code == 405


def test_an_agreed_address_costs_no_statement_of_its_own(
    client: Client, django_assert_num_queries: Any
) -> None:
    caller = make_caller(client, wire_profile={"paths": PATHS, "spelling": "camel"})
    assert caller.post("/send", SMS).status_code == 200  # now token, tenant and accounts are remembered
    with django_assert_num_queries(0):  # the insert itself is written by hand, and not counted here
        assert caller.post("/send", {**SMS, "request_id": "r-2"}).status_code == 200


def test_an_agreed_address_verifies(client: Client, vendor: responses.RequestsMock) -> None:
    caller = make_caller(client, wire_profile={"paths": PATHS})
    assert caller.get("/c/acme/sms/verify").json()["status"] == "ok"


def test_who_may_use_an_agreed_address(client: Client) -> None:
    make_caller(client, wire_profile={"paths": PATHS})
    other = make_caller(client)
    for path, action in PATHS.items():
        assert other.post(path, SMS).status_code == 404, path
        call = client.get if action.endswith("verify") else client.post
        unknown = call(path, headers={"Chan-Token": "x" * 20})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (401, "token_unknown")
        missing = call(path)
        assert (missing.status_code, missing.json()["error"]["code"]) == (401, "token_missing")
    assert not Message.objects.exists()


@pytest.mark.parametrize("path", ["/c/acme", "/verify/x", "/sms", "/c/acme/sms/send/x", "/a b", "/%00"])
def test_other_addresses_are_not_there(client: Client, path: str) -> None:
    caller = make_caller(client, wire_profile={"paths": PATHS})
    for answer in (caller.post(path, SMS), client.get(path), client.post(path)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_never_a_redirect(client: Client) -> None:
    caller = make_caller(client, wire_profile={"paths": PATHS})
    for path in (*PATHS, *(f"{path}/" for path in PATHS), "/verify", "/verify/"):
        assert caller.client.get(path).status_code in (401, 405)


def test_two_tenants_may_have_one_address(client: Client) -> None:
    first = make_caller(client, wire_profile={"paths": {"/send": "sms_send"}})
    second = make_caller(client, wire_profile={"paths": {"/send": "mms_send"}})
    assert first.post("/send", SMS).status_code == 200
    assert second.post("/send", MMS).status_code == 200
    assert {(m.tenant_id, m.channel) for m in Message.objects.all()} == {
        (first.tenant.pk, "sms"),
        (second.tenant.pk, "mms"),
    }


@pytest.mark.parametrize(
    "sender",
    [
        pytest.param("4477009001231", id="13 digits"),
        pytest.param("421900000123456", id="15 digits"),
        pytest.param("+421900000123456", id="15 digits with plus"),
        pytest.param("00421900000123456", id="15 digits with 00"),
        pytest.param("090000012345", id="12 digits, national"),
        pytest.param("090000012345678", id="15 digits, national"),
    ],
)
def test_senders_of_many_digits(caller: Caller, sender: str) -> None:
    assert caller.post("/sms/send", {**SMS, "from": sender}).status_code == 200
    assert Message.objects.get().sender.lstrip("+") == sender.removeprefix("00").lstrip("+")


def test_a_name_that_is_too_long_is_told_what_is_allowed(caller: Caller) -> None:
    answer = caller.post("/sms/send", {**SMS, "from": "ABCDEFGHIJKL"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_sender")
    assert answer.json()["message"] == (
        "from is too long for a name; it must be a number of 7 to 15 digits with its country code, a short code of "
        "3 to 8 digits, or a name of 1 to 11 characters of the GSM alphabet."
    )


def test_a_profile_that_cannot_be_read_stops_no_message(client: Client) -> None:
    caller = make_caller(client, wire_profile={"spelling": "unknown"})
    assert caller.post("/sms/send", SMS).json()["message_id"]


def test_a_tenants_profile_is_not_anothers(client: Client) -> None:
    tenant = make_tenant(wire_profile={"success": "text"})
    make_token(tenant)
    caller = make_caller(client)
    assert caller.post("/sms/send", SMS).json()["status"] == "accepted"
