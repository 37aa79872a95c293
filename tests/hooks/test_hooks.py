"""What vendors call: proved, stored, queued, and nothing else."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest
from django.db import OperationalError
from django.test import Client
from prometheus_client import REGISTRY

from messaging.models import Exchange, Inbox, ProviderAccount
from messaging.reports import hook_intake, stored_calls
from outbound.values import HttpRequest, HttpResponse
from simulator.adapter import signature
from tests.factories import make_account
from tests.postgres_proxy import counting_relay, in_other_process_settings
from vendors import registry
from vendors.base import Adapter, BadSignature
from vendors.values import Credentials, HookReply, HookRequest, Outgoing, SendResult

SECRET = "s3cret-of-the-parrot"


class Parrot(Adapter):
    """A vendor that keeps what it was shown, and proves itself by a word in the query."""

    key = "parrot"
    label = "Parrot"
    seen: ClassVar[list[HookRequest]] = []

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        raise AssertionError

    def parse(self, batch: Sequence[Outgoing], response: HttpResponse) -> tuple[SendResult, ...]:
        raise AssertionError

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        self.seen.append(hook)
        if hook.query.get("proof") == "wrong":
            raise BadSignature("the word is wrong")

    def parse_hook(self, hook: HookRequest) -> Sequence[Any]:
        raise AssertionError("nothing is read while the vendor waits")

    def hook_reply(self, credentials: Credentials) -> HookReply:
        return HookReply(202, b"<ok/>", "text/xml")


@pytest.fixture(autouse=True)
def parrot(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.ADAPTERS, "parrot", Parrot())
    monkeypatch.setattr(Parrot, "seen", [])
    yield
    hook_intake.forget_receivers()


@pytest.fixture
def account(db: None) -> ProviderAccount:
    return make_account(vendor="parrot", secrets={"password": SECRET})


def hook_path(account: ProviderAccount, rest: str = "") -> str:
    return f"/hooks/{account.vendor}/{account.public_id}{rest}"


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("connector_hooks_refused_total", {"reason": reason}) or 0.0


def nothing_stored() -> bool:
    return not Exchange.objects.exists() and not Inbox.objects.exists()


def stored() -> HookRequest:
    """The one call that was stored, with its inbox row checked."""
    exchange, inbox = Exchange.objects.get(), Inbox.objects.get()
    assert (inbox.exchange_id, inbox.exchange_at, inbox.account_id) == (
        exchange.pk,
        exchange.at,
        exchange.account_id,
    )
    assert (exchange.kind, inbox.tries, inbox.parked_at, inbox.due_at) == ("hook", 0, None, exchange.at)
    assert exchange.request == ""
    return stored_calls.opened(exchange.call.ciphertext)


def shown() -> dict[str, Any]:
    """The same as people see it."""
    record: dict[str, Any] = json.loads(stored_calls.shown(Exchange.objects.get()))
    return record


def test_the_reply_is_that_of_the_account(client: Client, db: None) -> None:
    values = {"preset": "jasmin", "base_url": "http://127.0.0.1:1401", "username": "u", "password": SECRET}
    settings = registry.adapter("http_generic").clean(values)
    jasmin = make_account(vendor="http_generic", settings=settings, secrets={"password": SECRET})
    plain = make_account(vendor="http_generic", settings={**settings, "hook_reply": ""})
    told = {"id": "m-1", "message_status": "DELIVRD", "level": "2"}
    for account, word in ((jasmin, b"ACK/Jasmin"), (plain, b"")):
        answer = client.post(f"{hook_path(account)}?ref=r-1", told)
        assert (answer.status_code, answer.content) == (200, word)
    assert Inbox.objects.count() == 2


def test_a_post_is_stored_whole_and_answered_as_the_vendor_wants(client: Client, account: ProviderAccount):
    body = '{"status": "žltý", "nul": "\\u0000"}\n'.encode()
    answer = client.post(
        hook_path(account, "/dlr/sms?id=1&empty=&id=2"),
        body,
        content_type="application/json",
        headers={"X-Trace": "abc"},
    )
    assert (answer.status_code, answer.content, answer["Content-Type"]) == (202, b"<ok/>", "text/xml")
    record = stored()
    assert Exchange.objects.get().account_id == account.pk
    assert (record.method, record.path, record.query, record.body) == (
        "POST",
        "dlr/sms",
        {"id": "2", "empty": ""},
        body,
    )
    assert record.headers["x-trace"] == "abc"
    assert record.headers["content-type"] == "application/json"
    assert record.url == "https://connector.example" + hook_path(account, "/dlr/sms?id=1&empty=&id=2")


def test_a_get_is_stored_too(client: Client, account: ProviderAccount):
    assert client.get(hook_path(account, "?status=DELIVRD&to=421900000123")).status_code == 202
    record = stored()
    assert (record.method, record.body) == ("GET", b"")
    assert record.query == {"status": "DELIVRD", "to": "421900000123"}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("", id="bare"),
        pytest.param("/", id="slash at the end"),
        pytest.param("/a/b/?x=%20+%C5%BE&y=a%2Fb", id="query to the letter"),
    ],
)
def test_signatures_cover_the_address_as_it_was_dialled(client: Client, account: ProviderAccount, sent: str):
    assert client.get(hook_path(account, sent)).status_code == 202
    (hook,) = Parrot.seen
    assert hook.url == "https://connector.example" + hook_path(account, sent)


def test_a_body_that_is_no_text_is_kept_byte_for_byte(client: Client, account: ProviderAccount):
    client.post(hook_path(account), b"\xff\x00\xfe", content_type="application/octet-stream")
    assert stored().body == b"\xff\x00\xfe"
    assert shown()["body"] == "\\xff\x00\\xfe"


def test_secrets_are_sealed_and_not_shown(client: Client, account: ProviderAccount):
    basic = base64.b64encode(f"user:{SECRET}".encode()).decode()
    headers = {
        "Authorization": f"Basic {basic}",
        "X-Api-Key": "k",
        "X-Vendor-Signature": "s",
        "X-Odd": SECRET,
    }
    body = json.dumps({"echo": SECRET, "status": "ok"})
    path = hook_path(account, f"?password={SECRET}&a={SECRET}")
    client.post(path, body, content_type="application/json", headers=headers)
    row = Exchange.objects.values().get()
    for text in (row["request"], row["call"].ciphertext, json.dumps(shown())):
        assert SECRET not in text
        assert basic not in text
    record = shown()
    for name in ("authorization", "x-api-key", "x-vendor-signature", "x-odd"):
        assert record["headers"][name] == "***"
    assert json.loads(record["body"]) == {"echo": "***", "status": "ok"}
    assert record["query"] == {"password": "***", "a": "***"}
    assert record["url"].endswith("?password=***&a=***")
    (hook,) = Parrot.seen  # the adapter saw them, and will see them when it reads
    assert stored() == hook
    assert hook.query["password"] == SECRET
    assert hook.body == body.encode()


@pytest.mark.parametrize("secret", ["test", "e", "t", "{", '"', "greatest"])
def test_a_secret_that_is_a_word_changes_nothing(client: Client, db: None, secret: str):
    account = make_account(vendor="parrot", secrets={"password": secret})
    body = '{"text": "greatest offer, a test", "id": "latest-5"}'
    client.post(hook_path(account, "?text=This+is+a+test"), body, content_type="application/json")
    assert (stored().body, shown()["body"]) == (body.encode(), body)
    assert shown()["query"] == {"text": "This is a test"}


def test_a_call_whose_key_is_gone_says_so(client: Client, account: ProviderAccount, settings: Any):
    client.get(hook_path(account))
    settings.FIELD_KEYS = ["bm90IHRoZSBzYW1lIGtleSwgdGhpcnR5LXR3byBieXQ="]
    told = stored_calls.shown(Exchange.objects.get())
    assert told == (
        "It cannot be shown: a stored secret does not open with FIELD_KEY: add the key that sealed it, or enter it "
        "again."
    )


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/hooks/parrot/nobody", id="unknown id"),
        pytest.param("/hooks/nobody/{public_id}", id="unknown vendor"),
        pytest.param("/hooks/simulator/{public_id}", id="another vendor's id"),
    ],
)
def test_unknown_addresses(client: Client, account: ProviderAccount, path: str):
    before = refused("unknown")
    answer = client.post(path.format(public_id=account.public_id), b"{}", content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_hook")
    assert refused("unknown") == before + 1
    assert nothing_stored()


def test_a_bad_signature(client: Client, account: ProviderAccount):
    before = refused("signature")
    answer = client.post(hook_path(account, "?proof=wrong"), b"{}", content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "bad_signature")
    assert refused("signature") == before + 1
    assert nothing_stored()


def test_the_simulators_signature(client: Client, db: None):
    account = make_account()
    body = b'{"type": "report"}'
    stamp = str(int(time.time()))
    headers = {
        "X-Carrier-Timestamp": stamp,
        "X-Carrier-Signature": signature("simulator-api-key", stamp, body).decode(),
    }
    path = hook_path(account)
    assert client.post(path, body + b" ", content_type="application/json", headers=headers).status_code == 401
    assert nothing_stored()
    assert client.post(path, body, content_type="application/json", headers=headers).status_code == 200
    assert shown()["headers"]["x-carrier-signature"] == "***"


def test_an_inactive_connection_still_takes_reports(client: Client, account: ProviderAccount):
    account.is_active = False
    account.save()
    assert client.post(hook_path(account), b"{}", content_type="application/json").status_code == 202
    assert Inbox.objects.count() == 1


def test_garbage_is_stored_and_not_judged(client: Client, account: ProviderAccount):
    assert client.post(hook_path(account), b"<<<{{{", content_type="text/plain").status_code == 202
    assert stored().body == b"<<<{{{"


@pytest.mark.parametrize(("size", "status"), [(1_048_576, 202), (1_048_577, 413)])
def test_the_largest_body(client: Client, account: ProviderAccount, size: int, status: int):
    answer = client.post(hook_path(account), b"x" * size, content_type="text/plain")
    assert answer.status_code == status
    assert Inbox.objects.count() == (status == 202)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_other_methods(client: Client, account: ProviderAccount, method: str):
    answer = client.generic(method, hook_path(account))
    assert (answer.status_code, answer["Allow"]) == (405, "GET, POST")
    assert nothing_stored()


def test_csrf_is_no_matter_of_machines(account: ProviderAccount):
    client = Client(enforce_csrf_checks=True)
    assert client.post(hook_path(account), b"{}", content_type="application/json").status_code == 202


def test_secrets_that_cannot_be_opened_are_ours_to_mend(
    client: Client, account: ProviderAccount, settings: Any
):
    settings.FIELD_KEYS = ["bm90IHRoZSBzYW1lIGtleSwgdGhpcnR5LXR3byBieXQ="]
    answer = client.post(hook_path(account), b"{}", content_type="application/json")
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert nothing_stored()


def test_a_crash_is_503(client: Client, account: ProviderAccount, monkeypatch: pytest.MonkeyPatch):
    def crash(self: Parrot, hook: HookRequest, credentials: Credentials) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Parrot, "verify", crash)
    answer = client.post(hook_path(account), b"{}", content_type="application/json")
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert nothing_stored()


def test_a_failing_statement_is_503(
    client: Client, account: ProviderAccount, monkeypatch: pytest.MonkeyPatch
):
    def fail(statement: str, params: Any) -> int:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(hook_intake, "change", fail)
    answer = client.post(hook_path(account), b"{}", content_type="application/json")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


@pytest.mark.django_db(transaction=True)
def test_with_the_database_down(client: Client):
    account = make_account(vendor="parrot")

    def post() -> Any:
        return client.post(hook_path(account), b"{}", content_type="application/json")

    options = {"connect_timeout": 1, "sslmode": "disable"}
    answer = in_other_process_settings(post, HOST="127.0.0.1", PORT="1", CONN_MAX_AGE=0, OPTIONS=options)
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert not Inbox.objects.exists()
    assert post().status_code == 202


@pytest.mark.django_db(transaction=True)
def test_one_statement_per_call(client: Client):
    account = make_account(vendor="parrot")
    with counting_relay() as counted:

        def post() -> list[int]:
            trips = []
            for _ in range(8):
                before = counted.trips
                client.post(hook_path(account), b"{}", content_type="application/json")
                trips.append(counted.trips - before)
            return trips

        options = {"sslmode": "disable", "gssencmode": "disable", "prepare_threshold": 3}
        trips = in_other_process_settings(post, HOST="127.0.0.1", PORT=str(counted.port), OPTIONS=options)
    assert trips[-3:] == [1, 1, 1]
    assert Inbox.objects.count() == 8
