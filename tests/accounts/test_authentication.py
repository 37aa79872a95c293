"""From headers to a tenant (contract 2)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpHeaders
from django.utils import timezone

from accounts import authentication, last_used
from accounts.authentication import Denied, authenticate
from accounts.models import ApiToken, Tenant, TenantStatus
from accounts.remembered import Remembered
from tests.factories import make_tenant, make_token

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    yield
    authentication.forget_all()
    last_used._noted.clear()


@pytest.fixture
def tenant() -> Tenant:
    return make_tenant(slug="acme")


def headers(**sent: str) -> HttpHeaders:
    """Headers as Django hands them over; underscores stand for dashes."""
    return HttpHeaders({f"HTTP_{name.upper()}": value for name, value in sent.items()})


def denied(**sent: str) -> tuple[int, str]:
    with pytest.raises(Denied) as caught:
        authenticate(headers(**sent))
    assert "secret" not in caught.value.message
    return caught.value.status, caught.value.code


def test_a_token_names_its_tenant(tenant: Tenant):
    token, secret = make_token(tenant)
    principal = authenticate(headers(chan_token=f" {secret} "))
    assert principal.token_id == token.pk
    assert principal.tenant == authentication.snapshot(tenant)
    assert principal.tenant.callback_hosts == ("bloomreach.co", "bloomreach.com", "exponea.com")


def test_several_tokens_at_once(tenant: Tenant):
    made = [make_token(tenant) for _ in range(3)]
    found = [authenticate(headers(chan_token=secret)).token_id for _, secret in made]
    assert found == [token.pk for token, _ in made]


def test_a_token_in_a_header_of_its_own(tenant: Tenant):
    token, secret = make_token(tenant, header="Chan-Api-Key")
    assert authenticate(headers(chan_api_key=secret)).token_id == token.pk
    assert denied(chan_token=secret) == (401, "token_unknown")


def test_a_default_header_of_another_use_does_not_hide_the_token(tenant: Tenant):
    token, secret = make_token(tenant, header="Chan-Api-Key")
    assert authenticate(headers(chan_token="something else", chan_api_key=secret)).token_id == token.pk


def test_no_token_names_no_header_that_a_tenant_chose(tenant: Tenant):
    make_token(tenant, header="Chan-Api-Key")
    make_token(tenant, header="chan-token")
    with pytest.raises(Denied) as caught:
        authenticate(headers(accept="*/*"))
    assert (caught.value.status, caught.value.code) == (401, "token_missing")
    assert caught.value.message == (
        "No token was sent. Send the account's token in the header Chan-Token, or in the one that the connector's "
        "operator agreed with you."
    )


@pytest.mark.parametrize(
    "value",
    ["secret", "x" * 501, "secret\x00", "ÿÿÿ", "' OR 1=1 --"],
    ids=["plain", "long", "NUL", "Latin", "SQL"],
)
def test_an_unknown_token(tenant: Tenant, value: str):
    make_token(tenant)
    assert denied(chan_token=value) == (401, "token_unknown")


def test_a_blank_token_is_none(tenant: Tenant):
    assert denied(chan_token="  ") == (401, "token_missing")


def test_a_revoked_token(tenant: Tenant):
    _, secret = make_token(tenant, revoked_at=timezone.now())
    assert denied(chan_token=secret) == (401, "token_unknown")


@pytest.mark.parametrize(
    ("fields", "value", "code"),
    [
        pytest.param({}, "acme", None, id="the slug"),
        pytest.param({"second_value": "x-1"}, "x-1", None, id="a value of its own"),
        pytest.param({}, None, "second_header_missing", id="missing"),
        pytest.param({}, " ", "second_header_missing", id="blank"),
        pytest.param({}, "other", "second_header_wrong", id="another slug"),
        pytest.param({"second_value": "x-1"}, "acme", "second_header_wrong", id="slug instead of the value"),
        pytest.param({}, "ácme", "second_header_wrong", id="not ASCII"),
    ],
)
def test_the_second_header(tenant: Tenant, fields: dict[str, str], value: str | None, code: str | None):
    token, secret = make_token(tenant, second_header="Chan-Account", **fields)
    sent = {"chan_token": secret, **({"chan_account": value} if value is not None else {})}
    if code:
        assert denied(**sent) == (401, code)
    else:
        assert authenticate(headers(**sent)).token_id == token.pk


@pytest.mark.parametrize(
    ("status", "passes"),
    [(TenantStatus.ACTIVE, True), (TenantStatus.PAUSED, True), (TenantStatus.SUSPENDED, False)],
)
def test_the_tenants_status(status: TenantStatus, passes: bool):
    _, secret = make_token(make_tenant(status=status))
    if passes:
        assert authenticate(headers(chan_token=secret)).tenant.is_paused == (status == TenantStatus.PAUSED)
    else:
        assert denied(chan_token=secret) == (403, "tenant_suspended")


def test_answers_are_kept_negative_ones_too(tenant: Tenant, django_assert_num_queries: Any):
    _, secret = make_token(tenant)
    with django_assert_num_queries(2):  # the headers in use, the token
        for _ in range(5):
            authenticate(headers(chan_token=secret))
    with django_assert_num_queries(1):
        for _ in range(5):
            denied(chan_token="secret")


def test_nothing_secret_is_kept_in_clear(tenant: Tenant):
    _, secret = make_token(tenant)
    principal = authenticate(headers(chan_token=secret))
    assert secret not in repr(principal)
    assert secret not in repr(authentication._tokens._kept)


class TestRemembered:
    def test_for_as_long_as_it_says(self, monkeypatch: pytest.MonkeyPatch):
        now = [100.0]
        monkeypatch.setattr("accounts.remembered.time.monotonic", lambda: now[0])
        values = iter(range(10))
        kept: Remembered[str, int] = Remembered(seconds=2)
        seen = []
        for moment in (100.0, 101.9, 102.1, 104.0, 104.2):
            now[0] = moment
            seen.append(kept.get("a", lambda: next(values)))
        assert seen == [0, 0, 1, 1, 2]

    def test_none_is_kept(self):
        kept: Remembered[str, None] = Remembered()
        calls: list[int] = []
        for _ in range(3):
            kept.get("a", lambda: calls.append(1))
        assert calls == [1]

    def test_the_least_recently_used_goes_first(self):
        kept: Remembered[int, int] = Remembered(entries=2)
        loaded: list[int] = []

        def get(key: int) -> int:
            return kept.get(key, lambda: loaded.append(key) or key)

        for key in (1, 2, 1, 3, 1, 2):
            assert get(key) == key
        assert loaded == [1, 2, 3, 2]

    def test_a_failure_is_not_kept(self):
        kept: Remembered[str, int] = Remembered()

        def fail() -> int:
            raise RuntimeError

        with pytest.raises(RuntimeError):
            kept.get("a", fail)
        assert kept.get("a", lambda: 1) == 1


class TestLastUsed:
    def test_a_request_notes_and_a_flush_writes_once(self, tenant: Tenant, django_assert_num_queries: Any):
        token, secret = make_token(tenant)
        unused, _ = make_token(tenant)
        for _ in range(3):
            authenticate(headers(chan_token=secret))
        assert ApiToken.objects.get(pk=token.pk).last_used_at is None
        with django_assert_num_queries(1):
            assert last_used.flush() == 1
        with django_assert_num_queries(0):
            assert last_used.flush() == 0
        used_at = ApiToken.objects.get(pk=token.pk).last_used_at
        assert used_at is not None and abs(used_at - timezone.now()) < timedelta(seconds=5)
        assert ApiToken.objects.get(pk=unused.pk).last_used_at is None

    @pytest.mark.parametrize(("age", "written"), [(30, 0), (61, 1)])
    def test_another_process_wrote_it_a_moment_ago(self, tenant: Tenant, age: int, written: int):
        token, _ = make_token(tenant, last_used_at=timezone.now() - timedelta(seconds=age))
        last_used.note(token.pk)
        assert last_used.flush() == written

    def test_a_denied_request_notes_nothing(self, tenant: Tenant):
        make_token(tenant)
        denied(chan_token="secret")
        assert last_used.flush() == 0
