"""`manage.py explain_route`: which way, and why not the others."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from messaging.models import Queue
from tests.factories import make_account, make_route, make_tenant

pytestmark = pytest.mark.django_db


def explain(*args: str, **options: Any) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("explain_route", *args, stdout=out, **options)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_every_route_has_its_reason() -> None:
    tenant = make_tenant(slug="acme")
    paused, main, american = (make_account(tenant, name=name) for name in ("paused", "main", "american"))
    off = make_account(tenant, name="off", is_active=False)
    spare = make_account(tenant, name="spare", sender_map={"421": "Brand"})
    make_account(tenant, name="unused")
    make_account(name="stranger")
    ids = [
        make_route(one, position=n, **more).pk
        for n, (one, more) in enumerate(
            [(paused, {}), (american, {"prefixes": ["1"]}), (off, {}), (main, {}), (spare, {})], start=1
        )
    ]
    Queue.objects.filter(pk=paused.queue_id).update(paused_at=datetime.now(UTC), paused_why="maintenance")
    code, said = explain("--tenant", "acme", "--to", "00421900000123", "--from", "Demo")
    assert code == 0
    assert [line.split(". ", 1)[1] for line in said.splitlines() if "unused" not in line] == [
        f"paused (route {ids[0]}, position 1): not now: the account takes any sender, but its queue is paused: "
        "maintenance; from Demo",
        f"american (route {ids[1]}, position 2): not taken: the recipient begins with none of 1",
        f"off (route {ids[2]}, position 3): not taken: the account is switched off",
        f"main (route {ids[3]}, position 4): taken: the account takes any sender; from Demo",
        f"spare (route {ids[4]}, position 5): next, should the ones before refuse: the account has a sender of its own "
        "for 421; from Brand",
    ]
    assert "unused: not taken: the tenant has routes, and none leads to this account" in said
    assert "stranger" not in said
    assert [line[:2] for line in said.splitlines() if "-> " in line] == ["->"]


def test_when_all_stand_still_the_message_waits() -> None:
    only = make_account(make_tenant(slug="acme"), name="main")
    Queue.objects.filter(pk=only.queue_id).update(open_until=datetime(2100, 1, 1, tzinfo=UTC))
    code, said = explain("--tenant", "acme", "--to", "00421900000123")
    assert (code, said) == (
        0,
        "-> 1. main: waits here: the account takes any sender, but its circuit is open\n",
    )


@pytest.mark.parametrize(
    ("account", "words"),
    [
        pytest.param({"senders": ["Demo"]}, "No route leads there.", id="no sender"),
        pytest.param({"channels": ["mms"]}, "does not carry SMS", id="channel"),
        pytest.param({"is_active": False}, "switched off", id="off"),
    ],
)
def test_none_leads_there(account: dict[str, Any], words: str) -> None:
    make_account(make_tenant(slug="acme"), **account)
    code, said = explain("--tenant", "acme", "--to", "00421900000123", "--from", "Other")
    assert code == 1
    assert words in said


def test_for_programs() -> None:
    make_account(make_tenant(slug="acme"), name="main", sender_map={"*": "Demo"})
    code, said = explain("--tenant", "acme", "--to", "00421900000123", "--from", "Other", "--json")
    told = json.loads(said)
    assert (code, told["account"], told["sender"]) == (0, "main", "Demo")
    assert [(one["taken"], one["fit"]) for one in told["routes"]] == [(True, "usable")]


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("--tenant", "nobody", "--to", "00421900000123"), id="tenant"),
        pytest.param(("--tenant", "acme", "--to", "421900000123"), id="recipient"),
        pytest.param(("--tenant", "acme", "--to", "00421900000123", "--from", "much too long"), id="sender"),
    ],
)
def test_wrong_words(args: tuple[str, ...]) -> None:
    make_tenant(slug="acme")
    with pytest.raises(CommandError):
        explain(*args)
