"""Which account takes a send request: routes, senders, queues that stand still, and isolation between tenants."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from messaging.models import Message, ProviderAccount, Queue
from messaging.queues import routes
from tests.api.conftest import SMS, Caller, make_caller
from tests.factories import make_account, make_route

pytestmark = pytest.mark.django_db


def taken(caller: Caller, **changes: Any) -> Message:
    answer = caller.post("/sms/send", {**SMS, **changes})
    assert answer.status_code == 200, answer.json()
    return Message.objects.get(pk=answer.json()["message_id"])


def test_routes_by_country_and_weight_choose_alike_each_time(caller: Caller) -> None:
    home, abroad = caller.account, make_account(caller.tenant)
    make_route(home, position=1, prefixes=["421"])
    make_route(abroad, position=2)
    assert taken(caller, request_id="r-1").account_id == home.pk
    assert taken(caller, request_id="r-2", to="00447700900123").account_id == abroad.pk
    assert taken(caller, request_id="r-3").account_id == home.pk


def test_by_weight(caller: Caller) -> None:
    other = make_account(caller.tenant)
    make_route(caller.account, weight=1)
    make_route(other, weight=1)
    first = {n: taken(caller, request_id=f"a-{n}", to=f"004219000001{n:02}").account_id for n in range(20)}
    again = {n: taken(caller, request_id=f"b-{n}", to=f"004219000001{n:02}").account_id for n in range(20)}
    assert first == again
    assert set(first.values()) == {caller.account.pk, other.pk}


def test_the_account_of_the_sender_map_sends_in_its_own_name(caller: Caller) -> None:
    caller.account.senders, caller.account.sender_map = ["Other"], {"421": "Brand"}
    caller.account.save()
    message = taken(caller)
    assert (message.sender, message.send_from) == ("Acme", "Brand")
    answer = caller.post("/sms/send", {**SMS, "request_id": "r-2", "to": "00447700900123"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_sender")


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"paused_at": timezone.now()}, id="paused"),
        pytest.param({"open_until": timezone.now() + timedelta(hours=1)}, id="circuit open"),
    ],
)
def test_a_queue_that_stands_still_is_passed_by_where_another_runs(
    caller: Caller, how: dict[str, Any]
) -> None:
    spare = make_account(caller.tenant, position=9)
    Queue.objects.filter(pk=caller.account.queue_id).update(**how)
    message = taken(caller)
    assert (message.account_id, message.queue_id) == (spare.pk, spare.queue_id)


def test_no_route_to_that_country_is_an_operators_to_repair(caller: Caller) -> None:
    make_route(caller.account, prefixes=["1"])
    answer = caller.post("/sms/send", SMS)
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert answer.json()["error"]["code"] == "no_account"
    assert "country" in answer.json()["message"]
    assert not Message.objects.exists()


def test_another_tenants_routes_and_accounts_are_not_ours(caller: Caller, client: Any) -> None:
    stranger = make_caller(client)
    make_route(stranger.account, position=0)
    assert taken(caller).account_id == caller.account.pk  # without routes still
    routes.forget()
    make_route(stranger.account, tenant=caller.tenant)  # rows that the desk refuses
    make_route(caller.account, tenant=stranger.tenant, prefixes=["1"])
    make_route(caller.account, position=5, prefixes=["421"])
    assert taken(caller, request_id="r-2").account_id == caller.account.pk
    answer = caller.post("/sms/send", {**SMS, "request_id": "r-3", "to": "0015550100"})
    assert answer.status_code == 503


def test_verification_asks_the_account_that_the_routes_begin_with(caller: Caller) -> None:
    passed_by, last, first = (make_account(caller.tenant, checked_at=timezone.now()) for _ in range(3))
    ProviderAccount.objects.update(check_ok=False, check_text="refused", checked_at=timezone.now())
    ProviderAccount.objects.filter(pk=first.pk).update(check_ok=True, check_text="fine")
    assert caller.get("/sms/verify").status_code == 503
    make_route(last, position=7)
    make_route(first, position=3)
    make_route(passed_by, position=0, channel="mms")
    make_route(passed_by, position=0, is_active=False)
    assert caller.get("/sms/verify").status_code == 200
    assert [one.pk for one in ProviderAccount.objects.serving(caller.tenant.pk, "sms")] == [first.pk, last.pk]
