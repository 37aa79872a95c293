"""`rotate_keys` leaves nothing that needs an old key, can be killed at any batch, and says what it cannot open."""

from __future__ import annotations

import io
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.utils import timezone

from accounts import rotation
from accounts.crypto import SealError
from accounts.models import Tenant
from messaging.management.commands import rotate_keys
from messaging.models import Attempt, Exchange, ProviderAccount
from tests.factories import make_account, make_attempt, make_message, make_tenant

pytestmark = pytest.mark.django_db

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
PLACES = [
    "accounts.tenant.callback_secret",
    "accounts.tenant.callback_secret_previous",
    "messaging.provideraccount.secrets",
    "messaging.attempt.frozen",
    "messaging.exchange.call",
]


@pytest.fixture
def sealed_with_old(settings: Any) -> Any:
    """Six secrets under the old key; the new one is now first."""
    settings.FIELD_KEYS = [OLD]
    tenant = make_tenant(callback_secret="current", callback_secret_previous="previous")
    make_tenant(callback_secret="other")
    make_account(tenant, secrets={"api_key": "k"})
    for text in ("one", "two", ""):
        make_attempt(make_message(account=ProviderAccount.objects.get(), attempts=1), frozen=text)
    settings.FIELD_KEYS = [NEW, OLD]
    return settings


def run(**options: Any) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("rotate_keys", stdout=out, stderr=err, **options)
    except SystemExit as stop:
        return int(stop.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def opened() -> list[Any]:
    return [
        [
            (t.callback_secret.reveal(), t.callback_secret_previous.reveal())
            for t in Tenant.objects.order_by("pk")
        ],
        [c.secrets.reveal() for c in ProviderAccount.objects.all()],
        sorted(a.frozen.reveal() for a in Attempt.objects.all()),
    ]


CONTENT = [[("current", "previous"), ("other", "")], [{"api_key": "k"}], ["", "one", "two"]]


def test_vendors_calls_are_rotated_in_whatever_partition_they_lie(settings: Any) -> None:
    settings.FIELD_KEYS = [OLD]
    for at in ("2020-01-06T00:00Z", timezone.now()):
        Exchange.objects.create(at=at, kind="hook", call="as it came")
    Exchange.objects.create(at=timezone.now(), kind="call", request="{}")
    settings.FIELD_KEYS = [NEW, OLD]
    assert "messaging.exchange.call: 2 sealed, 2 rotated" in run(batch=1)[1]
    settings.FIELD_KEYS = [NEW]
    assert [raw.call.reveal() for raw in Exchange.objects.exclude(call="")] == ["as it came"] * 2


def test_every_sealed_column_is_known() -> None:
    assert sorted(str(place) for place in rotation.places()) == sorted(PLACES)


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_after_it_the_old_key_can_go(sealed_with_old: Any, batch: int) -> None:
    code, out, err = run(batch=batch)
    assert (code, err) == (0, "")
    assert "messaging.attempt.frozen: 2 sealed, 2 rotated" in out
    assert "6 secrets open with the first key alone." in out
    sealed_with_old.FIELD_KEYS = [NEW]
    assert opened() == CONTENT


def test_a_dry_run_looks_and_changes_nothing(sealed_with_old: Any) -> None:
    before = list(Tenant.objects.values_list("callback_secret", flat=True))
    code, out, err = run(dry_run=True)
    assert code == 1
    assert "accounts.tenant.callback_secret: 2 not under the first key" in err
    assert list(Tenant.objects.values_list("callback_secret", flat=True)) == before
    assert "rotated" not in out
    run()
    assert run(dry_run=True)[0] == 0


def test_a_second_run_rotates_nothing(sealed_with_old: Any) -> None:
    run()
    before = list(Tenant.objects.values_list("callback_secret", flat=True))
    code, out, _ = run()
    assert code == 0
    assert "callback_secret: 2 sealed, 0 rotated" in out
    assert list(Tenant.objects.values_list("callback_secret", flat=True)) == before


def test_a_killed_run_is_taken_up_again(sealed_with_old: Any) -> None:
    place = next(place for place in rotation.places() if str(place) == PLACES[0])
    steps = rotation.reseal(place, batch=1)
    next(steps), next(steps)
    steps.close()
    assert [tally.old for tally in [*rotation.survey(place)][-1:]] == [1]
    assert run()[0] == 0
    sealed_with_old.FIELD_KEYS = [NEW]
    assert opened() == CONTENT


def test_what_no_key_opens_is_named_and_left_alone(sealed_with_old: Any) -> None:
    sealed_with_old.FIELD_KEYS = [Fernet.generate_key().decode()]
    lost = make_tenant(callback_secret="sealed with a key that is gone")
    sealed_with_old.FIELD_KEYS = [NEW, OLD]
    code, _, err = run()
    assert code == 1
    assert f"accounts.tenant.callback_secret: 1 unreadable ({lost.pk})" in err
    with pytest.raises(SealError):
        Tenant.objects.get(pk=lost.pk).callback_secret.reveal()
    Tenant.objects.filter(pk=lost.pk).delete()
    sealed_with_old.FIELD_KEYS = [NEW]
    assert opened() == CONTENT


def test_no_secret_is_printed(sealed_with_old: Any) -> None:
    _, out, err = run()
    assert not [word for word in ("current", "previous=", "api_key", OLD, NEW) if word in out + err]


def test_a_long_pass_says_how_far_it_is(sealed_with_old: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotate_keys, "TELL_EVERY", -1.0)
    lines = run(batch=2)[1].splitlines()
    assert "rotating accounts.tenant.callback_secret: 2 rows so far" in lines
    assert "checking accounts.tenant.callback_secret: 2 rows so far" in lines
