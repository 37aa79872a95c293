"""Plays a campaign: posts orders at a steady rate, does announced harm, waits for every ending, judges."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from django.db import InterfaceError, OperationalError
from django.db import connection as database

from accounts.models import Tenant
from messaging.books.reconcile import reconcile
from messaging.rules.values import MessageState
from simulator import witness
from simulator.adapter import REPORT
from simulator.bloomreach import Bloomreach, Story
from simulator.client import Client, Unanswered
from simulator.orders import SendOrder, campaign
from simulator.screen import YELLOW, Screen
from simulator.verdict import CampaignVerdict, Evidence, expected_replies, judge

SMS, MMS = 300, 30
RATE = 40.0  # requests a second
PATIENCE = 150.0  # seconds
TICK = 0.02
LOOK_EVERY = 0.5  # seconds between two looks at the counters
QUIET = 1.0  # seconds to wait for what must not come, once all has come
NEEDS_DEADLINE = ("13",)  # scenarios that end by the report deadline alone
WAITING = (MessageState.ACCEPTED, MessageState.RETRYING)


@dataclass(frozen=True, slots=True)
class Deed:
    """Harm done on purpose, `at` seconds after the start of the campaign."""

    at: float
    words: str
    act: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to play. Rate in requests per second; patience in seconds, for the whole campaign."""

    sms: int
    mms: int
    rate: float
    patience: float
    carrier_url: str
    without: tuple[str, ...] = ()
    unknown_outcome: bool = False  # unknown outcomes may end as such (capability `report`)
    two_way: bool = True  # the tenant's inbound URL is this campaign's own
    deeds: Sequence[Deed] = field(default=())


@dataclass
class _Stage:
    """What is going on, for the loop below."""

    plan: Plan
    bloomreach: Bloomreach
    tenant: Tenant
    since: datetime
    screen: Screen
    orders: list[SendOrder]
    deeds: list[Deed]
    former: Mapping[str, Story]  # what Bloomreach had from a former run's left-overs before this one began
    former_counters: Counter[str]
    client: Client = field(default_factory=lambda: Client(timeout=5.0))
    states: Counter[MessageState] = field(default_factory=Counter)
    carrier_before: Counter[str] = field(default_factory=Counter)
    carrier: Counter[str] = field(default_factory=Counter)


def play(*, plan: Plan, bloomreach: Bloomreach, tenant: Tenant, screen: Screen) -> CampaignVerdict:
    """Plays the plan against a running connector. `bloomreach` is started, and plays nothing else."""
    orders = campaign(
        run=f"sim-{uuid4().hex[:8]}",
        sms=plan.sms,
        mms=plan.mms,
        callback_url=bloomreach.callback_url,
        without=plan.without,
    )
    deeds = sorted(plan.deeds, key=lambda deed: deed.at)
    since = witness.now()
    stage = _Stage(plan, bloomreach, tenant, since, screen, orders, deeds, *bloomreach.snapshot())
    with stage.client:
        stage.carrier_before = _carrier_counters(stage)
        started_at = time.time()
        _run(stage)
        time.sleep(QUIET)
        return judge(_evidence(stage, started_at=started_at))


def endings_beyond(tenant: Tenant, *, patience: float) -> tuple[str, ...]:
    """Endings that this tenant's accounts would not close within the patience (seconds)."""
    deadlines = tenant.accounts.filter(is_active=True).values_list("report_deadline", flat=True)
    return NEEDS_DEADLINE if any(deadline.total_seconds() > patience / 2 for deadline in deadlines) else ()


def only_reports_tell(tenant: Tenant) -> bool:
    """Whether one of this tenant's accounts can resolve an unknown outcome by a report alone."""
    return any(account.settings.get("capability") == REPORT for account in tenant.accounts.all())


def break_carrier(url: str, *, mode: str, seconds: float) -> None:
    """Switches a fault on at the carrier. Raises Unanswered."""
    body = f'{{"mode": "{mode}", "seconds": {seconds}}}'.encode()
    with Client() as client:
        client.call("POST", f"{url}/faults", headers={"Content-Type": "application/json"}, body=body)


def _run(stage: _Stage) -> None:
    started = time.monotonic()
    posted, looked = 0, 0.0
    while (elapsed := time.monotonic() - started) < stage.plan.patience:
        due = min(len(stage.orders), int(elapsed * stage.plan.rate) + 1)
        for order in stage.orders[posted:due]:
            stage.bloomreach.post(order)
        posted = due
        _do_harm(stage, elapsed)
        if elapsed - looked >= LOOK_EVERY:
            looked = elapsed
            if _looks_over(stage, all_posted=posted == len(stage.orders)):
                return
        time.sleep(TICK)


def _looks_over(stage: _Stage, *, all_posted: bool) -> bool:
    """One look at everything. A database that is away is part of the play, not the end of it."""
    try:
        _look(stage)
        return all_posted and not stage.deeds and _is_over(stage)
    except (OperationalError, InterfaceError):
        database.close()
        return False


def _do_harm(stage: _Stage, elapsed: float) -> None:
    while stage.deeds and stage.deeds[0].at <= elapsed:
        deed = stage.deeds.pop(0)
        stage.screen.step(deed.words, YELLOW)
        deed.act()


def _look(stage: _Stage) -> None:
    stage.states = witness.message_states(stage.tenant, since=stage.since)
    with contextlib.suppress(Unanswered):  # a busy carrier: the figures of the last look will do
        stage.carrier = _carrier_counters(stage) - stage.carrier_before
    stage.screen.progress(_progress(stage))


def _carrier_counters(stage: _Stage) -> Counter[str]:
    answer = stage.client.call("GET", f"{stage.plan.carrier_url}/counters", headers={})
    return Counter({name: count for name, count in answer.json().items() if isinstance(count, int)})


def _news(stage: _Stage) -> tuple[dict[str, Story], Counter[str]]:
    """What Bloomreach heard since the campaign began."""
    stories, counters = stage.bloomreach.snapshot()
    news = {name: story for name, story in stories.items() if name not in stage.former}
    return news, counters - stage.former_counters


def _progress(stage: _Stage) -> str:
    stories, _ = _news(stage)
    accepted = sum(story.accepted_at is not None for story in stories.values())
    told = sum(bool(story.finals) for story in stories.values())
    now = stage.states
    waiting = sum(now[state] for state in WAITING)
    return (
        f"Bloomreach {accepted} in, {told} told | carrier {stage.carrier['taken']} taken"
        f" | queue {waiting}, {now[MessageState.SENDING]} calling, {now[MessageState.UNKNOWN_OUTCOME]} unknown"
    )


def _is_over(stage: _Stage) -> bool:
    """Every request answered, every message final, every final that is owed told, every reply arrived."""
    if stage.bloomreach.unanswered():
        return False
    stories, counters = _news(stage)
    if not witness.unfinished(stage.tenant, since=stage.since).isdisjoint(stories):
        return False
    records = witness.records(stage.tenant, since=stage.since, request_ids=stories)
    if any(record.owes_final and not stories[name].finals for name, record in records.items()):
        return False
    return not stage.plan.two_way or counters["inbound"] >= expected_replies(stories, records)


def _evidence(stage: _Stage, *, started_at: float) -> Evidence:
    stories, counters = _news(stage)
    url = f"{stage.plan.carrier_url}/state?since={started_at}"
    return Evidence(
        stories=stories,
        counters=counters,
        records=witness.records(stage.tenant, since=stage.since, request_ids=stories),
        carrier=stage.client.call("GET", url, headers={}).json(),
        two_way=stage.plan.two_way,
        unknown_outcome=stage.plan.unknown_outcome,
        harmed=bool(stage.plan.deeds),
        reconciled=reconcile(tenant=stage.tenant, since=stage.since).unaccounted,
    )
